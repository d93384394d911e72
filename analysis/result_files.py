"""Results of analyses as files that other programs open, and an index of what is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traces.errors import InputError
from traces.files import replacing

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from analysis.catalogue import Result

INDEX = "index.json"


def write(result: Result, folder: Path, name: str) -> dict[str, Any]:
    """A labelled array as NetCDF (version 3), a table as CSV; what the index says of it.

    Raises InputError where it cannot be written there.
    """
    import pandas as pd
    import xarray as xr

    if isinstance(result, pd.DataFrame):
        return _write_table(result, folder / f"{name}.csv")
    made = (
        result.to_dataset(name=result.name or name) if isinstance(result, xr.DataArray) else result
    )
    return _write_arrays(made, folder / f"{name}.nc")


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """What was analysed, what came of it, and what did not apply."""
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1, allow_nan=False) + "\n")


def clear(folder: Path) -> None:
    """Make the folder, and remove from it the files that an earlier index names, and no others.

    Raises InputError where the folder cannot be made, or its index is not of this kind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    if not (folder / INDEX).exists():
        return
    try:
        files = [entry["file"] for entry in json.loads((folder / INDEX).read_text())["results"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / INDEX}: is no index of analyses; name another folder with --out"
        ) from error
    for name in files:
        (folder / Path(name).name).unlink(missing_ok=True)
    (folder / INDEX).unlink()


def _write_arrays(result: xr.Dataset, path: Path) -> dict[str, Any]:
    with replacing(path) as temporary:
        result.to_netcdf(temporary, engine="scipy", format="NETCDF3_64BIT")
    return {
        "file": path.name,
        "dims": {str(name): int(length) for name, length in result.sizes.items()},
        "variables": [str(name) for name in result.data_vars],
        **_told(result),
    }


def _write_table(table: pd.DataFrame, path: Path) -> dict[str, Any]:
    named = any(name is not None for name in table.index.names)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=named)
    columns = [*(table.index.names if named else ()), *table.columns]
    return {
        "file": path.name,
        "dims": {"row": len(table)},
        "variables": [str(name) for name in columns],
        **_told(table),
    }


def _told(result: xr.Dataset | pd.DataFrame) -> dict[str, str]:
    """What a result says of itself in its attributes."""
    return {key: str(result.attrs.get(key, "")) for key in ("summary", "gaps")}
