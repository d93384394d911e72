"""Schedules by name, with their parameters: "distrifusion:warmup_steps=4"."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.errors import InputError, unknown

SCHEDULES: dict[str, type[Schedule]] = {kind.name: kind for kind in (RingAttention, DistriFusion)}


def schedule(text: str) -> Schedule:
    """The schedule that `text` describes: a name, then ":parameter=value" for any that differ.

    Raises InputError for an unknown name or parameter, and for a value that is no integer.
    """
    name, *settings = text.split(":")
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    kind = SCHEDULES[name]
    known = parameters(kind)
    values = {}
    for setting in settings:
        parameter, _, value = setting.partition("=")
        if parameter not in known:
            raise unknown(f"parameter of {name}", parameter, known or ["none"])
        try:
            values[parameter] = int(value)
        except ValueError:
            raise InputError(f"{name}: {parameter} is {value!r}, expected an integer") from None
    return kind(**values)


def spec(chosen: Schedule) -> str:
    """The text that describes a schedule, with every parameter it has."""
    values = (f"{name}={getattr(chosen, name)}" for name in parameters(type(chosen)))
    return ":".join([chosen.name, *values])


def parameters(kind: type[Schedule]) -> dict[str, object]:
    """A schedule's parameters and their defaults; none of a class that is no dataclass."""
    if not is_dataclass(kind):
        return {}
    return {field.name: field.default for field in fields(kind)}
