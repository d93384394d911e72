"""`thinwire list`: what there is to choose from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table
from simnet.commands.plain import plain
from traces.units import format_rate, format_s

Record = Mapping[str, Any]


class Column(NamedTuple):
    """Of a table: its title, the key of its value in a record, and how the value is written."""

    title: str
    key: str
    text: Callable[[Any], str] = str


def names(
    what: Literal["models", "schedules", "codecs", "networks", "devices", "profiles"],
    *,
    json: Json = False,
) -> None:
    """List what can be chosen by name.

    ```
    thinwire list networks
    ```

    Parameters
    ----------
    what
        models, schedules, codecs, networks, devices or profiles, the recorded costs of calls.
    json
        Print the list as JSON: plain numbers, with their unit at the end of the key.
    """
    listed, columns = _LISTS[what]
    records = list(listed())
    if json:
        print_json(plain(records))
        return
    rows = [[column.text(record[column.key]) for column in columns] for record in records]
    print_table(what, [column.title for column in columns], rows)
    if what == "codecs":
        print(_prefixes())


def _models() -> Iterator[Record]:
    from simnet.models.presets import PRESETS

    keys = ("name", "layers", "hidden", "heads", "tokens", "text_tokens", "forwards", "source")
    return ({key: getattr(preset, key) for key in keys} for preset in PRESETS.values())


def _schedules() -> Iterator[Record]:
    from simnet.schedules.named import OUTER, SCHEDULES, parameters

    for name, kind in SCHEDULES.items():
        paper = (kind.__doc__ or "").splitlines()[0]
        codec = "as inside" if name in OUTER else getattr(kind, "codecs", "any")
        if hasattr(kind, "no_codec"):
            codec = f"none: {kind.no_codec}"
        known = parameters(kind).items()
        values = {key: value if isinstance(value, int) else str(value) for key, value in known}
        yield {"name": name, "parameters": values, "codec": codec, "paper": paper}


def _codecs() -> Iterator[Record]:
    """As they are, and what there is to set with each prefix that a name may have."""
    from simnet.codecs.named import CODECS, PREFIXES, paper, parameters, ratio

    for name, kind in CODECS.items():
        yield {
            "name": name,
            "parameters": parameters(kind),
            "ratio": ratio(kind),
            "paper": paper(kind),
            "prefixes": dict(PREFIXES),
        }


def _prefixes() -> str:
    """What may stand before a codec's name, for people."""
    from simnet.codecs.named import PREFIXES

    coded = {"": "activations", "residual-": "their change from step to step"}
    coded["residual2-"] = "the change of that"
    lines = [
        f"  {prefix + 'NAME':15} codes {what}: {_settings(PREFIXES[prefix])}"
        for prefix, what in coded.items()
    ]
    return "\n".join(["A prefix says what is coded, and so what else there is to set:", *lines])


def _networks() -> Iterator[Record]:
    from simnet.network.kinds import kind
    from simnet.network.presets import NETWORKS

    for name, network in NETWORKS.items():
        path = network.path(0, 1)
        yield {
            "name": name,
            "rate_bps": path._replace(cap_bps=math.inf).alone_bps,
            "latency_s": path.latency_s,
            "kind": kind(network),
        }


def _devices() -> Iterator[Record]:
    from dataclasses import asdict

    from simnet.devices import DEVICES

    return map(asdict, DEVICES.values())


def _profiles() -> Iterator[Record]:
    from simnet import profiles

    for name, path in profiles.recorded().items():
        profile = profiles.read(path)
        yield {
            "name": name,
            "device": profile.device,
            "calls": len(profile.costs),
            "command": profile.made.get("command", ""),
            "torch": profile.made.get("torch", ""),
        }


def _settings(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _tera(flops: float) -> str:
    tera = flops / 1e12
    return f"{tera:.0f}" if tera >= 1000 else f"{tera:.3g}"


def _tera_range(values: tuple[float, float] | None) -> str:
    return " to ".join(map(_tera, values)) if values else "-"


_LISTS: dict[str, tuple[Callable[[], Iterator[Record]], tuple[Column, ...]]] = {
    "models": (
        _models,
        (
            Column("name", "name"),
            Column("layers", "layers"),
            Column("hidden", "hidden"),
            Column("heads", "heads"),
            Column("tokens", "tokens"),
            Column("source", "source"),
        ),
    ),
    "schedules": (
        _schedules,
        (
            Column("name", "name"),
            Column("parameters", "parameters", _settings),
            Column("codec", "codec"),
            Column("paper", "paper"),
        ),
    ),
    "codecs": (
        _codecs,
        (
            Column("name", "name"),
            Column("parameters", "parameters", _settings),
            Column("ratio", "ratio", "{:.2f}".format),
            Column("paper", "paper"),
        ),
    ),
    "networks": (
        _networks,
        (
            Column("name", "name"),
            Column("rate", "rate_bps", format_rate),
            Column("latency", "latency_s", format_s),
            Column("of", "kind"),
        ),
    ),
    "devices": (
        _devices,
        (
            Column("name", "name"),
            Column("16-bit TFLOP/s", "flops", _tera),
            Column("range", "flops_range", _tera_range),
            Column("32-bit", "flops_fp32", _tera),
            Column("memory TB/s", "memory_range", _tera_range),
            Column("source of the first", "source"),
        ),
    ),
    "profiles": (
        _profiles,
        (
            Column("name", "name"),
            Column("device", "device"),
            Column("calls", "calls"),
            Column("torch", "torch"),
            Column("made by", "command"),
        ),
    ),
}
