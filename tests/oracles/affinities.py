"""Affinities in slow float64 NumPy, written from the papers' formulas; see also `tests.oracles.tsne`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.oracles import tsne

Array = NDArray[np.float64]


def multiscale(distances: Array, perplexities: Sequence[float]) -> Array:
    """Mean over the perplexities of p_{j|i} (Lee, Peluffo-Ordonez & Verleysen 2015)."""
    k = distances.shape[1]
    return np.asarray(np.mean([tsne.conditional(distances, min(p, k)) for p in perplexities], axis=0))


def uniform(ids: NDArray[np.int64], k: int) -> Array:
    """(p_{j|i} + p_{i|j}) / 2n with p_{j|i} = 1 / k for the first k ids of each row, dense."""
    return tsne.joint(ids[:, :k], np.full((len(ids), k), 1 / k))


def symmetric(matrix: Array) -> Array:
    """(S + S^T) / sum(S + S^T)."""
    return np.asarray((matrix + matrix.T) / (matrix + matrix.T).sum())
