"""`Affinities`: the symmetric matrix P that t-SNE preserves, sparse, and how it is made."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.affinities import count_buckets, fill_buckets, merge_bucket, perplexity_rows
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors.graph import NeighborGraph

__all__ = [
    "INT32_POINTS",
    "Affinities",
    "multiscale_affinities",
    "perplexity_affinities",
    "symmetrise",
    "uniform_affinities",
]

_GRAIN = 256
_BLOCK = 1 << 20
INT32_POINTS = 2**31 - 1
#: Entries of a bucket on average, and of a round of buckets at most, while a matrix is made symmetric.
_BUCKET_ENTRIES, _ROUND_ENTRIES = 1 << 17, 48_000_000


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

    Notes
    -----
    O(n k) time; beside the result, 4 n k bytes and at most about 600 MB (more where one point is the neighbour of
    tens of millions).
    """
    return multiscale_affinities(graph, (perplexity,), n_jobs=n_jobs)


def multiscale_affinities(
    graph: NeighborGraph, perplexities: Sequence[float], *, n_jobs: int | None = None
) -> Affinities:
    """Gaussian affinities averaged over several perplexities, symmetrised: near and far structure in one map.

    Parameters
    ----------
    graph : NeighborGraph
        k neighbours of each of n points, k three times the largest perplexity.
    perplexities : sequence of float
        Each at least 1; cut to k where larger.
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    Affinities
        As `perplexity_affinities`, with ``p_{j|i}`` the mean of those of every perplexity (Lee, Peluffo-Ordonez &
        Verleysen 2015, "Multi-scale similarities in stochastic neighbour embedding", where they are powers of two).

    Raises
    ------
    InputError
        No perplexity, one below 1, or more points than int32 ids can name.
    """
    wanted = np.array([_perplexity(p) for p in perplexities])
    if not len(wanted):
        raise InputError("Multi-scale affinities need at least one perplexity.")
    _check_points(graph.n)
    conditional = np.empty(graph.indices.shape, np.float32)
    with Workers(n_jobs) as workers:
        workers.run(perplexity_rows, graph.n, _GRAIN, np.ascontiguousarray(graph.distances), wanted, conditional)
        return _symmetrise_graph(graph.indices, conditional, workers)


def uniform_affinities(graph: NeighborGraph, k: int | None = None, *, n_jobs: int | None = None) -> Affinities:
    """Affinities that weigh every one of the k nearest neighbours alike, symmetrised; for tens of millions of points.

    Parameters
    ----------
    graph : NeighborGraph
        At least k neighbours of each of n points.
    k : int or None
        Neighbours to use, the nearest; None for all.
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    Affinities
        ``p_ij = (p_{j|i} + p_{i|j}) / 2n`` with ``p_{j|i} = 1 / k`` (as in Böhm, Berens & Kobak 2022,
        "Attraction-repulsion spectrum in neighbor embeddings"; k = 15 is usual).

    Raises
    ------
    InputError
        k outside 1 to the graph's, or more points than int32 ids can name.
    """
    if k is None:
        k = graph.k
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= graph.k:
        raise InputError(f"The graph has 1 to {graph.k} neighbours of each point to use, not {k!r}.")
    _check_points(graph.n)
    with Workers(n_jobs) as workers:
        conditional = np.full((graph.n, int(k)), 1 / k, np.float32)
        return _symmetrise_graph(graph.indices[:, :k], conditional, workers)


def _perplexity(value: float) -> float:
    try:
        perplexity = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"The perplexity must be a number of at least 1, not {value!r}.") from error
    if not (perplexity >= 1 and math.isfinite(perplexity)):
        raise InputError(f"The perplexity must be a number of at least 1, not {perplexity:g}.")
    return perplexity


def _check_points(n: int) -> None:
    if n > INT32_POINTS:
        raise InputError(f"Affinities hold at most {INT32_POINTS} points, not {n}.")


