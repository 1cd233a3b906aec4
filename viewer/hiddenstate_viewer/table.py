"""The table of sequences: sorted, filtered and paged on the server, so that a hundred thousand rows weigh as ten."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
from bokeh.models.widgets.tables import HTMLTemplateFormatter, NumberFormatter
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_viewer.controls import html
from hiddenstate_viewer.rows import PagedTable, RowIndex
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import (
    CARD_CSS,
    CUT_CSS,
    FONT,
    HOVER_CSS,
    INK_CSS,
    LIGHT,
    LINE_CSS,
    MUTED_CSS,
    SMALL,
    VIEW_CSS,
    Look,
)

__all__ = ["SequenceTable"]

ROW_HEIGHT = 28
#: Seconds within which the click on a row that follows one on its cell is the same click.
_SAME_CLICK = 1.0
_CHOSEN = f"var(--hs-chosen, {LIGHT.chosen})"
_CSS = f"""
:host .tabulator {{ border: none; background: {CARD_CSS}; font-family: {FONT}; font-size: 12px; color: {INK_CSS}; }}
:host .tabulator .tabulator-tableholder, :host .tabulator .tabulator-tableholder .tabulator-table {{
  background: {CARD_CSS}; color: {INK_CSS}; scrollbar-width: thin; }}
:host .tabulator .tabulator-tableholder .tabulator-placeholder .tabulator-placeholder-contents {{
  color: {MUTED_CSS}; font-size: 13px; font-weight: 400; white-space: normal; }}
:host .tabulator .tabulator-header {{ border: none; border-bottom: 1px solid {LINE_CSS}; background: {CARD_CSS};
  color: {MUTED_CSS}; font-weight: 600; font-size: {SMALL}px; }}
:host .tabulator .tabulator-header .tabulator-col,
:host .tabulator .tabulator-header .tabulator-col.tabulator-sortable:hover {{
  border: none; background: {CARD_CSS}; color: {MUTED_CSS}; }}
:host .tabulator .tabulator-header .tabulator-col.tabulator-sortable:hover {{ color: {INK_CSS}; }}
:host .tabulator .tabulator-header .tabulator-col .tabulator-col-content {{ padding: 4px; }}
:host .tabulator-col-sorter {{ display: none !important; }}
:host .tabulator .tabulator-col[aria-sort=ascending] .tabulator-col-sorter,
:host .tabulator .tabulator-col[aria-sort=descending] .tabulator-col-sorter {{ display: flex !important; }}
:host .tabulator .tabulator-header .tabulator-col[aria-sort=ascending] .tabulator-col-sorter .tabulator-arrow {{
  border-bottom-color: {INK_CSS}; }}
:host .tabulator .tabulator-header .tabulator-col[aria-sort=descending] .tabulator-col-sorter .tabulator-arrow {{
  border-top-color: {INK_CSS}; }}
/* The title makes room for the arrow. */
:host .tabulator .tabulator-header .tabulator-col:is([aria-sort=ascending], [aria-sort=descending])
  .tabulator-col-content .tabulator-col-title {{ padding-right: 12px; }}
:host .tabulator .tabulator-header .tabulator-col .tabulator-col-content .tabulator-col-title {{ padding-right: 0; }}
:host .tabulator .tabulator-header-filter input {{ border: 1px solid {LINE_CSS}; border-radius: 4px;
  padding: 2px 4px !important; font: 11px {FONT}; color: {INK_CSS}; background: {CARD_CSS}; height: 22px; }}
:host .tabulator .tabulator-header-filter input::placeholder {{ color: {MUTED_CSS}; opacity: .75; }}
:host .tabulator .tabulator-header-filter input:focus-visible,
:host .tabulator .tabulator-footer .tabulator-page:focus-visible {{ outline: 2px solid {INK_CSS};
  outline-offset: 1px; }}
:host .tabulator-row, :host .tabulator-row.tabulator-row-even {{ border: none; border-bottom: 1px solid {HOVER_CSS};
  background: {CARD_CSS}; min-height: {ROW_HEIGHT}px; cursor: pointer; color: {INK_CSS};
  user-select: none; }} /* else a click with Shift marks all text from the last click to it */
