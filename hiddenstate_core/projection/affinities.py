"""`Affinities`: the symmetric matrix P that t-SNE preserves, sparse, and how it is made from a neighbour graph."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.affinities import merge_rows, perplexity_rows, transpose
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph

__all__ = ["Affinities", "perplexity_affinities"]

_GRAIN = 256
_BLOCK = 1 << 20
_INT32_POINTS = 2**31 - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Affinities:
    """Symmetric sparse affinities p_ij of n points, stored row by row (CSR).

    Parameters
    ----------
    offsets : (n + 1,) int64
        Row i is ``columns[offsets[i]:offsets[i + 1]]``.
    columns : (nnz,) int32
        Ids of the points of each row, ascending; never the row itself.
    values : (nnz,) float32
        ``p_ij > 0``; they sum to 1, and p_ij = p_ji.

    Notes
    -----
    Optimisers only read it: one value may serve any number of maps, and judge them (`kl_divergence`).
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        wanted = {"offsets": np.int64, "columns": np.int32, "values": np.float32}
        for name, dtype in wanted.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != dtype or not array.flags.c_contiguous:
                raise InputError(f"Affinities.{name} must be a contiguous one-dimensional {np.dtype(dtype)} array.")
        entries = len(self.values)
        if len(self.offsets) < 2 or self.offsets[0] != 0 or self.offsets[-1] != entries or len(self.columns) != entries:
            raise InputError("The offsets of affinities must run from 0 to the number of columns and values.")
        if (np.diff(self.offsets) < 0).any():
            raise InputError("The offsets of affinities must not fall.")
        if entries and (self.columns.min() < 0 or self.columns.max() >= self.n):
            raise InputError(f"The columns of affinities between {self.n} points must lie in 0..{self.n - 1}.")
        total = float(self.values.sum(dtype=np.float64))
        if not (abs(total - 1) < 1e-3 and self.values.min(initial=0.0) >= 0):
            raise InputError(f"Affinities must not be negative and must sum to 1, not {total:g}.")

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.offsets) - 1

    @functools.cached_property
    def negative_entropy(self) -> float:
        """``sum p_ij log p_ij``, in nats."""
        total = 0.0
        for start in range(0, len(self.values), _BLOCK):
            values = self.values[start : start + _BLOCK].astype(np.float64)
            values = values[values > 0]
            total += float((values * np.log(values)).sum())
        return total

    def dense(self) -> NDArray[np.float64]:
        """The whole (n, n) float64 matrix; for small n."""
        matrix = np.zeros((self.n, self.n))
        matrix[np.repeat(np.arange(self.n), np.diff(self.offsets)), self.columns] = self.values
        return matrix


def perplexity_affinities(graph: NeighborGraph, perplexity: float, *, n_jobs: int | None = None) -> Affinities:
    """Gaussian affinities of a given perplexity, symmetrised.

    Parameters
    ----------
    graph : NeighborGraph
        k neighbours of each of n points; k = 3 x perplexity is usual (van der Maaten 2014, section 4.1).
    perplexity : float
        Effective number of neighbours, at least 1; cut to k where it is larger.
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    Affinities
        ``p_ij = (p_{j|i} + p_{i|j}) / 2n`` (van der Maaten & Hinton 2008, section 3.1), with ``p_{j|i}`` of eq. 1 over
        the k neighbours and sigma_i such that the row's entropy is the logarithm of the perplexity.

    Raises
    ------
    InputError
        A perplexity below 1, or more points than int32 ids can name.
    """
    perplexity = float(perplexity)
    if not (perplexity >= 1 and math.isfinite(perplexity)):
        raise InputError(f"The perplexity must be a number of at least 1, not {perplexity:g}.")
    n = graph.n
    if n > _INT32_POINTS:
        raise InputError(f"Affinities hold at most {_INT32_POINTS} points, not {n}.")
    indices, conditional = np.empty_like(graph.indices, order="C"), np.empty(graph.indices.shape)
    distances = np.ascontiguousarray(graph.distances)

    def sort_rows(start: int, stop: int) -> None:
        order = np.argsort(graph.indices[start:stop], axis=1)
        indices[start:stop] = np.take_along_axis(graph.indices[start:stop], order, axis=1)
        conditional[start:stop] = np.take_along_axis(conditional[start:stop], order, axis=1)

    with Workers(n_jobs) as workers:
        workers.run(perplexity_rows, n, _GRAIN, distances, perplexity, conditional)
        workers.run(sort_rows, n, _GRAIN)
        back = transpose(indices, conditional)
        counts = np.zeros(n, np.int64)
        offsets = np.zeros(n + 1, np.int64)
        columns, values = np.empty(0, np.int32), np.empty(0, np.float32)
        scale = 1.0 / (2.0 * n)
        workers.run(
            merge_rows, n, _GRAIN, indices, conditional, *back, scale, counts, offsets, columns, values
        )  # fmt: skip
        np.cumsum(counts, out=offsets[1:])
        columns, values = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32)
        workers.run(
            merge_rows, n, _GRAIN, indices, conditional, *back, scale, counts, offsets, columns, values
        )  # fmt: skip
    return Affinities(offsets, columns, values)
