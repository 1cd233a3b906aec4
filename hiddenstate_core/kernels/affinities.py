"""Kernels of the affinities: perplexity rows, and the symmetric sparse matrix made of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["merge_rows", "perplexity_rows", "transpose"]


@kernel()
def perplexity_rows(
    start: int, stop: int, distances: NDArray[np.float32], perplexity: float, conditional: NDArray[np.float64]
) -> None:
    """Gaussian affinities of each row's neighbours, of the wanted perplexity.

    Parameters
    ----------
    start, stop : int
        Rows to work on.
    distances : (n, k) float32
        Ascending distances of each point's neighbours.
    perplexity : float
        Wanted ``exp(H)``, H the entropy of a row in nats; cut to k.
    conditional : (n, k) float64
        Receives ``p_{j|i}`` (van der Maaten & Hinton 2008, eq. 1); each row sums to 1.

    Notes
    -----
    Newton's method on log beta for ``H(beta) = log(perplexity)``, kept between brackets by bisection. Distances enter
    as ``(d^2 - d_min^2) / mean``, so no row underflows whatever its scale. Where more neighbours coincide with the
    nearest than the perplexity, the limit is uniform over these.
    """
    k = distances.shape[1]
    target = math.log(min(perplexity, np.float64(k)))
    scaled = np.empty(k)
    weights = np.empty(k)
    for i in range(start, stop):
        nearest = np.float64(distances[i, 0]) ** 2
        mean = 0.0
        for j in range(k):
            scaled[j] = np.float64(distances[i, j]) ** 2 - nearest
            mean += scaled[j]
        mean /= k
        if mean > 0.0:
            for j in range(k):
                scaled[j] /= mean
        log_beta, low, high = 0.0, -40.0, 60.0
        total = 1.0
        for _ in range(100):
            beta = math.exp(log_beta)
            total = first = second = 0.0
            for j in range(k):
                weights[j] = math.exp(-beta * scaled[j])
                total += weights[j]
                first += weights[j] * scaled[j]
                second += weights[j] * scaled[j] * scaled[j]
            first /= total
            second /= total
            excess = math.log(total) + beta * first - target
            if abs(excess) < 1e-9:
                break
            if excess > 0:
                low = log_beta
            else:
                high = log_beta
            slope = -beta * beta * (second - first * first)
            log_beta = log_beta - excess / slope if slope < 0.0 else high + 1.0
            if not low < log_beta < high:
                log_beta = 0.5 * (low + high)
            if high - low < 1e-12:
                break
        for j in range(k):
            conditional[i, j] = weights[j] / total


@kernel()
def transpose(
    indices: NDArray[np.int64], conditional: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Rows of the transposed graph: offsets (n + 1), then ids (ascending in each row) and values (n k)."""
    n, k = indices.shape
    offsets = np.zeros(n + 1, np.int64)
    for i in range(n):
        for e in range(k):
            offsets[indices[i, e] + 1] += 1
    for i in range(n):
        offsets[i + 1] += offsets[i]
    place = offsets[:n].copy()
    ids = np.empty(n * k, np.int32)
    values = np.empty(n * k, np.float64)
    for i in range(n):
        for e in range(k):
            j = indices[i, e]
            ids[place[j]] = i
            values[place[j]] = conditional[i, e]
            place[j] += 1
    return offsets, ids, values


@kernel()
def merge_rows(
    start: int,
    stop: int,
    indices: NDArray[np.int64],
    conditional: NDArray[np.float64],
    back_offsets: NDArray[np.int64],
    back_ids: NDArray[np.int32],
    back_values: NDArray[np.float64],
    scale: float,
    counts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> None:
    """Count (while `columns` is empty), then write, the rows of ``(P + P^T) * scale``, columns ascending.

    Parameters
    ----------
    start, stop : int
        Rows to work on.
    indices, conditional : (n, k) int64, float64
        Neighbours, ids ascending in each row, and their ``p_{j|i}``.
    back_offsets, back_ids, back_values : (n + 1) int64, (n k) int32, (n k) float64
        The transpose, from `transpose`.
    scale : float
        ``1 / (2 n)`` for affinities that sum to 1.
    counts : (n,) int64
        Receives the entries of each row.
    offsets, columns, values : (n + 1) int64, (nnz) int32, (nnz) float32
        Where each row goes, and the result.
    """
    counting = columns.shape[0] == 0
    k = indices.shape[1]
    for i in range(start, stop):
        a, b, end = 0, back_offsets[i], back_offsets[i + 1]
        at = np.int64(0) if counting else offsets[i]
        first = at
        while a < k or b < end:
            mine = indices[i, a] if a < k else np.int64(2**62)
            theirs = np.int64(back_ids[b]) if b < end else np.int64(2**62)
            value = 0.0
            if mine <= theirs:
                value += conditional[i, a]
                a += 1
            if theirs <= mine:
                value += back_values[b]
                b += 1
            if not counting:
                columns[at] = min(mine, theirs)
                values[at] = np.float32(value * scale)
            at += 1
        counts[i] = at - first
