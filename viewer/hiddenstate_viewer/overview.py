"""The data set at a glance: key figures, a bar per true class, the confusion matrix."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from bokeh.core.properties import value as literal
from bokeh.events import Tap
from bokeh.models import BoxAnnotation, ColumnDataSource, FixedTicker, HoverTool, Range1d

from hiddenstate_viewer.colours import hex_of, mix, readable_text
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.theme import FONT, INK, SMALL, quiet_figure

__all__ = ["ConfusionPlot", "class_bars", "figures_html"]

#: Classes with a bar of their own, and classes with numbers in the matrix.
MOST_BARS, MOST_NUMBERS, MOST_NAMES = 12, 8, 24
_LEFT = 78


def figures_html(data: ViewData) -> str:
    """Markup of the key figures."""
    overview = data.overview
    correct, labelled = int(overview.correct.sum()), int(overview.confusion.sum())
    share = f"{100 * overview.accuracy:.1f} %" if overview.accuracy is not None else "–"
    test = f"{100 * overview.test_accuracy:.1f} %" if overview.test_accuracy is not None else "–"
    cells = (
        (f"{overview.sequences:,}", "sequences"),
        (f"{correct:,}", f"correct of {labelled:,}"),
        (share, "correct here"),
        (test, "test accuracy"),
    )
    return (
        '<div class="hs-figures">' + "".join(f"<div>{v}<small>{escape(n)}</small></div>" for v, n in cells) + "</div>"
    )


def class_bars(data: ViewData, choose: Callable[[int], None] | None = None) -> Any:
    """A bar per true class (the largest dozen): correct ones first, then errors in the predicted class's colour."""
    overview, palette = data.overview, data.palette
    order = list(range(len(overview.classes)))
    if len(order) > MOST_BARS:
        order = np.argsort(-overview.counts, kind="stable")[:MOST_BARS].tolist()
    hues = hex_of(palette.hues)
    rows: dict[str, list[Any]] = {name: [] for name in ("y", "left", "right", "colour", "alpha", "true", "as", "count")}
    for row, actual in enumerate(order):
        left = 0
        others = [c for c in np.argsort(-overview.confusion[actual], kind="stable").tolist() if c != actual]
        for predicted in [actual, *others]:
            count = int(overview.confusion[actual, predicted])
            if not count:
                continue
            values = (
                row,
                left,
                left + count,
                hues[predicted],
                1.0,
                overview.classes[actual],
                overview.classes[predicted],
                count,
            )
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
            left += count
    most = max(int(overview.counts.max(initial=0)), 1)
    plot = quiet_figure(
        height=(32 if len(order) <= 3 else 24) * len(order) + 6,
        sizing_mode="stretch_width",
        x_range=Range1d(0, most * 1.16),
        y_range=Range1d(len(order) - 0.4, -0.6),
        min_border_left=_LEFT,
        min_border_right=4,
        name="hs-class-bars",
    )
    source = ColumnDataSource(rows)
    bars = plot.hbar(
        y="y", left="left", right="right", height=0.68, color="colour", line_color="#ffffff", source=source
    )
    plot.xaxis.visible = False
    plot.yaxis.axis_line_color = None
    plot.yaxis.ticker = FixedTicker(ticks=list(range(len(order))))
    plot.yaxis.major_label_overrides = {i: short(overview.classes[c]) for i, c in enumerate(order)}
    plot.text(
        x=[int(overview.counts[c]) for c in order], y=list(range(len(order))),
        text=[f"{int(overview.counts[c]):,}" for c in order], x_offset=6, text_baseline="middle",
        text_font=literal(FONT), text_font_size=f"{SMALL}px", text_color=INK,
    )  # fmt: skip
    plot.add_tools(
        HoverTool(renderers=[bars], tooltips=_tip("@true classified as @as: <b>@count</b>"), attachment="below")
    )
    if choose is not None:

        def tapped(event: Any) -> None:
            row = round(event.y)
            if 0 <= row < len(order):
                choose(int(order[row]))

        plot.on_event(Tap, tapped)
    return plot


