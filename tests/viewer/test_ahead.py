"""Documents written out ahead: what was written is what would be, and is not given out after a change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.models import Div
from hiddenstate_viewer import ahead


class Written(Document):
    """Of a session; counts how often it is written."""

    session_context: Any = True
    count: ClassVar[int] = 0

    def to_json(self, **options: Any) -> Any:
        type(self).count += 1
        return super().to_json(**options)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_SCRIPTS", 0.0)
    Written.count = 0


def outcome(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in a thread of its own: the browser of other tests keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(run())).result()


def served(text: str) -> tuple[Written, Div]:
    document, model = Written(), Div(text=text)
    document.add_root(model)
    ahead.write_ahead(document)
    return document, model


def test_what_was_written_is_given_once() -> None:
    async def run() -> None:
        document, _ = served("some text")
        await asyncio.sleep(0.02)
        assert Written.count == 1
        first = serialize_json(document.to_json())
        assert Written.count == 1
        assert "some text" in first
        assert serialize_json(document.to_json()) == first
        assert Written.count == 2

    outcome(run)


def test_a_change_is_not_missed() -> None:
    async def run() -> None:
        document, model = served("before")
        await asyncio.sleep(0.02)
        model.text = "after"
        told = serialize_json(document.to_json())
        assert "after" in told
        assert "before" not in told

    outcome(run)


def test_whoever_asks_early_or_in_another_way_is_answered() -> None:
    async def run() -> None:
        document, _ = served("text")
        assert "text" in serialize_json(document.to_json())
        await asyncio.sleep(0.02)
        assert Written.count == 1, "nothing is written for nobody"
        assert document.to_json(deferred=False)["roots"]
        assert Written.count == 2

    outcome(run)


def test_a_page_that_is_closed_by_then_is_not_written() -> None:
    async def run() -> None:
        document, _ = served("text")
        document.session_context = None
        await asyncio.sleep(0.02)
        assert Written.count == 0

    outcome(run)


def test_without_a_server_nothing_happens() -> None:
    with ThreadPoolExecutor(1) as pool:
        document, _ = pool.submit(served, "text").result()
    assert "to_json" not in vars(document)
