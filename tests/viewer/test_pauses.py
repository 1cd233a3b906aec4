"""Garbage collection while serving: what is loaded once is left out, what comes later is not, and all is as before."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hiddenstate_viewer import pauses
from hiddenstate_viewer.pauses import without_long_pauses


class Knot:
    """What only garbage collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pauses, "_EVERY", 0.001)
    yield
    gc.unfreeze()


def run(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In a thread of its own: where a browser is driven, this one has an event loop already."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(serve())).result()


async def until_frozen() -> None:
    while not gc.get_freeze_count():
        await asyncio.sleep(0.001)


def test_what_is_loaded_is_left_out_and_what_comes_later_is_collected() -> None:
    answers = [True, False, False]

    async def serve() -> None:
        early = Knot()
        kept = weakref.ref(early)
        with without_long_pauses(asyncio.get_running_loop(), answers.pop):
            await until_frozen()
            assert answers == []
            assert gc.get_freeze_count() > 1_000
            late = Knot()
            gone = weakref.ref(late)
            del early, late
            gc.collect()
            assert gone() is None
            assert kept() is not None
        assert gc.get_freeze_count() == 0
        gc.collect()
        assert kept() is None

    run(serve)


def test_nothing_is_left_out_before_all_is_loaded() -> None:
    async def serve() -> None:
        with without_long_pauses(asyncio.get_running_loop(), lambda: False):
            await asyncio.sleep(0.05)
            assert gc.get_freeze_count() == 0
        await asyncio.sleep(0.05)

    run(serve)


def test_somebody_elses_freeze_stays() -> None:
    async def serve() -> None:
        with without_long_pauses(asyncio.get_running_loop(), lambda: True):
            await asyncio.sleep(0.05)

    gc.freeze()
    before = gc.get_freeze_count()
    run(serve)
    assert gc.get_freeze_count() >= before
