"""Selecting, comparing and filtering in a real browser: rows, points, words, cells, bars, lassos, boxes and keys."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.viewer.browsing import DEEP, FIND, ROWS, Site, Visit, visiting

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(stores: dict[str, Path], chromium: Any) -> Iterator[Site]:
    with visiting(stores, ("binary", "trained", "deep", "five"), chromium) as site:
        yield site


@pytest.fixture
def go(site: Site) -> Iterator[Site]:
    yield site
    site.check()


@pytest.fixture
def spoilt(site: Site) -> Iterator[None]:
    """The page is loaded anew after a test that typed into it."""
    yield
    site.leave()


def lone_step(visit: Visit, steps: np.ndarray | None = None) -> int:
    """The step whose point lies farthest from any other's, so that a click or the pointer can mean it only."""
    points = visit.trace.projection("tsne").coordinates
    among = np.arange(len(points)) if steps is None else steps
    apart = np.linalg.norm(points[among][:, None] - points[None], axis=2)
    apart[np.arange(len(among)), among] = np.inf
    return int(among[apart.min(axis=1).argmax()])


def test_a_row_a_second_click_escape_and_the_button(go: Site) -> None:
    visit = go()
    for sequence in (4, 6):
        visit.select(sequence)
        words = visit.trace.sequence(sequence).words
        spans = visit.page.locator(".hs-word")
        assert spans.all_inner_texts() == [" ".join(word.split()) for word in words]
        assert visit.source("steps", "word") == list(words)
        visit.wait(f"(count) => ({FIND})('hs-heatmap').x_range.end - 0.5 === count", len(words))
        assert len(visit.column("hs-distances", "top")) == len(words)
        assert len(visit.source("segments", "x0")) == len(words) - 1
    visit.row(6).click()
    visit.words(None)
    visit.page.locator(".hs-figures").wait_for()
    visit.select(4)
    visit.page.keyboard.press("Escape")
    visit.words(None)
    visit.select(4)
    visit.page.get_by_role("button", name="Clear", exact=True).click()
    visit.words(None)
    assert visit.selection.selected == ()


def test_a_click_on_a_point_reads_its_sequence(go: Site) -> None:
    visit = go()
    step = lone_step(visit)
    x, y = visit.trace.projection("tsne").coordinates[step].tolist()
    visit.click("hs-map", x, y)
    visit.words(int(visit.trace.sequence_of_step[step]))


def test_a_click_on_a_cell_and_on_a_bar_lists_its_sequences(go: Site) -> None:
    visit = go("five")
    confusion = visit.session.data.overview.confusion
    labels, final = visit.trace.labels, visit.session.data.final

    def listed(wanted: np.ndarray) -> None:
        numbers = np.flatnonzero(wanted)
        visit.until(lambda: visit.session.table.shown.index.tolist() == numbers.tolist(), "the list")
        visit.until(lambda: visit.rows() == [visit.trace.ids[i] for i in numbers[:20].tolist()], "its rows")

    actual, predicted = (int(i) for i in np.unravel_index(confusion.argmax(), confusion.shape))
    visit.click("hs-confusion", predicted, actual)
    listed((labels == actual) & (final == predicted))
    assert (visit.selection.query.labels, visit.selection.query.predicted) == ((actual,), (predicted,))
    visit.apart()
    visit.click("hs-confusion", predicted, actual)
    listed(labels >= -1)
    most = float(confusion.sum(axis=1).max())
    visit.click("hs-class-bars", most / 50, 2)
    listed(labels == 2)
    visit.page.get_by_role("button", name="Clear all").click()
    listed(labels >= -1)


