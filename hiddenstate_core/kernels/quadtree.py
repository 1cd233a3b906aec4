"""Kernels of the Barnes-Hut repulsion: a linear quadtree in Morton order, walked once for a group of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["GROUP", "LEAF", "LEVELS", "build_tree", "group_repulsion", "morton_order"]

#: Bits of a Morton code for each axis: the depth of the tree.
LEVELS = 16
#: A cell of at most `LEAF` points is not split; one of at most `GROUP` points is walked for at once.
LEAF, GROUP = 8, 32
#: Cells and points gathered before their forces are summed; a multiple of every vector width.
_BUFFER = 1024


@kernel(inline=True)
def _spread(value: int) -> int:
    """The low 16 bits of a number, each followed by a zero."""
    v = int(value)
    v = (v | (v << 8)) & 0x00FF00FF
    v = (v | (v << 4)) & 0x0F0F0F0F
    v = (v | (v << 2)) & 0x33333333
    v = (v | (v << 1)) & 0x55555555
    return v


@kernel()
def morton_order(
    positions: NDArray[np.float32], low: NDArray[np.float64], width: float
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Morton codes in ascending order, and the points in that order (equal codes by id); O(n).

    Parameters
    ----------
    positions : (n, 2) float32
        Points.
    low : (2,) float64
        Lower corner of the root cell.
    width : float
        Side of the root cell, above 0.
    """
    n = positions.shape[0]
    cells = 1 << LEVELS
    factor = cells / width
    codes = np.empty(n, np.uint32)
    order = np.empty(n, np.int32)
    for i in range(n):
        x = min(max(int((positions[i, 0] - low[0]) * factor), 0), cells - 1)
        y = min(max(int((positions[i, 1] - low[1]) * factor), 0), cells - 1)
        codes[i] = _spread(x) | (_spread(y) << 1)
        order[i] = i
    other_codes = np.empty(n, np.uint32)
    other_order = np.empty(n, np.int32)
    for shift in (0, 11, 22):  # least significant digit first, each pass stable
        places = np.zeros(2049, np.int64)
        for i in range(n):
            places[((codes[i] >> np.uint32(shift)) & np.uint32(2047)) + np.uint32(1)] += 1
        for digit in range(2048):
            places[digit + 1] += places[digit]
        for i in range(n):
            digit = (codes[i] >> np.uint32(shift)) & np.uint32(2047)
            other_codes[places[digit]] = codes[i]
            other_order[places[digit]] = order[i]
            places[digit] += 1
        codes, other_codes = other_codes, codes
        order, other_order = other_order, order
    return codes, order


@kernel()
def build_tree(
    codes: NDArray[np.uint32],
    order: NDArray[np.int32],
    positions: NDArray[np.float32],
    width: float,
    angle: float,
    cells: NDArray[np.float32],
    links: NDArray[np.int32],
    groups: NDArray[np.int32],
    points: NDArray[np.float32],
) -> tuple[int, int]:
    """Write the quadtree depth first; returns the numbers of cells and of groups. O(n).

    Parameters
    ----------
    codes, order : (n,) uint32, int32
        From `morton_order`.
    positions : (n, 2) float32
        Points, by id.
    width : float
        Side of the root cell.
    angle : float
        Ratio of a cell's side to its distance below which it counts as one point; 0 for never.
    cells : (2 n, 4) float32
        Receives centre of mass, number of points, and squared distance beyond which the cell counts as one point
        (negative: always).
    links : (2 n, 3) int32
        Receives the cell after this one's subtree, and the first and last + 1 of its points in Morton order.
    groups : (n, 2) int32
        Receives disjoint runs of at most `GROUP` points that lie close together.
    points : (2, n) float32
        Receives the points in Morton order, one axis a row.

    Notes
    -----
    Each inner cell is the smallest that holds its points, so it has at least two children. A cell never counts as one
    point for what lies inside it: its diagonal bounds the distance from below.
    """
    n = codes.shape[0]
    sums = np.zeros((n + 1, 2))
    for s in range(n):
        for c in range(2):
            points[c, s] = positions[order[s], c]
            sums[s + 1, c] = sums[s, c] + points[c, s]
    stack = np.empty((4 * LEVELS + 8, 3), np.int64)  # first, last + 1, whether a group holds it already
    opened = np.empty(LEVELS + 2, np.int64)  # inner cells whose subtree is being written, outermost first
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, n, 0
    height, count, group, depth = 1, 0, 0, 0
    while height > 0:
        height -= 1
        first, last, grouped = stack[height, 0], stack[height, 1], stack[height, 2]
        size = last - first
        difference = codes[first] ^ codes[last - 1]
        level = LEVELS
        while difference > np.uint32(0):
            difference >>= np.uint32(2)
            level -= 1
        leaf = size <= LEAF or level == LEVELS
        while depth > 0 and links[opened[depth - 1], 2] <= first:
            depth -= 1
            links[opened[depth], 0] = count
        if leaf:
            links[count, 0] = count + 1
        else:
            opened[depth] = count
            depth += 1
        side = width / (1 << level)
        cells[count, 0] = (sums[last, 0] - sums[first, 0]) / size
        cells[count, 1] = (sums[last, 1] - sums[first, 1]) / size
        cells[count, 2] = size
        if leaf and size > LEAF:
            cells[count, 3] = -1.0  # more points than a leaf holds in the smallest cell there is
        else:
            cells[count, 3] = side * side * max(1.0 / (angle * angle), 2.0) if angle > 0.0 else np.inf
        links[count, 1] = first
        links[count, 2] = last
        count += 1
        if size <= GROUP or leaf:
            if grouped == 0:
                for begin in range(first, last, GROUP):
                    groups[group, 0] = begin
                    groups[group, 1] = min(begin + GROUP, last)
                    group += 1
            grouped = 1
        if leaf:
            continue
        shift = np.uint32(2 * (LEVELS - level - 1))
        end = last
        for child in range(3, -1, -1):  # pushed in reverse, so that they come out in Morton order
            begin = first
            if child > 0:
                above = end
                while begin < above:
                    middle = (begin + above) // 2
                    if ((codes[middle] >> shift) & np.uint32(3)) < np.uint32(child):
                        begin = middle + 1
                    else:
                        above = middle
            if begin < end:
                stack[height, 0], stack[height, 1], stack[height, 2] = begin, end, grouped
                height += 1
            end = begin
    for d in range(depth):
        links[opened[d], 0] = count
    return count, group


