"""The page as an object, for a notebook or a program: shown where it is evaluated, read and steered from Python."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

import pandas as pd
import panel as pn

from hiddenstate_core.errors import InputError
from hiddenstate_core.models import Model
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.export import make_export
from hiddenstate_viewer.frames import chosen_sequences, chosen_states, frame_of, sequence_blocks, state_blocks
from hiddenstate_viewer.page import Page
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import DARK, LIGHT

__all__ = ["Viewer"]

#: Seconds between looks for changes that threads have made and that the notebook has yet to be told.
_PULSE = 0.1


class Viewer:
    """A trace's page, to be shown in a notebook and steered from Python.

    Parameters
    ----------
    trace : Trace, ViewData or path-like
        What to show.
    model : path-like, optional
        Checkpoint that recorded the trace, for reading texts; one is looked for beside the store by default.
    dark : bool
        Whether on a dark ground.
    height : int
        Pixels.

    Attributes
    ----------
    selection : Selection
        What is selected: ``viewer.selection.sequence = 3`` changes every view, and a click in a view changes it.
        `Selection.query` filters, `Selection.strokes` are lassos and boxes, `Selection.steps_mask` the states inside.
    panes : dict of str to panel.viewable.Viewable
        Single views, to be placed elsewhere. A view lives in one place: show the page or its parts.
    layout : panel.viewable.Viewable
        The whole page.

    Raises
    ------
    HiddenStateError
        There is no trace, or it is damaged; no checkpoint at `model`, or one that recorded another trace.

    Notes
    -----
    In Jupyter, Panel ties the views to Python by itself; VS Code and Colab need the package ``jupyter_bokeh`` besides.
    """

    def __init__(
        self,
        trace: Trace | ViewData | str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | None = None,
        dark: bool = False,
        height: int = 820,
    ) -> None:
        if not isinstance(trace, ViewData):
            opened = trace if isinstance(trace, Trace) else Trace(trace)
            if model is not None:
                _check_model(opened, model)
            trace = ViewData(opened, model=model)
        elif model is not None:
            raise InputError("A ViewData has its model already: name it there, ViewData(trace, model=...).")
        self.data = trace
        self.data.check()
        self._look = DARK if dark else LIGHT
        _load()
        self._page = Page(self.data, look=self._look)
        # The page's colours come from properties that a server's page sets for the whole document.
        self.layout = pn.Column(
            self._page.layout, height=height, sizing_mode="stretch_width", margin=0,
            styles={"background": self._look.paper}, stylesheets=[f":host {{ {self._look.css} }}"],
        )  # fmt: skip
        self._closed = threading.Event()
        self._pulse: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Viewer({self.data.name}, sequence={self.selection.sequence})"

    @property
    def selection(self) -> Selection:
        """What is selected."""
        return self._page.selection

    @property
    def panes(self) -> dict[str, Any]:
        """Single views by name."""
        return dict(self._page.panes)

    # -- showing --------------------------------------------------------------------------------------------------

    def __panel__(self) -> Any:
        return self.layout

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        self._beat()
        return self.layout._repr_mimebundle_(include, exclude)

    def show_in(self, name: str) -> Any:
        """A single view that may be shown in a cell of its own.

        Raises
        ------
        InputError
            No such view; see `panes`.
        """
        panes = self.panes
        if name not in panes:
            raise InputError(f"There is no view {name!r:.60}; there is {', '.join(panes)}.")
        pane = panes[name]
        self._beat()
        return pn.Column(
            pane, sizing_mode="stretch_width", margin=0, height=480, stylesheets=[f":host {{ {self._look.css} }}"]
        )

    def refresh(self) -> None:
        """Tell the notebook what has changed; it is told by itself ten times a second where it is shown."""
        for ref in _refs(self._page):
            with contextlib.suppress(Exception):  # a cell that is gone, or a kernel that ends
                _push(ref)

    def _beat(self) -> None:
        if self._pulse is None:
            watched = weakref.ref(self)
            self._pulse = threading.Thread(target=_watch, args=(watched, self._closed), daemon=True)
            self._pulse.start()

    def close(self) -> None:
        """Let go of what the page holds; cells in which it is shown no longer answer. Safe to call twice."""
        self._closed.set()
        for ref in _refs(self._page):
            views = pn.state._views.get(ref)
            if views is not None:
                views[0]._cleanup(views[1])
                pn.state._views.pop(ref, None)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- taking away ----------------------------------------------------------------------------------------------

    def selected(self) -> pd.DataFrame:
        """The selected states: inside the lassos; else of the sequences that are read; else that pass the filter.

        Returns
        -------
        pandas.DataFrame
            ``state, sequence, id, position, word, predicted, confidence, class, x, y``; a row for each state.
        """
        return frame_of(state_blocks(self.data, chosen_states(self.selection), self.selection.projection))

    def sequences(self) -> pd.DataFrame:
        """The sequences in the table, with their whole text, as a frame."""
        return frame_of(sequence_blocks(self.data, chosen_sequences(self.selection)))

    def save(self, path: str | os.PathLike[str], what: str = "map") -> None:
        """Write a view, the page or the selection as a file; its ending says as what.

        Parameters
        ----------
        path : path-like
            ``.png``, ``.svg`` or ``.pdf`` for a view, ``.html`` for the page, ``.csv`` or ``.parquet`` for rows.
        what : str
            One of `hiddenstate_viewer.export.EXPORTS`: ``"map"``, ``"words"``, ``"states"``, ``"sequences"``...

        Raises
        ------
        HiddenStateError
            Nothing of that name, an ending that it cannot have, or nothing selected.
        """
        make_export(self.data, self.selection, self._look, what, path, typed=self._page.sentence.typed)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write what the page shows as an HTML file that needs nothing else."""
        self.save(path, "page")


def _check_model(trace: Trace, model: str | os.PathLike[str]) -> None:
    """Refuse a checkpoint that cannot read texts for a trace, before anything is shown."""
    found = Model.load(model)
    made: Any = trace.attributes.get("model")
    if not isinstance(made, dict) or made.get("fingerprint") != found.fingerprint:
        raise InputError(
            f"The checkpoint {os.fspath(model)} did not record {trace.path}; give the one that did, or leave it out. "
            f"Its fingerprint is {found.fingerprint[:12]}."
        )


def _load() -> None:
    """Panel's part in the notebook; outside of one this does nothing that is seen."""
    if not pn.extension._loaded:
        pn.extension("tabulator", notifications=False)


def _refs(page: Page) -> set[str]:
    """Names of the places in which the page or one of its views is shown."""
    models = (page.layout, *page.panes.values())
    return {ref for shown in models for ref in shown._models}


def _push(ref: str) -> None:
    from panel.io.notebook import push_on_root

    push_on_root(ref)


def _watch(watched: weakref.ref[Viewer], closed: threading.Event) -> None:
    while not closed.is_set():
        time.sleep(_PULSE)
        viewer = watched()
        if viewer is None:
            return
        for ref in _refs(viewer._page):
            shown: Mapping[str, Any] = pn.state._views
            document = shown[ref][2] if ref in shown else None
            if document is not None and document.callbacks._held_events:
                viewer.refresh()
                break
        del viewer
