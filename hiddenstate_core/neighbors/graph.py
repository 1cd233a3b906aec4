"""`NeighborGraph`: the nearest neighbours of every point."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["NeighborGraph"]


@dataclasses.dataclass(frozen=True, eq=False)
class NeighborGraph:
    """For each of n points, its k nearest others in ascending order of distance.

    Parameters
    ----------
    indices : (n, k) int64
        Ids of the neighbours; a point is never its own neighbour, its exact copies are.
    distances : (n, k) float32
        Euclidean distances, in the units of the states.
    method : str
        ``"exact"``, ``"partitioned"`` or ``"nndescent"``.
    recall : float
        Share of the true neighbours found: 1.0 where the method is exact, measured on a sample otherwise.
    recall_error : float
        Half the width of the 95 % confidence interval of `recall`; 0.0 where it is no estimate.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]
    method: str = "exact"
    recall: float = 1.0
    recall_error: float = 0.0

    def __post_init__(self) -> None:
        if not all(isinstance(array, np.ndarray) for array in (self.indices, self.distances)):
            raise InputError("A neighbour graph needs arrays of indices and distances; call np.asarray on lists.")
        n, k = self.indices.shape if self.indices.ndim == 2 else (0, 0)
        if n < 1 or self.indices.dtype != np.int64 or self.distances.dtype != np.float32 or k < 1:
            raise InputError("A neighbour graph needs indices (n, k) int64 and distances (n, k) float32, not empty.")
        if self.distances.shape != self.indices.shape:
            raise InputError(f"{self.indices.shape} indices need as many distances, not {self.distances.shape}.")
        if self.indices.min() < 0 or self.indices.max() >= n:
            raise InputError(f"The ids in a graph of {n} points must lie in 0..{n - 1}.")
        if (self.indices == np.arange(n)[:, None]).any():
            raise InputError("A point must not be among its own neighbours.")
        if not np.isfinite(self.distances).all() or self.distances.min() < 0:
            raise InputError("The distances of a neighbour graph must be finite and not negative.")
        falls = self.distances[:, 1:] < self.distances[:, :-1]
        if falls.any():
            row = int(np.argmax(falls.any(axis=1)))
            raise InputError(f"The distances of point {row} do not ascend; put the nearest first in every row.")

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.indices)

    @property
    def k(self) -> int:
        """Number of neighbours of each point."""
        return self.indices.shape[1]
