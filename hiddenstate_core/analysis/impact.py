"""`word_impact`: how far each word of a corpus moves the state and the prediction, over all its occurrences."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis.prediction import most_probable
from hiddenstate_core.analysis.quantity import distance_name
from hiddenstate_core.distances import step_distances
from hiddenstate_core.errors import InputError, MissingExtraError, StoreError
from hiddenstate_core.traces.trace import Trace

__all__ = ["WordImpact", "probability_changes", "word_impact"]

Double = NDArray[np.float64]

#: Steps read at a time.
_BLOCK = 1 << 18


@dataclasses.dataclass(frozen=True, eq=False)
class WordImpact:
    """What W words do to the state and to the prediction; C classes.

    Parameters
    ----------
    words : tuple of str
        Words as written, the one that changes the prediction most on average first.
    counts : (W,) int64
        Occurrences of each.
    mean_distance, median_distance : (W,) float64
        Step distance as a share of the data set's largest (see `StepDistances`), 0 to 1.
    changes : (W, C) float64
        Mean signed change of each class's probability, -1 to 1; every row sums to 0.
    mean_change : (W,) float64
        Mean of the largest absolute change of any class's probability (see `PredictionEvolution.change`), 0 to 1.
    flips : (W,) float64
        Share of the occurrences at which the most probable class changes (see `PredictionEvolution.flips`).
    classes : tuple of str
        Class names.
    layer : int
        Layer of the distances, counted from 0.
    quantity : str
        Quantity of the distances.
    """

    words: tuple[str, ...]
    counts: NDArray[np.int64]
    mean_distance: Double
    median_distance: Double
    changes: Double
    mean_change: Double
    flips: Double
    classes: tuple[str, ...]
    layer: int
    quantity: str = "hidden"

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"WordImpact({len(self)} words, {int(self.counts.sum())} occurrences, {len(self.classes)} classes)"

    def column(self, name: str) -> Double | NDArray[np.int64]:
        """A figure of every word, (W,).

        Parameters
        ----------
        name : str
            ``"mean_change"``, ``"counts"``, ``"mean_distance"``, ``"median_distance"``, ``"flips"``, or
            ``"toward:<class>"`` by name or number: the mean change of its probability.

        Raises
        ------
        InputError
            Another name, or a class that there is not.
        """
        plain = ("mean_change", "counts", "mean_distance", "median_distance", "flips")
        if name in plain:
            values: Double = getattr(self, name)
            return values
        kind, _, wanted = name.partition(":") if isinstance(name, str) else ("", "", "")
        if kind != "toward":
            raise InputError(f"Words can be ranked by {', '.join(plain)} or toward:<class>, not {name!r:.80}.")
        if wanted in self.classes:
            return self.changes[:, self.classes.index(wanted)]
        if not wanted.isdecimal() or int(wanted) >= len(self.classes):
            raise InputError(f"There is no class {wanted!r:.80}; the trace has {', '.join(self.classes)}.")
        return self.changes[:, int(wanted)]

    def top(self, n: int = 20, by: str = "mean_change") -> WordImpact:
        """The n words with the highest figure, the highest first; of equal ones the more frequent, then by spelling.

        Parameters
        ----------
        n : int
            How many; all where there are no more.
        by : str
            The figure; see `column`.

        Raises
        ------
        InputError
            No such figure, or fewer than no words.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise InputError(f"n must be a number of words, not {n!r}.")
        figures = self.column(by)
        spelling = np.argsort(np.argsort(np.array(self.words, dtype=object)))
        return self._some(np.lexsort((spelling, -self.counts, -figures))[:n])

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each word: word, count, the figures, and the change toward each class.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MissingExtraError(
                "A data frame needs pandas, which is not installed: run `pip install hiddenstate[viewer]`."
            ) from error
        columns: dict[str, Any] = {
            "word": list(self.words),
            "count": self.counts,
            "mean_distance": self.mean_distance,
            "median_distance": self.median_distance,
            "mean_change": self.mean_change,
            "flips": self.flips,
        }
        for code, name in enumerate(self.classes):
            columns[f"toward {name}"] = self.changes[:, code]
        return pandas.DataFrame(columns)

    def _some(self, rows: NDArray[np.int64]) -> WordImpact:
        arrays = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, words=tuple(self.words[row] for row in rows.tolist()), **arrays)


