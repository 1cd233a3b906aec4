"""Distances between successive rows of ragged sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["MANHATTAN", "SQUARED", "successive_distances"]

#: What is computed.
SQUARED, MANHATTAN = 0, 1


@kernel(fast=True, inline=True)
def _distance(x: NDArray[np.float32], y: NDArray[np.float32], kind: int) -> float:
    """Distance of two rows, squared or Manhattan, summed in float64."""
    total = 0.0
    if kind == MANHATTAN:
        for j in range(np.uint64(x.shape[0])):
            total += abs(np.float64(x[j]) - np.float64(y[j]))
        return total
    for j in range(np.uint64(x.shape[0])):
        difference = np.float64(x[j]) - np.float64(y[j])
        total += difference * difference
    return total


@kernel()
def successive_distances(
    states: NDArray[np.float32],
    starts: NDArray[np.bool_],
    before: NDArray[np.float32],
    initial: NDArray[np.float32],
    kind: int,
    out: NDArray[np.float64],
) -> None:
    """Write the distance of each row of `states` from the row before it.

    Parameters
    ----------
    states : (n, H) float32
        Consecutive rows.
    starts : (n,) bool
        Whether a row is the first of its sequence: its distance is that from `initial`.
    before, initial : (H,) float32
        The row before the first one, and what a sequence begins with.
    kind : int
        SQUARED (Euclidean) or MANHATTAN.
    out : (n,) float64
        Written; not finite where a state is not. O(n H).
    """
    for i in range(states.shape[0]):
        if starts[i]:
            out[i] = _distance(states[i], initial, kind)
        elif i == 0:
            out[i] = _distance(states[i], before, kind)
        else:
            out[i] = _distance(states[i], states[i - 1], kind)
