"""One task in a process of its own: reads a JSON file that says what to do, writes one that says what came of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import peak_megabytes

__all__ = ["main"]


def main(asked: str, told: str) -> None:
    """Do the task in file `asked`; write its answer to file `told`."""
    task = json.loads(Path(asked).read_text(encoding="utf-8"))
    _pin(int(task["threads"]))
    answer = _function(task["kind"])(task)
    Path(told).write_text(json.dumps(answer | {"peak_megabytes": peak_megabytes()}), encoding="utf-8")


def _function(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What does such tasks; imported only now, since numerical libraries count the cores when they are imported.

    The judge is ours and imports our package: that must not count in the time of a peer.
    """
    from benchmarks import distances, extraction, systems

    for module in (systems, distances, extraction):
        if kind in module.KINDS:
            return module.KINDS[kind]
    from benchmarks import judge

    return judge.KINDS[kind]


def _pin(threads: int) -> None:
    """Leave this process as many cores as it may have threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main(*sys.argv[1:])
