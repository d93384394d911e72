"""A browser without a window, driven through its DevTools protocol over a pipe; and a page."""

from __future__ import annotations

import base64
import itertools
import json
import math
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
import pytest
from matplotlib.figure import Figure

from figures.catalogue import Made, Skipped
from figures.page import binding
from figures.page.subject import subject
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The protocol's pipes are descriptors 3 and 4; no sandbox, because CI runs as root.
_START = 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
_KEYS |= {"ArrowDown": 40, "Home": 36, "Tab": 9, " ": 32}


class Browser:
    """The process, and messages to and from it: JSON that ends with a zero byte."""

    def __init__(self, program: str, profile: Path) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", _START, program, *_FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        self.rest = b""

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method; events that come meanwhile are kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": session} if session else {}
        pipe = cast("IO[bytes]", self.process.stdin)
        pipe.write(json.dumps(message).encode() + b"\0")
        pipe.flush()
        while (answer := self.read()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return cast("dict[str, Any]", answer["result"])

    def read(self) -> dict[str, Any]:
        """The next message; there is always an end to waiting for one, as tests have a limit."""
        pipe = cast("IO[bytes]", self.process.stdout)
        while b"\0" not in self.rest:
            more = pipe.read1()  # type: ignore[attr-defined]
            assert more, "the browser is gone"
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return cast("dict[str, Any]", json.loads(message))

    def close(self) -> None:
        """End it, and all that it has started."""
        self.ask("Browser.close")
        self.process.communicate()


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Browser, path: Path, scheme: str = "light") -> None:
        self.browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.target, self.session = target, attached["sessionId"]
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.size(1200, 900)
        self.prefer(scheme)
        self.ask("Page.navigate", url=path.as_uri())
        while not self.happened("Page.loadEventFired"):
            self.browser.events.append(self.browser.read())
        self.settle()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of this page."""
        return self.browser.ask(method, self.session, **params)

    def happened(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of all events of these names so far."""
        mine = [e for e in self.browser.events if e.get("sessionId") == self.session]
        return [event["params"] for event in mine if event["method"] in methods]

    def run(self, script: str) -> Any:
        """The value of an expression; of a promise, what it comes to."""
        found = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self) -> None:
        """Until what was asked for has been painted."""
        self.run("new Promise(d => requestAnimationFrame(() => requestAnimationFrame(() => d(1))))")

    def size(self, width: int, height: int) -> None:
        """The window's, in CSS pixels."""
        more = {"deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, **more)

    def prefer(self, scheme: str, media: str = "") -> None:
        """Light or dark; on a screen or in print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key: str) -> None:
        """A key, on what has the focus."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        more: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": _KEYS.get(key, ord(key[0]))}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **more)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **more)
        self.settle()

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Moved, pressed, released or wheel, at a place in the window."""
        self.ask("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)
        self.settle()

    def shot(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page."""
        made = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(made["data"]))

    def close(self) -> None:
        """And forget it."""
        self.browser.ask("Target.closeTarget", targetId=self.target)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests, as it takes a second or two to start."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def show(browser: Browser) -> Iterator[Callable[..., Tab]]:
    """Open a page, from disk, in a tab of its own."""
    tabs: list[Tab] = []

    def opened(path: Path, scheme: str = "light") -> Tab:
        tabs.append(Tab(browser, path, scheme))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()


#: A name that would do harm where it became markup.
HOSTILE = "</script><img src=x onerror=\"document.title='taken'\">"
RUN = Run("tiny", "gather", 2, 3, "distributed", "toy", "wire", versions={"thinwire": "0"})


def _toy(ranks: int = 2, steps: int = 3, layers: int = 2, gather_s: float = 3.0) -> Trace:
    """Every layer asks for a gather, computes, waits for it, computes again: seconds each."""
    rows: list[Operation] = []
    group = ",".join(map(str, range(ranks)))
    for rank in range(ranks):
        now_s, seq = 0.0, 0
        for step, layer in itertools.product(range(steps), range(layers)):
            at = (step, layer)
            got_s = now_s + gather_s
            gather = Operation(rank, seq, "world", "all_gather", "kv", *at, now_s, got_s)
            gather.bytes, gather.wire_bytes, gather.group = 4096, 8192, group
            wait = Operation(rank, seq + 2, "compute", "wait", "kv", *at, now_s + 2, got_s)
            wait.waits_for = seq
            rows += [
                gather,
                Operation(rank, seq + 1, "compute", "compute", "qkv", *at, now_s, now_s + 2),
                wait,
                Operation(rank, seq + 3, "compute", "compute", "attend", *at, got_s, got_s + 2),
            ]
            now_s, seq = got_s + 2, seq + 4
    for row in rows:
        row.cost_s = row.end_s - row.start_s if row.kind == "compute" else math.nan
    return Trace(replace(RUN, ranks=ranks, steps=steps), table(rows))


@pytest.fixture(scope="session")
def toy() -> Callable[..., Trace]:
    """Make a trace that can be worked out by hand; see _toy."""
    return _toy


@pytest.fixture(scope="session")
def page(toy: Callable[..., Trace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a measured and a predicted run, with a figure, and names that would do harm."""
    trace = toy(gather_s=4.0)
    fast = toy(gather_s=2.5)
    predicted = replace(fast.run, driver="simulated", network=HOSTILE, device=HOSTILE)
    traces = {
        "ran": trace,
        "model": Trace(predicted, fast.ops.assign(name=fast.ops["name"].replace("kv", HOSTILE))),
    }
    table = pd.DataFrame({"subject": "a", "x": [3, 1, 2]})
    figures: list[Made | Skipped] = [
        Made("bars", "Bars", "They rise.", "predicted", table, Figure((4, 2)), "thinwire figures"),
        Skipped("spectra", "Spectra", "nothing was kept"),
    ]
    path = tmp_path_factory.mktemp("page") / "report.html"
    subjects = {name: subject(name, each, each) for name, each in traces.items()}
    path.write_bytes(binding.page(subjects, figures, ["thinwire", "report"]))
    return path
