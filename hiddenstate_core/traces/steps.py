"""What follows from the offsets alone for every step: the sequence it belongs to and its position there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.traces.lazy import LazyArray, concatenated_ranges

if TYPE_CHECKING:
    from hiddenstate_core.traces.quantities import Quantities

__all__ = ["Positions", "SequenceNumbers"]


class SequenceNumbers(LazyArray):
    """Number of the sequence that each row belongs to, (N,) int64; computed when sliced, O(log S) a row."""

    name = "sequence"

    def __init__(self, trace: Quantities) -> None:
        self._trace = trace
        self.shape = (trace.steps,)
        self.dtype = np.dtype(np.int64)
        self.dimensions = ("step",)

    @property
    def block(self) -> int:
        """Any number of rows is as good."""
        return 1024

    @property
    def token(self) -> str:
        """Store, recording and name."""
        return f"{self._trace.path}/{self._trace.fingerprint}/{self.name}"

    def _rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = concatenated_ranges(starts, stops)
        return np.searchsorted(self._trace.offsets, rows, side="right") - 1


class Positions(SequenceNumbers):
    """Which step of its sequence each row is, counted from 0, (N,) int64, where every step has a row."""

    name = "position"

    def _rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = concatenated_ranges(starts, stops)
        return rows - self._trace.offsets[super()._rows(starts, stops)]
