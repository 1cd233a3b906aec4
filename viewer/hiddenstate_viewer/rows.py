"""Which rows the table shows, in which order: filtered and sorted by what all sessions share, copied by none."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import CustomJS
from numpy.typing import NDArray
from panel.widgets import Tabulator

from hiddenstate_viewer.data import ViewData

__all__ = ["COLUMNS", "PagedTable", "RowIndex"]

#: Columns in the order shown; the first and "hits" are each session's own.
COLUMNS = ("mark", "id", "class", "predicted", "correct", "confidence", "words", "hits", "text")

#: Columns that a header's filter looks in.
_TEXTS = ("id", "class", "predicted", "correct", "text")
#: Rows for which there is room at the least height of the table.
_FEWEST = 3
_DIGITS = re.compile(r"(\d+)")

#: Puts marks into the rows that stand. Data sent anew would replace the rows: a button pressed on one and let go on its
#: successor is no click.
_MARK_ROWS = """
const marks = cb_obj.tags.slice(1)
cb_obj.source.data.mark = marks
const table = Bokeh.index.find_one(cb_obj)?.tabulator
if (!table?.initialized) return
for (const row of table.getRows()) {
  const { _index, mark } = row.getData()
  if (marks[_index] !== undefined && marks[_index] !== mark) row.update({ mark: marks[_index] })
}
"""


class RowIndex:
    """Of one trace: ranks to sort by and texts to look in, made when first asked for; safe in threads.

    Parameters
    ----------
    data : ViewData
        The trace. One index serves all its sessions, see `RowIndex.of`.
    """

    def __init__(self, data: ViewData) -> None:
        self.frame: pd.DataFrame = data.table.assign(mark="", hits=0)[list(COLUMNS)]
        self.everything = np.arange(len(self.frame), dtype=np.int64)
        self.everything.flags.writeable = False
        self._lock = threading.Lock()
        self._ranks: dict[str, NDArray[np.int32]] = {}
        self._texts: dict[str, Any] = {}

    @classmethod
    def of(cls, data: ViewData) -> RowIndex:
        """The one of a trace."""
        index: RowIndex = data.keep("rows", None, lambda: cls(data))
        return index

    def ranks(self, column: str) -> NDArray[np.int32]:
        """Place of each row when sorted by a column, equal ones alike; numbers within names count as numbers."""
        with self._lock:
            if column not in self._ranks:
                values = self.frame[column].to_numpy()
                if values.dtype.kind not in "iufb":
                    texts, which = np.unique(np.array([str(v).casefold() for v in values], object), return_inverse=True)
                    place = np.arange(len(texts), dtype=np.int32)
                    if column != "text":
                        place[sorted(range(len(texts)), key=lambda i: _natural(str(texts[i])))] = place.copy()
                    self._ranks[column] = place[which]
                else:
                    self._ranks[column] = np.unique(values, return_inverse=True)[1].astype(np.int32)
            return self._ranks[column]

    def containing(self, column: str, part: str) -> NDArray[np.bool_]:
        """Whether each row's text contains a part, in any case; (S,) bool."""
        part = part.casefold()
        with self._lock:
            if column not in self._texts:
                codes, values = pd.factorize(self.frame[column])
                self._texts[column] = codes, [str(value).casefold() for value in values]
            codes, values = self._texts[column]
        found = np.fromiter((part in value for value in values), np.bool_, len(values))
        return np.asarray(found[codes]) if len(found) else np.zeros(len(self.frame), np.bool_)

    def order(
        self,
        rows: NDArray[np.int64] | None,
        filters: Sequence[Mapping[str, Any]],
        sorters: Sequence[Mapping[str, Any]],
        extra: Mapping[str, NDArray[Any]],
    ) -> NDArray[np.int64]:
        """Numbers of the sequences shown, in the order shown.

        Parameters
        ----------
        rows : (n,) int64 or None
            Those that may be shown; None is all.
        filters, sorters : sequence of mappings
            As the table in the browser has them: ``field`` and ``value``, ``field`` and ``dir``.
        extra : mapping of str to (S,) array
            Columns that are a session's own.

        Returns
        -------
        (n,) int64
        """
        keep = self.everything if rows is None else rows
        for one in filters:
            value = one.get("value")
            field = str(one.get("field"))
            # Blanks count, as they do for the browser, which looks through the rows of its page once more.
            if isinstance(value, str) and value and field in _TEXTS:
                keep = keep[self.containing(field, value)[keep]]
        keys = []
        for one in sorters:
            field = str(one.get("field"))
            if field in extra or field in self.frame.columns:
                ranks = np.asarray(extra[field])[keep] if field in extra else self.ranks(field)[keep]
                keys.append(-ranks.astype(np.int64) if one.get("dir") == "desc" else ranks)
        return keep[np.lexsort(keys[::-1])] if keys else keep