:host .tabulator-row .tabulator-cell {{ border: none; padding: 0 4px; height: {ROW_HEIGHT - 1}px;
  line-height: {ROW_HEIGHT - 1}px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
/* Handles between the cells of rows would take clicks that are meant for the row; those of the header stay. */
:host .tabulator-row .tabulator-col-resize-handle {{ display: none; }}
:host .tabulator-row .tabulator-cell > * {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
:host .tabulator-row .tabulator-cell > span {{ display: block; }}
{CUT_CSS}
:host .hs-mark {{ display: inline-block; width: 9px; height: 9px; margin-left: 2px; border: 1px solid {MUTED_CSS};
  border-radius: 2px; opacity: .45; vertical-align: middle; }}
:host .tabulator-row:hover .hs-mark {{ opacity: 1; }}
:host .hs-mark.hs-compared {{ background: {MUTED_CSS}; opacity: 1; }}
:host .hs-mark.hs-read {{ background: {INK_CSS}; border-color: {INK_CSS}; border-radius: 50%; opacity: 1; }}
:host .tabulator-row:hover, :host .tabulator-row.tabulator-selectable:hover {{ background: {HOVER_CSS};
  color: {INK_CSS}; }}
:host .tabulator-row:has(.hs-read, .hs-compared), :host .tabulator-row:has(.hs-read, .hs-compared):hover {{
  background: {_CHOSEN}; color: {INK_CSS}; }}
:host .tabulator-row:has(.hs-read) {{ font-weight: 600; }}
:host .tabulator .tabulator-footer {{ border: none; border-top: 1px solid {LINE_CSS}; background: {CARD_CSS};
  color: {MUTED_CSS}; font-weight: 400; font-size: {SMALL}px; padding: 4px 0; }}
:host .tabulator .tabulator-footer .tabulator-paginator {{ color: {MUTED_CSS}; }}
:host .tabulator .tabulator-footer .tabulator-page {{ border: 1px solid {LINE_CSS}; border-radius: 4px;
  background: {CARD_CSS}; color: {INK_CSS}; margin: 0 1px; padding: 2px 7px;
  font-size: {SMALL}px; }}
:host .tabulator .tabulator-footer .tabulator-page:not(:disabled):hover {{ background: {HOVER_CSS}; color: {INK_CSS}; }}
:host .tabulator .tabulator-footer .tabulator-page.active {{ background: {INK_CSS}; color: {CARD_CSS}; }}
:host .tabulator .tabulator-footer .tabulator-page:disabled {{ color: {MUTED_CSS}; opacity: .5; }}
"""
_FILTERS = {
    field: {
        "type": "input", "func": "like", "placeholder": shown,
        "elementAttributes": {"aria-label": f"Rows whose {spoken} contain" + "s" * (field != "text")},
    }
    for field, shown, spoken in (
        ("id", "id", "id"), ("class", "class", "true class"), ("predicted", "class", "predicted class"),
        ("text", "words", "first words"),
    )
}  # fmt: skip
#: An id that is too long loses its middle, as `words.cut_html` has it.
_ID = r"""<%
const letters = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(value) ? [value]
  : Array.from(new Intl.Segmenter().segment(value), (one) => one.segment)
const half = Math.ceil(letters.length / 2)
%><div class="hs-cut" title="<%- value %>"><bdi><%- letters.slice(0, half).join("") %></bdi><%
if (half < letters.length) { %><bdi><%- letters.slice(half).join("") %></bdi><% } %></div>"""
_MARK = """<div><span class="hs-mark <%- value ? 'hs-' + value : '' %>" role="checkbox" aria-checked="<%- !!value %>"
 aria-label="drawn" title="<%- value === 'read' ? 'read' : value ? 'drawn beside it; click to take away'
 : 'click to draw beside the sequence that is read' %>"></span></div>"""
_TITLES = {
    "mark": "", "predicted": "pred.", "correct": "ok", "confidence": "conf.", "words": "len", "hits": "found",
    "text": "words",
}  # fmt: skip
_TIPS = {
    "mark": "Drawn in the map", "id": "Name of the sequence", "class": "True class", "predicted": "Class predicted",
    "correct": "Whether the prediction is right", "confidence": "Probability of the class predicted, percent",
    "words": "Number of words", "hits": "How often the words searched for occur", "text": "First words",
}  # fmt: skip


def _shares(ids: pd.Series, classes: Sequence[str]) -> dict[str, float]:
    """How columns of text divide the room: by letters, of which ids may have the most and first words have few.

    Ids are those of the first thousand rows.
    """
    name = float(np.clip(max((len(one) + 1 for one in ids[:1000]), default=0), 8, 20))
    label = float(np.clip(max(map(len, classes), default=0) + 2, 6, 13))
    letters = {"id": name, "class": label, "predicted": label, "text": 10.0}
    # One in all: Tabulator rounds the pixels of a share of 1 down, and gives the last column what is left over.
    return {column: count / sum(letters.values()) for column, count in letters.items()}


class SequenceTable:
    """The sequences of a trace as rows, those that the filter and the lassos leave; a click reads one.

    Ctrl-click, or a click on the box at its beginning, draws a sequence beside the one that is read; shift-click all
    those from the row clicked last.

    Parameters
    ----------
    selection : Selection
        What it follows and drives.
    look : Look
        The page's theme.

    Attributes
    ----------
    view : panel.viewable.Viewable
        Heading with counts, and the table.
    widget : panel.widgets.Tabulator
        The table alone.
    """

    def __init__(self, selection: Selection, look: Look = LIGHT) -> None:
        self.selection, self.look = selection, look
        self.index = RowIndex.of(selection.data)
        self.frame: pd.DataFrame = self.index.frame
        self._hits: NDArray[np.int64] | None = self._count()
        self._known: tuple[Any, NDArray[np.int64]] | None = None
        self._ticked_at: tuple[int, float] = (-1, 0.0)
        self._message = ""
        self.widget = PagedTable(
            self,
            self.frame,
            page_size=None,
            initial_page_size=20,
            show_index=False,
            selectable=True,
            disabled=True,
            editors=dict.fromkeys(_TIPS),  # else every cell is a stop of the Tab key
            layout="fit_columns",
            header_filters=_FILTERS,
            hidden_columns=self._hidden(),
            sizing_mode="stretch_both",
            min_height=200,
            theme="simple",
            margin=0,
            stylesheets=[_CSS],
            header_align=dict.fromkeys(("confidence", "words", "hits"), "right"),
            text_align=dict.fromkeys(("confidence", "words", "hits"), "right"),
            titles=_TITLES,
            header_tooltips=_TIPS,
            sortable={"mark": False},
            widths={"mark": 22, "correct": 34, "confidence": 48, "words": 38, "hits": 48},
            shares=_shares(self.frame["id"], selection.data.trace.classes),
            formatters={
                "confidence": NumberFormatter(format="0.0"),
                "id": HTMLTemplateFormatter(template=_ID),
                "mark": HTMLTemplateFormatter(template=_MARK),
            },
            configuration={
                "rowHeight": ROW_HEIGHT,
                "paginationButtonCount": 3,
                "headerSortTristate": True,
                "columnDefaults": {"headerWordWrap": False, "minWidth": 22},
                "placeholder": "No sequence matches. Take a filter away to see more.",
            },
            css_classes=["hs-table"],
        )  # fmt: skip
        self.title = pn.pane.HTML("", sizing_mode="stretch_width", margin=0, stylesheets=[VIEW_CSS])
        self.view = pn.Column(
            self.title, self.widget, sizing_mode="stretch_both", margin=0, styles={"gap": "8px"},
            # Panel's button would have its gap before what comes later.
            stylesheets=[".scroll-button { order: 1; }"],
        )  # fmt: skip
        self._waiting = html('<div class="hs-caption" role="status">The list of sequences is coming …</div>')
        self._say()
        self.widget.on_click(self._ticked, column="mark")
        self.widget.param.watch(lambda *_: self._turn_to_read(), "page_size")
        self.widget.param.watch(lambda *_: self._say(), "filters")
        selection.param.watch(self._selected, ["sequence", "compared"])
        selection.param.watch(self._filtered, ["query", "strokes", *(["cell"] if "cell" in selection.param else [])])

    @property
    def shown(self) -> pd.DataFrame:
        """The rows in the order displayed, filters applied; its index is the number of the sequence."""
        return self.frame.take(self.widget.order)

    def come(self, now: bool) -> None:
        """Have the rows in the page now, or not yet: a browser takes half a second to build them."""
        wanted = self.widget if now else self._waiting
        if self.view[1] is not wanted:
            self.view[1] = wanted

    def move(self, by: int) -> None:
        """Read the next (1) or previous (-1) sequence in the order displayed."""
        order = self.widget.order
        if not len(order):
            return
        at = self._place()
        row = 0 if at is None else int(np.clip(at + by, 0, len(order) - 1))
        self.selection.select(int(order[row]))

    # -- what the widget asks ---------------------------------------------------------------------------------------

    def order_of(self, filters: Sequence[Mapping[str, Any]], sorters: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Numbers of the sequences shown, in order."""
        rows = self._rows()
        key = (id(rows), repr(filters), repr(sorters), id(self._hits))
        if self._known is None or self._known[0] != key:
            hits = self._hits if self._hits is not None else np.zeros(len(self.frame), np.int64)
            self._known = key, self.index.order(rows, filters, sorters, {"hits": hits})
        return self._known[1]

    def page_of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """The session's own columns for these sequences."""
        read, compared = self.selection.sequence, set(self.selection.compared)
        marks = ["read" if row == read else "compared" if row in compared else "" for row in rows.tolist()]
        hits = np.zeros(len(rows), np.int64) if self._hits is None else self._hits[rows]
        return {"mark": np.array(marks, object), "hits": hits}

    def pressed(self, rows: list[int], fresh: bool) -> None:
        """Rows were clicked, the last one last; `fresh` without a modifier key."""
        if not rows:
            return
        row, at = self._ticked_at
        self._ticked_at = (-1, 0.0)
        if row == rows[-1] and time.monotonic() - at < _SAME_CLICK:
            return
        if fresh:
            self._message = ""
            self.selection.toggle(rows[-1])
            self._say()
            return
        chosen = set(self.selection.selected)
        self._compare([rows[-1]] if rows[-1] in chosen else [row for row in dict.fromkeys(rows) if row not in chosen])

    def _ticked(self, event: Any) -> None:
        self._ticked_at = (int(event.row), time.monotonic())
        self._compare([int(event.row)])

    def _compare(self, rows: list[int]) -> None:
        self._message = ""
        try:
            for row in rows:
                if row == self.selection.sequence or self.selection.sequence is None:
                    self.selection.toggle(row)
                else:
                    self.selection.compare(row)
        except InputError as error:
            self._message = str(error)
        self._say()

    # -- following --------------------------------------------------------------------------------------------------

    def _rows(self) -> NDArray[np.int64] | None:
        rows, cell = self.selection.rows, getattr(self.selection, "cell", None)
        if cell is None:
            return rows
        trace, keep = self.selection.data.trace, np.ones(len(self.frame), np.bool_)
        for wanted, known in zip(cell, (trace.labels, self.selection.data.final), strict=True):
            keep &= (known == wanted) | (wanted < 0)
        return np.flatnonzero(keep)

    def _count(self) -> NDArray[np.int64] | None:
        """How often the words searched for occur in each sequence; None where none are searched for."""
        query, matches = self.selection.query, self.selection.matches
        if matches is None or not (query.words or query.flips_after):
            return None
        return np.diff(np.searchsorted(matches.steps, self.selection.data.trace.offsets))

    def _hidden(self) -> list[str]:
        """Columns that say nothing now, or for which there is no room."""
        return ["hits"] if self._hits is None else ["words"]

    def _selected(self, *events: Any) -> None:
        # Who compares rows of another page stays there.
        if not (any(event.name == "sequence" for event in events) and self._turn_to_read()):
            self.widget.mark()

    def _place(self) -> int | None:
        """Row of the sequence that is read, in the order displayed; None where it is not there."""
        read = self.selection.sequence
        if read is None:  # with which NumPy would compare row by row, as objects
            return None
        at = np.flatnonzero(self.widget.order == read)
        return int(at[0]) if len(at) else None

    def _turn_to_read(self) -> bool:
        """Turn to the page of the sequence that is read; whether it was turned."""
        at = self._place()
        if at is None:
            return False
        page = at // self.widget.page_rows + 1
        if page == self.widget.page:
            return False
        self.widget.page = page
        return True

    def _filtered(self, *_: Any) -> None:
        self._known, self._message = None, ""
        self._hits = self._count()
        if self.widget.hidden_columns != self._hidden():
            self.widget.hidden_columns = self._hidden()
        if self.widget.page != 1:
            self.widget.page = 1
        self.widget.refresh()
        self._turn_to_read()
        self._say()

    def _say(self) -> None:
        shown, count = len(self.widget.order), len(self.frame)
        told = f"{count:,}" if shown == count else f"{shown:,} of {count:,}"
        message = f'<small role="status">{escape(self._message)}</small>' if self._message else ""
        self.title.object = f'<div class="hs-title">Sequences<small>{told}</small>{message}</div>'
