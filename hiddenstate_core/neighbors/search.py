"""`nearest_neighbors`: the one way to a neighbour graph, whichever method finds it."""

from __future__ import annotations

from typing import Any

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors.exact import check_neighbors
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.index import NeighborIndex, check_recall, check_seed
from hiddenstate_core.neighbors.partitioned import partitioned_neighbors
from hiddenstate_core.neighbors.states import States

__all__ = ["indexed_neighbors", "nearest_neighbors"]

#: Up to so many points "auto" is exact.
_EXACT_POINTS = 100_000
_METHODS = ("auto", "exact", "nndescent", "partitioned")


def nearest_neighbors(
    X: Any,
    k: int,
    *,
    method: str = "auto",
    recall: float = 0.97,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> NeighborGraph:
    """The k nearest other points of every point, by Euclidean distance.

    Parameters
    ----------
    X : (n, d) array-like or States
        Points; see `States.read`.
    k : int
        Neighbours of each, 1 to n - 1.
    method : {"auto", "exact", "partitioned", "nndescent"}
        All neighbours; most of them, from the nearer cells of a partition; or most of them by neighbour descent (Dong,
        Charikar & Li 2011, by pynndescent). "auto" is exact up to 100,000 points and partitioned beyond.
    recall : float
        Share of the true neighbours that "partitioned" is to find, above 0 to 1, on a sample of the points.
    seed : int
        Of the partition, of neighbour descent and of the samples.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    NeighborGraph
        The same for any number of threads, with its recall.

    Raises
    ------
    InputError
        Bad points, k, method, recall or seed.
    """
    return indexed_neighbors(X, k, method=method, recall=recall, seed=seed, n_jobs=n_jobs, progress=progress)[0]


def indexed_neighbors(
    X: Any,
    k: int,
    *,
    method: str = "auto",
    recall: float = 0.97,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> tuple[NeighborGraph, NeighborIndex | None]:
    """As `nearest_neighbors`, with the index that was made on the way; None by neighbour descent, which makes none."""
    if method not in _METHODS:
        raise InputError(
            f"neighbors must be {', '.join(map(repr, _METHODS[:-1]))} or {_METHODS[-1]!r}, not {method!r}."
        )
    check_recall(recall)
    check_seed(seed)
    states = X if isinstance(X, States) else States.read(X)
    check_neighbors(states, k)
    if method == "nndescent":
        from hiddenstate_core.neighbors.descent import descent_neighbors

        return descent_neighbors(states, k, seed=seed, n_jobs=n_jobs), None
    exact = method == "exact" or (method == "auto" and len(states) <= _EXACT_POINTS)
    graph, partition, reach = partitioned_neighbors(
        states, k, recall=1.0 if exact else recall, seed=0 if exact else seed, n_jobs=n_jobs, progress=progress
    )
    return graph, NeighborIndex(partition, reach, seed)
