"""Threads that share out jobs: everything is done once and in its order, none waits in vain, failures end all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate_core.traces.lanes import share_out


class Noted:
    """A job that notes what is done of it, in a log that all share."""

    def __init__(
        self, name: int, stages: Sequence[int], log: list[Any], act: Callable[[Any], None] | None = None
    ) -> None:
        self.name, self.log, self.act = name, log, act
        self._stages = iter(stages)
        self.number = -1

    def stage(self) -> list[Any] | None:
        self.number += 1
        count = next(self._stages, None)
        if count is None:
            self.log.append((self.name, "end"))
            return None
        return [(self.name, self.number, piece) for piece in range(count)]

    def work(self, piece: Any, lane: int) -> None:
        if self.act is not None:
            self.act((*piece, lane))
        self.log.append(piece)


@given(
    shapes=st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=6),
    lanes=st.integers(1, 4),
    overlap=st.integers(1, 3),
)
def test_every_piece_is_done_once_and_stage_after_stage(shapes: list[list[int]], lanes: int, overlap: int) -> None:
    log: list[Any] = []
    share_out((Noted(name, stages, log) for name, stages in enumerate(shapes)), lanes, overlap=overlap)
    for name, stages in enumerate(shapes):
        own = [entry for entry in log if entry[0] == name]
        assert own[-1] == (name, "end")
        assert sorted(own[:-1]) == [(name, s, p) for s, count in enumerate(stages) for p in range(count)]
        numbers = [entry[1] for entry in own[:-1]]
        assert numbers == sorted(numbers), "a stage began before the one before it was done"
    assert len(log) == sum(map(sum, shapes)) + len(shapes)


@given(lanes=st.integers(1, 3), overlap=st.integers(1, 3))
def test_no_more_jobs_are_open_than_may_be(lanes: int, overlap: int) -> None:
    log: list[Any] = []
    begun: list[int] = []

    def jobs() -> Iterator[Noted]:
        for name in range(8):
            begun.append(name)
            assert len(begun) - sum(entry[1] == "end" for entry in log) <= overlap
            yield Noted(name, [3], log)

    share_out(jobs(), lanes, overlap=overlap)
    assert begun == list(range(8))


def test_a_lane_goes_on_with_the_next_job_while_one_is_finished() -> None:
    met = threading.Barrier(2, timeout=60)

    def act(piece: Any) -> None:
        if piece[:2] in ((0, 0), (1, 0)):  # the only piece of the first job, and one of the second: at the same time
            met.wait()

    log: list[Any] = []
    share_out((Noted(name, [1], log, act) for name in range(2)), 2, overlap=2)
    assert len(log) == 4


def test_a_job_that_waits_for_room_holds_up_nothing_that_is_begun() -> None:
    room = threading.Semaphore(1)
    log: list[Any] = []

    class Roomy(Noted):
        def stage(self) -> list[Any] | None:
            pieces = super().stage()
            if pieces is None:
                room.release()
            return pieces

    def jobs() -> Iterator[Noted]:
        for name in range(5):
            assert room.acquire(timeout=60)
            yield Roomy(name, [4, 4], log)

    share_out(jobs(), 3, overlap=2)
    assert [entry[0] for entry in log if entry[1] == "end"] == list(range(5))


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize("where", ["jobs", "stage", "work"])
def test_what_fails_ends_all_and_is_raised(lanes: int, where: str) -> None:
    log: list[Any] = []

    def act(piece: Any) -> None:
        if where == "work" and piece[:3] == (2, 0, 1):
            raise ValueError("it broke")

    class Failing(Noted):
        def stage(self) -> list[Any] | None:
            if where == "stage" and self.name == 2 and self.number == 0:
                raise ValueError("it broke")
            return super().stage()

    def jobs() -> Iterator[Noted]:
        for name in range(50):
            if where == "jobs" and name == 2:
                raise ValueError("it broke")
            yield Failing(name, [3], log, act)

    before = threading.active_count()
    with pytest.raises(ValueError, match="it broke"):
        share_out(jobs(), lanes, overlap=2)
    assert threading.active_count() == before, "lanes are left"
    assert max(entry[0] for entry in log) <= 4, "jobs were begun after the failure"


def test_ctrl_c_in_the_callers_lane_ends_all() -> None:
    caller = threading.get_ident()

    def act(piece: Any) -> None:
        if threading.get_ident() == caller:
            raise KeyboardInterrupt

    log: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        share_out((Noted(name, [4], log, act) for name in range(10_000)), 2, overlap=2)
    assert max((entry[0] for entry in log), default=0) < 9_999
