"""Runs one task of `benchmarks.worker` in a process of its own and measures it from outside."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiddenstate_core.errors import HiddenStateError

__all__ = ["Run", "TaskError", "launch"]

_ROOT = Path(__file__).resolve().parent.parent
#: Every library that keeps threads of its own reads one of these.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class TaskError(HiddenStateError):
    """A process that failed or was stopped; the message names the reason."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished process.

    Parameters
    ----------
    seconds : float
        Wall time from the start of the interpreter to its end, measured by the parent.
    cpu_seconds : float
        Processor time of the process and its children, user and system.
    answer : dict
        What the task says about itself.
    """

    seconds: float
    cpu_seconds: float
    answer: dict[str, Any]


def launch(task: Mapping[str, Any], *, threads: int, numba_cache: Path, limit: float | None = None) -> Run:
    """Run a task on `threads` cores and wait for it.

    Parameters
    ----------
    task : mapping
        JSON values; ``task["kind"]`` names the function.
    threads : int
        Set for every threading library, and the number of cores that the process may use.
    numba_cache : Path
        Where compiled kernels are kept.
    limit : float or None
        Seconds after which the process is stopped.

    Raises
    ------
    TaskError
        It failed, was killed, or ran past the limit.
    """
    environment = os.environ | dict.fromkeys(_THREADS, str(threads)) | {"NUMBA_CACHE_DIR": str(numba_cache)}
    with tempfile.TemporaryDirectory(prefix="hiddenstate-bench-") as folder, Path(folder, "log").open("wb") as log:
        asked, told = Path(folder) / "task.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps({**task, "threads": threads}), encoding="utf-8")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", str(asked), str(told)],
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stop = threading.Timer(limit or threading.TIMEOUT_MAX, _kill, [process.pid])
        stop.daemon = True
        if limit is not None:
            stop.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C: the process is in a session of its own and would live on
            _kill(process.pid)
            process.wait()
            raise
        finally:
            stop.cancel()
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0 or not told.exists():
            raise TaskError(_reason(process.returncode, seconds, limit, Path(folder) / "log"))
        answer = json.loads(told.read_text(encoding="utf-8"))
    return Run(seconds, usage.ru_utime + usage.ru_stime, answer)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _reason(status: int, seconds: float, limit: float | None, log: Path) -> str:
    if status < 0:
        if limit is not None and seconds >= limit:
            return f"stopped after {limit:g} s"
        return f"killed by signal {-status}" + (" (out of memory?)" if status == -signal.SIGKILL else "")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else f"ended with status {status}"
