"""What codecs lose on captured activations: in one shot, and step after step as they are sent.

Beside the replay stands what the closed form of `analysis.codec_error` makes of the one shots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor as Values

from analysis import codec_error
from analysis.gaps import Gaps
from analysis.results import described, ratio
from analysis.sentences import sentence
from analysis.spectra import ORDERS
from analysis.tensors import BLOCK_BYTES, Array, Tensor, changes, tensor
from simnet.codecs.base import DTYPES, Codec
from simnet.codecs.named import CODECS, codec
from simnet.codecs.recursion import State
from simnet.codecs.residual import Residual
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

Energies = NDArray[np.float64]

#: All there are but raw; of those with a parameter for their rate, several.
DEFAULT = (
    *(name for name in CODECS if name not in ("raw", "lowrank", "lowrank-int4", "sparse")),
    *(f"lowrank:rank={rank}" for rank in (4, 8, 16, 32)),
    *(f"lowrank-int4:rank={rank}" for rank in (8, 16, 32)),
    *(f"sparse:m={m}" for m in (4, 8, 16)),
)

SECOND = "second order"
#: How a codec is applied over the steps; the first three have a closed form.
WAYS = (*codec_error.WAYS, SECOND)
_CPU = torch.device("cpu")


def codec_replay(
    trace: Trace,
    name: str,
    *,
    codecs: Sequence[str] = DEFAULT,
    device: torch.device = _CPU,
) -> xr.Dataset:
    """Send what was kept of a tensor with each codec, every rank its own, and see what arrives.

    `codecs` are those of `simnet.codecs.named` without prefix, such as "1bit" or "lowrank:rank=8".
    The type is the run's, and the first step is sent raw (of second order the first two).

    Errors are energies over that of x_t (NMSE), summed over ranks. Of dims (codec, way, layer,
    step): `nmse` of what receivers hold. (codec, order, layer, step): `one_shot_nmse`, of what is
    lost of x_t, its residual and the residual's residual over its own energy. (codec, way, layer,
    step): `predicted_nmse`: naive d(x); without feedback the sum of d |residual|^2 so far; with
    feedback e' = d (|residual|^2 + e), d being the one shot's; NaN for second order, which has no
    such form. (codec, way): `pooled_nmse` and `pooled_predicted_nmse`, of all layers and coded
    steps together, and `bits_per_element`, warm-up included; (codec): `coded_bits_per_element`
    without. Attribute "rows" and "channels" are of one rank's matrix.

    Reads a rank's layer once, or where it is larger than BLOCK_BYTES for each codec anew, step by
    step. NaN where a step is missing or not finite, and from there on, for a loop goes on from the
    step before: attribute "gaps". Raises InputError for an unknown name or codec.
    """
    what, gaps, dtype = tensor(trace, name), Gaps(trace.problems), _dtype(trace.run.dtype)
    codings = {text: _Coding(_plain(text), dtype, device) for text in dict.fromkeys(codecs)}
    layers = [_of_layer(what, layer, list(codings.values()), gaps) for layer in what.layers]
    found = [_Energies(*map(np.stack, zip(*of, strict=True))) for of in layers]
    own, once, lost = (np.stack(part, axis=2) for part in zip(*found, strict=True))
    predicted, energy = _predicted(own, once), own[:, :1]
    dims = ("codec", "way", "layer", "step")
    bits = [coding.bits(what.shape, what.steps) for coding in codings.values()]
    coords = {"codec": list(codings), "way": list(WAYS), "order": list(ORDERS)}
    result = xr.Dataset(
        {
            "nmse": (dims, ratio(lost, energy)),
            "predicted_nmse": (dims, ratio(predicted, energy)),
            "one_shot_nmse": (("codec", "order", *dims[2:]), ratio(once, own)),
            "pooled_nmse": (dims[:2], _pooled(lost, energy)),
            "pooled_predicted_nmse": (dims[:2], _pooled(predicted, energy)),
            "bits_per_element": (dims[:2], [of_ways for _, of_ways in bits]),
            "coded_bits_per_element": (dims[:1], [coded for coded, _ in bits]),
        },
        coords | {"layer": what.layers, "step": list(range(what.steps))},
    )
    return _labelled(result).assign_attrs(
        described(trace, what),
        **dict(zip(("rows", "channels"), what.shape, strict=True)),
        dtype=str(dtype).removeprefix("torch."),
        gaps=gaps.text,
        summary=_summary(result),
    )


def _summary(result: xr.Dataset) -> str:
    """Of the first codec."""
    told = result["pooled_nmse"][0].sel(way=list(codec_error.WAYS))
    parts = [sentence(f"{{:.2g}} {of.way.item()}", of) for of in told]
    known = ", ".join(filter(None, parts))
    return known and f"{told.codec.item()}: NMSE {known}"


def rate_distortion(replayed: xr.Dataset) -> pd.DataFrame:
    """What `codec_replay` found as points: a row for each codec and way.

    Columns codec, way, bits_per_element (warm-up included), coded_bits_per_element, pooled_nmse and
    pooled_predicted_nmse; in order of the bits.
    """
    columns = ["bits_per_element", "coded_bits_per_element", "pooled_nmse", "pooled_predicted_nmse"]
    return replayed[columns].to_dataframe().reset_index().sort_values(columns[:2], kind="stable")


def _labelled(result: xr.Dataset) -> xr.Dataset:
    for key in result.data_vars:
        result[key].attrs["units"] = "bit" if "bits" in str(key) else "1"
        result[key].attrs["evidence"] = "predicted" if "predicted" in str(key) else "measured"
    result["step"].attrs["units"] = "denoising steps"
    return result


class _Energies(NamedTuple):
    """Sums of squares of a rank's layer."""

    own: Energies  # (order, step), of x_t and its residuals
    once: Energies  # (order, step), of what is lost of them in one shot
    lost: Energies  # (way, step), of what receivers are off


