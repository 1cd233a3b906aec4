"""Changes of a session's models: under its document's lock, and all that belongs together in one message."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import panel as pn

__all__ = ["change"]

_lock = threading.Lock()
_due: weakref.WeakKeyDictionary[Any, dict[Callable[[], None], None]] = weakref.WeakKeyDictionary()


def change(document: Any, action: Callable[[], None]) -> None:
    """Run an action that changes models of a document; at once where no server has it.

    Panel may hand on a widget's event without the document's lock, without which Bokeh's own models must not be
    changed; a callback of the next tick holds it. Whatever is due by then is done together, in the order it was asked
    for and each action once, and reaches the browser as one message: a page that is told one thing after another
    lays out and paints itself as often.

    Parameters
    ----------
    document : bokeh.document.Document or None
        What the models belong to.
    action : callable
        What changes them. What it raises is logged; the other actions are run all the same.
    """
    if document is None or document.session_context is None:
        action()
        return
    with _lock:
        due = _due.setdefault(document, {})
        first = not due
        due[action] = None
    if first:
        document.add_next_tick_callback(functools.partial(_run, document))


def _run(document: Any) -> None:
    with _lock:
        due = list(_due.pop(document, {}))
    # A stack runs the last one first, and all of them whatever one raises.
    with pn.io.hold(document), contextlib.ExitStack() as stack:
        for action in reversed(due):
            stack.callback(action)
