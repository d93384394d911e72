"""Which of our schedules a recorded program follows, on which model, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from simnet.job import DTYPES, Job
from simnet.models.presets import PRESETS, preset
from simnet.recognition.patterns import Finding, inner, outer
from simnet.recognition.traffic import Traffic
from simnet.schedules.named import schedule as named_schedule
from traces.errors import InputError
from traces.units import format_bytes

if TYPE_CHECKING:
    from traces.trace import Trace

#: How far what was sent may be from what a schedule would send, as a factor.
_NEAR = 1.1
_MOST_NAMED = 4


@dataclass(frozen=True)
class Recognised:
    """What a recording looks like.

    Attributes:
        schedule: a schedule with its parameters, as --schedule takes it; None for none of ours.
        model: a preset whose layers and sizes fit, or None.
        dtype: of the model.
        fits: whether as much was sent as that schedule sends for that model.
        evidence: what speaks for that, a sentence each.
        against: what speaks against it, or why it is none.
    """

    schedule: str | None
    model: str | None
    dtype: str
    fits: bool
    evidence: tuple[str, ...]
    against: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"evidence": list(self.evidence), "against": list(self.against)}

    def __str__(self) -> str:
        head = f"schedule: {self.schedule or 'not recognised'}\nmodel: {self.model or 'not known'}"
        lines = [f"  + {line}" for line in self.evidence] + [f"  - {line}" for line in self.against]
        return "\n".join([head, *lines])


def recognise(trace: Trace, model: str | None = None) -> Recognised:
    """Compare a program's transfers with what our schedules send.

    `model` names its preset; otherwise what was run, if that is a preset's name, or any preset
    whose number of layers and volume fit. Raises InputError for an unknown model.
    """
    traffic = Traffic.of(trace)
    named = model or (trace.run.model if trace.run.model in PRESETS else None)
    layers = None if named is None else preset(named).layers
    found = outer(traffic, inner(traffic, layers))
    dtype = traffic.dtype if traffic.dtype in DTYPES else trace.run.dtype
    dtype = dtype if dtype in DTYPES else "float32"
    if found.schedule is None:
        return _told(found, named, dtype, fits=False)
    candidates = [named] if named else [name for name in PRESETS if _has_layers(name, traffic)]
    sent = int(traffic.inside["wire_bytes"].sum())
    volumes = _volumes(trace, found.schedule, candidates, dtype)
    if found.instead and not _fitting(volumes, sent):
        others = _volumes(trace, found.instead, candidates, dtype)
        if _fitting(others, sent + int(traffic.outside["wire_bytes"].sum())):
            found.schedule, volumes = found.instead, others
    elif found.instead:
        found.evidence.append(f"{found.instead} would look like that, but send another volume")
    chosen = _by_volume(found, volumes, sent) if named is None else named
    fits = chosen is not None and _compare(found, chosen, volumes[chosen], sent, traffic)
    return _told(found, chosen, dtype, fits=fits)


def _volumes(
    trace: Trace, schedule: str, candidates: Sequence[str], dtype: str
) -> dict[str, int | None]:
    return {name: _expected_bytes(trace, schedule, name, dtype) for name in candidates}


def _fitting(volumes: Mapping[str, int | None], sent: int) -> list[str]:
    return [name for name, expected in volumes.items() if _fits(expected, sent)]


def _told(found: Finding, model: str | None, dtype: str, *, fits: bool) -> Recognised:
    reasons = tuple(found.evidence), tuple(found.against)
    return Recognised(found.schedule, model, dtype, fits, *reasons)


def _has_layers(name: str, traffic: Traffic) -> bool:
    return not traffic.layers or PRESETS[name].layers == len(traffic.layers)


def _expected_bytes(trace: Trace, schedule: str, model: str, dtype: str) -> int | None:
    """What all ranks together would put on the wire; None where they cannot run that."""
    run = trace.run
    job = Job(model, run.ranks, run.steps, dtype, images=run.images, device="meta")
    chosen = named_schedule(schedule)
    try:
        chosen.check(job)
        return sum(chosen.claims(job).wire_bytes)
    except InputError:
        return None


def _fits(expected: int | None, sent: int) -> bool:
    return expected is not None and 0 < max(expected, sent) <= _NEAR * min(expected, sent)


def _by_volume(found: Finding, volumes: Mapping[str, int | None], sent: int) -> str | None:
    """The one preset that would send as much; None, and why, where that is none or several."""
    if not sent:
        found.against.append("nothing is sent that would tell the model; name it")
        return None
    fit = _fitting(volumes, sent)
    if len(fit) == 1:
        found.evidence.append(f"of all presets only {fit[0]} has such layers and sizes")
        return fit[0]
    several = ", ".join(fit[:_MOST_NAMED]) + (" and others" if len(fit) > _MOST_NAMED else "")
    found.against.append(
        f"several presets would send as much: {several}; name the model"
        if fit
        else "no preset has such layers and sizes; name the model if it is one"
    )
    return None


def _compare(found: Finding, model: str, expected: int | None, sent: int, traffic: Traffic) -> bool:
    """Say how well layers and volume fit; gives whether both do."""
    layers, has = len(traffic.layers), preset(model).layers
    if layers and layers != has:
        found.against.append(f"{layers} layers were recorded, {model} has {has}")
    if expected is None:
        found.against.append(f"{model} cannot be run by {found.schedule} on so many ranks")
        return False
    fits = expected == sent or _fits(expected, sent)
    side = found.evidence if fits else found.against
    codec = " (with a codec?)" if sent < expected / 2 else ""
    side.append(
        f"{format_bytes(sent)} were sent inside layers; {found.schedule} sends "
        f"{format_bytes(expected)} for {model}{codec}"
    )
    return fits and layers in (0, has)
