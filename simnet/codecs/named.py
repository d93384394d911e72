"""Codecs by name, with their parameters: "residual-lowrank-int4:rank=16"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch

from simnet.codecs.affine import Int4, Int8
from simnet.codecs.base import Codec
from simnet.codecs.float8 import Float8
from simnet.codecs.low_rank import LowRank
from simnet.codecs.low_rank_int4 import LowRankInt4
from simnet.codecs.raw import Raw
from simnet.codecs.residual import Residual
from simnet.codecs.sign import OneBit
from simnet.codecs.top_one import TopOne
from simnet.codecs.two_bit import TwoBit
from simnet.settings import settings
from traces.errors import InputError, unknown

CODECS: dict[str, type[Codec]] = {
    kind.name: kind
    for kind in (Raw, OneBit, TwoBit, Int4, Int8, Float8, LowRank, LowRankInt4, TopOne)
}

#: A prefix of a codec's name says what it is applied to, and so what there is to set.
PREFIXES: dict[str, Mapping[str, int | float]] = {
    "residual2-": {"decay": 0.5, "warmup_steps": 2},
    "residual-": {"error_feedback": 1, "warmup_steps": 1},
    "": {"warmup_steps": 1},
}
_ORDERS = {"": 0, "residual-": 1, "residual2-": 2}

#: One rank's keys in a layer of FLUX.1-dev on 4 ranks: 4096 image and 256 text tokens.
FLUX_CHUNK = (1088, 3072)


def codec(text: str) -> Residual:
    """The codec that `text` describes: a name, then ":parameter=value" for any that differ.

    "1bit" codes activations, "residual-1bit" their change from step to step, "residual2-1bit" the
    change of that. Raises InputError for an unknown name or parameter, for one that comes twice and
    for a value that will not do.
    """
    name, *texts = text.split(":")
    prefix, kind = _split(name)
    known = {**parameters(kind), **PREFIXES[prefix]}
    values = dict(known)
    for parameter, value in settings(name, texts, known).items():
        values[parameter] = _number(f"{name}: {parameter}", value, known[parameter])
    made = kind(**{key: values.pop(key) for key in parameters(kind)})
    order = _ORDERS[prefix]
    feedback = _flag(f"{name}: error_feedback", values.pop("error_feedback", order == 2))
    return Residual(made, order, feedback, **values)  # type: ignore[arg-type] # see _number


def spec(chosen: Residual) -> str:
    """The text that describes a codec, with every parameter it has."""
    prefix = next(prefix for prefix, order in _ORDERS.items() if order == chosen.order)
    inner = [f"{key}={getattr(chosen.codec, key)}" for key in parameters(type(chosen.codec))]
    outer = [f"{key}={_plain(getattr(chosen, key))}" for key in PREFIXES[prefix]]
    return ":".join([prefix + chosen.codec.name, *inner, *outer])


def names() -> list[str]:
    """Everything that `codec` takes, without parameters."""
    return [prefix + name for prefix in _ORDERS for name in CODECS]


def parameters(kind: type[Codec]) -> dict[str, int]:
    """A codec's own parameters and their defaults."""
    return {field.name: getattr(kind, field.name) for field in fields(kind)}  # type: ignore[arg-type]


def paper(kind: type[Codec]) -> str:
    """Where a codec comes from: the first line of its docstring."""
    return (kind.__doc__ or "").splitlines()[0]


def ratio(kind: type[Codec]) -> float:
    """How many times smaller a codec with its defaults makes FLUX.1-dev's keys in 16 bits."""
    whole = Raw().nbytes(FLUX_CHUNK, torch.float16)
    return whole / kind().nbytes(FLUX_CHUNK, torch.float16)


def _split(name: str) -> tuple[str, type[Codec]]:
    """The prefix, and the codec after it."""
    for prefix in PREFIXES:  # the empty one last
        if name.startswith(prefix) and name.removeprefix(prefix) in CODECS:
            return prefix, CODECS[name.removeprefix(prefix)]
    raise unknown("codec", name, names())


def _plain(value: float) -> float:
    """0 or 1 for a truth value."""
    return int(value) if isinstance(value, bool) else value


def _number(what: str, text: str, default: float) -> float:
    """An integer where the default is one."""
    kind = type(default)
    try:
        return kind(text)
    except ValueError:
        wanted = "an integer" if kind is int else "a number"
        raise InputError(f"{what} is {text!r}, expected {wanted}") from None


def _flag(what: str, value: float) -> bool:
    if value not in (0, 1):
        raise InputError(f"{what} is {value}, expected 0 or 1")
    return bool(value)
