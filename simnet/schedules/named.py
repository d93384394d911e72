"""Schedules by name: "distrifusion:warmup_steps=4", "cfg+ring/residual-1bit"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from simnet.codecs.named import codec as named_codec
from simnet.codecs.named import spec as codec_spec
from simnet.codecs.residual import fused
from simnet.codecs.rule import Everywhere
from simnet.schedules.base import Schedule, TeamSchedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.expert.dice import Dice, ReleasedDice
from simnet.schedules.expert.displaced import DisplacedExperts
from simnet.schedules.expert.interweaved import Interweaved
from simnet.schedules.expert.routing import Zipf
from simnet.schedules.expert.synchronous import ExpertParallel
from simnet.schedules.gather import PatchGather
from simnet.schedules.outer import CfgParallel, DataParallel
from simnet.schedules.pipefusion import PipeFusion
from simnet.schedules.ring import RingAttention
from simnet.schedules.single import Single
from simnet.schedules.tensor import TensorParallel
from simnet.schedules.ulysses import Ulysses
from simnet.schedules.usp import USP
from simnet.settings import settings
from traces.errors import InputError, unknown

#: Those that share a model.
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
        ExpertParallel,
        DisplacedExperts,
        Interweaved,
        Dice,
        ReleasedDice,
    )
}
#: Those around others.
OUTER: dict[str, type[Any]] = {kind.name: kind for kind in (CfgParallel, DataParallel)}
SCHEDULES = INNER | OUTER


def schedule(text: str) -> TeamSchedule:
    """The schedule that `text` describes: a name, then ":parameter=value" for any that differ.

    A schedule around others stands before them, with "+" between; a codec follows after "/".
    Raises InputError for an unknown name or parameter, for one that comes twice, for a value that
    will not do, for a name where only others may stand, and for a codec where there is nothing
    to code.
    """
    names, slash, codec = text.partition("/")
    if slash and not codec:
        raise InputError(
            f"schedule {text!r} has no codec after its slash: name one (`thinwire list codecs`), "
            "or leave the slash out"
        )
    *outer, inner = names.split("+")
    made: TeamSchedule = _with_parameters(inner, INNER)
    if codec:
        made = with_codec(made, codec)
    for name in reversed(outer):
        made = replace(_with_parameters(name, OUTER), inner=made)
    return made


def with_codec(chosen: TeamSchedule, text: str) -> TeamSchedule:
    """The same with a codec of this name; raises InputError where there is nothing to code."""

    def coded(inner: Any) -> Any:
        if "codec" not in _fields(type(inner)):
            reason = getattr(inner, "no_codec", "it knows of none")
            raise InputError(f"{inner.name} takes no codec: {reason}")
        return replace(inner, codec=Everywhere(named_codec(text)))

    return _inside(chosen, coded)


def with_routing(chosen: TeamSchedule, text: str) -> TeamSchedule:
    """The same with experts wanted so in a simulation; see `Zipf.parse`.

    Raises InputError for a schedule that sends nothing to experts.
    """

    def routed(inner: Any) -> Any:
        if not isinstance(inner, ExpertSchedule):
            raise InputError(f"{inner.name} sends no tokens to experts; leave --routing out")
        return replace(inner, routing=Zipf.parse(text))

    return _inside(chosen, routed)


def on_gpu(chosen: TeamSchedule) -> TeamSchedule:
    """The same as a GPU runs it: with its codec's arithmetic in a few kernels, where it can be."""

    def on_it(inner: Any) -> Any:
        rule = getattr(inner, "codec", None)
        # Of rows for experts there are never as many again, and kernels are made for a number.
        if not isinstance(rule, Everywhere) or isinstance(inner, ExpertSchedule):
            return inner
        return replace(inner, codec=Everywhere(fused(rule.residual)))

    return _inside(chosen, on_it)


def innermost(chosen: TeamSchedule) -> TeamSchedule:
    """What schedules around others have inside."""
    return innermost(chosen.inner) if isinstance(chosen, CfgParallel | DataParallel) else chosen


def _inside(chosen: TeamSchedule, change: Callable[[Any], Any]) -> TeamSchedule:
    """The same with another schedule innermost."""
    if isinstance(chosen, CfgParallel | DataParallel):
        inner: Any = _inside(chosen.inner, change)
        return replace(chosen, inner=inner)
    changed: TeamSchedule = change(chosen)
    return changed


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


def parameters(kind: type[Any]) -> dict[str, Any]:
    """A schedule's parameters and their defaults: integers, or what can `parse` such a text.

    A class that is no dataclass has none.
    """
    defaults = _fields(kind).items()
    return {name: x for name, x in defaults if isinstance(x, int) or hasattr(x, "parse")}


def _fields(kind: type[Any]) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind)} if is_dataclass(kind) else {}


def _with_parameters(text: str, kinds: dict[str, type[Any]]) -> Any:
    name, *texts = text.split(":")
    if name not in kinds:
        raise _misplaced(text, name) if name in SCHEDULES else unknown("schedule", name, SCHEDULES)
    known = parameters(kinds[name])
    given = settings(name, texts, known)
    values = {key: _parsed(name, key, text, known[key]) for key, text in given.items()}
    return kinds[name](**values)


def _parsed(name: str, parameter: str, text: str, default: Any) -> Any:
    """A parameter's value, of the default's kind."""
    if not isinstance(default, int):
        return default.parse(text)
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}: {parameter} is {text!r}, expected an integer") from None


def _misplaced(text: str, name: str) -> InputError:
    """The error for a schedule that stands where only those of the other kind may."""
    if name in OUTER:
        return InputError(
            f"schedule {name!r} goes around another, which follows it: {text}+ring, for example"
        )
    return InputError(
        f"schedule {name!r} goes around no other, so nothing can follow it after a plus; "
        f"only {' and '.join(OUTER)} stand before others"
    )
