"""What binds a model's kernels on a device, arithmetic or memory: a roofline with them below it.

Williams, Waterman & Patterson 2009, "Roofline: An Insightful Visual Performance Model".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from figures import panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simnet.costs import Call
    from simnet.counting import Kernel
    from simnet.devices import Device
    from simnet.job import Job
    from traces.trace import Trace

#: A row for each kernel that differs from others in what it computes and moves. `count` is how
#: often rank 0 launches it in the steps counted; `rate_flops` is flop / time_s; `bound` says what
#: takes longest: arithmetic, memory or launch. The roof is the same in all rows.
COLUMNS = (
    "subject", "evidence", "device", "kernel", "flop", "bytes", "count", "time_s", "rate_flops",
    "bound", "roof_flops", "roof_bytes_per_s",
)  # fmt: skip

_STEPS = 2  # of which the second is after what schedules do differently at first
_DEVICE = "rtx-4090"
_KINDS = 6  # of kernels that the key tells apart
_NAMES = {
    "_scaled_dot_product_flash_attention_for_cpu": "attention",
    "_scaled_dot_product_flash_attention": "attention",
    "mm": "product", "addmm": "product and sum", "bmm": "products of a batch",
    "baddbmm": "products of a batch",
}  # fmt: skip


def table(trace: Trace) -> pd.DataFrame:
    """The kernels of the trace's run on the device of its prediction; else on an RTX 4090.

    Counted, not measured, for rank 0. Raises InputError for a model or schedule that is no preset.
    """
    from simnet.devices import DEVICES, device
    from simnet.job import Job
    from simnet.schedules.named import schedule

    run = trace.run
    named = run.device.partition(" ")[0]
    on = device(named if named in DEVICES else _DEVICE)
    dtype = run.dtype if named in DEVICES else "bfloat16"
    steps = min(run.steps, _STEPS)
    job = Job(run.model, run.ranks, steps, dtype, device="meta", images=run.images)
    rows = pd.DataFrame([_row(kernel, n, on, job) for kernel, n in _kernels(run.schedule, job)])
    subject = f"{run.model}, {panels.shortened(schedule(run.schedule).name, 40)}, rank 0"
    subject += f", on {on.name} in {dtype}"
    return panels.described(rows, subject, "predicted")[list(COLUMNS)]


def _kernels(schedule: str, job: Job) -> list[tuple[Kernel, int]]:
    """What rank 0 launches, and how often, in order of appearance."""
    from simnet.drivers.simulated import simulate
    from simnet.network.presets import NETWORKS
    from simnet.schedules.named import schedule as named

    seen = _Noted()
    trace = simulate(named(schedule), job, seen, NETWORKS["infinite"])
    rows = trace.ops[(trace.ops["kind"] == "compute") & (trace.ops["rank"] == 0)]
    counts: Counter[Kernel] = Counter()
    for (name, shape), some in rows.groupby(["name", "shape"], sort=False):
        for kernel in seen.calls[str(name), str(shape)].kernels:
            counts[kernel] += len(some)
    return list(counts.items())


class _Noted:
    """A cost model that takes note of the calls, which take no time."""

    name = "noted"
    transfer_share = 0.0

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], Call] = {}

    def seconds(self, call: Call) -> float:
        self.calls[call.name, call.shape] = call
        return 0.0


def _row(kernel: Kernel, count: int, on: Device, job: Job) -> dict[str, Any]:
    roof_flops = on.flops_fp32 if job.dtype == "float32" else on.flops
    parts = {
        "arithmetic": kernel.flop / roof_flops,
        "memory": kernel.bytes / on.memory_bytes_per_s,
        "launch": on.launch_s,
    }
    time_s = max(parts["arithmetic"], parts["memory"]) + on.launch_s
    return {
        "device": on.name,
        "kernel": _NAMES.get(kernel.name, kernel.name),
        "flop": kernel.flop,
        "bytes": kernel.bytes,
        "count": count,
        "time_s": time_s,
        "rate_flops": kernel.flop / time_s if time_s else np.nan,
        "bound": max(parts, key=lambda name: parts[name]),
        "roof_flops": roof_flops,
        "roof_bytes_per_s": on.memory_bytes_per_s,
    }


def draw(table: pd.DataFrame) -> Figure:
    """Kernels with matrix products as points under the roof, as large as their share of the time.

    What has no products has no place on the axis; the title says how much time it takes. Raises
    InputError for a table of something else, and where no kernel has products.
    """
    panels.check(table, COLUMNS, "roofline")
    spent_s = table["time_s"] * table["count"]
    at = table.assign(share=spent_s / spent_s.sum(), intensity=table["flop"] / table["bytes"])
    products = at[at["flop"] > 0].sort_values("share", ascending=False)
    if products.empty:
        raise InputError("roofline: no kernel has matrix products")
    kinds = products.groupby("kernel")["share"].sum().sort_values(ascending=False).index[:_KINDS]
    colours = style.colours([str(kind) for kind in kinds])
    with style.look():
        fig = style.figure(3.4)
        ax = fig.subplots()
        _roof(ax, table.iloc[0], products)
        ax.scatter(
            products["intensity"], products["rate_flops"], s=8 + 500 * products["share"],
            c=[colours.get(kind, style.GREY) for kind in products["kernel"]],
            alpha=0.75, edgecolor="white", linewidth=0.6, zorder=3,
        )  # fmt: skip
        rest = 1 - products["share"].sum()
        panels.head(
            ax, f"without products, and so not here: {rest:.0%} of the computing time", "predicted"
        )
        panels.headline(fig, table)
        _key(fig, colours, products)
    return fig


def _roof(ax: Axes, first: pd.Series[Any], products: pd.DataFrame) -> None:
    flops, bytes_per_s = float(first["roof_flops"]), float(first["roof_bytes_per_s"])
    ridge = flops / bytes_per_s
    low = min(ridge, products["intensity"].min()) / 3
    high = max(ridge, products["intensity"].max()) * 3
    x = np.array([low, ridge, high])
    ax.plot(x, np.minimum(flops, bytes_per_s * x), color="black", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(min(products["rate_flops"].min(), bytes_per_s * low) / 2, flops * 3)
    ax.axvline(ridge, color=style.GREY, linewidth=0.7, linestyle="--", zorder=0)
    ax.set_xlabel("arithmetic intensity, FLOP / byte")
    ax.set_ylabel("rate")
    ax.yaxis.set_major_formatter(EngFormatter(unit="FLOP/s"))
    rate = EngFormatter(sep=" ", places=0)
    note: dict[str, Any] = {
        "textcoords": "offset points", "fontsize": style.SMALL_PT, "color": style.GREY,
    }  # fmt: skip
    ax.annotate(
        f"{rate(flops)}FLOP/s", (high, flops), xytext=(-2, 3), ha="right", va="bottom", **note
    )
    ax.annotate(
        f"{rate(bytes_per_s)}B/s", (ridge, bytes_per_s * ridge), xytext=(-4, 3), ha="right",
        va="bottom", **note,
    )  # fmt: skip


def _key(fig: Figure, colours: dict[str, str], products: pd.DataFrame) -> None:
    shares = products.groupby("kernel")["share"].sum()
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", markersize=5, color=colour,
            label=f"{kind}: {shares[kind]:.0%} of the time",
        )
        for kind, colour in colours.items()
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))
