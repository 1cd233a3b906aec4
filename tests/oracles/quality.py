"""Quality figures of a map in slow float64 NumPy, written from the papers' formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.oracles import tsne

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


def squared(x: Array) -> Array:
    """All squared distances, infinite on the diagonal."""
    result = tsne.squared_distances(x)
    np.fill_diagonal(result, np.inf)
    return result


def excess(row: Array, j: int, k: int) -> float:
    """Mean of max(0, r - k) over the ranks r that point j may take in a row of distances, ties in every order."""
    nearer, equal = int((row < row[j]).sum()), int((row == row[j]).sum())
    return float(np.mean([max(0, rank - k) for rank in range(nearer + 1, nearer + equal + 1)]))


def trustworthiness(x: Array, neighbours: Ids) -> Array:
    """Per point, 1 - 2 / (k (2n - 3k - 1)) sum of (r - k) over neighbours in the map (Venna & Kaski 2006)."""
    n, k = neighbours.shape
    distances = squared(x)
    sums = [sum(excess(distances[i], j, k) for j in neighbours[i]) for i in range(n)]
    return np.asarray(1 - 2 * np.array(sums) / (k * (2 * n - 3 * k - 1)))


def recall(x: Array, neighbours: Ids) -> Array:
    """Per point, share of the neighbours in the map no further away in x than the k-th nearest there."""
    k = neighbours.shape[1]
    distances = squared(x)
    limits = np.sort(distances, axis=1)[:, k - 1 : k]
    return np.asarray((np.take_along_axis(distances, neighbours, axis=1) <= limits).mean(axis=1))


def kept(x: Array, y: Array, k: int) -> Array:
    """Per point, share of the k nearest in x that are among the k nearest in y, without ties."""
    one, other = tsne.nearest(x, k)[0], tsne.nearest(y, k)[0]
    return np.array([len(set(a) & set(b)) / k for a, b in zip(one, other, strict=True)])


def hits(neighbours: Ids, classes: Ids) -> Array:
    """Per point, share of the neighbours in the map that are of its class."""
    return np.array([np.mean([classes[j] == classes[i] for j in row]) for i, row in enumerate(neighbours)])


def pair_distances(x: Array) -> Array:
    """Distances of all pairs i < j."""
    return np.asarray(np.sqrt(tsne.squared_distances(x)[np.triu_indices(len(x), 1)]))
