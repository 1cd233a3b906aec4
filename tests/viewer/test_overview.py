"""The overview's charts: what HoloViews hands to Bokeh, and what the page then does with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.overview import MOST_BARS, MOST_NUMBERS, ConfusionPlot, class_bars

Make = Callable[[str], ViewData]


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
