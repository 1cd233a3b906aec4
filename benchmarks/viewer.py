"""The viewer in a real browser: first paint, pan and zoom, selecting, hovering, and the server's memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.viewer_page import Tab, browser
from benchmarks.viewer_store import store_of
from hiddenstate_core.atomic import write_text
from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.traces import Trace

__all__ = ["Plan", "run", "section", "summary"]

#: What is asked of two cores, by number of states: seconds of first paint, and p95 of pan and zoom.
BARS = {1_000_000: (2.0, 0.2), 10_000_000: (4.0, 0.4)}
_SELECT, _LINK, _SESSIONS_MIB = 0.2, 0.05, 4096
_STARTS = 600  # seconds that a server may take to open its store
_LOOKED = 2_500  # milliseconds that a reader looks at a new page before anything is chosen


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of states of the stores that are made.
    stores : tuple of Path
        Stores of one's own, measured instead.
    moves : int
        Pans and zooms of each store, one after another.
    sessions : int
        Pages that are open at once; 0 leaves that out.
    opens : int
        How often a page is opened and closed; 0 leaves that out.
    folder : Path
        Where the stores are kept.
    """

    sizes: tuple[int, ...]
    stores: tuple[Path, ...]
    moves: int
    sessions: int
    opens: int
    folder: Path

    def __post_init__(self) -> None:
        if self.moves < 4:
            raise InputError(f"--moves must be at least 4, not {self.moves}.")
        if min(self.sessions, self.opens) < 0 or any(n < 1000 for n in self.sizes):
            raise InputError("--sessions and --opens must be at least 0, and --n at least 1000.")


