"""t-SNE in slow float64 NumPy, written from the papers' formulas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def squared_distances(x: Array) -> Array:
    """All |x_i - x_j|^2, by differences."""
    return np.asarray(((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2))


def nearest(x: Array, k: int) -> tuple[NDArray[np.int64], Array]:
    """The k nearest others of each point by (distance, id)."""
    squared = squared_distances(x)
    np.fill_diagonal(squared, np.inf)
    ids = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return ids, np.sqrt(np.take_along_axis(squared, ids, axis=1))


def perplexity(p: Array) -> Array:
    """exp of the entropy of each row (van der Maaten & Hinton 2008, below eq. 1)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.exp(-np.where(p > 0, p * np.log(p), 0.0).sum(axis=1)))


def conditional(distances: Array, wanted: float) -> Array:
    """p_{j|i} over each row's neighbours (eq. 1), beta by 200 halvings."""
    result = np.empty_like(distances)
    for i, row in enumerate(distances**2 - distances[:, :1] ** 2):
        low, high = 0.0, 1e300
        beta = 1.0 / max(float(row.mean()), 1e-300)
        for _ in range(200):
            weights = np.exp(-beta * row)
            weights /= weights.sum()
            if perplexity(weights[None])[0] > wanted:
                low = beta
            else:
                high = beta
            beta = 2 * beta if high == 1e300 else 0.5 * (low + high)
            if not np.isfinite(beta):
                break
        result[i] = weights
    return result


def joint(ids: NDArray[np.int64], p: Array) -> Array:
    """(p_{j|i} + p_{i|j}) / 2n (section 3.1), dense."""
    n = len(ids)
    dense = np.zeros((n, n))
    np.put_along_axis(dense, ids, p, axis=1)
    return np.asarray((dense + dense.T) / (2 * n))


def student(y: Array) -> Array:
    """w_ij = 1 / (1 + |y_i - y_j|^2), zero on the diagonal (numerator of eq. 4)."""
    w = 1.0 / (1.0 + squared_distances(y))
    np.fill_diagonal(w, 0.0)
    return np.asarray(w)


def kl(p: Array, y: Array) -> float:
    """KL(P || Q) (section 3.1, with q_ij of eq. 4)."""
    w = student(y)
    q = w / w.sum()
    mask = p > 0
    return float((p[mask] * np.log(p[mask] / q[mask])).sum())


def repulsion(y: Array) -> tuple[Array, float]:
    """sum_j w_ij^2 (y_i - y_j), and Z."""
    w = student(y)
    return (w**2).sum(axis=1)[:, None] * y - (w**2) @ y, float(w.sum())


def gradient(p: Array, y: Array) -> Array:
    """dC/dy (eq. 5)."""
    w = student(y)
    coefficient = (p - w / w.sum()) * w
    return np.asarray(4 * (coefficient.sum(axis=1)[:, None] * y - coefficient @ y))


def descend(p: Array, y: Array, iterations: int, rate: float, exaggeration: float, momentum: float) -> Array:
    """Plain gradient descent with momentum and gains, in units of dC/dy / 4, centred (section 3.4)."""
    y = y.copy()
    velocity, gains = np.zeros_like(y), np.ones_like(y)
    for _ in range(iterations):
        w = student(y)
        coefficient = (exaggeration * p - w / w.sum()) * w
        slope = coefficient.sum(axis=1)[:, None] * y - coefficient @ y
        gains = np.maximum(np.where((slope > 0) != (velocity > 0), gains + 0.2, gains * 0.8), 0.01)
        velocity = momentum * velocity - rate * gains * slope
        y += velocity
        y -= y.mean(axis=0)
    return y
