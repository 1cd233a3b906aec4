"""Mean paths of sequences in slow float64 loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relative(paths: list[Array], bins: int) -> tuple[Array, Array]:
    """Mean and covariance at `bins` shares of every path (T, 2), between words in proportion."""
    means, covariances = [], []
    for b in range(bins):
        places = []
        for path in paths:
            words = np.arange(len(path))
            at = b / (bins - 1) * (len(path) - 1)
            places.append([np.interp(at, words, path[:, axis]) for axis in range(2)])
        means.append(np.mean(places, axis=0))
        covariances.append(np.cov(np.array(places).T, bias=True))
    return np.array(means), np.array(covariances)


def absolute(paths: list[Array], numbers: list[int]) -> tuple[Array, list[int]]:
    """Mean place after a word number of the paths that reach it, and how many do."""
    reached = [[path[number] for path in paths if len(path) > number] for number in numbers]
    return np.array([np.mean(places, axis=0) for places in reached]), [len(places) for places in reached]
