"""What a recorded corpus looks like as a whole: classes, accuracy, confusion."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED
from hiddenstate_core.traces.trace import Trace

__all__ = ["DatasetOverview", "confusion_matrix", "dataset_overview"]


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetOverview:
    """Counts over the recorded sequences.

    Parameters
    ----------
    classes : tuple of str
        Class names.
    confusion : (C, C) int64
        Sequences by true class (row) and predicted class (column); unlabelled ones are left out.
    sequences : int
        Number of sequences recorded.
    steps : int
        Number of states recorded.
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


def confusion_matrix(trace: Trace) -> NDArray[np.int64]:
    """Count the recorded sequences by true class (row) and class predicted after the last word (column).

    Parameters
    ----------
    trace : Trace
        A recording.

    Returns
    -------
    (C, C) int64
        Unlabelled sequences are left out.

    Raises
    ------
    InputError
        A trace without predictions, such as a language model's.
    """
    classes = len(trace.classes)
    labels = trace.labels.astype(np.int64)
    predicted = trace.predicted
    known = labels != UNLABELLED
    return np.bincount(labels[known] * classes + predicted[known], minlength=classes * classes).reshape(
        classes, classes
    )


def dataset_overview(trace: Trace) -> DatasetOverview:
    """Classes, counts, accuracy and confusion of a recording; O(S)."""
    return DatasetOverview(
        classes=trace.classes,
        confusion=confusion_matrix(trace),
        sequences=len(trace),
        steps=trace.steps,
        unlabelled=int((trace.labels == UNLABELLED).sum()),
        test_accuracy=trace.test_accuracy,
    )
