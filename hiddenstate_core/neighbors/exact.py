"""Exact nearest neighbours: float32 products screen, float64 distances decide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.nearest import PANEL, nearest_rows, sort_nearest
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.progress import progress_bar

__all__ = ["exact_neighbors", "exact_rows"]

#: Rows between two moves of the progress bar, and rows that a thread takes at a time.
_BATCH, _GRAIN = 2048, 32
#: Pairs that a row may gather beyond twice the neighbours sought.
_ROOM = 32


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
    O(n^2 d) time, 12 n k bytes for the result and 8 n d bytes for copies of the points. A float32 product screens
    ``|x - y|^2 - |x|^2 = |y|^2 - 2 x.y``; a pair that its rounding error could bring among the k nearest is decided by
    ``sum (x - y)^2`` in float64. The error bound is that of a dot product of d + 1 terms in any order
    (Higham 2002, Accuracy and Stability of Numerical Algorithms, eq. 3.5).
    """
    indices, distances = exact_rows(states, np.arange(len(states)), k, n_jobs=n_jobs, progress=progress)
    return NeighborGraph(indices, distances)


def exact_rows(
    states: States, rows: NDArray[np.int64], k: int, *, n_jobs: int | None = None, progress: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As `exact_neighbors`, for the points `rows` alone: indices and distances of shape (len(rows), k)."""
    n, count = len(states), len(rows)
    if n < 2 or not 1 <= k < n:
        raise InputError(f"{n} points have 1 to {n - 1} neighbours each; {k} were asked for.")
    data = np.pad(states.data, ((0, 0), (0, -states.data.shape[1] % 4)))
    panels, slack = _panels(data)
    indices = np.empty((count, k), np.int64)
    distances = np.empty((count, k), np.float32)
    with Workers(n_jobs) as workers, progress_bar("Nearest neighbours", count, show=progress) as advance:
        for start in range(0, count, _BATCH):
            part = slice(start, min(start + _BATCH, count))
            size = part.stop - part.start
            best, found = np.empty((size, 2 * k + _ROOM)), np.empty((size, 2 * k + _ROOM), np.int64)
            limits, sizes = np.full(size, np.inf), np.zeros(size, np.int64)
            workers.run(
                nearest_rows, size, _GRAIN, rows[part], data, panels, slack, best, found, limits, sizes, k
            )  # fmt: skip
            workers.run(
                sort_nearest, size, _GRAIN, best, found, sizes, states.scale, distances[part], indices[part]
            )  # fmt: skip
            advance(size)
    return indices, distances


def _panels(data: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The points in the kernel's panels, and each point's slack (see `nearest_rows`)."""
    n, d = data.shape
    count = -(-n // PANEL)
    norms = np.einsum("ij,ij->i", data, data, dtype=np.float64)
    panels = np.zeros((count, d + 1, PANEL), np.float32)
    panels[-1, 0] = np.inf
    for p in range(count):
        part = slice(p * PANEL, min(n, (p + 1) * PANEL))
        panels[p, 0, : part.stop - part.start] = norms[part]
        panels[p, 1:, : part.stop - part.start] = data[part].T
    # d + 8 roundings of at most half an ulp each, of terms whose absolute values sum to (|x| + |y|)^2
    error = (d + 8) * 2.0**-24 * (np.sqrt(norms) + np.sqrt(norms.max())) ** 2
    return panels, error - norms