def word_impact(
    trace: Trace, *, layer: int = -1, direction: str | None = None, quantity: str = "hidden", least: int = 5
) -> WordImpact:
    """Measure, for every word of a corpus, how far it moves the state and the prediction.

    Parameters
    ----------
    trace : Trace
        A classifier's recording with probabilities at every step.
    layer, direction : int, str
        Whose states move; see `Trace.hidden`.
    quantity : str
        ``"hidden"``, ``"cell"`` or ``"gate:<name>"``.
    least : int
        Words that occur less often are left out.

    Returns
    -------
    WordImpact
        Means over all occurrences, a sequence's first word included: it moves the state from zero and the prediction
        from the readout of that (see `step_distances` and `PredictionEvolution`).

    Raises
    ------
    InputError
        A quantity, layer or direction that was not recorded, no class probabilities, only some of the steps, or a
        number below 1.

    Notes
    -----
    One pass over the N steps in blocks, sums in float64; medians by sorting: O(N (C + log N)) time, 12 N bytes.
    """
    if isinstance(least, bool) or not isinstance(least, (int, np.integer)) or least < 1:
        raise InputError(f"least must be a number of occurrences, at least 1, not {least!r}.")
    if trace.facts.every > 1:
        raise InputError(
            f"{trace.path} keeps one step in {trace.facts.every}, so what a single word does is not known; record "
            "every step."
        )
    probabilities = trace.probabilities()
    distances = step_distances(trace, layer, quantity=distance_name(quantity), direction=direction)
    shares = np.minimum(distances.values / np.float32(distances.largest), np.float32(1))
    words = len(trace.lexicon)
    surface = np.asarray(trace.surface()[:], np.int32)
    if len(surface) and not 0 <= int(surface.min()) <= int(surface.max()) < words:
        raise StoreError(f"{trace.path}: steps/surface points beyond lexicon/words; it is damaged.")
    counts = np.bincount(surface, minlength=words)
    sums = np.zeros((3 + len(trace.classes), words))
    for start in range(0, trace.steps, _BLOCK):
        stop = min(start + _BLOCK, trace.steps)
        change, flip = probability_changes(trace, probabilities, start, stop)
        ids = surface[start:stop]
        figures = (shares[start:stop], np.abs(change).max(axis=1), flip, *change.T)
        for row, values in zip(sums, figures, strict=True):
            row += np.bincount(ids, weights=values, minlength=words)
    kept = np.flatnonzero(counts >= least)
    means = sums[:, kept] / counts[kept]
    found = WordImpact(
        words=tuple(trace.lexicon[number] for number in kept.tolist()),
        counts=counts[kept].astype(np.int64),
        mean_distance=means[0],
        median_distance=_medians(surface, shares, counts)[kept],
        changes=np.ascontiguousarray(means[3:].T),
        mean_change=means[1],
        flips=means[2],
        classes=trace.classes,
        layer=distances.layer,
        quantity=quantity,
    )
    return found.top(len(kept))


def probability_changes(
    trace: Trace, probabilities: Any, start: int, stop: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What each of some successive words changes, as `PredictionEvolution` has it.

    Parameters
    ----------
    trace : Trace
        The trace.
    probabilities : (N, C) array
        Its probabilities.
    start, stop : int
        Steps.

    Returns
    -------
    change : (n, C) float32
        Probabilities after each word less those before it.
    flips : (n,) bool
        Whether the most probable class changes; never at the word that is read first.
    """
    backward = trace.facts.direction == "backward"
    low, high = (start, min(stop + 1, trace.steps)) if backward else (max(start - 1, 0), stop)
    rows = np.asarray(probabilities[low:high], np.float32)
    here = rows[start - low : stop - low]
    # The rows one step aside. Where the trace ends there is none, and that step is the first of its sequence.
    before = np.empty_like(here)
    if backward:
        before[: len(rows) - 1] = rows[1:]
    else:
        aside = rows[: stop - low - 1]
        before[len(here) - len(aside) :] = aside
    first = _first_read(trace, start, stop, backward)
    before[first] = trace.initial_probabilities
    flips = np.asarray(most_probable(here) != most_probable(before), np.bool_)
    flips[first] = False
    return here - before, flips


def _first_read(trace: Trace, start: int, stop: int, backward: bool) -> NDArray[np.int64]:
    """Which of some steps, counted from `start`, are the first of their sequence to be read."""
    offsets = trace.offsets
    there = np.diff(offsets) > 0
    firsts = offsets[1:][there] - 1 if backward else offsets[:-1][there]
    low, high = np.searchsorted(firsts, [start, stop])
    return np.asarray(firsts[low:high] - start, np.int64)


def _medians(surface: NDArray[np.int32], shares: NDArray[np.float32], counts: NDArray[np.int64]) -> Double:
    """Median of the shares of every word, NaN for those that do not occur."""
    # Numbers that are not negative order as their bits do, so word and share sort as one whole number.
    keys = (surface.astype(np.uint64) << np.uint64(32)) | (shares + np.float32(0)).view(np.uint32).astype(np.uint64)
    keys.sort()
    ends = np.cumsum(counts)
    found = np.full(len(counts), np.nan)
    there = np.flatnonzero(counts)
    low = (ends - counts + (counts - 1) // 2)[there]
    high = (ends - counts + counts // 2)[there]
    middle = [(keys[at] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32) for at in (low, high)]
    found[there] = (middle[0].astype(np.float64) + middle[1]) / 2
    return found
