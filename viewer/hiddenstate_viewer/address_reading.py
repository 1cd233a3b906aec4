"""Reads a page's state from a URL's arguments: all of them untrusted, and what is wrong left out by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

import param

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import InputError
from hiddenstate_viewer.address_writing import MOST_TEXT, OPTIONS
from hiddenstate_viewer.checks import colours_states
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.options import ViewOptions
from hiddenstate_viewer.query_line import class_number, read_list, read_pair
from hiddenstate_viewer.state import MOST_COMPARED, Selection, Stroke
from hiddenstate_viewer.theme import LOOKS

__all__ = ["apply", "from_query", "session_arguments", "theme_of"]

#: Complaints, and characters of one value that are looked at.
_COMPLAINTS, _LONGEST = 12, 8_000
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
_REAL = re.compile(r"-?(?:\d{1,320}(?:\.\d{0,320})?|\.\d{1,320})(?:e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
Values = dict[str, Any]


class _Wrong(Exception):  # noqa: N818 - it never leaves this file
    """What is wrong with one value, as the end of a sentence."""


def theme_of(arguments: Mapping[str, Any]) -> str:
    """The theme that an address asks for, the light one where it asks for none or for one that does not exist."""
    try:
        asked = _texts(arguments).get("theme", [""])[-1]
    except (TypeError, ValueError):
        return "light"
    return asked if asked in LOOKS else "light"


def session_arguments() -> dict[str, list[bytes]]:
    """Arguments of the request by which the present session was opened; none outside a server."""
    import panel as pn

    return dict(pn.state.session_args) if pn.state.curdoc is not None else {}


def from_query(
    data: ViewData, arguments: Mapping[str, str | bytes | Sequence[str | bytes]]
) -> tuple[Values, list[str]]:
    """Values of a `Selection` from a URL's arguments; what is wrong there is left out and named.

    Parameters
    ----------
    data : ViewData
        The trace; only what it has is taken.
    arguments : mapping
        Values by key, as text, as bytes, or as lists of these (of which the last counts).

    Returns
    -------
    values : dict
        Parameters of a `Selection` by name, and ``"options"``: a dict of those of `ViewOptions`. See `apply`.
    complaints : list of str
        One plain sentence for each value that was left out, at most a dozen; not escaped for HTML. Never an exception.
        Keys that the page does not know are not its business.
    """
    values: Values = {}
    complaints: list[str] = []
    readers = _readers(data)
    texts = _texts(arguments)
    criteria: dict[str, Any] = {}
    for key, given in texts.items():
        if key not in readers:
            continue
        if len(given) > 1:
            complaints.append(f"The address gives {key} {len(given)} times; the last is taken.")
        text = given[-1]
        name, read = readers[key]
        try:
            if len(text) > _LONGEST:
                raise _Wrong(f"is longer than {_LONGEST:,} characters")
            found = read(text)
            if name.startswith("query."):
                Query(**{name[6:]: found}).check(data.trace)
                criteria[name[6:]] = found
            elif name.startswith("options."):
                values.setdefault("options", {})[name[8:]] = found
            elif name != "theme":
                values[name] = found
        except (_Wrong, InputError) as error:
            complaints.append(_complaint(key, text, error))
    if criteria:
        values["query"] = Query(**criteria)
    _together(data, values, complaints)
    if len(complaints) > _COMPLAINTS:
        rest = len(complaints) - _COMPLAINTS + 1
        complaints[_COMPLAINTS - 1 :] = [f"{rest} more values of the address were left out."]
    return values, complaints


def apply(selection: Selection, values: Values) -> None:
    """Set what `from_query` gave, all at once."""
    # The sequence first: the cursor is checked against it.
    rest = {name: values[name] for name in sorted(values, key=lambda name: name != "sequence")}
    selection.options.param.update(**rest.pop("options", {}))
    selection.param.update(**rest)


def _texts(arguments: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, given in arguments.items():
        several = [given] if isinstance(given, (str, bytes)) else list(given)
        texts = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in several]
        if texts:
            found[str(key)] = texts
    return found


def _complaint(key: str, text: str, error: Exception) -> str:
    shown = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    shown = shown if len(shown) <= 40 else shown[:39] + "…"
    why = str(error).rstrip(".")
    why = why if isinstance(error, _Wrong) else f"was refused: {why}"
    return f"{key}={shown} in the address {why}; it is left out."


def _together(data: ViewData, values: Values, complaints: list[str]) -> None:
    """Values that only make sense with others."""
    step, sequence = values.get("step"), values.get("sequence")
    if step is not None:
        length = 0 if sequence is None else int(data.trace.offsets[sequence + 1] - data.trace.offsets[sequence])
        if step >= length:
            values.pop("step")
            what = "no sequence is read" if sequence is None else f"the sequence has {length:,} words"
            complaints.append(f"step={step} in the address says nothing, since {what}; it is left out.")
    if values.get("beside") is not None and values["beside"] == values.get("projection", Selection(data).projection):
        values.pop("beside")
        complaints.append("beside in the address names the map that is shown already; it is left out.")


def _readers(data: ViewData) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """For each key the name of what it sets, and what reads it."""
    trace = data.trace
    count, classes = len(trace), trace.classes
    layers = data.layers or tuple(range(len(trace.layers)))
    quantities = [q for q in ("hidden", "cell") if q in trace.recorded] + [f"gate:{gate}" for gate in trace.gates]

    def among(names: Sequence[str]) -> Callable[[str], str]:
        def read(text: str) -> str:
            if text not in names:
                raise _Wrong(f"does not exist here{_known(names)}")
            return text

        return read

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(class_number(value, classes, unknown=True) for value in read_list(text))

    def several(limit: int, most: int) -> Callable[[str], tuple[int, ...]]:
        def read(text: str) -> tuple[int, ...]:
            found = tuple(dict.fromkeys(_whole(part, 0, limit - 1) for part in text.split(",") if part.strip()))
            if len(found) > most:
                raise _Wrong(f"names more than {most}")
            return found

        return read

    found: dict[str, tuple[str, Callable[[str], Any]]] = {
        "sequence": ("sequence", lambda text: _whole(text, 0, count - 1)),
        "compare": ("compared", several(count, MOST_COMPARED)),
        "flows": ("flows", several(len(classes), max(len(classes), 1))),
        "step": ("step", lambda text: _whole(text, 0, 10**9)),
        "projection": ("projection", lambda text: among(trace.projections)(text) if text else None),
        "beside": ("beside", among(trace.projections)),
        "layer": ("layer", lambda text: _one_of(_whole(text, 0, 10**6), layers)),
        "direction": ("direction", among(trace.directions)),
        "quantity": ("quantity", among(quantities)),
        "colour": ("colour_by", lambda text: _colour(data, text)),
        "words": ("query.words", read_list),
        "class": ("query.labels", numbers),
        "predicted": ("query.predicted", numbers),
        "split": ("query.split", lambda text: tuple(class_number(one, trace.splits) for one in read_list(text))),
        "correct": ("query.correct", lambda text: among(("yes", "no"))(text) == "yes"),
        "confidence": ("query.confidence", _confidence),
        "length": ("query.length", lambda text: _length(text, int(trace.lengths.max(initial=0)))),
        "flips": ("query.flips_after", str),
        "id": ("query.ids", str),
        "text": ("text", _sentence),
        "window": ("window", _window),
        "lasso": ("strokes", lambda text: tuple(_read_stroke(one, trace.projections) for one in text.split(";"))),
        "theme": ("theme", among(tuple(LOOKS))),
    }
    for key, name in OPTIONS.items():
        found[key] = (f"options.{name}", lambda text, name=name: _option(name, text))  # type: ignore[misc]
    return found


def _known(names: Sequence[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:6])
    return f" (there are {shown}{' …' if len(names) > 6 else ''})" if names else ""


def _whole(text: str, low: int, high: int) -> int:
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        raise _Wrong("is no whole number")
    if not low <= int(text) <= high:
        raise _Wrong(f"lies outside {low} to {high:,}" if high >= low else "does not exist here")
    return int(text)


def _one_of(value: int, known: Sequence[int]) -> int:
    if value not in known:
        raise _Wrong(f"does not exist here{_known(known)}")
    return value


def _number(text: str) -> float:
    value = float(text) if _REAL.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise _Wrong("holds something that is no number")
    return value


def _confidence(text: str) -> tuple[float, float]:
    low, high = read_pair(text, Decimal(1))
    if high > 1:
        raise _Wrong("is no range of fractions from 0 to 1")
    return float(low), float(high)


def _length(text: str, longest: int) -> tuple[int, int]:
    low, high = read_pair(text, Decimal(longest))
    if low != int(low) or high != int(high):
        raise _Wrong("is no range of whole numbers")
    return int(low), int(high)


def _sentence(text: str) -> str:
    if not text.strip():
        raise _Wrong("is blank")
    if len(quote(text)) > MOST_TEXT:
        raise _Wrong(f"is longer than {MOST_TEXT:,} characters")
    return text


def _window(text: str) -> tuple[float, float, float, float]:
    parts = text.split(",")
    if len(parts) != 4:
        raise _Wrong("is not x0,x1,y0,y1")
    x0, x1, y0, y1 = (_number(part) for part in parts)
    if not (x0 < x1 and y0 < y1):
        raise _Wrong("has no width or no height")
    return x0, x1, y0, y1


def _read_stroke(text: str, projections: Sequence[str]) -> Stroke:
    mode, _, rest = text.partition(":")
    name, _, corners = rest.partition(":")
    if unquote(name) not in projections:
        raise _Wrong(f"was drawn in a map that does not exist here{_known(projections)}")
    pairs = [corner.split(",") for corner in corners.split("~")]
    if any(len(pair) != 2 for pair in pairs):
        raise _Wrong("is not made of corners x,y")
    xs, ys = (tuple(_number(pair[axis]) for pair in pairs) for axis in (0, 1))
    return Stroke(unquote(name), mode, xs, ys)


def _option(name: str, text: str) -> Any:
    kind = ViewOptions.param[name]
    if isinstance(kind, param.Boolean):
        if text not in ("on", "off"):
            raise _Wrong("is neither on nor off")
        return text == "on"
    low, high = kind.bounds
    value = _whole(text, low, high) if isinstance(kind, param.Integer) else _number(text)
    if not low <= value <= high:
        raise _Wrong(f"lies outside {low:g} to {high:g}")
    return value


def _colour(data: ViewData, text: str) -> str:
    if not colours_states(data, text):
        raise _Wrong("is no way to colour the states here")
    return text
