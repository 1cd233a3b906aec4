"""Kernel that places new points into a fixed map, each on its own."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["place_points"]


@kernel(inline=True)
def _attract(
    place: NDArray[np.float64],
    map_points: NDArray[np.float32],
    ids: NDArray[np.int64],
    weights: NDArray[np.float32],
    out: NDArray[np.float64],
) -> float:
    """``sum_j p_j w_j (y - y_j)`` into `out`; returns ``sum_j p_j log(1 + |y - y_j|^2)``."""
    dims = map_points.shape[1]
    out[:] = 0.0
    total = 0.0
    for e in range(ids.shape[0]):
        square = 1.0
        for c in range(dims):
            square += (place[c] - map_points[ids[e], c]) ** 2
        w = weights[e] / square
        for c in range(dims):
            out[c] += w * (place[c] - map_points[ids[e], c])
        total += weights[e] * math.log(square)
    return total


@kernel(inline=True)
def _repel_grid(
    place: NDArray[np.float64], frame: NDArray[np.float64], fields: NDArray[np.float32], out: NDArray[np.float64]
) -> float:
    """As `_repel_all`, read from a grid by cubic B-splines."""
    last = np.empty(2, np.int64)
    wx, wy = np.empty(4), np.empty(4)
    for c in range(2):
        at = (place[c] - frame[c]) * frame[2]
        last[c] = min(max(int(at), 0), fields.shape[1 - c] - 4)
        u = at - last[c]
        weights = wx if c == 0 else wy
        v = 1.0 - u
        weights[0] = v * v * v / 6
        weights[1] = (u * u * (3 * u - 6) + 4) / 6
        weights[2] = (v * v * (3 * v - 6) + 4) / 6
        weights[3] = u * u * u / 6
    total = 0.0
    out[:] = 0.0
    for a in range(4):
        for b in range(4):
            w = wy[a] * wx[b]
            total += w * fields[last[1] + a, last[0] + b, 0]
            out[0] += w * fields[last[1] + a, last[0] + b, 1]
            out[1] += w * fields[last[1] + a, last[0] + b, 2]
    return total


@kernel(inline=True)
def _repel_all(place: NDArray[np.float64], map_points: NDArray[np.float32], out: NDArray[np.float64]) -> float:
    """``sum_j w_j^2 (y - y_j)`` over the whole map into `out`; returns ``sum_j w_j``."""
    dims = map_points.shape[1]
    out[:] = 0.0
    total = 0.0
    for j in range(map_points.shape[0]):
        square = 1.0
        for c in range(dims):
            square += (place[c] - map_points[j, c]) ** 2
        w = 1.0 / square
        total += w
        for c in range(dims):
            out[c] += w * w * (place[c] - map_points[j, c])
    return total


@kernel()
def place_points(
    start: int,
    stop: int,
    map_points: NDArray[np.float32],
    ids: NDArray[np.int64],
    weights: NDArray[np.float32],
    frame: NDArray[np.float64],
    fields: NDArray[np.float32],
    settings: NDArray[np.float64],
    places: NDArray[np.float32],
) -> None:
    """Lower each new point's own divergence, ``sum_j p_j log(p_j / q_j)`` with ``q_j = w_j / sum_i w_i``.

    Parameters
    ----------
    start, stop : int
        New points to place.
    map_points : (n, dims) float32
        The map.
    ids, weights : (m, k) int64, float32
        Neighbours of each new point in the map, and their p_j, which sum to 1.
    frame, fields : (3,) float64, (rows, columns, 4) float32
        Grid of what the map does to any place (see `gather_field`); with no rows, the map's points are summed one by
        one.
    settings : (4 + 2 dims,) float64
        Iterations, learning rate, momentum, longest step; lowest and highest coordinates of the map.
    places : (m, dims) float32
        Receives the places. A row depends on its own neighbours and the map alone.

    Notes
    -----
    Each point starts from the neighbour that pulls most of the others' weight, ``sum_j p_j w_j``, so that neighbours in
    several parts of the map do not leave it between them. O(k^2 + iterations k) a point, and n an iteration without a
    grid.
    """
    dims = map_points.shape[1]
    iterations, rate, momentum, longest = int(settings[0]), settings[1], settings[2], settings[3]
    place, velocity, pull, push = np.empty(dims), np.empty(dims), np.empty(dims), np.empty(dims)
    for i in range(start, stop):
        best = -1.0
        for e in range(ids.shape[1]):
            total = 0.0
            for o in range(ids.shape[1]):
                square = 1.0
                for c in range(dims):
                    square += (np.float64(map_points[ids[i, e], c]) - map_points[ids[i, o], c]) ** 2
                total += weights[i, o] / square
            if total > best:
                best = total
                for c in range(dims):
                    place[c] = map_points[ids[i, e], c]
        velocity[:] = 0.0
        for _ in range(iterations):
            _attract(place, map_points, ids[i], weights[i], pull)
            if fields.shape[0] > 0:
                mass = _repel_grid(place, frame, fields, push)
            else:
                mass = _repel_all(place, map_points, push)
            length = 0.0
            for c in range(dims):
                velocity[c] = momentum * velocity[c] - rate * (pull[c] - push[c] / mass)
                length += velocity[c] * velocity[c]
            shrink = 1.0 if length <= longest * longest else longest / math.sqrt(length)
            for c in range(dims):
                velocity[c] *= shrink
                place[c] = min(max(place[c] + velocity[c], settings[4 + c]), settings[4 + dims + c])
        for c in range(dims):
            places[i, c] = place[c]
