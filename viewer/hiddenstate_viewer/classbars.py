"""A bar per true class: what is selected of it first, correct before wrong; then the rest in grey."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from bokeh.events import Tap
from bokeh.models import HoverTool

from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.counts import Counts, stretches
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.evolution import short
from hiddenstate_viewer.holo import frame, holoviews, lettering, render, styled, tip
from hiddenstate_viewer.theme import LIGHT, SMALL, Look

__all__ = ["LEFT", "MOST_BARS", "ClassBars", "bar_order", "legend_html"]

#: Classes with a bar of their own.
MOST_BARS = 12
#: Pixels for the classes' names.
LEFT = 78
_COLUMNS = ["left", "low", "right", "high", "colour", "said", "count"]


class ClassBars:
    """A bar per true class (the largest dozen): correct ones first, then errors in the predicted class's colour.

    Parameters
    ----------
    data : ViewData
        The trace.
    choose : callable, optional
        Called with the true class on a click on its row.
    look : Look
        Light or dark.

    Attributes
    ----------
    plot : bokeh.plotting.figure
        The chart.
    order : list of int
        Classes that have a bar, from the top.
    """

    def __init__(self, data: ViewData, choose: Callable[[int], None] | None = None, look: Look = LIGHT) -> None:
        self.data, self.look, self.order = data, look, bar_order(data)
        self._counted = holoviews().streams.Stream.define("Counted", counts=Counts.all(data))()
        tool = HoverTool(tooltips=tip("@said: <b>@count</b>"), attachment="below")
        overlay = functools.partial(self._overlay, tool)
        self.plot = render(holoviews().DynamicMap(overlay, streams=[self._counted]))
        self._row = frame(look, level="overlay")
        self.plot.add_layout(self._row)
        if choose is not None:

            def tapped(event: Any) -> None:
                row = round(event.y)
                if 0 <= row < len(self.order):
                    choose(int(self.order[row]))

            self.plot.on_event(Tap, tapped)

    def show(self, counts: Counts) -> None:
        """Draw other counts in the same chart."""
        self._counted.event(counts=counts)

    def mark(self, label: int | None) -> None:
        """Frame a class's bar, or none."""
        row = self.order.index(label) if label in self.order else None
        self._row.update(visible=row is not None, top=(row or 0) - 0.46, bottom=(row or 0) + 0.46)

    def _overlay(self, tool: HoverTool, counts: Counts) -> Any:
        hv, order, look = holoviews(), self.order, self.look
        total, shown = counts.whole.counts, counts.selected.counts
        most = max(int(total.max(initial=0)), 1)
        bars = hv.Rectangles(self._segments(counts), _COLUMNS[:4], _COLUMNS[4:])
        places = [int(total[c]) for c in order]
        ends = hv.Labels((places, range(len(order)), [f"{int(shown[c]):,}" for c in order]), ["x", "y"], "count")
        return styled(
            bars.opts(fill_color="colour", line_color=look.card, tools=[tool], default_tools=[], backend="bokeh")
            * ends.opts(xoffset=0.025 * most, text_align="left", text_color=look.ink, **lettering(SMALL)),
            look,
            {
                "height": (32 if len(order) <= 3 else 24) * len(order) + 6,
                "sizing_mode": "stretch_width",
                "min_border_left": LEFT,
                "name": "hs-class-bars",
            },
            xlim=(0, most * 1.3),
            ylim=(-0.6, len(order) - 0.4),
            xaxis=None,
            yticks=[(i, short(counts.whole.classes[c])) for i, c in enumerate(order)],
        )

    def _segments(self, counts: Counts) -> pd.DataFrame:
        """The stretches of each bar, left to right."""
        classes, hues = counts.whole.classes, hex_of(self.data.colours(self.look).hues)
        rows: list[tuple[Any, ...]] = []
        for row, actual in enumerate(self.order):
            left = 0
            for stretch in stretches(counts, actual):
                colour, said = self.look.line, f"{classes[actual]}, not selected"
                if stretch.predicted is not None:
                    colour = hues[stretch.predicted]
                    said = f"{classes[actual]} classified as {classes[stretch.predicted]}"
                rows.append((left, row - 0.34, left + stretch.count, row + 0.34, colour, said, stretch.count))
                left += stretch.count
        return pd.DataFrame(rows, columns=_COLUMNS)


def bar_order(data: ViewData) -> list[int]:
    """Classes that have a bar, from the top."""
    overview = data.overview
    if len(overview.classes) <= MOST_BARS:
        return list(range(len(overview.classes)))
    return [int(c) for c in np.argsort(-overview.counts, kind="stable")[:MOST_BARS]]


def legend_html(data: ViewData, look: Look) -> str:
    """Which colour is which predicted class in the bars, and what the bars leave out."""
    overview, palette, order = data.overview, data.colours(look), bar_order(data)
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
