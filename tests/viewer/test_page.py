"""The page in a real browser: a click changes every view, hovering links them, nothing complains."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hiddenstate_viewer import projection
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.serve import ViewerServer, start

from hiddenstate_core.traces import Trace

pytestmark = pytest.mark.browser

ROWS = ".hs-table .tabulator-row"
#: A model of the page, by name; its data by column.
FIND = "(name) => Bokeh.documents.map((d) => d.get_model_by_name(name)).find((m) => m)"
BARS = f"() => ({FIND})('hs-distances').renderers[0].data_source.data"
COLUMNS = f"() => ({FIND})('hs-heatmap').x_range.end - 0.5"
WORDS = "() => Array.from(window.hiddenstate.pages.values().next().value.steps.data.word ?? [])"
SEGMENTS = f"() => ({FIND})('hs-map').renderers[2].data_source.data.x0?.length ?? 0"
SHOWN = "(count) => Array.from(window.hiddenstate.pages.values().next().value.steps.data.word ?? []).length === count"


@pytest.fixture(scope="module")
def server(stores: dict[str, Path]) -> Iterator[ViewerServer]:
    with start(stores["binary"]) as running:
        yield running


@pytest.fixture
def trace(stores: dict[str, Path]) -> Trace:
    return Trace(stores["binary"])


@pytest.fixture
def tab(open_tab: Callable[..., Any], server: ViewerServer) -> Iterator[Any]:
    opened = open_tab(server.address)
    opened.page.locator(ROWS).first.wait_for()
    opened.wait("() => window.hiddenstate?.pages.size === 1")
    yield opened
    assert opened.complaints == []
    assert opened.strangers == []


def click_row(tab: Any, trace: Trace, sequence: int) -> None:
    tab.page.locator(ROWS).nth(sequence).click()
    tab.wait(SHOWN, len(trace.sequence(sequence)))


def middle(tab: Any, name: str, x: float, y: float) -> tuple[float, float]:
    """Pixels on the screen of a place in a chart's own coordinates."""
    script = f"""([name, x, y]) => {{
      const model = ({FIND})(name)
      const view = Bokeh.index.find_one(model)
      const box = view.canvas_view.el.getBoundingClientRect()
      return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]
    }}"""
    at = tab.page.evaluate(script, [name, x, y])
    return float(at[0]), float(at[1])


def test_nothing_selected_shows_the_data_set(tab: Any, trace: Trace) -> None:
    assert tab.page.locator(".hs-figures").is_visible()
    assert tab.page.locator(".hs-figures").inner_text().startswith(f"{len(trace)}")
    assert not tab.page.locator(".hs-words").is_visible()
    size = tab.page.evaluate("() => [document.documentElement.scrollHeight, document.documentElement.scrollWidth]")
    assert size == [900, 1440]


def test_click_on_a_row_changes_words_heatmap_bars_and_trajectory(tab: Any, trace: Trace) -> None:
    for sequence in (4, 6):
        click_row(tab, trace, sequence)
        words = trace.sequence(sequence).words
        tab.wait(f"(count) => ({COLUMNS})() === count", len(words))
        tab.wait(f"(words) => JSON.stringify(({WORDS})()) === JSON.stringify(words)", words)
        # Each view is drawn when its own message comes.
        spans = tab.page.locator(".hs-word")
        importlib.import_module("playwright.sync_api").expect(spans).to_have_count(len(words))
        assert spans.all_inner_texts() == [" ".join(word.split()) for word in words]
        tab.wait(f"(count) => Array.from(({BARS})().top).length === count", len(words))
        tab.wait(f"(count) => ({SEGMENTS})() === count", len(words) - 1)


def test_second_click_escape_and_button_deselect(tab: Any, trace: Trace) -> None:
    click_row(tab, trace, 4)
    tab.page.keyboard.press("Escape")
    tab.wait(SHOWN, 0)
    tab.page.locator(".hs-figures").wait_for()
    click_row(tab, trace, 4)
    tab.page.get_by_text("Clear selection").click()
    tab.wait(SHOWN, 0)
    click_row(tab, trace, 4)
    tab.page.locator(ROWS).nth(4).click()
    tab.wait(SHOWN, 0)


