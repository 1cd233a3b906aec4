"""The page: top bar, left column (data set or sequence), maps, table, a text of one's own; one selection for all.

What scripts and tests may rely on, in the page and in the report alike:

- ``.hs-words[data-page]`` holds the words, each a ``.hs-word[data-step]``; ``.hs-on`` is the one marked;
  ``.hs-readout`` says what is marked; ``.hs-figures`` are the key figures; ``.hs-empty`` says what to do.
- ``.hs-play``, ``.hs-scrub`` and ``.hs-place`` are the player's.
- ``.hs-table`` is the table of sequences (page only).
- Bokeh models by name: ``hs-heatmap``, ``hs-distances``, ``hs-map``, ``hs-map-beside``, ``hs-class-bars``,
  ``hs-confusion``.
- ``window.hiddenstate.marked()`` tells the step marked and where each view shows it.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.address import AddressBar, from_query, left_out, theme_of
from hiddenstate_viewer.controls import button, card, html
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.linking import connect, join, rules_source
from hiddenstate_viewer.map import StateMap
from hiddenstate_viewer.mapcontrols import MapControls
from hiddenstate_viewer.maplegend import MapLegend
from hiddenstate_viewer.narrow import CARDS, PAGE, SCROLLS, foot, stacked
from hiddenstate_viewer.overview import Overview
from hiddenstate_viewer.search import SearchPane
from hiddenstate_viewer.sentence import SentencePane
from hiddenstate_viewer.sequencepane import HINT, SequencePane, one_of, put_in_sight
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.table import SequenceTable
from hiddenstate_viewer.theme import LIGHT, LOOKS, UNIT, Look
from hiddenstate_viewer.ticks import change
from hiddenstate_viewer.topbar import TopBar
from hiddenstate_viewer.trajectories import Foreground, paths_of
from hiddenstate_viewer.words import cut_html

__all__ = ["HINT", "Page", "build_page", "build_session"]

#: What the page says of itself while nothing is selected.
TIPS = """<div class="hs-tips">
<p><b>Each point</b> is the network's hidden state after one word, coloured by what it would answer there.</p>
<p><b>Click</b> a cell or a bar to list its sequences; a point or a row of the table to read one.</p>
<p><b>Keys</b>: up and down step through the table, left and right through the words, space plays, Esc clears.</p>
</div>"""
_LEFT = "0 0 clamp(368px, 27vw, 560px)"
_RIGHT = "0 0 clamp(420px, 31vw, 700px)"
#: Milliseconds from the map's first picture until the browser has built the table as well.
_QUIET = 1_200


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


def build_session(data: ViewData, arguments: Mapping[str, Any]) -> Page:
    """The page of one session of a server, as its address asks for it.

    Parameters
    ----------
    data : ViewData
        What all sessions share.
    arguments : mapping
        The query of the address, untrusted: what does not fit is left out, and the page says so.
    """
    return Page(data, keys=True, arguments=arguments)


class Page:
    """One session's page: views of a shared trace, and this session's selection.

    Parameters
    ----------
    data : ViewData
        The trace and what is shared of it.
    keys : bool
        Whether the page takes keys wherever they are pressed (not in a notebook).
    look : Look
        Light or dark.
    arguments : mapping, optional
        Query of the address that asked for it.

    Attributes
    ----------
    selection : Selection
        What is selected; may be read and set.
    layout : panel.viewable.Viewable
        The page.
    panes : dict of str to viewable
        Its single views.
    """

    def __init__(
        self,
        data: ViewData,
        *,
        keys: bool = False,
        look: Look = LIGHT,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        values, complaints = from_query(data, arguments or {})
        self.look = look if arguments is None else LOOKS[theme_of(arguments)]
        self.data, self.keys = data, keys
        options = values.pop("options", {})
        self.selection = Selection(data, **values)
        self.selection.options.param.update(**options)
        self.id = f"hs-{uuid.uuid4().hex[:8]}"
        self.palette = data.colours(self.look)
        self._reading: Reading | None = None
        self._told: int | None = None  # the step that the browser said last
        self._ruling = False
        self._width = self.selection.options.line_width
        self._build(complaints)
        self._connect()
        for show in (self._show_sequence, self._show_compared, self._show_flows):
            show()

    # -- building ---------------------------------------------------------------------------------------------------

    def _build(self, complaints: list[str]) -> None:
        data, selection, look = self.data, self.selection, self.look
        self.sequence_pane = SequencePane(data, selection, self.palette, look, page=self.id, flex=_LEFT)
        self.charts = self.sequence_pane.charts
        self.maps: list[StateMap] = []
        self.foregrounds: list[Foreground] = []
        self._add_map("main")
        if selection.beside is not None:
            self._add_map("beside")
        self.table = SequenceTable(selection, look)
        self.overview = Overview(data, selection, look)
        self.search = SearchPane(data, selection, look)
        self.sentence = SentencePane(data, selection, look)
        self.commands = ColumnDataSource({"name": [], "value": [], "count": []})
        self.rules = rules_source(selection.options)
        self.address = AddressBar(selection, look.name) if self.keys else None
        self._legend = html("", styles={"flex": "1 1 0"})
        self._compared = html("", visible=False, styles={"width": "auto", "max-width": "50%"})
        self._bar = TopBar(data, selection, look, self.search.view, themes=self.keys)
        self._bar.export.typed = lambda: self.sentence.typed
        self._overview_view = self._overview_card()
        middle, right = self._map_card(), self._table_card()
        self._told_line, self._hidden = html(""), ""
        self._notice = pn.Row(
            self._told_line, button("Hide", self._hide_notice), visible=False, sizing_mode="stretch_width", margin=0,
            styles={"align-items": "center", "gap": f"{UNIT}px"}, css_classes=["hs-notice"],
        )  # fmt: skip
        self._complaints = complaints
        self._show_notice()
        self.panes = {
            "overview": self._overview_view, "sequence": self.sequence_pane.view, "map": middle, "table": right,
            "search": self.search.view, "sentence": self.sentence.view,
        }  # fmt: skip
        left = one_of(self._overview_view, self.sequence_pane.view, flex=_LEFT)
        for view, height in ((left, "690px"), (middle, "max(440px, 68vh)"), (right, "520px")):
            stacked(view, height, first=view is middle)
        for view in (self._overview_view, self.sequence_pane.view):
            view.stylesheets = [*view.stylesheets, SCROLLS]
        foot(self.sentence.view)
        self.layout = pn.Column(
            self._bar.view,
            self._notice,
            pn.Row(
                left, middle, right, sizing_mode="stretch_both", margin=0, stylesheets=[CARDS],
                styles={"gap": f"{UNIT + 4}px", "min-height": "0"},
            ),
            self.sentence.view,
            *([] if self.address is None else [self.address.view]),
            sizing_mode="stretch_both",
            margin=0,
            min_height=560,
            styles={"padding": f"0 {2 * UNIT}px {2 * UNIT}px", "box-sizing": "border-box", "gap": f"{UNIT}px"},
            css_classes=["hs-page"],
            stylesheets=[PAGE],
        )  # fmt: skip

    def _add_map(self, which: str) -> None:
        """A map and what is drawn on it. Few pages show a second one, so it is made when it is first wanted."""
        drawn = StateMap(self.data, self.selection, self.look, which=which)
        front = Foreground(drawn.plot, self.data, self.look)
        drawn.keep_clear(front.steps, front.segments, front.others)
        self.maps.append(drawn)
        self.foregrounds.append(front)

    def _overview_card(self) -> Any:
        # Nothing that stretches may stand beside the overview: it would lie over the lower half of the matrix.
        # Where there is little room the column scrolls, so that the tips lie over nothing.
        self.overview.view.styles = {**self.overview.view.styles, "flex": f"1 0 {self.overview.room}px"}
        return card(self.overview.view, html(TIPS), flex=_LEFT, overflow="hidden auto")

    def _map_card(self) -> Any:
        controls = MapControls(self.data, self.selection)
        self._drawn = pn.Row(
            *(drawn.view for drawn in self.maps), sizing_mode="stretch_both", margin=0, min_height=0,
            styles={"gap": f"{UNIT}px"},
        )  # fmt: skip
        return card(
            controls.view,
            self._drawn,
            pn.Row(
                self._legend, self._compared, sizing_mode="stretch_width", margin=0,
                styles={"align-items": "center", "gap": "16px"},
            ),
            flex="1 1 0",
        )  # fmt: skip

    def _table_card(self) -> Any:
        if self.keys:  # in a page of its own the map comes first
            self.table.come(now=False)
            self.maps[0].once_shown(self._complete)
        return card(self.search.chips, self.table.view, flex=_RIGHT)

    def _complete(self) -> None:
        """Have the table come, now that the map is on the screen, and later, when all is quiet, `_prepare`."""
        self.table.come(now=True)
        document = pn.state.curdoc
        if document is not None and self.selection.sequence is None:
            document.add_timeout_callback(lambda: self._locked(self._prepare), _QUIET)

    def _prepare(self) -> None:
        """Write the table's first sequence into its pane while that is hidden.

        A browser that lays such a pane out and paints such charts for the first time takes a third longer for it, which
        the reader would wait for with the first sequence chosen.
        """
        order, s = self.table.widget.order, self.selection
        if s.sequence is None and len(order):
            with contextlib.suppress(HiddenStateError):  # whoever chooses it is told
                self.sequence_pane.read(self._read(int(order[0])))

    # -- following --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        connect(self.id, self.charts, self.foregrounds, rules=self.rules, commands=self.commands, keys=self.keys)
        self.commands.on_change("data", self._asked)
        self.rules.on_change("data", self._ruled)
        selection = self.selection

        def follow(show: Callable[[], None], *names: str) -> None:
            selection.param.watch(lambda *_: self._locked(show), list(names))

        follow(self._show_sequence, "sequence", "layer", "direction", "quantity")
        follow(self._show_maps, "projection", "beside")
        follow(self._show_compared, "compared")
        follow(self._show_flows, "flows")
        follow(self._show_legend, "colour_by", "flows")
        follow(self._show_step, "step")
        follow(self._show_notice, "text", "strokes", "query")
        selection.options.param.watch(lambda *_: self._locked(self._restyle), list(selection.options.values()))
        selection.options.param.watch(lambda *_: self._locked(self._show_legend), ["show_starts", "show_lasts"])
        self.sentence.param.watch(lambda *_: self._locked(self._show_typed), "typed")

    def _locked(self, action: Callable[[], None]) -> None:
        change(self.charts.heat.document, action)

    def _show_sequence(self) -> None:
        s = self.selection
        try:
            reading = None if s.sequence is None else self._read(s.sequence)
        except HiddenStateError as error:  # the store was damaged or taken away while it was served
            self._reading = None
            self.sequence_pane.fail(error)
            self._show_paths()
            self._turn()
            return
        self._reading = reading
        self._rule(step=-1 if s.step is None else s.step, own=False)
        if reading is not None:
            self.sequence_pane.read(reading)
        self._show_paths()
        self._turn()
        self._show_legend()

    def _read(self, sequence: int) -> Reading:
        s = self.selection
        return self.data.reading(sequence, s.layer, quantity=s.quantity, direction=s.direction, look=self.look)

    def _turn(self) -> None:
        """The left column is the sequence's if there is one, else the data set's."""
        reading = self.selection.sequence is not None
        put_in_sight(self.sequence_pane.view, reading)
        put_in_sight(self._overview_view, not reading)

    def _show_paths(self) -> None:
        reading = self._reading
        for drawn, front in zip(self.maps, self.foregrounds, strict=True):
            places = None
            if reading is not None and drawn.projection is not None:
                places = drawn.place(np.arange(reading.start, reading.start + len(reading), dtype=np.int64))
            front.show(reading, places, self.selection.options)

    def _show_notice(self) -> None:
        """What of the address was not understood, and what it has no room for."""
        missing = left_out(self.selection) if self.keys else ()
        told = [*self._complaints]
        if missing:
            told.append(f"The address has no room for: {', '.join(missing)}. A link to this page is without it.")
        self._told_line.object = f'<div class="hs-caption" role="status">{" ".join(map(escape, told))}</div>'
        self._notice.visible = bool(told) and self._told_line.object != self._hidden

    def _hide_notice(self) -> None:
        self._hidden = self._told_line.object
        self._notice.visible = False

    def _show_maps(self) -> None:
        beside = self.selection.beside is not None
        if beside and len(self.maps) == 1:
            self._add_map("beside")
            join(self.id, 1, self.foregrounds[1])
            self._drawn.append(self.maps[1].view)
        for drawn in self.maps[1:]:
            drawn.view.visible = beside
        for show in (self._show_paths, self._show_compared, self._show_flows, self._show_typed):
            show()

    def _show_compared(self) -> None:
        compared = [c for c in self.selection.compared if c != self.selection.sequence]
        self._width = self.selection.options.line_width
        for drawn, front in zip(self.maps, self.foregrounds, strict=True):
            there = compared if drawn.projection is not None else []
            try:
                front.compare(paths_of(self.data, there, drawn.place, self.look), self.selection.options.line_width)
            except HiddenStateError:  # the store was damaged: the sequence that is read says so
                front.compare([], 1.0)
        names = [self.data.trace.ids[c] for c in compared]
        self._compared.object = (
            '<div class="hs-legend hs-compared">'
            + "".join(
                f'<span title="{escape(name)}"><b class="hs-number">{i}</b>{cut_html(name)}</span>'
                for i, name in enumerate(names, 1)
            )
            + "</div>"
        )
        self._compared.visible = bool(names)

    def _show_flows(self) -> None:
        chosen, classes, hues = self.selection.flows, self.data.trace.classes, self.palette.hues
        for drawn, front in zip(self.maps, self.foregrounds, strict=True):
            name = drawn.projection
            if name is None or not chosen:
                front.flow([])
                continue

            def trace_flows(name: str = name, front: Foreground = front) -> Callable[[], None]:
                found = [(classes[c], self.data.flow(name, c), hues[c].tolist()) for c in chosen]
                return lambda: front.flow(found) if self.selection.flows == chosen else None

            drawn.work(trace_flows)

    def _show_typed(self) -> None:
        typed = self.sentence.typed
        for drawn, front in zip(self.maps, self.foregrounds, strict=True):
            if typed is None or drawn.projection not in typed.places:
                front.type(None)
                continue
            parted = typed.divergence.parted if typed.divergence is not None else None
            front.type(
                typed.path(drawn.projection, self.palette), typed.reading.words, None if parted is None else parted[1]
            )
        self._show_legend()

    def _show_step(self) -> None:
        step = -1 if self.selection.step is None else self.selection.step
        own, self._told = step == self._told, None
        if self.rules.data["step"] != [step]:
            self._rule(step=step, own=own)

    def _rule(self, **values: Any) -> None:
        """Tell the browser what it is to apply by itself."""
        new = {**self.rules.data, **{name: [value] for name, value in values.items()}}
        if new != self.rules.data:
            self._ruling = True
            try:
                self.rules.data = new
            finally:
                self._ruling = False

    def _restyle(self) -> None:
        options = self.selection.options
        self._rule(**options.values())
        if options.line_width != self._width:
            self._show_compared()
        for front in self.foregrounds:
            front.restyle(self._reading, options)

    def _show_legend(self) -> None:
        legend = MapLegend(
            self.data, self.selection, self.look, trajectory=self._reading is not None,
            typed=any(len(front.typed_points.data["x"]) for front in self.foregrounds),
            parted=any(len(front.parting.data["x"]) for front in self.foregrounds),
        )  # fmt: skip
        if legend.at_once:
            self._legend.object = legend.html()
        else:  # the values are read by a thread
            self.maps[0].work(lambda: functools.partial(self._legend.param.update, object=legend.html()))

    # -- from the browser -------------------------------------------------------------------------------------------

    def _asked(self, _attribute: str, _old: Any, new: Any) -> None:
        name = next(iter(new.get("name", [])), None)
        value = next(iter(new.get("value", [])), 0)
        if name == "clear":
            # What lies over the page goes first.
            if not (self.search.close() | self._bar.close()):
                self.selection.clear()
        elif name == "move" and value in (1, -1):
            self.table.move(int(value))
        elif name == "step" and isinstance(value, int | float) and self._reading is not None:
            step = int(value)
            self._told = step if 0 <= step < len(self._reading) else -1
            self.selection.step = None if self._told < 0 else self._told

    def _ruled(self, _attribute: str, _old: Any, new: Any) -> None:
        # The threshold line was dragged; what the server itself has set may be older than the options.
        if self._ruling:
            return
        value = next(iter(new.get("distance_threshold", [])), None)
        options = self.selection.options
        if isinstance(value, int | float) and 0 <= value <= 100 and options.distance_threshold != int(value):
            options.param.update(distance_threshold=int(value), label_after_distance=True)
