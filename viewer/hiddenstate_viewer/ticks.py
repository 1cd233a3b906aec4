"""Changes of a session's models: under its document's lock, and all that belongs together in one message."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import panel as pn
import panel.io.document

__all__ = ["change"]

_lock = threading.Lock()
#: Tasks under way: the event loop itself keeps them weakly.
_sending: set[asyncio.Future[None]] = set()
#: Documents of each event loop that are looked after.
_served: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()
_looking: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
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
    with contextlib.ExitStack() as stack:
        stack.callback(_see_to_it, document)
        stack.enter_context(pn.io.hold(document))
        for action in reversed(due):
            stack.callback(action)


#: Seconds between two looks at what has not been sent.
_LATE = 0.05


def _see_to_it(document: Any) -> None:
    """Have messages of a document sent that Panel has forgotten, from now on.

    Panel (1.9) hands what it cannot write at once to a task; where two such tasks overlap, the first one to end lifts
    the mark by which the second knows that there is something to do, and its message waits for the next one, if any.
    Nobody is told of it, so somebody has to look; a look costs next to nothing.
    """
    with contextlib.suppress(RuntimeError):  # no event loop: no server
        loop = asyncio.get_running_loop()
        served = _served.setdefault(loop, weakref.WeakSet())
        served.add(document)
        if loop not in _looking:
            _looking.add(loop)
            loop.call_later(_LATE, _look, loop)


def _look(loop: asyncio.AbstractEventLoop) -> None:
    waiting, marks = (getattr(panel.io.document, name, {}) for name in ("_WRITE_MSGS", "_WRITE_BLOCK"))
    served = _served[loop]
    for document in served.intersection(waiting):
        if document not in marks:
            marks[document] = True
            task = asyncio.ensure_future(panel.io.document._dispatch_msgs(document))
            _sending.add(task)
            task.add_done_callback(_sending.discard)
    for document in [one for one in served if one.session_context is None]:
        served.discard(document)  # its page was closed
    if len(served):
        loop.call_later(_LATE, _look, loop)
    else:
        _looking.discard(loop)
