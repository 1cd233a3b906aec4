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
from hiddenstate_viewer.controls import CONTROL_CSS, html
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import FONT, LIGHT, SMALL, Look, quieten

__all__ = ["ConfusionPlot", "Overview", "class_bars", "figures_html"]

#: Classes with a bar of their own, and classes with numbers in the matrix.
MOST_BARS, MOST_NUMBERS, MOST_NAMES = 12, 8, 24
_LEFT = 78
#: Pixels of a matrix: at least in all; of a row with a name beside it, and of the names above.
_LEAST, _ROW, _TOP = 120, 13, 72
#: Pixels of all else in the view but the bars.
_REST = 230


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


def class_bars(data: ViewData, choose: Callable[[int], None] | None = None, look: Look = LIGHT) -> Any:
    """A bar per true class (the largest dozen): correct ones first, then errors in the predicted class's colour.

    `choose` is called with the true class on a click on its row.
    """
    overview, order = data.overview, _bar_order(data)
    most = max(int(overview.counts.max(initial=0)), 1)
    hv = _holoviews()
    bars = hv.Rectangles(
        _segments(data, order, look), ["left", "low", "right", "high"], ["colour", "true", "as", "count"]
    )
    counts = [int(overview.counts[c]) for c in order]
    ends = hv.Labels((counts, range(len(order)), [f"{count:,}" for count in counts]), ["x", "y"], "count")
    tip = HoverTool(tooltips=_tip("@true classified as @as: <b>@count</b>"), attachment="below")
    overlay = _styled(
        bars.opts(fill_color="colour", line_color=look.card, tools=[tip], default_tools=[], backend="bokeh")
        * ends.opts(xoffset=0.025 * most, text_align="left", text_color=look.ink, **_type(SMALL)),
        look,
        {
            "height": (32 if len(order) <= 3 else 24) * len(order) + 6,
            "sizing_mode": "stretch_width",
            "min_border_left": _LEFT,
            "name": "hs-class-bars",
        },
        xlim=(0, most * 1.3),
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


def _bar_order(data: ViewData) -> list[int]:
    """Classes that have a bar, from the top."""
    overview = data.overview
    if len(overview.classes) <= MOST_BARS:
        return list(range(len(overview.classes)))
    return [int(c) for c in np.argsort(-overview.counts, kind="stable")[:MOST_BARS]]


def _segments(data: ViewData, order: list[int], look: Look = LIGHT) -> pd.DataFrame:
    """The stretches of each bar, left to right."""
    overview, hues = data.overview, hex_of(data.colours(look).hues)
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


class Overview:
    """The data set at a glance; bars and cells filter by class and prediction, a second click takes that away.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What it follows and drives.
    look : Look
        Light or dark.

    Attributes
    ----------
    view : panel.viewable.Viewable
        Key figures, bars and matrix, each a child of its own.
    bars, confusion : bokeh.plotting.figure, ConfusionPlot
        None where the trace has no predictions.
    room : int
        Pixels below which it would not be legible.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look = LIGHT) -> None:
        import panel as pn

        self.data, self.selection, self.look = data, selection, look
        self._document = pn.state.curdoc if pn.state.curdoc and pn.state.curdoc.session_context else None
        self.bars: Any = None
        self.confusion: ConfusionPlot | None = None
        self.room = _REST + _LEAST
        parts = [html('<div class="hs-title">Data set</div>'), html(figures_html(data))]
        if data.overview.confusion.any():
            parts += self._charts()
        self.view = pn.Column(
            *parts,
            sizing_mode="stretch_both",
            margin=0,
            min_height=0,
            styles={"gap": "8px"},
            css_classes=["hs-overview"],
        )
        selection.param.watch(lambda *_: self._locked(self._mark), "query")
        self._mark()

    def _charts(self) -> list[Any]:
        import panel as pn

        data, look = self.data, self.look
        self.bars = class_bars(data, lambda actual: self.choose(actual, -1), look)
        self._row = _frame(look, level="overlay")
        self.bars.add_layout(self._row)
        self.confusion = ConfusionPlot(data, self.choose, look)
        legend = 20 * (min(self.confusion.count, MOST_BARS) // 4)
        self.room = _REST + self.bars.height + legend + self.confusion.plot.min_height
        self.shares = pn.widgets.Checkbox(
            label="row shares",
            value=False,
            margin=0,
            align="center",
            stylesheets=[CONTROL_CSS, "* { font-size: 11px !important; }"],
        )
        normalise = self.confusion.normalise
        self.shares.param.watch(lambda event: self._locked(functools.partial(normalise, event.new)), "value")
        heading = html('<div class="hs-title">Confusion<small>true by row, predicted by column</small></div>')
        return [
            html('<div class="hs-title">True classes<small>correct first, then errors by prediction</small></div>'),
            pn.pane.Bokeh(self.bars, sizing_mode="stretch_width", margin=0),
            html(_legend(data, look)),
            pn.Row(heading, self.shares, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.confusion.plot, sizing_mode="stretch_both", margin=0),
        ]

    def choose(self, actual: int, predicted: int) -> None:
        """Filter by a true and a predicted class (-1 for any), or no longer if that is what is filtered by."""
        query = self.selection.query
        labels, answers = ((label,) if label >= 0 else () for label in (actual, predicted))
        if (query.labels, query.predicted) == (labels, answers):
            labels = answers = ()
        self.selection.query = query.replace(labels=labels, predicted=answers)

    def _mark(self) -> None:
        if self.confusion is None:
            return
        query = self.selection.query
        known = [codes[0] if len(codes) == 1 else -1 for codes in (query.labels, query.predicted)]
        single = max(len(query.labels), len(query.predicted)) == 1 and max(known) >= 0
        self.confusion.mark((known[0], known[1]) if single else None)
        order = _bar_order(self.data)
        row = order.index(known[0]) if single and known[0] in order and not query.predicted else None
        self._row.update(visible=row is not None, top=(row or 0) - 0.46, bottom=(row or 0) + 0.46)

    def _locked(self, action: Callable[[], None]) -> None:
        # Bokeh's own models are changed with the document's lock only, which a callback of the next tick holds.
        if self._document is None:
            action()
        else:
            self._document.add_next_tick_callback(action)


def _legend(data: ViewData, look: Look) -> str:
    """Which colour is which predicted class in the bars, and what the bars leave out."""
    overview, palette, order = data.overview, data.colours(look), _bar_order(data)
    given = overview.confusion[order].sum(axis=0)
    shown = np.flatnonzero(palette.own & (given > 0))
    shown = np.sort(shown[np.argsort(-given[shown], kind="stable")][:MOST_BARS])
    hues = hex_of(palette.hues)
    chips = [(hues[c], escape(short(palette.classes[c], 24))) for c in shown.tolist()]
    others = int((~palette.own & (given > 0)).sum())
    if others:
        chips.append((hues[int(np.flatnonzero(~palette.own)[0])], f"{others} others"))
    keys = "".join(f'<span><i class="hs-chip" style="background:{hue}"></i>{name}</span>' for hue, name in chips)
    notes = []
    if len(order) < len(overview.classes):
        notes.append(f"the {len(order)} largest of {len(overview.classes)} classes")
    if overview.unlabelled:
        notes.append(f"{overview.unlabelled:,} of unknown class left out")
    note = f'<div class="hs-caption">{"; ".join(notes)}</div>' if notes else ""
    return f'<div class="hs-legend"><span>predicted</span>{keys}</div>{note}'


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
        self.shares = _holoviews().streams.Stream.define("Shares", rows=False)()
        self.plot = self._figure()
        self.box = _frame(look, left=-1, right=0)
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
        hues = self.palette.hues[predicted]
        colours = mix(np.array(_ground(self.look)), hues, 0.08 * (matrix > 0).ravel() + 0.92 * weight.ravel() ** 0.5)
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
        classes = self.data.overview.classes
        least = max(_LEAST, _ROW * self.count + _TOP) if named else _LEAST
        return _styled(
            cells.opts(fill_color="colour", line_color=None, tools=[tip], default_tools=[], backend="bokeh")
            * texts.opts(text_align="center", text_color="ink", **_type(12)),
            self.look,
            {
                "max_height": max(min(112 * self.count, 420) + 20, least),
                "min_height": least,
                "sizing_mode": "stretch_both",
                "min_border_left": _LEFT if named else 20,
                "min_border_right": 26 if named and self.count > MOST_BARS else 4,  # the last name leans over it
                "name": "hs-confusion",
            },
            xlim=(-0.5, self.count - 0.5),
            ylim=(-0.5, self.count - 0.5),
            xaxis="top" if named else None,
            yaxis="left" if named else None,
            xticks=[(i, short(c, 12 if self.count <= 5 else 9)) for i, c in enumerate(classes)],
            yticks=[(i, short(c)) for i, c in enumerate(classes)],
            xrotation=51 if self.count > 5 else 0,
        )

    def _figure(self) -> Any:
        tip = HoverTool(
            tooltips=_tip("@true classified as @as: <b>@count</b> (@share{0.0 %} of @true)"),
            attachment="below",
        )
        return _render(_holoviews().DynamicMap(functools.partial(self._overlay, tip), streams=[self.shares]))


def _frame(look: Look, **options: Any) -> BoxAnnotation:
    """A frame round what is chosen, not shown yet."""
    return BoxAnnotation(
        top=0, bottom=1, visible=False, fill_color=None, line_color=look.ink, line_alpha=1, line_width=2, **options
    )


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


def _ground(look: Look) -> tuple[int, int, int]:
    """Colour of a cell without any sequence: the one that stands out least from the card."""
    red, green, blue = (int(look.hover[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def _styled(overlay: Any, look: Look, model: dict[str, Any], **options: Any) -> Any:
    """An overlay, first row on top, without ornament; `model` holds properties of the Bokeh figure itself."""

    def finish(drawn: Any, _element: Any) -> None:
        plot = quieten(drawn.state, look)
        plot.update(**{"min_border_right": 4, **model}, outline_line_color=None, output_backend="canvas")
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
    # Bokeh's tooltips are white in either look.
    family = FONT.replace('"', "'")
    return f'<div style="font: 12px/1.5 {family}; color: {LIGHT.ink}">{text}</div>'
