"""`nearest_neighbors`: the one way to a neighbour graph, whichever method finds it."""

from __future__ import annotations

from typing import Any

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors.exact import exact_neighbors
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.states import States

__all__ = ["nearest_neighbors"]

#: Up to so many points "auto" is exact.
_EXACT_POINTS = 100_000


def nearest_neighbors(
    X: Any,
    k: int,
    *,
    method: str = "auto",
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
    method : {"auto", "exact", "nndescent"}
        Exact search, O(n^2 d); or neighbour descent (Dong, Charikar & Li 2011, by pynndescent), approximate, with its
        recall measured on a sample. "auto" is exact up to 100,000 points.
    seed : int
        Of neighbour descent and of the sample.
    n_jobs : int or None
        Threads of the exact search; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    NeighborGraph
        The same for any number of threads.

    Raises
    ------
    InputError
        Bad points, k or method.
    """
    states = X if isinstance(X, States) else States.read(X)
    if method not in ("auto", "exact", "nndescent"):
        raise InputError(f"neighbors must be 'auto', 'exact' or 'nndescent', not {method!r}.")
    if method == "exact" or (method == "auto" and len(states) <= _EXACT_POINTS):
        return exact_neighbors(states, k, n_jobs=n_jobs, progress=progress)
    from hiddenstate_core.neighbors.descent import descent_neighbors

    return descent_neighbors(states, k, seed=seed, n_jobs=n_jobs)
