"""Kernels of the interpolated repulsion: charges spread over a regular grid, and fields read back from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["NODES", "apply_kernels", "gather_field", "join_fields", "spread_charges", "sum_tiles"]

#: Nodes along each axis that share out a point: those of a cubic spline, two on either side.
NODES = 4


@kernel(inline=True)
def _weights(u: np.float32, out: NDArray[np.float32]) -> None:
    """Cubic B-splines of the nodes -1, 0, 1, 2 at `u` in [0, 1); they sum to 1."""
    one, three, sixth = np.float32(1), np.float32(3), np.float32(1 / 6)
    v = one - u
    out[0] = v * v * v * sixth
    out[3] = u * u * u * sixth
    out[1] = (u * u * (three * u - np.float32(6)) + np.float32(4)) * sixth
    out[2] = (v * v * (three * v - np.float32(6)) + np.float32(4)) * sixth


@kernel()
def spread_charges(
    start: int,
    stop: int,
    size: int,
    positions: NDArray[np.float32],
    frame: NDArray[np.float64],
    boxes: NDArray[np.int64],
    tiles: NDArray[np.float64],
) -> None:
    """Spread a charge of 1 from each point over the 16 nodes around it; a tile for each block of points.

    Parameters
    ----------
    start, stop : int
        Blocks of points to work on.
    size : int
        Points in a block.
    positions : (n, 2) float32
        Points; each lies inside the grid.
    frame : (3,) float64
        Place of the second node of the second row, and nodes in a unit of length.
    boxes : (blocks, 5) int64
        First row and column, rows and columns of each block's tile, and where it begins in `tiles`.
    tiles : (nodes) float64
        Receives the charges, tile by tile. A sum of many charges of one node needs the length of float64.
    """
    n = positions.shape[0]
    low_x, low_y, scale = np.float32(frame[0]), np.float32(frame[1]), np.float32(frame[2])
    wx, wy = np.empty(NODES, np.float32), np.empty(NODES, np.float32)
    for b in range(start, stop):
        first, last = b * size, min((b + 1) * size, n)
        row, column, rows, columns, begin = boxes[b]
        tile = tiles[begin : begin + rows * columns]
        tile[:] = 0.0
        for i in range(first, last):
            x, y = (positions[i, 0] - low_x) * scale, (positions[i, 1] - low_y) * scale
            c, r = int(x), int(y)
            _weights(x - np.float32(c), wx)
            _weights(y - np.float32(r), wy)
            at = (r - row) * columns + c - column
            for a in range(NODES):
                for e in range(NODES):
                    tile[at + e] += wy[a] * wx[e]
                at += columns


@kernel()
def sum_tiles(
    start: int, stop: int, boxes: NDArray[np.int64], tiles: NDArray[np.float64], grid: NDArray[np.float32]
) -> None:
    """Add up the tiles of `spread_charges`, in their order, into rows `start` to `stop` of the grid of charges."""
    line = np.empty(grid.shape[1])
    for r in range(start, stop):
        line[:] = 0.0
        for b in range(boxes.shape[0]):
            row, column, rows, columns, begin = boxes[b]
            if row <= r < row + rows:
                at = begin + (r - row) * columns
                for c in range(np.uint64(columns)):
                    line[column + c] += tiles[at + c]
        for c in range(grid.shape[1]):
            grid[r, c] = line[c]


@kernel(fast=True)
def apply_kernels(
    start: int,
    stop: int,
    spectrum: NDArray[np.complex64],
    even: NDArray[np.float32],
    odd: NDArray[np.float32],
    products: NDArray[np.complex64],
) -> None:
    """Multiply rows `start` to `stop` of a spectrum by transforms of the three kernels.

    `spectrum` and `even` are (rows, columns), `odd` (2, rows, columns) holds imaginary parts, and `products`
    (3, rows, columns) receives potential and forces.
    """
    for r in range(start, stop):
        for c in range(spectrum.shape[1]):
            re, im = spectrum[r, c].real, spectrum[r, c].imag
            products[0, r, c] = complex(re * even[r, c], im * even[r, c])
            products[1, r, c] = complex(-im * odd[0, r, c], re * odd[0, r, c])
            products[2, r, c] = complex(-im * odd[1, r, c], re * odd[1, r, c])


@kernel()
def join_fields(start: int, stop: int, parts: NDArray[np.float32], fields: NDArray[np.float32]) -> None:
    """Rows `start` to `stop` of ``fields[r, c, :3] = parts[:, r, c]``, so that a node is one piece of memory."""
    for r in range(start, stop):
        for c in range(fields.shape[1]):
            for f in range(3):
                fields[r, c, f] = parts[f, r, c]
            fields[r, c, 3] = np.float32(0)


@kernel(fast=True)
def gather_field(
    start: int,
    stop: int,
    block: int,
    positions: NDArray[np.float32],
    frame: NDArray[np.float64],
    fields: NDArray[np.float32],
    force: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Read potential and force at points `start` to `stop`, one block, interpolated from the nodes around each.

    Parameters
    ----------
    start, stop : int
        Points to work on.
    block : int
        Points in a block.
    positions, frame
        As for `spread_charges`.
    fields : (rows, columns, 4) float32
        Potential, force along x, force along y, and nothing, at each node.
    force : (n, 2) float32
        Receives ``sum_j w_ij^2 (y_i - y_j)``.
    sums : (blocks,) float64
        Receives the block's part of Z, ``sum_i sum_{j != i} w_ij``; what a point itself contributes, 1, is taken off.
    """
    low_x, low_y, scale = np.float32(frame[0]), np.float32(frame[1]), np.float32(frame[2])
    columns = np.int64(fields.shape[1])
    nodes = fields.reshape(-1)
    wx, wy = np.empty(NODES, np.float32), np.empty(NODES, np.float32)
    spread, line = np.empty(4 * NODES, np.float32), np.empty(4 * NODES, np.float32)
    mass = 0.0
    for i in range(start, stop):
        x, y = (positions[i, 0] - low_x) * scale, (positions[i, 1] - low_y) * scale
        c, r = np.int64(x), np.int64(y)
        _weights(x - np.float32(c), wx)
        _weights(y - np.float32(r), wy)
        for e in range(NODES):
            for k in range(4):
                spread[4 * e + k] = wx[e]
        at, row = 4 * (r * columns + c), 4 * columns
        one, two = nodes[at : at + 16], nodes[at + row : at + row + 16]
        at += 2 * row
        three, four = nodes[at : at + 16], nodes[at + row : at + row + 16]
        for e in range(np.uint64(4 * NODES)):  # four nodes of a row and their fields are one vector register
            line[e] = spread[e] * (wy[0] * one[e] + wy[1] * two[e] + wy[2] * three[e] + wy[3] * four[e])
        mass += np.float64(line[0] + line[4] + line[8] + line[12]) - 1.0
        force[i, 0] = line[1] + line[5] + line[9] + line[13]
        force[i, 1] = line[2] + line[6] + line[10] + line[14]
    sums[start // block] = mass
