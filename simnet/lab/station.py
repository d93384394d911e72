"""A network of the lab with its team of ranks, which is started again where it dies."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from simnet.calibration.hosts import fit_hosts
from simnet.lab.order import MEASURE
from simnet.lab.team import Team
from simnet.lab.unshaped import LONGEST_S, WORKER
from simnet.network.conditions.under import Under
from traces.errors import RunError
from traces.files import replacing

if TYPE_CHECKING:
    from simnet.lab.networks import LabNetwork
    from simnet.network.network import Network
    from simnet.network.topology import Topology


class Station:
    """Made when entered, and gone when left, whatever happened.

    Raises InputError where this machine cannot have a lab.
    """

    def __init__(self, network: LabNetwork) -> None:
        self.network = network
        self._stack = ExitStack()
        self._team: Team | None = None

    def __enter__(self) -> Self:
        self._site = self._stack.enter_context(self.network.lab())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._dismiss()
        finally:
            self._stack.close()

    def calibrated(self, path: Path) -> Network:
        """The network as its own measurements say, quiet, under the conditions that runs have.

        The measurements are written to `path`, as JSON. Raises RunError where a rank fails.
        """
        places = list(self.network.places)
        rows = self._ask({MEASURE: places})[0]
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(rows), encoding="utf-8")
        found: Topology = fit_hosts(rows, places).network(self.network.name)
        conditions = self.network.conditions()
        if not list(conditions.sentences()):
            return found
        return Under(found, conditions, self.network.ranks)

    def run(self, order: dict[str, Any]) -> list[dict[str, float]]:
        """Have all ranks carry it out, with the network's traffic on its links.

        Gives what each reports. Raises RunError where one fails; the next order goes to a new team.
        """
        with self.network.busy(self._site):
            return self._ask(order)

    def _ask(self, order: dict[str, Any]) -> list[Any]:
        if self._team is None:
            self._team = Team(self._site, WORKER)
            self._team.__enter__()
        try:
            return self._team.ask(order, LONGEST_S)
        except RunError:
            self._dismiss()
            raise

    def _dismiss(self) -> None:
        team, self._team = self._team, None
        if team is not None:
            team.stop()
