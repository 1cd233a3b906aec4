"""Checks what the selection is set to against the trace, in the sentences that its methods use."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from hiddenstate_core.analysis import Query, available
from hiddenstate_core.errors import InputError
from hiddenstate_viewer.data import ViewData

__all__ = ["MOST_COMPARED", "check_class", "check_sequence", "checked_value", "colours_states"]

#: Sequences drawn beside the one that is read.
MOST_COMPARED = 12


def check_sequence(data: ViewData, sequence: Any) -> int:
    """The number of a sequence.

    Raises
    ------
    InputError
        There is none of that number.
    """
    number, count = _whole("A sequence", sequence), len(data.trace)
    if not 0 <= number < count:
        raise InputError(f"Sequence {number} does not exist; the trace has {count} sequences, 0..{count - 1}.")
    return number


def check_class(data: ViewData, label: Any) -> int:
    """The number of a class.

    Raises
    ------
    InputError
        There is none of that number.
    """
    number, count = _whole("A class", label), len(data.trace.classes)
    if not 0 <= number < count:
        raise InputError(f"Class {number} does not exist; there are {count}.")
    return number


def colours_states(data: ViewData, key: str) -> bool:
    """Whether a key, such as ``"confidence"`` or ``"unit:7"``, is a way to colour the states of any layer."""
    kind, _, number = key.rpartition(":")
    for layer in data.layers or (-1,):
        choices = {choice.key: choice.count for choice in available(data.trace, layer)}
        if key in choices and choices[key] is None:
            return True
        count = choices.get(kind)
        if count is not None and number.isascii() and number.isdecimal() and int(number[:15]) < count:
            return True
    return False


def checked_value(data: ViewData, name: str, value: Any, sequence: int | None = None) -> Any:
    """What a field of the selection is set to, as it is kept.

    Parameters
    ----------
    data : ViewData
        What is looked at.
    name : str
        The field.
    value : object
        What it is to be.
    sequence : int or None
        The sequence that is read, for the cursor in it.

    Raises
    ------
    InputError
        The trace has no such thing, or a value of another kind.
    """
    trace = data.trace
    if value is None and name in ("sequence", "step", "text", "projection", "beside", "window"):
        return None
    if name == "step":
        return _step(data, value, sequence)
    if name in ("projection", "beside"):
        return _among("projection", value, trace.projections)
    if name == "layer":
        return _among("recorded layer", _whole("A layer", value), data.layers or range(len(trace.layers)))
    if name == "direction":
        return _among("direction", value, trace.directions)
    if name == "quantity":
        recorded = [one for one in ("hidden", "cell") if one in trace.recorded]
        # The default is there even where it was not recorded: then no distances are shown.
        gates = [f"gate:{gate}" for gate in trace.gates]
        return _among("quantity", value, list(dict.fromkeys(("hidden", *recorded, *gates))))
    check = _CHECKS.get(name)
    return value if check is None else check(data, value)


def _whole(what: str, value: Any) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(f"{what} is named by its number, not {value!r:.60}.") from None


def _several(what: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InputError(f"{what} are given as a tuple, such as (3, 5), not {value!r:.60}.")
    return tuple(value)


def _among(what: str, value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        there = ", ".join(map(str, known[:8])) + (" …" if len(known) > 8 else "")
        raise InputError(f"There is no {what} {value!r:.60}; there is {there or 'none'}.")
    return value


def _step(data: ViewData, value: Any, sequence: int | None) -> int:
    step = _whole("A word of the sequence", value)
    if sequence is None:
        raise InputError(f"The cursor cannot stand at word {step}, since no sequence is read; select one first.")
    length = int(data.trace.offsets[sequence + 1] - data.trace.offsets[sequence])
    if not 0 <= step < length:
        where = f"0..{length - 1}" if length else "so there is none"
        raise InputError(f"Sequence {sequence} has no word {step}; it has {length:,} words, {where}.")
    return step


def _compared(data: ViewData, value: Any) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(check_sequence(data, one) for one in _several("Compared sequences", value)))
    if len(numbers) > MOST_COMPARED:
        raise InputError(f"At most {MOST_COMPARED} sequences are compared at a time, not {len(numbers)}.")
    return numbers


def _strokes(data: ViewData, value: Any) -> tuple[Any, ...]:
    from hiddenstate_viewer.state import Stroke

    strokes = _several("Lassos and boxes", value)
    for one in strokes:
        if not isinstance(one, Stroke):
            raise InputError(f"A lasso or box is a Stroke (hiddenstate_viewer.state), not {one!r:.60}.")
    if strokes:
        known = data.trace.projections
        for name in {one.projection for one in strokes}:
            _among("projection", name, known)
    return strokes


def _query(data: ViewData, value: Any) -> Query:
    if not isinstance(value, Query):
        raise InputError(f"The filter is a hiddenstate_core.Query, such as Query(correct=False), not {value!r:.60}.")
    value.check(data.trace)
    return value


def _colour(data: ViewData, value: Any) -> str:
    if isinstance(value, str) and (value == "prediction" or colours_states(data, value)):
        return value
    choices = {c.key: c.count for layer in data.layers or (-1,) for c in available(data.trace, layer)}
    known = [key if count is None else f"{key}:0..{count - 1}" for key, count in choices.items()]
    raise InputError(f"States cannot be coloured by {value!r:.60}; there is {', '.join(known)}.")


def _window(_data: ViewData, value: Any) -> tuple[float, ...]:
    try:
        x0, x1, y0, y1 = found = tuple(float(one) for one in value)
    except (TypeError, ValueError):
        found = ()
    if not found or not np.isfinite(found).all() or not (x0 < x1 and y0 < y1):
        raise InputError(f"A window is None or (x0, x1, y0, y1), each pair from low to high, not {value!r:.60}.")
    return found


_CHECKS: dict[str, Callable[[ViewData, Any], Any]] = {
    "sequence": check_sequence,
    "compared": _compared,
    "flows": lambda data, value: tuple(dict.fromkeys(check_class(data, one) for one in _several("Classes", value))),
    "strokes": _strokes,
    "query": _query,
    "colour_by": _colour,
    "window": _window,
}
