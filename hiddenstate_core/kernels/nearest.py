"""Kernel of the nearest-neighbour search: cells ruled out by planes, points screened in float32, decided in float64."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["PANEL", "UNIT", "Cells", "Queries", "search_cells"]

#: Points screened at a time: with 24 coordinates a panel is 6 kB, so it stays in the first cache.
PANEL = 64
#: Most queries of one unit of work: one panel, whose lists stay in the second cache.
UNIT = PANEL


class Cells(NamedTuple):
    """Points in cells: those of a cell are nearer to its centroid than to any other (after `reduce_rows`).

    Parameters
    ----------
    points : (n, d) float32
        Cell by cell.
    ids : (n,) int64
        Their ids.
    starts : (C + 1,) int64
        First point of each cell.
    panels : (P, 1 + m, PANEL) float32
        Reduced points, `PANEL` at a time and transposed; row 0 holds squared norms, infinity where there is no point.
    first : (C + 1,) int64
        First panel of each cell.
    centroids : (C, m) float32
        Of the reduced points.
    links : (C, t) int64
        The t cells whose centroids are nearest to each cell's own, ascending.
    norm, drift : float
        Largest norm of a reduced point or centroid; most that rounding may move a reduced point, relative to its norm.
    """

    points: NDArray[np.float32]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    panels: NDArray[np.float32]
    first: NDArray[np.int64]
    centroids: NDArray[np.float32]
    links: NDArray[np.int64]
    norm: float
    drift: float


class Queries(NamedTuple):
    """What is sought.

    Parameters
    ----------
    units : (u, 3) int64
        Cell, first and last + 1 query of each unit of work; at most `UNIT` queries, all of them of that cell.
    points : (q, d) float32
    reduced : (q, m) float32
    own : (q,) int64
        Id of the query among the points, which is passed over; -1 where it is none.
    rows : (q,) int64
        Row of the result that receives each query's neighbours.
    """

    units: NDArray[np.int64]
    points: NDArray[np.float32]
    reduced: NDArray[np.float32]
    own: NDArray[np.int64]
    rows: NDArray[np.int64]


@kernel(fast=True, inline=True)
def _squared_distance(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """Squared Euclidean distance, summed in float64; the same for (x, y) and (y, x)."""
    total = 0.0
    for f in range(np.uint64(x.shape[0])):
        difference = np.float64(x[f]) - np.float64(y[f])
        total += difference * difference
    return total


@kernel(inline=True)
def _select(distance: NDArray[np.float64], index: NDArray[np.int64], size: int, k: int) -> None:
    """Bring the k smallest of `size` pairs (distance, index) to the front, the k-th to its place (Hoare 1961)."""
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


@kernel(inline=True)
def _write(
    distance: NDArray[np.float64],
    index: NDArray[np.int64],
    size: int,
    distances: NDArray[np.float32],
    indices: NDArray[np.int64],
    scale: float,
) -> None:
    """Write the k smallest pairs ascending, as ``sqrt(distance) * scale``; the pairs are used up (Shell 1959)."""
    k = distances.shape[0]
    _select(distance, index, size, k)
    for step in (57, 23, 10, 4, 1):
        for first in range(step, k):
            d, j, at = distance[first], index[first], first
            while at >= step and (distance[at - step] > d or (distance[at - step] == d and index[at - step] > j)):
                distance[at], index[at] = distance[at - step], index[at - step]
                at -= step
            distance[at], index[at] = d, j
    for at in range(k):
        distances[at] = np.float32(math.sqrt(distance[at]) * scale)
        indices[at] = index[at]


@kernel(fast=True, inline=True)
def _screen(panel: NDArray[np.float32], u: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``|v|^2 - 2 u.v`` for four queries (rows of `u`, times -2) and the points v of one panel, in float32.

    Four queries share every load of the panel. Unsigned counters spare the check for negative indices, which would
    keep the loops from vectorising.
    """
    for c in range(np.uint64(PANEL)):
        norm = panel[0, c]
        out[0, c] = norm
        out[1, c] = norm
        out[2, c] = norm
        out[3, c] = norm
    for f in range(0, u.shape[1], 4):
        a0, a1, a2, a3 = u[0, f], u[0, f + 1], u[0, f + 2], u[0, f + 3]
        b0, b1, b2, b3 = u[1, f], u[1, f + 1], u[1, f + 2], u[1, f + 3]
        c0, c1, c2, c3 = u[2, f], u[2, f + 1], u[2, f + 2], u[2, f + 3]
        d0, d1, d2, d3 = u[3, f], u[3, f + 1], u[3, f + 2], u[3, f + 3]
        v = panel[f + 1 : f + 5]
        for c in range(np.uint64(PANEL)):
            v0, v1, v2, v3 = v[0, c], v[1, c], v[2, c], v[3, c]
            out[0, c] += (a0 * v0 + a1 * v1) + (a2 * v2 + a3 * v3)
            out[1, c] += (b0 * v0 + b1 * v1) + (b2 * v2 + b3 * v3)
            out[2, c] += (c0 * v0 + c1 * v1) + (c2 * v2 + c3 * v3)
            out[3, c] += (d0 * v0 + d1 * v1) + (d2 * v2 + d3 * v3)


