"""Exact nearest neighbours of some of the states, to measure others by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.partition import Partition
from hiddenstate_core.neighbors.states import States

__all__ = ["check_neighbors", "exact_rows"]


def exact_rows(
    states: States, rows: NDArray[np.int64], k: int, *, n_jobs: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest other points of the points `rows` alone: indices and distances of shape (len(rows), k)."""
    check_neighbors(states, k)
    with Workers(n_jobs) as workers:
        return Partition.build(states, k + 1, seed=0, workers=workers).some(rows, k, 1.0, workers=workers)


def check_neighbors(states: States, k: int) -> None:
    """Refuse a number of neighbours that n points cannot have."""
    n = len(states)
    if n < 2:
        raise InputError("A single point has no neighbours; there must be at least 2.")
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or not 1 <= k < n:
        raise InputError(f"{n} points have 1 to {n - 1} neighbours each; {k!r} were asked for.")
