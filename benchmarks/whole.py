"""One map of every state there is: uniform affinities, interpolation; its times, recall, divergence and picture."""

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
from hiddenstate_core.atomic import atomic_path, write_text
from hiddenstate_core.neighbors import NeighborGraph, States, nearest_neighbors
from hiddenstate_core.projection import (
    Affinities,
    Checkpoint,
    Interpolation,
    OptimizerOptions,
    Progress,
    initial_positions,
    optimize,
    quality,
    uniform_affinities,
)

__all__ = ["Plan", "run", "section"]

#: Sides of the picture in pixels.
_PIXELS = 1600
#: Of the probabilities 0, 0.5 and 1: blue, grey and vermilion, which colour-blind people tell apart.
_COLOURS = ((0, 90, 170), (150, 146, 140), (213, 80, 0))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to map.

    Parameters
    ----------
    sources : tuple of Path
        Trace stores or ``.npy`` files, one after another.
    out : Path
        Folder for ``whole.json``, ``map.npy``, ``whole.png`` and what a second run goes on from.
    neighbours : int
        Neighbours of each state, of equal weight.
    iterations : int
        Steps of the optimiser.
    recall : float
        Share of the true neighbours that the search aims at.
    sample : int
        States on which quality is measured.
    limit : int or None
        Only the first so many states.
    """

    sources: tuple[Path, ...]
    out: Path
    neighbours: int = 15
    iterations: int = 750
    recall: float = 0.9
    sample: int = 1000
    limit: int | None = None


def run(plan: Plan, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Make the map, judge it, draw it; returns the figures, which stand in ``whole.json`` too.

    A run that was cut off goes on from its graph and its last saved iteration; its times are then those of the rest.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    clock = _Clock(say)
    n = states.count(plan.sources) if plan.limit is None else plan.limit
    source = np.load(states.prepare(plan.sources, 0, n, plan.out).path, mmap_mode="r")
    clock("prepared")
    points = States.read(source)
    clock("read")
    graph = _graph(points, plan)
    clock("graph")
    start = initial_positions("pca", points, 2, 0)
    affinities = uniform_affinities(graph)
    clock("affinities")
    recall = graph.recall
    del points, graph
    done = _optimize(affinities, start, plan, say)
    clock("iterations")
    with atomic_path(plan.out / "map.npy") as aside, aside.open("wb") as file:
        np.save(file, done.positions)
    told = {
        "schema": 1,
        "benchmark": "whole",
        "rows": [],
        "states": states.source_name(plan.sources),
        "n": n,
        "settings": {"neighbours": plan.neighbours, "iterations": done.iteration},
        "seconds": clock.seconds,
        "total_seconds": sum(clock.seconds.values()) - clock.seconds["prepared"],
        "peak_megabytes": machine.peak_megabytes(),
        "graph_recall": recall,
        "machine": machine.describe(),
    }
    write_text(plan.out / "whole.json", json.dumps(told, indent=2))
    points = States.read(source)
    judged = quality(
        points, done.positions, affinities=affinities, graph=_graph(points, plan), sample=plan.sample
    )  # fmt: skip
    clock("quality")
    told["quality"] = judged.to_dict()
    write_text(plan.out / "whole.json", json.dumps(told, indent=2))
    draw(done.positions, states.classes(plan.sources, n), plan.out / "whole.png")
    say(json.dumps(told, indent=2))
    return told


def section(told: dict[str, Any]) -> str:
    """The figures as Markdown."""
    seconds, judged = told["seconds"], told["quality"]
    recall, divergence = judged["recall"], judged["kl_divergence"]
    parts = ", ".join(f"{name} {seconds[name]:,.0f} s" for name in ("read", "graph", "affinities", "iterations"))
    return "\n".join(
        [
            f"{told['n']:,} states of {told['states']} in one map, on {told['machine']['cores']} cores of "
            f"{told['machine']['processor']}: {told['total_seconds'] / 60:.0f} minutes ({parts}), at most "
            f"{told['peak_megabytes'] / 1024:.1f} GiB of memory. {told['settings']['neighbours']} neighbours of equal "
            f"weight, {told['settings']['iterations']} iterations by interpolation.",
            "",
            f"- The graph holds {told['graph_recall']:.1%} of the true neighbours.",
            f"- KL(P‖Q) {divergence['value']:.4f} ± {divergence['error']:.4f}, judged on that graph's affinities.",
            f"- Of the 10 nearest on the map, {recall['value']:.1%} are among the 10 nearest states.",
            f"- Trustworthiness {judged['trustworthiness']['value']:.4f} ± {judged['trustworthiness']['error']:.4f}, "
            f"continuity {judged['continuity']['value']:.4f} ± {judged['continuity']['error']:.4f}, "
            f"from {judged['sampled']:,} states drawn at random.",
        ]
    )


class _Clock:
    """Seconds since the last call, by stage."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._say = say
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now
        self._say(f"{stage}: {self.seconds[stage]:.1f} s, at most {machine.peak_megabytes():,.0f} MB so far")


