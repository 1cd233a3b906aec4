"""What every word does, in slow loops over sequences and words."""

from __future__ import annotations

import statistics
from collections import defaultdict

import numpy as np

from hiddenstate_core.distances import StepDistances
from hiddenstate_core.traces import Trace


def impact(trace: Trace, distances: StepDistances) -> dict[str, dict[str, list[float]]]:
    """Of every word and figure, the values at its occurrences."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    backward = trace.facts.direction == "backward"
    for s in range(len(trace)):
        view = trace.sequence(s)
        words, rows = view.words, view.probabilities().astype(np.float64)
        before, first = trace.initial_probabilities.astype(np.float64), True
        order = range(len(words) - 1, -1, -1) if backward else range(len(words))
        for t in order:
            after, one = rows[t], found[words[t]]
            for code in range(len(after)):
                one[f"toward:{code}"].append(float(after[code] - before[code]))
            one["change"].append(float(max(abs(after - before))))
            one["flip"].append(float(not first and int(np.argmax(after)) != int(np.argmax(before))))
            one["distance"].append(min(1.0, float(distances.sequence(s)[t]) / distances.largest))
            before, first = after, False
    return {word: dict(one) for word, one in found.items()}


def mean(values: list[float]) -> float:
    """Exactly rounded."""
    return statistics.fmean(values)


def median(values: list[float]) -> float:
    """The middle one, or the mean of the two."""
    return statistics.median(values)
