"""`NeighborIndex`: nearest neighbours of new points among states that were seen before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.partition import Partition
from hiddenstate_core.neighbors.partitioned import chosen_reach
from hiddenstate_core.neighbors.states import States

__all__ = ["NeighborIndex"]

#: Up to so many points every query is answered exactly, and neighbours for which the reach is chosen otherwise.
_EXACT_POINTS, _TUNED = 20_000, 30


class NeighborIndex:
    """States, ready to be asked for the nearest neighbours of new points.

    Made by `build`, or kept from the search for a graph (`indexed_neighbors`).

    Parameters
    ----------
    partition : Partition
        The states in cells.
    reach : float
        How far to search; 1 for exact answers. See `search_cells`.
    seed : int
        Of the partition.

    Notes
    -----
    Holds one copy of the states and their shortened rows, about 5.5 n d bytes for d = 100.
    """

    def __init__(self, partition: Partition, reach: float, seed: int = 0) -> None:
        self._partition = partition
        self._seed = seed
        self.reach = 1.0 if partition.n <= _EXACT_POINTS else float(reach)

    @classmethod
    def build(
        cls,
        X: Any,
        *,
        k: int = _TUNED,
        recall: float = 0.97,
        seed: int = 0,
        n_jobs: int | None = None,
    ) -> NeighborIndex:
        """Partition states for queries.

        Parameters
        ----------
        X : (n, d) array-like or States
            At least 2 states; see `States.read`.
        k : int
            Number of neighbours for which the recall is aimed at; queries may ask for any other.
        recall : float
            Share of the true neighbours to find, above 0 to 1. Up to 20,000 states all are found.
        seed : int
            Of the partition and of the sample on which the recall is measured.
        n_jobs : int or None
            Threads; see `Workers`. The index does not depend on it.

        Raises
        ------
        InputError
            Bad states, k, recall or seed.
        """
        states = X if isinstance(X, States) else States.read(X)
        check_recall(recall)
        check_seed(seed)
        if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or k < 1:
            raise InputError(f"The index must be tuned for at least 1 neighbour, not {k!r}.")
        with Workers(n_jobs) as workers:
            partition = Partition.build(states, k + 1, seed=seed, workers=workers)
            reach = 1.0
            if partition.n > _EXACT_POINTS:
                reach = chosen_reach(partition, k, recall, seed=seed, workers=workers)
        return cls(partition, reach, seed)

    def __len__(self) -> int:
        return self._partition.n

    @property
    def features(self) -> int:
        """Features of a state."""
        return self._partition.states.data.shape[1]

    def query(self, X: Any, k: int, *, n_jobs: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest states of every new point.

        Parameters
        ----------
        X : (m, d) array-like
            New points, in the units of the states; m may be 0. A state that equals a new point counts as its neighbour.
        k : int
            Neighbours of each, 1 to n.
        n_jobs : int or None
            Threads; see `Workers`.

        Returns
        -------
        indices : (m, k) int64
            Ids of states, ascending by distance; among equal distances the smaller id comes first.
        distances : (m, k) float32
            Euclidean, in the units of the states.

        Raises
        ------
        InputError
            Bad points (see `States.convert`) or k.

        Notes
        -----
        The answer for a point depends neither on the other points nor on the number of threads: it is the exact one
        among all states of the cells searched, and which cells these are follows from the point alone.
        """
        n = len(self)
        if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or not 1 <= k <= n:
            raise InputError(f"{n} states can give 1 to {n} neighbours; {k!r} were asked for.")
        points = self._partition.states.convert(X)
        with Workers(n_jobs) as workers:
            self._partition = self._partition.widened(k, seed=self._seed, workers=workers)
            return self._partition.query(points, k, self.reach, workers=workers)


def check_recall(recall: float) -> None:
    """Refuse a share that is none."""
    if not isinstance(recall, (int, float, np.number)) or not 0 < recall <= 1:
        raise InputError(f"recall must lie above 0 and not above 1; it is {recall}.")


def check_seed(seed: int) -> None:
    """Refuse a seed that is none."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}.")
