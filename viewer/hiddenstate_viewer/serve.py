"""Serve the page of a trace to a browser: on this machine only, a fresh page per session, one trace for all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.traces import Trace
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.density import density_image
from hiddenstate_viewer.projection import ALL_POINTS
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import PAGE_CSS

__all__ = ["ViewerServer", "serve", "start"]

_TEMPLATE = """
{% extends base %}
{% block title %}TITLE{% endblock %}
{% block preamble %}<link rel="icon" href="data:,">{% endblock %}
{% block postamble %}<style>CSS</style>{% endblock %}
{% block contents %}{{ embed(roots.page) }}{% endblock %}
"""
_TRIES = 20


class ViewerServer:
    """A running server.

    Attributes
    ----------
    address : str
        Where the page is.
    port : int
        Its port.
    """

    def __init__(self, address: str, port: int, stop: Callable[[], None]) -> None:
        self.address = address
        self.port = port
        self._stop = stop

    def stop(self) -> None:
        """End the server and wait until it has ended; safe to call twice."""
        self._stop()

    def __enter__(self) -> ViewerServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    store: Trace | str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a trace until interrupted (Ctrl-C).

    Parameters
    ----------
    store : Trace or path-like
        What to show.
    host : str
        Address to listen on.
    port : int
        Port wanted; the next free one is taken if it is in use, any free one for 0.
    open_browser : bool
        Whether a browser is opened at the page.
    on_ready : callable, optional
        Called with the page's address once it is served.

    Raises
    ------
    HiddenStateError
        No such store, a damaged one, or an address that cannot be listened on; before anything is served.
    """
    data = _load(store)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server, address = _listen(data, host, port)
    try:
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        if on_ready is not None:
            loop.call_soon(on_ready, address)
        with contextlib.suppress(KeyboardInterrupt):
            loop.run_forever()
    finally:
        _close(server, loop)


def start(store: Trace | str | os.PathLike[str], *, host: str = "127.0.0.1", port: int = 0) -> ViewerServer:
    """Serve a trace from a thread of its own and return at once; parameters and errors as `serve`.

    Returns
    -------
    ViewerServer
        Its `stop` ends it; so does leaving it as a context manager.
    """
    data = _load(store)
    ready = threading.Event()
    found: dict[str, Any] = {}

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            found["server"], found["address"] = _listen(data, host, port)
            found["loop"] = loop
        except Exception as error:
            found["error"] = error
            loop.close()
            return
        finally:
            ready.set()
        try:
            loop.run_forever()
        finally:
            _close(found["server"], loop)

    thread = threading.Thread(target=run, name="hiddenstate-viewer", daemon=True)
    thread.start()
    ready.wait()
    if "error" in found:
        raise found["error"]

    def stop() -> None:
        if thread.is_alive():
            with contextlib.suppress(RuntimeError):
                found["loop"].call_soon_threadsafe(found["loop"].stop)
            thread.join(20)

    return ViewerServer(found["address"], found["server"].port, stop)


def _load(store: Trace | str | os.PathLike[str]) -> ViewData:
    trace = store if isinstance(store, Trace) else Trace(Path(store))
    data = ViewData(trace)
    data.check()
    return data


def _listen(data: ViewData, host: str, port: int) -> tuple[Any, str]:
    import panel as pn
    from panel.io.server import get_server

    if not 0 <= port <= 65_535:
        raise InputError(f"A port lies in 0..65535, not {port}; 0 takes any free one.")
    pn.extension("tabulator", notifications=False)

    def page() -> Any:
        from html import escape

        from hiddenstate_viewer.page import Page

        title = escape(f"{data.name} · hiddenstate").replace("{", "&#123;").replace("%", "&#37;")
        template = pn.Template(_TEMPLATE.replace("TITLE", title).replace("CSS", PAGE_CSS))
        template.add_panel("page", Page(data, keys=True).layout)
        return template

    if len(data.trace.projections) and data.trace.steps > ALL_POINTS:
        threading.Thread(target=_warm, args=(data,), daemon=True).start()
    shown = "127.0.0.1" if host in ("", "0.0.0.0") else host
    last: OSError | None = None
    for attempt in range(_TRIES):
        try:
            chosen = _free_port(host, 0 if port == 0 else min(port + attempt, 65_535))
            origins = [f"{name}:{chosen}" for name in {shown, "127.0.0.1", "localhost"}]
            server = get_server(
                {"/": page},
                port=chosen,
                address=host,
                websocket_origin=origins,
                title=data.name,
                start=False,
                show=False,
                verbose=False,
            )
        except OSError as error:
            last = error
            continue
        server.start()
        return server, f"http://{shown}:{chosen}/"
    raise _UnreachableError(f"Nothing can listen on {host}, port {port} ({last}); choose another --port or --host.")


def _warm(data: ViewData) -> None:
    # Datashader compiles its loops when they first run; meanwhile the page can already be asked for.
    with contextlib.suppress(HiddenStateError):
        name = Selection(data).projection
        if name is not None:
            density_image(data, name, "prediction", (0.0, 1.0), (0.0, 1.0), 16, 16)


class _UnreachableError(HiddenStateError, OSError):
    """An address that cannot be listened on."""


def _free_port(host: str, port: int) -> int:
    """The port if it can be listened on, any free one for 0; `OSError` otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)
        return int(probe.getsockname()[1])


def _close(server: Any, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(Exception):
        server.stop()
    with contextlib.suppress(Exception):
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.close()
    asyncio.set_event_loop(None)
