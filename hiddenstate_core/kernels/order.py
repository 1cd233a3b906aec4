"""Kernels that keep the points of a map in an order in which neighbours lie close together in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["block_bounds", "permute_points", "permute_rows"]


@kernel()
def block_bounds(start: int, stop: int, size: int, positions: NDArray[np.float32], bounds: NDArray[np.float32]) -> None:
    """Smallest and largest coordinates of each block of `size` points, into rows `start` to `stop` of `bounds`.

    `positions` is (n, dims), `bounds` (blocks, 2 dims): the lows, then the highs.
    """
    n, dims = positions.shape
    for b in range(start, stop):
        first, last = b * size, min((b + 1) * size, n)
        for c in range(dims):
            low = high = positions[first, c]
            for i in range(first, last):
                value = positions[i, c]
                low = value if value < low else low
                high = value if value > high else high
            bounds[b, c] = low
            bounds[b, dims + c] = high


@kernel()
def permute_points(
    start: int,
    stop: int,
    order: NDArray[np.int32],
    back: bool,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
) -> None:
    """``target[s] = source[order[s]]`` for places `start` to `stop`, or ``target[order[s]] = source[s]`` if `back`."""
    for s in range(start, stop):
        i = order[s]
        for c in range(source.shape[1]):
            if back:
                target[i, c] = source[s, c]
            else:
                target[s, c] = source[i, c]


@kernel()
def permute_rows(
    start: int,
    stop: int,
    order: NDArray[np.int32],
    rank: NDArray[np.int32],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    new_offsets: NDArray[np.int64],
    new_columns: NDArray[np.int32],
    new_values: NDArray[np.float32],
) -> None:
    """Rows `start` to `stop` of a sparse matrix whose points are renamed; O(nnz).

    Parameters
    ----------
    start, stop : int
        New rows to write.
    order, rank : (n,) int32
        Old name of each new one, and new name of each old one.
    offsets, columns, values : (n + 1) int64, (nnz) int32, (nnz) float32
        The matrix; only read.
    new_offsets : (n + 1) int64
        Where each new row goes.
    new_columns, new_values : (nnz) int32, float32
        Receive the rows. Entries keep the order they have within a row, so sums along rows stay the same to the bit.
    """
    for s in range(start, stop):
        at = new_offsets[s]
        for e in range(offsets[order[s]], offsets[order[s] + 1]):
            new_columns[at] = rank[columns[e]]
            new_values[at] = values[e]
            at += 1
