"""The three benchmarks: t-SNE maps, neighbour graphs, placement of new states."""

from __future__ import annotations

import math
import statistics
from typing import Any

from benchmarks.process import Run, launch
from benchmarks.results import Row
from benchmarks.runner import Benchmark, Plan, Work

__all__ = ["BENCHMARKS"]

#: Beyond so many states the exact search of neighbours is left out.
_EXACT_STATES = 200_000


def _judge(work: Work, task: dict[str, Any]) -> Row:
    """One judging process; its time does not count, nor does the limit hold for it."""
    answer = launch(task, threads=work.plan.threads, numba_cache=work.plan.cache / "numba").answer
    return {name: value for name, value in answer.items() if name != "peak_megabytes"}


def _tsne_task(work: Work, repeat: int) -> dict[str, Any]:
    return {
        "kind": "tsne",
        "system": work.system,
        "input": str(work.files["input"].path),
        "output": str(work.folder / f"map-{repeat}.npy"),
        "perplexity": work.plan.settings["perplexity"],
        "options": work.plan.settings["options"],
    }


def _tsne_prepare(work: Work) -> None:
    """The judge's affinities before any run, so that hours of runs are not lost to a judge that fails."""
    _judge(work, _tsne_judging(work) | {"kind": "affinities"})


def _tsne_judging(work: Work) -> dict[str, Any]:
    return {
        "input": str(work.files["input"].path),
        "digest": work.files["input"].digest,
        "cache": str(work.plan.cache),
        "perplexity": work.plan.settings["perplexity"],
    }


def _tsne_judge(work: Work, runs: list[Run]) -> Row:
    maps = [str(work.folder / f"map-{i}.npy") for i in range(len(runs))]
    told = _judge(work, _tsne_judging(work) | {"kind": "divergence", "maps": maps})
    each = told["kl_divergence"]
    spread = [min(each), max(each)]
    if not all(math.isfinite(value) for value in each):
        return {"kl_divergence": None, "kl_spread": None, "judge": told["judge"]}
    return {"kl_divergence": statistics.median(each), "kl_spread": spread, "judge": told["judge"]}


def _neighbors_variants(system: str, n: int) -> tuple[str | None, ...]:
    if system == "hiddenstate":
        return ("exact", "partitioned", "auto") if n <= _EXACT_STATES else ("partitioned", "auto")
    return ("8", "32", "128") if system == "faiss" else (None,)


def _neighbors_task(work: Work, repeat: int) -> dict[str, Any]:
    return {
        "kind": "neighbors",
        "system": work.system,
        "variant": work.variant,
        "input": str(work.files["input"].path),
        "output": str(work.folder / f"graph-{repeat}.npy"),
        "k": work.plan.settings["k"],
    }


def _neighbors_judge(work: Work, runs: list[Run]) -> Row:
    each = [
        _judge(
            work,
            {
                "kind": "recall",
                "input": str(work.files["input"].path),
                "graph": str(work.folder / f"graph-{i}.npy"),
            },
        )
        for i in range(len(runs))
    ]
    return min(each, key=lambda told: told["recall"])


def _placement_task(work: Work, repeat: int) -> dict[str, Any]:
    return {
        "kind": "placement",
        "system": work.system,
        "input": str(work.files["input"].path),
        "new": str(work.files["new"].path),
        "output": str(work.folder / f"place-{repeat}"),
        "perplexity": work.plan.settings["perplexity"],
        "batches": work.plan.settings["batches"],
    }


def _placement_judge(work: Work, runs: list[Run]) -> Row:
    """Quality of the first run; of the times of a batch, the median over the runs."""
    told = _judge(work, _placement_task(work, 0) | {"kind": "placed"})
    batches = {}
    for size in map(str, work.plan.settings["batches"]):
        seconds = [run.answer["batches"][size]["seconds"] for run in runs]
        low, high = zip(*(run.answer["batches"][size]["spread"] for run in runs), strict=True)
        times = {"seconds": statistics.median(seconds), "seconds_spread": [min(low), max(high)]}
        batches[size] = times | told["batches"][size]
    first = statistics.median(run.answer["first_seconds"] for run in runs)
    return {"map_recall": told["map_recall"], "batches": batches, "first_seconds": first}


def _one(system: str, n: int) -> tuple[str | None, ...]:
    return (None,)


def _none(plan: Plan) -> int:
    return 0


def _nothing(work: Work) -> None:
    pass


BENCHMARKS = {
    "tsne": Benchmark("tsne", "t-SNE maps", _none, _one, _tsne_prepare, _tsne_task, _tsne_judge),
    "neighbors": Benchmark(
        "neighbors", "Neighbour graphs", _none, _neighbors_variants, _nothing, _neighbors_task, _neighbors_judge
    ),
    "placement": Benchmark(
        "placement",
        "New states in a finished map",
        lambda plan: max(plan.settings["batches"]),
        _one,
        _nothing,
        _placement_task,
        _placement_judge,
    ),
}
