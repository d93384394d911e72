"""Which rank each of several files is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from traces.errors import InputError, TraceError
from traces.imports.groups import MOST_RANKS


def in_order(files: Sequence[Path], said: Mapping[Path, int | None]) -> dict[int, Path]:
    """By rank: as the files say, or as they are given where none says anything.

    Raises TraceError where two say the same, or only some say anything.
    """
    if all(rank is None for rank in said.values()):
        return dict(enumerate(files))
    ranks: dict[int, Path] = {}
    for path in files:
        rank = said[path]
        if rank is None:
            raise TraceError(
                f"{path}: does not say which rank it is of, unlike others; give --in-order to "
                "count ranks in the order of the files"
            )
        if not 0 <= rank < MOST_RANKS:
            raise TraceError(f"{path}: says that it is of rank {rank}")
        if rank in ranks:
            raise TraceError(
                f"{path}: says that it is of rank {rank}, and so does {ranks[rank]}; give one file "
                "a rank, or --in-order to count ranks in the order of the files"
            )
        ranks[rank] = path
    return dict(sorted(ranks.items()))


def distinct(files: Sequence[Path]) -> list[Path]:
    """Raises InputError where none is given, or one twice."""
    if not files:
        raise InputError("which files? give one of each rank")
    for i, path in enumerate(files):
        if path in files[:i]:
            raise InputError(f"{path}: is given twice; one file is one rank")
    return list(files)