def run(plan: Plan, out: Path | None = None) -> dict[str, Any]:
    """Measure each store in turn; returns the figures and writes them to `out` as JSON as they come.

    Raises
    ------
    HiddenStateError
        No browser, no such store, or a server that does not start.
    """
    told: dict[str, Any] = {"schema": 1, "benchmark": "viewer", "rows": [], "machine": machine.describe()}
    stores = plan.stores or tuple(store_of(plan.folder, n) for n in plan.sizes)

    def keep() -> None:
        if out is not None:
            write_text(out, json.dumps(told, indent=1) + "\n")

    for store in stores:
        told["rows"].append(row := {"store": store.name, "states": Trace(store).steps, "load": machine.load()})
        _measure(row, store, plan, keep)
    return told


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile, least and most, in milliseconds."""
    p50, p95 = np.percentile(seconds, [50, 95])
    told = {"p50": p50, "p95": p95, "least": min(seconds), "most": max(seconds), "count": len(seconds)}
    return {name: float(value if name == "count" else round(1000 * value, 1)) for name, value in told.items()}


def section(told: dict[str, Any]) -> str:
    """The figures as a table in Markdown, with the bars they are held against."""
    about = told["machine"]
    lines = [
        f"{about['processor']}, {about['cores']} cores; load before each store "
        f"{', '.join(str(row['load']) for row in told['rows'])}.",
        "",
        "| states | what | p50 | p95 | bar |",
        "| ---: | :--- | ---: | ---: | ---: |",
    ]

    def line(row: dict[str, Any], what: str, values: Sequence[float | None], unit: str, bar: float | None) -> None:
        cells = ["" if value is None else f"{value:,.0f} {unit}" for value in (*values, bar)]
        lines.append(f"| {row['states']:,} | {what} | {' | '.join(cells)} |")

    for row in told["rows"]:
        first, moved = (None if bar is None else 1000 * bar for bar in BARS.get(row["states"], (None, None)))
        timed = [
            ("first_paint", "first paint after the page has loaded", first),
            ("complete", "all views after the page has loaded", None),
            ("zoom", "zoom to new picture", moved),
            ("pan", "pan to new picture", moved),
            ("select_first", "select the page's first sequence, of the first row", 1000 * _SELECT),
            ("select_first_other", "select the page's first sequence, of another row", 1000 * _SELECT),
            ("select", "select a sequence", 1000 * _SELECT),
            ("link", "hover a word, column or point to marks in all views", 1000 * _LINK),
            ("hover", "hover a state of the map to its tooltip", None),
        ]
        for name, what, bar in timed:
            if row.get(name):
                line(row, what, [row[name]["p50"], row[name]["p95"]], "ms", bar)
        line(row, "bytes to the browser for a move", [row["picture_bytes"] / 1024, None], "KiB", None)
        line(row, "memory of the server, 1 session", [row["memory_one"]["rss"], None], "MiB", None)
        if "memory_sessions" in row:
            what = f"memory of the server, {row['sessions']} sessions"
            line(row, what, [row["memory_sessions"]["rss"], None], "MiB", _SESSIONS_MIB)
        if "memory_opens" in row:
            opened = row["memory_opens"]
            what = f"growth from open-and-close {opened[0]['opens']} to {opened[-1]['opens']}"
            line(row, what, [opened[-1]["rss"] - opened[0]["rss"], None], "MiB", None)
    return "\n".join(lines)


# -- inside ---------------------------------------------------------------------------------------------------------


def _measure(row: dict[str, Any], store: Path, plan: Plan, keep: Callable[[], None]) -> None:
    """Fill a row with the figures of a store, and keep it whenever there are more."""

    def tell(what: str) -> None:
        print(f"{store.name}: {what}", file=sys.stderr, flush=True)
        keep()

    with _server(store) as (pid, address, seconds), browser() as engine:
        row["server_start"] = round(seconds, 2)
        row["memory_start"] = _memory(pid)
        tell("the server is ready")
        row |= _one_session(engine, address, plan.moves)
        row["memory_one"] = _memory(pid)
        tell(f"one session was measured, {row['memory_one']['rss']:,} MiB")
        if plan.sessions:
            row["sessions"], row["memory_sessions"] = plan.sessions, _many(engine, address, plan.sessions, pid)
            tell(f"{plan.sessions} sessions at once, {row['memory_sessions']['rss']:,} MiB")
        if plan.opens:
            row["memory_opens"] = []
            for opened in _again(engine, address, plan.opens, pid):
                row["memory_opens"].append(opened)
                tell(f"opened and closed {opened['opens']} of {plan.opens} times, {opened['rss']:,} MiB")


def _one_session(engine: Any, address: str, moves: int) -> dict[str, Any]:
    opened: list[dict[str, float]] = []
    firsts: list[float] = []  # the first row, which is at hand by then
    others: list[float] = []
    for number in range(min(8, moves // 6)):
        tab = Tab(engine, address)
        opened.append(tab.open())
        tab.page.wait_for_timeout(_LOOKED)
        if number % 2:
            firsts.append(tab.select_next())
        else:
            others.append(tab.select_row(2 + number))
        tab.close()
    tab = Tab(engine, address)
    opened.append(tab.open())
    box = tab.frame()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    zooms, pans = [], []
    before = tab.received
    for turn in range(moves // 2):
        # In for four turns, out for four, and aside after each, so that wide and narrow windows are seen.
        zooms.append(tab.wheel(x + 9 * (turn % 5), y - 7 * (turn % 3), -240 if turn % 8 < 4 else 240))
        pans.append(tab.drag(x, y, 60 - 120 * (turn % 2), 40 - 80 * (turn % 2)))
    received = (tab.received - before) / (2 * len(zooms))
    firsts.append(tab.select_next())
    selected = [tab.select_next() for _ in range(max(moves // 2, 2))]
    linked = _linked(tab, moves // 4)
    every = [seconds for kind in linked.values() for seconds in kind]
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_timeout(300)
    hovers = [tab.hover(x + 23 * (k % 4) - 30, y + 17 * (k % 3) - 20) for k in range(moves // 4)]
    shown = [h for h in hovers if h is not None]
    tab.close()
    return {
        "page_load": summary([o["load"] for o in opened]),
        "first_paint": summary([o["first_paint"] for o in opened]),
        "complete": summary([o["complete"] for o in opened]),
        "zoom": summary(zooms),
        "pan": summary(pans),
        "select_first": summary(firsts),
        "select_first_other": summary(others) if others else None,
        "select": summary(selected),
        "link": summary(every) if every else None,
        "links": {kind: summary(seconds) for kind, seconds in linked.items() if seconds},
        "hover": summary(shown) if shown else None,
        "picture_bytes": int(received),
    }


def _linked(tab: Tab, each: int) -> dict[str, list[float]]:
    """Seconds from a move of the pointer onto a step to its marks in all views: from words, columns and points."""
    told: dict[str, list[float]] = {}
    for number, (kind, places) in enumerate(tab.places().items()):
        # Other steps for each kind: one that is marked already gives no time.
        apart = max(1, len(places) // each)
        some = places[number * apart // 3 :: apart][:each]
        told[kind] = [seconds for x, y in some if (seconds := tab.link(x, y)) is not None]
    return told


def _many(engine: Any, address: str, sessions: int, pid: int) -> dict[str, Any]:
    """Memory with so many pages open, each of which has shown another part of the map."""
    tabs = []
    try:
        for number in range(sessions):
            tab = Tab(engine, address)
            tabs.append(tab)
            tab.open()
            box = tab.frame()
            across, up = (0.3 + 0.4 * (number % 5) / 4) * box["width"], (0.3 + 0.4 * (number % 4) / 3) * box["height"]
            tab.wheel(box["x"] + across, box["y"] + up, -240)
        return _memory(pid)
    finally:
        for tab in tabs:
            tab.close()


def _again(engine: Any, address: str, opens: int, pid: int) -> Iterator[dict[str, Any]]:
    """Memory while a page is opened and closed again and again; the first tenth comes before the first figure."""
    every = max(1, opens // 10)
    for number in range(1, opens + 1):
        tab = Tab(engine, address)
        tab.open()
        tab.close()
        if number % every == 0:
            yield {"opens": number, **_memory(pid)}
    time.sleep(min(20, opens))  # sessions whose page is gone are swept every few seconds
    yield {"opens": opens, **_memory(pid)}


@contextlib.contextmanager
def _server(store: Path) -> Iterator[tuple[int, str, float]]:
    """A server of one store in a process of its own: its process id, its address, and seconds until it was ready."""
    command = [sys.executable, "-c", "from hiddenstate_core.cli.app import run; run()", "view", str(store)]
    with tempfile.TemporaryDirectory(prefix="hiddenstate-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as written:
            began = time.perf_counter()
            process = subprocess.Popen(
                [*command, "--port", "0"], stdin=subprocess.DEVNULL, stdout=written, stderr=written,
                start_new_session=True,
            )  # fmt: skip
        try:
            address = _address(process, log)
            yield process.pid, address, time.perf_counter() - began
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _STARTS
    while time.monotonic() < deadline:
        text = log.read_text("utf-8", "replace")
        if process.poll() is not None:
            last = (text.strip().splitlines() or ["nothing"])[-1]
            raise _ServerError(f"The server ended before it was ready; it said: {last}")
        found = re.search(r"http://\S+", text)
        if found and _ready(found[0]):
            return found[0]
        time.sleep(0.1)
    raise _ServerError(f"The server was not ready after {_STARTS} s.")


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address.split("?")[0].rstrip("/") + "/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 404  # a server without that page is ready once it listens
    except OSError:
        return False


class _ServerError(HiddenStateError, RuntimeError):
    """A server that did not start."""


def _memory(pid: int) -> dict[str, float]:
    """Resident memory of a process in MiB: all of it, and without the files that processes share."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        raise InputError("Memory is read from /proc, which only Linux has; pass --sessions 0 --opens 0 elsewhere.")
    found = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
    return {name: round(int(found[key].split()[0]) / 1024, 1) for name, key in (("rss", "VmRSS"), ("own", "RssAnon"))}
