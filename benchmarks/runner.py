"""What all benchmarks share: prepare the states, warm up, run every system in its own process, judge, keep the row."""

from __future__ import annotations

import dataclasses
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, states
from benchmarks.process import Run, TaskError, launch
from benchmarks.results import Results, Row
from benchmarks.systems import FEW, SYSTEMS
from hiddenstate_core.errors import InputError, MissingExtraError

__all__ = ["Benchmark", "Plan", "Work", "run"]

#: States of a warm-up run.
_WARM = {"hiddenstate": 2000, "sklearn": 300, "intelex": 300, "opentsne": 1200, "pynndescent": 5000, "faiss": 2000}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of states.
    sources : tuple of Path
        Where the states come from; none for the stand-in.
    peers : tuple of str
        Systems to run beside hiddenstate.
    settings : dict
        The benchmark's own: perplexity, k, sizes of batches, options of hiddenstate.
    repeats : int
        Runs of each system; the median counts.
    threads : int
        Threads, and cores, of each system.
    cold : bool
        Start every run without compiled kernels.
    cache : Path
        Folder for the states, the judge's affinities and compiled kernels.
    resume : bool
        Skip what the results file already holds.
    limit : float or None
        Seconds after which a run is stopped.
    """

    sizes: tuple[int, ...]
    sources: tuple[Path, ...]
    peers: tuple[str, ...]
    settings: dict[str, Any]
    repeats: int
    threads: int
    cold: bool
    cache: Path
    resume: bool
    limit: float | None


@dataclasses.dataclass(frozen=True)
class Work:
    """One system's work on one set of states: what the benchmarks' own functions are told."""

    plan: Plan
    system: str
    variant: str | None
    n: int
    files: dict[str, states.StatesFile]
    folder: Path


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Parameters
    ----------
    name, title : str
        For the command line and the table.
    spare : callable
        Plan -> how many states beyond n it needs.
    variants : callable
        System, n -> its variants (None for a system without).
    prepare : callable
        Work -> None; called once for each set of states, before the first run.
    task : callable
        Work, number of the repeat -> the worker's task.
    judge : callable
        Work, runs -> quality figures for the row.
    """

    name: str
    title: str
    spare: Callable[[Plan], int]
    variants: Callable[[str, int], tuple[str | None, ...]]
    prepare: Callable[[Work], None]
    task: Callable[[Work, int], dict[str, Any]]
    judge: Callable[[Work, list[Run]], Row]


def run(benchmark: Benchmark, plan: Plan, report: Path | None) -> Results:
    """Measure everything in the plan.

    Raises
    ------
    InputError
        A plan that cannot be carried out.
    MissingExtraError
        A peer that is not installed.
    """
    _check(plan)
    results = Results(benchmark.name, states.source_name(plan.sources), report)
    if plan.resume:
        results.resume()
    warmed: set[tuple[str, str | None, bool]] = set()
    for n in plan.sizes:
        spare = benchmark.spare(plan)
        files = {"input": states.prepare(plan.sources, 0, n, plan.cache)}
        if spare:
            files["new"] = states.prepare(plan.sources, n, n + spare, plan.cache)
        prepared = False
        for system in ("hiddenstate", *plan.peers):
            for variant in benchmark.variants(system, n):
                with tempfile.TemporaryDirectory(dir=plan.cache, prefix="run-") as folder:
                    work = Work(plan, system, variant, n, files, Path(folder))
                    key = _key(work)
                    if plan.resume and results.find(key) is not None:
                        _say(f"{_title(work)}, {n:,} states: measured already")
                        continue
                    if not prepared:
                        _say(f"{n:,} states: preparing the judge")
                        benchmark.prepare(work)
                        prepared = True
                    results.add(key | _measure(benchmark, work, warmed))
    results.write()
    return results


def _check(plan: Plan) -> None:
    if plan.repeats < 1:
        raise InputError(f"--repeats must be at least 1, not {plan.repeats}.")
    if not 1 <= plan.threads <= machine.cores():
        raise InputError(f"--threads must lie in 1..{machine.cores()}, the cores there are, not {plan.threads}.")
    if min(plan.sizes) < 10:
        raise InputError(f"--n must be at least 10, not {min(plan.sizes)}.")
    if plan.limit is not None and not plan.limit > 0:
        raise InputError(f"--limit must be above 0 seconds, not {plan.limit:g}.")
    for name in plan.peers:
        if machine.version(SYSTEMS[name].distribution) is None:
            raise MissingExtraError(
                f"{SYSTEMS[name].title} is not installed; pip install 'hiddenstate[bench]' brings every peer."
            )
    load = machine.load()
    if load is not None and load > 0.5:
        _say(f"The machine is busy (load {load:g}): times will be too long.")