@pytest.mark.usefixtures("spoilt")
def test_up_and_down_step_in_the_order_displayed(go: Site) -> None:
    visit = go()
    press = visit.page.keyboard.press
    visit.select(4)
    press("ArrowDown")
    visit.words(5)
    press("ArrowUp")
    visit.words(4)
    visit.page.locator(".hs-table .tabulator-col[tabulator-field=confidence]").click()
    table = visit.session.table
    visit.until(lambda: table.widget.sorters and table.widget.sorters[0]["field"] == "confidence", "the order")
    confidence = np.round(100 * visit.trace.final_probabilities.max(axis=1), 1)
    visit.until(lambda: (np.diff(confidence[table.shown.index]) >= 0).all(), "the order")
    order = table.shown.index.tolist()
    at = order.index(4)
    press("ArrowDown")
    visit.words(order[at + 1])
    press("ArrowUp")
    press("ArrowUp")
    visit.words(order[at - 1])
    # Filtered as well; the keys go to the table again once the field is left.
    field = visit.page.locator(".hs-table .tabulator-col[tabulator-field=class] input")
    field.fill("pos")
    field.press("Enter")
    kept = [i for i in order if visit.trace.labels[i] == 1]
    visit.until(lambda: table.shown.index.tolist() == kept, "the filter")
    visit.page.locator(".hs-id").click()
    visit.do(lambda: visit.selection.select(kept[0]))
    visit.words(kept[0])
    for wanted in (kept[1], kept[2]):
        press("ArrowDown")
        visit.words(wanted)
    press("ArrowUp")
    visit.words(kept[1])


def test_the_table_turns_its_page_along(go: Site) -> None:
    visit = go()
    rows = visit.session.table.widget.page_rows
    visit.select(rows - 1)
    visit.page.keyboard.press("ArrowDown")
    visit.words(rows)
    visit.row(rows).wait_for()
    assert visit.session.table.widget.page == 2


