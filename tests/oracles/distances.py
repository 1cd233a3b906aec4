"""Distances and their histogram by their definitions, in float64 and one pair at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["cosine", "distance", "distances", "histogram", "upper"]


def cosine(x: NDArray[np.generic], y: NDArray[np.generic]) -> float:
    """1 less the cosine of two states, rounded once: in fractions, but for a root of 300 bits."""
    a, b = ([Fraction(float(value)) for value in state] for state in (x, y))
    product = sum(p * q for p, q in zip(a, b, strict=True))
    squared = Fraction(product**2) / sum(p * p for p in a) / sum(q * q for q in b)
    root = Fraction(math.isqrt((squared.numerator << 600) // squared.denominator), 1 << 300)
    return float((1 - squared) / (1 + root) if product > 0 else 1 + root)


def distance(x: NDArray[np.float64], y: NDArray[np.float64], metric: str) -> float:
    """Distance of two states."""
    if metric == "manhattan":
        return float(np.abs(x - y).sum())
    if metric == "cosine":
        if np.array_equal(x, y):
            return 0.0  # what 1 less the cosine gives but for rounding
        product, lengths = x @ y, np.sqrt((x @ x) * (y @ y))
        if product <= 0:
            return float(1 - product / lengths)
        # Of nearly parallel states 1 less the cosine keeps few digits. Lagrange's identity keeps them: the squared sine
        # is a sum of squares of differences of products, and products of float32 are exact in float64.
        cross = np.outer(x, y) - np.outer(y, x)
        return float((cross**2).sum() / 2 / lengths / (lengths + product))
    square = float(((x - y) ** 2).sum())
    return float(np.sqrt(square)) if metric == "euclidean" else square


def distances(X: ArrayLike, Y: ArrayLike, metric: str) -> NDArray[np.float64]:
    """All distances, (n, m) float64."""
    x, y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
    return np.array([[distance(a, b, metric) for b in y] for a in x]).reshape(len(x), len(y))


def upper(X: ArrayLike, metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All pairs i < j, and their distances."""
    i, j = np.triu_indices(len(np.asarray(X)), 1)
    return i, j, distances(X, X, metric)[i, j]


def histogram(found: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[NDArray[np.int64], int, int]:
    """NumPy's counts, and how many lie below and above."""
    counts = np.histogram(found, edges)[0].astype(np.int64)
    return counts, int((found < edges[0]).sum()), int((found > edges[-1]).sum())
