"""Serve the pages of traces to browsers: on this machine only unless told otherwise, a fresh page per session."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.traces import Trace
from hiddenstate_core.viewing import ServeOptions
from hiddenstate_viewer.access import Access, check_origin, check_prefix, choose_token, public_origins
from hiddenstate_viewer.catalogue import Catalogue, Served
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.limits import check_arguments
from hiddenstate_viewer.listening import bind, bracketed, is_loopback, own_names, shown_host
from hiddenstate_viewer.pauses import without_long_pauses

__all__ = ["ServeOptions", "Store", "ViewerServer", "serve", "start"]

Store = Trace | str | os.PathLike[str]

#: Seconds that pages which are open when all is loaded may stay so before what they hold counts as loaded, too.
_VISITED = 30.0
_log = logging.getLogger("hiddenstate.viewer")
_TEMPLATE = """
{% extends base %}
{% block title %}TITLE{% endblock %}
{% block preamble %}<link rel="icon" href="data:,">{% endblock %}
{% block postamble %}<style>CSS</style>
<script>window.hiddenstateServed = true{% raw %}SCRIPT{% endraw %}</script>{% endblock %}
{% block contents %}{{ embed(roots.page) }}{% endblock %}
"""


class ViewerServer:
    """A running server.

    Attributes
    ----------
    address : str
        Where the page is, or that which lists the stores; with the token if there is one.
    port : int
        Its port.
    token : str or None
        What visitors must have.
    """

    def __init__(self, running: _Running, stop: Callable[[], None]) -> None:
        self.address, self.port, self.token = running.address, running.port, running.access.token
        self._running = running
        self._stop = stop

    @property
    def sessions(self) -> int:
        """Number of sessions that the server holds now, those included that are about to be freed."""
        return int(self._running.application.session_count)

    @property
    def ready(self) -> bool:
        """Whether all stores were opened; as ``/ready`` says."""
        return self._running.catalogue.ready

    def stop(self) -> None:
        """End the server and wait until it has ended; safe to call twice."""
        self._stop()

    def __enter__(self) -> ViewerServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    stores: Store | Sequence[Store],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: Sequence[str | os.PathLike[str]] = (),
    options: ServeOptions | None = None,
    open_browser: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve traces until interrupted (Ctrl-C, or a request to end).

    The stores are read in the background: the address answers at once, and a page waits for its store.

    Parameters
    ----------
    stores : Trace, path-like, or a sequence of them
        What to show. The page of one is at the root; several are at ``/s/NAME``, listed at the root.
    host : str
        Address to listen on. Where others than this machine can reach it, visitors need a token.
    port : int
        Port wanted; the next free one of twenty is taken if it is in use, any free one for 0.
    models : sequence of path-like
        Checkpoints that recorded the stores, for reading sentences typed in.
    options : ServeOptions, optional
        Token, proxies in front, limits.
    open_browser : bool
        Whether a browser is opened at the page.
    on_ready : callable, optional
        Called with the page's address once it is served.

    Raises
    ------
    HiddenStateError
        No such store or none that can be read, a checkpoint that recorded none of them, an option that cannot be
        meant, or an address that cannot be listened on; before anything is served.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    running = None
    try:
        running = _Running(stores, host, port, models, options or ServeOptions())
        # A process that does something else as well (`start`) keeps its own garbage collection.
        with _ended_by_signals(loop), without_long_pauses(loop, running.loaded):
            address = running.address
            if open_browser:
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
            if on_ready is not None:
                loop.call_soon(on_ready, address)
            with contextlib.suppress(KeyboardInterrupt):
                loop.run_forever()
    finally:
        _close(running, loop)


def start(
    stores: Store | Sequence[Store],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: Sequence[str | os.PathLike[str]] = (),
    options: ServeOptions | None = None,
) -> ViewerServer:
    """Serve traces from a thread of its own and return at once; parameters and errors as `serve`.

    Returns
    -------
    ViewerServer
        Its `stop` ends it; so does leaving it as a context manager.
    """
    begun = threading.Event()
    found: dict[str, Any] = {}

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        running = None
        try:
            try:
                running = found["running"] = _Running(stores, host, port, models, options or ServeOptions())
                found["loop"] = loop
            except BaseException as error:
                found["error"] = error
                return
            finally:
                begun.set()
            loop.run_forever()
        finally:
            _close(running, loop)

    thread = threading.Thread(target=run, name="hiddenstate-viewer", daemon=True)
    thread.start()
    begun.wait()
    if "error" in found:
        thread.join(20)
        raise found["error"]

    def stop() -> None:
        if thread.is_alive():
            with contextlib.suppress(RuntimeError):
                found["loop"].call_soon_threadsafe(found["loop"].stop)
            thread.join(20)

    return ViewerServer(found["running"], stop)


class _Running:
    """Everything that one server consists of; made on the thread whose event loop is to run it."""

    def __init__(
        self,
        stores: Store | Sequence[Store],
        host: str,
        port: int,
        models: Sequence[str | os.PathLike[str]],
        options: ServeOptions,
    ) -> None:
        import panel as pn
        from bokeh.server.server import BaseServer
        from panel.io.application import build_applications
        from tornado.httpserver import HTTPServer
        from tornado.ioloop import IOLoop

        from hiddenstate_viewer.inline import inline_small_arrays
        from hiddenstate_viewer.present import keep_apart
        from hiddenstate_viewer.routes import ViewerApplication

        keep_apart()
        inline_small_arrays()
        prefix = check_prefix(options.prefix)
        origins = frozenset(pair for text in options.origins for pair in check_origin(text))
        token = choose_token(options, public=not is_loopback(host) or public_origins(origins))
        self.catalogue = Catalogue(_paths(stores), models, warm=_warm)
        sockets, self.port = bind(host, port)
        try:
            self.access = Access(self.port, own_names(host, sockets), origins, token, prefix)
            pn.extension("tabulator", notifications=False)
            routes = {f"/s/{one.name}": one for one in self.catalogue.served}
            if len(self.catalogue.served) == 1:
                routes["/"] = self.catalogue.served[0]
            self.application = ViewerApplication(
                build_applications({route: _page_of(one) for route, one in routes.items()}),
                routes,
                self.catalogue,
                self.access,
                options.max_sessions,
            )
            # A proxy in front says who asks and over which protocol; nobody else is believed.
            http = HTTPServer(
                self.application,
                xheaders=bool(prefix or origins),
                max_header_size=64 << 10,
                max_body_size=64 << 10,
                idle_connection_timeout=600,
            )
            http.add_sockets(sockets)
        except BaseException:
            for one in sockets:
                one.close()
            raise
        self.http = http
        self.server = BaseServer(IOLoop.current(), self.application, http)
        asyncio.get_event_loop().set_exception_handler(_unheard)
        self.server.start()
        self.catalogue.open()
        query = "" if token is None else f"?token={token}"
        self.address = f"http://{bracketed(shown_host(host))}:{self.port}{prefix}/{query}"
        self._warmed: tuple[Future[None], float] | None = None

    def loaded(self) -> bool:
        """Whether nothing more is loaded that stays; pages that are open by then are waited for, but not for long."""
        from hiddenstate_viewer.reader import caught_up

        if self.catalogue.ready and self._warmed is None:
            self._warmed = caught_up(), time.monotonic() + _VISITED
        if self._warmed is None or not self._warmed[0].done():
            return False
        return not self.application.session_count or time.monotonic() > self._warmed[1]


def _paths(stores: Store | Sequence[Store]) -> list[Path]:
    several = [stores] if isinstance(stores, (Trace, str, os.PathLike)) else list(stores)
    if not several:
        raise InputError("There is nothing to serve; give at least one store.")
    return [one.path if isinstance(one, Trace) else Path(one) for one in several]


def _page_of(served: Served) -> Callable[[], Any]:
    """What builds the page of a store for a new session."""

    def page() -> Any:
        import panel as pn
        from panel.io.resources import get_dist_path

        from hiddenstate_viewer.theme import LIGHT, LOOKS, PAGE_CSS

        # Panel does so for a page that is asked for; a browser that comes back after its session was given up (a slow
        # line, a laptop that slept) asks for none, and would be sent to another server for style sheets.
        pn.state.curdoc.template_variables["dist_url"] = get_dist_path()
        arguments = check_arguments(pn.state.session_args or {})
        try:
            data = served.data
            if data is None:  # gone between the request and the session, or when a browser comes back
                raise InputError(served.problem or f"{served.name} is being opened; load this page again in a moment.")
            view = _session_page(data, arguments)
        except HiddenStateError as error:
            view = _instead(served, str(error))
        except Exception:
            _log.exception("the page of %s cannot be built", served.path)
            view = _instead(served, "Whoever started the server finds the reason in its log.")
        look = LOOKS.get(arguments.get("theme", ""), LIGHT)
        return _template(f"{served.path.name} · hiddenstate", f":root {{ {look.css} }} {PAGE_CSS}", view)

    return page


def _instead(served: Served, sentence: str) -> Any:
    import panel as pn

    from hiddenstate_viewer.notices import notice_fragment
    from hiddenstate_viewer.theme import VIEW_CSS

    what = notice_fragment(f"{served.name} cannot be shown", sentence)
    return pn.pane.HTML(what, sizing_mode="stretch_both", stylesheets=[VIEW_CSS])


def _session_page(data: ViewData, arguments: dict[str, str]) -> Any:
    """One session's page; the one place where serving meets it."""
    from hiddenstate_viewer.page import build_session

    return build_session(data, arguments).layout


