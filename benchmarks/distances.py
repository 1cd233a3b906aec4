"""Histograms of all pairwise distances beside SciPy and scikit-learn, each in a process of its own, counts compared."""

from __future__ import annotations

import dataclasses
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, states
from benchmarks.process import Run, launch

__all__ = ["KINDS", "PEERS", "Plan", "run", "section"]

Task = dict[str, Any]
Counts = NDArray[np.int64]

#: Peers and the distributions that hold them.
PEERS = {"scipy": "scipy", "sklearn": "scikit-learn"}
_TITLES = {"hiddenstate": "hiddenstate", "scipy": "SciPy pdist + numpy.histogram", "sklearn": "scikit-learn chunked"}
#: Names that SciPy and scikit-learn give to a metric.
_NAMES = {"manhattan": "cityblock"}
_WARM = 600


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Parameters
    ----------
    sources : tuple of Path
        Trace stores or ``.npy`` files; none for the stand-in.
    sizes : tuple of int
        Numbers of states.
    most : int
        Most states that a peer is given; its time for more is that of so many, by the number of pairs.
    metric, bins, peers
        What is counted, in how many bins, by whom else.
    repeats, threads : int
        Runs of each system, of which the median counts, and cores that each may use.
    cache : Path
        Folder for states and compiled kernels.
    """

    sources: tuple[Path, ...]
    sizes: tuple[int, ...]
    most: int
    metric: str
    bins: int
    peers: tuple[str, ...]
    repeats: int
    threads: int
    cache: Path


def run(plan: Plan, out: Path | None = None) -> dict[str, Any]:
    """Measure; returns the figures and writes them to `out` as JSON.

    Raises
    ------
    InputError
        No such states, or a plan that makes no sense.
    MissingExtraError
        A peer that is not installed.
    """
    from hiddenstate_core.atomic import write_text

    _check(plan)
    sizes = sorted({*plan.sizes, *(min(n, plan.most) for n in plan.sizes)})
    rows = []
    with tempfile.TemporaryDirectory(prefix="hiddenstate-bench-") as folder:
        for n in sizes:
            path = states.prepare(plan.sources, 0, n, plan.cache).path
            edges = _edges(path, plan)
            systems = ["hiddenstate", *(plan.peers if n <= plan.most else ())]
            found = {system: _measure(system, path, edges, plan, Path(folder)) for system in systems}
            truth = found.get("scipy", found["hiddenstate"])[1]
            for row, counts in found.values():
                rows.append(row | {"n": n, "elsewhere": int(np.abs(counts - truth).sum()) // 2})
    told = {
        "schema": 1,
        "benchmark": "distances",
        "states": states.source_name(plan.sources),
        "metric": plan.metric,
        "bins": plan.bins,
        "threads": plan.threads,
        "rows": rows,
        "machine": {**machine.describe(), "load": machine.load()},
    }
    if out is not None:
        write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def section(told: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{told['machine']['processor']}, {told['threads']} cores, load {told['machine']['load']:g}. States: "
        f"{told['states']}; {told['metric']} distances in {told['bins']} bins.",
        "",
        "| states | system | seconds | processor seconds | ns a pair | processor ns a pair | peak MB "
        "| pairs elsewhere |",
        "| ---: | :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in told["rows"]:
        pairs = row["n"] * (row["n"] - 1) / 2
        lines.append(
            f"| {row['n']:,} | {_TITLES[row['system']]} | {row['fit_seconds']:.2f} | {row['cpu_seconds']:.2f} "
            f"| {1e9 * row['fit_seconds'] / pairs:.2f} | {1e9 * row['cpu_seconds'] / pairs:.2f} "
            f"| {row['peak_megabytes']:,.0f} | {row['elsewhere']:,} |"
        )
    return "\n".join([*lines, "", *_ratios(told["rows"])])


def _ratios(rows: list[dict[str, Any]]) -> list[str]:
    """Each peer's time for as many pairs as ours, beside ours."""
    lines = []
    peers = {row["system"]: row for row in rows if row["system"] != "hiddenstate"}
    for ours in (row for row in rows if row["system"] == "hiddenstate"):
        for system, peer in peers.items():
            scale = ours["n"] * (ours["n"] - 1) / (peer["n"] * (peer["n"] - 1))
            told = "measured" if ours["n"] == peer["n"] else f"from {peer['n']:,} states"
            seconds, cpu = peer["fit_seconds"] * scale, peer["cpu_seconds"] * scale
            lines.append(
                f"- {ours['n']:,} states: {_TITLES[system]} {seconds:,.1f} s ({told}), "
                f"{seconds / ours['fit_seconds']:.1f} times ours; {cpu:,.1f} processor seconds, "
                f"{cpu / ours['cpu_seconds']:.1f} times ours."
            )
    return lines


