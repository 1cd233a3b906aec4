"""Nearest neighbours in a map of one to three dimensions, exact and in O(n log n)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.planar import nearest_in_map, split_nodes
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph

__all__ = ["MapTree", "in_plane", "map_neighbors", "read_positions"]

#: Fewest points in a leaf, and leaves that a thread takes at a time.
_LEAF, _GRAIN = 8, 64


def map_neighbors(positions: Any, k: int, *, n_jobs: int | None = None) -> NeighborGraph:
    """The k nearest other points of every point of a map.

    Parameters
    ----------
    positions : (n, 1 to 3) array-like or Embedding
        The map; float32 is what it is compared in.
    k : int
        Neighbours of each, 1 to n - 1.
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    NeighborGraph
        Exact, by float64 distance; which of several equally far points are kept is arbitrary, but always the same. It
        does not lean towards neighbouring ids, so equal places say nothing about equal states.

    Raises
    ------
    InputError
        Positions of another shape, not finite, or another k.

    Notes
    -----
    A k-d tree, whatever the density and however many points coincide: O(n log n) to build, O(k + log n) a point on
    average, 12 n k bytes for the result and 32 n bytes beside it.
    """
    places = read_positions(positions)
    with Workers(n_jobs) as workers:
        return MapTree.build(places, workers).nearest(k, workers)


def read_positions(positions: Any) -> NDArray[np.float32]:
    """A map as (n, 1 to 3) float32 in C order, refused by row where it is not finite; `positions` may be an Embedding.

    Raises
    ------
    InputError
        Another shape, not real numbers, or not finite in float32.
    """
    try:
        given = np.asarray(getattr(positions, "coordinates", positions))
    except ValueError as error:
        raise InputError(f"The positions must form an array of shape (n, 2) or (n, 3): {error}.") from error
    if given.ndim != 2 or given.shape[1] not in (1, 2, 3):
        raise InputError(f"The positions must form an array of shape (n, 2) or (n, 3), not {given.shape}.")
    if given.dtype.kind not in "fiu":
        raise InputError(f"The positions must be real numbers, not {given.dtype}.")
    with np.errstate(over="ignore"):
        places = np.ascontiguousarray(given, np.float32)
    bad = ~np.isfinite(places).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"Position {row} is {given[row].tolist()}; every coordinate must be a finite float32 number.")
    return places


def in_plane(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map from `read_positions` in two dimensions at least, which the kernels of the gradient need."""
    return places if places.shape[1] > 1 else np.hstack([places, np.zeros_like(places)])


@dataclasses.dataclass(frozen=True, eq=False)
class MapTree:
    """A balanced k-d tree over the points of a map.

    Parameters
    ----------
    axes : (3, n) float32
        Coordinates in the tree's order, which keeps close points together; zeros for an axis that is not in use.
    order : (n,) int64
        Ids in that order.
    boxes : (2^(depth + 1), 2, 3) float32
        Corners of the nodes; row 1 is the root, the children of i are 2 i and 2 i + 1.
    depth : int
        Level of the leaves.
    """

    axes: NDArray[np.float32]
    order: NDArray[np.int64]
    boxes: NDArray[np.float32]
    depth: int

    @classmethod
    def build(cls, positions: NDArray[np.float32], workers: Workers) -> MapTree:
        """Tree over positions from `read_positions`; the same for any number of threads."""
        n, dims = positions.shape
        # ids in random order at first, so that which of many equal places are met first says nothing about their ids
        order = np.random.default_rng(0).permutation(n).astype(np.int64)
        axes = np.zeros((3, n), np.float32)
        for axis in range(dims):
            axes[axis] = positions[order, axis]
        depth = max(0, (n // _LEAF).bit_length() - 1)
        boxes = np.empty((2 << depth, 2, 3), np.float32)
        for level in range(depth + 1):
            workers.run(split_nodes, 1 << level, max(1, (1 << level) // 64), level, depth, axes, order, boxes)
        return cls(axes, order, boxes, depth)

    def nearest(self, k: int, workers: Workers) -> NeighborGraph:
        """As `map_neighbors`."""
        n = len(self.order)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < n:
            raise InputError(f"{n} points have 1 to {n - 1} neighbours each; {k!r} were asked for.")
        distances, indices = np.empty((n, int(k)), np.float32), np.empty((n, int(k)), np.int64)
        workers.run(
            nearest_in_map, 1 << self.depth, _GRAIN, self.depth, self.axes, self.order, self.boxes, distances, indices
        )  # fmt: skip
        return NeighborGraph(indices, distances)
