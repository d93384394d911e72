"""`thinwire list`: what there is to choose from."""

from __future__ import annotations

import math
from typing import Any, Literal

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table
from traces.units import format_rate, format_s

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def names(
    what: Literal["models", "schedules", "networks", "devices"], *, json: Json = False
) -> None:
    """List what can be chosen by name.

    ```
    thinwire list networks
    ```

    Parameters
    ----------
    what
        models, schedules, networks or devices.
    json
        Print the list as JSON.
    """
    columns, rows = _TABLES[what]()
    if json:
        print_json([dict(zip(columns, map(_plain, row), strict=True)) for row in rows])
    else:
        print_table(what, columns, rows)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _models() -> Table:
    from simnet.models.presets import PRESETS

    rows = [(p.name, p.layers, p.hidden, p.heads, p.tokens, p.source) for p in PRESETS.values()]
    return ("name", "layers", "hidden", "heads", "tokens", "source"), rows


def _schedules() -> Table:
    from simnet.schedules.named import SCHEDULES, parameters

    rows = [
        (name, ", ".join(f"{p}={v}" for p, v in parameters(kind).items()), _first_line(kind))
        for name, kind in SCHEDULES.items()
    ]
    return ("name", "parameters", "paper"), rows


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _networks() -> Table:
    from simnet.network.presets import NETWORKS

    rows = [
        (name, format_rate(links.rate_bps), format_s(links.latency_s))
        for name, links in NETWORKS.items()
    ]
    return ("name", "rate each way", "latency"), rows


def _devices() -> Table:
    from simnet.devices import DEVICES

    rows = [
        (d.name, f"{d.flops / 1e12:.3g}", f"{d.flops_fp32 / 1e12:.3g}", d.source)
        for d in DEVICES.values()
    ]
    return ("name", "16-bit TFLOP/s", "32-bit TFLOP/s", "source of the first"), rows


_TABLES = {
    "models": _models,
    "schedules": _schedules,
    "networks": _networks,
    "devices": _devices,
}
