"""`Query`: what to look for among the sequences of a trace, a value that round-trips as JSON."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable
from typing import Any

from hiddenstate_core.corpora.corpus import UNLABELLED
from hiddenstate_core.errors import InputError
from hiddenstate_core.options import Options
from hiddenstate_core.traces.trace import Trace

__all__ = ["Query"]

#: Length of a text that a message quotes in full.
_SHOWN = 80


@dataclasses.dataclass(frozen=True)
class Query(Options):
    """Which sequences to find: those that meet every criterion given.

    Parameters
    ----------
    words : tuple of str
        Words, or phrases of several words separated by blanks, all of which a sequence must contain. They are compared
        with the words as written, without regard to case (`str.casefold`).
    labels : tuple of int
        True classes by number, any of them; -1 is the unknown class.
    predicted : tuple of int
        Classes predicted after everything was read, by number, any of them.
    correct : bool or None
        Whether that prediction is the true class; sequences without a known class are neither.
    confidence : (low, high) or None
        Probability of the class predicted after everything was read, fractions, both ends included.
    length : (low, high) or None
        Number of words when the sequence was read, both ends included.
    split : tuple of int
        Splits by number, any of them.
    flips_after : str or None
        A word or phrase at whose last word the most probable class changes: after it another class leads than before.
        As for `PredictionEvolution.flips`, never at the word that was read first.
    ids : str or None
        Part of the sequence's id, without regard to case.

    Raises
    ------
    InputError
        A blank word or phrase, a low end above its high one, a fraction outside 0 to 1, or a value of another kind.
    """

    words: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()
    correct: bool | None = None
    confidence: tuple[float, ...] | None = None
    length: tuple[int, ...] | None = None
    split: tuple[int, ...] = ()
    flips_after: str | None = None
    ids: str | None = None

    def __post_init__(self) -> None:
        words: Any = self.words
        if isinstance(words, str) or not isinstance(words, Iterable):
            raise InputError(f"Query.words must be a tuple of words and phrases, not {words!r:.80}.")
        self._set("words", tuple(_phrase(entry, "Query.words") for entry in words))
        for name in ("labels", "predicted", "split"):
            self._set(name, _codes(getattr(self, name), f"Query.{name}"))
        if self.correct is not None and not isinstance(self.correct, bool):
            raise InputError(f"Query.correct must be True, False or None, not {self.correct!r:.80}.")
        if self.confidence is not None:
            low, high = _ends(self.confidence, "Query.confidence")
            if not 0 <= low <= high <= 1:
                raise InputError(f"Query.confidence must be fractions 0 <= low <= high <= 1, not {low:g} to {high:g}.")
            self._set("confidence", (low, high))
        if self.length is not None:
            low, high = _ends(self.length, "Query.length")
            if low != int(low) or high != int(high) or not 0 <= low <= high:
                raise InputError(f"Query.length must be whole numbers 0 <= low <= high, not {low:g} to {high:g}.")
            self._set("length", (int(low), int(high)))
        if self.flips_after is not None:
            self._set("flips_after", _phrase(self.flips_after, "Query.flips_after"))
        if self.ids is not None and (not isinstance(self.ids, str) or not self.ids.strip()):
            raise InputError(f"Query.ids must be a part of an id, not {self.ids!r:.80}.")

    @property
    def empty(self) -> bool:
        """Whether no criterion is given, so that every sequence is found."""
        return self == Query()

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the criteria given: those of the fields, and each of `words` as ``"words:0"``, ``"words:1"``..."""
        names = tuple(f"words:{i}" for i in range(len(self.words)))
        fields = (field.name for field in dataclasses.fields(self) if field.name != "words")
        return names + tuple(name for name in fields if getattr(self, name) not in (None, ()))

    def without(self, name: str) -> Query:
        """The same without one criterion.

        Parameters
        ----------
        name : str
            A name of `criteria`, or of a field.

        Raises
        ------
        InputError
            No such criterion.
        """
        blank = {field.name: field.default for field in dataclasses.fields(self)}
        if name in blank:
            return self.replace(**{name: blank[name]})
        if name not in self.criteria:
            raise InputError(f"The query has no criterion {name!r:.80}; it has {', '.join(self.criteria) or 'none'}.")
        at = int(name.partition(":")[2])
        return self.replace(words=self.words[:at] + self.words[at + 1 :])

    def check(self, trace: Trace) -> None:
        """Refuse numbers of classes or splits that a trace does not have.

        Raises
        ------
        InputError
            Such a number, or a criterion on predictions where the trace has none.
        """
        for name, names, what, least in (
            ("labels", trace.classes, "class", UNLABELLED),
            ("predicted", trace.classes, "class", 0),
            ("split", trace.splits, "split", 0),
        ):
            for code in getattr(self, name):
                if not least <= code < len(names):
                    known = ", ".join(f"{i} ({n})" for i, n in enumerate(names[:20])) or "none"
                    raise InputError(f"Query.{name}: there is no {what} {code}; the trace has {known}.")
        if self.predicted or self.correct is not None or self.confidence is not None:
            _ = trace.final_probabilities  # refused by name where there are none
        if self.flips_after is not None:
            trace.probabilities()
        if trace.facts.every > 1 and any(" " in phrase for phrase in (*self.words, self.flips_after or "")):
            raise InputError(
                f"{trace.path} keeps one step in {trace.facts.every}, so phrases of several words cannot be found in "
                "it; look for single words."
            )
        if self.flips_after is not None and trace.facts.every > 1:
            raise InputError(
                f"{trace.path} keeps one step in {trace.facts.every}, so which word changed a prediction is not known."
            )

    def describe(self, trace: Trace) -> list[tuple[str, str]]:
        """Each criterion in words, with its name (see `criteria`), by which `without` takes it away.

        Raises
        ------
        InputError
            As `check` does.
        """
        self.check(trace)
        return [(name, self._text(name, trace)) for name in self.criteria]

    def _text(self, name: str, trace: Trace) -> str:
        field, _, at = name.partition(":")
        value = getattr(self, field)
        if field == "words":
            return f"contains “{_cut(value[int(at)])}”"
        if field in ("labels", "predicted"):
            named = [trace.classes[i] if i >= 0 else "unknown" for i in value]
            return f"{'class' if field == 'labels' else 'predicted'} {_either(named)}"
        if field == "split":
            return f"split {_either([trace.splits[i] for i in value])}"
        if field == "correct":
            return "classified correctly" if value else "misclassified"
        if field == "confidence":
            return f"confidence {100 * value[0]:g} to {100 * value[1]:g} %"
        if field == "length":
            return f"{value[0]} to {value[1]} words" if value[0] < value[1] else f"{value[0]} words"
        return f"prediction changes at “{_cut(value)}”" if field == "flips_after" else f"id contains “{_cut(value)}”"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _phrase(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, not {value!r:.80}.")
    if not value.strip():
        raise InputError(f"{where} must name a word or a phrase; a blank one was given.")
    return " ".join(value.split())


def _codes(value: Any, where: str) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"{where} must be a tuple of numbers, not {value!r:.80}.")
    codes = tuple(value)
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, numbers.Integral):
            raise InputError(f"{where} must hold whole numbers, not {code!r:.80}.")
    return tuple(int(code) for code in codes)


def _ends(value: Any, where: str) -> tuple[float, float]:
    ends = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    fits = len(ends) == 2 and all(isinstance(end, numbers.Real) and not isinstance(end, bool) for end in ends)
    if not fits or not all(math.isfinite(end) for end in ends):
        raise InputError(f"{where} must be two numbers, low and high, not {value!r:.80}.")
    return float(ends[0]), float(ends[1])


def _either(names: list[str]) -> str:
    return " or ".join(names)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
