"""Slow, obvious answers about points in the plane, for the tests of the spatial order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_polygon", "in_window", "nearest"]


def in_window(points: NDArray[np.float32], x0: float, x1: float, y0: float, y1: float) -> NDArray[np.int64]:
    """Ids of the points (N, 2) in a closed window."""
    x, y = points.astype(np.float64).T
    return np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))


def nearest(points: NDArray[np.float32], x: float, y: float, reach: float) -> int | None:
    """Id of the point nearest to a place, within `reach`; the lowest of equals."""
    if not len(points):
        return None
    squared = ((points.astype(np.float64) - [x, y]) ** 2).sum(axis=1)
    best = int(squared.argmin())
    return best if squared[best] <= reach * reach else None


def in_polygon(points: NDArray[np.float32], xs: list[float], ys: list[float]) -> NDArray[np.int64]:
    """Ids of the points inside a polygon: a ray to the left crosses an odd number of edges (Shimrat 1962)."""
    inside = []
    for i, (x, y) in enumerate(points.astype(np.float64).tolist()):
        crossings = 0
        for a in range(len(xs)):
            b = (a + 1) % len(xs)
            if (ys[a] > y) != (ys[b] > y) and x < (xs[b] - xs[a]) * (y - ys[a]) / (ys[b] - ys[a]) + xs[a]:
                crossings += 1
        if crossings % 2:
            inside.append(i)
    return np.array(inside, np.int64)
