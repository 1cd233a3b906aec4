"""What a recorded corpus looks like as a whole: classes, accuracy, confusion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED, sequence_numbers
from hiddenstate_core.traces.trace import Trace

__all__ = ["DatasetOverview", "confusion_matrix", "dataset_overview"]


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetOverview:
    """Counts over the recorded sequences, or over some of them.

    Parameters
    ----------
    classes : tuple of str
        Class names.
    confusion : (C, C) int64
        Sequences by true class (row) and predicted class (column); unlabelled ones are left out.
    sequences : int
        Number of sequences.
    steps : int
        Number of states.
    unlabelled : int
        Sequences whose class is not known.
    test_accuracy : float or None
        Accuracy of the model on the corpus' whole test split, if known.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    sequences: int
    steps: int
    unlabelled: int
    test_accuracy: float | None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Sequences of each true class, (C,) int64."""
        return np.asarray(self.confusion.sum(axis=1), np.int64)

    @property
    def correct(self) -> NDArray[np.int64]:
        """Correctly classified sequences of each true class, (C,) int64."""
        return np.asarray(np.diagonal(self.confusion), np.int64)

    @property
    def accuracy(self) -> float | None:
        """Share of the recorded, labelled sequences that are classified correctly; None where there are none."""
        total = int(self.confusion.sum())
        return int(self.correct.sum()) / total if total else None


def confusion_matrix(trace: Trace, sequences: Sequence[int] | NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Count the recorded sequences by true class (row) and class predicted after the last word (column).

    Parameters
    ----------
    trace : Trace
        A recording.
    sequences : (M,) int or (S,) bool, optional
        Numbers of the sequences to count, or a mask; all by default.

    Returns
    -------
    (C, C) int64
        Unlabelled sequences are left out.

    Raises
    ------
    InputError
        A trace without predictions, such as a language model's, or sequences that it does not have.

    Notes
    -----
    O(M + C²), M sequences.
    """
    chosen = _chosen(trace, sequences)
    classes = len(trace.classes)
    labels, predicted = trace.labels[chosen].astype(np.int64), trace.predicted[chosen]
    known = labels != UNLABELLED
    return np.bincount(labels[known] * classes + predicted[known], minlength=classes * classes).reshape(
        classes, classes
    )


def dataset_overview(trace: Trace, sequences: Sequence[int] | NDArray[Any] | None = None) -> DatasetOverview:
    """Classes, counts, accuracy and confusion of a recording, or of some of its sequences.

    Parameters
    ----------
    trace : Trace
        A recording.
    sequences : (M,) int or (S,) bool, optional
        Numbers of the sequences to count, or a mask; all by default.

    Returns
    -------
    DatasetOverview
        Of these sequences; the test accuracy is the model's.

    Raises
    ------
    InputError
        A trace without predictions, such as a language model's, or sequences that it does not have.

    Notes
    -----
    O(M + C²), M sequences.
    """
    chosen = _chosen(trace, sequences)
    return DatasetOverview(
        classes=trace.classes,
        confusion=confusion_matrix(trace, sequences),
        sequences=len(trace.labels[chosen]),
        steps=int(np.diff(trace.offsets)[chosen].sum()),
        unlabelled=int((trace.labels[chosen] == UNLABELLED).sum()),
        test_accuracy=trace.test_accuracy,
    )


def _chosen(trace: Trace, sequences: Any) -> Any:
    """What picks the rows of these sequences."""
    return slice(None) if sequences is None else sequence_numbers(sequences, len(trace))
