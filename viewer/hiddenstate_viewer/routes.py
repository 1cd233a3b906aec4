"""The server's routes: one gate before all of them, and the few that there are."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bokeh.application import Application
from bokeh.server.session import ServerSession
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.multi_root_static_handler import MultiRootStaticHandler
from bokeh.server.views.static_handler import StaticHandler
from bokeh.util.token import get_session_id
from panel.io.server import DocHandler, WSHandler
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from hiddenstate_viewer.access import Access, plain_path
from hiddenstate_viewer.catalogue import Catalogue, Served
from hiddenstate_viewer.notices import NOTICE_POLICY, PAGE_POLICY, Row, entrance_html, listing_html, notice_html

__all__ = ["ViewerApplication"]

_log = logging.getLogger("hiddenstate.viewer")

#: Seconds for which a page waits for its store to be opened before it says that this is going on.
PATIENCE = 5.0
#: Seconds that a browser has, from the page to its WebSocket, before its session is given up.
GRACE = 45.0
#: Milliseconds after which a session whose tab was closed is freed, and between looking for such.
LINGER, SWEEP = 5_000, 1_000
#: Bytes of the longest message that a browser may send; the longest of ours are polygons drawn with the lasso.
LARGEST_MESSAGE = 2 << 20
_TITLES = {
    400: ("That request cannot be read", "Go back to the start page and follow its links."),
    403: ("Not open to you", "This address may not be looked at."),
    404: ("There is no such page", "The address may have been cut short; the start page lists what there is."),
    405: ("That cannot be done here", "Pages can be looked at only."),
    500: ("Something went wrong", "The server goes on; whoever started it finds the reason in its log."),
}


class House(RequestHandler):
    """What all answers have in common: headers that keep a page to itself, and errors as pages of our own.

    Those who watch over a server ask with HEAD: what answers GET answers it too, and Tornado leaves the body out.
    """

    policy = PAGE_POLICY

    def set_default_headers(self) -> None:
        self.set_header("Server", "hiddenstate")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Content-Security-Policy", self.policy)
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Security-Policy", NOTICE_POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        title, sentence = _TITLES.get(status_code, (self._reason, "Go back and try again."))
        self.finish(notice_html(title, sentence, theme=_theme(self.request)))

    def say(self, status: int, title: str, sentence: str, *, refresh: int | None = None) -> None:
        """Answer with a page that says one thing."""
        again = None
        if self.request.method == "GET" and status in (403, 503):
            again = self.request.path + (f"?{self.request.query}" if self.request.query else "")
        self.set_status(status)
        self.set_header("Content-Security-Policy", NOTICE_POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        timed = (refresh, again) if refresh is not None and again is not None else None
        if refresh:
            self.set_header("Retry-After", str(refresh))
        self.finish(notice_html(title, sentence, theme=_theme(self.request), again=again, refresh=timed))


class NoticeHandler(House):
    """One sentence, whatever the method."""

    def initialize(self, *, status: int, title: str, sentence: str, refresh: int | None = None) -> None:
        self._said = (status, title, sentence, refresh)

    def prepare(self) -> None:
        status, title, sentence, refresh = self._said
        self.say(status, title, sentence, refresh=refresh)


class EntranceHandler(House):
    """Takes the token out of the address and into a cookie that no script can read."""

    policy = NOTICE_POLICY

    def initialize(self, *, access: Access) -> None:
        self._access = access

    def get(self) -> None:
        access = self._access
        self.set_cookie(
            access.cookie,
            access.pass_value,
            path=f"{access.prefix}/",
            httponly=True,
            samesite="Strict",
            secure=self.request.protocol == "https",
        )
        self.finish(entrance_html(access.target(self.request.path, self.request.query_arguments)))

    head = get


class SlashHandler(House):
    """Sends ``/tools/states`` on to ``/tools/states/``, ``/s/imdb/`` to ``/s/imdb``: pages use relative paths."""

    def initialize(self, *, path: str) -> None:
        self._path = path

    def get(self) -> None:
        self.redirect(self._path + (f"?{self.request.query}" if self.request.query else ""))

    head = get


class HealthHandler(House):
    """``/alive`` and ``/ready``, for whoever watches over the server; they say nothing about the data."""

    policy = NOTICE_POLICY

    def initialize(self, *, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        if self.request.path.endswith("/alive"):
            self.finish(json.dumps({"alive": True}))
            return
        ready = self._catalogue.ready
        self.set_status(200 if ready else 503)
        self.finish(json.dumps({"ready": ready}))

    head = get


class ListHandler(House):
    """The start page of several stores."""

    policy = NOTICE_POLICY
    application: ViewerApplication

    async def get(self) -> None:
        served = self.application.catalogue.served
        await asyncio.gather(*(one.settle(PATIENCE / 2) for one in served))
        prefix = self.application.prefix
        rows = []
        for one in served:
            size, notes = one.describe()
            rows.append(Row(one.name, f"{prefix}/s/{quote(one.name)}", size, notes, one.problem is None))
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(listing_html(rows, theme=_theme(self.request)))

    head = get


class PageHandler(House, DocHandler):  # type: ignore[misc,unused-ignore]
    """The page of a store, or why it cannot be shown."""

    application: ViewerApplication

    async def get(self, *arguments: Any, **named: Any) -> None:
        served = self.application.served[self.application_context.url]
        if not await served.settle(PATIENCE) or (served.data is None and served.problem is None):
            self.say(503, f"{served.name} is being opened", "This page looks again by itself.", refresh=2)
        elif served.problem is not None:
            self.say(503, f"{served.name} cannot be shown", served.problem)
        elif self.application.full:
            sentence = (
                f"All {self.application.most} pages that may be open at once are; this one looks again by itself."
            )
            self.say(503, "No place is free", sentence, refresh=5)
        elif self.request.method == "HEAD":  # nobody would come for the session that a page is made with
            self.set_header("Content-Type", "text/html")
            await self.flush()  # without the length of a body that was not made
        else:
            await DocHandler.get(self, *arguments, **named)

    head = get

    async def get_session(self) -> ServerSession:
        session = await super().get_session()
        self.application.await_browser(session)
        return session


class SocketHandler(WSHandler):  # type: ignore[misc,unused-ignore]
    """The connection of a page to its session."""

    application: ViewerApplication

    def check_origin(self, origin: str) -> bool:
        return self.application.access.knows_origin(origin, local_address(self.request))

    def open(self, *arguments: Any, **named: Any) -> None:
        try:
            super().open(*arguments, **named)
        except Exception as error:  # a message that is none of Bokeh's, or of another server
            _log.info("WebSocket refused: %s", error)
            self.close(1008, "not a session of this server")

    async def _async_open(self, token: str) -> None:
        session_id = get_session_id(token)
        context = self.application_context
        if all(session.id != session_id for session in context.sessions) and self.application.full:
            self.close(1013, "no place is free")
            return
        try:
            await super()._async_open(token)
        except Exception as error:
            _log.info("WebSocket refused: %s", error)
            self.close(1008, "not a session of this server")
            return
        self.application.browser_came(session_id)


class LibraryHandler(House, StaticHandler):  # type: ignore[misc,unused-ignore]
    """BokehJS, as installed."""

    application: ViewerApplication

    def set_extra_headers(self, path: str) -> None:
        _keep(self, self.application.access)


class ExtensionHandler(House, MultiRootStaticHandler):  # type: ignore[misc,unused-ignore]
    """What Panel adds to it, as installed."""

    application: ViewerApplication

    def set_extra_headers(self, path: str) -> None:
        _keep(self, self.application.access)


#: The only routes of Bokeh's and Panel's that are served, and by what; all others (metadata, embedding, resources of
#: any Python module by name) are not.
_OURS: Mapping[type[RequestHandler], type[RequestHandler]] = {
    DocHandler: PageHandler,
    WSHandler: SocketHandler,
    StaticHandler: LibraryHandler,
    MultiRootStaticHandler: ExtensionHandler,
    ListHandler: ListHandler,
    HealthHandler: HealthHandler,
}


class ViewerApplication(BokehTornado):  # type: ignore[misc,unused-ignore]
    """Bokeh's application behind a gate.

    Bokeh asks its `auth_provider` in some of its handlers only; the gate stands where Tornado looks a handler up, so
    that nothing is served round it.

    Parameters
    ----------
    applications : mapping
        Route -> application.
    served : mapping
        Route -> store.
    catalogue : Catalogue
        All stores.
    access : Access
        Who may ask.
    most : int
        Sessions at once.
    """

    def __init__(
        self,
        applications: Mapping[str, Application],
        served: Mapping[str, Served],
        catalogue: Catalogue,
        access: Access,
        most: int,
    ) -> None:
        self.served, self.catalogue, self.access, self.most = served, catalogue, access, most
        self._waiting: dict[str, tuple[ServerSession, Any]] = {}
        extra: list[Any] = [(r"/(?:alive|ready)", HealthHandler, {"catalogue": catalogue})]
        if "/" not in applications:
            extra.append((r"/?", ListHandler))
        super().__init__(
            dict(applications),
            prefix=access.prefix,
            extra_patterns=extra,
            # Nobody makes up a session, and what a page says of itself holds neither cookies nor headers.
            sign_sessions=True,
            secret_key=secrets.token_bytes(32),
            include_cookies=[],
            include_headers=[],
            check_unused_sessions_milliseconds=SWEEP,
            unused_session_lifetime_milliseconds=LINGER,
            websocket_max_message_size_bytes=LARGEST_MESSAGE,
            # Tornado's own, which notice a browser that has gone without a word; Bokeh's do not.
            keep_alive_milliseconds=0,
            websocket_ping_interval=30,
            websocket_ping_timeout=30,
            use_index=False,
            log_function=_log_request,
        )

    @property
    def session_count(self) -> int:
        """Sessions there are, over all stores."""
        return sum(len(self.get_sessions(path)) for path in self.app_paths)

    @property
    def full(self) -> bool:
        """Whether no further session may begin."""
        return self.session_count >= self.most

    def await_browser(self, session: ServerSession) -> None:
        """Keep a new session until its browser has had time to load the libraries and to connect."""
        if session.id not in self._waiting:
            session.block_expiration()
            timer = self.io_loop.call_later(GRACE, self.browser_came, session.id)
            self._waiting[session.id] = (session, timer)

    def browser_came(self, session_id: str) -> None:
        """From here on a session lasts as long as its browser is connected, and a little longer."""
        session, timer = self._waiting.pop(session_id, (None, None))
        if session is not None:
            self.io_loop.remove_timeout(timer)
            session.unblock_expiration()

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:
        """What answers a request; see the class."""
        prefix = self.access.prefix
        if plain_path(request.path) is None:
            return self._notice(request, 404)
        if prefix and request.path != prefix and not request.path.startswith(f"{prefix}/"):
            request.path = f"{prefix}{request.path}"  # a proxy that takes the prefix away
        if prefix and request.path == prefix:  # before the gate: the cookie is for what lies below
            return self.get_handler_delegate(request, SlashHandler, {"path": f"{prefix}/"})
        refused = self._refusal(request)
        if refused is not None:
            return refused
        for name in ("bokeh-session-id", "bokeh-token", "bokeh-absolute-url", "bokeh-app-path"):
            request.arguments.pop(name, None)
            request.query_arguments.pop(name, None)
        request.headers.pop("Bokeh-Session-Id", None)
        delegate: Any = super().find_handler(request, **options)
        ours = _OURS.get(delegate.handler_class)
        if ours is None:
            return self._notice(request, 404)
        if ours is PageHandler and request.path.endswith("/") and request.path != f"{prefix}/":
            return self.get_handler_delegate(request, SlashHandler, {"path": request.path.rstrip("/")})
        delegate.handler_class = ours
        return delegate

    def _refusal(self, request: HTTPServerRequest) -> Any:
        """What answers a visitor who may not go on, or has yet to be let in; None for one who may."""
        access = self.access
        if request.path in (f"{access.prefix}/alive", f"{access.prefix}/ready", "/alive", "/ready"):
            return None
        if not access.knows_host(request.host, request.protocol, local_address(request)):
            host = request.host if len(request.host) < 100 and request.host.isprintable() else "that"
            sentence = f"This server does not go by the name of {host}; if it should, start it with --origin {host}."
            return self._notice(request, 421, "Another server's name", sentence)
        if access.token is None:
            return None
        given = request.query_arguments.get("token")
        if given is not None and request.headers.get("Upgrade", "").lower() != "websocket":
            if access.right_token(given[-1]):
                return self.get_handler_delegate(request, EntranceHandler, {"access": access})
            return self._notice(request, 403, *_WRONG)
        cookie = request.cookies.get(access.cookie)
        if access.right_pass(cookie.value if cookie is not None else None):
            return None
        if access.right_header(request.headers.get("Authorization")):
            return None
        # A link on another site brings no cookie of ours along; the same page, asked for by ourselves, does.
        cross = request.headers.get("Sec-Fetch-Site") == "cross-site"
        return self._notice(request, 403, *_MISSING, refresh=0 if cross else None)

    def _notice(
        self,
        request: HTTPServerRequest,
        status: int,
        title: str | None = None,
        sentence: str | None = None,
        refresh: int | None = None,
    ) -> Any:
        known = _TITLES.get(status, ("", ""))
        said = {"status": status, "title": title or known[0], "sentence": sentence or known[1], "refresh": refresh}
        return self.get_handler_delegate(request, NoticeHandler, said)


_WRONG = (
    "The token is not right",
    "Open the address that was printed when the server was started, or ask whoever started it.",
)
_MISSING = (
    "This page needs a token",
    "Open the address that was printed when the server was started, or ask whoever started it; this browser then "
    "remembers it.",
)


def local_address(request: HTTPServerRequest) -> str | None:
    """The address of this machine on which a request came in."""
    try:
        stream = getattr(request.connection, "stream", None)
        return None if stream is None else str(stream.socket.getsockname()[0])
    except (OSError, AttributeError, IndexError):
        return None


def _theme(request: HTTPServerRequest) -> str | None:
    found = request.query_arguments.get("theme")
    return found[-1].decode("ascii", "replace") if found else None


def _keep(handler: RequestHandler, access: Access) -> None:
    # The address of a library holds its version; what needs a token must not lie in a cache that others share.
    scope = "public" if access.token is None else "private"
    lasting = "max-age=31536000, immutable" if handler.get_query_argument("v", None) else "max-age=3600"
    handler.set_header("Cache-Control", f"{scope}, {lasting}")


def _log_request(handler: RequestHandler) -> None:
    # Without the query: it may hold a token, or what somebody searched for.
    status = handler.get_status()
    level = logging.ERROR if status >= 500 and status != 503 else logging.DEBUG
    _log.log(level, "%d %s %s", status, handler.request.method, handler.request.path)
