"""States as a picture: Datashader counts them per pixel, our colours say which class lies there and how densely."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_viewer.colours import MAX_HUES, OTHER, UNKNOWN, UNSURE, mix, rgba32
from hiddenstate_viewer.data import ViewData

__all__ = ["density_image"]

Span2 = tuple[float, float]


def density_image(
    data: ViewData, projection: str, colour_by: str, x_range: Span2, y_range: Span2, width: int, height: int
) -> tuple[NDArray[np.uint32], int]:
    """Picture of the states that lie in a window of the map.

    Parameters
    ----------
    data : ViewData
        A trace.
    projection : str
        Which map.
    colour_by : str
        ``"prediction"`` or ``"true"``.
    x_range, y_range : (float, float)
        The window.
    width, height : int
        Its size in pixels.

    Returns
    -------
    (height, width) uint32
        Packed RGBA, lowest row first. The hue is that of the mean probability (two classes) or of the most frequent
        class, paler where classes mix; the opacity grows with the logarithm of the count.
    int
        Number of states in the window.
    """
    import datashader
    import datashader.transfer_functions as transfer
    import xarray

    frame = _frame(data, projection, colour_by)
    canvas = datashader.Canvas(plot_width=width, plot_height=height, x_range=x_range, y_range=y_range)
    diverging = data.palette.binary and colour_by == "prediction"
    if diverging:
        found = canvas.points(frame, "x", "y", datashader.summary(n=datashader.count(), p=datashader.mean("p")))
        count = np.asarray(found["n"].values, np.int64)
        p = np.nan_to_num(np.asarray(found["p"].values, np.float32), nan=0.5)
        colours = data.palette.diverging[np.rint(np.clip(p, 0, 1) * 255).astype(np.int64)]
    else:
        by = canvas.points(frame, "x", "y", datashader.by("c", datashader.count())).values
        count = by.sum(axis=-1).astype(np.int64)
        sure = np.nan_to_num(canvas.points(frame, "x", "y", datashader.mean("s")).values)
        share = by.max(axis=-1) / np.maximum(count, 1)
        hues, _ = _groups(data)
        filled = count > 0
        colours = np.zeros((*count.shape, 3), np.uint8)
        colours[filled] = mix(np.asarray(UNSURE), hues[by.argmax(axis=-1)[filled]], (share * sure)[filled])
    inside = int(count.sum())
    most = max(int(count.max(initial=0)), 1)
    opacity = np.where(count > 0, 120 + 135 * np.log1p(count) / np.log1p(max(most, 2)), 0)
    image = transfer.Image(xarray.DataArray(rgba32(colours, opacity), dims=("y", "x")))
    pixels = 2 if inside <= 15_000 else 1 if inside <= 250_000 else 0
    if pixels:
        image = transfer.spread(image, px=pixels, shape="circle")
    return np.ascontiguousarray(image.values, np.uint32), inside


def _groups(data: ViewData) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Hues of the groups that are told apart, and the group of each class (the last number is for "not known")."""
    palette = data.palette
    own = np.flatnonzero(palette.own)[:MAX_HUES]
    group = np.full(len(palette.classes) + 1, len(own), np.int64)
    group[own] = np.arange(len(own))
    group[-1] = len(own) + 1
    hues = np.vstack([palette.hues[own], np.array([OTHER, UNKNOWN], np.uint8)])
    return hues, group


def _frame(data: ViewData, projection: str, colour_by: str) -> Any:
    def make() -> Any:
        import pandas as pd

        points = data.coordinates(projection)
        columns: dict[str, Any] = {"x": points[:, 0].copy(), "y": points[:, 1].copy()}
        if data.palette.binary and colour_by == "prediction":
            columns["p"] = np.where(data.predicted == 1, data.confidence, 1 - data.confidence).astype(np.float32)
        else:
            hues, group = _groups(data)
            if colour_by == "prediction":
                which = data.predicted.astype(np.int64)
                columns["s"] = data.palette.strength(data.confidence)
            else:
                which = np.repeat(data.trace.labels.astype(np.int64), np.diff(data.trace.offsets))
                columns["s"] = np.ones(len(points), np.float32)
            codes = group[np.where(which < 0, len(group) - 1, which)]
            columns["c"] = pd.Categorical.from_codes(codes, categories=pd.RangeIndex(len(hues)))
        return pd.DataFrame(columns, copy=False)

    return data.keep("frame", (projection, colour_by), make)
