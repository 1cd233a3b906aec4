"""The overview's charts: what HoloViews hands to Bokeh, and what the page then does with it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.overview import MOST_BARS, MOST_NUMBERS, ConfusionPlot, Overview, class_bars
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import DARK, LIGHT

from hiddenstate_core.analysis import Query

Make = Callable[[str], ViewData]


def marked(overview: Overview) -> tuple[float, ...] | None:
    """The frame in the matrix: left, right, top, bottom."""
    assert overview.confusion is not None
    box = overview.confusion.box
    return (box.left, box.right, box.bottom, box.top) if box.visible else None


@pytest.mark.parametrize(("name", "count"), [("binary", 2), ("five", 5), ("many", 90)])
def test_bars_and_cells_filter_and_the_frame_follows_the_query(data: Make, name: str, count: int) -> None:
    selection = Selection(data(name), query=Query(words=("it",), correct=True))
    overview = Overview(selection.data, selection)
    overview.choose(1, 0)
    assert selection.query == Query(words=("it",), correct=True, labels=(1,), predicted=(0,))
    assert marked(overview) == (-0.5, 0.5, 0.5, 1.5)
    overview.choose(1, -1)
    assert selection.query == Query(words=("it",), correct=True, labels=(1,))
    assert marked(overview) == (-0.5, count - 0.5, 0.5, 1.5)
    if name != "many":
        assert overview._row.visible
        assert (overview._row.top, overview._row.bottom) == (0.54, 1.46)
    overview.choose(1, -1)
    assert selection.query == Query(words=("it",), correct=True)
    assert marked(overview) is None
    assert not overview._row.visible
    selection.query = Query(predicted=(1,))
    assert marked(overview) == (0.5, 1.5, -0.5, count - 0.5)
    selection.query = Query(labels=(0, 1))
    assert marked(overview) is None
    selection.query = Query(labels=(-1,))
    assert marked(overview) is None


def test_colours_and_legend_are_those_of_the_look(data: Make) -> None:
    view = data("many")
    for look in (LIGHT, DARK):
        palette = view.colours(look)
        overview = Overview(view, Selection(view), look)
        fills = set(overview.bars.renderers[0].data_source.data["fill_color"])
        assert fills <= set(hex_of(palette.hues))
        legend = next(pane.object for pane in overview.view if "hs-legend" in str(getattr(pane, "object", "")))
        assert fills == set(re.findall(r"background:(#[0-9a-f]{6})", legend))
        assert "the 12 largest of 90 classes" in legend
        assert overview.confusion is not None
        assert overview.confusion.box.line_color == look.ink


def test_shares_are_shown_on_demand(data: Make) -> None:
    view = data("five")
    overview = Overview(view, Selection(view))
    assert overview.confusion is not None
    texts = overview.confusion.plot.renderers[1].data_source
    overview.shares.value = True
    assert all(text.endswith(" %") for text in texts.data["text"])
    overview.shares.value = False
    assert [int(text.replace(",", "")) for text in texts.data["text"]] == view.overview.confusion.ravel().tolist()


def test_nothing_labelled_has_figures_but_no_charts(data: Make) -> None:
    view = data("unlabelled")
    overview = Overview(view, Selection(view))
    assert overview.bars is None
    assert overview.confusion is None
    overview.selection.query = Query(predicted=(1,))
    assert len(overview.view) == 2


@pytest.mark.parametrize("name", ["binary", "five", "many"])
def test_bars_stack_each_class_s_row_of_the_matrix(data: Make, name: str) -> None:
    view = data(name)
    plot = class_bars(view)
    confusion = view.overview.confusion
    columns = plot.renderers[0].data_source.data
    rows = np.round((np.asarray(columns["bottom"]) + np.asarray(columns["top"])) / 2).astype(int)
    widths = np.asarray(columns["right"]) - np.asarray(columns["left"])
    assert (widths == np.asarray(columns["count"])).all()
    totals = np.bincount(rows, widths, minlength=min(len(confusion), MOST_BARS))
    expected = confusion.sum(axis=1)
    assert totals.tolist() == (np.sort(expected)[::-1][:MOST_BARS] if len(expected) > MOST_BARS else expected).tolist()
    assert plot.y_range.start > plot.y_range.end
    assert [type(tool).__name__ for tool in plot.tools] == ["HoverTool"]
    assert plot.tools[0].renderers == plot.renderers[:1]


@pytest.mark.parametrize("name", ["binary", "five", "many"])
def test_matrix_shows_counts_or_shares_in_the_same_figure(data: Make, name: str) -> None:
    view = data(name)
    confusion = view.overview.confusion
    drawn = ConfusionPlot(view)
    cells, texts = drawn.plot.renderers
    before = list(cells.data_source.data["fill_color"])
    assert np.asarray(cells.data_source.data["count"]).tolist() == confusion.ravel().tolist()
    counts = [f"{count:,}" for count in confusion.ravel().tolist()] if len(confusion) <= MOST_NUMBERS else []
    assert list(texts.data_source.data["text"]) == counts
    frame = drawn.plot.properties_with_values(include_defaults=False)
    drawn.normalise(True)
    assert drawn.plot.renderers == [cells, texts]
    assert list(cells.data_source.data["fill_color"]) != before
    assert all(text.endswith(" %") for text in texts.data_source.data["text"])
    drawn.normalise(False)
    assert list(cells.data_source.data["fill_color"]) == before
    assert list(texts.data_source.data["text"]) == counts
    after = drawn.plot.properties_with_values(include_defaults=False)
    assert {k: frame[k] for k in ("height", "sizing_mode", "max_height", "name")} == {
        k: after[k] for k in ("height", "sizing_mode", "max_height", "name")
    }


def test_drawing_prints_nothing_and_leaves_a_notebook_s_backend_alone() -> None:
    code = """
import holoviews
from hiddenstate_viewer.overview import _holoviews
holoviews.Store.registry["matplotlib"] = {}
assert holoviews.Store.current_backend == "matplotlib"
_holoviews()
assert "bokeh" in holoviews.Store.registry
assert holoviews.Store.current_backend == "matplotlib"
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("", "")
