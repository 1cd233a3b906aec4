"""Search and filter: one typed line, a panel of widgets, and what is in use, lassos too, as chips with counts."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import panel as pn
import param
from panel.custom import JSComponent

from hiddenstate_core.analysis import Query
from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.controls import popover
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.filters import WIDGET_CSS, FilterPanel
from hiddenstate_viewer.query_line import FIELDS, MOST_LINE, complete, finished, read_line, write_line
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import CARD_CSS, FONT, HOVER_CSS, INK_CSS, LIGHT, LINE_CSS, MUTED_CSS, SMALL, Look

__all__ = ["FilterChips", "SearchBox", "SearchPane"]

#: Traces up to this size are searched at once; others beside the server's loop.
_AT_ONCE_STEPS, _AT_ONCE_SEQUENCES = 200_000, 20_000
_FOCUS = f"outline: 2px solid {INK_CSS}; outline-offset: 1px;"
_BOX_CSS = f"""
:host {{ font: 12px/1.4 {FONT}; color: {INK_CSS}; position: relative; z-index: 30; }}
:host > div {{ position: relative; width: 100%; }}
.box {{ position: relative; display: flex; align-items: center; }}
input {{ width: 100%; box-sizing: border-box; height: 30px; border: 1px solid {LINE_CSS}; border-radius: 6px;
  background: {CARD_CSS}; color: {INK_CSS}; font: inherit; padding: 4px 26px 4px 10px; }}
input::placeholder {{ color: {MUTED_CSS}; }}
input:focus-visible {{ {_FOCUS} outline-offset: 0; border-color: transparent; }}
[hidden] {{ display: none !important; }}
button {{ position: absolute; right: 4px; width: 20px; height: 20px; border: 0; border-radius: 4px; padding: 0;
  background: none; color: {MUTED_CSS}; font: 15px/1 {FONT}; cursor: pointer; }}
button:hover {{ background: {HOVER_CSS}; color: {INK_CSS}; }}
button:focus-visible {{ {_FOCUS} }}
.below {{ position: absolute; left: 0; right: 0; top: 34px; background: {CARD_CSS}; border: 1px solid {LINE_CSS};
  border-radius: 6px; box-shadow: 0 6px 20px rgb(0 0 0 / .16); overflow: hidden; }}
.complaint {{ padding: 6px 10px; color: {MUTED_CSS}; font-size: {SMALL}px; white-space: pre-line;
  overflow-wrap: anywhere; }}
