"""Exact nearest neighbours: cells ruled out by planes, points by shortened rows, the rest decided in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.partition import Partition
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.progress import progress_bar

__all__ = ["check_neighbors", "exact_neighbors", "exact_rows"]


def exact_neighbors(states: States, k: int, *, n_jobs: int | None = None, progress: bool = False) -> NeighborGraph:
    """The k nearest other points of every point.

    Parameters
    ----------
    states : States
        n points of d features.
    k : int
        Neighbours of each, 1 to n - 1.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    NeighborGraph
        Neighbours by float64 distance, ties by smaller id; the same for any number of threads.

    Notes
    -----
    O(n^2 d) time in the worst case; far less where states vary in few directions, see `Partition`. 12 n k bytes for
    the result and about 5 n d bytes for a copy of the points by cells.
    """
    check_neighbors(states, k)
    with Workers(n_jobs) as workers, progress_bar("Nearest neighbours", len(states), show=progress) as advance:
        partition = Partition.build(states, k + 1, seed=0, workers=workers)
        indices, distances = partition.whole(k, 1.0, workers=workers, advance=advance)
    return NeighborGraph(indices, distances)


def exact_rows(
    states: States, rows: NDArray[np.int64], k: int, *, n_jobs: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As `exact_neighbors`, for the points `rows` alone: indices and distances of shape (len(rows), k)."""
    check_neighbors(states, k)
    with Workers(n_jobs) as workers:
        return Partition.build(states, k + 1, seed=0, workers=workers).some(rows, k, 1.0, workers=workers)


def check_neighbors(states: States, k: int) -> None:
    """Refuse a number of neighbours that n points cannot have."""
    n = len(states)
    if n < 2 or not 1 <= k < n:
        raise InputError(f"{n} points have 1 to {n - 1} neighbours each; {k} were asked for.")
