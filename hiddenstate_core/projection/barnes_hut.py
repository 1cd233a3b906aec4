"""Repulsion by Barnes-Hut: far cells of a quadtree or octree as single points."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import tree
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection.gradients import Exact

__all__ = ["BarnesHut", "morton_order"]

#: Points in a block of work; cells of the tree that are split first and then shared out, at most so many a level.
_GRAIN, _SHARES = 1 << 14, 256
#: Points below which a cell is not shared out; runs of points walked for in a block of work.
_SMALLEST, _RUNS = 2048, 16
#: Mean of ``sum_j w_ij`` below which the rounding of a point's own 1 would show in Z, and up to so many points of such
#: a map every pair is summed instead.
_SPARSE, _SUMMED_POINTS = 1e-2, 20_000
#: Low bits of the codes that are not sorted by unless the map needs them.
_DEEP = 30


@dataclasses.dataclass(frozen=True)
class BarnesHut:
    """Far cells as single points (van der Maaten 2014, section 4.2): O(n log n), two or three dimensions.

    Parameters
    ----------
    angle : float
        0 to 1: a cell counts as one point where its side is less than `angle` times its distance. 0 is exact.

    Notes
    -----
    The tree is linear: points in Morton order (Warren & Salmon 1993), 16 levels in the plane and 11 in space, 31 and
    21 where a cell would still hold many points; the many points of a smallest cell count as one unless the angle
    is 0. It is rebuilt in every call, its subtrees in parallel. No cell with children counts as one point for what
    lies inside it.
    """

    angle: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.angle <= 1:
            raise InputError(f"The angle of Barnes-Hut must lie in 0..1, not {self.angle}.")

    def __call__(self, positions: NDArray[np.float32], workers: Workers) -> tuple[NDArray[np.float32], float]:
        """See `Repulsion`."""
        n, dims = positions.shape
        if dims not in (2, 3):
            raise InputError(f"Barnes-Hut works in 2 or 3 dimensions, not {dims}.")
        grown = Tree(positions, self.angle, workers)
        force, mass = np.empty_like(positions), np.empty(n)
        workers.run(
            tree.walk, n, _RUNS * tree.RUN, grown.cells, grown.links, grown.points, grown.order, force, mass
        )  # fmt: skip
        total = float(mass.sum())
        if total < _SPARSE * n and n <= _SUMMED_POINTS:
            return Exact()(positions, workers)
        return force, total


class Tree:
    """A quadtree or octree over the points of a map; arrays as `hiddenstate_core.kernels.tree.walk` takes them.

    Parameters
    ----------
    positions : (n, dims) float32, C order
        The map.
    angle : float
        See `BarnesHut`.
    workers : Workers
        Threads to use; the tree does not depend on their number.

    Attributes
    ----------
    order : (n,) int32
        Ids of the points in Morton order.
    points : (3, n + LEAF) float32
        The points in that order, one axis a row.
    cells, links : (rows, 4) float32, int32
        Centre of mass and squared reach; children and points. Rows between two subtrees are not in use.
    """

    def __init__(self, positions: NDArray[np.float32], angle: float, workers: Workers) -> None:
        n, dims = positions.shape
        codes, width = _codes(positions, workers)
        order = np.arange(n, dtype=np.int32)
        self.points = np.zeros((3, n + tree.LEAF), np.float32)
        crowded = np.empty(n, np.bool_)
        shift = _DEEP
        codes, order = _sorted(codes, order, shift, dims, workers)
        workers.run(tree.take_points, n, _GRAIN, positions, codes, order, shift, self.points, crowded)
        if crowded.any():
            shift = 0
            codes, order = _sorted(codes, order, shift, dims, workers)
            workers.run(tree.take_points, n, _GRAIN, positions, codes, order, shift, self.points, crowded)
        self.order = order
        codes >>= np.uint64(shift)
        levels = tree.BITS[dims] - shift // dims
        factor = max(1.0 / angle**2, float(dims)) if angle > 0 else math.inf
        self._grow(codes, np.array([levels, dims, width, factor]), workers)

    def _grow(self, codes: NDArray[np.uint64], shape: NDArray[np.float64], workers: Workers) -> None:
        """Split the cells with many points, then share out the rest; each subtree has rows of its own."""
        n, levels, dims = len(codes), int(shape[0]), int(shape[1])
        smallest = max(_SMALLEST, -(-n // _SHARES))
        first = 1 + min(2 * n, (_SHARES << dims) * levels)
        self.cells, self.links = np.empty((first + 2 * n, 4), np.float32), np.empty((first + 2 * n, 4), np.int32)
        links = self.links
        links[0] = 0, 0, 0, n
        ends = np.empty(1, np.int64)
        tree.grow(0, 1, smallest, np.array([[0, 1, 0]]), ends, shape, codes, links, self.cells)
        top = int(ends[0])
        sizes = links[:top, 3] - links[:top, 2]
        unsplit = (links[:top, 1] == 0) & (sizes > tree.LEAF) & (links[:top, 0] < levels)
        roots = np.flatnonzero(unsplit)
        rows = np.stack([roots, first + 2 * links[roots, 2].astype(np.int64), links[roots, 0]], axis=1)
        ends = np.empty(len(roots), np.int64)
        workers.run(tree.grow, len(roots), 1, tree.LEAF, rows, ends, shape, codes, links, self.cells)
        ranges = np.stack([rows[:, 1], ends], axis=1)
        workers.run(tree.moments, len(roots), 1, ranges, self.points, links, self.cells)
        tree.moments(0, 1, np.array([[0, top]]), self.points, links, self.cells)


def morton_order(positions: NDArray[np.float32], workers: Workers) -> NDArray[np.int32]:
    """Ids of the points of a map in Morton order, in which neighbours in memory are neighbours in the map; O(n).

    Parameters
    ----------
    positions : (n, 2 or 3) float32, C order
        The map.
    workers : Workers
        Threads to use; the order does not depend on their number.

    Returns
    -------
    (n,) int32
        By cell of a grid of 65,536 cells an axis (2,048 in space); within a cell by id.
    """
    codes, _ = _codes(positions, workers)
    return _sorted(codes, np.arange(len(codes), dtype=np.int32), _DEEP, positions.shape[1], workers)[1]


def _codes(positions: NDArray[np.float32], workers: Workers) -> tuple[NDArray[np.uint64], float]:
    """Morton codes by id, and the side of the root cell."""
    n, dims = positions.shape
    low = np.array([positions[:, c].min() for c in range(dims)], np.float64)
    high = np.array([positions[:, c].max() for c in range(dims)], np.float64)
    width = float((high - low).max()) * (1 + 1e-6) or 1.0
    codes = np.empty(n, np.uint64)
    bits = tree.BITS[dims]
    workers.run(tree.morton_codes, n, _GRAIN, positions, low, (1 << bits) / width, bits, codes)
    return codes, width


def _sorted(
    codes: NDArray[np.uint64], order: NDArray[np.int32], shift: int, dims: int, workers: Workers
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Codes in ascending order of their bits from `shift` on, and `order` likewise; a stable radix sort, O(n)."""
    n = len(codes)
    block = max(_GRAIN, -(-n // 64))
    new_codes, new_order = np.empty_like(codes), np.empty_like(order)
    for low in range(shift, dims * tree.BITS[dims], tree.DIGIT):
        counts = np.zeros((1 << tree.DIGIT, -(-n // block)), np.int64)
        workers.run(tree.count_digits, n, block, block, low, codes, counts)
        places = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
        workers.run(tree.place_digits, n, block, block, low, codes, order, places, new_codes, new_order)
        codes, new_codes, order, new_order = new_codes, codes, new_order, order
    return codes, order
