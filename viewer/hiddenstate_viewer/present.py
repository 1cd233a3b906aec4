"""Bokeh's present document, for each thread its own: what a server builds is not taken for what a notebook builds."""

from __future__ import annotations

import threading
from typing import Any

import bokeh.io.doc

__all__ = ["keep_apart"]


class _Stack(threading.local):
    """Stands in for the list, of the whole process, in which Bokeh keeps the documents that are being worked on."""

    def __init__(self) -> None:  # run in every thread that comes here
        self._held: list[Any] = []

    def append(self, one: Any) -> None:
        self._held.append(one)

    def pop(self) -> Any:
        # Empty for whoever began before the list was replaced.
        return self._held.pop() if self._held else None

    def __getitem__(self, place: int) -> Any:
        return self._held[place]

    def __len__(self) -> int:
        return len(self._held)


def keep_apart() -> None:
    """Have Bokeh keep the present document of each thread apart, from now on; done once.

    Bokeh 3.9 has one list for the process, and takes nothing back from it where a callback fails. A thread that builds
    views while another serves pages would so be given a stranger's document, or one that is long closed.
    """
    if isinstance(getattr(bokeh.io.doc, "_PATCHED_CURDOCS", None), list):
        bokeh.io.doc._PATCHED_CURDOCS = _Stack()
