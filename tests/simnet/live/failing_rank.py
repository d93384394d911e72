"""A team of two, of which rank 1 fails as it is told, while rank 0 would go on for ever."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from simnet.lab.site import ThisHost
from simnet.lab.team import ERROR, Team
from traces.errors import RunError


def be_rank(how: str) -> None:
    """Rank 0 waits for its end."""
    if os.environ["RANK"] == "0":
        time.sleep(60)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        print("last words", file=sys.stderr)
        sys.exit(7)
    print(json.dumps({ERROR: "ValueError: out of luck"}), flush=True)
    time.sleep(60)


def be_team(how: str) -> None:
    """Say what went wrong, and how many processes are still there."""
    with Team(ThisHost(2), [sys.executable, __file__, "--rank", how]) as team:
        try:
            list(team.reports())
        except RunError as error:
            print(error)
    print(sum(member.process.poll() is None for member in team.members), "left")


if __name__ == "__main__":
    if sys.argv[1] == "--rank":
        be_rank(sys.argv[2])
    else:
        be_team(sys.argv[1])
