"""Schedules by name: "distrifusion:warmup_steps=4", "cfg+ring/residual-1bit"."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from simnet.codecs.named import codec as named_codec
from simnet.codecs.named import spec as codec_spec
from simnet.codecs.residual import fused
from simnet.codecs.rule import Everywhere
from simnet.schedules.base import Schedule, TeamSchedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.gather import PatchGather
from simnet.schedules.outer import CfgParallel, DataParallel
from simnet.schedules.pipefusion import PipeFusion
from simnet.schedules.ring import RingAttention
from simnet.schedules.single import Single
from simnet.schedules.tensor import TensorParallel
from simnet.schedules.ulysses import Ulysses
from simnet.schedules.usp import USP
from traces.errors import InputError, unknown

#: Those that share one image.
INNER: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (
        Single,
        RingAttention,
        Ulysses,
        USP,
        PatchGather,
        DistriFusion,
        PipeFusion,
        TensorParallel,
    )
}
#: Those around others.
OUTER: dict[str, type[Any]] = {kind.name: kind for kind in (CfgParallel, DataParallel)}
SCHEDULES = INNER | OUTER


def schedule(text: str) -> TeamSchedule:
    """The schedule that `text` describes: a name, then ":parameter=value" for any that differ.

    A schedule around others stands before them, with "+" between; a codec follows after "/".
    Raises InputError for an unknown name or parameter, for a value that is no integer, and for a
    codec where there is nothing to code.
    """
    names, _, codec = text.partition("/")
    *outer, inner = names.split("+")
    made: TeamSchedule = _with_parameters(inner, INNER)
    if codec:
        made = with_codec(made, codec)
    for name in reversed(outer):
        made = replace(_with_parameters(name, OUTER), inner=made)
    return made


def with_codec(chosen: TeamSchedule, text: str) -> TeamSchedule:
    """The same with a codec of this name; raises InputError where there is nothing to code."""
    if isinstance(chosen, CfgParallel | DataParallel):
        inner: Any = with_codec(chosen.inner, text)
        return replace(chosen, inner=inner)
    if "codec" not in _fields(type(chosen)):
        reason = getattr(chosen, "no_codec", "it knows of none")
        raise InputError(f"{chosen.name} takes no codec: {reason}")
    made: TeamSchedule = replace(chosen, codec=Everywhere(named_codec(text)))  # type: ignore[type-var]
    return made


def on_gpu(chosen: TeamSchedule) -> TeamSchedule:
    """The same with its codec's arithmetic in a few kernels, where it can be."""
    if isinstance(chosen, CfgParallel | DataParallel):
        inner: Any = on_gpu(chosen.inner)
        return replace(chosen, inner=inner)
    rule: Any = getattr(chosen, "codec", None)
    if not isinstance(rule, Everywhere):
        return chosen
    made: TeamSchedule = replace(chosen, codec=Everywhere(fused(rule.residual)))  # type: ignore[type-var]
    return made


def spec(chosen: Schedule) -> str:
    """The text that describes a schedule, with every parameter it has."""
    values = (f"{name}={getattr(chosen, name)}" for name in parameters(type(chosen)))
    text = ":".join([chosen.name, *values])
    if isinstance(chosen, CfgParallel | DataParallel):
        return f"{text}+{spec(chosen.inner)}"
    rule = getattr(chosen, "codec", None)
    if rule is None:
        return text
    coded = "/".join(dict.fromkeys(codec_spec(residual) for residual in rule.residuals()))
    return f"{text}/{coded}"


def parameters(kind: type[Any]) -> dict[str, int]:
    """A schedule's parameters and their defaults; none of a class that is no dataclass."""
    return {name: default for name, default in _fields(kind).items() if isinstance(default, int)}


def _fields(kind: type[Any]) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind)} if is_dataclass(kind) else {}


def _with_parameters(text: str, kinds: dict[str, type[Any]]) -> Any:
    name, *settings = text.split(":")
    if name not in kinds:
        raise unknown("schedule", name, kinds)
    kind = kinds[name]
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
