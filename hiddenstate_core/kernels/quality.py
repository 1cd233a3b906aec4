"""Kernels of the quality of a map: ranks among all points, recall, and the two sums of the divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["PANEL", "rank_rows", "recall_rows", "student_mass"]

#: Points compared at a time: with 100 features a panel is 26 kB, so it stays in the first cache.
PANEL = 64


@kernel(fast=True, inline=True)
def _screen(panel: NDArray[np.float32], x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Squared distances of the points of a panel, in float32."""
    for c in range(np.uint64(PANEL)):
        out[c] = np.float32(0)
    for f in range(0, x.shape[0], 4):
        x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
        block = panel[f : f + 4]
        for c in range(np.uint64(PANEL)):
            d0, d1, d2, d3 = x0 - block[0, c], x1 - block[1, c], x2 - block[2, c], x3 - block[3, c]
            out[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)


@kernel(inline=True)
def _squared(panel: NDArray[np.float32], x: NDArray[np.float32], c: int) -> float:
    """Squared distance of one point of a panel, summed in float64 in the order of the features."""
    total = 0.0
    for f in range(x.shape[0]):
        difference = np.float64(x[f]) - np.float64(panel[f, c])
        total += difference * difference
    return total


@kernel()
def rank_rows(
    start: int,
    stop: int,
    first: int,
    rows: NDArray[np.int64],
    queries: NDArray[np.float32],
    panels: NDArray[np.float32],
    limits: NDArray[np.float64],
    nearer: NDArray[np.int64],
    equal: NDArray[np.int64],
    best: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Count the points of a few panels that are nearer than each of k limits, and keep the k nearest.

    Parameters
    ----------
    start, stop : int
        Queries to work on.
    first : int
        Id of the first point in the panels.
    rows : (m,) int64
        Ids of the queries, which are not their own neighbours.
    queries : (m, d) float32
        Their coordinates, d a multiple of 4.
    panels : (p, d, PANEL) float32
        Points, transposed; infinity behind the last.
    limits : (m, k) float64
        Squared distances, ascending, summed in the order of the features.
    nearer, equal : (m, k) int64
        Receive, added up over calls, the points below and at each limit.
    best, found : (m, k) float64, int64
        Start as infinity. Receive the k smallest squared distances, ascending, and their ids, ties by smaller id where
        panels come in ascending order.

    Notes
    -----
    float32 distances screen; float64 decides about those that rounding could bring to the other side of a limit. As no
    term of the sum is negative, its relative error is at most d + 3 roundings (Higham 2002, Accuracy and Stability of
    Numerical Algorithms, section 3.1); twice that is allowed for, and a little for squares that vanish.
    """
    k, d = limits.shape[1], queries.shape[1]
    slack, least = (d + 8) * 2.0**-23, 1e-40
    distance = np.empty(PANEL, np.float32)
    for p in range(panels.shape[0]):
        panel = panels[p]
        begin = first + p * PANEL
        for row in range(start, stop):
            x = queries[row]
            _screen(panel, x, distance)
            own = rows[row] - begin
            if 0 <= own < PANEL:
                distance[own] = np.inf
            for q in range(k - 1, -1, -1):
                low = np.float32(limits[row, q] * (1.0 - slack) - least)
                high = np.float32(limits[row, q] * (1.0 + slack) + least)
                below = within = np.int32(0)
                for c in range(np.uint64(PANEL)):
                    below += np.int32(distance[c] < low)
                    within += np.int32(distance[c] <= high)
                nearer[row, q] += below
                if within == 0:
                    break
                if within > below:
                    for c in range(PANEL):
                        if low <= distance[c] <= high:
                            exact = _squared(panel, x, c)
                            if exact < limits[row, q]:
                                nearer[row, q] += 1
                            elif exact == limits[row, q]:
                                equal[row, q] += 1
            bound = np.float32(best[row, k - 1] * (1.0 + slack) + least)
            candidates = np.int32(0)
            for c in range(np.uint64(PANEL)):
                candidates += np.int32(distance[c] < bound)
            if candidates == 0:
                continue
            for c in range(PANEL):
                if distance[c] < bound:
                    exact = _squared(panel, x, c)
                    if exact < best[row, k - 1]:
                        at = k - 1
                        while at > 0 and best[row, at - 1] > exact:
                            best[row, at], found[row, at] = best[row, at - 1], found[row, at - 1]
                            at -= 1
                        best[row, at], found[row, at] = exact, begin + c


@kernel(fast=True)
def recall_rows(
    start: int,
    stop: int,
    data: NDArray[np.float32],
    indices: NDArray[np.int64],
    limits: NDArray[np.float64],
    recall: NDArray[np.float32],
) -> None:
    """Share of each point's neighbours in the map that lie within a limit in the original space.

    Parameters
    ----------
    start, stop : int
        Points to work on.
    data : (n, d) float32
        The original space.
    indices : (n, k) int64
        Neighbours in the map.
    limits : (n,) float64
        Squared distance within which a neighbour counts.
    recall : (n,) float32
        Receives the share.
    """
    k = indices.shape[1]
    for i in range(start, stop):
        hits = 0
        x = data[i]
        for e in range(k):
            y = data[indices[i, e]]
            total = 0.0
            for f in range(np.uint64(data.shape[1])):
                difference = np.float64(x[f]) - np.float64(y[f])
                total += difference * difference
            if total <= limits[i]:
                hits += 1
        recall[i] = np.float32(hits / k)


@kernel(fast=True)
def student_mass(
    start: int, stop: int, picks: NDArray[np.int64], axes: NDArray[np.float32], mass: NDArray[np.float64]
) -> None:
    """``sum_{j != i} 1 / (1 + |y_i - y_j|^2)`` of some points (van der Maaten & Hinton 2008, eq. 4); O(n) each.

    Parameters
    ----------
    start, stop : int
        Which of `picks` to work on.
    picks : (m,) int64
        Places of the points in `axes`.
    axes : (3, n) float32
        Coordinates, one axis a row; zeros for an axis that is not in use.
    mass : (m,) float64
        Receives the sums; float32 within runs of 4,096 points, float64 beyond.
    """
    n = axes.shape[1]
    xs, ys, zs = axes[0], axes[1], axes[2]
    for pick in range(start, stop):
        i = picks[pick]
        x, y, z = xs[i], ys[i], zs[i]
        total = 0.0
        begin = 0
        while begin < n:  # runs that end before and begin after the point itself, whose 1 would drown the rest
            if begin == i:
                begin += 1
                continue
            end = min(begin + 4096, i if begin < i else n)
            part = np.float32(0)
            for j in range(np.uint64(begin), np.uint64(end)):
                dx, dy, dz = x - xs[j], y - ys[j], z - zs[j]
                part += np.float32(1) / (np.float32(1) + dx * dx + dy * dy + dz * dz)
            total += np.float64(part)
            begin = end
        mass[pick] = total
