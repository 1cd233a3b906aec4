"""Kernels of the affinities: perplexity rows, and the symmetric sparse matrix made of them, bucket by bucket."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["count_buckets", "fill_buckets", "merge_bucket", "perplexity_rows"]


@kernel(fast=True, inline=True)
def _weigh(scaled: NDArray[np.float64], beta: float, weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Write ``w = exp(-beta s)``; returns the sums of w, w s and w s^2.

    The exponential is ``2^-m exp(r)`` with r within log(2) / 2 of zero and its series up to r^11: to 1e-14, and unlike
    the library's it vectorises. Arguments beyond 700 count as 700.
    """
    total = first = second = 0.0
    for j in range(np.uint64(scaled.shape[0])):
        s = scaled[j]
        x = beta * s
        x = x if x < 700.0 else 700.0
        m = np.int64(x * 1.4426950408889634 + 0.5)
        r = m * 0.6931471805599453 - x
        series = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r / 39916800)))
        series = 1.0 + r * (1.0 + r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * series))))))
        w = series * np.int64((np.int64(1023) - m) << np.int64(52)).view(np.float64)
        weights[j] = w
        total += w
        first += w * s
        second += w * s * s
    return total, first, second


@kernel()
def perplexity_rows(
    start: int,
    stop: int,
    distances: NDArray[np.float32],
    perplexities: NDArray[np.float64],
    conditional: NDArray[np.float32],
) -> None:
    """Gaussian affinities of each row's neighbours, of the wanted perplexity, averaged over several of these.

    Parameters
    ----------
    start, stop : int
        Rows to work on.
    distances : (n, k) float32
        Ascending distances of each point's neighbours.
    perplexities : (m,) float64
        Wanted ``exp(H)``, H the entropy of a row in nats; each cut to k.
    conditional : (n, k) float32
        Receives the mean over the perplexities of ``p_{j|i}`` (van der Maaten & Hinton 2008, eq. 1); rows sum to 1.

    Notes
    -----
    Newton's method on log beta for ``H(beta) = log(perplexity)``, kept between brackets by bisection, to 1e-9 of H. It
    starts from the row before, whose beta is near because distances enter as ``(d^2 - d_min^2) / mean``; for the same
    reason no row underflows whatever its scale. Where more neighbours coincide with the nearest than the perplexity,
    the limit is uniform over these.
    """
    k = distances.shape[1]
    scaled = np.empty(k)
    weights = np.empty(k)
    mean_weights = np.empty(k)
    starts = np.zeros(perplexities.shape[0])
    for i in range(start, stop):
        nearest = np.float64(distances[i, 0]) ** 2
        mean = 0.0
        for j in range(k):
            scaled[j] = np.float64(distances[i, j]) ** 2 - nearest
            mean += scaled[j]
            mean_weights[j] = 0.0
        mean /= k
        if mean > 0.0:
            for j in range(k):
                scaled[j] /= mean
        for scale in range(perplexities.shape[0]):
            target = math.log(min(perplexities[scale], np.float64(k)))
            log_beta, low, high = starts[scale], -40.0, 60.0
            total = 1.0
            for _ in range(100):
                beta = math.exp(log_beta)
                total, first, second = _weigh(scaled, beta, weights)
                first /= total
                second /= total
                excess = math.log(total) + beta * first - target
                if abs(excess) < 1e-9:
                    starts[scale] = log_beta
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
                mean_weights[j] += weights[j] / (total * perplexities.shape[0])
        for j in range(k):
            conditional[i, j] = mean_weights[j]


@kernel()
def count_buckets(
    start: int,
    stop: int,
    grain: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.int64],
    shift: int,
    counts: NDArray[np.int64],
) -> None:
    """Count, for rows `start` to `stop`, the entries whose column falls in each bucket of ``2^shift`` columns.

    Parameters
    ----------
    start, stop : int
        Rows to work on: those of one block of `grain` rows.
    grain : int
        Rows of a block.
    offsets, columns : (n + 1) int64, (nnz) int64
        Sparse rows.
    shift : int
        Logarithm of the columns in a bucket.
    counts : (blocks, buckets) int64
        Zeros at first; row ``start // grain`` receives the counts.
    """
    block = start // grain
    for e in range(offsets[start], offsets[stop]):
        counts[block, columns[e] >> shift] += 1