def _check(plan: Plan) -> None:
    from hiddenstate_core.errors import InputError, MissingExtraError

    if min(plan.sizes) < 10 or plan.most < 10:
        raise InputError(f"--n and --most must be at least 10, not {min(*plan.sizes, plan.most)}.")
    if plan.repeats < 1:
        raise InputError(f"--repeats must be at least 1, not {plan.repeats}.")
    if plan.bins < 1:
        raise InputError(f"--bins must be at least 1, not {plan.bins}.")
    if not 1 <= plan.threads <= machine.cores():
        raise InputError(f"--threads must lie in 1..{machine.cores()}, the cores there are, not {plan.threads}.")
    for name in plan.peers:
        if name not in PEERS:
            raise InputError(f"--peers of distances are {', '.join(PEERS)} or all, not {name}.")
        if machine.version(PEERS[name]) is None:
            raise MissingExtraError(
                f"{PEERS[name]} is not installed; pip install 'hiddenstate[bench]' brings every peer."
            )


def _edges(path: Path, plan: Plan) -> list[float]:
    """First and last edge: those that hiddenstate chooses, for all systems."""
    from hiddenstate_core.distances import plan_histogram

    edges = plan_histogram(np.load(path, mmap_mode="r"), plan.bins, metric=plan.metric).edges
    return [float(edges[0]), float(edges[-1])]


def _measure(system: str, path: Path, edges: list[float], plan: Plan, folder: Path) -> tuple[dict[str, Any], Counts]:
    task: Task = {
        "kind": "distances",
        "system": system,
        "input": str(path),
        "output": str(folder / "counts.npy"),
        "metric": plan.metric,
        "bins": plan.bins,
        "range": edges,
    }
    numba = plan.cache / "numba"
    launch(task | {"first": _WARM}, threads=plan.threads, numba_cache=numba)
    runs: list[Run] = []
    for number in range(plan.repeats):
        print(f"{_TITLES[system]}, {path.stem}: run {number + 1} of {plan.repeats}", file=sys.stderr, flush=True)
        runs.append(launch(task, threads=plan.threads, numba_cache=numba))
    answers = [one.answer for one in runs]
    row = {
        "system": system,
        "version": machine.version(PEERS.get(system, "hiddenstate")),
        "repeats": plan.repeats,
        "fit_seconds": statistics.median(one["fit_seconds"] for one in answers),
        "fit_spread": [min(one["fit_seconds"] for one in answers), max(one["fit_seconds"] for one in answers)],
        "cpu_seconds": statistics.median(one["cpu_seconds"] for one in answers),
        "cpu_spread": [min(one["cpu_seconds"] for one in answers), max(one["cpu_seconds"] for one in answers)],
        "peak_megabytes": max(one["peak_megabytes"] for one in answers),
    }
    return row, np.load(folder / "counts.npy")


# --- in a process of its own ---


def _count(task: Task) -> dict[str, Any]:
    x = np.load(task["input"], mmap_mode="r")[: task.get("first")]
    library, count = _SYSTEMS[task["system"]]
    importlib.import_module(library)
    began, cpu = time.perf_counter(), time.process_time()
    counts = count(x, task)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    np.save(task["output"], counts)
    return {"fit_seconds": seconds, "cpu_seconds": cpu}


def _hiddenstate(x: NDArray[np.float32], task: Task) -> Counts:
    import hiddenstate_core as hs

    found = hs.distance_histogram(
        x, task["bins"], tuple(task["range"]), task["metric"], budget=len(x) ** 2, n_jobs=task["threads"]
    )
    return found.counts


def _scipy(x: NDArray[np.float32], task: Task) -> Counts:
    distance = importlib.import_module("scipy.spatial.distance")
    distances = distance.pdist(np.asarray(x, np.float64), _NAMES.get(task["metric"], task["metric"]))
    return np.histogram(distances, task["bins"], tuple(task["range"]))[0].astype(np.int64)


def _sklearn(x: NDArray[np.float32], task: Task) -> Counts:
    """The whole square by chunks, less the diagonal, halved."""
    chunked = importlib.import_module("sklearn.metrics").pairwise_distances_chunked
    x = np.asarray(x)
    counts, start = np.zeros(task["bins"], np.int64), 0
    for block in chunked(x, metric=task["metric"], n_jobs=task["threads"]):
        counts += np.histogram(block, task["bins"], tuple(task["range"]))[0]
        start += len(block)
    counts[0] -= start
    return counts // 2


#: What is imported before the clock runs, and what is timed.
_SYSTEMS: dict[str, tuple[str, Callable[[NDArray[np.float32], Task], Counts]]] = {
    "hiddenstate": ("hiddenstate_core.distances", _hiddenstate),
    "scipy": ("scipy.spatial.distance", _scipy),
    "sklearn": ("sklearn.metrics", _sklearn),
}

KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {"distances": _count}
