"""Kernels of points in Morton order: which runs of them a window holds, which lie in a polygon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["cell_offsets", "count_in_window", "inside_polygon", "nearest_point", "take_places", "window_runs"]


@kernel()
def cell_offsets(codes: NDArray[np.uint64], shift: int, offsets: NDArray[np.int64]) -> None:
    """Where the points of each cell begin, from ascending Morton codes; O(n + cells).

    Parameters
    ----------
    codes : (n,) uint64
        Ascending.
    shift : int
        Low bits of a code that tell points of one cell apart.
    offsets : (cells + 1,) int64
        Receives the number of points in all cells before each one; the last is n.
    """
    n = len(codes)
    at = 0
    for cell in range(len(offsets)):
        while at < n and (codes[at] >> np.uint64(shift)) < np.uint64(cell):
            at += 1
        offsets[cell] = at


@kernel()
def window_runs(
    offsets: NDArray[np.int64],
    levels: int,
    left: int,
    right: int,
    low: int,
    high: int,
    few: int,
    runs: NDArray[np.int64],
) -> int:
    """Runs of points in Morton order that together hold every point of a window; O(runs + levels).

    Parameters
    ----------
    offsets : (4^levels + 1,) int64
        Where the points of each smallest cell begin.
    levels : int
        Depth of the quadtree, whose smallest cells are a grid of 2^levels by 2^levels.
    left, right, low, high : int
        Columns and rows of the grid in which the window's edges lie; may lie outside the grid.
    few : int
        A cell of at most so many points that the window's edge cuts is taken whole.
    runs : (room, 3) int64
        Receives start, stop and whether (1) all points of the run are inside the window.

    Returns
    -------
    int
        Number of runs; -1 where there is not enough room. Neighbouring runs of one kind are joined.
    """
    waiting = np.empty((4 * levels + 4, 2), np.int64)
    waiting[0, 0], waiting[0, 1] = 0, 0
    height, count = 1, 0
    while height > 0:
        height -= 1
        level, code = waiting[height, 0], waiting[height, 1]
        spread = 2 * (levels - level)
        start, stop = offsets[code << spread], offsets[(code + 1) << spread]
        if start == stop:
            continue
        column, row = 0, 0
        for b in range(level):
            column |= ((code >> (2 * b)) & 1) << b
            row |= ((code >> (2 * b + 1)) & 1) << b
        side = levels - level
        first, last = column << side, ((column + 1) << side) - 1
        bottom, top = row << side, ((row + 1) << side) - 1
        if last < left or first > right or top < low or bottom > high:
            continue
        # A point whose cell lies strictly between the cells of two edges lies strictly between the edges.
        inside = first > left and last < right and bottom > low and top < high
        if not inside and level < levels and stop - start > few:
            for child in range(3, -1, -1):
                waiting[height, 0], waiting[height, 1] = level + 1, 4 * code + child
                height += 1
            continue
        kind = 1 if inside else 0
        if count > 0 and runs[count - 1, 1] == start and runs[count - 1, 2] == kind:
            runs[count - 1, 1] = stop
            continue
        if count == len(runs):
            return -1
        runs[count, 0], runs[count, 1], runs[count, 2] = start, stop, kind
        count += 1
    return count


@kernel()
def count_in_window(
    runs: NDArray[np.int64], points: NDArray[np.float32], x0: float, x1: float, y0: float, y1: float
) -> int:
    """Number of points of the runs (r, 3) that lie in a closed window; runs that are inside it are not looked at."""
    count = 0
    for r in range(len(runs)):
        if runs[r, 2] == 1:
            count += runs[r, 1] - runs[r, 0]
            continue
        for i in range(runs[r, 0], runs[r, 1]):
            x, y = np.float64(points[0, i]), np.float64(points[1, i])
            count += 1 if x >= x0 and x <= x1 and y >= y0 and y <= y1 else 0
    return count


@kernel()
def take_places(
    start: int,
    stop: int,
    order: NDArray[np.int32],
    source: NDArray[np.float32],
    steps: NDArray[np.int64],
    points: NDArray[np.float32],
) -> None:
    """Put points `start` to `stop` of a sort where they belong: ids (n,) int64, coordinates (2, n) float32."""
    for s in range(start, stop):
        i = order[s]
        steps[s] = i
        points[0, s], points[1, s] = source[i, 0], source[i, 1]


@kernel()
def nearest_point(
    runs: NDArray[np.int64],
    points: NDArray[np.float32],
    steps: NDArray[np.int64],
    x: float,
    y: float,
    reach: float,
) -> int:
    """Place, in Morton order, of the point nearest to (x, y) and within `reach`; -1 where there is none.

    Parameters
    ----------
    runs : (r, 3) int64
        Where to look, from `window_runs`.
    points, steps : (2, n) float32, (n,) int64
        Points and their ids; of points equally near the one of the lowest id is taken.
    x, y, reach : float
        Where, and how far from it at most.
    """
    least, best = reach * reach, -1
    for r in range(len(runs)):
        for i in range(runs[r, 0], runs[r, 1]):
            dx, dy = np.float64(points[0, i]) - x, np.float64(points[1, i]) - y
            squared = dx * dx + dy * dy
            if squared < least or (squared == least and (best < 0 or steps[i] < steps[best])):
                least, best = squared, i
    return best


@kernel()
def inside_polygon(
    start: int,
    stop: int,
    first: int,
    points: NDArray[np.float32],
    steps: NDArray[np.int64],
    corners: NDArray[np.float64],
    bottom: float,
    factor: float,
    starts: NDArray[np.int64],
    edges: NDArray[np.int64],
    inside: NDArray[np.bool_],
) -> None:
    """Mark those of the points ``first + start`` to ``first + stop`` that lie inside a polygon, by the even-odd rule.

    Parameters
    ----------
    start, stop, first : int
        Points to work on.
    points, steps : (2, n) float32, (n,) int64
        Points and their ids.
    corners : (m, 2) float64
        Of the polygon; the last is joined to the first.
    bottom, factor : float
        Lowest corner, and slabs in one unit of length: a point's slab is ``floor((y - bottom) * factor)``.
    starts, edges : (slabs + 1,), (entries,) int64
        Edges that reach into each slab; edge e runs from corner e to the next. A point asks only those of its slab.
    inside : (n,) bool
        By id; set where a point is inside. One on an edge is inside one of the two polygons that share the edge.
    """
    m, slabs = len(corners), len(starts) - 1
    for i in range(first + start, first + stop):
        x, y = np.float64(points[0, i]), np.float64(points[1, i])
        place = (y - bottom) * factor
        odd = False
        if place >= 0.0 and place <= slabs:
            slab = min(int(place), slabs - 1)
            for e in range(starts[slab], starts[slab + 1]):
                a = edges[e]
                b = a + 1 if a + 1 < m else 0
                ya, yb = corners[a, 1], corners[b, 1]
                if (ya > y) != (yb > y) and x < (corners[b, 0] - corners[a, 0]) * (y - ya) / (yb - ya) + corners[a, 0]:
                    odd = not odd
        if odd:
            inside[steps[i]] = True