@kernel()
def fill_buckets(
    start: int,
    stop: int,
    grain: int,
    offsets: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.float32],
    shift: int,
    first: int,
    last: int,
    places: NDArray[np.int64],
    targets: NDArray[np.int32],
    packed: NDArray[np.int64],
) -> None:
    """Copy the entries of rows `start` to `stop` with columns in buckets `first` to `last - 1` to their buckets.

    Parameters
    ----------
    start, stop, grain, offsets, columns, shift
        As in `count_buckets`.
    weights : (nnz,) float32
        Values of the entries, not negative.
    first, last : int
        Buckets to fill.
    places : (blocks, buckets) int64
        Where each block's part of each bucket begins; moved on.
    targets, packed : (entries,) int32, int64
        Receive each entry's column within its bucket, and its row (upper half) and value's bits (lower half). Rows
        ascend within a bucket, as blocks do.
    """
    block = start // grain
    mask = (np.int64(1) << np.int64(shift)) - 1
    bits = weights.view(np.uint32)
    for i in range(start, stop):
        row = np.int64(i) << np.int64(32)
        for e in range(offsets[i], offsets[i + 1]):
            bucket = columns[e] >> shift
            if first <= bucket < last:
                place = places[block, bucket]
                targets[place] = np.int32(columns[e] & mask)
                packed[place] = row | np.int64(bits[e])
                places[block, bucket] = place + 1


@kernel()
def merge_bucket(
    own_offsets: NDArray[np.int64],
    own: NDArray[np.int64],
    targets: NDArray[np.int32],
    packed: NDArray[np.int64],
    scale: float,
    counts: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> int:
    """Write the rows of ``(P + P^T) * scale`` that one bucket holds, columns ascending; returns the entries written.

    Parameters
    ----------
    own_offsets : (rows + 1,) int64
        Where each of the bucket's rows begins in `own`, up to a constant.
    own : (m,) int64
        The rows of P, ascending: column in the upper half, value's bits in the lower.
    targets, packed : (entries,) int32, int64
        The rows of P^T, from `fill_buckets`.
    scale : float
        Factor.
    counts : (rows,) int64
        Receives the entries of each row.
    columns, values : (m + entries) int32, float32
        Receive the rows, one after another.

    Notes
    -----
    A counting sort brings the transposed entries in order. ``p_ij`` and ``p_ji`` come from the same two float32 numbers
    added in float64, so they are equal to the bit.
    """
    rows = counts.shape[0]
    places = np.zeros(rows + 1, np.int64)
    for e in range(targets.shape[0]):
        places[targets[e] + 1] += 1
    for r in range(rows):
        places[r + 1] += places[r]
    back = np.empty(targets.shape[0], np.int64)
    for e in range(targets.shape[0]):
        place = places[targets[e]]
        back[place] = packed[e]
        places[targets[e]] = place + 1  # ends as the row's end
    at = b = 0
    base = own_offsets[0]
    last, mask = np.int64(2**62), np.int64(0xFFFFFFFF)
    for r in range(rows):
        a, a_end, b_end = own_offsets[r] - base, own_offsets[r + 1] - base, places[r]
        begin = at
        while a < a_end or b < b_end:
            mine = own[a] >> 32 if a < a_end else last
            theirs = back[b] >> 32 if b < b_end else last
            column = min(mine, theirs)
            value = 0.0
            while mine == column:
                value += np.float64(np.uint32(own[a] & mask).view(np.float32))
                a += 1
                mine = own[a] >> 32 if a < a_end else last
            while theirs == column:
                value += np.float64(np.uint32(back[b] & mask).view(np.float32))
                b += 1
                theirs = back[b] >> 32 if b < b_end else last
            columns[at] = column
            values[at] = np.float32(value * scale)
            at += 1
        counts[r] = at - begin
    return at
