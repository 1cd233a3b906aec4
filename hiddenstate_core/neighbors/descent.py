"""Approximate nearest neighbours by neighbour descent (pynndescent), with the recall measured."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors.exact import exact_rows
from hiddenstate_core.neighbors.graph import NeighborGraph
from hiddenstate_core.neighbors.states import States

__all__ = ["descent_neighbors", "measured_recall"]

_SAMPLE = 1000


def descent_neighbors(states: States, k: int, *, seed: int = 0, n_jobs: int | None = None) -> NeighborGraph:
    """Most of the k nearest other points of every point.

    Parameters
    ----------
    states : States
        n points of d features.
    k : int
        Neighbours of each, 1 to n - 1.
    seed : int
        Of the descent and of the sample that measures the recall.
    n_jobs : int or None
        Threads of the exact search on the sample.

    Returns
    -------
    NeighborGraph
        Ascending distances. Its `recall` is the share of true neighbours found for 1,000 points drawn at random.

    Notes
    -----
    Dong, Charikar & Li 2011, "Efficient k-nearest neighbor graph construction for generic similarity measures". The
    descent runs on one thread, because pynndescent's result depends on the number of threads. A point for which it
    found too few neighbours (many equal points cause this) gets exact ones.
    """
    n = len(states)
    if n < 2 or not 1 <= k < n:
        raise InputError(f"{n} points have 1 to {n - 1} neighbours each; {k} were asked for.")
    from pynndescent import NNDescent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about points with too few neighbours; these are mended below
        # pynndescent's seeds have 32 bits
        index = NNDescent(states.data, n_neighbors=min(k + 1, n), random_state=seed % 2**32, n_jobs=1, verbose=False)
        found = index.neighbor_graph
    if found is None:
        raise InputError(f"Neighbour descent failed on {n} points; use neighbors='exact'.")
    ids, found_distances = found[0].astype(np.int64), found[1].astype(np.float64)
    unusable = (ids == np.arange(n)[:, None]) | (ids < 0) | ~np.isfinite(found_distances)
    found_distances[unusable] = np.inf
    order = np.lexsort((ids, found_distances), axis=1)[:, :k]
    ids, distances = np.take_along_axis(ids, order, axis=1), np.take_along_axis(found_distances, order, axis=1)
    distances *= states.scale
    short = np.flatnonzero(~np.isfinite(distances).all(axis=1))
    result = distances.astype(np.float32)
    if len(short):
        ids[short], result[short] = exact_rows(states, short, k, n_jobs=n_jobs)
    return NeighborGraph(ids, result, "nndescent", measured_recall(states, ids, seed=seed, n_jobs=n_jobs))


def measured_recall(
    states: States, indices: NDArray[np.int64], *, seed: int = 0, sample: int = _SAMPLE, n_jobs: int | None = None
) -> float:
    """Share of the true k nearest neighbours that `indices` (n, k) holds, on `sample` points drawn at random.

    A neighbour counts as true where it is no further away than the k-th true one, so that ties are not counted against
    the graph; O(sample n d).
    """
    n, k = indices.shape
    rows = np.sort(np.random.default_rng(seed).choice(n, min(sample, n), replace=False)).astype(np.int64)
    limits = exact_rows(states, rows, k, n_jobs=n_jobs)[1][:, -1].astype(np.float64)
    hits = 0
    for row, limit in zip(rows, limits, strict=True):
        differences = states.data[indices[row]].astype(np.float64) - states.data[row]
        hits += int((np.sqrt((differences**2).sum(axis=1)) * states.scale <= limit * (1 + 1e-6)).sum())
    return hits / (len(rows) * k)
