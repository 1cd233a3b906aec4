"""How far each word moves the hidden state."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.trace import Trace

__all__ = ["StepDistances", "step_distances"]

_BLOCK = 65_536


@dataclasses.dataclass(frozen=True, eq=False)
class StepDistances:
    """Distances between successive hidden states of every sequence.

    Parameters
    ----------
    values : (N,) float32
        ``values[t]`` is the Euclidean distance that reading word t moved the state: from the state before it, or, for
        a sequence's first word, from the initial state (zeros).
    largest : float
        Largest distance between two recorded states (first words left out), by which views are scaled; 1.0 where
        there is none.
    offsets : (S + 1,) int64
        Where each sequence begins and ends.
    layer : int
        Layer of the states, counted from 0.
    """

    values: NDArray[np.float32]
    largest: float
    offsets: NDArray[np.int64]
    layer: int

    def sequence(self, index: int) -> NDArray[np.float32]:
        """Distances (T,) along one sequence, unscaled."""
        count = len(self.offsets) - 1
        if not -count <= index < count:
            raise InputError(f"Sequence {index} does not exist; there are {count}, 0..{count - 1}.")
        index %= count
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def normalised(self, index: int) -> NDArray[np.float32]:
        """Distances (T,) along one sequence as shares of `largest`, at most 1."""
        shares: NDArray[np.float32] = np.minimum(self.sequence(index) / np.float32(self.largest), np.float32(1))
        return shares


def step_distances(trace: Trace, layer: int = -1, *, store: bool = False) -> StepDistances:
    """Distance that each word moved the hidden state, in the original space.

    Stored values (see `store`) are read; otherwise the states are read once, block by block: O(N H) time, O(N) memory.

    Parameters
    ----------
    trace : Trace
        A recording with hidden states.
    layer : int
        Which layer; -1 is the last.
    store : bool
        Whether the result is kept in the trace, as ``analysis/step_distance-<layer>``.

    Returns
    -------
    StepDistances
    """
    states = trace.hidden(layer)
    layer %= len(trace.layers)
    name = f"step_distance-{layer}"
    stored = trace.analysis(name)
    if stored is not None:
        values = np.asarray(stored[:], np.float32)
    else:
        values = _compute(trace, layer)
        if store:
            trace.add_analysis(name, values, attributes={"quantity": "hidden", "layer": layer, "metric": "euclidean"})
    assert len(values) == states.shape[0]
    inner = np.ones(len(values), np.bool_)
    inner[trace.offsets[:-1][np.diff(trace.offsets) > 0]] = False
    largest = float(values[inner].max()) if inner.any() else 0.0
    return StepDistances(values, largest if largest > 0 else 1.0, trace.offsets, layer)


def _compute(trace: Trace, layer: int) -> NDArray[np.float32]:
    from hiddenstate_core.kernels.steps import successive_distances

    states = trace.hidden(layer)
    count, units = states.shape
    starts = np.zeros(count, np.bool_)
    starts[trace.offsets[:-1][np.diff(trace.offsets) > 0]] = True
    values = np.empty(count, np.float32)
    before = np.zeros(units, np.float32)
    for at in range(0, count, _BLOCK):
        block = np.ascontiguousarray(states[at : at + _BLOCK], np.float32)
        successive_distances(block, starts[at : at + len(block)], before, values[at : at + len(block)])
        before = block[-1].copy()
    return values
