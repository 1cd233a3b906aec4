"""A page's models written out for the browser while it still reads the page's scripts, so that it need not wait."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

__all__ = ["write_ahead"]

#: Seconds after which the browser has been given its scripts and is busy with them for longer than writing takes.
_SCRIPTS = 0.2


def write_ahead(document: Any) -> None:
    """Write a document out a little later, for the one who asks for it next.

    Writing some four hundred models takes the server a quarter of a second, which the browser would spend waiting. What
    was written is thrown away where anything of the document changes before it is asked for.

    Parameters
    ----------
    document : bokeh.document.Document
        Of a session that has just been made; elsewhere than in a server nothing happens.
    """
    plain = document.to_json
    written: list[Any] = []

    def write() -> None:
        if document.session_context is not None and len(document.roots):  # not closed by now
            written[:] = [plain()]

    def changed(event: Any) -> None:
        written.clear()

    def to_json(**options: Any) -> Any:
        timer.cancel()  # whoever asks early needs nothing later
        return written.pop() if written and not options else plain(**options)

    with contextlib.suppress(RuntimeError):  # no event loop: no server
        timer = asyncio.get_running_loop().call_later(_SCRIPTS, write)
        document.on_change(changed)
        document.to_json = to_json
