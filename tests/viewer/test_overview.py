"""The overview's charts: what HoloViews hands to Bokeh, and what the page then does with it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hiddenstate_viewer.classbars import MOST_BARS, ClassBars
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.confusion import MOST_NAMES, MOST_NUMBERS, ConfusionPlot
from hiddenstate_viewer.counts import Counts, stretches
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.overview import Overview
from hiddenstate_viewer.state import Selection, Stroke
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
        assert overview.bars is not None
        assert overview.bars._row.visible
        assert (overview.bars._row.top, overview.bars._row.bottom) == (0.54, 1.46)
    overview.choose(1, -1)
    assert selection.query == Query(words=("it",), correct=True)
    assert marked(overview) is None
    assert overview.bars is not None
    assert not overview.bars._row.visible
    selection.query = Query(predicted=(1,))
    assert marked(overview) == (0.5, 1.5, -0.5, count - 0.5)
    selection.query = Query(labels=(0, 1))
    assert marked(overview) is None
    selection.query = Query(labels=(-1,))
    assert marked(overview) is None


@pytest.mark.parametrize(("name", "count", "apart"), [("five", 5, 1), ("many", 90, 4)])
def test_of_many_classes_one_in_so_many_is_named_beside_its_row_and_column(
    data: Make, name: str, count: int, apart: int
) -> None:
    plot = ConfusionPlot(data(name)).plot
    for axis in (*plot.xaxis, *plot.yaxis):
        assert axis.visible
        ticks = [int(tick) for tick in axis.ticker.ticks]
        assert ticks == list(range(0, count, apart))
        assert len(ticks) <= MOST_NAMES
        assert len(axis.major_label_overrides) == len(ticks)


def test_colours_and_legend_are_those_of_the_look(data: Make) -> None:
    view = data("many")
    for look in (LIGHT, DARK):
        palette = view.colours(look)
        overview = Overview(view, Selection(view), look)
        assert overview.bars is not None
        fills = set(overview.bars.plot.renderers[0].data_source.data["fill_color"])
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


def drawn(overview: Overview) -> tuple[list[tuple[str, int]], list[str], list[int]]:
    """Stretches of the bars in the order drawn, the numbers at their ends, and the matrix's numbers."""
    assert overview.bars is not None
    assert overview.confusion is not None
    stretched, ends = (renderer.data_source.data for renderer in overview.bars.plot.renderers)
    cells = overview.confusion.plot.renderers[0].data_source.data
    return (
        list(zip(stretched["said"], np.asarray(stretched["count"]).tolist(), strict=True)),
        list(ends["count"]),
        np.asarray(cells["count"]).tolist(),
    )


@pytest.mark.parametrize("name", ["binary", "five", "many"])
def test_what_is_selected_is_counted_before_the_rest(data: Make, name: str) -> None:
    view = data(name)
    selection = Selection(view)
    overview = Overview(view, selection)
    whole = drawn(overview)
    assert "of" not in re.findall(r"<small>(.*?)</small>", overview.figures.object)[0]
    length = int(np.median(view.trace.lengths))
    selection.query = Query(length=(length, 10_000))
    rows = selection.rows
    assert rows is not None
    assert 0 < len(rows) < len(view.trace)
    labels, final = view.trace.labels, view.final
    expected = np.zeros_like(view.overview.confusion)
    for row in rows.tolist():
        if labels[row] >= 0:
            expected[labels[row], final[row]] += 1
    found, ends, cells = drawn(overview)
    assert cells == expected.ravel().tolist()
    assert overview.bars is not None
    assert ends == [f"{expected[c].sum():,}" for c in overview.bars.order]
    for label in overview.bars.order:
        name = view.trace.classes[label]
        own = [(said, count) for said, count in found if said.startswith((f"{name} classified", f"{name}, not"))]
        assert sum(count for _, count in own) == view.overview.counts[label]
        rest = int(view.overview.counts[label] - expected[label].sum())
        assert [count for said, count in own if said.endswith("not selected")] == ([rest] if rest else [])
        assert all(not said.endswith("not selected") for said, _ in own[:-1])
    assert f"<div>{len(rows):,}<small>of {len(view.trace):,} sequences</small></div>" in overview.figures.object
    selection.query = Query()
    assert drawn(overview) == whole


def test_lassos_are_followed_too_and_both_together(data: Make) -> None:
    view = data("binary")
    selection = Selection(view)
    overview = Overview(view, selection)
    points = view.coordinates("tsne")
    x0, y0 = np.quantile(points, 0.2, axis=0).tolist()
    x1, y1 = np.quantile(points, 0.4, axis=0).tolist()
    selection.add_stroke(Stroke("tsne", "replace", (x0, x1, x1, x0), (y0, y0, y1, y1)))
    rows = selection.rows
    assert rows is not None
    assert 0 < len(rows) < len(view.trace)
    known = int((view.trace.labels[rows] >= 0).sum())
    assert sum(drawn(overview)[2]) == known
    selection.query = Query(labels=(0,))
    both = selection.rows
    assert both is not None
    assert overview.figures.object.startswith(f'<div class="hs-figures"><div>{len(both):,}<small>of ')
    assert sum(drawn(overview)[2]) == known  # the matrix still says what the other class holds there
    selection.clear_strokes()
    assert sum(drawn(overview)[2]) == view.overview.confusion.sum()


def test_cells_that_the_classes_leave_out_keep_their_numbers_in_grey(data: Make) -> None:
    view = data("five")
    selection = Selection(view)
    overview = Overview(view, selection)
    assert overview.confusion is not None
    cells = overview.confusion.plot.renderers[0].data_source
    before, counts = list(cells.data["fill_color"]), drawn(overview)[2]
    overview.choose(2, 2)
    after = list(cells.data["fill_color"])
    assert drawn(overview)[2] == counts
    at = 2 * 5 + 2
    assert after[at] == before[at]
    for i, colour in enumerate(after):
        if i != at and counts[i]:
            red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
            assert max(red, green, blue) - min(red, green, blue) < 16
    assert Counts.of(selection).open.sum() == 1
    assert [s.predicted for s in stretches(Counts.of(selection), 0)] == [None]


def test_a_filter_that_finds_nothing_leaves_grey_bars_and_no_share(data: Make) -> None:
    view = data("binary")
    selection = Selection(view)
    overview = Overview(view, selection)
    selection.query = Query(words=("nowhereinit",))
    found, ends, cells = drawn(overview)
    assert all(said.endswith("not selected") for said, _ in found)
    assert set(ends) == {"0"}
    assert not any(cells)
    assert "<div>–<small>correct here</small></div>" in overview.figures.object


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
    plot = ClassBars(view).plot
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
from hiddenstate_viewer.holo import holoviews as loaded
holoviews.Store.registry["matplotlib"] = {}
assert holoviews.Store.current_backend == "matplotlib"
loaded()
assert "bokeh" in holoviews.Store.registry
assert holoviews.Store.current_backend == "matplotlib"
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("", "")
