"""The page: top bar, left column (data set or sequence), map, table; one selection that all of them follow.

What scripts and tests may rely on, in the page and in the report alike:

- ``.hs-words[data-page]`` holds the words, each a ``.hs-word[data-step]``; ``.hs-on`` is the one marked;
  ``.hs-readout`` says what is marked; ``.hs-figures`` are the key figures; ``.hs-empty`` says what to do.
- ``.hs-table`` is the table of sequences (page only).
- Bokeh models by name: ``hs-heatmap``, ``hs-distances``, ``hs-map``, ``hs-class-bars``, ``hs-confusion``.
- ``window.hiddenstate.marked()`` tells the step marked and where each view shows it.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import Tap
from bokeh.models import ColumnDataSource

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.controls import CONTROL_CSS, button, card, html, select, slider
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.evolution import SequenceCharts
from hiddenstate_viewer.linking import connect
from hiddenstate_viewer.overview import ConfusionPlot, class_bars, figures_html
from hiddenstate_viewer.projection import StateMap
from hiddenstate_viewer.state import COLOUR_BY, Selection
from hiddenstate_viewer.table import SequenceTable
from hiddenstate_viewer.theme import UNIT
from hiddenstate_viewer.words import header_html, legend_html, words_html

__all__ = ["HINT", "Page", "build_page"]

#: What the page says of itself while nothing is selected.
TIPS = """<div class="hs-tips">
<p><b>Each point</b> is the network's hidden state after one word, coloured by what it would answer there.</p>
<p><b>Click</b> a cell or a bar to list its sequences; a point or a row of the table to read one.</p>
<p><b>Keys</b>: up and down step through the table, Esc clears the selection.</p></div>"""
HINT = "Hover a word, a column, a bar or a point."


def build_page(trace: Trace | ViewData) -> Any:
    """The page of a trace as a Panel object, for a notebook or an application of one's own.

    Parameters
    ----------
    trace : Trace or ViewData
        What to show.

    Returns
    -------
    panel.viewable.Viewable
    """
    return Page(trace if isinstance(trace, ViewData) else ViewData(trace)).layout


class Page:
    """One session's page: views of a shared trace, and this session's selection.

    Parameters
    ----------
    data : ViewData
        The trace and what is shared of it.
    keys : bool
        Whether the page takes Esc and the arrow keys wherever they are pressed (not in a notebook).

    Attributes
    ----------
    selection : Selection
        What is selected; may be read and set.
    layout : panel.viewable.Viewable
        The page.
    """

    def __init__(self, data: ViewData, *, keys: bool = False) -> None:
        self.data = data
        self.selection = Selection(data)
        self.id = f"hs-{uuid.uuid4().hex[:8]}"
        self.charts = SequenceCharts(data.palette)
        self.map = StateMap(data)
        self.table = SequenceTable(self.selection)
        self.commands = ColumnDataSource({"name": [], "value": [], "count": []})
        self.threshold = slider()
        self._build()
        connect(self.id, self.charts, self.map, threshold=self.threshold, commands=self.commands, keys=keys)
        self.commands.on_change("data", self._asked)
        self.map.plot.on_event(Tap, self._tapped)
        self.map.follow_window()
        watch = self.selection.param.watch
        watch(lambda *_: self._locked(self._show_sequence), ["sequence", "layer"])
        watch(lambda *_: self._locked(self._show_map), ["projection", "colour_by"])
        watch(lambda *_: self._locked(self._show_filter), "cell")
        self._show_map()
        self._show_filter()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._header, self._verdict = html(""), html("")
        self._words = html("", sizing_mode="stretch_both", min_height=90)
        self._readout = html(f'<div class="hs-readout" data-page="{self.id}" data-hint="{HINT}">{HINT}</div>')
        self._legend = html("")
        self._map_title = html("")
        self._table_title = html("")
        self._clear = button("Clear selection", self.selection.clear)
        self._unfilter = button("Show all", lambda: self.selection.param.update(cell=None))
        self._sequence_view = self._sequence_card()
        self._overview_view = self._overview_card()
        self._sequence_view.visible = False
        middle = self._map_card()
        right = card(
            pn.Row(self._table_title, self._unfilter, sizing_mode="stretch_width", margin=0),
            self.table.widget,
            flex="0 0 clamp(400px, 31vw, 640px)",
        )
        self.layout = pn.Column(
            self._top_bar(),
            pn.Row(
                self._overview_view, self._sequence_view, middle, right,
                sizing_mode="stretch_both", margin=0, styles={"gap": f"{UNIT + 4}px"}, min_height=0,
            ),
            sizing_mode="stretch_both",
            margin=0,
            min_height=560,
            styles={"padding": f"0 {2 * UNIT}px {2 * UNIT}px", "box-sizing": "border-box", "gap": "0px"},
            css_classes=["hs-page"],
        )  # fmt: skip

    def _top_bar(self) -> Any:
        trace, selection = self.data.trace, self.selection
        controls = []
        if trace.projections:
            controls.append(select("projection", list(trace.projections), selection.param.projection))
        if len(self.data.layers) > 1:
            layers = {f"{i + 1} ({trace.layers[i]} units)": i for i in self.data.layers}
            controls.append(select("layer", layers, selection.param.layer))
        controls.append(select("colour by", COLOUR_BY, selection.param.colour_by))

        summary = (
            f'<div class="hs-summary"><b>{len(trace):,}</b> sequences &nbsp; <b>{trace.steps:,}</b> states &nbsp; '
            f"<b>{len(trace.classes)}</b> classes &nbsp; <b>{' + '.join(str(n) for n in trace.layers)}</b> units</div>"
        )
        brand = f'<div class="hs-brand">hiddenstate<span>{escape(self.data.name)}</span></div>'
        return pn.Row(
            html(brand, sizing_mode=None, align="center"),
            *controls,
            html(summary, align="center"),
            height=56,
            sizing_mode="stretch_width",
            margin=0,
            styles={"align-items": "center", "gap": f"{2 * UNIT}px"},
        )

    def _sequence_card(self) -> Any:
        heading = pn.Row(self._header, self._clear, sizing_mode="stretch_width", margin=0, styles={"gap": "8px"})
        return card(
            heading,
            self._verdict,
            html('<div class="hs-title">Words<small>coloured by the output after reading each</small></div>'),
            self._words,
            self._readout,
            html('<div class="hs-title">Class probability over time</div>'),
            pn.pane.Bokeh(self.charts.heat, sizing_mode="stretch_width", margin=0),
            html('<div class="hs-title">Step distance<small>share of the data set\'s largest</small></div>'),
            pn.pane.Bokeh(self.charts.bars, sizing_mode="stretch_width", margin=0),
            flex="0 0 clamp(368px, 27vw, 540px)",
        )

    def _overview_card(self) -> Any:
        self.confusion = ConfusionPlot(self.data, self._choose_cell)
        small = "* { font-size: 11px !important; }"
        rows = pn.widgets.Checkbox(
            label="share of each row", value=False, margin=0, align="center", stylesheets=[CONTROL_CSS, small]
        )
        rows.param.watch(lambda event: self._locked(functools.partial(self.confusion.normalise, event.new)), "value")
        unlabelled = self.data.overview.unlabelled
        note = f"<small>{unlabelled:,} without a class are left out</small>" if unlabelled else ""
        return card(
            html('<div class="hs-title">Data set</div>'),
            html(figures_html(self.data)),
            html(
                f'<div class="hs-title">True classes<small>correct first, then errors by prediction</small>{note}</div>'
            ),
            pn.pane.Bokeh(
                class_bars(self.data, lambda c: self._choose_cell(c, -1)), sizing_mode="stretch_width", margin=0
            ),
            pn.Row(
                html('<div class="hs-title">Confusion<small>true by row, predicted by column</small></div>'),
                rows,
                sizing_mode="stretch_width",
                margin=0,
            ),
            pn.pane.Bokeh(self.confusion.plot, sizing_mode="stretch_both", margin=0),
            pn.Spacer(sizing_mode="stretch_both", margin=0, min_height=0),
            html(TIPS),
            flex="0 0 clamp(368px, 27vw, 540px)",
        )

    def _map_card(self) -> Any:
        if not self.data.trace.projections:
            command = escape(f"hiddenstate project {self.data.trace.path}")
            return card(
                html(
                    f'<div class="hs-empty"><b>No projection of the states yet</b>'
                    f"Make one:<code>{command}</code></div>",
                    sizing_mode="stretch_both",
                ),
                flex="1 1 0",
            )
        reset = button("Whole map", None)
        reset.js_on_click(code=f"window.hiddenstate?.fit('{self.id}', true)")
        return card(
            pn.Row(self._map_title, reset, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.map.plot, sizing_mode="stretch_both", margin=0),
            pn.Row(
                self._legend,
                pn.pane.Bokeh(self.threshold, margin=0),
                sizing_mode="stretch_width",
                margin=0,
                styles={"align-items": "center", "gap": "16px"},
            ),
            flex="1 1 0",
        )

    # -- following --------------------------------------------------------------------------------------------------

    def _locked(self, action: Callable[[], None]) -> None:
        # Panel may hand on a widget's event without the document's lock, without which Bokeh's own models must not be
        # changed; a callback of the next tick holds it.
        document = self.charts.heat.document
        if document is None or document.session_context is None:
            action()
        else:
            document.add_next_tick_callback(action)

    def _reading(self) -> Reading | None:
        if self.selection.sequence is None:
            return None
        return self.data.reading(self.selection.sequence, self.selection.layer)

    def _show_sequence(self) -> None:
        try:
            reading = self._reading()
        except HiddenStateError as error:  # the store was damaged or taken away while it was served
            message = f'<div class="hs-empty"><b>This sequence cannot be read</b>{escape(str(error))}</div>'
            self._header.object, self._verdict.object, self._words.object = message, "", ""
            self._sequence_view.visible, self._overview_view.visible = True, False
            self.map.trace_sequence(None)
            return
        if reading is not None:
            self._header.object, self._verdict.object = header_html(reading, self.data.palette)
            self._words.object = words_html(reading, self.id)
            self.charts.update(reading)
        self.map.trace_sequence(reading)
        self._sequence_view.visible = reading is not None
        self._overview_view.visible = reading is None
        self._show_legend()

    def _show_map(self) -> None:
        self.map.show(self.selection.projection, self.selection.colour_by)
        steps, count = self.data.trace.steps, len(self.data.trace)
        name = self.selection.projection or ""

        what = f"{escape(name)} of {steps:,} states, {count:,} sequences"
        self._map_title.object = f'<div class="hs-title">Hidden states<small>{what}</small></div>'
        self._show_sequence()

    def _show_legend(self) -> None:
        chosen = self.selection.sequence is not None
        self._legend.object = legend_html(self.data.palette, self.selection.colour_by, trajectory=chosen)

    def _show_filter(self) -> None:

        cell, classes = self.selection.cell, self.data.trace.classes
        self.confusion.mark(cell)
        self._unfilter.visible = cell is not None
        if cell is None:
            what = f"{len(self.data.trace):,}"
        else:
            actual, predicted = cell
            parts = [classes[actual]] if actual >= 0 else []
            parts += [f"classified as {classes[predicted]}"] if predicted >= 0 else []
            what = f"{len(self.table.widget.value):,}: {' '.join(parts)}"
        self._table_title.object = f'<div class="hs-title">Sequences<small>{escape(what)}</small></div>'

    def _choose_cell(self, actual: int, predicted: int) -> None:
        cell = (actual, predicted)
        self.selection.cell = None if self.selection.cell == cell else cell

    # -- from the browser -------------------------------------------------------------------------------------------

    def _asked(self, _attribute: str, _old: Any, new: Any) -> None:
        name = next(iter(new.get("name", [])), None)
        value = next(iter(new.get("value", [])), 0)
        if name == "clear":
            self.selection.clear()
        elif name == "move" and value in (1, -1):
            self.table.move(int(value))
        elif name == "size" and isinstance(value, list) and len(value) == 2:
            self.map.resize(int(value[0]), int(value[1]))

    def _tapped(self, event: Any) -> None:
        step = self.map.step_at(float(event.x), float(event.y))
        if step is not None:
            self.selection.select(int(np.searchsorted(self.data.trace.offsets, step, side="right")) - 1)
