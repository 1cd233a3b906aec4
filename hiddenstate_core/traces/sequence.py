"""`SequenceTrace`: one sequence of a trace."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import StoreError

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
    def id(self) -> str:
        """Name of the sequence."""
        return self.trace.ids[self.index]

    @property
    def label(self) -> int:
        """True class, -1 where it is not known."""
        return int(self.trace.labels[self.index])

    @property
    def predicted(self) -> int:
        """Class of highest probability after the last word."""
        return int(self.trace.final_probabilities[self.index].argmax())

    @property
    def words(self) -> list[str]:
        """Words as written."""
        lexicon = self.trace.lexicon
        ids = self.trace.surface()[self.start : self.stop].tolist()
        try:
            return [lexicon[i] for i in ids]
        except IndexError as error:
            raise StoreError(f"{self.trace.path}: steps/surface points beyond lexicon/words; it is damaged.") from error

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Ids of the words as the model sees them, (T,) int32."""
        return np.asarray(self.trace.tokens()[self.start : self.stop], np.int32)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the model knows each word, (T,) bool."""
        return self.tokens != 0

    def probabilities(self) -> NDArray[np.float32]:
        """Class probabilities after each word, (T, C) float32."""
        return np.asarray(self.trace.probabilities()[self.start : self.stop], np.float32)

    def hidden(self, layer: int = -1) -> NDArray[np.float32]:
        """Hidden states, (T, H) float32."""
        return np.asarray(self.trace.hidden(layer)[self.start : self.stop], np.float32)

    def cell(self, layer: int = -1) -> NDArray[np.float32]:
        """Cell states, (T, H) float32."""
        return np.asarray(self.trace.cell(layer)[self.start : self.stop], np.float32)

    def gate(self, name: str, layer: int = -1) -> NDArray[np.float32]:
        """Activations of a gate, (T, H) float32."""
        return np.asarray(self.trace.gate(name, layer)[self.start : self.stop], np.float32)
