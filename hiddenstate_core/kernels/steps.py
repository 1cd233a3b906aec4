"""Distances between successive rows of ragged sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["successive_distances"]


@kernel()
def successive_distances(
    states: NDArray[np.float32], starts: NDArray[np.bool_], before: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write the Euclidean distance of each row of `states` from the row before it.

    Parameters
    ----------
    states : (n, H) float32
        Consecutive rows.
    starts : (n,) bool
        Whether a row is the first of its sequence: its distance is that from zero, the initial state.
    before : (H,) float32
        The row before the first one.
    out : (n,) float32
        Written. Sums are float64. O(n H).
    """
    rows, units = states.shape
    for i in range(rows):
        total = 0.0
        for j in range(units):
            previous = 0.0
            if not starts[i]:
                previous = np.float64(before[j]) if i == 0 else np.float64(states[i - 1, j])
            difference = np.float64(states[i, j]) - previous
            total += difference * difference
        out[i] = np.sqrt(total)
