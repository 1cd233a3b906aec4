"""Approximate nearest neighbours from a partition: cells near enough are searched, how near follows from the recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.exact import check_neighbors
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.partition import Partition
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.progress import progress_bar

__all__ = ["chosen_reach", "partitioned_neighbors"]

#: Reaches tried in turn, and points that choose one, and that judge the graph.
_REACHES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9)
_SAMPLE = 1000


def partitioned_neighbors(
    states: States, k: int, *, recall: float, seed: int = 0, n_jobs: int | None = None, progress: bool = False
) -> tuple[NeighborGraph, Partition, float]:
    """Most of the k nearest other points of every point.

    Parameters
    ----------
    states : States
        n points of d features.
    k : int
        Neighbours of each, 1 to n - 1.
    recall : float
        Share of the true neighbours to find, on a sample; 1 for all of them, certainly.
    seed : int
        Of the partition and the samples.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    NeighborGraph
        The exact neighbours among all points of the cells that were searched, the same for any number of threads.
    Partition
        The cells, for further questions.
    float
        The reach that was chosen; see `search_cells`.
    """
    check_neighbors(states, k)
    with Workers(n_jobs) as workers, progress_bar("Nearest neighbours", len(states), show=progress) as advance:
        partition = Partition.build(states, k + 1, seed=seed, workers=workers)
        reach = chosen_reach(partition, k, recall, seed=seed, workers=workers)
        indices, distances = partition.whole(k, reach, workers=workers, advance=advance)
        if reach == 1.0:
            return NeighborGraph(indices, distances, "exact" if recall == 1 else "partitioned"), partition, reach
        rows = _sample(partition, seed + 1)
        limits = partition.some(rows, k, 1.0, workers=workers)[1][:, -1:]
        shares = (distances[rows] <= limits).mean(axis=1)
        inside = len(partition.cells.ids) / partition.n  # for all others the search is exact
        measured = 1 - inside * (1 - float(shares.mean()))
        half = inside * float(1.96 * shares.std(ddof=1) / np.sqrt(len(rows)))
    return NeighborGraph(indices, distances, "partitioned", measured, half), partition, reach


def chosen_reach(partition: Partition, k: int, recall: float, *, seed: int, workers: Workers) -> float:
    """The smallest reach at which a sample of the points finds the share `recall` of its k neighbours."""
    if recall >= 1 or len(partition.cells.centroids) == 1:
        return 1.0
    rows = _sample(partition, seed)
    limits = partition.some(rows, k, 1.0, workers=workers)[1][:, -1:]
    for reach in _REACHES:
        found = partition.some(rows, k, reach, workers=workers)[1]
        if float((found <= limits).mean()) >= recall:
            return reach
    return 1.0


def _sample(partition: Partition, seed: int) -> NDArray[np.int64]:
    """Some of the points in cells: the further copies of a point are no test of the search."""
    ids = np.sort(partition.cells.ids)
    return np.sort(np.random.default_rng(seed).choice(ids, min(_SAMPLE, len(ids)), replace=False))
