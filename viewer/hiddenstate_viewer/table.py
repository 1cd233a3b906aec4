"""The table of sequences: sorted, filtered and paged on the server, so that a hundred thousand rows weigh as ten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import panel as pn
from bokeh.models.widgets.tables import HTMLTemplateFormatter, NumberFormatter

from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import FONT, INK, LINE, MUTED, SMALL

__all__ = ["SequenceTable"]

ROW_HEIGHT = 28
_CSS = f"""
:host .tabulator {{ border: none; background: #fff; font-family: {FONT}; font-size: 12px; }}
:host .tabulator .tabulator-header {{ border: none; border-bottom: 1px solid {LINE}; background: #fff; color: {MUTED};
  font-weight: 600; font-size: {SMALL}px; }}
:host .tabulator .tabulator-header .tabulator-col,
:host .tabulator .tabulator-header .tabulator-col.tabulator-sortable:hover {{
  border: none; background: #fff; }}
:host .tabulator .tabulator-header .tabulator-col .tabulator-col-content {{ padding: 4px; }}
:host .tabulator .tabulator-col-sorter {{ display: none !important; }}
:host .tabulator .tabulator-col[aria-sort=ascending] .tabulator-col-sorter,
:host .tabulator .tabulator-col[aria-sort=descending] .tabulator-col-sorter {{ display: flex !important; }}
:host .tabulator .tabulator-header .tabulator-col .tabulator-col-content .tabulator-col-title {{ padding-right: 0; }}
:host .tabulator .tabulator-header-filter input {{ border: 1px solid {LINE}; border-radius: 4px;
  padding: 2px 4px !important; font: 11px {FONT}; color: {INK}; height: 22px; }}
:host .tabulator .tabulator-header-filter input::placeholder {{ color: #a3aab3; }}
:host .tabulator-row, :host .tabulator-row.tabulator-row-even {{ border: none; border-bottom: 1px solid #f0f2f4;
  background: #fff; min-height: {ROW_HEIGHT}px; cursor: pointer; color: {INK}; }}
:host .tabulator-row .tabulator-cell {{ border: none; padding: 0 4px; height: {ROW_HEIGHT - 1}px;
  line-height: {ROW_HEIGHT - 1}px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
:host .tabulator-row .tabulator-cell > * {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
:host .tabulator-row .tabulator-cell > span {{ display: block; }}
:host .hs-cut {{ direction: rtl; text-align: left; }}
:host .tabulator-row.tabulator-selectable:hover {{ background: #f4f6f8; }}
:host .tabulator-row.tabulator-selected, :host .tabulator-row.tabulator-selected:hover {{ background: #e6eaee;
  color: {INK}; font-weight: 600; }}
:host .tabulator .tabulator-footer {{ border: none; border-top: 1px solid {LINE}; background: #fff; color: {MUTED};
  font-weight: 400; font-size: {SMALL}px; padding: 4px 0; }}
:host .tabulator .tabulator-footer .tabulator-page {{ border: 1px solid {LINE}; border-radius: 4px; background: #fff;
  color: {INK}; margin: 0 1px; padding: 2px 7px; }}
:host .tabulator .tabulator-footer .tabulator-page.active {{ background: {INK}; color: #fff; }}
:host .tabulator .tabulator-footer .tabulator-page:disabled {{ color: #b9c0c8; }}
"""
_FILTERS = {
    "id": {"type": "input", "func": "like", "placeholder": "id"},
    "class": {"type": "input", "func": "like", "placeholder": "class"},
    "predicted": {"type": "input", "func": "like", "placeholder": "class"},
    "correct": {"type": "input", "func": "like", "placeholder": ""},
    "text": {"type": "input", "func": "like", "placeholder": "words"},
}
#: An id that is too long loses its beginning: its end tells it from its neighbours.
_ID = '<div class="hs-cut" title="<%- value %>"><bdi><%- value %></bdi></div>'


class SequenceTable:
    """The sequences of a trace as rows; a click selects one.

    Parameters
    ----------
    selection : Selection
        What it follows and drives.
    """

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.frame: pd.DataFrame = selection.data.table
        self.widget = pn.widgets.Tabulator(
            self.frame,
            pagination="remote",
            page_size=None,
            initial_page_size=20,
            show_index=False,
            selectable=1,
            disabled=True,
            layout="fit_columns",
            header_filters=_FILTERS,
            sizing_mode="stretch_both",
            min_height=200,
            theme="simple",
            margin=0,
            stylesheets=[_CSS],
            header_align={"confidence": "right", "words": "right"},
            text_align={"confidence": "right", "words": "right"},
            titles={"predicted": "predicted", "correct": "ok", "confidence": "conf.", "words": "len", "text": "words"},
            widths={"id": "19%", "class": "14%", "predicted": "15%", "correct": 30, "confidence": 40, "words": 32},
            formatters={"confidence": NumberFormatter(format="0.0"), "id": HTMLTemplateFormatter(template=_ID)},
            configuration={
                "rowHeight": ROW_HEIGHT,
                "paginationButtonCount": 3,
                "headerSortTristate": True,
                "columnDefaults": {"headerWordWrap": False, "minWidth": 28},
                "placeholder": "No sequence matches. Clear the filters to see all.",
            },
            css_classes=["hs-table"],
        )
        self.widget.on_click(self._clicked)
        selection.param.watch(self._selected, "sequence")
        selection.param.watch(self._filtered, "cell")

    @property
    def shown(self) -> pd.DataFrame:
        """The rows in the order displayed, filters applied; its index is the number of the sequence."""
        return self.widget.current_view

    def move(self, by: int) -> None:
        """Select the next (1) or previous (-1) sequence in the order displayed."""
        order = self.shown.index.to_numpy()
        if not len(order):
            return
        at = np.flatnonzero(order == self.selection.sequence)
        row = 0 if not len(at) else int(np.clip(at[0] + by, 0, len(order) - 1))
        self.selection.select(int(order[row]))
        self._turn_to(row)

    def _clicked(self, event: Any) -> None:
        self.selection.toggle(int(self.widget.value.index[event.row]))

    def _selected(self, event: Any) -> None:
        rows = [] if event.new is None else np.flatnonzero(self.widget.value.index.to_numpy() == event.new).tolist()
        if self.widget.selection != rows:
            self.widget.selection = rows

    def _turn_to(self, row: int) -> None:
        page = row // int(self.widget.page_size or self.widget.initial_page_size) + 1
        if page != self.widget.page and page <= (self.widget.param.page.bounds[1] or 1):
            self.widget.page = page

    def _filtered(self, event: Any) -> None:
        trace, final = self.selection.data.trace, self.selection.data.final
        keep = np.ones(len(trace), np.bool_)
        if event.new is not None:
            actual, predicted = event.new
            if actual >= 0:
                keep &= trace.labels == actual
            if predicted >= 0:
                keep &= final == predicted
        self.widget.selection = []
        self.widget.page = 1
        self.widget.value = self.frame if event.new is None else self.frame[keep]
        self._selected(type("Event", (), {"new": self.selection.sequence}))
