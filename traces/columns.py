"""The columns of a trace: one row per operation."""

from __future__ import annotations

#: Column name -> numpy dtype, in the order in which they are stored. One row per operation.
#: (rank, seq) identifies a row; two traces of the same run share these keys.
COLUMNS: dict[str, str] = {
    "rank": "int32",
    "seq": "int32",  # position in the rank's own program order, from 0
    "stream": "str",  # "compute", or the communicator's name for a transfer
    "kind": "str",  # one of KINDS
    "name": "str",  # the callable, or what is transferred
    "step": "int32",  # denoising step; -1 before the first
    "layer": "int32",  # -1 outside the blocks
    "start_s": "float64",  # transfers: when this rank asked for it
    "end_s": "float64",  # transfers: when this rank's part was complete; NaN if never seen to end
    "cost_s": "float64",  # compute: time on the device by itself; NaN for everything else
    "host_s": "float64",  # time the rank spent between operations, before this one
    "bytes": "int64",  # payload this rank contributes
    "wire_bytes": "int64",  # of it and of others' forwarded, what this rank puts on the wire
    "group": "str",  # ranks of the communicator, "0,1,2,3"; empty for compute and wait
    "dst": "int32",  # send, shift: the rank sent to; reduce, gather: the root; else -1
    "src": "int32",  # recv, shift: the rank received from; broadcast, scatter: the root; else -1
    "waits_for": "int32",  # wait: the seq of the transfer; else -1
    "shape": "str",  # compute: argument shapes; transfers: the payload's, "2x64x128:float32"
    "parts": "str",  # all_to_all of unequal parts: bytes for each of the group, "0,96,32"; else ""
}

#: Columns that traces have had only since this schema; in older ones they are empty.
SINCE: dict[str, int] = {"parts": 2}

#: Collectives with a root, and the column that holds it: where the value comes from, or goes to.
ROOTS: dict[str, str] = {"broadcast": "src", "scatter": "src", "reduce": "dst", "gather": "dst"}

#: Between two ranks, and among all of a group.
MESSAGES = ("send", "recv", "shift")
COLLECTIVES = ("all_gather", "all_reduce", "all_to_all", "reduce_scatter", *ROOTS, "barrier")

KINDS = ("compute", "wait", *MESSAGES, *COLLECTIVES)
