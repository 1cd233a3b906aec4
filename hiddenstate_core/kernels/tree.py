"""Kernels of the Barnes-Hut repulsion: a linear quadtree or octree in Morton order, walked once for a run of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["BITS", "DIGIT", "LEAF", "RUN", "count_digits", "grow", "moments", "morton_codes", "place_digits"]
__all__ += ["take_points", "walk"]

#: A cell of at most `LEAF` points is not split; the tree is walked once for `RUN` points that follow in Morton order.
LEAF, RUN = 8, 32
#: Bits that one pass of the radix sort orders by.
DIGIT = 11
#: Bits of a Morton code for each axis, the depth of the tree, by dimensions.
BITS = {2: 31, 3: 21}
#: Cells and points gathered before their forces are summed, and the multiple (of every vector width) summed at once.
_BUFFER, _WHOLE = 1024, 64
#: Cells that wait to be opened: at most seven a level, and the children of the last.
_STACK = 256


@kernel()
def morton_codes(
    start: int,
    stop: int,
    positions: NDArray[np.float32],
    low: NDArray[np.float64],
    factor: float,
    bits: int,
    codes: NDArray[np.uint64],
) -> None:
    """Interleaved bits of the coordinates of points `start` to `stop`, the first axis lowest.

    Parameters
    ----------
    start, stop : int
        Points to work on.
    positions : (n, dims) float32
        Points.
    low : (dims,) float64
        Lower corner of the root cell.
    factor : float
        Smallest cells in one unit of length.
    bits : int
        Bits for each axis: the depth of the tree.
    codes : (n,) uint64
        Receives the codes.
    """
    dims = positions.shape[1]
    top = np.float64((1 << bits) - 1)
    for i in range(start, stop):
        code = np.uint64(0)
        for c in range(dims):
            v = np.uint64(min(max((positions[i, c] - low[c]) * factor, 0.0), top))
            if dims == 2:
                v = (v | (v << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
                v = (v | (v << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
                v = (v | (v << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                v = (v | (v << np.uint64(2))) & np.uint64(0x3333333333333333)
                v = (v | (v << np.uint64(1))) & np.uint64(0x5555555555555555)
            else:
                v = (v | (v << np.uint64(32))) & np.uint64(0x001F00000000FFFF)
                v = (v | (v << np.uint64(16))) & np.uint64(0x001F0000FF0000FF)
                v = (v | (v << np.uint64(8))) & np.uint64(0x100F00F00F00F00F)
                v = (v | (v << np.uint64(4))) & np.uint64(0x10C30C30C30C30C3)
                v = (v | (v << np.uint64(2))) & np.uint64(0x1249249249249249)
            code |= v << np.uint64(c)
        codes[i] = code


@kernel()
def count_digits(
    start: int, stop: int, block: int, shift: int, codes: NDArray[np.uint64], counts: NDArray[np.int64]
) -> None:
    """How often each digit (`DIGIT` bits from `shift` on) occurs in one block of codes, into its column of `counts`."""
    column = counts[:, start // block]
    mask = np.uint64((1 << DIGIT) - 1)
    for i in range(start, stop):
        column[(codes[i] >> np.uint64(shift)) & mask] += 1


@kernel()
def place_digits(
    start: int,
    stop: int,
    block: int,
    shift: int,
    codes: NDArray[np.uint64],
    order: NDArray[np.int32],
    places: NDArray[np.int64],
    new_codes: NDArray[np.uint64],
    new_order: NDArray[np.int32],
) -> None:
    """Move one block of codes and their points to where its column of `places` says, in order within a digit."""
    column = places[:, start // block].copy()
    mask = np.uint64((1 << DIGIT) - 1)
    for i in range(start, stop):
        digit = (codes[i] >> np.uint64(shift)) & mask
        place = column[digit]
        column[digit] = place + 1
        new_codes[place] = codes[i]
        new_order[place] = order[i]


@kernel()
def take_points(
    start: int,
    stop: int,
    positions: NDArray[np.float32],
    codes: NDArray[np.uint64],
    order: NDArray[np.int32],
    shift: int,
    points: NDArray[np.float32],
    crowded: NDArray[np.bool_],
) -> None:
    """The points in the order of the sort, and where a cell of the level sorted by still holds too many.

    Parameters
    ----------
    start, stop : int
        Places in the order to fill.
    positions : (n, dims) float32
        Points, by id.
    codes, order : (n,) uint64, int32
        Codes in ascending order of their bits from `shift` on, and the points they belong to.
    shift : int
        Low bits that the sort has passed over.
    points : (3, n) float32
        Receives the points, one axis a row.
    crowded : (n,) bool
        Set where more than `LEAF` codes, not all the same, agree from this place on in all bits sorted by.
    """
    n, dims = positions.shape
    low = np.uint64(shift)
    for s in range(start, stop):
        for c in range(dims):
            points[c, s] = positions[order[s], c]
        crowded[s] = False
        if s + LEAF < n and codes[s] >> low == codes[s + LEAF] >> low:
            for other in range(s + 1, s + LEAF + 1):
                crowded[s] |= codes[other] != codes[s]


@kernel()
def grow(
    start: int,
    stop: int,
    smallest: int,
    roots: NDArray[np.int64],
    ends: NDArray[np.int64],
    shape: NDArray[np.float64],
    codes: NDArray[np.uint64],
    links: NDArray[np.int32],
    cells: NDArray[np.float32],
) -> None:
    """Split cells into those of their children that hold points, these likewise, and so on; O(points below them).

    Parameters
    ----------
    start, stop : int
        Rows of `roots` to work on.
    smallest : int
        Cells of at most so many points are not split.
    roots : (r, 3) int64
        A cell whose range in `links` is there, the first free row for what comes below it, and a level it lies at or
        below.
    ends : (r,) int64
        Receives the first row still free.
    shape : (4,) float64
        Bits of a code for each axis, dimensions, side of the root cell, and the square of the distance beyond which a
        cell of side 1 counts as one point.
    codes : (n,) uint64
        Morton codes in ascending order.
    links : (rows, 4) int32
        Receives each cell's first and last + 1 child (its level and 0 where it is not split), and the first and
        last + 1 of its points.
    cells : (rows, 4) float32
        Receives in the last column the squared distance beyond which a cell counts as one point; negative, hence
        always, for more than `LEAF` points in the smallest cell there is, unless no cell ever does.

    Notes
    -----
    A cell is the smallest that holds its points, so it has at least two children, which lie in rows side by side.
    """
    bits, dims, width, factor = int(shape[0]), int(shape[1]), shape[2], shape[3]
    stack, levels = np.empty(_STACK, np.int32), np.empty(_STACK, np.int32)
    mask = np.uint64((1 << dims) - 1)
    for r in range(start, stop):
        stack[0], levels[0] = roots[r, 0], roots[r, 2]
        free, height = int(roots[r, 1]), 1
        while height > 0:
            height -= 1
            cell, level = int(stack[height]), int(levels[height])
            first, last = int(links[cell, 2]), int(links[cell, 3])
            size = last - first
            difference = codes[first] ^ codes[last - 1]
            while level < bits and difference >> np.uint64(dims * (bits - 1 - level)) == np.uint64(0):
                level += 1
            side = width / np.float64(1 << level)
            cells[cell, 3] = -1.0 if level == bits and size > LEAF and factor < np.inf else side * side * factor
            links[cell, 0], links[cell, 1] = level, 0
            if size <= smallest or level == bits:
                continue
            links[cell, 0] = free
            shift = np.uint64(dims * (bits - 1 - level))
            begin = first
            while begin < last:
                digit = (codes[begin] >> shift) & mask
                end, above = begin + 1, last
                while end < above:
                    middle = (end + above) >> 1
                    if (codes[middle] >> shift) & mask <= digit:
                        end = middle + 1
                    else:
                        above = middle
                links[free, 2], links[free, 3] = begin, end
                stack[height], levels[height] = free, level + 1
                height += 1
                free += 1
                begin = end
            links[cell, 1] = free
        ends[r] = free


@kernel()
def moments(
    start: int,
    stop: int,
    ranges: NDArray[np.int64],
    points: NDArray[np.float32],
    links: NDArray[np.int32],
    cells: NDArray[np.float32],
) -> None:
    """Centres of mass into the first columns of `cells`, for ranges `start` to `stop` of rows.

    A cell's children come after it, or in a range that is done; its points are summed in float64.
    """
    for r in range(start, stop):
        for cell in range(ranges[r, 1] - 1, ranges[r, 0] - 1, -1):
            first, last = links[cell, 2], links[cell, 3]
            x, y, z = 0.0, 0.0, 0.0
            if links[cell, 1] == 0:
                for s in range(first, last):
                    x += np.float64(points[0, s])
                    y += np.float64(points[1, s])
                    z += np.float64(points[2, s])
            else:
                for child in range(links[cell, 0], links[cell, 1]):
                    mass = np.float64(links[child, 3] - links[child, 2])
                    x += mass * cells[child, 0]
                    y += mass * cells[child, 1]
                    z += mass * cells[child, 2]
            size = np.float64(last - first)
            cells[cell, 0], cells[cell, 1], cells[cell, 2] = x / size, y / size, z / size


@kernel(fast=True, inline=True)
def _sum_buffer(
    buffer: NDArray[np.float32],
    size: int | np.int64,
    points: NDArray[np.float32],
    first: int,
    last: int,
    flat: bool,
    totals: NDArray[np.float64],
) -> None:
    """Add what the buffered masses do to points `first` to `last`: w^2 (y - c) and w, each times the mass."""
    xs, ys, zs, ms = buffer[0], buffer[1], buffer[2], buffer[3]
    whole = (size + _WHOLE - 1) // _WHOLE * _WHOLE  # filled up with masses of 0: the rest of a vector loop is slow
    for row in range(4):
        for e in range(size, whole):
            buffer[row, e] = np.float32(0)
    for s in range(first, last):
        x, y = points[0, s], points[1, s]
        fx, fy, fz, total = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        if flat:
            for e in range(np.uint64(whole)):
                dx, dy = x - xs[e], y - ys[e]
                w = np.float32(1) / (np.float32(1) + dx * dx + dy * dy)
                mw = ms[e] * w
                total += mw
                mw *= w
                fx += mw * dx
                fy += mw * dy
        else:
            z = points[2, s]
            for e in range(np.uint64(whole)):
                dx, dy, dz = x - xs[e], y - ys[e], z - zs[e]
                w = np.float32(1) / (np.float32(1) + dx * dx + dy * dy + dz * dz)
                mw = ms[e] * w
                total += mw
                mw *= w
                fx += mw * dx
                fy += mw * dy
                fz += mw * dz
            totals[s - first, 2] += fz
        totals[s - first, 0] += fx
        totals[s - first, 1] += fy
        totals[s - first, 3] += total


@kernel()
def walk(
    start: int,
    stop: int,
    cells: NDArray[np.float32],
    links: NDArray[np.int32],
    points: NDArray[np.float32],
    order: NDArray[np.int32],
    force: NDArray[np.float32],
    mass: NDArray[np.float64],
) -> None:
    """Barnes-Hut repulsion of the points from `start` to `stop` in Morton order.

    Parameters
    ----------
    start, stop : int
        Places in the order; `start` a multiple of `RUN`.
    cells, links : (rows, 4) float32, int32
        From `grow` and `moments`; the root first.
    points : (3, n + LEAF) float32
        Points in Morton order, one axis a row; zeros for an axis that is not in use. The last `LEAF` are never used.
    order : (n,) int32
        Their ids.
    force : (n, dims) float32
        Receives ``sum_j w_ij^2 (y_i - y_j)`` (van der Maaten 2014, section 4.2), by id.
    mass : (n,) float64
        Receives ``sum_{j != i} w_ij``, by id.

    Notes
    -----
    The tree is walked once a run, with the distance from the run's bounding box to a cell's centre of mass: never a
    looser test than each point's own. The cells and points met are buffered and summed in vector registers. What is
    tested is written both to the buffer and to the stack, and one of the two then moves on: a branch there would be
    foretold wrongly half of the time.
    """
    dims = force.shape[1]
    buffer, totals = np.empty((4, _BUFFER), np.float32), np.empty((RUN, 4))
    xs, ys, zs, ms = buffer[0], buffer[1], buffer[2], buffer[3]
    px, py, pz = points[0], points[1], points[2]
    stack = np.empty(_STACK, np.uint32)
    low, high = np.zeros(3, np.float32), np.zeros(3, np.float32)
    one, full = np.uint64(1), np.uint64(_BUFFER - 2 * LEAF)
    for first in range(start, stop, RUN):
        last = min(first + RUN, stop)
        for c in range(dims):
            low[c] = high[c] = points[c, first]
            for s in range(first + 1, last):
                low[c], high[c] = min(low[c], points[c, s]), max(high[c], points[c, s])
        left, right, bottom, top, front, back = low[0], high[0], low[1], high[1], low[2], high[2]
        totals[:] = 0.0
        size, height = np.uint64(0), np.uint64(0)
        begin, end = np.uint32(0), np.uint32(1)  # cells to test
        rest, until = np.uint64(0), np.uint64(0)  # points of a cell that was opened
        while True:
            for cell in range(begin, end):
                x, y, z = cells[cell, 0], cells[cell, 1], cells[cell, 2]
                dx = max(max(left - x, x - right), np.float32(0))
                dy = max(max(bottom - y, y - top), np.float32(0))
                dz = max(max(front - z, z - back), np.float32(0))
                xs[size] = x
                ys[size] = y
                zs[size] = z
                ms[size] = np.float32(links[cell, 3] - links[cell, 2])
                stack[height] = cell
                far = np.uint64(dx * dx + dy * dy + dz * dz > cells[cell, 3])
                size += far
                height += one - far
            begin = end = np.uint32(0)
            while begin == end and size <= full and (height > 0 or rest < until):
                if rest == until:
                    height -= one
                    opened = stack[height]
                    if links[opened, 1] > 0:
                        begin, end = np.uint32(links[opened, 0]), np.uint32(links[opened, 1])
                    else:
                        rest, until = np.uint64(links[opened, 2]), np.uint64(links[opened, 3])
                if rest < until:
                    for k in range(LEAF):  # always as many, which is one vector; those too many are overwritten
                        xs[size + np.uint64(k)] = px[rest + np.uint64(k)]
                        ys[size + np.uint64(k)] = py[rest + np.uint64(k)]
                        zs[size + np.uint64(k)] = pz[rest + np.uint64(k)]
                        ms[size + np.uint64(k)] = np.float32(1)
                    taken = min(until - rest, np.uint64(LEAF))
                    size += taken
                    rest += taken
            if begin == end or size > full:
                _sum_buffer(buffer, np.int64(size), points, first, last, dims == 2, totals)
                size = np.uint64(0)
                if begin == end and height == 0 and rest == until:
                    break
        for s in range(first, last):
            for c in range(dims):
                force[order[s], c] = totals[s - first, c]
            mass[order[s]] = totals[s - first, 3] - 1.0
