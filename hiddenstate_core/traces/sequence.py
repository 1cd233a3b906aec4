"""`SequenceTrace`: one sequence of a trace."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError
from hiddenstate_core.traces.lazy import LazyArray

if TYPE_CHECKING:
    from hiddenstate_core.traces.trace import Trace

__all__ = ["SequenceTrace"]


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceTrace:
    """One sequence of a trace; arrays are read when asked for."""

    trace: Trace
    index: int

    @property
    def start(self) -> int:
        """First step's number in the trace."""
        return int(self.trace.offsets[self.index])

    @property
    def stop(self) -> int:
        """One past the last step's number in the trace."""
        return int(self.trace.offsets[self.index + 1])

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def length(self) -> int:
        """Number of steps when it was read; ``len()`` of them have rows, all where every step was recorded."""
        return int(self.trace.lengths[self.index])

    @property
    def id(self) -> str:
        """Name of the sequence."""
        return self.trace.ids[self.index]

    @property
    def label(self) -> int:
        """True class, -1 where it is not known."""
        return int(self.trace.labels[self.index])

    @property
    def predicted(self) -> int:
        """Class of highest probability after everything was read."""
        return int(self.trace.final_probabilities[self.index].argmax())

    @property
    def words(self) -> list[str]:
        """Words as written, one for each row."""
        lexicon = self.trace.lexicon
        ids = self._rows(self.trace.surface()).tolist()
        try:
            return [lexicon[i] for i in ids]
        except IndexError as error:
            raise StoreError(f"{self.trace.path}: steps/surface points beyond lexicon/words; it is damaged.") from error

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Ids of the words as the model sees them, (T,) int32."""
        return np.asarray(self._rows(self.trace.tokens()), np.int32)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Which step of the sequence each row is, counted from 0, (T,) int64."""
        return np.asarray(self._rows(self.trace.positions), np.int64)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the model knows each word, (T,) bool."""
        return self.tokens != 0

    def probabilities(self) -> NDArray[np.float32]:
        """Class probabilities after each word, (T, C) float32."""
        return np.asarray(self._rows(self.trace.probabilities()), np.float32)

    def top_tokens(self) -> NDArray[np.int32]:
        """Most probable next words after each word, the likeliest first, (T, k) int32; a language model's."""
        return np.asarray(self._rows(self.trace.top_tokens()), np.int32)

    def top_probabilities(self) -> NDArray[np.float32]:
        """Probabilities of `top_tokens`, (T, k) float32."""
        return np.asarray(self._rows(self.trace.top_probabilities()), np.float32)

    def target_probability(self) -> NDArray[np.float32]:
        """Probability of the word that came next, (T,) float32; NaN at the last one."""
        return np.asarray(self._rows(self.trace.target_probability()), np.float32)

    def hidden(self, layer: int = -1, direction: str | None = None) -> NDArray[np.float32]:
        """Hidden states, (T, H) float32."""
        return np.asarray(self._rows(self.trace.hidden(layer, direction)), np.float32)

    def cell(self, layer: int = -1, direction: str | None = None) -> NDArray[np.float32]:
        """Cell states, (T, H) float32."""
        return np.asarray(self._rows(self.trace.cell(layer, direction)), np.float32)

    def gate(self, name: str, layer: int = -1, direction: str | None = None) -> NDArray[np.float32]:
        """Activations of a gate, (T, H) float32."""
        return np.asarray(self._rows(self.trace.gate(name, layer, direction)), np.float32)

    def _rows(self, array: LazyArray) -> NDArray[Any]:
        values: NDArray[Any] = array[self.start : self.stop]
        return values
