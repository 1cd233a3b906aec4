"""Kernels that prepare points for the search: shorter rows, hashes that find equal ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["hash_rows", "reduce_rows"]


@kernel(fast=True)
def reduce_rows(
    start: int,
    stop: int,
    data: NDArray[np.float32],
    center: NDArray[np.float64],
    basis: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Shorten rows without lengthening any distance between them.

    Parameters
    ----------
    start, stop : int
        Which rows to work on.
    data : (n, d) float32
    center : (d,) float64
        Subtracted first.
    basis : (d, b) float64
        Orthonormal columns.
    out : (n, m) float32
        Receives the b coordinates in that basis, then the norm of what they leave out (by the triangle inequality it
        differs between two points by no more than what they leave out of their difference), then zeros. m > b.
    """
    d, b = basis.shape
    sums = np.empty(b)
    for i in range(start, stop):
        sums[:] = 0
        square = 0.0
        for f in range(d):
            x = np.float64(data[i, f]) - center[f]
            square += x * x
            row = basis[f]
            for c in range(np.uint64(b)):
                sums[c] += x * row[c]
        for c in range(b):
            square -= sums[c] * sums[c]
            out[i, c] = np.float32(sums[c])
        out[i, b] = np.float32(math.sqrt(max(square, 0.0)))
        for c in range(b + 1, out.shape[1]):
            out[i, c] = 0


@kernel()
def hash_rows(start: int, stop: int, bits: NDArray[np.uint32], out: NDArray[np.uint64]) -> None:
    """Write a hash of each row's float32 bits, 0 and -0 alike; equal rows have equal hashes (after FNV-1a)."""
    for i in range(start, stop):
        h = np.uint64(14695981039346656037)
        for f in range(bits.shape[1]):
            word = np.uint64(bits[i, f])
            if word == np.uint64(0x80000000):
                word = np.uint64(0)
            h = (h ^ word) * np.uint64(1099511628211)
            h ^= h >> np.uint64(29)
        out[i] = h
