"""What a session leaves behind when its page is closed: nothing."""

from __future__ import annotations

import collections
import gc
from pathlib import Path

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from hiddenstate_viewer import routes
from hiddenstate_viewer.page import Page
from hiddenstate_viewer.serve import ViewerServer, start
from hiddenstate_viewer.state import Selection
from holoviews import Store

from tests.viewer.serving import ask, handshake, page_token, until


def visit(server: ViewerServer, times: int) -> None:
    for _ in range(times):
        token = page_token(ask(server.port, "/").text)
        assert handshake(f"ws://127.0.0.1:{server.port}/ws", token) == 101
    until(lambda: server.sessions == 0)


def left() -> dict[str, int]:
    gc.collect()
    kinds = collections.Counter(type(one) for one in gc.get_objects())
    found = {kind.__name__: kinds[kind] for kind in (Page, Selection, Document, ColumnDataSource)}
    found["options of HoloViews"] = len(Store._custom_options["bokeh"])
    return found


def test_a_closed_page_leaves_nothing_behind(stores: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LINGER", 200)
    monkeypatch.setattr(routes, "SWEEP", 50)
    with start(stores["binary"]) as server:
        until(lambda: server.ready)
        visit(server, 2)
        before = left()
        visit(server, 3)
        until(lambda: all(count <= before[name] for name, count in left().items()))
