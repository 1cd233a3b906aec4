"""Threads that share out the pieces of one job after another; whoever finds none left begins the next job."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

__all__ = ["Job", "share_out"]


class Job(Protocol):
    """Something done in stages, each in pieces of which several may be done at once."""

    def stage(self) -> Sequence[Any] | None:
        """Pieces of the next stage; None after the last one, when the job is done.

        Called when every piece of the stage before is done.
        """

    def work(self, piece: Any, lane: int) -> None:
        """Do a piece, in the lane of that number."""


@dataclasses.dataclass(eq=False)
class _Open:
    """A job that is begun: pieces of its stage that wait, and how many are being done."""

    job: Job
    waiting: deque[Any]
    running: int = 0


def share_out(jobs: Iterable[Job], lanes: int, *, overlap: int = 1) -> None:
    """Do all jobs, in their order, in `lanes` threads, of which the caller's is one.

    A lane that finds nothing to do in the jobs that are begun begins the next, if fewer than `overlap` are open:
    otherwise, at the end of each, all lanes but one would wait.

    Parameters
    ----------
    jobs : iterable of Job
        Asked for the next one, by any lane but by one at a time, when it can be begun; may block until it can.
    lanes : int
        Number of threads.
    overlap : int
        Most jobs that are open at once.

    Raises
    ------
    Exception
        The first that a job or `jobs` raised; nothing new is begun after it, and all lanes have ended.
    """
    turns = _Turns(iter(jobs), overlap)
    if lanes == 1:
        turns.run(0)
        turns.end()
        return
    with ThreadPoolExecutor(lanes - 1, thread_name_prefix="trace-lane") as pool:
        others = [pool.submit(turns.run, lane) for lane in range(1, lanes)]
        turns.run(0)
        for other in others:
            other.result()
    turns.end()


class _Turns:
    """Who does what next; `run` by every lane."""

    def __init__(self, jobs: Iterator[Job], overlap: int) -> None:
        self._jobs, self._overlap = jobs, overlap
        self._open: list[_Open] = []
        self._changed = threading.Condition()
        self._beginning = self._all_begun = False
        self._failed: BaseException | None = None

    def run(self, lane: int) -> None:
        """Do pieces until there are none left, or something has failed."""
        try:
            while (turn := self._next()) is not None:
                one, piece = turn
                if one is None:
                    self._begin()
                else:
                    one.job.work(piece, lane)
                    self._did(one)
        except BaseException as error:
            with self._changed:
                self._failed = self._failed or error
                self._changed.notify_all()
            if not isinstance(error, Exception):  # Ctrl-C ends the caller's lane at once
                raise

    def end(self) -> None:
        """Raise what has failed."""
        if self._failed is not None:
            raise self._failed

    def _next(self) -> tuple[_Open | None, Any] | None:
        """A piece that waits and its job, or (None, None) for whoever is to begin the next job; None at the end."""
        with self._changed:
            while self._failed is None:
                for one in self._open:
                    if one.waiting:
                        one.running += 1
                        return one, one.waiting.popleft()
                if self._all_begun and not self._open:
                    return None
                if not self._beginning and not self._all_begun and len(self._open) < self._overlap:
                    self._beginning = True
                    return None, None
                self._changed.wait()
        return None

    def _begin(self) -> None:
        job = next(self._jobs, None)
        one = None if job is None else _Open(job, deque())
        with self._changed:
            self._beginning = False
            if one is None:
                self._all_begun = True
                self._changed.notify_all()
                return
            # Before it has pieces, so that it keeps its place; as if one were running, so that nobody ends its stage.
            self._open.append(one)
            one.running = 1
        self._did(one)

    def _did(self, one: _Open) -> None:
        """Note that a piece is done; the last one's lane goes on to the job's next stage."""
        with self._changed:
            one.running -= 1
            if one.waiting or one.running:
                return
            one.running = 1
        pieces = one.job.stage()
        while pieces is not None and not len(pieces):
            pieces = one.job.stage()
        with self._changed:
            one.running = 0
            if pieces is None:
                self._open.remove(one)
            else:
                one.waiting.extend(pieces)
            self._changed.notify_all()
