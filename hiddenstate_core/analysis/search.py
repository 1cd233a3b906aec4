"""Finds the sequences of a trace that contain words or meet other criteria, in one pass over its words."""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.analysis.prediction import most_probable
from hiddenstate_core.analysis.query import Query
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.trace import Trace

__all__ = ["Matches", "Query", "SearchIndex", "find_sequences"]

Steps = NDArray[np.int64]

#: Steps looked at in one go; so many spellings of a word are compared one by one, more through a table.
_BLOCK, _SPELLINGS = 1 << 20, 6
#: Where the steps asked for are rarer than one in so many, their predictions are read singly.
_RARE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Matches:
    """What a query finds.

    Parameters
    ----------
    sequences : (S,) bool
        Whether each sequence meets every criterion.
    steps : (M,) int64
        Where the words and phrases, or the change of prediction, stand in these: numbers of the steps of their last
        words, ascending, each once. Empty where the query names no word.
    alone : dict of str to int
        How many sequences meet each criterion by itself, by its name in `Query.criteria`.
    """

    sequences: NDArray[np.bool_]
    steps: Steps
    alone: dict[str, int]

    @property
    def counts(self) -> tuple[int, int]:
        """How many sequences, and how many places in them."""
        return int(self.sequences.sum()), len(self.steps)


