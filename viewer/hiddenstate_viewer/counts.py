"""What the data set's overview counts: the sequences that are selected, before all of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis import DatasetOverview, dataset_overview

if TYPE_CHECKING:
    from hiddenstate_viewer.data import ViewData
    from hiddenstate_viewer.state import Selection

__all__ = ["Counts", "Stretch", "stretches"]


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """Counts of what is selected, and of all.

    Parameters
    ----------
    whole : DatasetOverview
        Of all sequences.
    selected : DatasetOverview
        Of those that pass the filter and have a state inside the lassos; `whole` where nothing is selected by either.
    crossed : (C, C) int64
        By true class (row) and predicted class (column): those that pass everything but the filter's classes, so that
        the matrix, by which classes are filtered, still says what its other cells hold.
    open : (C, C) bool
        Cells that the filter's classes leave.
    """

    whole: DatasetOverview
    selected: DatasetOverview
    crossed: NDArray[np.int64]
    open: NDArray[np.bool_]

    @property
    def narrowed(self) -> bool:
        """Whether a filter or a lasso selects some of the sequences."""
        return self.selected is not self.whole

    def same(self, other: Counts) -> bool:
        """Whether nothing that is drawn differs."""
        pairs = (
            (self.selected.confusion, other.selected.confusion), (self.crossed, other.crossed), (self.open, other.open)
        )  # fmt: skip
        numbers = (self.narrowed, self.selected.sequences) == (other.narrowed, other.selected.sequences)
        return numbers and all(np.array_equal(a, b) for a, b in pairs)

    @classmethod
    def all(cls, data: ViewData) -> Counts:
        """Counts where nothing is selected."""
        whole = data.overview
        return cls(whole, whole, whole.confusion, np.ones(whole.confusion.shape, np.bool_))

    @classmethod
    def of(cls, selection: Selection) -> Counts:
        """Counts of what a session has selected."""
        data, query, rows = selection.data, selection.query, selection.rows
        counts = cls.all(data)
        if rows is None:
            return counts
        selected = dataset_overview(data.trace, rows)
        crossed = selected.confusion
        if query.labels or query.predicted:
            others, touched = query.replace(labels=(), predicted=()), selection.touched
            masks = [] if others.empty else [data.find(others).sequences]
            masks += [] if touched is None else [touched]
            crossed = counts.crossed
            if masks:
                crossed = dataset_overview(data.trace, np.logical_and.reduce(masks)).confusion
        left = counts.open.copy()
        for axis, chosen in ((0, query.labels), (1, query.predicted)):
            if chosen:
                kept = np.isin(np.arange(len(left)), chosen)
                left &= kept[:, None] if axis == 0 else kept[None, :]
        return cls(counts.whole, selected, crossed, left)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Part of a true class's bar.

    Parameters
    ----------
    predicted : int or None
        Class predicted for these sequences; None for those that are not selected.
    count : int
        Number of sequences.
    """

    predicted: int | None
    count: int


def stretches(counts: Counts, actual: int) -> list[Stretch]:
    """What a true class's bar is made of, left to right: selected and correct, errors, what is not selected."""
    matrix = counts.selected.confusion[actual]
    # The order of all errors, so that stretches keep their places as the selection changes.
    wrong = [c for c in np.argsort(-counts.whole.confusion[actual], kind="stable").tolist() if c != actual]
    parts = [Stretch(c, int(matrix[c])) for c in (actual, *wrong)]
    parts.append(Stretch(None, int(counts.whole.counts[actual] - matrix.sum())))
    return [part for part in parts if part.count]
