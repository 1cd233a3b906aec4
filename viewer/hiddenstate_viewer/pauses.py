"""Garbage collection without long pauses: it no longer looks through what a server loads once and keeps."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator

__all__ = ["without_long_pauses"]

#: Seconds between two looks whether all is loaded.
_EVERY = 1.0


@contextlib.contextmanager
def without_long_pauses(loop: asyncio.AbstractEventLoop, loaded: Callable[[], bool]) -> Iterator[None]:
    """While this lasts, have garbage collected among what comes after all is loaded only.

    The libraries come to half a million objects. Panel has garbage collected after every page that is closed, and to
    look through all of them has every other page wait for a quarter of a second.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Asks from time to time whether all is `loaded`.
    loaded : callable
        Says so; garbage that there is then stays until the end.
    """
    # Somebody's own freeze is left as it is.
    ours = gc.get_freeze_count() == 0
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        if loaded():
            gc.freeze()
        else:
            timer = loop.call_later(_EVERY, look)

    timer = loop.call_later(_EVERY, look)
    try:
        yield
    finally:
        timer.cancel()
        if ours:
            gc.unfreeze()
