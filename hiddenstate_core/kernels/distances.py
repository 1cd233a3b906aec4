"""Kernels of pairwise distances: products of four states with a panel of others, binned or written down."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.blocks import Bins, Block
from hiddenstate_core.kernels.jit import kernel

__all__ = [
    "COSINE",
    "EUCLIDEAN",
    "MANHATTAN",
    "PANEL",
    "SQUARED",
    "count_pairs",
    "fill_distances",
    "pair_slots",
    "state_distances",
]

#: States of a panel. With 100 features it takes 100 kB and stays in the second cache. With 64 states, which the first
#: cache would hold, products took half as long again: the sums of a row were read back too soon after being written.
PANEL = 256
#: Kinds of distance. Products give COSINE as SQUARED: twice 1 less the cosine is the squared distance of rows of
#: length 1.
EUCLIDEAN, SQUARED, MANHATTAN, COSINE = 0, 1, 2, 3


@kernel(fast=True, inline=True)
def _products(panel: NDArray[np.float32], rows: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Inner products of four rows with the states of a panel; the same whichever state is row and which in the panel.

    Four rows share every load of the panel. Unsigned counters spare the check for negative indices, which would keep
    the loops from vectorising.
    """
    for c in range(np.uint64(PANEL)):
        out[0, c] = 0
        out[1, c] = 0
        out[2, c] = 0
        out[3, c] = 0
    for f in range(0, rows.shape[1], 4):
        a0, a1, a2, a3 = rows[0, f], rows[0, f + 1], rows[0, f + 2], rows[0, f + 3]
        b0, b1, b2, b3 = rows[1, f], rows[1, f + 1], rows[1, f + 2], rows[1, f + 3]
        c0, c1, c2, c3 = rows[2, f], rows[2, f + 1], rows[2, f + 2], rows[2, f + 3]
        d0, d1, d2, d3 = rows[3, f], rows[3, f + 1], rows[3, f + 2], rows[3, f + 3]
        v = panel[f : f + 4]
        for c in range(np.uint64(PANEL)):
            v0, v1, v2, v3 = v[0, c], v[1, c], v[2, c], v[3, c]
            out[0, c] = out[0, c] + a0 * v0 + a1 * v1 + a2 * v2 + a3 * v3
            out[1, c] = out[1, c] + b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3
            out[2, c] = out[2, c] + c0 * v0 + c1 * v1 + c2 * v2 + c3 * v3
            out[3, c] = out[3, c] + d0 * v0 + d1 * v1 + d2 * v2 + d3 * v3


