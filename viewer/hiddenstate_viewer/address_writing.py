"""Writes a page's state as a URL's query: what differs from a fresh page, in readable keys and bounded room."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.analysis import Query
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.options import ViewOptions
from hiddenstate_viewer.query_line import class_names, pair_text, quoted_list
from hiddenstate_viewer.state import Selection, Stroke

__all__ = [
    "KEYS", "MOST_STROKES", "MOST_TEXT", "MOST_WORDS", "OPTIONS", "left_out", "query_string", "simplify",
    "to_query",
]  # fmt: skip

#: What an address has room for: servers and proxies refuse request lines beyond some 8,000 characters.
MOST_TEXT, MOST_STROKES, MOST_WORDS = 1_500, 2_500, 1_500
#: Corners of a lasso.
_CORNERS = 48
_CRITERIA = ("words", "class", "predicted", "correct", "confidence", "length", "split", "flips", "id")
_NAMED = ("sequence", "compare", "flows", "step", "projection", "beside", "layer", "direction", "quantity", "colour")
#: View options by key.
OPTIONS = {name.replace("_", "-"): name for name in ViewOptions.param if name != "name"}
#: Every key that the page writes and reads; others are left alone.
KEYS = (*_NAMED, *_CRITERIA, "text", "window", "lasso", *OPTIONS, "theme")


# -- writing --------------------------------------------------------------------------------------------------------


def to_query(selection: Selection, theme: str = "light") -> dict[str, str]:
    """What differs from a fresh page, by key; `query_string` makes a URL's query of it.

    Parameters
    ----------
    selection : Selection
        Its state; lassos are simplified to 48 corners and to about a thousandth of their size, confidences to twelve
        digits. What an address has no room for is left out (see `left_out`).
    theme : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    dict of str to str
    """
    return {key: value for key, value in _written(selection, theme).items() if value is not None}


def left_out(selection: Selection) -> tuple[str, ...]:
    """Keys for which the address has no room: ``"text"``, ``"lasso"`` or ``"words"``."""
    return tuple(key for key, value in _written(selection, "light").items() if value is None)


def _written(selection: Selection, theme: str) -> dict[str, str | None]:
    data, found = selection.data, {}
    fresh = Selection(data)

    def put(key: str, name: str, write: Callable[[Any], str | None] = str) -> None:
        value = getattr(selection, name)
        if value != getattr(fresh, name):
            # An empty value says none where a fresh page has one.
            found[key] = "" if value is None else write(value)

    put("sequence", "sequence")
    put("compare", "compared", _numbers)
    put("flows", "flows", _numbers)
    if selection.sequence is not None:
        put("step", "step")
    for key in ("projection", "beside", "layer", "direction", "quantity"):
        put(key, key)
    put("colour", "colour_by")
    found.update(_criteria(selection.query, data))
    put("text", "text", lambda text: text if len(quote(text)) <= MOST_TEXT else None)
    put("window", "window", _window)
    put("lasso", "strokes", _strokes)
    for key, name in OPTIONS.items():
        value = getattr(selection.options, name)
        if value != getattr(fresh.options, name):
            found[key] = ("on" if value else "off") if isinstance(value, bool) else _short(value)
    if theme != "light":
        found["theme"] = theme
    return found


def query_string(values: Mapping[str, str]) -> str:
    """Values as a URL's query, without its question mark; marks that need no escape stay readable."""
    return "&".join(f"{key}={quote(value, safe=',:;~').replace('%20', '+')}" for key, value in values.items())


