"""`Workers`: runs a kernel over blocks of an index range on a few threads, in the way that keeps results the same."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import numba
import numpy as np

__all__ = ["Workers"]


class Workers:
    """A few threads that share out blocks of work; a context manager.

    Every block is the same whatever the number of threads, and a kernel writes only to its own block's rows, so
    results do not depend on that number.

    Parameters
    ----------
    n_jobs : int or None
        Threads; None for Numba's own number (`numba.get_num_threads`), -1 for every core this process may use.

    Raises
    ------
    ValueError
        `n_jobs` is 0, below -1, or no whole number.
    """

    def __init__(self, n_jobs: int | None = None) -> None:
        given: object = n_jobs  # what a caller gives, whatever it was to be
        if given is None:
            self.threads = int(numba.get_num_threads())
        elif isinstance(given, bool) or not isinstance(given, int | np.integer) or given < -1 or given == 0:
            raise ValueError(f"n_jobs must be None, -1 or a whole number of at least 1, not {given!r:.60}.")
        else:
            self.threads = _cores() if given == -1 else int(given)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def run(self, kernel: Callable[..., Any], count: int, block: int, *arrays: Any) -> None:
        """Call ``kernel(start, stop, *arrays)`` for every block ``[start, stop)`` of ``range(count)``.

        An interrupt waits until the blocks that have begun are done, so nothing writes to `arrays` afterwards.
        """
        blocks = -(-count // block)
        if self.threads == 1 or blocks <= 1:
            for start in range(0, count, block):
                kernel(start, min(start + block, count), *arrays)
            return
        tickets = itertools.count()  # its next() is atomic under the GIL
        stopped = False

        def work() -> None:
            while not stopped and (ticket := next(tickets)) < blocks:
                kernel(ticket * block, min((ticket + 1) * block, count), *arrays)

        futures = [self._executor().submit(work) for _ in range(min(self.threads, blocks) - 1)]
        try:
            work()
            for future in futures:
                future.result()
        finally:
            stopped = True
            wait(futures)

    def together(self, *calls: Callable[[], Any]) -> list[Any]:
        """Results of a few independent calls that release the GIL, in the order given."""
        if self.threads == 1:
            return [call() for call in calls]
        futures = [self._executor().submit(call) for call in calls[1:]]
        try:
            return [calls[0](), *(future.result() for future in futures)]
        finally:
            wait(futures)

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max(1, self.threads - 1), "hiddenstate")
        return self._pool


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1
