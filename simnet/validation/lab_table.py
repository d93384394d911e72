"""The lab's table on disk: Parquet and CSV, with the machine's description, to be continued."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simnet.drivers.header import now
from simnet.lab.pace import SLOW
from simnet.lab.worker import REST_S
from simnet.validation.lab_row import COLUMNS, FAILED, Row
from traces.device import describe_device
from traces.errors import InputError
from traces.files import replacing
from traces.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simnet.lab.cases import Case

_NAMES = ("lab.parquet", "lab.csv", "lab.json")


def machine() -> dict[str, Any]:
    """What the cases ran on."""
    return {
        "processor": describe_device("cpu"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()}",
        "versions": versions(),
    }


def settings() -> dict[str, Any]:
    """What all rows of a table have in common: the machine, and how it is used."""
    return {"machine": machine(), "pace": asdict(SLOW), "rest_s": REST_S}


class Record:
    """Rows so far, in a folder; or in memory alone, where there is none.

    Raises InputError for a folder that has a table, unless it is to be continued, and then for one
    that was made with other settings.
    """

    def __init__(self, folder: Path | None, *, resume: bool) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        if folder is None:
            if resume:
                raise InputError("--resume: which table? give its folder with --out")
            return
        folder.mkdir(parents=True, exist_ok=True)
        parquet, _, described = self._paths(folder)
        if not described.exists():
            self._describe(described)
        elif resume:
            _check_same(described)
            if parquet.exists():
                self.rows = _done(parquet)
        else:
            raise InputError(f"{folder}: has a table; continue it with --resume, or name another")

    @property
    def table(self) -> pd.DataFrame:
        """As simnet.validation.lab_row.COLUMNS."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def missing(self, cases: Sequence[Case]) -> list[Case]:
        """Those without a row."""
        done = {_key(row) for row in self.rows}
        return [case for case in cases if _key_of(case) not in done]

    def add(self, row: Row) -> None:
        """One more, on disk when this returns."""
        self.rows.append(row)
        if self.folder is None:
            return
        parquet, csv, _ = self._paths(self.folder)
        with replacing(parquet) as temporary:
            self.table.to_parquet(temporary, index=False)
        with replacing(csv) as temporary:
            self.table.to_csv(temporary, index=False)

    @staticmethod
    def _paths(folder: Path) -> tuple[Path, Path, Path]:
        parquet, csv, described = (folder / name for name in _NAMES)
        return parquet, csv, described

    @staticmethod
    def _describe(path: Path) -> None:
        with replacing(path) as temporary:
            text = json.dumps({"at": now(), **settings()}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def _check_same(path: Path) -> None:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected the JSON of a lab's settings, but {error}") from error
    for name, value in _plain(settings()).items():
        if before.get(name) != value:
            raise InputError(
                f"{path}: {name} was {before.get(name)}, and is {value} now; rows of both are not "
                "to be mixed: name another folder"
            )


def _plain(data: Any) -> Any:
    """As it is when it comes back from JSON."""
    return json.loads(json.dumps(data))


def _done(path: Path) -> list[Row]:
    """Rows that need not be made again; raises InputError for a table of other columns."""
    table = pd.read_parquet(path)
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{path}: has columns {', '.join(table.columns)}; name another folder")
    good = table[~table["flags"].str.startswith(FAILED)]
    rows: list[Row] = good.to_dict("records")  # type: ignore[assignment] # names are texts
    return rows


def _key(row: Row) -> tuple[Any, ...]:
    return row["network"], row["schedule"], row["codec"], row["compute"]


def _key_of(case: Case) -> tuple[Any, ...]:
    return case.network.name, case.method, case.codec, case.compute.name