def _criteria(query: Query, data: ViewData) -> dict[str, str | None]:
    classes, splits = data.trace.classes, data.trace.splits
    found: dict[str, str | None] = {}
    if query.words:
        found["words"] = quoted_list(query.words)
    for key, numbers, names in (
        ("class", query.labels, classes), ("predicted", query.predicted, classes), ("split", query.split, splits),
    ):  # fmt: skip
        if numbers:
            found[key] = quoted_list(class_names(numbers, names, unknown=key == "class"), ",")
    if query.correct is not None:
        found["correct"] = "yes" if query.correct else "no"
    if query.confidence is not None:
        found["confidence"] = pair_text(query.confidence)
    if query.length is not None:
        found["length"] = pair_text(query.length)
    if query.flips_after is not None:
        found["flips"] = query.flips_after
    if query.ids is not None:
        found["id"] = query.ids
    return {key: value if value is not None and len(quote(value)) <= MOST_WORDS else None
            for key, value in found.items()}  # fmt: skip


def _numbers(values: Iterable[int]) -> str:
    return ",".join(map(str, values))


def _short(value: float) -> str:
    return format(value, ".6g")


def _coordinates(values: Sequence[float]) -> list[str]:
    """Coordinates along one axis, rounded to about a thousandth of what they span."""
    rounded, known, decimals = [float(value) for value in values], 10_000, _decimals(values)
    while decimals < known:  # rounding may take the span below a power of ten; then once more
        known = decimals
        rounded = [round(value, known) + 0.0 for value in rounded]
        decimals = _decimals(rounded)
    return [repr(value).removesuffix(".0") for value in rounded]


def _decimals(values: Sequence[float]) -> int:
    span = float(max(values)) - float(min(values))
    return min(max(math.ceil(3 - math.log10(span)), -300), 320) if 0 < span < math.inf else 320


def _window(ends: Sequence[float]) -> str:
    return ",".join((*_coordinates(ends[:2]), *_coordinates(ends[2:])))


def _strokes(strokes: Sequence[Stroke]) -> str | None:
    """Strokes as ``mode:projection:x,y~x,y~...``, one after the other; None where too many."""
    corners = _CORNERS
    while True:
        text = ";".join(_stroke(stroke, corners) for stroke in strokes)
        if len(text) <= MOST_STROKES:
            return text
        if corners <= 6:
            return None
        corners = corners * 2 // 3


def _stroke(stroke: Stroke, most: int) -> str:
    points = simplify(np.column_stack([stroke.xs, stroke.ys]).astype(np.float64), most)
    corners = zip(_coordinates(points[:, 0].tolist()), _coordinates(points[:, 1].tolist()), strict=True)
    return f"{stroke.mode}:{quote(stroke.projection, safe='')}:{'~'.join(map(','.join, corners))}"


def simplify(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most so many corners of a closed polygon, those that matter most for its shape; at least three.

    Ramer (1972), Douglas and Peucker (1973): the corner farthest from the line between its neighbours kept so far is
    kept next, until there are enough. O(most n).
    """
    if len(points) <= most:
        return points
    ring = np.vstack([points, points[:1]])
    kept = [0, len(points)]
    worst: dict[tuple[int, int], tuple[float, int]] = {}
    while len(kept) <= max(most, 3):
        best = (-1.0, 0, 0)
        for at, (low, high) in enumerate(itertools.pairwise(kept)):
            if (low, high) not in worst:
                worst[low, high] = _farthest(ring, low, high)
            away, middle = worst[low, high]
            best = max(best, (away, at + 1, middle))
        if best[0] < 0:
            break
        kept.insert(best[1], best[2])
    return ring[kept[:-1]]


def _farthest(ring: NDArray[np.float64], low: int, high: int) -> tuple[float, int]:
    """Distance from the line between two corners, and number, of the corner between them that lies farthest from it."""
    if high - low < 2:
        return -1.0, 0
    between, start, way = ring[low + 1 : high], ring[low], ring[high] - ring[low]
    length = float(way @ way)
    along = np.clip((between - start) @ way / length, 0, 1) if length > 0 else np.zeros(len(between))
    away = np.linalg.norm(between - start - along[:, None] * way, axis=1)
    return float(away.max()), low + 1 + int(away.argmax())
