"""Starts the ranks of the measurements at a site and gathers their table."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from simnet.calibration.measure import Progress
from simnet.lab.site import Site
from simnet.lab.team import Team


def measured(site: Site, device: str, *, quick: bool) -> Iterator[Progress]:
    """Case by case; raises RunError where a rank fails."""
    words = [sys.executable, "-m", "simnet.calibration.rank", "quick" if quick else "full", device]
    with Team(site, words) as team:
        for report in team.reports():
            yield Progress(*report)