@dataclass
class _Link:
    """One sender and one receiver."""

    residual: Residual
    sender: State = ()
    receiver: State = ()

    def send(self, step: int, x: Values) -> Values:
        """What the receiver has."""
        coder = self.residual.at(step)
        payload, self.sender = coder.encode(self.sender, x)
        held, self.receiver = coder.decode(self.receiver, payload, x)
        return held


@dataclass(frozen=True)
class _Coding:
    """A codec, and what its matrices are made of."""

    codec: Codec
    dtype: torch.dtype
    device: torch.device

    def matrix(self, x: Array) -> Values:
        """As it is sent."""
        return torch.from_numpy(x).to(self.device, self.dtype)

    def once(self, x: Values) -> Values:
        """What is left of a matrix. Raises InputError for one that the codec cannot send."""
        return _Link(Residual(self.codec, 0, error_feedback=False, warmup_steps=0)).send(0, x)

    def links(self) -> list[_Link]:
        """One for each of WAYS."""
        plain = Residual(self.codec, error_feedback=False)
        naive = Residual(self.codec, order=0, error_feedback=False)
        second = Residual(self.codec, order=2, warmup_steps=2)
        return [_Link(way) for way in (plain, naive, Residual(self.codec), second)]

    def bits(self, shape: tuple[int, int], steps: int) -> tuple[float, list[float]]:
        """For an element: of a coded step, and of all steps in each of WAYS."""
        numbers = shape[0] * shape[1]
        coded = 8 * self.codec.nbytes(shape, self.dtype) / numbers
        whole = [link.residual.wire_bytes(shape, self.dtype, steps) for link in self.links()]
        return coded, [8 * nbytes / numbers / steps for nbytes in whole]


def _of_layer(what: Tensor, layer: int, codings: Sequence[_Coding], gaps: Gaps) -> list[_Energies]:
    """For each codec, of all ranks that have the layer, added up."""
    ranks = [
        [_of_rank(part, coding, gaps) for coding in codings]
        for part in (_Part(what, layer, rank) for rank in what.holders(layer))
    ]
    if not ranks:
        gaps.add("not kept", layer, range(what.steps))
        return [_nothing(what.steps)] * len(codings)
    return [
        _Energies(*(np.sum(part, axis=0) for part in zip(*of, strict=True)))
        for of in zip(*ranks, strict=True)
    ]


