"""Kernels of the t-SNE gradient that every method shares: attraction, exact repulsion, divergence, one step."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["attraction", "divergence_terms", "exact_repulsion", "step"]


#: Neighbours whose places are gathered before their forces are summed.
_BUFFER = 256


@kernel(fast=True)
def attraction(
    start: int,
    stop: int,
    positions: NDArray[np.float32],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    force: NDArray[np.float32],
) -> None:
    """``sum_j p_ij w_ij (y_i - y_j)`` with ``w_ij = 1 / (1 + |y_i - y_j|^2)``, into rows `start` to `stop` of `force`.

    The first sum of van der Maaten 2014, eq. 8, over the stored p_ij alone; O(nnz).

    Notes
    -----
    In the plane a place is one 8-byte load: gathered first and summed from a buffer, which is faster than the vector
    gathers of two coordinates that a plain loop compiles to.
    """
    dims = positions.shape[1]
    buffer = np.empty((_BUFFER, 2), np.float32)
    words, pairs = buffer.view(np.uint64), positions[:, :2].view(np.uint64) if dims == 2 else buffer.view(np.uint64)
    for i in range(start, stop):
        x, y = positions[i, 0], positions[i, 1]
        begin, end = offsets[i], offsets[i + 1]
        fx, fy, fz = np.float32(0), np.float32(0), np.float32(0)
        if dims == 2:
            while begin < end:
                size, first = np.uint64(min(_BUFFER, end - begin)), np.uint64(begin)
                for e in range(size):
                    words[e, 0] = pairs[np.uint32(columns[first + e]), 0]
                for e in range(size):
                    dx, dy = x - buffer[e, 0], y - buffer[e, 1]
                    w = values[first + e] / (np.float32(1) + dx * dx + dy * dy)
                    fx += w * dx
                    fy += w * dy
                begin += _BUFFER
        else:
            z = positions[i, 2]
            for e in range(np.uint64(begin), np.uint64(end)):
                j = np.uint32(columns[e])
                dx, dy, dz = x - positions[j, 0], y - positions[j, 1], z - positions[j, 2]
                w = values[e] / (np.float32(1) + dx * dx + dy * dy + dz * dz)
                fx += w * dx
                fy += w * dy
                fz += w * dz
            force[i, 2] = fz
        force[i, 0] = fx
        force[i, 1] = fy


@kernel(fast=True)
def exact_repulsion(
    start: int, stop: int, axes: NDArray[np.float32], force: NDArray[np.float32], mass: NDArray[np.float64]
) -> None:
    """``sum_j w_ij^2 (y_i - y_j)`` and ``sum_{j != i} w_ij`` over all points; O(n) a row.

    Parameters
    ----------
    start, stop : int
        Rows to work on.
    axes : (3, n) float32
        Coordinates, one axis a row; zeros for an axis that is not in use.
    force : (n, 2 or 3) float32
        Receives the unnormalised repulsion: the second sum of van der Maaten 2014, eq. 8, times Z.
    mass : (n,) float64
        Receives each point's part of ``Z = sum_i sum_{j != i} w_ij``.
    """
    n = axes.shape[1]
    dims = force.shape[1]
    xs, ys, zs = axes[0], axes[1], axes[2]
    for i in range(start, stop):
        x, y, z = xs[i], ys[i], zs[i]
        fx, fy, fz, total = np.float64(0), np.float64(0), np.float64(0), np.float64(0)
        first = 0
        while first < n:  # chunks that end before and begin after the point itself, whose w of 1 would drown the rest
            if first == i:
                first += 1
                continue
            last = min(first + 4096, i if first < i else n)
            px, py, pz, pw = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for j in range(np.uint64(first), np.uint64(last)):
                dx, dy, dz = x - xs[j], y - ys[j], z - zs[j]
                w = np.float32(1) / (np.float32(1) + dx * dx + dy * dy + dz * dz)
                pw += w
                w *= w
                px += w * dx
                py += w * dy
                pz += w * dz
            fx += px
            fy += py
            fz += pz
            total += pw
            first = last
        force[i, 0] = fx
        force[i, 1] = fy
        if dims == 3:
            force[i, 2] = fz
        mass[i] = total


@kernel(fast=True)
def divergence_terms(
    start: int,
    stop: int,
    positions: NDArray[np.float32],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    terms: NDArray[np.float64],
) -> None:
    """``sum_j p_ij log(1 + |y_i - y_j|^2)`` of each row.

    The sum of these over all rows, plus ``sum p_ij log p_ij`` and ``log Z``, is KL(P || Q).

    Notes
    -----
    The logarithm is ``e log 2 + 2 artanh((m - 1) / (m + 1))`` for ``m 2^e`` with m between the square roots of 1/2
    and 2, eight terms of the series: to 1e-13, and unlike the library's logarithm it vectorises.
    """
    dims = positions.shape[1]
    for i in range(start, stop):
        x, y = np.float64(positions[i, 0]), np.float64(positions[i, 1])
        z = np.float64(positions[i, dims - 1])
        total = 0.0
        for e in range(np.uint64(offsets[i]), np.uint64(offsets[i + 1])):
            j = np.uint32(columns[e])
            dx, dy, dz = x - positions[j, 0], y - positions[j, 1], z - positions[j, dims - 1]
            if dims == 2:
                dz = 0.0
            value = 1.0 + (dx * dx + dy * dy + dz * dz)
            bits = np.float64(value).view(np.int64)
            # the exponent that leaves a mantissa in [sqrt(1/2), sqrt(2))
            exponent = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
            mantissa = np.int64(bits - (exponent << np.int64(52))).view(np.float64)
            s = (mantissa - 1.0) / (mantissa + 1.0)
            q = s * s
            series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))))
            total += values[e] * (exponent * 0.6931471805599453 + 2.0 * s * series)
        terms[i] = total


@kernel()
def step(
    start: int,
    stop: int,
    block: int,
    positions: NDArray[np.float32],
    velocity: NDArray[np.float32],
    gains: NDArray[np.float32],
    attract: NDArray[np.float32],
    repel: NDArray[np.float32],
    settings: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Move points one step down the gradient, with momentum and gains (Jacobs 1988).

    Parameters
    ----------
    start, stop : int
        Points to move: one block.
    block : int
        Points in a block.
    positions, velocity, gains, attract, repel : (n, dims) float32
        State of the optimiser (changed in place) and the two forces.
    settings : (5 + dims,) float64
        Exaggeration, 1 / Z, learning rate, momentum, longest step allowed, and the map's mean, which is taken off.
    sums : (blocks, 1 + dims) float64
        Receives the squared length of the block's gradient, a quarter of dC/dy, and the sum of its new positions.
    """
    exaggeration, inverse, rate = settings[0], settings[1], settings[2]
    momentum, longest = settings[3], settings[4]
    dims = positions.shape[1]
    total = sums[start // block]
    total[:] = 0.0
    for i in range(start, stop):
        length = 0.0
        for c in range(dims):
            gradient = exaggeration * attract[i, c] - inverse * repel[i, c]
            total[0] += gradient * gradient
            same = (gradient > 0.0) == (velocity[i, c] > 0.0)
            gain = max(gains[i, c] * 0.8 if same else gains[i, c] + 0.2, 0.01)
            gains[i, c] = gain
            velocity[i, c] = momentum * velocity[i, c] - rate * gain * gradient
            length += np.float64(velocity[i, c]) ** 2
        if length > longest * longest:
            shrink = longest / math.sqrt(length)
            for c in range(dims):
                velocity[i, c] *= shrink
        for c in range(dims):
            positions[i, c] += velocity[i, c] - settings[5 + c]
            total[1 + c] += positions[i, c]
