"""Recordings of programs that are not ours: which they are, and what follows from their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.columns import COLLECTIVES

if TYPE_CHECKING:
    import pandas as pd

    from traces.run import Run

#: Drivers that run our schedules, and so leave rows that are whole and agree on all ranks.
OURS = ("distributed", "local", "simulated")


def is_foreign(run: Run) -> bool:
    """Whether names may differ from rank to rank, shapes may be missing, and ends as well.

    A replay of somebody's program is no better than the recording, so it counts as one too.
    """
    return run.driver not in OURS


def seen_to_end(ops: pd.DataFrame) -> pd.DataFrame:
    """The rows of a trace, with transfers over when the first wait for them was.

    Who records a program from outside may see the end of a transfer late or never; but a rank
    that has waited for it goes on. (Where it was seen to end earlier, it did.)
    """
    import numpy as np
    import pandas as pd

    waits = ops[ops["kind"] == "wait"]
    first_s = waits.groupby(["rank", "waits_for"])["end_s"].min()
    keys = pd.MultiIndex.from_frame(ops[["rank", "seq"]])
    ends_s = np.fmin(ops["end_s"], first_s.reindex(keys).to_numpy())
    return ops.assign(end_s=np.maximum(ends_s, ops["start_s"]))


def with_parts(ops: pd.DataFrame) -> pd.DataFrame:
    """The rows of a trace, with `parts` at all members of an all-to-all whose parts differ.

    A member whose own value splits evenly may be recorded without; and where members bring
    different numbers of bytes, parts differ too.
    """
    ordinals = ops[ops["kind"].isin(COLLECTIVES)].groupby(["stream", "group", "rank"]).cumcount()
    rows = ops[ops["kind"] == "all_to_all"]
    keys = [rows["stream"], rows["group"], ordinals.loc[rows.index]]
    uneven = (rows["parts"] != "").groupby(keys).transform("any")
    uneven |= rows["bytes"].groupby(keys).transform("nunique") > 1
    lacking = rows[uneven & (rows["parts"] == "")]
    if lacking.empty:
        return ops
    cells = zip(lacking["bytes"], lacking["group"], strict=True)
    parts = ops["parts"].copy()
    parts[lacking.index] = [_equal(nbytes, group.count(",") + 1) for nbytes, group in cells]
    return ops.assign(parts=parts)


def _equal(nbytes: int, members: int) -> str:
    """Parts as equal as can be."""
    least, more = divmod(nbytes, members)
    return ",".join(str(least + (place < more)) for place in range(members))