def _symmetrise_graph(
    indices: NDArray[np.int64], conditional: NDArray[np.float32], workers: Workers
) -> Affinities:  # fmt: skip
    """``(P + P^T) / 2n`` of conditionals (n, k)."""
    n, k = indices.shape

    def sorted_rows(first: int, last: int) -> NDArray[np.int64]:
        packed = indices[first:last] << 32
        packed |= conditional[first:last].view(np.uint32)
        packed.sort(axis=1)
        return packed.reshape(-1)

    flat = np.ascontiguousarray(indices).reshape(-1)
    return symmetrise(np.arange(n + 1) * k, flat, conditional.reshape(-1), 1 / (2 * n), sorted_rows, workers)


def symmetrise(
    offsets: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float32],
    scale: float,
    sorted_rows: Callable[[int, int], NDArray[np.int64]],
    workers: Workers,
) -> Affinities:
    """``(P + P^T) * scale`` of a sparse matrix P, in little memory.

    Parameters
    ----------
    offsets, columns, weights : (n + 1) int64, (nnz) int64, (nnz) float32
        P, row by row.
    scale : float
        What makes the sum 1.
    sorted_rows : callable
        Gives rows ``first`` to ``last - 1`` with ascending columns as int64: column in the upper half, the bits of the
        weight in the lower.
    workers : Workers
        Threads to use; the result does not depend on their number.

    Notes
    -----
    The transpose is never held whole: its entries are shared out to buckets of rows, a round of so many buckets at a
    time that 12 bytes an entry stay below 600 MB. A bucket fits the cache while it is sorted and merged. Rows are
    written where they would stand if P and its transpose had no entry in common (memory that is only reserved), and
    closed up at the end.
    """
    n, entries = len(offsets) - 1, len(weights)
    shift = max(0, int(math.log2(max(1.0, _BUCKET_ENTRIES * n / max(entries, 1)))))
    buckets, grain = (n - 1 >> shift) + 1, max(_GRAIN, -(-n // 256))
    counts = np.zeros((-(-n // grain), buckets), np.int64)
    workers.run(count_buckets, n, grain, grain, offsets, columns, shift, counts)
    before = np.zeros(buckets + 1, np.int64)
    np.cumsum(counts.sum(axis=0), out=before[1:])
    rows = np.minimum(np.arange(buckets + 1) << shift, n)
    starts = offsets[rows] + before
    lengths, written = np.zeros(n, np.int64), np.zeros(buckets, np.int64)
    result, values = np.empty(2 * entries, np.int32), np.empty(2 * entries, np.float32)
    bounds = [0]
    while bounds[-1] < buckets:
        room = before[bounds[-1]] + _ROUND_ENTRIES
        bounds.append(max(bounds[-1] + 1, int(np.searchsorted(before, room, "right")) - 1))
    largest = int(np.diff(before[bounds]).max())
    targets, packed = np.empty(largest, np.int32), np.empty(largest, np.int64)

    def merge(start: int, stop: int, base: int) -> None:
        for bucket in range(base + start, base + stop):
            own = slice(int(rows[bucket]), int(rows[bucket + 1]))
            back = slice(int(before[bucket] - before[base]), int(before[bucket + 1] - before[base]))
            room = slice(int(starts[bucket]), int(starts[bucket + 1]))
            written[bucket] = merge_bucket(
                offsets[own.start : own.stop + 1], sorted_rows(own.start, own.stop), targets[back], packed[back],
                scale, lengths[own], result[room], values[room],
            )  # fmt: skip

    for first, last in itertools.pairwise(bounds):
        places = np.cumsum(counts, axis=0) - counts + before[:-1] - before[first]
        workers.run(
            fill_buckets, n, grain, grain, offsets, columns, weights, shift, first, last, places, targets, packed
        )  # fmt: skip
        workers.run(merge, last - first, 1, first)
    return _close_up(lengths, starts, written, result, values)


def _close_up(
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    written: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> Affinities:
    """Move every bucket's entries down to the end of those before it, and give the rest of the memory back."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    end = 0
    for start, size in zip(starts.tolist(), written.tolist(), strict=False):
        columns[end : end + size] = columns[start : start + size]
        values[end : end + size] = values[start : start + size]
        end += size
    columns.resize(end, refcheck=False)  # no view of either is left
    values.resize(end, refcheck=False)
    return Affinities(offsets, columns, values)