ul {{ list-style: none; margin: 0; padding: 4px 0; }}
.complaint:not([hidden]) + ul {{ border-top: 1px solid {LINE_CSS}; }}
li {{ display: flex; justify-content: space-between; gap: 12px; padding: 3px 10px; cursor: pointer; }}
li span {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
li small {{ color: {MUTED_CSS}; font-size: {SMALL}px; flex: none; font-variant-numeric: tabular-nums; }}
li:hover, li[aria-selected=true] {{ background: {HOVER_CSS}; }}
"""
_CHIPS_CSS = f"""
:host {{ font: 12px/1.4 {FONT}; color: {INK_CSS}; }}
:host > div {{ display: flex; flex-direction: column; gap: 4px; }}
.foot {{ display: flex; align-items: center; justify-content: space-between; gap: 12px; min-height: 24px; }}
[hidden] {{ display: none !important; }}
.chips {{ display: flex; align-items: center; gap: 6px; flex-wrap: wrap; min-width: 0; }}
.chip {{ display: inline-flex; align-items: center; gap: 7px; height: 24px; padding: 0 3px 0 10px; max-width: 26em;
  border: 1px solid {LINE_CSS}; border-radius: 12px; background: {CARD_CSS}; box-sizing: border-box; min-width: 0; }}
.text {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
small {{ color: {MUTED_CSS}; font-size: {SMALL}px; font-variant-numeric: tabular-nums; }}
button {{ border: 0; background: none; color: {MUTED_CSS}; font: 14px/1 {FONT}; width: 18px; height: 18px;
  border-radius: 9px; padding: 0; cursor: pointer; flex: none; }}
button:hover {{ background: {HOVER_CSS}; color: {INK_CSS}; }}
button:focus-visible {{ {_FOCUS} }}
button.all {{ width: auto; height: 24px; padding: 0 4px; font-size: 12px; border-radius: 6px; color: {INK_CSS};
  white-space: nowrap;
  text-decoration: underline; text-underline-offset: 3px; }}
.summary {{ color: {MUTED_CSS}; font-variant-numeric: tabular-nums; }}
"""
#: Name of the lassos' chip; no criterion of a query is called so.
_STROKES = "strokes"
_HINT = (
    'Words and "phrases in quotes"; '
    + " ".join(f"{field}:" for field in FIELDS)
    + ". All must hold; quotes keep blanks."
)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="hiddenstate-search")


class _Component(JSComponent):
    __abstract = True

    def __init__(self, told: Callable[[dict[str, Any]], None], **values: Any) -> None:
        super().__init__(**values)
        self._told = told

    def _handle_msg(self, message: Any) -> None:
        if isinstance(message, dict):
            self._told(message)


class SearchBox(_Component):
    """The search line in the browser; a combobox.

    Parameters
    ----------
    told : callable
        Called with each message: ``{"type": "typed", "line": ...}`` or ``{"type": "suggest", "line": ..., "caret": ...,
        "number": ...}``, to be answered by `suggest`.
    """

    line = param.String(default="")
    complaint = param.String(default="")
    hint = param.String(default=_HINT)

    _esm = Path(__file__).with_name("search_box.js")
    _stylesheets: ClassVar[list[str]] = [_BOX_CSS]

    def suggest(self, number: int, items: list[dict[str, Any]]) -> None:
        """Offer completions for the question of this number."""
        self._send_msg({"number": number, "items": items})


class FilterChips(_Component):
    """What is filtered by, lassos among it, in the browser.

    Parameters
    ----------
    told : callable
        Called with each message: ``{"type": "remove", "name": ...}`` or ``{"type": "clear"}``.
    """

    items = param.List(default=[])
    summary = param.String(default="")

    _esm = Path(__file__).with_name("chips.js")
    _stylesheets: ClassVar[list[str]] = [_CHIPS_CSS]


class SearchPane:
    """Search line, panel of filters and chips, all of them ways to set and show `Selection.query`; chips also clear
    the lassos.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What it follows and drives.
    look : Look
        The page's theme; the colours come as CSS custom properties.

    Attributes
    ----------
    view : panel.viewable.Viewable
        Search line and button of the filters, for a top bar; the panel opens below, over the page.
    chips : panel.viewable.Viewable
        What is in use, with counts; hidden while that is nothing.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look = LIGHT) -> None:
        self.data, self.selection, self.look = data, selection, look
        self._document = pn.state.curdoc if pn.state.curdoc and pn.state.curdoc.session_context else None
        self._wanted = 0
        self._typed, self._complaints = "", ""
        self.panel: FilterPanel | None = None
        self.box = SearchBox(self._heard, sizing_mode="stretch_width", margin=0, height=30)
        self.chips = FilterChips(self._heard, sizing_mode="stretch_width", margin=0, visible=False)
        self.open = pn.widgets.Toggle(
            label="Filter",
            value=False,
            margin=0,
            height=30,
            width=64,
            stylesheets=[WIDGET_CSS],
            css_classes=["hs-filter"],
        )
        # A layout without any child cannot be laid out.
        self.popover = popover(pn.Spacer(width=0, height=0), width=400, right="0", top="38px")
        self.view = pn.Row(
            self.box, self.open, self.popover, sizing_mode="stretch_width", margin=0, height=30, min_width=220,
            styles={"gap": "8px", "position": "relative", "overflow": "visible", "align-items": "center"},
            css_classes=["hs-search"],
        )  # fmt: skip
        self.open.param.watch(lambda event: self._toggle(event.new), "value")
        selection.param.watch(lambda *_: self._follow(), "query")
        selection.param.watch(lambda *_: self._show_chips(), "strokes")
        self._follow()

    # -- from the browser -------------------------------------------------------------------------------------------

    def _heard(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "clear":
            self.clear()
        elif kind == "remove" and message.get("name") == _STROKES:
            self.selection.clear_strokes()
        elif kind == "remove" and message.get("name") in self.selection.query.criteria:
            self._wish(self.selection.query.without(message["name"]))
        elif kind == "typed" and isinstance(message.get("line"), str):
            self.type(message["line"], done=message.get("done") is True)
        elif kind == "suggest":
            line, caret, number = (message.get(name) for name in ("line", "caret", "number"))
            if isinstance(line, str) and isinstance(caret, int) and isinstance(number, int):
                self._suggest(line[:MOST_LINE], caret, number)

    def type(self, line: str, *, done: bool = True) -> None:
        """Take a line as if typed; until it is `done`, a last word that does not occur waits for its rest."""
        query, complaints = read_line(line, self.data.trace)
        self._typed = line[:MOST_LINE]
        self._complain("\n".join(complaints[:4]))
        self._wish(query, done=done)

    def close(self) -> bool:
        """Close the panel of filters; whether it was open."""
        shown = bool(self.open.value)
        self.open.value = False
        return shown

    def clear(self) -> None:
        """Filter by nothing, and forget the lassos."""
        if self.selection.strokes:
            self.selection.clear_strokes()
        self._typed = ""
        self._complain("")
        self.box.line = ""
        self._wish(Query())

    def _suggest(self, line: str, caret: int, number: int) -> None:
        def look_up() -> None:
            items: list[dict[str, Any]] = []
            with contextlib.suppress(HiddenStateError):
                found = complete(line, caret, self.data)
                items = [{"text": c.text, "note": c.note, "line": c.line, "caret": c.caret} for c in found]
            self._back(lambda: self.box.suggest(number, items))

        self._beside(look_up)

    # -- searching --------------------------------------------------------------------------------------------------

    def _wish(self, query: Query, *, done: bool = True) -> None:
        """Set the query once it is answered; a later wish overtakes an earlier one."""
        self._wanted += 1
        number = self._wanted
        if query == self.selection.query:
            self._follow()
            return
        trace = self.data.trace
        large = trace.steps > _AT_ONCE_STEPS or len(trace) > _AT_ONCE_SEQUENCES
        if large and not query.empty and self._document is not None:
            self.chips.param.update(summary="Searching …", visible=True)
            self._beside(lambda: self._answer(query, number, done))
        else:
            self._answer(query, number, done)

    def _answer(self, query: Query, number: int, done: bool) -> None:
        if number != self._wanted:
            return
        line, problem = self._typed, ""
        try:
            if not done and (known := finished(line, self.data)) != line:
                line, query = known, read_line(known, self.data.trace)[0]
            if not query.empty:
                self.data.find(query)  # kept there, so that the selection finds it ready
        except HiddenStateError as error:
            problem = str(error)
        self._back(lambda: self._found(query, number, line, problem))

    def _found(self, query: Query, number: int, line: str, problem: str) -> None:
        if number != self._wanted:
            return
        self._typed = line
        if not problem:
            self.selection.query = query
        self._follow()
        if problem:
            self._complain(problem)

    def _beside(self, work: Callable[[], None]) -> None:
        if self._document is None:
            work()
        else:
            _pool().submit(work)

    def _back(self, finish: Callable[[], None]) -> None:
        """Finish with the document's lock; a session that has ended meanwhile needs nothing more."""
        if self._document is None:
            finish()
            return
        with contextlib.suppress(Exception):
            self._document.add_next_tick_callback(finish)

    # -- following --------------------------------------------------------------------------------------------------

    def _complain(self, text: str) -> None:
        self._complaints = text
        self.box.complaint = text

    def _follow(self) -> None:
        query, trace = self.selection.query, self.data.trace
        try:
            if read_line(self._typed, trace)[0] != query:
                self._typed = write_line(query, trace)
                self._complain("")
        except HiddenStateError as error:
            self.chips.param.update(items=[], summary=str(error), visible=True)
            return
        self.box.line = self._typed
        if self._show_chips() and self.panel is not None and self.open.value:
            self.panel.fill(query)

    def _show_chips(self) -> bool:
        """Show what is in use; whether that could be counted."""
        query, trace = self.selection.query, self.data.trace
        try:
            described, matches, strokes = query.describe(trace), self.selection.matches, self._strokes()
            summary = self._summary(matches)
        except HiddenStateError as error:
            self.chips.param.update(items=[], summary=str(error), visible=True)
            return False
        alone = {} if matches is None else matches.alone
        items = [{"name": name, "text": text, "count": f"{alone.get(name, 0):,}"} for name, text in described]
        items += strokes
        self.chips.param.update(items=items, summary=summary, visible=bool(items))
        self.open.label = f"Filter ({len(described)})" if described else "Filter"
        return True

    def _strokes(self) -> list[dict[str, str]]:
        """The chip of all lassos and boxes together."""
        touched, mask = self.selection.touched, self.selection.steps_mask
        if touched is None or mask is None:
            return []
        states = int(np.count_nonzero(mask))
        text = f"lasso: {states:,} state{'' if states == 1 else 's'}"
        return [{"name": _STROKES, "text": text, "count": f"{np.count_nonzero(touched):,}"}]

    def _summary(self, matches: Any) -> str:
        rows, trace, query = self.selection.rows, self.data.trace, self.selection.query
        if rows is None:
            return ""
        if not len(rows):
            return "No sequence meets all of these. Take one away, or clear all."
        told = f"{len(rows):,} of {len(trace):,} sequences"
        if matches is None or not (query.words or query.flips_after):
            return told
        places = matches.counts[1]
        if self.selection.strokes:
            kept = np.zeros(len(trace), np.bool_)
            kept[rows] = True
            whose = np.searchsorted(trace.offsets, matches.steps, side="right") - 1
            places = int(np.count_nonzero(kept[whose]))
        return f"{told} · {places:,} place{'' if places == 1 else 's'}"

    def _toggle(self, shown: bool) -> None:
        if shown and self.panel is None:
            self.panel = FilterPanel(self.data, self._wish, lambda: self.open.param.update(value=False))
            self.popover[:] = [self.panel.view]
        if self.panel is not None and shown:
            self.panel.fill(self.selection.query)
        self.popover.visible = shown
