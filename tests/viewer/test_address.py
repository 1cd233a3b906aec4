"""The address: what is written is read again, what is wrong is left out by name, and nothing of it raises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from hiddenstate_viewer.address import KEYS, apply, from_query, left_out, query_string, theme_of, to_query
from hiddenstate_viewer.address_writing import MOST_STROKES, MOST_TEXT, MOST_WORDS, simplify
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.state import Selection, Stroke
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.analysis import Query
from hiddenstate_core.traces import Trace
from tests.viewer.browsing import Site, visiting


@pytest.fixture(scope="module")
def many(stores: dict[str, Path]) -> ViewData:
    return ViewData(Trace(stores["many"]))


def written(selection: Selection, theme: str = "light") -> dict[str, list[bytes]]:
    """The address as a server hands it on."""
    text = query_string(to_query(selection, theme))
    return {k: [v.encode() for v in values] for k, values in parse_qs(text, keep_blank_values=True).items()}


def again(selection: Selection) -> Selection:
    """A fresh selection, set as the address of another says."""
    found = Selection(selection.data)
    values, complaints = from_query(selection.data, written(selection))
    assert complaints == []
    apply(found, values)
    return found


def state(selection: Selection) -> dict[str, Any]:
    values = {name: value for name, value in selection.param.values().items() if name != "name"}
    return {**values, "options": selection.options.values()}


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
words = text.filter(lambda word: bool(word.strip()))


def bounds(numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.tuples(numbers, numbers).map(lambda pair: tuple(sorted(pair)))


queries = st.builds(
    Query,
    words=st.lists(words, max_size=3).map(tuple),
    labels=st.lists(st.integers(-1, 89), max_size=4, unique=True).map(tuple),
    predicted=st.lists(st.integers(0, 89), max_size=4, unique=True).map(tuple),
    correct=st.none() | st.booleans(),
    confidence=bounds(st.integers(0, 10**6).map(lambda n: n / 10**6)),
    length=bounds(st.integers(0, 10**6)),
    split=st.lists(st.integers(0, 1), max_size=2, unique=True).map(tuple),
    flips_after=st.none() | words,
    ids=st.none() | words,
)


@settings(max_examples=80, deadline=None)
@given(
    query=queries,
    numbers=st.lists(st.integers(0, 119), max_size=6, unique=True),
    flows=st.lists(st.integers(0, 89), max_size=4, unique=True),
    typed=st.none() | words,
    projection=st.sampled_from(["pca", "tsne"]),
    switches=st.lists(st.booleans(), min_size=4, max_size=4),
    window=st.none() | st.tuples(*[st.floats(-1e6, 1e6).map(lambda v: round(v, 2))] * 2),
)
def test_a_written_state_is_read_again(
    many: ViewData,
    query: Query,
    numbers: list[int],
    flows: list[int],
    typed: str | None,
    projection: str,
    switches: list[bool],
    window: tuple[float, float] | None,
) -> None:
    selection = Selection(many, query=query, flows=tuple(flows), text=typed, projection=projection)
    selection.sequence = numbers[0] if numbers else None
    selection.compared = tuple(numbers[1:])
    if window is not None:
        selection.window = (window[0], window[0] + 50, window[1], window[1] + 0.25)
    names = ("show_starts", "fade_wrong", "black_trajectory", "thick_by_time")
    selection.options.param.update(dict(zip(names, switches, strict=True)), point_size=7.25, change_threshold=55)
    found = again(selection)
    if selection.window is not None:  # rounded to a thousandth of what it spans
        assert np.allclose(selection.window, found.window, atol=0.05)
        assert np.allclose(selection.window[2:], found.window[2:], atol=2.5e-4)
        selection.window = found.window
    assert state(found) == state(selection)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["replace", "add", "remove"]),
            st.integers(3, 300),
            st.floats(1e-6, 1e6),
            st.floats(-1e3, 1e3),
            st.integers(0, 10**6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_lassos_keep_their_shape_and_fit_in(many: ViewData, drawn: list[tuple[str, int, float, float, int]]) -> None:
    strokes = []
    for mode, corners, size, middle, seed in drawn:
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        away = size * (1 + 0.3 * np.sin(3 * angle + seed))
        xs, ys = middle + away * np.cos(angle), away * np.sin(angle)
        strokes.append(Stroke("tsne", mode, tuple(xs.tolist()), tuple(ys.tolist())))
    selection = Selection(many, strokes=tuple(strokes))
    assert len(to_query(selection)["lasso"]) <= MOST_STROKES
    found = again(selection)
    assert [(s.projection, s.mode) for s in found.strokes] == [(s.projection, s.mode) for s in strokes]
    for before, after in zip(strokes, found.strokes, strict=True):
        size = max(np.ptp(before.xs), np.ptp(before.ys))
        if len(before.xs) <= len(after.xs):  # nothing but rounding
            assert np.allclose(before.xs, after.xs, atol=size / 400)
            assert np.allclose(before.ys, after.ys, atol=size / 400)
        assert _area(after) == pytest.approx(_area(before), rel=0.06)
    assert again(found).strokes == found.strokes


def _area(stroke: Stroke) -> float:
    x, y = np.array(stroke.xs) - stroke.xs[0], np.array(stroke.ys) - stroke.ys[0]
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def test_simplifying_keeps_the_corners_of_a_polygon() -> None:
    side = np.linspace(0, 1, 50, endpoint=False)
    nought, one = np.zeros(50), np.ones(50)
    square = np.vstack([
        np.column_stack(pair) for pair in ((side, nought), (one, side), (1 - side, one), (nought, 1 - side))
    ])  # fmt: skip
    assert simplify(square, 4).tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert simplify(square[:3], 4) is not None
    assert len(simplify(np.zeros((60, 2)), 5)) >= 3


def test_a_fresh_page_has_a_bare_address_and_readable_keys(many: ViewData) -> None:
    selection = Selection(many)
    assert to_query(selection) == {}
    assert to_query(selection, "dark") == {"theme": "dark"}
    selection.select(5)
    selection.compare(7)
    selection.query = Query(words=("not good", "bad"), labels=(3, -1), correct=False, confidence=(0.9, 1.0))
    selection.options.show_lasts = True
    assert query_string(to_query(selection)) == (
        "sequence=5&compare=7&words=%22not+good%22+bad&class=%22class+3%22,unknown&correct=no&confidence=0.9-1"
        "&show-lasts=on"
    )
    assert set(to_query(selection)) <= set(KEYS)


WRONG = [
    ("sequence", "120"), ("sequence", "-1"), ("sequence", "1.5"), ("sequence", "٣"), ("sequence", "9" * 400),
    ("sequence", "<script>alert(1)</script>"), ("compare", "1,x"), ("compare", ",".join(map(str, range(40)))),
    ("flows", "90"), ("step", "4"), ("projection", "umap"), ("projection", "../../etc"), ("beside", "umap"),
    ("layer", "7"), ("direction", "sideways"), ("quantity", "gate:none"), ("colour", "unit:99999"), ("colour", "rm"),
    ("class", "no such"), ("predicted", "#90"), ("split", "other"), ("correct", "maybe"), ("confidence", "2-3"),
    ("confidence", "nan-1"), ("confidence", "0.9"*3), ("length", "50-10"), ("length", "1e3-2"), ("length", "inf"),
    ("flips", "  "), ("id", ""), ("text", " "), ("text", "x" * 5_000), ("window", "0,1,2"), ("window", "0,0,0,1"),
    ("window", "nan,1,0,1"), ("window", "1e999,2,0,1"), ("lasso", "replace:tsne:0,0~1,1"), ("lasso", "a;b;c"),
    ("lasso", "melt:tsne:0,0~1,1~0,1"), ("lasso", "add:umap:0,0~1,1~0,1"), ("lasso", "add:tsne:0,0~1,nan~0,1"),
    ("point-size", "1e9"), ("point-size", "nan"), ("distance-threshold", "101"), ("show-starts", "yes"),
    ("theme", "neon"), ("words", "x" * 9_000),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_is_wrong_is_left_out_by_name(many: ViewData, key: str, value: str) -> None:
    values, complaints = from_query(many, {key: [value.encode()], "correct" if key != "correct" else "id": [b"no"]})
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{key}=")
    assert complaints[0].endswith("it is left out.")
    assert len(complaints[0]) < 300
    assert list(values) == ["query"]  # the other one is taken
    apply(Selection(many), values)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(KEYS) | st.text(max_size=8),
        st.text(max_size=60) | st.binary(max_size=60) | st.lists(st.binary(max_size=30) | st.text(max_size=9)),
        max_size=8,
    )
)  # fmt: skip
def test_anything_may_come(many: ViewData, arguments: dict[str, Any]) -> None:
    values, complaints = from_query(many, arguments)
    assert len(complaints) <= 12
    selection = Selection(many)
    apply(selection, values)
    state(again(selection))
    assert theme_of(arguments) in ("light", "dark")


def test_the_last_of_several_is_taken_and_unknown_keys_are_let_be(many: ViewData) -> None:
    values, complaints = from_query(many, {"sequence": [b"3", b"4"], "token": [b"secret"], "utm": "x", "empty": []})
    assert values == {"sequence": 4}
    assert complaints == ["The address gives sequence 2 times; the last is taken."]


def test_what_has_no_room_is_left_out_and_told(many: ViewData) -> None:
    selection = Selection(many, text="é" * MOST_TEXT, query=Query(words=("y" * MOST_WORDS, "z"), correct=True))
    assert to_query(selection) == {"correct": "yes"}
    assert left_out(selection) == ("words", "text")
    corners = ((0.0, 1.0, 1.0), (0.0, 0.0, 1.0))
    selection.strokes = tuple(Stroke("tsne", "add", *corners) for _ in range(400))
    assert "lasso" in left_out(selection)


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("binary",), chromium) as site:
        yield site


@pytest.mark.browser
def test_the_address_follows_and_a_link_reopens_the_page(site: Site) -> None:
    visit = site("binary", "foreign=kept")
    before = visit.page.evaluate("() => history.length")
    visit.select(4)
    visit.until(lambda: visit.query == {"foreign": "kept", "sequence": "4"}, "the address")
    visit.do(lambda: visit.selection.param.update(compared=(7,), query=Query(predicted=(1,))))
    wanted = {"foreign": "kept", "sequence": "4", "compare": "7", "predicted": "positive"}
    visit.until(lambda: visit.query == wanted, "the address")
    assert visit.page.evaluate("() => history.length") == before  # Back still leaves the page
    found = site.open(site.tab, visit.page.url)
    assert state(found.selection) == state(visit.selection)
    visit = site("binary", "sequence=99999&projection=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&step=2")
    assert state(visit.selection) == state(Selection(visit.selection.data))
    assert visit.page.locator("img[src=x]").count() == 0
    site.check()
