"""Two traces of one program row for row: what was measured against what was predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

KEY = ["rank", "seq"]
#: What the rows of one program have in common whatever it ran on.
SAME = ("kind", "name", "step", "layer", "shape")


def join(left: Trace, right: Trace) -> pd.DataFrame:
    """A row per operation: rank, seq, then every column of each with "_left" or "_right".

    `duration_s_left` and `duration_s_right` are end - start in seconds, `difference_s` is right
    minus left. Raises TraceError naming the first row in which the programs differ.
    """
    tables = [t.ops.assign(duration_s=t.ops["end_s"] - t.ops["start_s"]) for t in (left, right)]
    joined = tables[0].merge(
        tables[1], "outer", on=KEY, suffixes=("_left", "_right"), indicator=True, validate="1:1"
    )
    _same_program(joined)
    difference_s = joined["duration_s_right"] - joined["duration_s_left"]
    return joined.drop(columns="_merge").assign(difference_s=difference_s)


def _same_program(joined: pd.DataFrame) -> None:
    bad = joined["_merge"] != "both"
    for name in SAME:
        bad |= joined[f"{name}_left"] != joined[f"{name}_right"]
    if not bad.any():
        return
    row = joined[bad].head(1).to_dict("records")[0]
    where = f"the traces are of different programs: rank {row['rank']}, row {row['seq']}"
    if row["_merge"] != "both":
        side = "left" if row["_merge"] == "left_only" else "right"
        raise TraceError(f"{where} is only in the {side} one ({row[f'name_{side}']})")
    name = next(name for name in SAME if row[f"{name}_left"] != row[f"{name}_right"])
    raise TraceError(f"{where}: {name} is {row[f'{name}_left']!r} and {row[f'{name}_right']!r}")
