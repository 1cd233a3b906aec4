"""The typed search line: text to `Query` and back, and what could complete it."""

from __future__ import annotations

import bisect
import dataclasses
import difflib
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.data import ViewData

__all__ = [
    "FIELDS", "MOST_LINE", "Completion", "class_names", "class_number", "complete", "finished", "pair_text",
    "quoted_list", "read_line", "read_list", "read_pair", "write_line",
]  # fmt: skip

#: Fields of the line, by the name of the criterion.
FIELDS = {
    "class": "labels", "predicted": "predicted", "correct": "correct", "confidence": "confidence", "length": "length",
    "split": "split", "flips": "flips_after", "id": "ids",
}  # fmt: skip
#: Characters of a line that are read.
MOST_LINE = 2_000
UNKNOWN_CLASS = "unknown"
_FIELD = re.compile(rf"({'|'.join(FIELDS)}):", re.IGNORECASE)
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "wrong": False}
_NUMBER = re.compile(r"(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class _Term:
    start: int
    stop: int
    field: str | None
    values: tuple[str, ...]


# -- text and lists -------------------------------------------------------------------------------------------------


def quoted_list(values: Iterable[str], between: str = " ") -> str:
    """Values as text that `read_list` takes apart again; those with blanks or marks stand in quotes."""
    return between.join(_quoted(value, between) for value in values)


def read_list(text: str) -> tuple[str, ...]:
    """Words separated by blanks or commas, and phrases in quotes (a backslash keeps a quote inside)."""
    values, at = [], 0
    while at < len(text):
        if text[at].isspace() or text[at] == ",":
            at += 1
            continue
        value, at = _value(text, at, ",")
        values.append(value)
    return tuple(value for value in values if value.strip())


def _value(text: str, at: int, stops: str) -> tuple[str, int]:
    """One value, bare or quoted, and where it ends."""
    if text.startswith('"', at):
        found = _QUOTED.match(text, at)
        assert found is not None  # an open quote ends with the line
        return re.sub(r"\\(.)", r"\1", found.group(1), flags=re.DOTALL), found.end()
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in stops:
        end += 1
    return text[at:end], end


def _quoted(value: str, between: str) -> str:
    plain = value and not value.startswith('"') and not _FIELD.match(value) and "," not in value and not _meant(value)
    if plain and not any(mark.isspace() for mark in value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _meant(word: str) -> str:
    """The field that a bare word with a colon probably means, which it misspells; none where it looks like a word."""
    name, colon, _ = word.partition(":")
    return next(iter(difflib.get_close_matches(name.lower(), FIELDS, 1, 0.75)), "") if colon else ""


def _terms(line: str) -> list[_Term]:
    terms, at = [], 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        start, field = at, _FIELD.match(line, at)
        if field is None:
            value, at = _value(line, at, "")
            terms.append(_Term(start, at, None, (value,)))
            continue
        at, values = field.end(), []
        while at < len(line) and not line[at].isspace():
            value, at = _value(line, at, ",")
            values.append(value)
            if line[at : at + 1] != ",":
                break
            at += 1
        terms.append(_Term(start, at, field.group(1).lower(), tuple(v for v in values if v.strip())))
    return terms


# -- names and ranges -----------------------------------------------------------------------------------------------


def class_number(text: str, names: Sequence[str], *, unknown: bool = False) -> int:
    """Number of a class (or split) by name, in any case, or as ``#3``.

    Raises
    ------
    InputError
        No such class.
    """
    known = list(names)
    if text in known:
        return known.index(text)
    folded = [name.casefold() for name in known]
    if text.casefold() in folded:
        return folded.index(text.casefold())
    if unknown and text.casefold() in (UNKNOWN_CLASS, "#-1"):
        return -1
    number = re.fullmatch(r"#?(\d{1,9})", text, re.ASCII)
    if number is not None and int(number.group(1)) < len(known):
        return int(number.group(1))
    shown = ", ".join(known[:6]) + (" …" if len(known) > 6 else "")
    raise InputError(f"there is no {_cut(text)!r}; there are {shown}" if known else "there are none here")


def class_names(numbers: Iterable[int], names: Sequence[str], *, unknown: bool = False) -> list[str]:
    """Names by which `class_number` finds these numbers."""
    found = []
    for number in numbers:
        name = UNKNOWN_CLASS if number < 0 else names[number]
        try:
            same = bool(name.strip()) and len(name) <= 60 and class_number(name, names, unknown=unknown) == number
        except InputError:
            same = False
        found.append(name if same else f"#{number}")
    return found


def read_pair(text: str, largest: Decimal, *, scale: int = 1) -> tuple[Decimal, Decimal]:
    """Both ends of ``10-50``, ``10-``, ``-50`` or ``10``, divided by `scale`.

    Raises
    ------
    InputError
        No such range.
    """
    parts = re.split(r"[-\u2013]|\.\.", text.replace("%", "").strip())
    if len(parts) > 2 or not any(part.strip() for part in parts):
        raise InputError(f"a range such as 10-50 was expected, not {_cut(text)!r}")
    ends = []
    for part, open_end in zip((parts[0], parts[-1]), (Decimal(0), largest), strict=True):
        part = part.strip()
        if part and not _NUMBER.fullmatch(part):
            raise InputError(f"a range such as 10-50 was expected, not {_cut(text)!r}")
        try:
            ends.append(Decimal(part) / scale if part else open_end)
        except InvalidOperation as error:
            raise InputError(f"a range such as 10-50 was expected, not {_cut(text)!r}") from error
    if not parts[-1].strip():
        ends[1] = max(ends)
    if ends[0] > ends[1]:
        raise InputError(f"the range {_cut(text)!r} begins above its end")
    return ends[0], ends[1]


def pair_text(ends: Sequence[float], scale: int = 1) -> str:
    """A range as `read_pair` takes it."""
    return "-".join(_plain(Decimal(repr(end)) * scale) for end in ends)


def _plain(value: Decimal) -> str:
    text = format(round(value, 12), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# -- the line -------------------------------------------------------------------------------------------------------


def write_line(query: Query, trace: Trace) -> str:
    """The line that says a query."""
    query.check(trace)
    parts = [_quoted(word, " ") for word in query.words]
    for field, name in FIELDS.items():
        value = getattr(query, name)
        if value is None or value == ():
            continue
        if field in ("class", "predicted", "split"):
            names = trace.splits if field == "split" else trace.classes
            said = quoted_list(class_names(value, names, unknown=field == "class"), ",")
        elif field == "correct":
            said = "yes" if value else "no"
        elif field in ("confidence", "length"):
            said = pair_text(value, 100 if field == "confidence" else 1)
        else:
            said = _quoted(value, ",")
        parts.append(f"{field}:{said}")
    return " ".join(parts)


def read_line(line: str, trace: Trace) -> tuple[Query, tuple[str, ...]]:
    """The query that a line says, and what was wrong with it.

    Parameters
    ----------
    line : str
        Words and ``"phrases in quotes"``, and ``class:positive,negative predicted:positive correct:no
        confidence:90-100 length:10-50 split:test flips:word id:part``; percents for confidence.
    trace : Trace
        Whose classes and splits are named.

    Returns
    -------
    query : Query
        Of everything that could be read.
    complaints : tuple of str
        A plain sentence for each thing that could not.
    """
    query, complaints, seen = Query(), [], set()
    if len(line) > MOST_LINE:
        complaints.append(f"Only the first {MOST_LINE:,} characters are read.")
        line = line[:MOST_LINE]
    for term in _terms(line):
        try:
            if term.field is None:
                (word,) = term.values
                if not word.strip():
                    continue
                field = _meant(word) if line[term.start] != '"' else ""
                if field:
                    complaints.append(f"{_cut(word)}: did you mean {field}:? To find it as a word, put it in quotes.")
                    continue
                wanted = query.replace(words=(*query.words, word))
                if len(set(wanted.words)) < len(wanted.words):
                    continue
            else:
                wanted = query.replace(**_criterion(term, query, trace))
            wanted.check(trace)
        except InputError as error:
            said = line[term.start : term.stop]
            complaints.append(f"{_cut(said)}: {str(error).rstrip('.')}." if term.field else str(error))
            continue
        if term.field in seen and term.field in ("correct", "confidence", "length", "flips", "id"):
            complaints.append(f"{term.field} is given twice; the last is taken.")
        seen.add(term.field)
        query = wanted
    return query, tuple(complaints)


def _criterion(term: _Term, query: Query, trace: Trace) -> dict[str, Any]:
    field = term.field or ""
    name = FIELDS[field]
    if not term.values:
        examples = {"confidence": "90-100", "length": "10-50", "correct": "yes or no", "flips": "a word"}
        raise InputError(f"say what follows, such as {examples.get(field, 'a name')}")
    if field in ("class", "predicted", "split"):
        names = trace.splits if field == "split" else trace.classes
        numbers = [class_number(value, names, unknown=field == "class") for value in term.values]
        return {name: tuple(dict.fromkeys((*getattr(query, name), *numbers)))}
    if len(term.values) > 1:
        raise InputError("one value was expected; a comma belongs into quotes")
    (value,) = term.values
    if field == "correct":
        if value.lower() not in _YES:
            raise InputError("yes or no was expected")
        return {name: _YES[value.lower()]}
    if field == "confidence":
        low, high = read_pair(value, Decimal(1), scale=100)
        if high > 1:
            raise InputError("a confidence is 0 to 100 percent")
        return {name: (float(low), float(high))}
    if field == "length":
        low, high = read_pair(value, Decimal(int(trace.lengths.max(initial=0))))
        if low != int(low) or high != int(high):
            raise InputError("a length is a whole number of words")
        return {name: (int(low), int(high))}
    return {name: value}


def _cut(text: str, length: int = 40) -> str:
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


# -- completion -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Completion:
    """One way to go on.

    Parameters
    ----------
    text : str
        What is offered.
    note : str
        How often it occurs, or what it is.
    line : str
        The line when it is taken.
    caret : int
        Where the caret then stands in the line.
    """

    text: str
    note: str
    line: str
    caret: int


def complete(line: str, caret: int, data: ViewData, most: int = 8) -> list[Completion]:
    """What could complete the term at the caret; words by how often the corpus has them.

    The first call reads every word of the trace once, for the counts; later ones take O(log W + matches).
    """
    caret = min(max(caret, 0), len(line))
    term = next((t for t in _terms(line[:MOST_LINE]) if t.start < caret <= t.stop), None)
    if term is None:
        return []
    trace = data.trace
    begun = line[term.start : caret]
    head, tail = line[: term.start], line[term.stop :]
    if term.field is None:
        fields = [(f"{field}:", "field") for field in FIELDS if field.startswith(begun.lower())]
        found = [(text, note, text) for text, note in fields]
        found += [(word, f"{count:,}×", _quoted(word, " ")) for word, count in _words(data, begun.lstrip('"'), most)]
    else:
        before, _, part = begun.rpartition(",")
        before = before + "," if before else begun[: len(term.field) + 1]
        part = (part if "," in begun else begun[len(term.field) + 1 :]).lstrip('"')
        names: dict[str, Callable[[], Sequence[str]]] = {
            "class": lambda: (*class_names(range(len(trace.classes)), trace.classes), UNKNOWN_CLASS),
            "predicted": lambda: class_names(range(len(trace.classes)), trace.classes),
            "split": lambda: class_names(range(len(trace.splits)), trace.splits),
            "correct": lambda: ("yes", "no"),
        }
        if term.field == "flips":
            found = [(w, f"{n:,}×", before + _quoted(w, ",")) for w, n in _words(data, part, most)]
        elif term.field in names:
            known = [name for name in names[term.field]() if name.casefold().startswith(part.casefold())]
            found = [(name, "", before + _quoted(name, ",")) for name in known]
        else:
            return []
    made = [Completion(text, note, head + full + tail, len(head + full)) for text, note, full in found]
    return [one for one in made if one.line != line][:most]


def _words(data: ViewData, begun: str, most: int) -> list[tuple[str, int]]:
    """The most frequent words that begin so, with their counts."""
    if not begun.strip():
        return []
    words, counts = data.keep("words by name", None, _Lexicon).of(data)
    begun = begun.casefold()
    low, high = bisect.bisect_left(words, begun), bisect.bisect_left(words, begun + "\U0010ffff")
    best = np.argsort(-counts[low:high], kind="stable")[:most] + low
    return [(words[i], int(counts[i])) for i in best.tolist() if counts[i]]


def finished(line: str, data: ViewData) -> str:
    """The line while it is typed: without a last word that is not in the corpus, of which more may come."""
    terms = _terms(line[:MOST_LINE])
    if not terms or terms[-1].stop < len(line) or terms[-1].field not in (None, "flips") or not terms[-1].values:
        return line
    words = terms[-1].values[-1].split()
    known = not words or bool(data.index.spellings(words[-1]))
    return line if known else line[: terms[-1].start]


class _Lexicon:
    """Every word of a trace in any case, in order, with its count; made by whoever asks first, while others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[list[str], NDArray[np.int64]] | None = None

    def of(self, data: ViewData) -> tuple[list[str], NDArray[np.int64]]:
        with self._lock:
            if self._made is None:
                folded = np.array([word.casefold() for word in data.trace.lexicon], object)
                words, which = np.unique(folded, return_inverse=True) if len(folded) else (folded, np.zeros(0, int))
                each = np.bincount(data.surface, minlength=len(folded))[: len(folded)]
                self._made = words.tolist(), np.bincount(which, each, len(words)).astype(np.int64)
            return self._made
