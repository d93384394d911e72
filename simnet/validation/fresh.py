"""Random scenarios that nobody has seen before: links in a mesh, a star, or either side of a trunk.

The sizes are those of simgrid_flows.json: 2 to 64 flows, 1 to 20 links, routes of 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simnet.validation.scenario import Flow, Scenario
from traces.units import bits

Route = tuple[str, ...]
Drawn = npt.NDArray[np.float64]


def fresh(count: int, seed: int) -> list[Scenario]:
    """So many scenarios, one kind after another; the first ones are the same for any count."""
    return [KINDS[n % len(KINDS)](np.random.default_rng([seed, n])) for n in range(count)]


def mesh(rng: np.random.Generator) -> Scenario:
    """Each flow crosses any of the links, each once."""
    links = [f"link {n}" for n in range(rng.integers(1, 21))]
    longest = min(5, len(links))
    routes = [
        tuple(rng.choice(links, size=rng.integers(1, longest + 1), replace=False).tolist())
        for _ in range(_count(rng))
    ]
    return _scenario(rng, links, routes)


def star(rng: np.random.Generator) -> Scenario:
    """Each flow leaves one host of a switch and enters another."""
    hosts = int(rng.integers(2, 11))
    pairs = [rng.choice(hosts, size=2, replace=False) for _ in range(_count(rng))]
    links = [f"{host} {way}" for host in range(hosts) for way in ("out", "in")]
    return _scenario(rng, links, [(f"{src} out", f"{dst} in") for src, dst in pairs])


def trunk(rng: np.random.Generator) -> Scenario:
    """Each flow crosses from a host on the left to one on the right, over what joins the sides."""
    left, right = rng.integers(1, 9, size=2)
    middle = ("left out", "trunk", "right in")[: rng.integers(1, 4)]
    links = [*(f"left {n}" for n in range(left)), *middle, *(f"right {n}" for n in range(right))]
    routes = [
        (f"left {rng.integers(left)}", *middle, f"right {rng.integers(right)}")
        for _ in range(_count(rng))
    ]
    return _scenario(rng, links, routes)


KINDS = (mesh, star, trunk)


def _count(rng: np.random.Generator) -> int:
    return int(rng.integers(2, 65))


def _scenario(rng: np.random.Generator, links: Sequence[str], routes: Sequence[Route]) -> Scenario:
    """Half of the scenarios have rates that are all equal, and half sizes: ties happen."""
    rates = _alike_or_not(rng, 10 ** rng.uniform(6, 9, len(links)))  # bytes per second
    sizes = _alike_or_not(rng, 10 ** rng.uniform(4, 7, len(routes)))
    late = rng.random(len(routes)) < 0.7
    starts_s = np.where(late, rng.uniform(0, 0.1, len(routes)), 0)
    flows = map(Flow, starts_s.tolist(), sizes.round().tolist(), routes)
    rates_bps = map(bits, rates.tolist())
    return Scenario(dict(zip(links, rates_bps, strict=True)), tuple(flows))


def _alike_or_not(rng: np.random.Generator, drawn: Drawn) -> Drawn:
    return np.full_like(drawn, drawn[0]) if rng.random() < 0.5 else drawn
