"""What can go wrong, said to the user: every error Thinwire raises on purpose is one of these."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ThinwireError(Exception):
    """The user can mend this. Its message says where, what was expected, and what to do."""


class InputError(ThinwireError):
    """A value, name or file that was given is not usable."""


class TraceError(InputError):
    """A trace on disk is missing, foreign, damaged or incomplete."""


class ScheduleError(ThinwireError):
    """The ranks' operations do not fit together: a deadlock, a missing rank, shapes that differ."""


class RunError(ThinwireError):
    """A live run failed: a rank died, or a peer was lost."""


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name not in a table, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return InputError(f"unknown {what} {name!r}: {hint}there are {', '.join(names)}")
