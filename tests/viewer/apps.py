"""Serves a single view to a browser, for tests of views that are not on the page's server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import panel as pn
from hiddenstate_viewer.present import keep_apart

__all__ = ["served", "until"]


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives once it holds; threads have half a minute."""
    for _ in range(3_000):
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it never came about")


@contextlib.contextmanager
def served(app: Callable[[], Any]) -> Iterator[str]:
    """Address at which what `app` gives is served, by a thread."""
    keep_apart()
    before = set(pn.state._servers)

    def port() -> Any:
        # Servers that were stopped may still be listed; the new one is not there before it listens.
        return [value[0].port for name, value in dict(pn.state._servers).items() if name not in before]

    server = pn.serve(app, port=0, address="127.0.0.1", threaded=True, show=False, verbose=False)
    try:
        yield f"http://127.0.0.1:{until(port)[0]}/"
    finally:
        server.stop()