def _key(work: Work) -> Row:
    plan = work.plan
    own = work.system == "hiddenstate"
    return {
        "system": work.system,
        "variant": work.variant,
        "version": machine.version(SYSTEMS[work.system].distribution),
        "source": machine.source_of_hiddenstate() if own else None,
        "n": work.n,
        "states": work.files["input"].digest,
        "threads": plan.threads,
        "start": "cold" if plan.cold else "warm",
        "settings": {k: v for k, v in plan.settings.items() if own or k != "options"},
    }


def _measure(benchmark: Benchmark, work: Work, warmed: set[tuple[str, str | None, bool]]) -> Row:
    """The row's figures, or the reason why there are none."""
    plan = work.plan
    load = machine.load()
    try:
        warm = (work.system, work.variant, work.n > FEW)
        if not plan.cold and warm not in warmed:
            _say(f"{_title(work)}: warming up")
            _warm_up(benchmark, work)
            warmed.add(warm)
        runs: list[Run] = []
        compiled = 0
        while len(runs) < plan.repeats:
            _say(f"{_title(work)}, {work.n:,} states: run {len(runs) + 1} of {plan.repeats}")
            done, new = _once(benchmark.task(work, len(runs)), work)
            if new and not plan.cold and not compiled:  # the warm-up missed a kernel: such a run does not count
                compiled = new
                _say(f"{_title(work)}: {new} kernels were compiled in that run; it is made again")
                continue
            runs.append(done)
        _say(f"{_title(work)}, {work.n:,} states: judging")
        judged = benchmark.judge(work, runs)
    except TaskError as error:
        _say(f"{_title(work)}, {work.n:,} states: {error}")
        return {"error": str(error), "load": load}
    return _summary(runs) | judged | {"load": load}


def _once(task: dict[str, Any], work: Work) -> tuple[Run, int]:
    """One run, and how many kernels it compiled."""
    plan = work.plan
    cache = Path(tempfile.mkdtemp(dir=work.folder)) if plan.cold else plan.cache / "numba"
    before = sum(1 for _ in cache.rglob("*.nbc"))
    done = launch(task, threads=plan.threads, numba_cache=cache, limit=plan.limit)
    new = sum(1 for _ in cache.rglob("*.nbc")) - before
    if plan.cold:
        shutil.rmtree(cache, ignore_errors=True)
    return done, new


def _warm_up(benchmark: Benchmark, work: Work) -> None:
    """Compile the kernels and read the libraries from disk, on few states of the same width."""
    files = {}
    for name, file in work.files.items():
        few = np.load(file.path, mmap_mode="r")[: _WARM[work.system]]
        path = work.folder / f"warm-{name}.npy"
        np.save(path, few)
        files[name] = states.StatesFile(path, "")
    small = dataclasses.replace(work, files=files)
    task = benchmark.task(small, 0) | {"warm": work.n}
    rows = len(np.load(files["input"].path, mmap_mode="r"))
    if "perplexity" in task:
        task["perplexity"] = min(task["perplexity"], rows / 4)
    launch(task, threads=work.plan.threads, numba_cache=work.plan.cache / "numba", limit=work.plan.limit)


def _summary(runs: list[Run]) -> Row:
    seconds = [one.seconds for one in runs]
    fits = [one.answer["fit_seconds"] for one in runs]
    rest = {k: v for k, v in runs[0].answer.items() if k not in ("fit_seconds", "peak_megabytes")}
    return {
        "repeats": len(runs),
        "seconds": statistics.median(seconds),
        "seconds_spread": [min(seconds), max(seconds)],
        "fit_seconds": statistics.median(fits),
        "fit_seconds_spread": [min(fits), max(fits)],
        "cpu_seconds": statistics.median(one.cpu_seconds for one in runs),
        "peak_megabytes": max(one.answer["peak_megabytes"] for one in runs),
    } | rest


def _title(work: Work) -> str:
    return SYSTEMS[work.system].title + (f" {work.variant}" if work.variant else "")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
