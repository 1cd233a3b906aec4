"""The data set at a glance: key figures, a bar per true class, the confusion matrix; drawn by HoloViews."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from typing import Any

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.classbars import MOST_BARS, ClassBars, legend_html
from hiddenstate_viewer.confusion import LEAST, ConfusionPlot
from hiddenstate_viewer.controls import CONTROL_CSS, html
from hiddenstate_viewer.counts import Counts
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import LIGHT, Look
from hiddenstate_viewer.ticks import change

__all__ = ["Overview", "figures_html"]

#: Pixels of all else in the view but the bars.
_REST = 230


def figures_html(counts: Counts) -> str:
    """Markup of the key figures: of what is selected."""
    shown = counts.selected
    correct, labelled = int(shown.correct.sum()), int(shown.confusion.sum())
    share = f"{100 * shown.accuracy:.1f} %" if shown.accuracy is not None else "–"
    test = f"{100 * shown.test_accuracy:.1f} %" if shown.test_accuracy is not None else "–"
    cells = (
        (f"{shown.sequences:,}", f"of {counts.whole.sequences:,} sequences" if counts.narrowed else "sequences"),
        (f"{correct:,}", f"correct of {labelled:,}"),
        (share, "correct here"),
        (test, "test accuracy"),
    )
    return (
        '<div class="hs-figures">' + "".join(f"<div>{v}<small>{escape(n)}</small></div>" for v, n in cells) + "</div>"
    )


class Overview:
    """The data set at a glance: what is selected of it, before the rest in grey.

    Bars and cells filter by class and prediction, a second click takes that away.

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
    bars, confusion : ClassBars, ConfusionPlot
        None where no sequence has a known class.
    room : int
        Pixels below which it would not be legible.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look = LIGHT) -> None:
        import panel as pn

        self.data, self.selection, self.look = data, selection, look
        self.bars: ClassBars | None = None
        self.confusion: ConfusionPlot | None = None
        self.room = _REST + LEAST
        self._shown = Counts.all(data)
        self.figures = html(figures_html(self._shown))
        parts = [html('<div class="hs-title">Data set</div>'), self.figures]
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
        selection.param.watch(lambda *_: self._locked(self._follow), ["query", "strokes"])
        self._follow()

    def _charts(self) -> list[Any]:
        import panel as pn

        data, look = self.data, self.look
        self.bars = ClassBars(data, lambda actual: self.choose(actual, -1), look)
        self.confusion = ConfusionPlot(data, self.choose, look)
        legend = 20 * (min(self.confusion.count, MOST_BARS) // 4)
        self.room = _REST + self.bars.plot.height + legend + self.confusion.plot.min_height
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
            pn.pane.Bokeh(self.bars.plot, sizing_mode="stretch_width", margin=0),
            html(legend_html(data, look)),
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

    def _follow(self) -> None:
        try:
            counts = Counts.of(self.selection)
        except HiddenStateError:  # the store was damaged while it was served: the table says so
            counts = self._shown
        if not counts.same(self._shown):
            self._shown = counts
            self.figures.object = figures_html(counts)
            for chart in (self.bars, self.confusion):
                if chart is not None:
                    chart.show(counts)
        self._mark()

    def _mark(self) -> None:
        if self.confusion is None or self.bars is None:
            return
        query = self.selection.query
        known = [codes[0] if len(codes) == 1 else -1 for codes in (query.labels, query.predicted)]
        single = max(len(query.labels), len(query.predicted)) == 1 and max(known) >= 0
        self.confusion.mark((known[0], known[1]) if single else None)
        self.bars.mark(known[0] if single and not query.predicted else None)

    def _locked(self, action: Callable[[], None]) -> None:
        change(None if self.confusion is None else self.confusion.plot.document, action)