def _graph(points: States, plan: Plan) -> NeighborGraph:
    """The neighbours, kept on disk for a run that is cut off later."""
    files = [plan.out / f"{name}.npy" for name in ("indices", "distances", "recall")]
    if all(file.exists() for file in files):
        indices, distances, recall = (np.load(file) for file in files)
        if indices.shape == (len(points), plan.neighbours):
            return NeighborGraph(indices, distances, "partitioned", float(recall))
    graph = nearest_neighbors(points, plan.neighbours, method="partitioned", recall=plan.recall, progress=True)
    arrays: tuple[NDArray[Any], ...] = (graph.indices, graph.distances, np.array(graph.recall))
    for file, array in zip(files, arrays, strict=True):
        with atomic_path(file) as aside, aside.open("wb") as stream:
            np.save(stream, array)
    return graph


def _optimize(affinities: Affinities, start: NDArray[np.float32], plan: Plan, say: Callable[[str], None]) -> Progress:
    began = time.perf_counter()

    def tell(progress: Progress) -> None:
        extent = np.ptp(progress.positions, axis=0)
        say(
            f"iteration {progress.iteration}: KL {progress.kl_divergence:.4f}, "
            f"{extent[0]:.0f} x {extent[1]:.0f}, {time.perf_counter() - began:.0f} s"
        )

    return optimize(
        affinities,
        start,
        Interpolation(),
        OptimizerOptions(max_iter=plan.iterations, patience=None),
        callback=tell,
        checkpoint=Checkpoint(plan.out / "descent.npz", seconds=300),
    )


def draw(positions: NDArray[np.float32], classes: NDArray[np.float32] | None, target: Path) -> None:
    """A picture of the map: the denser the stronger, coloured by the mean of `classes` (0 to 1) where there are any."""
    import datashader
    import pandas as pd
    from PIL import Image

    low, high = (np.quantile(positions, q, axis=0) for q in (0.0005, 0.9995))
    middle, half = (low + high) / 2, float((high - low).max()) * 0.53
    canvas = datashader.Canvas(
        _PIXELS, _PIXELS, (middle[0] - half, middle[0] + half), (middle[1] - half, middle[1] + half)
    )
    frame = pd.DataFrame({"x": positions[:, 0], "y": positions[:, 1]})
    frame["value"] = 0.5 if classes is None else classes
    count = np.asarray(canvas.points(frame, "x", "y", datashader.count()), np.float64)
    mean = np.nan_to_num(np.asarray(canvas.points(frame, "x", "y", datashader.mean("value")), np.float64), nan=0.5)
    strength = np.where(count > 0, 0.45 + 0.55 * np.log1p(count) / np.log1p(np.quantile(count[count > 0], 0.99)), 0.0)
    colour = np.stack([np.interp(mean, (0, 0.5, 1), channel) for channel in zip(*_COLOURS, strict=True)], axis=-1)
    pixels = 255 - np.minimum(strength, 1)[..., None] * (255 - colour)
    picture = Image.fromarray(np.uint8(pixels[::-1])).resize((_PIXELS // 2, _PIXELS // 2), Image.Resampling.BOX)
    with atomic_path(target) as aside, aside.open("wb") as file:
        picture.quantize(128).save(file, "PNG", optimize=True)
