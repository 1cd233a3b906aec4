"""The address: the whole state of the page as a URL's query, kept in step with the selection."""

from __future__ import annotations

from typing import Any

from hiddenstate_viewer.address_reading import apply, from_query, session_arguments, theme_of
from hiddenstate_viewer.address_writing import KEYS, OPTIONS, left_out, query_string, to_query
from hiddenstate_viewer.state import Selection

__all__ = [
    "KEYS", "AddressBar", "apply", "from_query", "left_out", "query_string", "session_arguments", "theme_of",
    "to_query",
]  # fmt: skip

#: Only this page's own keys are replaced; nothing is added to the history, nothing is loaded.
_REPLACE = """
clearTimeout(window.__hs_address)
window.__hs_address = setTimeout(() => {
  const kept = [...new URLSearchParams(window.location.search)].filter(([key]) => !keys.includes(key))
  const query = [new URLSearchParams(kept).toString(), cb_obj.value].filter((part) => part).join("&")
  const search = query ? `?${query}` : ""
  if (search !== window.location.search) {
    window.history.replaceState(window.history.state, "", window.location.pathname + search + window.location.hash)
  }
}, delay)
"""


class AddressBar:
    """Keeps the browser's address in step with a selection, without loading anything or adding to the history.

    Panel's own `Location` adds an entry to the history for every change, so that Back would lead through all of them.

    Parameters
    ----------
    selection : Selection
        What it follows.
    theme : str
        The page's theme.
    delay : int
        Milliseconds without a change after which the address is set.

    Attributes
    ----------
    view : panel.viewable.Viewable
        Nothing to see; must be on the page. Without a server (in a notebook) it has no effect.
    query : str
        The query as it is now, without its question mark.
    """

    def __init__(self, selection: Selection, theme: str = "light", delay: int = 150) -> None:
        import panel as pn

        self.selection, self.theme = selection, theme
        self.view = pn.widgets.TextInput(value=self.query, max_length=100_000, visible=False, margin=0)
        if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
            return
        self.view.jscallback(args={"keys": list(KEYS), "delay": delay}, value=_REPLACE)
        names = [name for name in selection.param if name not in ("name", "options")]
        selection.param.watch(self._changed, names)
        selection.options.param.watch(self._changed, list(OPTIONS.values()))

    @property
    def query(self) -> str:
        """The query as it is now."""
        return query_string(to_query(self.selection, self.theme))

    def _changed(self, *_: Any) -> None:
        self.view.value = self.query
