"""The data set at a glance: key figures, a bar per true class, the confusion matrix; drawn by HoloViews."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from bokeh.core.properties import value as literal
from bokeh.events import Tap
from bokeh.models import BoxAnnotation, HoverTool

from hiddenstate_viewer.colours import hex_of, mix, readable_text
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.theme import FONT, INK, SMALL, quieten

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
    overview = data.overview
    order = list(range(len(overview.classes)))
    if len(order) > MOST_BARS:
        order = np.argsort(-overview.counts, kind="stable")[:MOST_BARS].tolist()
    most = max(int(overview.counts.max(initial=0)), 1)
    hv = _holoviews()
    bars = hv.Rectangles(_segments(data, order), ["left", "low", "right", "high"], ["colour", "true", "as", "count"])
    counts = [int(overview.counts[c]) for c in order]
    ends = hv.Labels((counts, range(len(order)), [f"{count:,}" for count in counts]), ["x", "y"], "count")
    tip = HoverTool(tooltips=_tip("@true classified as @as: <b>@count</b>"), attachment="below")
    overlay = _styled(
        bars.opts(fill_color="colour", line_color="#ffffff", tools=[tip], default_tools=[], backend="bokeh")
        * ends.opts(xoffset=0.025 * most, text_align="left", text_color=INK, **_type(SMALL)),
        {
            "height": (32 if len(order) <= 3 else 24) * len(order) + 6,
            "sizing_mode": "stretch_width",
            "min_border_left": _LEFT,
            "name": "hs-class-bars",
        },
        xlim=(0, most * 1.16),
        ylim=(-0.6, len(order) - 0.4),
        xaxis=None,
        yticks=[(i, short(overview.classes[c])) for i, c in enumerate(order)],
    )
    plot = _render(overlay)
    if choose is not None:

        def tapped(event: Any) -> None:
            row = round(event.y)
            if 0 <= row < len(order):
                choose(int(order[row]))

        plot.on_event(Tap, tapped)
    return plot


def _segments(data: ViewData, order: list[int]) -> pd.DataFrame:
    """The stretches of each bar, left to right."""
    overview, hues = data.overview, hex_of(data.palette.hues)
    rows: list[dict[str, Any]] = []
    for row, actual in enumerate(order):
        left = 0
        others = [c for c in np.argsort(-overview.confusion[actual], kind="stable").tolist() if c != actual]
        for predicted in [actual, *others]:
            count = int(overview.confusion[actual, predicted])
            if not count:
                continue
            rows.append({
                "left": left, "low": row - 0.34, "right": left + count, "high": row + 0.34, "colour": hues[predicted],
                "true": overview.classes[actual], "as": overview.classes[predicted], "count": count,
            })  # fmt: skip
            left += count
    return pd.DataFrame(rows, columns=["left", "low", "right", "high", "colour", "true", "as", "count"])


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
        self.shares = _holoviews().streams.Stream.define("Shares", rows=False)()
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
        # HoloViews draws the elements anew and hands what differs to the figure that is on the page.
        self.shares.event(rows=rows)

    def mark(self, cell: tuple[int, int] | None) -> None:
        """Frame the chosen cell (-1 is the whole row or column), or none."""
        if cell is None:
            self.box.visible = False
            return
        actual, predicted = cell
        low, high = (actual - 0.5, actual + 0.5) if actual >= 0 else (-0.5, self.count - 0.5)
        left, right = (predicted - 0.5, predicted + 0.5) if predicted >= 0 else (-0.5, self.count - 0.5)
        self.box.update(left=left, right=right, bottom=low, top=high, visible=True)

    def _cells(self, rows: bool) -> pd.DataFrame:
        matrix = self.data.overview.confusion
        totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        share = matrix / totals
        weight = share if rows else matrix / max(int(matrix.max(initial=0)), 1)
        actual, predicted = np.indices(matrix.shape).reshape(2, -1)
        hues = self.data.palette.hues[predicted]
        colours = mix(np.full(3, 0xF1), hues, 0.08 * (matrix > 0).ravel() + 0.92 * weight.ravel() ** 0.5)
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

    def _overlay(self, tip: HoverTool, rows: bool) -> Any:
        """What is drawn of counts, or of each row's shares."""
        hv, table, named = _holoviews(), self._cells(rows), self.count <= MOST_NAMES
        cells = hv.Rectangles(table, ["left", "low", "right", "high"], ["colour", "true", "as", "count", "share"])
        texts = hv.Labels(table if self.count <= MOST_NUMBERS else table[:0], ["x", "y"], ["text", "ink"])
        names = [(i, short(c, 12 if self.count <= 5 else 7)) for i, c in enumerate(self.data.overview.classes)]
        return _styled(
            cells.opts(fill_color="colour", line_color=None, tools=[tip], default_tools=[], backend="bokeh")
            * texts.opts(text_align="center", text_color="ink", **_type(12)),
            {
                "max_height": min(112 * self.count, 420) + 20,
                "min_height": 120,
                "sizing_mode": "stretch_both",
                "min_border_left": _LEFT if named else 20,
                "name": "hs-confusion",
            },
            xlim=(-0.5, self.count - 0.5),
            ylim=(-0.5, self.count - 0.5),
            xaxis="top" if named else None,
            yaxis="left" if named else None,
            xticks=names,
            yticks=names,
            xrotation=51 if self.count > 5 else 0,
        )

    def _figure(self) -> Any:
        tip = HoverTool(
            tooltips=_tip("@true classified as @as: <b>@count</b> (@share{0.0 %} of @true)"), attachment="below"
        )
        return _render(_holoviews().DynamicMap(functools.partial(self._overlay, tip), streams=[self.shares]))


def _holoviews() -> Any:
    """HoloViews with Bokeh as a backend, without the scripts that its notebook extension would put out."""
    import holoviews

    chosen = holoviews.Store.current_backend
    if "bokeh" not in holoviews.Store.registry:
        others = chosen in holoviews.Store.registry
        importlib.import_module("holoviews.plotting.bokeh")
        if others:  # a notebook's own choice, which loading another backend would change
            holoviews.Store.set_current_backend(chosen)
    return holoviews


def _styled(overlay: Any, model: dict[str, Any], **options: Any) -> Any:
    """An overlay, first row on top, without ornament; `model` holds properties of the Bokeh figure itself."""

    def finish(drawn: Any, _element: Any) -> None:
        plot = quieten(drawn.state)
        plot.update(min_border_right=4, outline_line_color=None, output_backend="canvas", **model)
        plot.axis.axis_line_color = None
        plot.axis.major_label_standoff = 4

    return overlay.opts(
        invert_yaxis=True, xlabel="", ylabel="", toolbar=None, default_tools=[], active_tools=[], show_legend=False,
        show_frame=False, responsive=True, padding=0, border=0, hooks=[finish], **options, backend="bokeh",
    )  # fmt: skip


def _render(element: Any) -> Any:
    """The Bokeh figure of an element."""
    return _holoviews().render(element, backend="bokeh")


def _type(size: int) -> dict[str, Any]:
    """Options of labels in the page's type."""
    font = {"text_font": literal(FONT), "text_font_size": f"{size}px", "text_baseline": "middle"}
    return {**font, "default_tools": [], "backend": "bokeh"}


def _tip(text: str) -> str:
    family = FONT.replace('"', "'")
    return f'<div style="font: 12px/1.5 {family}; color: {INK}">{text}</div>'
