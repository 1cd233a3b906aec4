"""Each stage of a map beside its floor: what the machine would need to move the bytes or do the sums, and no more."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, states
from hiddenstate_core.atomic import write_text
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors import NeighborGraph, States, nearest_neighbors
from hiddenstate_core.projection import (
    Affinities,
    BarnesHut,
    Interpolation,
    OptimizerOptions,
    initial_positions,
    optimize,
    perplexity_affinities,
)
from hiddenstate_core.projection.descent import Descent
from hiddenstate_core.projection.gradients import attractive_force

__all__ = ["Stage", "run", "section"]

_REPEATS = 5


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage's time beside its floor.

    Parameters
    ----------
    name : str
        Of the stage.
    seconds : float
        Least of a few runs.
    megabytes, gigaflops : float
        What it must move through memory at least, and compute at least.
    floor : float
        Seconds that the slower of the two takes at the machine's measured rates.
    """

    name: str
    seconds: float
    megabytes: float
    gigaflops: float
    floor: float


def run(sources: tuple[Path, ...], n: int, cache: Path, threads: int, out: Path | None = None) -> dict[str, Any]:
    """Measure every stage of a map of n states at its end; returns the figures and writes them to `out` as JSON."""
    path = states.prepare(sources, 0, n, cache).path
    with Workers(threads) as workers:
        rates = _bandwidth(workers), _products()
        made = _stages(path, workers, *rates)
    told = {
        "schema": 1,
        "benchmark": "stages",
        "states": states.source_name(sources),
        "n": n,
        "threads": threads,
        "gigabytes_a_second": rates[0] / 1e9,
        "gigaflops_a_second": rates[1] / 1e9,
        "rows": [dataclasses.asdict(stage) for stage in made],
        "machine": machine.describe(),
    }
    if out is not None:
        write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def section(told: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        f"{told['machine']['processor']}, {told['threads']} cores. States: {told['n']:,} of {told['states']}, "
        f"perplexity 30. Measured rates: {told['gigabytes_a_second']:.0f} GB/s read from memory, "
        f"{told['gigaflops_a_second']:.0f} GFLOPS in a float32 matrix product.",
        "",
        "| stage | ms | must move, MB | must compute, GFLOP | floor, ms | times the floor |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in told["rows"]:
        lines.append(
            f"| {row['name']} | {1e3 * row['seconds']:,.1f} | {row['megabytes']:,.1f} | {row['gigaflops']:,.3f} "
            f"| {1e3 * row['floor']:,.2f} | {row['seconds'] / row['floor']:,.1f} |"
        )
    return "\n".join(lines)


def _stages(path: Path, workers: Workers, bandwidth: float, products: float) -> list[Stage]:
    made: list[Stage] = []

    def stage(name: str, work: Callable[[], Any], moved: float, flops: float, repeats: int = _REPEATS) -> Any:
        best, result = np.inf, None
        for _ in range(repeats):
            began = time.perf_counter()
            result = work()
            best = min(best, time.perf_counter() - began)
        floor = max(moved / bandwidth, flops / products)
        made.append(Stage(name, float(best), float(moved / 1e6), float(flops / 1e9), float(floor)))
        return result

    source = np.load(path, mmap_mode="r")
    n, d = source.shape
    k, dims, jobs, size = 90, 2, workers.threads, 4 * n * d
    points = stage("states read and checked", lambda: States.read(source), 8 * n * d, 0, 2)
    start = stage(
        "principal components", lambda: initial_positions("pca", points, dims, 0), 4 * n * d, 2 * n * d * d, 2
    )
    graph: NeighborGraph = stage(
        "neighbours", lambda: nearest_neighbors(points, k, n_jobs=jobs), size + 12 * n * k, 3 * n * k * d, 1
    )
    affinities: Affinities = stage(
        "affinities", lambda: perplexity_affinities(graph, 30, n_jobs=jobs), 12 * n * k, 40 * n * k, 2
    )
    done = optimize(affinities, start, Interpolation(), OptimizerOptions(), n_jobs=jobs)
    _iteration(affinities, done.positions, workers, stage)
    return made


def _iteration(
    affinities: Affinities, positions: NDArray[np.float32], workers: Workers, stage: Callable[..., Any]
) -> None:
    """One iteration of a finished map, and its parts."""
    n, entries = affinities.n, len(affinities.values)
    descent = Descent(affinities, positions.copy(), Interpolation())
    phase = dataclasses.replace(OptimizerOptions().phase(500, n), rate=0.0)
    descent.iteration = 250  # where points are put in order
    descent.advance(phase, workers)
    grid, tree = Interpolation(), BarnesHut()
    rows, ordered = descent.rows, descent.positions
    nodes = np.prod(np.ptp(positions, axis=0) / grid.spacing)
    transforms = 4 * 2.5 * (4 * nodes) * np.log2(4 * nodes)
    attraction, points = 8 * entries + 16 * n, 16 * n + 8 * n
    stage("attraction", lambda: attractive_force(rows, ordered, workers), attraction, 9 * entries)
    stage("repulsion by interpolation", lambda: grid(ordered, workers), points + 40 * nodes, 180 * n + transforms)
    stage("repulsion by Barnes-Hut", lambda: tree(ordered, workers), 24 * n, 0)
    stage("whole iteration", lambda: descent.advance(phase, workers), attraction + points + 64 * n, 9 * entries)
    stage("divergence", lambda: descent.divergence(workers), attraction, 30 * entries)


def _bandwidth(workers: Workers) -> float:
    """Bytes a second that all threads read together."""
    numbers = np.ones(1 << 26, np.float32)
    best = np.inf
    for _ in range(_REPEATS):
        began = time.perf_counter()
        workers.run(lambda a, b: numbers[a:b].max(), len(numbers), 1 << 20)
        best = min(best, time.perf_counter() - began)
    return float(numbers.nbytes / best)


def _products() -> float:
    """Operations a second in a float32 matrix product, on as many threads as the environment gives it."""
    matrix = np.ones((2048, 2048), np.float32)
    best = np.inf
    for _ in range(_REPEATS):
        began = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - began)
    return float(2 * 2048**3 / best)