@pytest.mark.usefixtures("spoilt")
@pytest.mark.parametrize("key", ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Space"])
def test_widgets_keep_their_keys(go: Site, key: str) -> None:
    visit = go()
    visit.select(4)
    visit.page.get_by_role("button", name="Options").click()
    handle = visit.page.locator(".noUi-handle").first
    handle.wait_for()
    before = visit.selection.options.distance_threshold
    handle.focus()
    visit.page.keyboard.press(key)
    if key != "Space":
        by = 1 if key in ("ArrowUp", "ArrowRight") else -1
        visit.until(lambda: visit.selection.options.distance_threshold == before + by, "the slider's step")
    widgets = [
        visit.page.locator(".hs-table .tabulator-col[tabulator-field=id] input"),
        visit.page.get_by_role("combobox", name="Search sequences"),
        visit.page.get_by_role("checkbox", name="thicker with time"),
    ]
    if key != "Space":  # which opens a list that the browser draws outside the page
        widgets.append(visit.page.get_by_label("colour"))
    for widget in widgets:
        widget.focus()
        visit.page.keyboard.press(key)
    visit.sync()
    assert visit.marked()["held"] == -1
    assert not visit.marked()["playing"]
    assert visit.selection.sequence == 4


def drag(visit: Visit, corners: list[tuple[float, float]], *held: str) -> None:
    """Draw through corners of the map, in its coordinates, with keys held."""
    spots = [visit.spot("hs-map", *corner) for corner in corners]
    mouse, keyboard = visit.page.mouse, visit.page.keyboard
    for key in held:
        keyboard.down(key)
    mouse.move(*spots[0])
    mouse.down()
    for spot in spots[1:]:
        mouse.move(*spot, steps=6)
    mouse.up()
    for key in held:
        keyboard.up(key)


def test_box_and_lasso_select_add_and_take_away(go: Site) -> None:
    visit = go()
    points = visit.trace.projection("tsne").coordinates
    low, middle, high = (np.quantile(points, q, axis=0).tolist() for q in (0.1, 0.5, 0.9))
    selection, table = visit.selection, visit.session.table

    def inside(a: list[float], b: list[float]) -> np.ndarray:
        return np.asarray(((points > np.minimum(a, b)) & (points < np.maximum(a, b))).all(axis=1))

    def follows(expected: np.ndarray) -> None:
        # A drag ends on whole pixels: a point at the very edge may fall on either side.
        visit.until(
            lambda: selection.steps_mask is not None and (selection.steps_mask != expected).mean() < 0.01, "the states"
        )
        assert selection.rows is not None
        shown = np.unique(visit.trace.sequence_of_step[selection.steps_mask])
        assert selection.rows.tolist() == shown.tolist()
        visit.until(lambda: sorted(table.shown.index.tolist()) == shown.tolist(), "the table")
        told = f"{len(shown)} of {len(visit.trace)}" if len(shown) < len(visit.trace) else str(len(visit.trace))
        visit.page.get_by_text(f"Sequences{told}", exact=False).first.wait_for()
        visit.drawn()

    visit.page.get_by_role("button", name="Box", exact=True).click()
    drag(visit, [tuple(low), tuple(middle)])
    follows(inside(low, middle))
    drag(visit, [tuple(middle), tuple(high)], "Shift")
    follows(inside(low, middle) | inside(middle, high))
    assert [stroke.mode for stroke in selection.strokes] == ["replace", "add"]
    visit.page.get_by_role("button", name="Lasso", exact=True).click()
    a, b = (np.quantile(points, q, axis=0).tolist() for q in (0.3, 0.45))
    around = [(a[0], a[1]), (b[0], a[1]), (b[0], b[1]), (a[0], b[1]), (a[0], a[1])]
    drag(visit, around, "Control")
    follows((inside(low, middle) | inside(middle, high)) & ~inside(a, b))
    drag(visit, around)
    follows(inside(a, b))
    assert len(selection.strokes) == 1
    count = int(selection.steps_mask.sum())
    visit.until(lambda: (np.asarray(visit.column("hs-map", "alpha", 1)) > 0.5).sum() == count, "the rest in grey")
    visit.page.keyboard.press("Escape")
    visit.until(lambda: selection.strokes == () and selection.steps_mask is None, "the end of it")
    # The chips of the filter are gone, and the room for rows is another.
    visit.until(lambda: visit.rows() == table.shown["id"].tolist()[: table.widget.page_rows], "all rows")
    assert len(table.shown) == len(visit.trace)
    visit.page.get_by_role("button", name="Pan", exact=True).click()


def numbers_drawn(visit: Visit) -> list[str]:
    """Numbers at the ends of the trajectories that are drawn beside the one that is read."""
    script = f"""() => Array.from(({FIND})('hs-map').renderers.map((r) => r.data_source.data)
      .find((data) => 'number' in data && 'text' in data).text)"""
    found: list[str] = visit.page.evaluate(script)
    return found


def test_sequences_are_compared_from_the_table_and_from_the_map(go: Site) -> None:
    visit = go()
    visit.select(4)
    for sequence in (6, 9):
        visit.row(sequence).click(modifiers=["Control"])
        visit.until(functools.partial(lambda one: one in visit.selection.compared, sequence), "the comparison")
    assert visit.selection.sequence == 4
    visit.wait(f"() => ({DEEP})('.hs-compared')?.textContent === '1made-up/62made-up/9'")
    visit.until(lambda: numbers_drawn(visit) == ["1", "2"], "two more trajectories")
    assert visit.page.locator(f"{ROWS}:has(.hs-read, .hs-compared)").count() == 3
    visit.row(6).click(modifiers=["Control"])
    visit.until(lambda: visit.selection.compared == (9,), "one less")
    # In the map, away from what is drawn already.
    trace = visit.trace
    free = np.flatnonzero(~np.isin(trace.sequence_of_step, [4, 9]))
    step = lone_step(visit, free)
    x, y = trace.projection("tsne").coordinates[step].tolist()
    other = int(trace.sequence_of_step[step])
    visit.click("hs-map", x, y, "Shift")
    visit.until(lambda: visit.selection.compared == (9, other), "the point's sequence")
    assert visit.selection.sequence == 4
    visit.until(lambda: numbers_drawn(visit) == ["1", "2"], "its trajectory")
    visit.apart()
    visit.click("hs-map", x, y, "Control")
    visit.until(lambda: visit.selection.compared == (9,), "one less")
    visit.page.keyboard.press("Escape")
    visit.until(lambda: visit.selection.selected == (), "nothing selected")
    visit.until(lambda: numbers_drawn(visit) == [], "nothing drawn")


def test_no_more_than_a_dozen_are_compared_and_the_page_says_so(go: Site) -> None:
    visit = go()
    visit.do(lambda: visit.selection.choose(range(2, 15)))
    visit.words(2)
    visit.until(lambda: len(numbers_drawn(visit)) == 12, "twelve trajectories")
    visit.row(16).click(modifiers=["Control"])
    visit.page.get_by_role("status").filter(has_text="12 sequences are compared already").wait_for()
    assert len(visit.selection.compared) == 12


def test_the_mean_path_of_a_class_is_drawn(go: Site) -> None:
    visit = go("five")
    visit.page.get_by_role("button", name="Options").click()
    for number in (1, 3):
        visit.page.get_by_role("checkbox", name=f"class {number}").check()
    visit.until(lambda: visit.selection.flows == (1, 3), "the choice")
    script = f"""() => {{
      const flow = ({FIND})('hs-map').renderers.find((r) => r.glyph.type === 'MultiLine').data_source.data
      return [flow.name, flow.xs, flow.ys].map((c) => Array.from(c, (v) => typeof v === 'string' ? v : Array.from(v)))
    }}"""
    visit.until(lambda: set(visit.page.evaluate(script)[0]) == {"class 1", "class 3"}, "two paths")
    names, xs, ys = visit.page.evaluate(script)
    flow = visit.session.data.flow("tsne", 1)
    there = np.flatnonzero(np.isfinite(flow.places).all(axis=1))
    count = names.count("class 1")
    assert count == len(there) - 1
    assert np.allclose(np.array(xs[:count]), np.column_stack([flow.places[there[:-1], 0], flow.places[there[1:], 0]]))
    assert np.allclose(np.array(ys[:count]), np.column_stack([flow.places[there[:-1], 1], flow.places[there[1:], 1]]))
    visit.page.get_by_role("checkbox", name="class 1").uncheck()
    visit.until(lambda: set(visit.page.evaluate(script)[0]) == {"class 3"}, "one path")
    visit.page.keyboard.press("Escape")  # what lies over the page goes first
    visit.page.get_by_role("checkbox", name="class 3").wait_for(state="hidden")
    assert visit.selection.flows == (3,)
    visit.page.keyboard.press("Escape")
    visit.until(lambda: visit.page.evaluate(script)[0] == [], "no path")


def test_panels_over_the_page_close_before_the_selection_is_cleared(go: Site) -> None:
    visit = go("five")
    visit.select(4)
    page, bar = visit.page, visit.session._bar
    page.get_by_role("button", name="Filter").click()
    field = page.get_by_label("id contains", exact=True)
    field.wait_for()
    page.get_by_role("button", name="Options").click()
    page.locator(".noUi-handle").first.wait_for()
    page.get_by_role("button", name="Export").click()
    page.get_by_role("button", name="Save").wait_for()
    page.locator(".noUi-handle").first.wait_for(state="hidden")  # it lay where the other one lies
    field.focus()
    page.keyboard.press("Escape")
    for panel in (field, page.get_by_role("button", name="Save")):
        panel.wait_for(state="hidden")
    assert not bar.options.visible
    assert visit.selection.sequence == 4
    page.keyboard.press("Escape")
    visit.words(None)


def test_two_maps_have_one_selection(go: Site) -> None:
    visit = go("deep")
    visit.select(5)
    visit.page.get_by_label("beside").select_option("pca")
    visit.drawn("hs-map-beside")
    start, stop = visit.trace.sequence(5).start, visit.trace.sequence(5).stop
    for number, name in enumerate(("tsne", "pca")):
        places = visit.trace.projection(name).coordinates[start:stop]
        assert np.allclose(visit.source("steps", "x", number), places[:, 0])
        assert len(visit.source("segments", "x0", number)) == stop - start - 1
    free = np.flatnonzero(visit.trace.sequence_of_step != 5)
    step = lone_step(visit, free)
    visit.click("hs-map-beside", *visit.trace.projection("pca").coordinates[step].tolist())
    other = visit.trace.sequence(int(visit.trace.sequence_of_step[step]))
    visit.words(int(visit.trace.sequence_of_step[step]))
    for number, name in enumerate(("tsne", "pca")):
        places = visit.trace.projection(name).coordinates[other.start : other.stop, 0].tolist()
        visit.until(
            functools.partial(lambda n, p: visit.source("steps", "x", n) == pytest.approx(p), number, places), "both"
        )
    # The cursor is in both.
    visit.page.locator('.hs-word[data-step="0"]').hover()
    visit.wait("() => window.hiddenstate.marked().step === 0")
    assert visit.marked()["points"][0] == visit.marked()["points"][1]
    visit.page.get_by_label("beside").select_option(index=0)
    visit.until(lambda: visit.selection.beside is None, "one map")
    visit.page.locator(".hs-map-tools").nth(1).wait_for(state="hidden")
