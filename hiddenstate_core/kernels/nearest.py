"""Kernels of the exact nearest-neighbour search: screen by float32 products, decide by float64 distances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["PANEL", "nearest_rows", "sort_nearest", "squared_distance"]

#: Points screened at a time: with 100 features a panel is 26 kB, so it stays in the first cache.
PANEL = 64


@kernel(fast=True)
def squared_distance(data: NDArray[np.float32], i: int, j: int) -> float:
    """Squared Euclidean distance of rows `i` and `j`, summed in float64; the same for (i, j) and (j, i)."""
    total = 0.0
    x, y = data[i], data[j]
    for f in range(np.uint64(data.shape[1])):
        difference = np.float64(x[f]) - np.float64(y[f])
        total += difference * difference
    return total


@kernel()
def _sift(distance: NDArray[np.float64], index: NDArray[np.int64], size: int, d: float, j: int) -> None:
    """Replace the root of a max-heap ordered by (distance, index) with (d, j)."""
    at = 0
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


@kernel(fast=True)
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


@kernel()
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
    heap_distance: NDArray[np.float64],
    heap_index: NDArray[np.int64],
) -> None:
    """Offer every point to the heaps of some rows.

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
    heap_distance, heap_index : (r, k) float64, int64
        Max-heaps by (squared distance, index); unused places hold infinity.

    Notes
    -----
    A candidate is passed over only where its screened distance exceeds the k-th best by more than the rounding
    error can explain, so the result is exactly that of float64 distances. Candidates come in ascending order, so an
    equal distance never displaces a smaller id.
    """
    k = heap_distance.shape[1]
    screened = np.empty(PANEL, np.float32)
    for p in range(panels.shape[0]):
        panel = panels[p]
        for row in range(start, stop):
            i = rows[row]
            distance = heap_distance[row]
            index = heap_index[row]
            if distance[0] == 0.0:
                continue
            limit = np.float32(distance[0] + slack[i])
            _screen(panel, data[i], screened)
            if _count_within(screened, limit) == 0:
                continue
            for c in range(PANEL):
                j = p * PANEL + c
                if screened[c] <= limit and j != i and j < data.shape[0]:
                    d = squared_distance(data, i, j)
                    if d < distance[0]:
                        _sift(distance, index, k, d, j)
                        limit = np.float32(distance[0] + slack[i])


@kernel()
def sort_nearest(
    start: int,
    stop: int,
    heap_distance: NDArray[np.float64],
    heap_index: NDArray[np.int64],
    scale: float,
    distances: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """Empty each row's heap into ascending order and write ``sqrt(distance) * scale``; the heaps are used up."""
    for row in range(start, stop):
        for size in range(heap_distance.shape[1], 0, -1):
            d = heap_distance[row, 0]
            j = heap_index[row, 0]
            _sift(
                heap_distance[row], heap_index[row], size - 1, heap_distance[row, size - 1], heap_index[row, size - 1]
            )
            distances[row, size - 1] = np.float32(math.sqrt(d) * scale)
            indices[row, size - 1] = j
