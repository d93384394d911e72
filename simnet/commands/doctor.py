"""`thinwire doctor`: what this machine can do."""

from __future__ import annotations

import sys
from dataclasses import asdict

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table
from simnet.doctor import checks


def doctor(*, json: Json = False) -> None:
    """Say what this machine can do, and what is in the way.

    ```
    thinwire doctor
    ```

    Parameters
    ----------
    json
        Print the findings as JSON.
    """
    found = checks()
    if json:
        print_json([asdict(check) for check in found])
        return
    rows = [("yes" if check.ok else "no", check.name, check.found) for check in found]
    print_table("this machine", ("", "what", "found"), rows)
    for check in found:
        if not check.ok:
            print(f"{check.name}: {check.advice}", file=sys.stdout)
