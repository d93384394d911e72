"""Which ranks share a communicator, as a recorded file tells it."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from traces.errors import TraceError
from traces.imports.text import plain

#: More than any run has had; beyond it, a file is damaged or hostile.
MOST_RANKS = 65536


class Group(NamedTuple):
    """A communicator; `members` are global ranks in the communicator's own order."""

    name: str
    members: tuple[int, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """In rising order."""
        return _rising(self.members)

    @property
    def text(self) -> str:
        """As in the column `group`."""
        return _text(self.members)


@lru_cache(maxsize=1024)
def _rising(members: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(members))


@lru_cache(maxsize=1024)
def _text(members: tuple[int, ...]) -> str:
    """One text for all rows of a group, which may be long."""
    return ",".join(map(str, sorted(members)))


def world(ranks: int) -> Group:
    """All ranks."""
    return Group("world", tuple(range(ranks)))


def members_of(value: object, ranks: int, where: str) -> tuple[int, ...]:
    """Global ranks in a list, which if empty means all. Raises TraceError for others than those."""
    if not isinstance(value, list):
        raise TraceError(f"{where}: expected a list of ranks, found {reprlib.repr(value)}")
    if not value:
        return tuple(range(ranks))
    good = all(type(rank) is int and 0 <= rank < ranks for rank in value)
    if not good or len(set(value)) < len(value):
        raise TraceError(
            f"{where}: the ranks are {reprlib.repr(value)}; expected different ones from 0 to "
            f"{ranks - 1}"
        )
    return tuple(value)


def named(described: Iterable[Mapping[str, Any]], ranks: int, where: str) -> dict[str, Group]:
    """By torch's own name of each, the groups in its `pg_config`, or in an execution trace's.

    A group is called by its description where that tells it from others, as "default_pg".
    Raises TraceError for ranks that there are not.
    """
    groups: dict[str, Group] = {}
    for entry in described:
        if not isinstance(entry, dict) or "pg_name" not in entry:
            raise TraceError(f"{where}: expected process groups with a pg_name")
        key, text = str(entry["pg_name"]), str(entry.get("pg_desc", "undefined"))
        members = members_of(entry.get("ranks", []), ranks, f"{where}: process group {key!r}")
        size = entry.get("pg_size", entry.get("group_size", len(members)))
        if size != len(members):
            raise TraceError(
                f"{where}: process group {key!r} has {size!r} ranks, of which the file names "
                f"{len(members)}; who is in it cannot be told"
            )
        name = f"group {key}" if text in {"undefined", "", "compute"} else text
        groups[key] = Group(plain(name), members)
    return {key: _distinct(key, group, groups.values()) for key, group in groups.items()}


def _distinct(key: str, group: Group, others: Iterable[Group]) -> Group:
    alone = sum(other.name == group.name for other in others) == 1
    return group if alone else group._replace(name=plain(f"{group.name} {key}", 250))


def world_of(described: Iterable[object]) -> int:
    """How many ranks there are, as the groups that are of all of them say; 1 if none does."""
    sizes = [
        entry.get("pg_size", entry.get("group_size"))
        for entry in described
        if isinstance(entry, dict) and not entry.get("ranks")
    ]
    return max([1, *(size for size in sizes if type(size) is int and size <= MOST_RANKS)])


def candidates(groups: Iterable[Group], rank: int, size: int | None) -> Sequence[Group]:
    """Those that the rank is in and, where that is known, have so many members."""
    mine = [group for group in groups if rank in group.members]
    return [group for group in mine if size in (None, len(group.members))] or mine