@kernel(inline=True)
def _differences(panel: NDArray[np.float32], rows: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Sums of absolute differences of four rows from the states of a panel."""
    for c in range(np.uint64(PANEL)):
        out[0, c] = 0
        out[1, c] = 0
        out[2, c] = 0
        out[3, c] = 0
    for f in range(0, rows.shape[1], 2):
        a0, a1, b0, b1 = rows[0, f], rows[0, f + 1], rows[1, f], rows[1, f + 1]
        c0, c1, d0, d1 = rows[2, f], rows[2, f + 1], rows[3, f], rows[3, f + 1]
        v = panel[f : f + 2]
        for c in range(np.uint64(PANEL)):
            v0, v1 = v[0, c], v[1, c]
            out[0, c] += abs(a0 - v0) + abs(a1 - v1)
            out[1, c] += abs(b0 - v0) + abs(b1 - v1)
            out[2, c] += abs(c0 - v0) + abs(c1 - v1)
            out[3, c] += abs(d0 - v0) + abs(d1 - v1)


@kernel(fast=True, inline=True)
def _square(out: NDArray[np.float32], square: np.float32, squares: NDArray[np.float32]) -> None:
    """Squared distances from inner products, at least 0."""
    for c in range(np.uint64(PANEL)):
        value = (square + squares[c]) - np.float32(2) * out[c]
        out[c] = value if value > 0 else np.float32(0)


@kernel(inline=True)
def _rest(x: float, y: float, s: float, t: float, u: float) -> float:
    """y - (s + t + u) x; no sum is reordered here, `_cosine` tells why. The products are exact."""
    high = np.float64(np.float32(x))
    low = x - high
    return (((((y - s * high) - s * low) - t * high) - t * low) - u * high) - u * low


@kernel(fast=True, inline=True)
def _cosine(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """1 less the cosine of two states in float64, nearly parallel ones too; NaN where one is zero.

    The sine times \\|y\\| is the length of r, what remains of y once its share along x is taken off, and 1 - cos is
    sin^2 / (1 + cos). Let v = 2^-53 and w = (x.y) / (x.x). s is w in 24 bits, so that its products with x, which is
    taken apart into 24 bits and the 29 that remain, are exact: float64 products have 53. What is left to take off
    feature f is e = |w - s| |x_f| < 2^-23 |s x_f|, and all terms are multiples of q = v/2^22 times the powers of two
    in s and x_f. If |r_f| < 2^53 q, the differences have no rounding either. Otherwise, and where y_f is so small
    that it is no multiple of q, e < |r_f| / 2, so that r_f lies mostly across x, and is rounded by 4 v of what does.
    So r is known to within a few v of the length across x however near the states are. Of what s left along x, t and u
    take 24 bits each by the same argument, where it is a 32nd of r or more (t: sine below 2^-18, u: 2^-42), and the
    last of it is taken off the square. Together with the sums of d terms the distance is off by at most (4 d + 48) v
    times itself, if no angle but 0 is below 2^-64; of parallel states it is below 2^-128.
    """
    size, first = np.uint64(x.shape[0]), 0
    while first < x.shape[0] and x[first] == y[first]:
        first += 1
    if first < x.shape[0] and x[first] > y[first]:  # the same for (x, y) and (y, x)
        x, y = y, x
    xx, xy, yy = 0.0, 0.0, 0.0
    for f in range(size):
        xx += x[f] * x[f]
        xy += x[f] * y[f]
        yy += y[f] * y[f]
    if xx == 0 or yy == 0:
        return math.nan
    if first == x.shape[0]:
        return 0.0
    cosine = xy / (math.sqrt(xx) * math.sqrt(yy))
    if cosine < 0.5:
        return 1 - max(cosine, -1.0)
    s, t, u, square = np.float64(np.float32(xy / xx)), 0.0, 0.0, 0.0
    for turn in range(3):
        square, along = 0.0, 0.0
        for f in range(size):
            rest = _rest(x[f], y[f], s, t, u)
            square += rest * rest
            along += rest * x[f]
        left = np.float64(np.float32(along / xx))
        along = along / xx * along
        if along * 1024 <= square:
            break
        if turn == 0:
            t = left
        elif turn == 1:
            u = left
    return max(square - along, 0.0) / yy / (1 + cosine)


@kernel(fast=True, inline=True)
def _exact(x: NDArray[np.float64], y: NDArray[np.float64], kind: int) -> float:
    """Distance of two states in float64; the same for (x, y) and (y, x)."""
    if kind == COSINE:
        return _cosine(x, y)
    total = 0.0
    if kind == MANHATTAN:
        for f in range(np.uint64(x.shape[0])):
            total += abs(x[f] - y[f])
        return total
    for f in range(np.uint64(x.shape[0])):
        total += (x[f] - y[f]) * (x[f] - y[f])
    return math.sqrt(total) if kind == EUCLIDEAN else total


@kernel(inline=True)
def _slot(value: float, edges: NDArray[np.float64]) -> int:
    """Slot of a distance: bins are closed below and open above, the last one closed."""
    bins = len(edges) - 1
    if value == edges[bins]:
        return bins
    low, high = 0, bins + 1
    while low < high:
        middle = (low + high) // 2
        if edges[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(inline=True)
def _slots(
    values: NDArray[np.float32],
    reach: np.float32,
    reaches: NDArray[np.float32],
    bins: Bins,
    kind: int,
    slots: NDArray[np.int32],
) -> int:
    """Slots of the distances (squared, for EUCLIDEAN) of one row; returns how many are in doubt.

    A distance s computed from a square that is off by at most E is off by at most E / s and by at most sqrt(E). In
    bins, with q = sqrt(E) * inverse and S = s * inverse, the nearest edge at f bins is in doubt where
    f max(S, q) <= q^2. The square root, comparisons and conversions below all become vector instructions.
    """
    count = len(bins.edges) - 1
    doubt = np.int32(count + 2)
    none, one, half, slack = np.float32(0), np.float32(1), np.float32(0.5), np.float32(2.0**-21)
    if len(bins.table) > 0:
        top = np.float32(len(bins.table) - 1)
        for c in range(np.uint64(PANEL)):
            t = (np.sqrt(values[c]) if kind == EUCLIDEAN else values[c]) * bins.inverse - bins.low + one
            slots[c] = bins.table[np.uint64(max(none, min(t, top)))]
    else:
        top = np.float32(count)
        for c in range(np.uint64(PANEL)):
            scaled = (np.sqrt(values[c]) if kind == EUCLIDEAN else values[c]) * bins.inverse
            t = max(-one, min(scaled - bins.low, top + one))
            nearest = min(max(np.float32(np.int32(t + half)), bins.first), top)
            apart = abs(t - nearest) - slack
            q = reach + reaches[c]
            if kind == EUCLIDEAN:
                unsure = apart * max(scaled, q) <= q * q
            elif kind == MANHATTAN:
                unsure = apart <= q
            else:
                unsure = apart <= q * q
            slots[c] = doubt if unsure else np.int32(min(t, top) + one)
    found = np.int32(0)
    for c in range(np.uint64(PANEL)):
        found += np.int32(slots[c] == doubt)
    return int(found)


@kernel(inline=True)
def _count(slots: NDArray[np.int32], begin: int, end: int, counts: NDArray[np.int64]) -> None:
    """Count the slots of columns `begin` to `end` - 1; neighbours in lines of their own."""
    if begin == 0 and end == PANEL:
        for c in range(np.uint64(0), np.uint64(PANEL), np.uint64(4)):
            counts[0, np.uint64(slots[c])] += 1
            counts[1, np.uint64(slots[c + np.uint64(1)])] += 1
            counts[2, np.uint64(slots[c + np.uint64(2)])] += 1
            counts[3, np.uint64(slots[c + np.uint64(3)])] += 1
    else:
        for c in range(begin, end):
            counts[c % 4, slots[c]] += 1


@kernel()
def count_pairs(
    x: Block,
    y: Block,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    bins: Bins,
    kind: int,
    groups: int,
    counts: NDArray[np.int64],
) -> None:
    """Add the distances between two blocks of states to a histogram, without holding them.

    Parameters
    ----------
    x, y : Block
    first, last : (M,) int64
        Row i of `x` is paired with the states ``first[i]`` to ``last[i] - 1`` of `y`; with none where they are equal,
        as for the rows that pad the block.
    bins : Bins
        Its doubt has room for the reach of any two rows.
    kind : int
        EUCLIDEAN, SQUARED, MANHATTAN or COSINE.
    groups : int
        Number G of classes.
    counts : (4, G * G * (B + 3)) int64
        Added to, by class of the row, class of the column, and slot. Successive columns use one line each, so that one
        increment need not wait for the last where neighbours fall into the same bin.

    Notes
    -----
    Every distance is found in float32; those within reach of an edge are found again in float64 from the states as
    they came. Counts therefore do not depend on how the products round.
    """
    span = len(bins.edges) + 2
    doubt = len(bins.edges) + 1
    size = len(y.exact)
    values, slots = np.empty((4, PANEL), np.float32), np.empty((4, PANEL), np.int32)
    for p in range(y.panels.shape[0]):
        start = p * PANEL
        squares, reaches = y.squares[start : start + PANEL], y.reach[start : start + PANEL]
        columns = y.groups[start : start + PANEL]
        for i in range(0, len(x.rows), 4):
            low = min(min(first[i], first[i + 1]), min(first[i + 2], first[i + 3]))
            high = max(max(last[i], last[i + 1]), max(last[i + 2], last[i + 3]))
            if low >= start + PANEL or high <= start:
                continue
            if kind == MANHATTAN:
                _differences(y.panels[p], x.rows[i : i + 4], values)
            else:
                _products(y.panels[p], x.rows[i : i + 4], values)
            for g in range(4):
                r = i + g
                begin, end = max(first[r] - start, 0), min(last[r] - start, PANEL)
                if begin >= end:
                    continue
                if kind != MANHATTAN:
                    _square(values[g], x.squares[r], squares)
                unsure = _slots(values[g], x.reach[r], reaches, bins, kind, slots[g])
                if unsure > 0:
                    for c in range(begin, end):
                        if slots[g, c] == doubt and start + c < size:
                            slots[g, c] = _slot(_exact(x.exact[r], y.exact[start + c], kind), bins.edges)
                at = x.groups[r] * groups * span
                if groups > 1:
                    for c in range(np.uint64(PANEL)):
                        slots[g, c] += at + columns[c] * span
                _count(slots[g], begin, end, counts)


@kernel()
def fill_distances(
    start: int,
    stop: int,
    x: Block,
    y: Block,
    kind: int,
    unit: float,
    factor: float,
    column: int,
    out: NDArray[np.float32],
) -> None:
    """Write the distances of some rows of a block from all states of another.

    Parameters
    ----------
    start, stop : int
        Rows, `start` a multiple of 4.
    x, y : Block
        What lies within the sum of two rows' reaches (squared, for all but MANHATTAN) is found again in float64.
    kind : int
        EUCLIDEAN, SQUARED, MANHATTAN or COSINE.
    unit : float
        Scaled distance (or square) to distance (or square).
    factor : float
        0.5 for the cosine distance, otherwise 1.
    column : int
        Where the states of `y` begin in `out`.
    out : (m, n) float32
        Written; every number depends on its two states alone, and is 0 where they are equal.
    """
    values = np.empty((4, PANEL), np.float32)
    scale = np.float32(unit * factor)
    size = len(y.exact)
    for p in range(y.panels.shape[0]):
        at = p * PANEL
        width = min(PANEL, size - at)
        squares, reaches = y.squares[at : at + PANEL], y.reach[at : at + PANEL]
        for i in range(start, stop, 4):
            if kind == MANHATTAN:
                _differences(y.panels[p], x.rows[i : i + 4], values)
            else:
                _products(y.panels[p], x.rows[i : i + 4], values)
            for g in range(min(4, stop - i)):
                value, near = values[g], np.int32(0)
                if kind != MANHATTAN:
                    _square(value, x.squares[i + g], squares)
                for c in range(np.uint64(PANEL)):
                    q = x.reach[i + g] + reaches[c]
                    close = value[c] <= (q if kind == MANHATTAN else q * q)
                    near += np.int32(close)
                    value[c] = np.float32(-1) if close else value[c]
                target = out[i + g, column + at : column + at + width]
                if kind == EUCLIDEAN:
                    for c in range(np.uint64(width)):
                        target[c] = np.sqrt(max(value[c], np.float32(0))) * scale
                else:
                    for c in range(np.uint64(width)):
                        target[c] = value[c] * scale
                if near > 0:
                    for c in range(width):
                        if value[c] < 0:
                            target[c] = np.float32(_exact(x.exact[i + g], y.exact[at + c], kind))


@kernel()
def pair_slots(
    x: NDArray[np.float64], y: NDArray[np.float64], kind: int, edges: NDArray[np.float64], slots: NDArray[np.int64]
) -> None:
    """Write the slot of the distance of each row of `x` from the same row of `y`, all in float64; see `Bins`."""
    for i in range(len(x)):
        slots[i] = _slot(_exact(x[i], y[i], kind), edges)


@kernel()
def state_distances(
    start: int,
    stop: int,
    states: NDArray[np.float64],
    others: NDArray[np.float64],
    kind: int,
    out: NDArray[np.float64],
) -> None:
    """Write the distances of some rows from one state, or each from the same row of `others`, all in float64."""
    single = len(others) == 1
    for i in range(start, stop):
        out[i] = _exact(states[i], others[0 if single else i], kind)
