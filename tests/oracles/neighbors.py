"""Nearest neighbours in slow float64 NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def distances(x: Array, y: Array) -> Array:
    """All |x_i - y_j|, by differences."""
    return np.asarray(np.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2)))


def nearest(x: Array, k: int) -> tuple[NDArray[np.int64], Array]:
    """The k nearest others of each point by (distance, id)."""
    table = distances(x, x)
    np.fill_diagonal(table, np.inf)
    ids = np.argsort(table, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(table, ids, axis=1)


def nearest_to(x: Array, queries: Array, k: int) -> tuple[NDArray[np.int64], Array]:
    """The k nearest points of each query by (distance, id)."""
    table = distances(queries, x)
    ids = np.argsort(table, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(table, ids, axis=1)


def recall(found: Array, true: Array) -> float:
    """Share of the distances found that are no larger than the k-th true one; ties count as found."""
    return float((found <= true[:, -1:] * (1 + 1e-6)).mean())