class ConfusionPlot:
    """True class by row, predicted class by column; a click chooses a cell.

    Parameters
    ----------
    data : ViewData
        The trace.
    choose : callable, optional
        Called with (true class, predicted class) on a click.
    """

    def __init__(self, data: ViewData, choose: Callable[[int, int], None] | None = None) -> None:
        self.data = data
        self.count = len(data.overview.classes)
        self.source = ColumnDataSource({})
        self.normalise(False)
        self.plot = self._figure()
        self.box = BoxAnnotation(
            left=-1, right=0, top=0, bottom=1, visible=False, fill_color=None, line_color=INK, line_width=2
        )
        self.plot.add_layout(self.box)
        if choose is not None:

            def tapped(event: Any) -> None:
                actual, predicted = round(event.y), round(event.x)
                if 0 <= actual < self.count and 0 <= predicted < self.count:
                    choose(actual, predicted)

            self.plot.on_event(Tap, tapped)

    def normalise(self, rows: bool) -> None:
        """Show counts, or each row's shares."""
        matrix = self.data.overview.confusion
        totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        share = matrix / totals
        weight = share if rows else matrix / max(int(matrix.max(initial=0)), 1)
        actual, predicted = np.indices(matrix.shape).reshape(2, -1)
        hues = self.data.palette.hues[predicted]
        colours = mix(np.full(3, 0xF1), hues, 0.08 * (matrix > 0).ravel() + 0.92 * weight.ravel() ** 0.5)
        shown = [f"{100 * v:.0f} %" for v in share.ravel()] if rows else [f"{v:,}" for v in matrix.ravel().tolist()]
        classes = self.data.overview.classes
        self.source.data = {
            "x": predicted, "y": actual, "colour": hex_of(colours), "ink": readable_text(colours), "text": shown,
            "count": matrix.ravel(), "share": share.ravel(),
            "true": [classes[c] for c in actual], "as": [classes[c] for c in predicted],
        }  # fmt: skip

    def mark(self, cell: tuple[int, int] | None) -> None:
        """Frame the chosen cell (-1 is the whole row or column), or none."""
        if cell is None:
            self.box.visible = False
            return
        actual, predicted = cell
        low, high = (actual - 0.5, actual + 0.5) if actual >= 0 else (-0.5, self.count - 0.5)
        left, right = (predicted - 0.5, predicted + 0.5) if predicted >= 0 else (-0.5, self.count - 0.5)
        self.box.update(left=left, right=right, bottom=low, top=high, visible=True)

    def _figure(self) -> Any:
        named = self.count <= MOST_NAMES
        plot = quiet_figure(
            max_height=min(112 * self.count, 420) + 20,
            min_height=120,
            sizing_mode="stretch_both",
            x_range=Range1d(-0.5, self.count - 0.5),
            y_range=Range1d(self.count - 0.5, -0.5),
            min_border_left=_LEFT if named else 20,
            min_border_right=4,
            x_axis_location="above",
            name="hs-confusion",
        )
        gap = 0.97 if named else 1.0
        cells = plot.rect("x", "y", gap, gap, color="colour", line_color=None, source=self.source)
        if self.count <= MOST_NUMBERS:
            plot.text(
                "x", "y", "text", source=self.source, text_align="center", text_baseline="middle",
                text_font=literal(FONT), text_font_size="12px", text_color="ink",
            )  # fmt: skip
        plot.axis.axis_line_color = None
        if named:
            names = {i: short(c, 12 if self.count <= 5 else 7) for i, c in enumerate(self.data.overview.classes)}
            for axis in plot.axis:
                axis.ticker = FixedTicker(ticks=list(range(self.count)))
                axis.major_label_overrides = names
                axis.major_label_standoff = 4
            if self.count > 5:
                plot.xaxis.major_label_orientation = 0.9
        else:
            plot.axis.visible = False
        plot.add_tools(
            HoverTool(
                renderers=[cells],
                tooltips=_tip("@true classified as @as: <b>@count</b> (@share{0.0 %} of @true)"),
                attachment="below",
            )
        )
        return plot


def _tip(text: str) -> str:
    family = FONT.replace('"', "'")
    return f'<div style="font: 12px/1.5 {family}; color: {INK}">{text}</div>'
