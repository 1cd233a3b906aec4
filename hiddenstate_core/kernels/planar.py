"""Kernels of the nearest neighbours in a map: a balanced k-d tree over points of up to three dimensions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["nearest_in_map", "split_nodes"]


@kernel()
def split_nodes(
    start: int,
    stop: int,
    level: int,
    depth: int,
    axes: NDArray[np.float32],
    order: NDArray[np.int64],
    boxes: NDArray[np.float32],
) -> None:
    """Bound nodes `start` to `stop` of one level of the tree, and bring each one's points in order for its children.

    Parameters
    ----------
    start, stop : int
        Nodes of the level to work on.
    level, depth : int
        The level, 0 for the root, and that of the leaves, which are not split. Node i of the level holds the points
        ``n i / 2^level`` to ``n (i + 1) / 2^level``, so no links are stored.
    axes, order : (3, n) float32, (n,) int64
        Coordinates, one axis a row, and ids; both are permuted so that every node's points stand together.
    boxes : (2^(depth + 1), 2, 3) float32
        Row ``2^level + i`` receives the node's lower and upper corner.

    Notes
    -----
    Bentley 1975; a node is split at the median of its widest axis by selection (Hoare 1961), equal keys evenly, so any
    number of equal points leaves the tree balanced. O(n) a level.
    """
    n = order.shape[0]
    for i in range(start, stop):
        begin, end = (n * i) >> level, (n * (i + 1)) >> level
        node = (1 << level) + i
        widest, axis = -1.0, 0
        for c in range(3):
            small = big = axes[c, begin]
            for s in range(begin + 1, end):
                small, big = min(small, axes[c, s]), max(big, axes[c, s])
            boxes[node, 0, c], boxes[node, 1, c] = small, big
            width = np.float64(big) - np.float64(small)
            if width > widest:
                widest, axis = width, c
        if level == depth or widest == 0.0:
            continue
        middle = (n * (2 * i + 1)) >> (level + 1)
        keys = axes[axis]
        low, high = begin, end - 1
        while low < high:
            pivot = keys[(low + high) // 2]
            a, b = low, high
            while a <= b:
                while keys[a] < pivot:
                    a += 1
                while keys[b] > pivot:
                    b -= 1
                if a <= b:
                    for c in range(3):
                        axes[c, a], axes[c, b] = axes[c, b], axes[c, a]
                    order[a], order[b] = order[b], order[a]
                    a += 1
                    b -= 1
            if middle <= b:
                high = b
            elif middle >= a:
                low = a
            else:
                break


@kernel(inline=True)
def _box_distance(boxes: NDArray[np.float32], node: int, x: float, y: float, z: float) -> float:
    """Squared distance of a point from a node's box; rounded like a point's, so never above that of a point in it."""
    dx = max(np.float64(boxes[node, 0, 0]) - x, x - np.float64(boxes[node, 1, 0]), 0.0)
    dy = max(np.float64(boxes[node, 0, 1]) - y, y - np.float64(boxes[node, 1, 1]), 0.0)
    dz = max(np.float64(boxes[node, 0, 2]) - z, z - np.float64(boxes[node, 1, 2]), 0.0)
    return dx * dx + dy * dy + dz * dz


@kernel()
def nearest_in_map(
    start: int,
    stop: int,
    depth: int,
    axes: NDArray[np.float32],
    order: NDArray[np.int64],
    boxes: NDArray[np.float32],
    distances: NDArray[np.float32],
    indices: NDArray[np.int64],
) -> None:
    """The k nearest other points of every point in leaves `start` to `stop`, exactly.

    Parameters
    ----------
    start, stop : int
        Leaves to work on.
    depth, axes, order, boxes
        The tree, from `split_nodes`.
    distances, indices : (n, k) float32, int64
        Receive ascending distances and ids, by id.

    Notes
    -----
    A point's own leaf is searched first, then the other side of each split above it, nearer child first, unless its
    box is no nearer than the k-th neighbour so far (Friedman, Bentley & Finkel 1977). Of points equally far the first
    met are kept, so a point among thousands of copies is done once it has met k.
    """
    n, k = indices.shape
    leaves = 1 << depth
    best, found = np.empty(k), np.empty(k, np.int64)
    waiting, bounds = np.empty(2 * depth + 4, np.int64), np.empty(2 * depth + 4)
    for leaf in range(start, stop):
        for s in range((n * leaf) >> depth, (n * (leaf + 1)) >> depth):
            x, y, z = np.float64(axes[0, s]), np.float64(axes[1, s]), np.float64(axes[2, s])
            best[:] = np.inf
            path = leaves + leaf
            waiting[0], bounds[0] = path, 0.0
            height = 1
            while True:
                while height > 0:
                    height -= 1
                    node = waiting[height]
                    if bounds[height] >= best[k - 1]:
                        continue
                    if node < leaves:
                        left = _box_distance(boxes, 2 * node, x, y, z)
                        right = _box_distance(boxes, 2 * node + 1, x, y, z)
                        nearer = 0 if left <= right else 1
                        waiting[height], bounds[height] = 2 * node + 1 - nearer, max(left, right)
                        waiting[height + 1], bounds[height + 1] = 2 * node + nearer, min(left, right)
                        height += 2
                        continue
                    for t in range((n * (node - leaves)) >> depth, (n * (node - leaves + 1)) >> depth):
                        dx, dy, dz = x - np.float64(axes[0, t]), y - np.float64(axes[1, t]), z - np.float64(axes[2, t])
                        d = dx * dx + dy * dy + dz * dz
                        if d < best[k - 1] and t != s:
                            at = k - 1
                            while at > 0 and best[at - 1] > d:
                                best[at], found[at] = best[at - 1], found[at - 1]
                                at -= 1
                            best[at], found[at] = d, t
                if path == 1:
                    break
                waiting[0], bounds[0] = path ^ 1, _box_distance(boxes, path ^ 1, x, y, z)
                height = 1
                path >>= 1
            i = order[s]
            for e in range(k):
                distances[i, e] = np.float32(math.sqrt(best[e]))
                indices[i, e] = order[found[e]]
