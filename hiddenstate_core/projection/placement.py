"""`Placement`: new states find their place in a map that stays as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.affinities import perplexity_rows
from hiddenstate_core.kernels.placement import place_points
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors import NeighborIndex, States
from hiddenstate_core.projection.interpolation import Interpolation
from hiddenstate_core.projection.map_neighbors import read_positions
from hiddenstate_core.projection.validation import checked_integer, checked_number

__all__ = ["Placement"]

#: Up to so many points of the map their forces are summed one by one.
_SUMMED_POINTS = 2000
#: Iterations, learning rate, momentum, longest step.
_DESCENT = (150.0, 0.5, 0.8, 1.0)
_GRAIN = 16


class Placement:
    """Places new states into a fixed map.

    Parameters
    ----------
    states : (n, d) array-like or States
        The states of the map.
    positions : (n, 2 or 3) array-like, Embedding or a trace's projection
        The map, by whatever method it was made.
    perplexity : float
        Effective number of a new state's neighbours in the map, at least 1; cut to what n allows.
    index : NeighborIndex or None
        Of `states`, where there is one already; otherwise made by the first placement.
    seed : int
        Of the index.

    Raises
    ------
    InputError
        The map is not of as many points as there are states, or has values that are not finite; a perplexity below 1,
        a negative seed, or an index of other states.
    """

    def __init__(
        self,
        states: Any,
        positions: Any,
        *,
        perplexity: float = 30.0,
        index: NeighborIndex | None = None,
        seed: int = 0,
    ) -> None:
        self.states = states if isinstance(states, States) else States.read(states)
        self.positions = read_positions(positions)
        n = len(self.states)
        if self.positions.shape[1] not in (2, 3) or len(self.positions) != n:
            raise InputError(f"A map of {n} states has shape ({n}, 2) or ({n}, 3), not {self.positions.shape}.")
        self.perplexity = checked_number("perplexity", perplexity)
        if not self.perplexity >= 1:
            raise InputError(f"The perplexity must be at least 1, not {perplexity:g}.")
        self.seed = checked_integer("seed", seed)
        if self.seed < 0:
            raise InputError(f"seed must not be negative; it is {seed}.")
        d = self.states.data.shape[1]
        if index is not None and (len(index), index.features) != (n, d):
            raise InputError(
                f"The index is of {len(index)} states of {index.features} features, the map of {n} states of {d}; "
                "build it from the states of the map, or leave it out."
            )
        self._index = index
        self._field: tuple[NDArray[np.float64], NDArray[np.float32]] | None = None

    def place(self, X: Any, *, n_jobs: int | None = None) -> NDArray[np.float32]:
        """Places of new states.

        Parameters
        ----------
        X : (m, d) array-like
            States with the features of those of the map; m may be 0.
        n_jobs : int or None
            Threads; see `Workers`.

        Returns
        -------
        (m, 2 or 3) float32
            The row of a state depends on that state and the map alone: not on the others in `X` nor on their order.

        Raises
        ------
        InputError
            Another number of features, or values that are not finite.

        Notes
        -----
        A new state's affinities are Gaussian over its ``3 x perplexity`` nearest neighbours in the map, of the given
        perplexity; its place lowers ``sum_j p_j log(p_j / q_j)`` by gradient descent, with the map's own points fixed
        (as van der Maaten & Hinton 2008, eq. 5, for one row). In the plane the repulsion of all points of the map is
        computed once, on a grid. The first call builds the index and the grid; after that, O(sqrt(n) d) a state for
        the neighbours and O(perplexity) an iteration.
        """
        n, dims = self.positions.shape
        k = max(1, min(n, math.ceil(3 * self.perplexity)))
        if self._index is None:
            self._index = NeighborIndex.build(self.states, seed=self.seed, n_jobs=n_jobs)
        ids, distances = self._index.query(X, k, n_jobs=n_jobs)
        m = len(ids)
        weights = np.empty((m, k), np.float32)
        places = np.empty((m, dims), np.float32)
        low, high = self.positions.min(axis=0), self.positions.max(axis=0)
        settings = np.array([*_DESCENT, *low, *high])
        with Workers(n_jobs) as workers:
            frame, fields = self._repulsion(workers)
            # row by row: within a block each row's search begins where the row before ended
            workers.run(perplexity_rows, m, 1, distances, np.array([self.perplexity]), weights)
            workers.run(
                place_points, m, _GRAIN, self.positions, ids, weights, frame, fields, settings, places
            )  # fmt: skip
        return places

    def _repulsion(self, workers: Workers) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Grid of what the map does to any place in it; without rows where its points are summed instead."""
        if self._field is None:
            n, dims = self.positions.shape
            if dims == 2 and n > _SUMMED_POINTS:
                field = Interpolation().field(self.positions, workers)
                self._field = field.frame, field.values
            else:
                self._field = np.zeros(3), np.empty((0, 0, 4), np.float32)
        return self._field
