"""Reading a trace store: opening it, one sequence, everything; beside zarr-python and memory maps of the same files."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import StoredArray, Trace

__all__ = ["Figure", "run", "section"]

#: Rows that are read at a time when everything is read, so that memory stays small: one shard of 100 units.
_BLOCK = 65_536


@dataclasses.dataclass(frozen=True)
class Figure:
    """One system's time for one way of reading.

    Parameters
    ----------
    job : str
        What was read.
    system : str
        Who read it: ``hiddenstate``, ``zarr`` or ``memmap``.
    p50, p95 : float
        Seconds, of the repeats.
    cpu : float
        Processor seconds of a repeat, the least.
    bytes : int
        Bytes given in one repeat, 0 where that says nothing.
    """

    job: str
    system: str
    p50: float
    p95: float
    cpu: float
    bytes: int


def run(store: Path, sequences: int, seed: int, repeats: int, out: Path | None = None) -> dict[str, Any]:
    """Measure reading a store; returns the figures and writes them to `out` as JSON.

    Parameters
    ----------
    store : Path
        A trace store with hidden states.
    sequences : int
        How many sequences are read at random.
    seed : int
        Of their choice.
    repeats : int
        How often the store is opened and read as a whole.

    Raises
    ------
    InputError
        The store has no sequence with a row.
    """
    trace = Trace(store)
    hidden = trace.hidden()
    some = np.flatnonzero(np.diff(trace.offsets))
    if not len(some):
        raise InputError(f"{store} has no sequence with a word; give a store that has.")
    chosen = np.random.default_rng(seed).choice(some, sequences)
    spans = [(int(trace.offsets[s]), int(trace.offsets[s + 1])) for s in chosen]
    figures = [_timed("open", "hiddenstate", [lambda: Trace(store)] * repeats, 0)]
    figures += _sequences(hidden, spans)
    fresh = Trace(store)
    figures.append(_timed("words of a sequence", "hiddenstate", [lambda: fresh.sequence(int(chosen[0])).words], 0))
    figures += _everything(hidden, repeats)
    unit = [lambda: trace.unit(0)] * repeats
    figures.append(_timed("one unit at every step", "hiddenstate", unit, hidden.nbytes))
    told = {
        "schema": 1,
        "benchmark": "reading",
        "store": store.name,
        "sequences": len(trace),
        "steps": trace.steps,
        "units": hidden.shape[1],
        "dtype": str(hidden.dtype),
        "straight": hidden.layout is not None,
        "rows": [dataclasses.asdict(figure) for figure in figures],
        "machine": {**machine.describe(), "load": machine.load()},
    }
    if out is not None:
        write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def section(told: dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = [
        f"{told['store']}: {told['sequences']:,} sequences, {told['steps']:,} steps, {told['units']} units of "
        f"{told['dtype']}, {'uncompressed shards' if told['straight'] else 'read through Zarr'}",
        f"{'':26}{'system':14}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms':>10}{'GB/s':>8}",
    ]
    for row in told["rows"]:
        rate = f"{row['bytes'] / row['p50'] / 1e9:8.2f}" if row["bytes"] else ""
        times = "".join(f"{1e3 * row[name]:10.2f}" for name in ("p50", "p95", "cpu"))
        lines.append(f"{row['job']:26}{row['system']:14}{times}{rate}")
    return "\n".join(lines)


def _sequences(hidden: StoredArray, spans: list[tuple[int, int]]) -> list[Figure]:
    """The states of sequences at random, each system on a cold index and once more."""

    def jobs(read: Callable[[int, int], Any]) -> list[Callable[[], Any]]:
        return [lambda a=a, b=b: read(a, b) for a, b in spans]  # type: ignore[misc]

    def ours(a: int, b: int) -> NDArray[Any]:
        return np.asarray(hidden[a:b])

    figures = [_timed("a random sequence", "hiddenstate", jobs(ours), 0)]
    figures.append(_timed("a random sequence", "zarr", jobs(lambda a, b: hidden.array[a:b])[:200], 0))
    if (maps := _maps(hidden)) is not None:
        figures.append(_timed("a random sequence", "memmap", jobs(lambda a, b: _copy(maps, a, b)), 0))
    return figures


def _everything(hidden: StoredArray, repeats: int) -> list[Figure]:
    """All states, a block at a time, into memory that is used again where the system can."""
    ends = [(a, min(a + _BLOCK, len(hidden))) for a in range(0, len(hidden), _BLOCK)]

    def whole(read: Callable[[int, int], Any]) -> Callable[[], None]:
        def all_blocks() -> None:
            for a, b in ends:
                read(a, b)

        return all_blocks

    readers: list[tuple[str, Callable[[int, int], Any]]] = [("hiddenstate", lambda a, b: hidden[a:b])]
    readers.append(("zarr", lambda a, b: hidden.array[a:b]))
    if (maps := _maps(hidden)) is not None:
        readers.append(("memmap", lambda a, b: _copy(maps, a, b)))
    return [_timed("everything", name, [whole(read)] * repeats, hidden.nbytes) for name, read in readers]


def _maps(hidden: StoredArray) -> tuple[int, list[NDArray[Any]]] | None:
    """Every shard's rows as a memory map: what reading costs where nothing is opened, checked or decoded."""
    layout = hidden.layout
    if layout is None or hidden.bfloat16:
        return None
    folder = hidden.store / hidden.path
    spans = [layout.span(k) for k in range(layout.shards)]
    return layout.rows, [
        np.memmap(folder / layout.path(k), layout.stored_dtype, "r", shape=(b - a, *hidden.shape[1:]))
        for k, (a, b) in enumerate(spans)
    ]


def _copy(maps: tuple[int, list[NDArray[Any]]], start: int, stop: int) -> NDArray[Any]:
    rows, parts = maps
    return np.concatenate(list(_parts(rows, parts, start, stop)))


def _parts(rows: int, parts: list[NDArray[Any]], start: int, stop: int) -> Iterator[NDArray[Any]]:
    for shard in range(start // rows, -(-stop // rows)):
        yield parts[shard][max(start - shard * rows, 0) : stop - shard * rows]


def _timed(job: str, system: str, calls: list[Callable[[], Any]], size: int) -> Figure:
    seconds, cpu = [], []
    for call in calls:
        before, began = time.process_time(), time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - before)
    p50, p95 = np.percentile(seconds, [50, 95])
    return Figure(job, system, float(p50), float(p95), float(min(cpu)), size)
