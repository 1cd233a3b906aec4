"""What the tests of serving share: plain HTTP requests, a WebSocket as Bokeh's browser opens it, a reverse proxy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect


class Answer:
    """Status, headers and text of an answer."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, headers, text


def ask(port: int, path: str, *, method: str = "GET", host: str = "127.0.0.1", **headers: str) -> Answer:
    """A request with exactly this path; ``_`` in the name of a header stands for ``-``."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        found = connection.getresponse()
        given = {name.lower(): value for name, value in found.getheaders()}
        return Answer(found.status, given, found.read().decode("utf-8", "replace"))
    finally:
        connection.close()


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `condition` gives once it holds."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def page_token(text: str) -> str:
    """The session token in a page of Bokeh's."""
    found = re.search(r'"token":\s*"([^"]+)"', text)
    assert found is not None, text[:500]
    return found[1]


def handshake(address: str, token: str, **headers: str) -> int:
    """Status that a WebSocket's handshake ends with; 101 where it is accepted and Bokeh greets it."""

    async def connect() -> int:
        request = HTTPRequest(address, headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            opened = await websocket_connect(request, subprotocols=["bokeh", token])
        except HTTPClientError as error:
            return error.code
        greeting = await asyncio.wait_for(opened.read_message(), 60)
        opened.close()
        while greeting is not None and await asyncio.wait_for(opened.read_message(), 60) is not None:
            pass  # until the other side has closed too
        await asyncio.sleep(0.01)
        return 101 if greeting is not None else opened.close_code or 0

    # In a thread: a browser that other tests opened may run a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(connect())).result()


@contextlib.contextmanager
def proxy(target: int, prefix: str, *, strip: bool = False) -> Iterator[int]:
    """A reverse proxy that shows a server under a prefix, WebSockets included; gives its port."""
    begun = threading.Event()
    found: dict[str, Any] = {}

    def upstream(uri: str) -> str:
        return uri.removeprefix(prefix) or "/" if strip else uri

    class Page(RequestHandler):
        async def get(self) -> None:
            headers = {"Cookie": self.request.headers.get("Cookie", ""), "X-Forwarded-Proto": "http"}
            asked = HTTPRequest(
                f"http://127.0.0.1:{target}{upstream(str(self.request.uri))}", headers=headers, follow_redirects=False
            )
            answer = await AsyncHTTPClient().fetch(asked, raise_error=False)
            self.set_status(answer.code)
            for name, value in answer.headers.get_all():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.set_header(name, value)
            self.finish(answer.body or b"")

    class Socket(WebSocketHandler):
        def check_origin(self, origin: str) -> bool:
            return True

        def select_subprotocol(self, subprotocols: list[str]) -> str | None:
            self.offered = subprotocols
            return subprotocols[0]

        async def open(self, *_: str, **__: str) -> None:
            headers = {
                name: self.request.headers[name] for name in ("Cookie", "Origin") if name in self.request.headers
            }
            asked = HTTPRequest(f"ws://127.0.0.1:{target}{upstream(str(self.request.uri))}", headers=headers)
            self.far = await websocket_connect(asked, subprotocols=self.offered, on_message_callback=self.back)

        def back(self, message: str | bytes | None) -> None:
            if message is None:
                self.close()
            else:
                self.write_message(message, binary=isinstance(message, bytes))

        async def on_message(self, message: str | bytes) -> None:
            await until_async(lambda: hasattr(self, "far"))
            self.far.write_message(message, binary=isinstance(message, bytes))

        def on_close(self) -> None:
            if hasattr(self, "far"):
                self.far.close()

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        server = HTTPServer(Application([(r".*/ws", Socket), (r".*", Page)], log_function=lambda _: None))
        sockets = bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
        server.add_sockets(sockets)
        found["port"], found["loop"] = sockets[0].getsockname()[1], loop
        begun.set()
        loop.run_forever()
        server.stop()
        loop.run_until_complete(server.close_all_connections())
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    begun.wait()
    try:
        yield found["port"]
    finally:
        found["loop"].call_soon_threadsafe(found["loop"].stop)
        thread.join(20)


async def until_async(condition: Callable[[], bool]) -> None:
    """Wait on the event loop until a condition holds."""
    while not condition():
        await asyncio.sleep(0.01)
