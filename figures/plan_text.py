"""What `thinwire plan` says to people."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from analysis.plan.networks import described
from analysis.plan.rows import counts
from simnet.commands.output import print_table
from traces.units import format_bytes, format_s

if TYPE_CHECKING:
    from analysis.plan.answer import Answer
    from analysis.plan.crossings import Crossing
    from analysis.plan.rows import Command
    from analysis.plan.search import Line

_REASONS = 4  # of plans that cannot run, that are told
_NAMED = 3  # of those of unknown quality


def report(answer: Answer, written: Command) -> None:
    """All of an answer, on stdout."""
    _front(answer)
    _commands(answer, written)
    _break_even(answer)
    _upgrades(answer)
    _counts(answer)


def _front(answer: Answer) -> None:
    setting, lines = answer.setting, answer.shown
    images = "1 image" if setting.images == 1 else f"{setting.images} images"
    title = (
        f"{setting.model}, {setting.steps} steps, {images} on {setting.ranks} x "
        f"{setting.device.name}, {setting.network.name}: run {lines[0].text} (predicted)"
    )
    rows = [
        (
            str(place),
            line.text,
            format_s(line.latency_s),
            f"{format_s(line.between.low_s)} to {format_s(line.between.high_s)}",
            _apart(answer, line, place),
            _decibels(line),
            format_bytes(line.candidate.memory_bytes),
        )
        for place, line in enumerate(lines, start=1)
    ]
    columns = ("", "plan", "latency", "likely", "slower than 1?", "quality, dB", "memory")
    print_table(title, columns, rows)
    more = len(answer.front) - len(lines)
    if more:
        print(
            f"and {more} more of the front, little different from these or slower (--out, --json)"
        )
    print("likely: where nine of ten published latencies were that were predicted so")
    print(f"quality: {answer.source.unit}")
    for source in sorted({line.candidate.quality.source for line in lines}):
        places = [str(n) for n, x in enumerate(lines, 1) if x.candidate.quality.source == source]
        print(f"  {source}: {', '.join(places)}")


def _apart(answer: Answer, line: Line, place: int) -> str:
    if place == 1:
        return ""
    return "yes" if answer.told_apart(line) else "not told apart"


def _decibels(line: Line) -> str:
    quality = line.candidate.quality
    if math.isinf(quality.db):
        return "same"
    return f"{quality.db:.1f} ± {quality.error_db:.1f}" if quality.error_db else f"{quality.db:.1f}"


def _commands(answer: Answer, written: Command) -> None:
    print("\nTo have a line predicted by itself:")
    for place, line in enumerate(answer.shown, start=1):
        print(f"  {place}  {written(line.candidate)}")


def _break_even(answer: Answer) -> None:
    network = answer.setting.network
    if not any(found for _, found in answer.of_codecs) and not answer.of_pairs:
        return
    print("\nWhere plans change places, by the links' rate:")
    for text, found in answer.of_codecs:
        for crossing in found:
            print(f"  {_sentence(network, crossing)}  (what the codec brings)")
        if not found:
            print(f"  {text}: never, against the same without its codec")
    for crossing in answer.of_pairs:
        print(f"  {_sentence(network, crossing)}")


def _sentence(network: Any, crossing: Crossing) -> str:
    rate = described(network, crossing.factor)
    return (
        f"{crossing.slower_links} up to {rate}, then {crossing.faster_links} "
        f"({format_s(crossing.latency_s)} there)"
    )


def _upgrades(answer: Answer) -> None:
    if not answer.upgrades:
        return
    here_s = answer.front[0].latency_s
    print("\nWhat more would buy (predicted):")
    for upgrade in answer.upgrades:
        gain = here_s / upgrade.line.latency_s
        takes = format_s(upgrade.line.latency_s)
        print(f"  {upgrade.what}: {takes}, {gain:.2f} times as fast, with {upgrade.line.text}")


def _counts(answer: Answer) -> None:
    found, by = answer.found, counts(answer)
    told = "; ".join(f"{number} {what}" for what, number in by.items() if number)
    plans = "1 plan" if found.count == 1 else f"{found.count} plans"
    print(f"\n{plans} looked at: {told}.")
    reasons = Counter(_reason(one.why) for one in found.refused.get("cannot run", []))
    for why, number in reasons.most_common(_REASONS):
        print(f"  {number} cannot run: {why}")
    if found.unknown:
        names = ", ".join(candidate.text for candidate in found.unknown[:_NAMED])
        more = ", ..." if len(found.unknown) > _NAMED else ""
        print(f"  of unknown quality, so not weighed: {names}{more} (--quality, --captured)")


def _reason(why: str) -> str:
    """Without the schedule that it is said of."""
    head, _, rest = why.partition(": ")
    return why if " " in head else rest