@dataclass(frozen=True)
class _Part:
    """A rank's layer, which every codec goes over."""

    what: Tensor
    layer: int
    rank: int

    def matrices(self) -> Iterable[tuple[int, Array]]:
        """Read once where they are few, else for each codec."""
        rows, channels = self.what.shape
        whole_bytes = 4 * rows * channels * len(self.what.kept_steps)
        return self._read if whole_bytes <= BLOCK_BYTES else self._reading()

    @cached_property
    def _read(self) -> list[tuple[int, Array]]:
        return list(self._reading())

    def _reading(self) -> Iterator[tuple[int, Array]]:
        return self.what.matrices(self.layer, self.rank)


def _of_rank(part: _Part, coding: _Coding, gaps: Gaps) -> _Energies:
    """Up to the first step that is missing, from which no loop can go on."""
    layer, steps = part.layer, part.what.steps
    found, links, reached = _nothing(steps), coding.links(), 0
    for step, orders in changes(part.matrices()):
        if step != reached or not np.isfinite(orders[0]).all():
            break
        matrices = [coding.matrix(x) for x in orders]
        try:
            for order, x in enumerate(matrices):
                found.own[order, step] = _energy(x)
                found.once[order, step] = _energy(coding.once(x) - x)
            for way, link in enumerate(links):
                found.lost[way, step] = _energy(link.send(step, matrices[0]) - matrices[0])
        except InputError as error:
            gaps.add(f"{coding.codec}: {error}", layer, [step])
            break
        reached = step + 1
    rest = range(reached, steps)
    gaps.add(f"rank {part.rank}: not kept, not finite, or after such a step", layer, rest)
    return found


def _nothing(steps: int) -> _Energies:
    orders = (len(ORDERS), steps)
    return _Energies(*(np.full(shape, np.nan) for shape in (orders, orders, (len(WAYS), steps))))


def _energy(x: Values) -> float:
    return float(x.double().square().sum())


def _predicted(own: Energies, once: Energies) -> Energies:
    """Energies (codec, way, layer, step) by the closed form, from (codec, order, layer, step)."""
    told = np.full((len(own), len(WAYS), *own.shape[2:]), np.nan)
    of, lost = own[:, 1], once[:, 1]
    naive = once[:, 0].copy()
    naive[..., 0] = np.where(np.isfinite(naive[..., 0]), 0.0, np.nan)  # it is sent raw
    told[:, WAYS.index("naive")] = naive
    shares = np.nan_to_num(ratio(lost, of))
    open_loop, closed = (told[:, WAYS.index(f"{with_} feedback")] for with_ in ("without", "with"))
    open_loop[..., 0] = closed[..., 0] = naive[..., 0]
    for step in range(1, told.shape[-1]):
        open_loop[..., step] = open_loop[..., step - 1] + lost[..., step]
        closed[..., step] = lost[..., step] + shares[..., step] * closed[..., step - 1]
    return told


def _pooled(errors: Energies, energy: Energies) -> Energies:
    """Over all layers, and the steps from which on all ways code; where there is anything."""
    there = np.isfinite(errors) & np.isfinite(energy)
    there[..., :2] = False
    above, below = (np.where(there, part, 0.0).sum(axis=(2, 3)) for part in (errors, energy))
    return ratio(above, below)


def _plain(text: str) -> Codec:
    chosen = codec(text)
    if chosen.order:
        raise InputError(f"codec {text!r}: give it without residual-; all ways are replayed")
    return chosen.codec


def _dtype(name: str) -> torch.dtype:
    """The run's where codecs take it; else float32, as which activations are read."""
    named = getattr(torch, name, torch.float32)
    return named if named in DTYPES else torch.float32
