"""`Reduction`: shorter rows for screening, made so that no distance grows."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.partition import reduce_rows
from hiddenstate_core.kernels.workers import Workers

__all__ = ["Reduction"]

#: Rows that choose the basis, numbers of directions tried, share of the variance that suffices, and steps.
_SAMPLE, _TRIED, _SHARE, _STEPS = 2048, (7, 15, 23, 31, 47, 63, 95, 127), 0.99, 6
_GRAIN = 1024


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """The directions in which points vary most, and how much they vary in all others together.

    Parameters
    ----------
    center : (d,) float64
        Subtracted first.
    basis : (d, b) float64
        Orthonormal columns.
    """

    center: NDArray[np.float64]
    basis: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Coordinates of a reduced row: b, the norm of what is left out, and zeros up to a multiple of 4."""
        return -(-(self.basis.shape[1] + 1) // 4) * 4

    @classmethod
    def fit(cls, data: NDArray[np.float32], seed: int) -> Reduction:
        """Principal directions of a sample of (n, d) rows; all d features where few do not suffice.

        Orthogonal iteration. Products go through einsum, not BLAS, whose rounding may depend on the number of threads.
        """
        n, d = data.shape
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(n, min(n, _SAMPLE), replace=False))
        sample = data[rows].astype(np.float64)
        center = sample.mean(axis=0)
        sample -= center
        total = float(np.einsum("ij,ij->", sample, sample))
        tried = [b for b in _TRIED if b <= d // 2]
        if tried and total > 0:
            basis = _orthonormal(rng.normal(size=(d, tried[-1])))
            for _ in range(_STEPS):
                basis = _orthonormal(np.einsum("ij,ik->jk", sample, np.einsum("ij,jk->ik", sample, basis)))
            along = np.einsum("ij,jk->ik", sample, basis)
            shares = np.cumsum(np.einsum("ik,ik->k", along, along)) / total
            for b in tried:
                if shares[b - 1] >= _SHARE:
                    return cls(center, np.ascontiguousarray(basis[:, :b]))
        return cls(center, np.eye(d))

    def __call__(self, data: NDArray[np.float32], workers: Workers) -> NDArray[np.float32]:
        """Reduced rows, (n, `size`) float32."""
        out = np.empty((len(data), self.size), np.float32)
        workers.run(reduce_rows, len(data), _GRAIN, data, self.center, self.basis, out)
        return out

    @property
    def drift(self) -> float:
        """Most that rounding moves a reduced row, relative to its norm.

        Half an ulp of each coordinate, and the square root of the error of a float64 sum of d squares in the last one.
        """
        return float(2.0**-23 + np.sqrt((len(self.center) + 8) * 2.0**-52))


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram-Schmidt, each column twice; a column that vanishes becomes the unit vector that is least spanned so far."""
    out = np.zeros_like(columns)
    for c in range(columns.shape[1]):
        v = columns[:, c]
        for attempt in range(2):
            before = np.sqrt(np.einsum("i,i->", v, v))
            for _ in range(2):
                v = v - np.einsum("ik,k->i", out[:, :c], np.einsum("ik,i->k", out[:, :c], v))
            norm = np.sqrt(np.einsum("i,i->", v, v))
            if norm > 1e-10 * before or attempt:
                break
            v = np.zeros(len(v))
            v[int(np.argmin(np.einsum("ik,ik->i", out[:, :c], out[:, :c])))] = 1.0
        out[:, c] = v / norm
    return out