def _natural(text: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in _DIGITS.split(text) if part]


class _Positions(Mapping[int, int]):
    """Number of the sequence by position, where Panel would make a dict of all of them for every session."""

    def __init__(self, order: NDArray[np.int64]) -> None:
        self._order = order

    def __getitem__(self, position: int) -> int:
        if not 0 <= position < len(self._order):
            raise KeyError(position)
        return int(self._order[position])

    def __iter__(self) -> Any:
        return iter(range(len(self._order)))

    def __len__(self) -> int:
        return len(self._order)


class PagedTable(Tabulator):
    """Panel's Tabulator over a frame that sessions share: it keeps an order of row numbers and hands out one page.

    Panel's own filters and sorts the frame by copying it, with Python objects for every row of every session. Its
    ``selection`` stays empty: the browser would scroll to the rows selected, which a filter being typed may have hidden
    from it, or which are of a page still on its way. What is selected is a mark in the row's own data.

    Parameters
    ----------
    owner : object
        Its ``order_of(filters, sorters)`` says the row numbers in order, its ``page_of(rows)`` the session's own
        columns of a page, its ``pressed(rows, fresh)`` is told of clicks.
    frame : DataFrame
        The rows, numbered from 0.
    shares : mapping of str to float
        Columns that divide the room which the others leave, and each one's share. Widths in percent would be those of
        the size at first.
    """

    page: int

    def __init__(self, owner: Any, frame: pd.DataFrame, *, shares: Mapping[str, float], **options: Any) -> None:
        self._owner, self._shares = owner, shares
        self.order: NDArray[np.int64] = np.zeros(0, np.int64)
        self._marked = 0
        super().__init__(frame, pagination="remote", **options)

    # What follows takes the place of methods of Panel 1.9; the tests of the table tell when these are no more.

    @property
    def page_rows(self) -> int:
        """Rows of a page."""
        return int(self.page_size or self.initial_page_size)

    def refresh(self) -> None:
        """Show the rows anew."""
        self._update_cds()

    def mark(self) -> None:
        """Show the marks of the page's rows anew, and nothing else."""
        self._data["mark"] = marks = self._owner.page_of(np.asarray(self._data["index"], np.int64))["mark"]
        self._marked += 1  # the same marks again are news where the rows were sent in between
        self.tags = [self._marked, *marks.tolist()]

    def _get_model(self, *arguments: Any, **named: Any) -> Any:
        model = super()._get_model(*arguments, **named)
        model.js_on_change("tags", CustomJS(code=_MARK_ROWS))
        return model

    def _config_columns(self, *arguments: Any) -> Any:
        columns = super()._config_columns(*arguments)
        for column in columns:
            if (share := self._shares.get(column.get("field"))) is not None:
                column["widthGrow"] = share
        return columns

    def _get_data(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        self.order = self._owner.order_of(self.filters, self.sorters)
        last = max(-(-len(self.order) // self.page_rows), 1)
        start = (min(max(self.page, 1), last) - 1) * self.page_rows
        rows = self.order[start : start + self.page_rows]
        page = self.value.take(rows)
        data: dict[str, Any] = {name: page[name].to_numpy().copy() for name in page.columns}
        data.update(self._owner.page_of(rows), index=rows.copy())
        return pd.DataFrame(index=pd.Index(self.order, copy=False)), data

    def _process_events(self, events: dict[str, Any]) -> None:
        # One row a page is what the browser finds where its rows fill the room to the pixel.
        if events.get("page_size", _FEWEST) < _FEWEST:
            del events["page_size"]
        super()._process_events(events)

    def _update_index_mapping(self) -> None:
        self._index_mapping = _Positions(self.order)

    def _update_max_page(self) -> None:
        super()._update_max_page()
        if self.page > self.param.page.bounds[1]:
            self.page = self.param.page.bounds[1]

    def _get_style_data(self, recompute: bool = True) -> dict[str, Any]:
        return {}

    def _validate(self, *_: Any) -> None:
        pass  # there are no cell styles, for which Panel would keep a Styler of the whole frame

    def _update_selection(self, event: Any) -> None:
        start = (self.page - 1) * self.page_rows
        positions = [start + int(i) for i in event.indices if 0 <= start + int(i) < len(self.order)]
        self._owner.pressed([int(self.order[position]) for position in positions], bool(event.flush))
