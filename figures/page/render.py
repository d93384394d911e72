"""The page itself: one file that holds its own style, script and data, and may load nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

_SCRIPTS = ("page.js", "drawing.js", "timeline.js")


def render(parts: Mapping[str, Any], data: object) -> bytes:
    """The page of these parts, names of the template's; `data` is what its script reads.

    Whatever is in them is shown as text: none of it can become markup. Of scripts and styles, a
    browser takes those that the page was made with, by their hashes, and no address but `data:`.
    """
    style, script = _text("page.css"), _script()
    page: str = _template().render(
        parts,
        style=Markup(style),  # noqa: S704 - ours, of the package
        script=Markup(script),  # noqa: S704 - the same
        policy=_policy(style, script),
        data=htmlsafe_json_dumps(data, separators=(",", ":"), allow_nan=False),
    )
    return page.encode()


def _policy(style: str, script: str) -> str:
    rules = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script() -> str:
    """All in one, whose names are nobody else's."""
    return '"use strict";\n(() => {\n' + "\n".join(map(_text, _SCRIPTS)) + "})();\n"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(_text("page.html.j2"))


def _text(name: str) -> str:
    return resources.files("figures.page").joinpath(name).read_text(encoding="utf-8")