def _template(title: str, css: str, view: Any) -> Any:
    import json

    import panel as pn
    from bokeh.events import ConnectionLost
    from bokeh.models import CustomJS

    from hiddenstate_viewer.ahead import write_ahead
    from hiddenstate_viewer.linking import lost_script, quick_script

    # As a string of Jinja's, the title is text whatever the folder is called.
    quoted = json.dumps(title)

    class PageTemplate(pn.Template):
        """Panel's template, without what it does over and over: counting the page's models, and describing itself."""

        def server_doc(self, doc: Any = None, title: str | None = None, location: Any = True) -> Any:
            doc = pn.state.curdoc if doc is None else doc
            doc.js_on_event(ConnectionLost, CustomJS(code="window.hiddenstateLost?.()"))
            with doc.models.freeze():  # they are counted once, at the end
                served = super().server_doc(doc, title, location)
            write_ahead(doc)
            return served

        def __repr__(self) -> str:
            return "PageTemplate()"

    # The title last: a folder may be called as one of the other places is.
    page = _TEMPLATE.replace("SCRIPT", quick_script() + lost_script()).replace("CSS", css)
    template = PageTemplate(page.replace("TITLE", "{{ " + quoted + " | e }}"))
    template.add_panel("page", view)
    return template


def _warm(data: ViewData) -> None:
    """Load what is loaded late and compile what compiles when it first runs, so that no visitor waits for it."""
    from hiddenstate_viewer.density import warm
    from hiddenstate_viewer.holo import holoviews
    from hiddenstate_viewer.reader import ModelDesk
    from hiddenstate_viewer.state import Selection

    ModelDesk.of(data).warm()  # by a thread of its own
    importlib.import_module("hiddenstate_viewer.page")
    holoviews()
    name = Selection(data).projection
    if name is not None:
        warm(data, name)


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What becomes of an error that nobody waits for: of a browser that has gone, nothing."""
    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketClosedError

    if not isinstance(context.get("exception"), (StreamClosedError, WebSocketClosedError)):
        loop.default_exception_handler(context)


@contextlib.contextmanager
def _ended_by_signals(loop: asyncio.AbstractEventLoop) -> Any:
    """Let Ctrl-C and a request to end stop the loop between two pieces of its work, where signals can be had."""
    taken = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, loop.stop)
            taken.append(number)
        except (ValueError, RuntimeError, NotImplementedError):  # another thread than the main one, or Windows
            continue
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _close(running: _Running | None, loop: asyncio.AbstractEventLoop) -> None:
    if running is not None:
        with contextlib.suppress(Exception):
            running.server.stop()
        with contextlib.suppress(Exception):  # else a browser waits for an answer on one that it has kept
            loop.run_until_complete(running.http.close_all_connections())
        with contextlib.suppress(Exception):
            running.catalogue.close()
    with contextlib.suppress(Exception):
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    asyncio.set_event_loop(None)
