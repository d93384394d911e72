"""Numbers of tokens laid out as the image that the tokens are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from traces.trace import Trace

#: Of the image; a tensor without one is a single row.
COORDS = ("row", "column")


def on_image(trace: Trace, tokens: xr.DataArray) -> xr.DataArray:
    """Of dims (..., rank, token), over COORDS instead; a video's frames are averaged.

    Ranks that each have a part of the image together make it, and of ranks that each have all of it
    the mean is taken; in one row where the tokens are not those of the model's images.
    """
    from analysis.tensors import grid

    ranks, width = tokens.sizes["rank"], tokens.sizes["token"]
    frames, down, across = grid(trace) or (1, 1, width)
    image = frames * down * across
    if width * ranks == image:
        flat = tokens.stack(place=("rank", "token"))
    else:
        flat = tokens.mean("rank").rename({"token": "place"})
    if flat.sizes["place"] != image:
        frames, down, across = 1, 1, flat.sizes["place"]
    values = flat.transpose(..., "place").to_numpy()
    shaped = values.reshape(*values.shape[:-1], frames, down, across).mean(axis=-3)
    return _labelled(shaped, flat)


def _labelled(values: object, flat: xr.DataArray) -> xr.DataArray:
    import xarray as xr

    dims = [dim for dim in flat.dims if dim != "place"]
    array = xr.DataArray(values, dims=[*dims, *COORDS])
    known = {dim: flat[dim].to_numpy() for dim in dims if dim in flat.coords}
    counted = {dim: range(array.sizes[dim]) for dim in COORDS}
    return array.assign_coords({**known, **counted})
