"""The confusion matrix: true class by row, predicted class by column; what the filter's classes leave out is grey."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from bokeh.events import Tap
from bokeh.models import HoverTool
from numpy.typing import NDArray

from hiddenstate_viewer.classbars import LEFT, MOST_BARS
from hiddenstate_viewer.colours import Palette, hex_of, mix, readable_text
from hiddenstate_viewer.counts import Counts
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import neutral
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.holo import frame, holoviews, lettering, render, styled, tip
from hiddenstate_viewer.theme import LIGHT, Look

__all__ = ["LEAST", "MOST_NAMES", "MOST_NUMBERS", "ConfusionPlot", "cell_colours", "named_classes"]

#: Classes with numbers in the matrix, and with names beside it; of more, one in so many is named.
MOST_NUMBERS, MOST_NAMES = 8, 24
#: Pixels of a matrix: at least in all; of a row with a name beside it, and of the names above.
LEAST, _ROW, _TOP = 120, 13, 72


class ConfusionPlot:
    """True class by row, predicted class by column; a click chooses a cell.

    Parameters
    ----------
    data : ViewData
        The trace.
    choose : callable, optional
        Called with (true class, predicted class) on a click.
    look : Look
        Light or dark.
    """

    def __init__(self, data: ViewData, choose: Callable[[int, int], None] | None = None, look: Look = LIGHT) -> None:
        self.data, self.look, self.palette = data, look, data.colours(look)
        self.count = len(data.overview.classes)
        self._shown = holoviews().streams.Stream.define("Shown", rows=False, counts=Counts.all(data))()
        self.plot = self._figure()
        self.box = frame(look, left=-1, right=0)
        self.plot.add_layout(self.box)
        if choose is not None:

            def tapped(event: Any) -> None:
                actual, predicted = round(event.y), round(event.x)
                if 0 <= actual < self.count and 0 <= predicted < self.count:
                    choose(actual, predicted)

            self.plot.on_event(Tap, tapped)

    def normalise(self, rows: bool) -> None:
        """Show counts, or each row's shares."""
        # HoloViews draws the elements anew and hands what differs to the figure that is on the page.
        self._shown.event(rows=rows)

    def show(self, counts: Counts) -> None:
        """Draw other counts in the same figure."""
        self._shown.event(counts=counts)

    def mark(self, cell: tuple[int, int] | None) -> None:
        """Frame the chosen cell (-1 is the whole row or column), or none."""
        if cell is None:
            self.box.visible = False
            return
        actual, predicted = cell
        low, high = (actual - 0.5, actual + 0.5) if actual >= 0 else (-0.5, self.count - 0.5)
        left, right = (predicted - 0.5, predicted + 0.5) if predicted >= 0 else (-0.5, self.count - 0.5)
        self.box.update(left=left, right=right, bottom=low, top=high, visible=True)

    def _cells(self, rows: bool, counts: Counts) -> pd.DataFrame:
        matrix = counts.crossed
        totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        share = matrix / totals
        weight = share if rows else matrix / max(int(matrix.max(initial=0)), 1)
        actual, predicted = np.indices(matrix.shape).reshape(2, -1)
        colours = cell_colours(counts, self.palette, self.look, weight)
        shown = [f"{100 * v:.0f} %" for v in share.ravel()] if rows else [f"{v:,}" for v in matrix.ravel().tolist()]
        classes = self.data.overview.classes
        # Cells of few classes stand apart; gaps between many would be most of what is seen.
        half = 0.485 if self.count <= MOST_NAMES else 0.5
        return pd.DataFrame({
            "x": predicted, "y": actual, "left": predicted - half, "right": predicted + half,
            "low": actual - half, "high": actual + half, "colour": hex_of(colours), "ink": readable_text(colours),
            "text": shown, "count": matrix.ravel(), "share": share.ravel(),
            "true": [classes[c] for c in actual], "as": [classes[c] for c in predicted],
        })  # fmt: skip

    def _overlay(self, tool: HoverTool, rows: bool, counts: Counts) -> Any:
        """What is drawn of counts, or of each row's shares."""
        hv, table = holoviews(), self._cells(rows, counts)
        cells = hv.Rectangles(table, ["left", "low", "right", "high"], ["colour", "true", "as", "count", "share"])
        texts = hv.Labels(table if self.count <= MOST_NUMBERS else table[:0], ["x", "y"], ["text", "ink"])
        classes = self.data.overview.classes
        named = [(i, classes[i]) for i in named_classes(self.count)]
        least = max(LEAST, _ROW * len(named) + _TOP)
        return styled(
            cells.opts(fill_color="colour", line_color=None, tools=[tool], default_tools=[], backend="bokeh")
            * texts.opts(text_align="center", text_color="ink", **lettering(12)),
            self.look,
            {
                "max_height": max(min(112 * self.count, 420) + 20, least),
                "min_height": least,
                "sizing_mode": "stretch_both",
                "min_border_left": LEFT,
                "min_border_right": 26 if self.count > MOST_BARS else 4,  # the last name leans over it
                "name": "hs-confusion",
            },
            xlim=(-0.5, self.count - 0.5),
            ylim=(-0.5, self.count - 0.5),
            xaxis="top",
            yaxis="left",
            xticks=[(i, short(c, 12 if self.count <= 5 else 9)) for i, c in named],
            yticks=[(i, short(c)) for i, c in named],
            xrotation=51 if self.count > 5 else 0,
        )

    def _figure(self) -> Any:
        tool = HoverTool(
            tooltips=tip("@true classified as @as: <b>@count</b> (@share{0.0 %} of @true)"),
            attachment="below",
        )
        return render(holoviews().DynamicMap(functools.partial(self._overlay, tool), streams=[self._shown]))


def named_classes(count: int) -> range:
    """Classes of so many that have their names beside the matrix: all, or every second, third, ..."""
    return range(0, count, max(1, -(-count // MOST_NAMES)))


def cell_colours(counts: Counts, palette: Palette, look: Look, weight: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of the matrix's cells, (C * C, 3): the predicted class's by weight (C, C), grey where not selected."""
    predicted, left = np.indices(weight.shape)[1].ravel(), counts.open.ravel()
    strength = 0.08 * (counts.crossed > 0).ravel() + 0.92 * weight.ravel() ** 0.5
    hues = np.where(left[:, None], palette.hues[predicted], neutral(look))
    return mix(np.array(_ground(look)), hues, np.where(left, strength, 0.4 * strength))


def _ground(look: Look) -> tuple[int, int, int]:
    """Colour of a cell without any sequence: the one that stands out least from the card."""
    red, green, blue = (int(look.hover[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue
