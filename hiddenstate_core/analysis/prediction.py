"""How the prediction evolves while a sequence is read."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.traces.trace import Trace

__all__ = ["PredictionEvolution", "prediction_evolution"]


@dataclasses.dataclass(frozen=True, eq=False)
class PredictionEvolution:
    """What the model would say after each word of one sequence; T words, C classes.

    Parameters
    ----------
    sequence : int
        Number of the sequence.
    words : tuple of str
        Words as written.
    probabilities : (T, C) float32
        Class probabilities after each word.
    initial : (C,) float32
        Class probabilities before the first word.
    label : int
        True class, -1 where it is not known.
    classes : tuple of str
        Class names.
    """

    sequence: int
    words: tuple[str, ...]
    probabilities: NDArray[np.float32]
    initial: NDArray[np.float32]
    label: int
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Most probable class after each word, (T,) int64."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of that class, (T,) float32."""
        return self.probabilities.max(axis=1) if len(self) else np.zeros(0, np.float32)

    @property
    def change(self) -> NDArray[np.float32]:
        """Largest change of any class's probability that each word made, (T,) float32, in [0, 1].

        The first word's change is from `initial`. With two classes this is the change of either's probability.
        """
        before = np.vstack([self.initial[None, :], self.probabilities])[:-1]
        return np.abs(self.probabilities - before).max(axis=1) if len(self) else np.zeros(0, np.float32)

    @property
    def flips(self) -> NDArray[np.bool_]:
        """Whether a word changed the most probable class, (T,) bool; never at the first word."""
        flips = np.zeros(len(self), np.bool_)
        flips[1:] = np.diff(self.predicted) != 0
        return flips

    @property
    def settled(self) -> int | None:
        """Number of the word from which the final class stays the most probable; None for an empty sequence."""
        if not len(self):
            return None
        changes = np.flatnonzero(self.flips)
        return int(changes[-1]) if len(changes) else 0

    @property
    def final(self) -> int:
        """Most probable class after the last word (before any, for an empty sequence)."""
        return int((self.probabilities[-1] if len(self) else self.initial).argmax())

    @property
    def correct(self) -> bool | None:
        """Whether `final` is the true class; None where that is not known."""
        return None if self.label < 0 else self.final == self.label


def prediction_evolution(trace: Trace, sequence: int) -> PredictionEvolution:
    """Prediction after each word of one sequence; reads that sequence's steps only.

    Parameters
    ----------
    trace : Trace
        A recording.
    sequence : int
        Number of the sequence; negative numbers count from the end.

    Raises
    ------
    InputError
        No such sequence.
    """
    view = trace.sequence(sequence)
    return PredictionEvolution(
        sequence=view.index,
        words=tuple(view.words),
        probabilities=view.probabilities(),
        initial=trace.initial_probabilities,
        label=view.label,
        classes=trace.classes,
    )
