"""The one judge of all systems: divergence of maps, recall of graphs and placements; run by `benchmarks.worker`."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_directory
from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import NeighborGraph, nearest_neighbors
from hiddenstate_core.projection import Affinities, Estimate, perplexity_affinities, sampled_kl_divergence

__all__ = ["KINDS", "closest", "hits"]

Task = dict[str, Any]
#: Up to so many states the judge's affinities come from an exact search.
EXACT_STATES = 1_000_000
#: Recall asked of the approximate search beyond.
_RECALL = 0.99
_SAMPLE, _NEAREST = 1000, 10
#: Candidates beyond those sought whose order a product leaves open; points a block.
_SPARE, _BLOCK = 32, 20_000
_ARRAYS = ("offsets", "columns", "values")


def _prepare(task: Task) -> dict[str, Any]:
    """P once for all systems, kept on disk under the states' digest."""
    return _judge_of(task)[1]


def _divergence(task: Task) -> dict[str, Any]:
    """KL(P || Q) of each map, Z from every pair or, of large maps, from 2e10 of them, with its standard error."""
    affinities, told = _judge_of(task)
    judged: dict[str, float] = {}
    values, error = [], 0.0
    for path in task["maps"]:
        places = np.load(path)
        name = hashlib.sha256(places.tobytes()).hexdigest()
        if name not in judged:
            finite = bool(np.isfinite(places).all())
            estimate = sampled_kl_divergence(affinities, places, n_jobs=task["threads"]) if finite else Estimate(np.nan)
            judged[name], error = estimate.value, max(error, estimate.error)
        values.append(judged[name])
    return {"kl_divergence": values, "judge": told | {"kl_error": error}}


def _judge_of(task: Task) -> tuple[Affinities, dict[str, Any]]:
    folder = Path(task["cache"]) / f"affinities-{task['digest']}-{task['perplexity']:g}"
    kept = _kept(folder)
    if kept is not None:
        return kept
    affinities, told = _affinities(task)
    with contextlib.suppress(OSError), atomic_directory(folder) as temporary:  # a full disk costs time only
        for name in _ARRAYS:
            np.save(temporary / f"{name}.npy", getattr(affinities, name))
        (temporary / "judge.json").write_text(json.dumps(told), encoding="utf-8")
    return affinities, told


def _affinities(task: Task) -> tuple[Affinities, dict[str, Any]]:
    x = np.load(task["input"])
    k = min(len(x) - 1, int(3 * task["perplexity"]))
    graph = _search(x, k, task["threads"])
    told = {"neighbors": graph.method, "recall": graph.recall, "k": k}
    return perplexity_affinities(graph, task["perplexity"], n_jobs=task["threads"]), told


def _search(x: NDArray[np.float32], k: int, threads: int) -> NeighborGraph:
    if len(x) <= EXACT_STATES:
        return nearest_neighbors(x, k, method="exact", n_jobs=threads)
    return nearest_neighbors(x, k, method="partitioned", recall=_RECALL, n_jobs=threads)


def _kept(folder: Path) -> tuple[Affinities, dict[str, Any]] | None:
    try:
        told = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
        return Affinities(*(np.load(folder / f"{name}.npy") for name in _ARRAYS)), told
    except (OSError, ValueError, EOFError):
        return None


def _recall(task: Task) -> dict[str, Any]:
    """Recall of a graph on rows drawn with one seed."""
    x = np.load(task["input"])
    found = np.load(task["graph"], mmap_mode="r")
    rows = np.sort(np.random.default_rng(0).choice(len(x), min(_SAMPLE, len(x)), replace=False))
    true = closest(x, x[rows], found.shape[1], own=rows)
    each = hits(x, x[rows], np.asarray(found[rows]), true)
    return {"recall": float(each.mean()), "recall_error": _error(each), "rows": len(rows)}


def _placement(task: Task) -> dict[str, Any]:
    """Of the 10 nearest original states of each placed state, the share among its 10 nearest points of the map."""
    x, new, places = np.load(task["input"]), np.load(task["new"]), np.load(f"{task['output']}-map.npy")
    rows = np.sort(np.random.default_rng(0).choice(len(x), min(_SAMPLE, len(x)), replace=False))
    fitted = hits(
        x, x[rows], closest(places, places[rows], _NEAREST, own=rows), closest(x, x[rows], _NEAREST, own=rows)
    )
    told: dict[str, Any] = {"map_recall": float(fitted.mean()), "batches": {}}
    for size in task["batches"]:
        placed = np.load(f"{task['output']}-{size}.npy")
        sample = np.sort(np.random.default_rng(0).choice(size, min(_SAMPLE, size), replace=False))
        if placed.shape != (size, 2) or not np.isfinite(placed).all():
            raise InputError(f"{size} placed states gave an array of shape {placed.shape}, or values not finite.")
        each = hits(
            x, new[sample], closest(places, placed[sample], _NEAREST), closest(x, new[sample], _NEAREST)
        )  # fmt: skip
        told["batches"][str(size)] = {"recall": float(each.mean()), "recall_error": _error(each)}
    return told


def closest(
    points: NDArray[Any], queries: NDArray[Any], k: int, *, own: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Ids (m, k) of the points nearest to each query, by float64 distance, nearest first; ``own[i]`` is left out for i.

    A product screens block by block, differences decide; nothing of the package's own search is used.
    """
    centre = points.mean(axis=0, dtype=np.float64)
    y = queries.astype(np.float64) - centre
    room = min(k + _SPARE, len(points) - (own is not None))
    best, ids = np.full((len(y), room), np.inf), np.zeros((len(y), room), np.int64)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK].astype(np.float64) - centre
        squares = (block**2).sum(axis=1) - 2 * (y @ block.T)
        if own is not None:
            inside = np.flatnonzero((own >= start) & (own < start + len(block)))
            squares[inside, own[inside] - start] = np.inf
        width = min(room, len(block))
        near = np.argpartition(squares, width - 1, axis=1)[:, :width]
        best = np.hstack([best, np.take_along_axis(squares, near, axis=1)])
        ids = np.hstack([ids, near + start])
        keep = np.argpartition(best, room - 1, axis=1)[:, :room]
        best, ids = np.take_along_axis(best, keep, axis=1), np.take_along_axis(ids, keep, axis=1)
    order = np.argsort(_distances(points, queries, ids), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, axis=1)


def hits(
    points: NDArray[Any], queries: NDArray[Any], found: NDArray[np.int64], true: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Share of each query's k true neighbours found, (m,): no further than the k-th true one, so ties count."""
    limits = _distances(points, queries, true[:, -1:])
    distances = _distances(points, queries, np.maximum(found, 0))
    distances[found < 0] = np.inf  # how some systems say that they found too few
    return (distances <= limits * (1 + 1e-6)).mean(axis=1)


def _distances(points: NDArray[Any], queries: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.empty(ids.shape)
    for i, row in enumerate(ids):
        result[i] = np.sqrt(((points[row].astype(np.float64) - queries[i].astype(np.float64)) ** 2).sum(axis=1))
    return result


def _error(each: NDArray[np.float64]) -> float:
    """Standard error of a mean over rows."""
    return float(each.std() / np.sqrt(len(each)))


KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {
    "affinities": _prepare,
    "divergence": _divergence,
    "recall": _recall,
    "placed": _placement,
}