@kernel(fast=True, inline=True)
def _sum_buffer(
    buffer: NDArray[np.float32],
    size: int,
    points: NDArray[np.float32],
    first: int,
    last: int,
    totals: NDArray[np.float64],
) -> None:
    """Add what the buffered masses do to points `first` to `last`: w^2 (y - c) and w, each times the mass."""
    xs, ys, ms = buffer[0], buffer[1], buffer[2]
    for s in range(first, last):
        x, y = points[0, s], points[1, s]
        fx, fy, total = np.float32(0), np.float32(0), np.float32(0)
        for e in range(np.uint64(size)):
            dx, dy = x - xs[e], y - ys[e]
            w = np.float32(1) / (np.float32(1) + dx * dx + dy * dy)
            mw = ms[e] * w
            total += mw
            mw *= w
            fx += mw * dx
            fy += mw * dy
        totals[s - first, 0] += fx
        totals[s - first, 1] += fy
        totals[s - first, 2] += total


@kernel()
def group_repulsion(
    start: int,
    stop: int,
    count: int,
    cells: NDArray[np.float32],
    links: NDArray[np.int32],
    groups: NDArray[np.int32],
    points: NDArray[np.float32],
    order: NDArray[np.int32],
    force: NDArray[np.float32],
    mass: NDArray[np.float64],
) -> None:
    """Barnes-Hut repulsion of the points of groups `start` to `stop`.

    Parameters
    ----------
    start, stop : int
        Groups to work on.
    count : int
        Cells in the tree.
    cells, links, groups, points
        From `build_tree`.
    order : (n,) int32
        From `morton_order`.
    force : (n, 2) float32
        Receives ``sum_j w_ij^2 (y_i - y_j)`` (van der Maaten 2014, section 4.2), by id.
    mass : (n,) float64
        Receives ``sum_{j != i} w_ij``, by id.

    Notes
    -----
    The tree is walked once a group, with the distance from the group's bounding box to a cell's centre of mass: never
    a looser test than each point's own. The cells and points met are buffered and summed in vector registers.
    """
    buffer = np.empty((3, _BUFFER), np.float32)
    totals = np.empty((GROUP, 3))
    for g in range(start, stop):
        first, last = int(groups[g, 0]), int(groups[g, 1])
        left, right = points[0, first], points[0, first]
        bottom, top = points[1, first], points[1, first]
        for s in range(first + 1, last):
            left, right = min(left, points[0, s]), max(right, points[0, s])
            bottom, top = min(bottom, points[1, s]), max(top, points[1, s])
        totals[:] = 0.0
        size = 0
        at = 0
        while at < count:
            if size > _BUFFER - LEAF:
                _sum_buffer(buffer, size, points, first, last, totals)
                size = 0
            dx = max(max(left - cells[at, 0], cells[at, 0] - right), np.float32(0))
            dy = max(max(bottom - cells[at, 1], cells[at, 1] - top), np.float32(0))
            if dx * dx + dy * dy > cells[at, 3]:
                buffer[0, size], buffer[1, size], buffer[2, size] = cells[at, 0], cells[at, 1], cells[at, 2]
                size += 1
                at = links[at, 0]
            elif links[at, 0] == at + 1:
                for s in range(links[at, 1], links[at, 2]):
                    buffer[0, size], buffer[1, size], buffer[2, size] = points[0, s], points[1, s], np.float32(1)
                    size += 1
                at += 1
            else:
                at += 1
        _sum_buffer(buffer, size, points, first, last, totals)
        for s in range(first, last):
            force[order[s], 0] = totals[s - first, 0]
            force[order[s], 1] = totals[s - first, 1]
            mass[order[s]] = totals[s - first, 2] - 1.0