class SearchIndex:
    """What searching a trace needs more than once; safe in threads.

    Parameters
    ----------
    trace : Trace
        A recording.
    surface : (N,) int32 array-like, optional
        Number in the lexicon of every word, in memory or mapped; read from the trace on first need by default, and
        kept (4 N bytes).
    predicted : (N,) int array-like, optional
        Most probable class after every word; read on first need by default, and kept where many are needed.

    Raises
    ------
    InputError
        An array of another length.
    """

    def __init__(self, trace: Trace, *, surface: ArrayLike | None = None, predicted: ArrayLike | None = None) -> None:
        self.trace = trace
        self._lock = threading.RLock()
        self._surface = None if surface is None else np.asarray(surface)
        self._predicted = None if predicted is None else np.asarray(predicted)
        self._spellings: dict[str, list[int]] | None = None
        self._ids: tuple[str, ...] | None = None
        for name, given in (("surface", self._surface), ("predicted", self._predicted)):
            if given is not None and (given.shape != (trace.steps,) or given.dtype.kind not in "iu"):
                raise InputError(
                    f"{name} must be a whole number for each of {trace.steps} steps, not {given.dtype} of shape "
                    f"{given.shape}."
                )

    @property
    def surface(self) -> NDArray[np.integer]:
        """Number in the lexicon of every word, (N,)."""
        with self._lock:
            if self._surface is None:
                self._surface = np.asarray(self.trace.surface()[:], np.int32)
            return self._surface

    @property
    def predicted(self) -> NDArray[np.integer]:
        """Most probable class after every word, (N,); computed block by block."""
        with self._lock:
            if self._predicted is None:
                found = np.empty(self.trace.steps, np.int16)
                for start, block in self.trace.probabilities().blocks():
                    found[start : start + len(block)] = most_probable(block)
                self._predicted = found
            return self._predicted

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the sequences, casefolded."""
        with self._lock:
            if self._ids is None:
                self._ids = tuple(name.casefold() for name in self.trace.ids)
            return self._ids

    def spellings(self, word: str) -> list[int]:
        """Numbers in the lexicon of a word in every case that occurs; none where the corpus does not have it."""
        with self._lock:
            if self._spellings is None:
                found: defaultdict[str, list[int]] = defaultdict(list)
                for number, written in enumerate(self.trace.lexicon):
                    found[written.casefold()].append(number)
                self._spellings = dict(found)
            return self._spellings.get(word.casefold(), [])

    def occurrences(self, phrase: str) -> Steps:
        """Steps of the last word of every occurrence of a word or phrase, (M,) int64 ascending; O(N)."""
        words = [self.spellings(word) for word in phrase.split()]
        if not words or not all(words):
            return np.zeros(0, np.int64)
        surface = self.surface
        first = _find(surface, words[0])
        if len(words) > 1:
            # A phrase lies within one sequence.
            ends = np.repeat(self.trace.offsets[1:], per_sequence(self.trace, first))
            first = first[first + len(words) <= ends]
            for behind, spellings in enumerate(words[1:], 1):
                first = first[np.isin(surface[first + behind], spellings)]
        return first + (len(words) - 1)

    def flips(self, steps: Steps) -> Steps:
        """Those of some ascending steps at which the most probable class changes."""
        offsets, backward = self.trace.offsets, self.trace.facts.direction == "backward"
        sequence = np.repeat(np.arange(len(offsets) - 1), per_sequence(self.trace, steps))
        first = offsets[sequence + 1] - 1 if backward else offsets[sequence]
        steps = steps[steps != first]
        before = steps + 1 if backward else steps - 1
        if self._predicted is None and len(steps) * _RARE < self.trace.steps:
            probabilities = self.trace.probabilities()
            changed = most_probable(probabilities[steps]) != most_probable(probabilities[before])
        else:
            changed = self.predicted[steps] != self.predicted[before]
        return steps[np.asarray(changed, np.bool_)]


def find_sequences(trace: Trace, query: Query, cached: SearchIndex | None = None) -> Matches:
    """Find the sequences that meet every criterion of a query, and where its words stand in them.

    Parameters
    ----------
    trace : Trace
        A recording.
    query : Query
        What to look for.
    cached : SearchIndex, optional
        Of the same trace, made once and shared, so that words are read once.

    Returns
    -------
    Matches

    Raises
    ------
    InputError
        A class or split that the trace does not have, a criterion on predictions where none were recorded, or phrases
        where only some steps were. Words that do not occur are no error: nothing is found.

    Notes
    -----
    One pass over the N words for each word or phrase, in blocks; O(S) for each of the other criteria.
    """
    query.check(trace)
    if cached is not None and cached.trace.fingerprint != trace.fingerprint:
        raise InputError(f"The search index is of {cached.trace.path}, not of {trace.path}.")
    index = cached or SearchIndex(trace)
    masks: dict[str, NDArray[np.bool_]] = {}
    places: list[Steps] = []
    for name in query.criteria:
        if name.startswith("words:") or name == "flips_after":
            steps = _steps(query, name, index)
            masks[name] = per_sequence(trace, steps) > 0
            places.append(steps)
        else:
            masks[name] = _meets(query, name, index)
    together = np.ones(len(trace), np.bool_)
    for mask in masks.values():
        together &= mask
    steps = places[0] if len(places) == 1 else np.unique(np.concatenate([np.zeros(0, np.int64), *places]))
    steps = steps[np.repeat(together, per_sequence(trace, steps))]
    return Matches(together, steps, {name: int(mask.sum()) for name, mask in masks.items()})


def per_sequence(trace: Trace, steps: Steps) -> NDArray[np.int64]:
    """How many of some ascending steps each sequence has, (S,) int64; O(S log M)."""
    return np.diff(np.searchsorted(steps, trace.offsets))


def _steps(query: Query, name: str, index: SearchIndex) -> Steps:
    if name == "flips_after":
        assert query.flips_after is not None
        return index.flips(index.occurrences(query.flips_after))
    return index.occurrences(query.words[int(name.partition(":")[2])])


def _meets(query: Query, name: str, index: SearchIndex) -> NDArray[np.bool_]:
    """Whether each sequence meets a criterion that is not on its words, (S,) bool."""
    trace = index.trace
    if name == "labels":
        return np.isin(trace.labels, query.labels)
    if name == "split":
        return np.isin(trace.split, query.split)
    if name == "predicted":
        return np.isin(trace.predicted, query.predicted)
    if name == "correct":
        right = trace.labels == trace.predicted
        return np.asarray((trace.labels >= 0) & (right == query.correct), np.bool_)
    if name == "confidence":
        assert query.confidence is not None
        confidence: NDArray[np.float32] = trace.final_probabilities.max(axis=1)
        # Compared as float32, as the probabilities are: 0.9 then includes one that is stored as 0.9.
        least, most = (np.float32(end) for end in query.confidence)
        return np.asarray((confidence >= least) & ((confidence <= most) | (most == 1)), np.bool_)
    if name == "length":
        assert query.length is not None
        low, high = query.length
        return np.asarray((trace.lengths >= low) & (trace.lengths <= high), np.bool_)
    assert query.ids is not None
    part = query.ids.casefold()
    return np.fromiter((part in one for one in index.ids), np.bool_, len(trace))


def _find(surface: NDArray[np.integer], numbers: list[int]) -> Steps:
    """Steps whose word is one of `numbers`, ascending."""
    table = None
    if len(numbers) > _SPELLINGS:
        table = np.zeros(max(numbers) + 2, np.bool_)  # its last entry stands for all larger numbers
        table[numbers] = True
    found = []
    for start in range(0, len(surface), _BLOCK):
        block = np.asarray(surface[start : start + _BLOCK])
        if table is not None:
            hits = table.take(block, mode="clip")
        else:
            hits = block == numbers[0]
            for number in numbers[1:]:
                hits |= block == number
        found.append(np.flatnonzero(hits) + start)
    return np.concatenate(found) if found else np.zeros(0, np.int64)
