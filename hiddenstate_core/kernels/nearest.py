"""Kernels of the exact nearest-neighbour search: screen by float32 products, decide by float64 distances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["PANEL", "nearest_rows", "sort_nearest", "squared_distance"]

#: Points screened at a time: with 100 features a panel is 26 kB, so it stays in the first cache.
PANEL = 64


@kernel(fast=True, inline=True)
def squared_distance(data: NDArray[np.float32], i: int, j: int) -> float:
    """Squared Euclidean distance of rows `i` and `j`, summed in float64; the same for (i, j) and (j, i)."""
    total = 0.0
    x, y = data[i], data[j]
    for f in range(np.uint64(data.shape[1])):
        difference = np.float64(x[f]) - np.float64(y[f])
        total += difference * difference
    return total


@kernel(inline=True)
def _sift(distance: NDArray[np.float64], index: NDArray[np.int64], at: int, size: int, d: float, j: int) -> None:
    """Put (d, j) at or below place `at` of a max-heap of `size` pairs ordered by (distance, index)."""
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            distance[other] > distance[child] or (distance[other] == distance[child] and index[other] > index[child])
        ):
            child = other
        if distance[child] < d or (distance[child] == d and index[child] <= j):
            break
        distance[at] = distance[child]
        index[at] = index[child]
        at = child
    distance[at] = d
    index[at] = j


@kernel(inline=True)
def _select(distance: NDArray[np.float64], index: NDArray[np.int64], size: int, k: int) -> float:
    """Bring the k smallest of `size` pairs (distance, index) to the front; returns the k-th distance (Hoare 1961)."""
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) // 2
        d, j = distance[middle], index[middle]
        a, b = low, high
        while a <= b:
            while distance[a] < d or (distance[a] == d and index[a] < j):
                a += 1
            while distance[b] > d or (distance[b] == d and index[b] > j):
                b -= 1
            if a <= b:
                distance[a], distance[b] = distance[b], distance[a]
                index[a], index[b] = index[b], index[a]
                a += 1
                b -= 1
        if k - 1 <= b:
            high = b
        elif k - 1 >= a:
            low = a
        else:
            break
    return float(distance[k - 1])


@kernel(fast=True, inline=True)
def _screen(panel: NDArray[np.float32], x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``|y|^2 - 2 x.y`` for the points y of one panel, in float32.

    Unsigned counters spare the check for negative indices, which would keep the loops from vectorising.
    """
    for c in range(np.uint64(PANEL)):
        out[c] = panel[0, c]
    for f in range(0, x.shape[0], 4):
        a, b = np.float32(-2) * x[f], np.float32(-2) * x[f + 1]
        c_, d = np.float32(-2) * x[f + 2], np.float32(-2) * x[f + 3]
        rows = panel[f + 1 : f + 5]
        for c in range(np.uint64(PANEL)):
            out[c] += (a * rows[0, c] + b * rows[1, c]) + (c_ * rows[2, c] + d * rows[3, c])


@kernel(inline=True)
def _count_within(screened: NDArray[np.float32], limit: np.float32) -> np.int32:
    hits = np.int32(0)
    for c in range(np.uint64(PANEL)):
        hits += np.int32(screened[c] <= limit)
    return hits


@kernel()
def nearest_rows(
    start: int,
    stop: int,
    rows: NDArray[np.int64],
    data: NDArray[np.float32],
    panels: NDArray[np.float32],
    slack: NDArray[np.float64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    limits: NDArray[np.float64],
    sizes: NDArray[np.int64],
    k: int,
) -> None:
    """Gather the k nearest other points of some rows, and a few more.

    Parameters
    ----------
    start, stop : int
        Which of `rows` to work on.
    rows : (r,) int64
        Ids of the points whose neighbours are sought.
    data : (n, d) float32
        The points, d a multiple of 4.
    panels : (ceil(n / PANEL), 1 + d, PANEL) float32
        The same points, `PANEL` at a time and transposed; row 0 holds squared norms, infinity behind the last point.
    slack : (n,) float64
        Per point, the largest rounding error of a screened distance minus its own squared norm.
    best, found : (r, m) float64, int64
        Room for m > k squared distances and ids of each row.
    limits, sizes : (r,) float64, int64
        Start as infinity and 0. Receives a bound on each row's k-th squared distance, and the pairs gathered.
    k : int
        Neighbours sought.

    Notes
    -----
    A candidate is passed over only where its screened distance exceeds the bound by more than the rounding error can
    explain, so the result is exactly that of float64 distances. Candidates come in ascending order, so an equal
    distance never displaces a smaller id. Full rows are cut back to their k best, which tightens the bound.
    """
    room = best.shape[1]
    screened = np.empty(PANEL, np.float32)
    for p in range(panels.shape[0]):
        panel = panels[p]
        for row in range(start, stop):
            bound = limits[row]
            if bound == 0.0:
                continue
            i = rows[row]
            limit = np.float32(bound + slack[i])
            _screen(panel, data[i], screened)
            if _count_within(screened, limit) == 0:
                continue
            size = sizes[row]
            for c in range(PANEL):
                j = p * PANEL + c
                if screened[c] <= limit and j != i and j < data.shape[0]:
                    d = squared_distance(data, i, j)
                    if d < bound:
                        best[row, size] = d
                        found[row, size] = j
                        size += 1
                        if size == room:
                            bound = _select(best[row], found[row], size, k)
                            limit = np.float32(bound + slack[i])
                            size = k
            sizes[row] = size
            limits[row] = bound


@kernel()
def sort_nearest(
    start: int,
    stop: int,
    best: NDArray[np.float64],
    found: NDArray[np.int64],
    sizes: NDArray[np.int64],
    scale: float,
    distances: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """Write each row's k nearest, ascending by (distance, id), as ``sqrt(distance) * scale``; `best` is used up."""
    k = distances.shape[1]
    for row in range(start, stop):
        distance, index = best[row], found[row]
        _select(distance, index, sizes[row], k)
        for at in range(k // 2 - 1, -1, -1):
            _sift(distance, index, at, k, distance[at], index[at])
        for last in range(k - 1, -1, -1):
            d, j = distance[0], index[0]
            _sift(distance, index, 0, last, distance[last], index[last])
            distances[row, last] = np.float32(math.sqrt(d) * scale)
            indices[row, last] = j
