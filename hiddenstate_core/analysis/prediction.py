"""How the prediction evolves while a sequence is read."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.traces.trace import Trace

__all__ = ["PredictionEvolution", "most_probable", "prediction_evolution"]


def most_probable(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of the most probable class of every row, the first of equals, (T,) int64."""
    if probabilities.shape[1] == 2:  # several times as fast as to look for the largest of each short row
        return (probabilities[:, 1] > probabilities[:, 0]).astype(np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class PredictionEvolution:
    """What the model would say after each word of one sequence; T words, C classes.

    "Before" and "after" are in the order in which the model reads: of a backward one, the word after a word comes
    before it. The readout of one that reads both ways joins, at each word, what was read of it from either side; it is
    taken in the order of the words.

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
    direction : str
        ``"forward"``, ``"backward"`` or ``"both"``: how the model reads.
    prediction : (C,) float32, optional
        Class probabilities after everything was read, where these are not the last word's.
    """

    sequence: int
    words: tuple[str, ...]
    probabilities: NDArray[np.float32]
    initial: NDArray[np.float32]
    label: int
    classes: tuple[str, ...]
    direction: str = "forward"
    prediction: NDArray[np.float32] | None = None

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
    def before(self) -> NDArray[np.float32]:
        """Class probabilities before each word was read, (T, C) float32."""
        if self.direction == "backward":
            return np.vstack([self.probabilities, self.initial[None, :]])[1:]
        return np.vstack([self.initial[None, :], self.probabilities])[:-1]

    @property
    def change(self) -> NDArray[np.float32]:
        """Largest change of any class's probability that each word made, (T,) float32, in [0, 1].

        The first word's change is from `initial`. With two classes this is the change of either's probability.
        """
        return np.abs(self.probabilities - self.before).max(axis=1) if len(self) else np.zeros(0, np.float32)

    @property
    def flips(self) -> NDArray[np.bool_]:
        """Whether a word changed the most probable class, (T,) bool; never at the word that was read first."""
        flips = np.zeros(len(self), np.bool_)
        changed = np.diff(self.predicted) != 0
        if self.direction == "backward":
            flips[:-1] = changed
        else:
            flips[1:] = changed
        return flips

    @property
    def settled(self) -> int | None:
        """Number of the word from which on, as the model reads, no class but the final one is the most probable.

        None for an empty sequence.
        """
        if not len(self):
            return None
        changes = np.flatnonzero(self.flips)
        if self.direction == "backward":
            return int(changes[0]) if len(changes) else len(self) - 1
        return int(changes[-1]) if len(changes) else 0

    @property
    def outcome(self) -> NDArray[np.float32]:
        """Class probabilities after everything was read, (C,) float32; `initial` for an empty sequence."""
        if self.prediction is not None:
            return self.prediction
        return self.probabilities[0 if self.direction == "backward" else -1] if len(self) else self.initial

    @property
    def final(self) -> int:
        """Most probable class after everything was read (before any word, for an empty sequence)."""
        return int(self.outcome.argmax())

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
        No such sequence, or a trace without class probabilities at every step.
    """
    view = trace.sequence(sequence)
    return PredictionEvolution(
        sequence=view.index,
        words=tuple(view.words),
        probabilities=view.probabilities(),
        initial=trace.initial_probabilities,
        label=view.label,
        classes=trace.classes,
        direction=trace.facts.direction,
        prediction=trace.final_probabilities[view.index] if trace.facts.direction != "forward" else None,
    )
