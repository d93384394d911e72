"""The bytes for each member of an all-to-all, as text: "4096,0,8192,4096"."""

from __future__ import annotations


def parse_parts(text: str, group: str, nbytes: int) -> tuple[int, ...] | None:
    """The numbers, in the order of the group's ranks ("0,1,2,3").

    None unless there is one from 0 up for each rank, and together they are `nbytes`.
    """
    try:
        parts = tuple(map(int, text.split(",")))
    except ValueError:
        return None
    canonical = ",".join(map(str, parts)) == text
    fits = len(parts) == group.count(",") + 1 and min(parts) >= 0 and sum(parts) == nbytes
    return parts if canonical and fits else None