def test_arrows_step_through_the_table(tab: Any, trace: Trace) -> None:
    click_row(tab, trace, 4)
    tab.page.keyboard.press("ArrowDown")
    tab.wait(SHOWN, len(trace.sequence(5)))
    tab.page.keyboard.press("ArrowUp")
    tab.wait(SHOWN, len(trace.sequence(4)))


def test_hovering_links_all_views(tab: Any, trace: Trace) -> None:
    click_row(tab, trace, 4)
    points = trace.projection("tsne").coordinates[trace.sequence(4).start :]
    page = tab.page

    def linked(step: int) -> None:
        tab.wait("(step) => window.hiddenstate.marked().step === step", step)
        marked = tab.marked()
        assert marked["word"] == str(step)
        assert marked["boxes"] == [step, step]
        assert np.allclose(marked["point"], points[step])

    page.locator(".hs-word").nth(3).hover()
    linked(3)
    assert "4" in page.locator(".hs-readout").inner_text()
    page.mouse.move(*middle(tab, "hs-heatmap", 6, 1.0))
    linked(5)
    page.mouse.move(*middle(tab, "hs-distances", 8, 0.02))
    linked(7)
    # The point of a step that no other step of the sequence lies near.
    way = points[: len(trace.sequence(4))]
    apart = np.linalg.norm(way[:, None] - way[None], axis=2) + 1e9 * np.eye(len(way))
    lone = int(apart.min(axis=1).argmax())
    page.mouse.move(*middle(tab, "hs-map", *way[lone].tolist()))
    linked(lone)
    page.mouse.move(2, 2)
    tab.wait("() => window.hiddenstate.marked().step === -1")
    assert tab.marked()["boxes"] == [None, None]


def test_click_on_a_point_selects_its_sequence(tab: Any, trace: Trace) -> None:
    points = trace.projection("tsne").coordinates
    far = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())
    tab.page.mouse.click(*middle(tab, "hs-map", *points[far].tolist()))
    tab.wait(SHOWN, len(trace.sequence(int(trace.sequence_of_step[far]))))


def test_matrix_cell_filters_the_table_and_show_all_ends_it(tab: Any, trace: Trace) -> None:
    confusion = ViewData(trace).overview.confusion
    actual, predicted = (int(v) for v in np.unravel_index(confusion.argmin(), confusion.shape))
    tab.page.mouse.click(*middle(tab, "hs-confusion", predicted, actual))
    tab.page.get_by_text("Show all").wait_for()
    shown = min(int(confusion[actual, predicted]), 20)
    tab.page.locator(ROWS).nth(shown).wait_for(state="detached")
    assert tab.page.locator(ROWS).count() == shown
    tab.page.get_by_text("Show all").click()
    tab.page.locator(ROWS).nth(shown).wait_for()


def test_shares_take_the_place_of_counts(tab: Any) -> None:
    first = f"() => Array.from(({FIND})('hs-confusion').renderers[1].data_source.data.text)[0]"
    count = tab.page.evaluate(first)
    tab.page.locator("input[type=checkbox]").click()
    tab.wait(f"() => ({first})().endsWith(' %')")
    tab.page.locator("input[type=checkbox]").click()
    tab.wait(f"(count) => ({first})() === count", count)


@pytest.mark.parametrize("name", ["five", "many", "bare", "deep"])
def test_every_kind_of_trace_opens(
    stores: dict[str, Path], open_tab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(projection, "ALL_POINTS", 100)
    monkeypatch.setattr(projection, "NEAR_POINTS", 50)
    trace = Trace(stores[name])
    with start(stores[name]) as running:
        tab = open_tab(running.address)
        tab.page.locator(ROWS).first.wait_for()
        if trace.projections:
            tab.wait(
                f"() => {{ const m = ({FIND})('hs-map'); return m.renderers[0].data_source.data.image.length === 1 }}"
            )
        else:
            assert "hiddenstate project" in tab.page.locator(".hs-empty").inner_text()
        tab.page.locator(ROWS).nth(5).click()
        tab.page.locator(".hs-word").nth(len(trace.sequence(5)) - 1).wait_for()
        assert tab.complaints == []
        assert tab.strangers == []
