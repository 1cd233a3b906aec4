"""Searching a trace in plain Python loops over words and probabilities, one sequence after another."""

from __future__ import annotations

from hiddenstate_core.analysis import Query
from hiddenstate_core.traces import Trace


def ends_of(words: list[str], phrase: str) -> list[int]:
    """Numbers of the last words of every occurrence of a phrase."""
    wanted = [word.casefold() for word in phrase.split()]
    folded = [word.casefold() for word in words]
    return [i + len(wanted) - 1 for i in range(len(folded)) if folded[i : i + len(wanted)] == wanted]


def find(trace: Trace, query: Query) -> tuple[list[bool], list[int]]:
    """Whether each sequence matches, and the steps."""
    matching: list[bool] = []
    places: set[int] = set()
    for s in range(len(trace)):
        view = trace.sequence(s)
        words = view.words
        final = trace.final_probabilities[s]
        found = [(ends_of(words, phrase), True) for phrase in query.words]
        if query.flips_after is not None:
            leading = [max(range(len(row)), key=row.__getitem__) for row in view.probabilities().tolist()]
            ends = [t for t in ends_of(words, query.flips_after) if t > 0 and leading[t] != leading[t - 1]]
            found.append((ends, True))
        predicted = int(final.argmax())
        meets = all(bool(ends) for ends, _ in found)
        meets &= not query.labels or view.label in query.labels
        meets &= not query.predicted or predicted in query.predicted
        meets &= query.correct is None or (view.label >= 0 and (predicted == view.label) == query.correct)
        if query.confidence is not None:
            meets &= query.confidence[0] <= float(final.max()) <= query.confidence[1]
        if query.length is not None:
            meets &= query.length[0] <= view.length <= query.length[1]
        meets &= not query.split or int(trace.split[s]) in query.split
        meets &= query.ids is None or query.ids.casefold() in view.id.casefold()
        matching.append(bool(meets))
        if meets:
            places.update(view.start + t for ends, _ in found for t in ends)
    return matching, sorted(places)