@kernel(inline=True)
def _hits(screened: NDArray[np.float32], limit: np.float32, hits: NDArray[np.int32]) -> int:
    """Write which of the screened points lie within `limit`; returns how many."""
    count = np.int32(0)
    for c in range(np.uint64(PANEL)):
        count += np.int32(screened[c] <= limit)
    if count == 0:
        return 0
    size = 0
    for c in range(PANEL):
        hits[size] = c
        size += int(screened[c] <= limit)
    return size


@kernel(inline=True)
def _join(u: NDArray[np.float32], own: NDArray[np.float32], panel: NDArray[np.float32], q: int) -> tuple[float, float]:
    """Put a query into its panel; returns its squared norm and squared distance from its own centroid."""
    square, away = 0.0, 0.0
    for f in range(u.shape[0]):
        panel[1 + f, q] = u[f]
        square += np.float64(u[f]) * np.float64(u[f])
        apart = np.float64(u[f]) - np.float64(own[f])
        away += apart * apart
    return square, away


@kernel()
def search_cells(
    start: int,
    stop: int,
    cells: Cells,
    queries: Queries,
    reach: float,
    scale: float,
    distances: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """The k nearest points of every query of some units, or most of them.

    Parameters
    ----------
    start, stop : int
        Which units to work on.
    cells : Cells
        At least k points besides a query's own.
    queries : Queries
    reach : float
        A cell is passed over where the plane between its centroid and that of the query's cell is further away than
        `reach` times the k-th distance found so far. From 1 on the result is exact.
    scale : float
        Factor on the distances.
    distances, indices : (r, k) float32, int64
        Written, ascending by (distance, id).

    Notes
    -----
    Reducing points shortens distances, so a point may be passed over once its reduced distance exceeds the k-th found
    so far by more than rounding can explain; whatever is kept is decided by float64 sums over all features. The list
    of a query therefore depends on nothing but the order of the cells: not on other queries, nor on how screening
    rounds. Full lists are cut back to their k best, which tightens the bound.
    """
    k = distances.shape[1]
    m = cells.centroids.shape[1]
    room = k + k // 2 + 16
    count = len(cells.starts) - 1
    linked = cells.links.shape[1]
    best, found = np.empty((UNIT, room)), np.empty((UNIT, room), np.int64)
    sizes, bounds, last = np.empty(UNIT, np.int64), np.empty(UNIT), np.empty(UNIT, np.int64)
    norms, limits = np.empty(UNIT), np.empty(UNIT, np.float32)
    away, blurs = np.empty(UNIT), np.empty(UNIT)
    spans, cuts = np.empty(UNIT, np.float32), np.empty(UNIT, np.float32)
    panel = np.empty((1 + m, UNIT), np.float32)
    active, hits = np.empty(UNIT + 1, np.int32), np.empty(PANEL + 1, np.int32)
    four, four_q = np.zeros((4, m), np.float32), np.zeros((4, m), np.float32)
    screened, planes = np.empty((4, PANEL), np.float32), np.empty((4, UNIT), np.float32)
    nearest, gaps, offsets = np.empty(4, np.int64), np.empty(4, np.float32), np.empty(4, np.float32)
    seen = np.empty(count, np.bool_)
    rounding = (m + 8) * 2.0**-24
    for unit in range(start, stop):
        home, low = queries.units[unit, 0], queries.units[unit, 1]
        size = queries.units[unit, 2] - low
        own = cells.centroids[home]
        for q in range(size, UNIT):
            panel[0, q], spans[q], cuts[q] = np.inf, 0, 0  # no query: beyond every plane
            for f in range(m):
                panel[1 + f, q] = 0
        for q in range(size):
            square, gap = _join(queries.reduced[low + q], own, panel, q)
            panel[0, q] = square - gap - 8 * rounding * (math.sqrt(square) + cells.norm) ** 2
            sizes[q], bounds[q], limits[q] = 0, np.inf, np.inf
            spans[q], cuts[q] = np.inf, np.inf
            blurs[q] = cells.drift * (math.sqrt(square) + cells.norm)
            norms[q] = square
            away[q] = math.sqrt(gap)
            last[q] = np.int64(1) << 62
        for b in range(count):
            seen[b] = False
        at = 0
        while at < linked + count:
            # the next four cells, the nearest first, and on which side of their planes the queries lie
            taken = 0
            while taken < 4 and at < linked + count:
                b = cells.links[home, at] if at < linked else at - linked
                at += 1
                if not seen[b]:
                    seen[b] = True
                    nearest[taken] = b
                    square, gap = 0.0, 0.0
                    for f in range(m):
                        v = np.float64(cells.centroids[b, f])
                        four[taken, f] = np.float32(-2.0 * v)
                        square += v * v
                        gap += (v - np.float64(own[f])) * (v - np.float64(own[f]))
                    gaps[taken], offsets[taken] = max(2 * math.sqrt(gap), 1e-30), -square  # infinity times 0 is NaN
                    taken += 1
            if taken == 0:
                break
            furthest = np.float32(0)
            for q in range(size):
                furthest = max(furthest, cuts[q])
            if at <= linked and gaps[0] > furthest:
                break  # all that follow are further away
            _screen(panel, four, planes)
            for t in range(taken):
                b = nearest[t]
                begin, end = cells.starts[b], cells.starts[b + 1]
                gap32 = gaps[t]
                for c in range(np.uint64(UNIT)):
                    planes[t, c] = planes[t, c] - spans[c] * gap32 if gap32 <= cuts[c] else np.float32(np.inf)
                chosen = _hits(planes[t], offsets[t], active)
                for group in range(0, chosen, 4):
                    members = min(4, chosen - group)
                    for g in range(members):
                        q = active[group + g]
                        for f in range(m):
                            four_q[g, f] = np.float32(-2) * panel[1 + f, q]
                    for p in range(cells.first[b], cells.first[b + 1]):
                        _screen(cells.panels[p], four_q, screened)
                        base = begin + (p - cells.first[b]) * PANEL
                        for g in range(members):
                            q = active[group + g]
                            hit = _hits(screened[g], limits[q], hits)
                            if hit == 0:
                                continue
                            x, me = queries.points[low + q], queries.own[low + q]
                            for h in range(hit):
                                j = base + hits[h]
                                if j >= end:
                                    break
                                i = cells.ids[j]
                                d = _squared_distance(x, cells.points[j])
                                if i != me and (d < bounds[q] or (d == bounds[q] and i < last[q])):
                                    best[q, sizes[q]] = d
                                    found[q, sizes[q]] = i
                                    sizes[q] += 1
                                    if sizes[q] == room:
                                        _select(best[q], found[q], room, k)
                                        sizes[q] = k
                                        bounds[q] = best[q, k - 1]
                                        last[q] = found[q, k - 1]
                                        wide = math.sqrt(bounds[q]) + blurs[q]
                                        spans[q] = reach * wide
                                        # a plane is no nearer than half the gap less the way to the own centroid
                                        cuts[q] = 4.0002 * (away[q] + reach * wide)
                                        limits[q] = np.float32(
                                            wide * wide - norms[q] + rounding * (math.sqrt(norms[q]) + cells.norm) ** 2
                                        )
        for q in range(size):
            _write(best[q], found[q], sizes[q], distances[queries.rows[low + q]], indices[queries.rows[low + q]], scale)
