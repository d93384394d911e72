"""The processes of a run at some site: started together, listened to, and never left behind."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from simnet.lab.site import Site
from traces.errors import RunError

#: The key under which a rank reports why it fails.
ERROR = "error"
# When one rank fails the others soon do; so long is waited for each, to see which was first.
_GRACE_S = 0.5
_END_S = 5.0
#: In the place of a report, where a rank makes no more of them.
ENDED = object()


class Member(NamedTuple):
    """A rank's process, and the file that its stderr goes to."""

    rank: int
    process: subprocess.Popen[str]
    said: IO[str]


class Team:
    """One process for each rank of a site, running the same command while the block lasts.

    A process reports in lines of JSON on its stdout, and may be told what to do in lines of JSON on
    its stdin. That ends when this process does, which it should take as the end of its own work.
    """

    def __init__(self, site: Site, words: Sequence[str]) -> None:
        self.site = site
        self.words = words
        self.members: list[Member] = []
        self._reports: SimpleQueue[tuple[Member, Any]] = SimpleQueue()

    def __enter__(self) -> Self:
        try:
            for rank in range(self.site.ranks):
                self._start(rank)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def reports(self) -> Iterator[Any]:
        """What the ranks report, until all have ended well; raises RunError where one fails."""
        working = len(self.members)
        while working:
            member, report = self._reports.get()
            if report is ENDED:
                working -= 1
                self._check_end(member)
            else:
                self._check_error(member, report)
                yield report

    def ask(self, order: Any, longest_s: float) -> list[Any]:
        """Tell all ranks the same, and give what each reports, by rank.

        Raises RunError where one fails, ends, or takes longer than that.
        """
        for member in self.members:
            assert member.process.stdin is not None
            with suppress(BrokenPipeError):  # what it died of is among the reports
                member.process.stdin.write(json.dumps(order) + "\n")
                member.process.stdin.flush()
        answers: dict[int, Any] = {}
        until_s = monotonic() + longest_s
        while len(answers) < len(self.members):
            member, report = self._next(until_s, longest_s)
            if report is ENDED:
                self._check_end(member)
                raise RunError(f"rank {member.rank} ended before it was done")
            self._check_error(member, report)
            answers[member.rank] = report
        return [answers[member.rank] for member in self.members]

    def stop(self) -> None:
        """Leave no process behind."""
        for member in self.members:
            member.process.terminate()
        for member in self.members:
            try:
                member.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()
            if member.process.stdin is not None:
                with suppress(BrokenPipeError):  # an order that it did not live to read
                    member.process.stdin.close()
            member.said.close()

    def _start(self, rank: int) -> None:
        said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in `stop`
        process = subprocess.Popen(
            self.site.command(rank, self.words),
            env=os.environ | {"OMP_NUM_THREADS": "1"} | self.site.variables(rank),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,  # Ctrl-C is this process's to handle
        )
        member = Member(rank, process, said)
        self.members.append(member)
        threading.Thread(target=self._listen, args=(member,), daemon=True).start()

    def _listen(self, member: Member) -> None:
        assert member.process.stdout is not None
        with member.process.stdout as lines:
            for line in lines:
                self._reports.put((member, json.loads(line)))
        self._reports.put((member, ENDED))

    def _next(self, until_s: float, longest_s: float) -> tuple[Member, Any]:
        try:
            return self._reports.get(timeout=max(0.0, until_s - monotonic()))
        except Empty:
            raise RunError(f"the ranks were not done after {longest_s:g} s") from None

    def _check_error(self, member: Member, report: Any) -> None:
        if isinstance(report, dict) and ERROR in report:
            self._check_deaths()
            raise RunError(f"rank {member.rank}: {report[ERROR]}")

    def _check_deaths(self) -> None:
        """Blame a rank that died rather than a peer that missed it."""
        for member in self.members:
            try:
                code = member.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                continue
            if code < 0:
                self._check_end(member)

    def _check_end(self, member: Member) -> None:
        code = member.process.wait()
        if not code:
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        member.said.seek(0)
        last = [line.strip() for line in member.said if line.strip()][-1:]
        raise RunError(f"rank {member.rank} {how}{''.join(f': {line}' for line in last)}")
