"""An answer as tables and plain values: for files, figures and machines."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from analysis.plan.answer import Answer
from analysis.plan.crossings import Crossing
from analysis.plan.networks import rate_bps
from analysis.plan.search import Candidate, Line

Record = dict[str, Any]
#: From a plan to the command that predicts it.
Command = Callable[[Candidate], str]

#: What became of a plan.
FRONT, SLOWER, BEATEN, UNKNOWN = "front", "simulated", "cannot win", "unknown quality"


def command(answer: Answer, network: str) -> Command:
    """How to have each plan predicted by itself; `network` is the options that chose it."""
    setting = answer.setting

    def written(of: Candidate) -> str:
        options = (
            f"--model {shlex.quote(setting.model)} --gpu {setting.device.name} {network} "
            f"--ranks {setting.ranks} --steps {setting.steps} --dtype {setting.dtype} "
            f"--batch {of.images} --schedule {shlex.quote(of.text)}"
        )
        return f"thinwire predict {options}"

    return written


def rows(answer: Answer, written: Command) -> Iterator[Record]:
    """One for each plan that was looked at; gaps are None."""
    best = {line.text for line in answer.front}
    places = {line.text: place for place, line in enumerate(answer.shown, start=1)}
    for line in answer.found.lines:
        status = FRONT if line.text in best else SLOWER
        place = places.get(line.text)
        yield _of_line(answer, line, written) | {"status": status, "place": place}
    for status, group in ((BEATEN, answer.found.beaten), (UNKNOWN, answer.found.unknown)):
        for candidate in group:
            yield _of_candidate(candidate, written) | {"status": status}
    for what, refused in answer.found.refused.items():
        for one in refused:
            yield _EMPTY | {"plan": one.text, "status": what, "why": one.why}


_EMPTY: Record = dict.fromkeys(
    (
        "plan", "status", "place", "why", "latency_s", "low_s", "high_s", "told_apart", "evidence",
        "quality_db", "quality_error_db", "quality_source", "memory_bytes", "batch", "command",
    )
)  # fmt: skip


def _of_line(answer: Answer, line: Line, written: Command) -> Record:
    return _of_candidate(line.candidate, written) | {
        "latency_s": line.latency_s,
        "low_s": line.between.low_s,
        "high_s": line.between.high_s,
        "told_apart": answer.told_apart(line),
        "evidence": "predicted",
    }


def _of_candidate(of: Candidate, written: Command) -> Record:
    known = not math.isnan(of.quality.db)
    return _EMPTY | {
        "plan": of.text,
        "quality_db": of.quality.db if known else None,
        "quality_error_db": of.quality.error_db if known else None,
        "quality_source": of.quality.source,
        "memory_bytes": of.memory_bytes,
        "batch": of.images,
        "command": written(of),
    }


def to_json(answer: Answer, written: Command) -> Record:
    """All of it in plain values; a quality without end is the text "same"."""
    setting = answer.setting
    return {
        "model": setting.model,
        "gpu": setting.device.name,
        "ranks": setting.ranks,
        "network": setting.network.name,
        "steps": setting.steps,
        "batch": setting.images,
        "dtype": setting.dtype,
        "quality_of": answer.source.unit,
        "front": [_plain(_of_line(answer, line, written)) for line in answer.front],
        "break_even": {
            "codecs": [
                {"plan": text, "crossings": [_crossing(answer, x) for x in found]}
                for text, found in answer.of_codecs
            ],
            "pairs": [_crossing(answer, crossing) for crossing in answer.of_pairs],
        },
        "upgrades": [
            {"what": upgrade.what, "plan": upgrade.line.text, "latency_s": upgrade.line.latency_s}
            for upgrade in answer.upgrades
        ],
        "counts": counts(answer),
    }


def counts(answer: Answer) -> dict[str, int]:
    """Of plans, by what became of them."""
    found = answer.found
    known = Counter({FRONT: len(answer.front), SLOWER: len(found.lines) - len(answer.front)})
    known.update({BEATEN: len(found.beaten), UNKNOWN: len(found.unknown)})
    known.update({what: len(refused) for what, refused in found.refused.items()})
    return dict(known)


def _crossing(answer: Answer, crossing: Crossing) -> Record:
    return {
        "slower_links": crossing.slower_links,
        "faster_links": crossing.faster_links,
        "rate_bps": crossing.factor * rate_bps(answer.setting.network),
        "factor": crossing.factor,
        "latency_s": crossing.latency_s,
    }


def _plain(record: Record) -> Record:
    return {
        key: "same" if isinstance(value, float) and math.isinf(value) else value
        for key, value in record.items()
    }
