"""The table of sequences: which rows, in which order, how much of them a session holds, and clicks on them."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.rows import COLUMNS, RowIndex
from hiddenstate_viewer.state import MOST_COMPARED, Selection, Stroke
from hiddenstate_viewer.table import SequenceTable, _shares
from hiddenstate_viewer.words import cut_html
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.analysis import Query
from hiddenstate_core.traces import Trace
from tests.viewer.browsing import ROWS, Site, visiting

Make = Callable[[str], ViewData]


@pytest.fixture
def table(data: Make) -> SequenceTable:
    return SequenceTable(Selection(data("binary")))


def page(table: SequenceTable) -> pd.DataFrame:
    """What the browser is given."""
    return pd.DataFrame(table.widget._data)


def test_the_browser_is_given_one_page_of_the_shared_rows(table: SequenceTable) -> None:
    trace = table.selection.data.trace
    given = page(table)
    assert list(given.columns) == [*COLUMNS, "index"]
    assert given["id"].tolist() == list(trace.ids[:20])
    assert given["index"].tolist() == list(range(20))
    assert table.widget.get_root().max_page == 3
    table.widget.page = 3
    assert page(table)["id"].tolist() == list(trace.ids[40:])
    assert table.title.object == '<div class="hs-title">Sequences<small>60</small></div>'


@settings(max_examples=60, deadline=None)
@given(
    column=st.sampled_from(["id", "class", "predicted", "correct", "confidence", "words", "text"]),
    second=st.none() | st.sampled_from(["words", "class"]),
    down=st.booleans(),
    part=st.sampled_from(["", "POS", "e"]),
    where=st.sampled_from(["class", "predicted", "text", "id"]),
)
def test_order_is_that_of_pandas(
    shared: ViewData, column: str, second: str | None, down: bool, part: str, where: str
) -> None:
    frame = shared.table
    wanted = frame[frame[where].str.lower().str.contains(part.lower(), regex=False)]
    sorters = [{"field": name, "dir": "desc" if down else "asc"} for name in (column, second) if name]

    def key(values: pd.Series) -> pd.Series:
        if values.name == "id":  # numbers within ids count as numbers
            return values.str.extract(r"(\d+)$", expand=False).astype(int)
        return values if values.dtype.kind in "if" else values.str.lower()

    names = [one["field"] for one in sorters]
    wanted = wanted.sort_values(names, ascending=not down, kind="stable", key=key)
    order = RowIndex.of(shared).order(None, [{"field": where, "type": "like", "value": part}], sorters, {})
    assert order.tolist() == wanted.index.tolist()


@pytest.fixture(scope="module")
def shared(stores: dict[str, Path]) -> ViewData:
    return ViewData(Trace(stores["binary"]))


def test_numbers_within_names_count_as_numbers() -> None:
    names = ["b/10", "b/9", "a/2", "A/10", "b", "10", "9"]
    frame = pd.DataFrame({name: names if name == "id" else [0] * 7 for name in COLUMNS if name not in ("mark", "hits")})
    index = RowIndex(SimpleNamespace(table=frame))  # type: ignore[arg-type]
    order = index.order(None, [], [{"field": "id", "dir": "asc"}], {})
    assert [names[i] for i in order] == ["9", "10", "a/2", "A/10", "b", "b/9", "b/10"]


def test_rows_follow_the_filter_and_the_lassos(table: SequenceTable) -> None:
    selection, trace = table.selection, table.selection.data.trace
    selection.query = Query(labels=(1,))
    wanted = np.flatnonzero(trace.labels == 1)
    assert table.shown.index.tolist() == wanted.tolist()
    assert f"{len(wanted)} of 60" in table.title.object
    points = trace.projection("tsne").coordinates
    middle = float(np.median(points[:, 0]))
    low, high = float(points.min()) - 1, float(points.max()) + 1
    selection.strokes = (Stroke("tsne", "replace", (low, middle, middle, low), (low, low, high, high)),)
    inside = np.unique(trace.sequence_of_step[points[:, 0] < middle])
    assert table.shown.index.tolist() == np.intersect1d(wanted, inside).tolist()
    selection.param.update(query=Query(), strokes=())
    assert len(table.shown) == 60


def test_words_found_are_counted_and_can_be_sorted_by(table: SequenceTable) -> None:
    selection, trace = table.selection, table.selection.data.trace
    assert table.widget.hidden_columns == ["hits"]
    selection.query = Query(words=("don't",))
    assert table.widget.hidden_columns == ["words"]
    counts = np.array([sum(word == "don't" for word in trace.sequence(i).words) for i in range(len(trace))])
    table.widget.sorters = [{"field": "hits", "dir": "desc"}]
    order = table.shown.index.to_numpy()
    assert sorted(order) == np.flatnonzero(counts).tolist()
    assert (np.diff(counts[order]) <= 0).all()
    assert page(table)["hits"].tolist() == counts[order[:20]].tolist()


def test_the_page_is_never_past_the_end(table: SequenceTable) -> None:
    table.widget.page = 3
    table.widget.filters = [{"field": "id", "type": "like", "value": "made-up/7"}]
    assert page(table)["id"].tolist() == ["made-up/7"]
    assert table.widget.page == 1
    table.widget.filters = [{"field": "id", "type": "like", "value": "nothing so"}]
    assert len(page(table)) == 0
    assert "0 of 60" in table.title.object
    table.move(1)
    assert table.selection.sequence is None


def test_what_is_read_is_turned_to_and_marked(table: SequenceTable) -> None:
    table.widget.sorters = [{"field": "confidence", "dir": "desc"}]
    order = table.shown.index.tolist()
    table.selection.select(order[45])
    assert table.widget.page == 3
    assert page(table).set_index("index")["mark"].to_dict()[order[45]] == "read"
    table.selection.compare(order[44])
    assert page(table).set_index("index")["mark"][[order[44], order[45]]].tolist() == ["compared", "read"]
    assert table.widget.selection == []
    table.move(-1)
    assert table.selection.sequence == order[44]
    table.widget.page_size = 10
    assert table.widget.page == 5
    table.selection.select(None)
    table.move(1)
    assert table.selection.sequence == order[0]
    assert table.widget.page == 1


def test_a_page_of_one_row_is_the_browsers_mistake(table: SequenceTable) -> None:
    for told, rows in ((1, 20), (12, 12), (0, 12), (1, 12)):
        table.widget._process_events({"page_size": told})
        assert table.widget.page_rows == rows


def test_comparing_on_another_page_stays_there(table: SequenceTable) -> None:
    table.selection.select(3)
    table.widget.page = 3
    table.selection.compare(45)
    assert table.widget.page == 3
    assert page(table).set_index("index")["mark"][45] == "compared"
    table.selection.select(45)
    table.widget.page = 1
    table.selection.select(50)
    assert table.widget.page == 3


def clicked(table: SequenceTable, *rows: int, fresh: bool) -> None:
    """What the browser says of a click on rows of the page shown."""
    model = table.widget.get_root()
    table.widget._process_event(
        SimpleNamespace(event_name="selection-change", model=model, indices=list(rows), selected=True, flush=fresh)
    )


def test_clicks_read_and_compare(table: SequenceTable) -> None:
    selection = table.selection
    clicked(table, 3, fresh=True)
    assert list(selection.selected) == [3]
    clicked(table, 3, 5, fresh=False)
    assert list(selection.selected) == [3, 5]
    clicked(table, 3, 5, 7, 8, fresh=False)
    assert list(selection.selected) == [3, 5, 7, 8]
    clicked(table, 3, 5, 7, 8, 5, fresh=False)
    assert list(selection.selected) == [3, 7, 8]
    clicked(table, 3, fresh=True)
    assert selection.sequence is None
    clicked(table, 99, fresh=True)  # of a page that was turned meanwhile
    assert selection.sequence is None


def test_a_click_on_the_box_compares_and_is_one_click(table: SequenceTable) -> None:
    selection = table.selection
    selection.select(3)
    for wanted in ((3, 5), (3,)):
        table.widget._process_event(SimpleNamespace(event_name="cell-click", column="mark", row=5))
        clicked(table, 5, fresh=True)
        assert selection.selected == wanted
    clicked(table, 5, fresh=True)
    assert selection.selected == (5,)


def test_too_many_compared_are_refused_in_words(table: SequenceTable) -> None:
    table.selection.select(0)
    clicked(table, *range(MOST_COMPARED + 3), fresh=False)
    assert len(table.selection.compared) == MOST_COMPARED
    assert "take one away first" in table.title.object
    clicked(table, 2, fresh=True)
    assert "take one away" not in table.title.object


def large(data: ViewData, count: int = 100_000) -> ViewData:
    """The same trace as if it had so many sequences; enough for what the table does without a filter."""
    frame = pd.concat([data.table] * (count // len(data.table) + 1), ignore_index=True)[:count]
    frame["id"] = [f"{i}/{name}" for i, name in enumerate(frame["id"])]
    found = ViewData(data.trace)
    found.__dict__["table"] = frame
    return found


def test_a_session_holds_no_rows_of_a_hundred_thousand(data: Make) -> None:
    shared = large(data("binary"))
    first, second = (SequenceTable(Selection(shared)) for _ in range(2))
    assert first.widget.value is second.widget.value
    assert first.widget.order is second.widget.order
    assert len(first.widget._index_mapping) == 100_000
    assert not isinstance(first.widget._index_mapping, dict)
    assert first.widget.style is None
    assert list(first.widget._processed.columns) == []
    assert len(first.widget._data["id"]) == 20
    first.widget.sorters = [{"field": "id", "dir": "desc"}]
    assert page(first)["index"].tolist() == list(range(99_999, 99_979, -1))
    assert page(second)["index"].tolist() == list(range(20))
    first.widget.filters = [{"field": "id", "type": "like", "value": "99999/"}]
    assert first.shown.index.tolist() == [99_999]


def test_a_session_that_ends_leaves_nothing(data: Make) -> None:
    shared = data("binary")
    table = SequenceTable(Selection(shared))
    table.widget.sorters = [{"field": "id", "dir": "desc"}]
    seen = [weakref.ref(thing) for thing in (table, table.widget, table.selection, table.widget.order)]
    del table
    gc.collect()
    assert [ref() for ref in seen] == [None] * 4
    assert RowIndex.of(shared) is RowIndex.of(shared)


# -- browser --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("binary",), chromium) as site:
        yield site


@pytest.mark.browser
def test_rows_are_text_and_take_clicks_with_keys_held(site: Site) -> None:
    visit = site()
    trace = visit.trace
    visit.row(3).click()
    visit.words(3)
    visit.row(5).click(modifiers=["Control"])
    visit.until(lambda: visit.selection.selected == (3, 5), "the second sequence")
    visit.row(7).locator(".hs-mark").click()
    visit.until(lambda: visit.selection.selected == (3, 5, 7), "the third sequence")
    visit.row(7).locator(".hs-compared").wait_for()
    visit.row(5).click(modifiers=["Control"])
    visit.until(lambda: visit.selection.selected == (3, 7), "one less")
    heading = visit.page.locator(".hs-id")
    heading.dblclick()
    marked = "() => getSelection().toString()"
    assert visit.page.evaluate(marked) in visit.trace.ids[3]
    assert visit.page.evaluate(marked)
    visit.row(9).click(modifiers=["Shift"])
    visit.until(lambda: set(visit.selection.selected) == {3, 5, 6, 7, 8, 9}, "the rows from the last one to this")
    assert visit.page.evaluate(marked) in visit.trace.ids[3]  # no text of rows
    texts = [visit.session.data.table["text"][i] for i in visit.session.table.shown.index[:20]]
    assert any("<b>bold</b>" in text for text in texts)
    assert visit.page.locator(f"{ROWS} b").count() == 0
    shown = visit.page.locator(f"{ROWS} .tabulator-cell[tabulator-field=text]").all_inner_texts()
    assert [" ".join(text.split()) for text in shown] == [" ".join(text.split()) for text in texts[: len(shown)]]
    assert visit.rows() == list(trace.ids[: len(shown)])
    for name in ("id", "true class", "predicted class", "first words"):
        visit.page.get_by_role("searchbox", name=f"Rows whose {name} contain").wait_for()
    site.check()


@pytest.mark.browser
def test_a_row_stands_while_marks_change_and_a_press_on_it_is_a_click(site: Site) -> None:
    visit = site()
    visit.select(3)
    row = visit.row(6)
    row.evaluate("(e) => { e.dataset.kept = 'yes' }")
    row.hover()
    visit.page.mouse.down()
    visit.do(lambda: visit.selection.choose([4, 8]))
    visit.words(4)
    for number in (4, 8):
        visit.row(number).locator(".hs-read, .hs-compared").wait_for()
    visit.sync()
    visit.page.mouse.up()
    visit.words(6)
    assert row.get_attribute("data-kept") == "yes"
    row.locator(".hs-read").wait_for()
    assert visit.row(3).locator(".hs-read, .hs-compared").count() == 0
    site.check()


@pytest.mark.browser
def test_a_selection_that_meets_a_filter_just_typed_is_no_error(site: Site) -> None:
    """The browser hides rows at once, before the server knows of it."""
    visit = site()
    visit.select(4)
    field = visit.page.locator(".hs-table .tabulator-col[tabulator-field=class] input")
    other = next(name for i, name in enumerate(visit.trace.classes) if i != visit.trace.labels[4])
    hidden = visit.row(4)
    busy = threading.Event()

    def act() -> None:
        busy.set()
        time.sleep(2)  # a busy server, which sends what it is about to do before it hears of the filter
        visit.session.table.widget.refresh()
        visit.selection.compare(6)

    visit.do(act)
    visit.until(busy.is_set, "the server")
    field.fill(other)
    field.press("Enter")
    hidden.wait_for(state="detached")
    visit.until(lambda: visit.selection.compared == (6,), "the comparison")
    kept = np.flatnonzero([name == other for name in visit.session.data.table["class"]])
    visit.until(lambda: visit.session.table.shown.index.tolist() == kept.tolist(), "the filter")
    visit.sync()
    site.leave()
    site.check()


@pytest.mark.browser
def test_nothing_found_says_what_to_do_and_the_dark_table_is_dark(site: Site) -> None:
    visit = site("binary", "theme=dark")
    visit.do(lambda: visit.selection.param.update(query=Query(words=("nowhere",))))
    note = visit.page.locator(".tabulator-placeholder-contents")
    note.wait_for()
    assert "Take a filter away" in note.inner_text()
    colour = "(e) => getComputedStyle(e).backgroundColor"
    visit.do(lambda: visit.selection.param.update(query=Query()))
    row = visit.page.locator(ROWS).first
    row.wait_for()
    for place in (row, visit.page.locator(".tabulator-header"), visit.page.locator(".tabulator-footer")):
        assert place.evaluate(colour) == "rgb(27, 31, 37)"
    site.check()


@pytest.mark.browser
def test_an_id_that_is_too_long_keeps_head_and_tail_and_a_chosen_rows_answer_is_whole(site: Site) -> None:
    visit = site(width=1280, height=800)
    visit.select(4)
    cell = visit.row(4).locator(".tabulator-cell[tabulator-field=id]")
    assert cell.locator(".hs-cut").get_attribute("title") == visit.trace.ids[4]
    answer = visit.row(4).locator(".tabulator-cell[tabulator-field=correct]")
    assert answer.evaluate("(e) => { e.textContent = 'yes'; return e.scrollWidth <= e.clientWidth }")
    # Letters of the half that is in sight, and what of them lies across the edge of their box.
    halves = """(e) => { e.style.width = "60px"
      return Array.from(e.querySelectorAll("bdi"), (half) => {
        const [box, text, range] = [half.getBoundingClientRect(), half.firstChild, document.createRange()]
        const letters = Array.from(text.data, (_, i) => {
          range.setStart(text, i)
          range.setEnd(text, i + 1)
          return range.getBoundingClientRect()
        })
        const line = letters.filter((b) => b.top < box.bottom - 4 && b.left < box.right && b.right > box.left)
        return [line.length, text.data.length, line.some((b) => b.right > box.right + 0.6)]
      }) }"""
    long = "a/very/long/path/to/some/module.py:12:Telling._name_"
    cut = cell.locator(".hs-cut").element_handle()
    cut.evaluate(f"(e) => {{ e.innerHTML = '<bdi>{long[:25]}</bdi><bdi>{long[25:]}</bdi>' }}")
    head, tail = cut.evaluate(halves)
    for shown, letters, across in (head, tail):
        assert 0 < shown < letters
        assert not across
    # The end loses its beginning to an ellipsis, and what is neither left nor right stays at its end.
    second = "(e) => { const s = getComputedStyle(e.querySelectorAll('bdi')[1]); return [s.direction, s.textOverflow] }"
    assert cut.evaluate(second) == ["rtl", "ellipsis"]
    last = """(e) => { const [half, range] = [e.querySelectorAll("bdi")[1], document.createRange()]
      range.setStart(half.firstChild, half.firstChild.length - 1)
      range.setEnd(half.firstChild, half.firstChild.length)
      return Math.abs(range.getBoundingClientRect().right - half.getBoundingClientRect().right) }"""
    assert cut.evaluate(last) < 1
    site.leave()
    site.check()


def test_columns_divide_their_room_by_what_stands_in_them() -> None:
    short = _shares(pd.Series(["a/1", "made-up/12"]), ("negative", "positive"))
    assert short == {"id": 11 / 41, "class": 10 / 41, "predicted": 10 / 41, "text": 10 / 41}
    long = _shares(pd.Series(["multiprocessing/pool.py:377:Pool.starmap_async"]), ("asyncio", "multiprocessing"))
    assert long == {"id": 20 / 56, "class": 13 / 56, "predicted": 13 / 56, "text": 10 / 56}


@pytest.mark.parametrize(
    ("name", "halves"),
    [
        ("pool.py:starmap", ["pool.py:", "starmap"]), ("a<b>", ["a&lt;", "b&gt;"]),
        ("e\u0301e\u0301", ["e\u0301", "e\u0301"]), ("ae\u0301a", ["ae\u0301", "a"]), ("aae\u0301", ["aa", "e\u0301"]),
        ("\u05d0\u05d1\u05d2", ["\u05d0\u05d1\u05d2"]),
    ],
)  # fmt: skip
def test_names_are_cut_between_letters(name: str, halves: list[str]) -> None:
    assert re.findall("<bdi>(.*?)</bdi>", cut_html(name)) == halves
