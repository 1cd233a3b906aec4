"""The systems measured: how each makes a map, a neighbour graph, or places new states; run by `benchmarks.worker`."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEW", "KINDS", "SYSTEMS", "System"]

Task = dict[str, Any]
Array = NDArray[Any]
#: Calls of `transform` end when so many seconds have gone by, once three have been made.
_PATIENCE, _CALLS = 30.0, 5
#: Up to so many states hiddenstate looks at every pair, and needs few of its kernels.
FEW = 1000


@dataclasses.dataclass(frozen=True)
class System:
    """One system: its name in tables, the distribution that holds it, and the jobs that it does."""

    title: str
    distribution: str
    jobs: frozenset[str]


SYSTEMS = {
    "hiddenstate": System("hiddenstate", "hiddenstate", frozenset({"tsne", "neighbors", "placement"})),
    "sklearn": System("scikit-learn", "scikit-learn", frozenset({"tsne", "neighbors"})),
    "intelex": System("scikit-learn-intelex", "scikit-learn-intelex", frozenset({"tsne"})),
    "opentsne": System("openTSNE", "openTSNE", frozenset({"tsne", "placement"})),
    "pynndescent": System("pynndescent", "pynndescent", frozenset({"neighbors"})),
    "faiss": System("faiss", "faiss-cpu", frozenset({"neighbors"})),
}


# --- maps ---


def _map(task: Task) -> dict[str, Any]:
    x = np.load(task["input"])
    began = time.perf_counter()
    made, iterations, details = _MAPS[task["system"]](x, task)
    seconds = time.perf_counter() - began
    np.save(task["output"], np.asarray(made, np.float32))
    return {"fit_seconds": seconds, "iterations": iterations, "details": details}


def _hiddenstate_map(x: Array, task: Task) -> tuple[Array, int, dict[str, Any]]:
    import hiddenstate_core as hs

    common: Task = {"perplexity": task["perplexity"], "n_jobs": task["threads"], "random_state": 0}
    if task.get("warm"):
        methods: list[Task] = [{"method": name} for name in ("barnes_hut", "interpolation")]
        choices: list[Task] = [{"method": "exact"}, *methods, {"neighbors": "partitioned"}]
        for choice in choices if task["warm"] > FEW else choices[:1]:
            try:
                tsne = hs.TSNE(**common, max_iter=60, **choice).fit(x)
            except hs.HiddenStateError:  # a method that this version has not got
                continue
        return tsne.embedding_, 60, {}
    tsne = hs.TSNE(**common | task["options"]).fit(x)
    parameters = tsne.embedding().parameters
    details = {name: parameters[name] for name in ("method", "neighbors", "recall") if name in parameters}
    return tsne.embedding_, tsne.n_iter_, details | task["options"]


def _sklearn_map(x: Array, task: Task) -> tuple[Array, int, dict[str, Any]]:
    from sklearn.manifold import TSNE

    more = {"max_iter": 250} if task.get("warm") else {}
    tsne: Any = TSNE(perplexity=task["perplexity"], init="pca", random_state=0, n_jobs=task["threads"], **more)
    tsne.fit(x)
    return tsne.embedding_, int(tsne.n_iter_) + 1, {"method": "barnes_hut"}


def _intelex_map(x: Array, task: Task) -> tuple[Array, int, dict[str, Any]]:
    """scikit-learn with Intel's patch; an error where it fell back to scikit-learn's own loops."""
    importlib.import_module("sklearnex").patch_sklearn(verbose=False)
    importlib.import_module("daal4py").daalinit(task["threads"])
    said = _Said()
    logger = logging.getLogger("sklearnex")
    logger.addHandler(said)
    logger.setLevel(logging.INFO)
    made, iterations, _ = _sklearn_map(x, task)
    told = [line for line in said.lines if "TSNE" in line]
    if not told or not all("accelerated" in line for line in told):
        raise RuntimeError(f"scikit-learn-intelex did not run its own t-SNE: {told or 'it said nothing'}")
    return made, iterations, {"method": "barnes_hut", "oneDAL": True}


class _Said(logging.Handler):
    """Keeps what a library logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


def _opentsne_map(x: Array, task: Task) -> tuple[Array, int, dict[str, Any]]:
    from openTSNE import TSNE

    common = {"perplexity": task["perplexity"], "random_state": 0, "n_jobs": task["threads"], "initialization": "pca"}
    if task.get("warm"):
        return np.asarray(TSNE(**common, early_exaggeration_iter=10, n_iter=10).fit(x)), 20, {}
    tsne = TSNE(**common)
    made = tsne.fit(x)
    details = {"method": "bh" if len(x) < 10_000 else "fft", "neighbors": type(made.affinities.knn_index).__name__}
    return np.asarray(made), tsne.early_exaggeration_iter + tsne.n_iter, details


_MAPS: dict[str, Callable[[Array, Task], tuple[Array, int, dict[str, Any]]]] = {
    "hiddenstate": _hiddenstate_map,
    "sklearn": _sklearn_map,
    "intelex": _intelex_map,
    "opentsne": _opentsne_map,
}


# --- neighbours ---


def _graph(task: Task) -> dict[str, Any]:
    x = np.load(task["input"])
    began = time.perf_counter()
    ids, details = _GRAPHS[task["system"]](x, task)
    seconds = time.perf_counter() - began
    np.save(task["output"], np.asarray(ids, np.int64))
    return {"fit_seconds": seconds, "details": details}


def _hiddenstate_graph(x: Array, task: Task) -> tuple[Array, dict[str, Any]]:
    from hiddenstate_core.neighbors import nearest_neighbors

    graph = nearest_neighbors(x, task["k"], method=task["variant"], n_jobs=task["threads"])
    return graph.indices, {"method": graph.method, "own_recall": graph.recall}


def _pynndescent_graph(x: Array, task: Task) -> tuple[Array, dict[str, Any]]:
    from pynndescent import NNDescent

    index = NNDescent(x, n_neighbors=task["k"] + 1, random_state=0, n_jobs=task["threads"])
    return _without_self(index.neighbor_graph[0]), {}


def _sklearn_graph(x: Array, task: Task) -> tuple[Array, dict[str, Any]]:
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=task["k"], algorithm="brute", n_jobs=task["threads"]).fit(x)
    return search.kneighbors(return_distance=True)[1], {"method": "brute"}


def _faiss_graph(x: Array, task: Task) -> tuple[Array, dict[str, Any]]:
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(task["threads"])
    lists = max(1, min(int(4 * len(x) ** 0.5), len(x) // 39))  # faiss asks for 39 points a list to train on
    quantizer = faiss.IndexFlatL2(x.shape[1])
    index = faiss.IndexIVFFlat(quantizer, x.shape[1], lists)
    index.train(x)
    index.add(x)
    index.nprobe = int(task["variant"])
    return _without_self(index.search(x, task["k"] + 1)[1]), {"lists": lists, "nprobe": index.nprobe}


def _without_self(ids: Array) -> Array:
    """(n, k) of (n, k + 1) ids: the row's own id leaves, or the last where it is not there."""
    own = ids == np.arange(len(ids))[:, None]
    own[~own.any(axis=1), -1] = True
    return ids[~own].reshape(len(ids), -1)


_GRAPHS: dict[str, Callable[[Array, Task], tuple[Array, dict[str, Any]]]] = {
    "hiddenstate": _hiddenstate_graph,
    "pynndescent": _pynndescent_graph,
    "sklearn": _sklearn_graph,
    "faiss": _faiss_graph,
}


# --- placement ---


def _place(task: Task) -> dict[str, Any]:
    """Fit a map, then place batches of new states into it: the first call of a process, and the calls after it."""
    x, new = np.load(task["input"]), np.load(task["new"])
    began = time.perf_counter()
    made, transform = _PLACERS[task["system"]](x, task)
    fit_seconds = time.perf_counter() - began
    first: float | None = None
    batches = {}
    for size in task["batches"]:
        batch = np.ascontiguousarray(new[:size])
        seconds: list[float] = []
        while len(seconds) < (3 if sum(seconds) > _PATIENCE else _CALLS):
            began = time.perf_counter()
            placed = transform(batch)
            seconds.append(time.perf_counter() - began)
            if first is None:
                first = seconds.pop()
        np.save(f"{task['output']}-{size}.npy", np.asarray(placed, np.float32))
        batches[str(size)] = {"seconds": statistics.median(seconds), "spread": [min(seconds), max(seconds)]}
    # The map as it is after placing: openTSNE's transform moves it to the origin, and its new points with it.
    np.save(f"{task['output']}-map.npy", np.asarray(made, np.float32))
    return {"fit_seconds": fit_seconds, "first_seconds": first, "batches": batches}


def _hiddenstate_placer(x: Array, task: Task) -> tuple[Array, Callable[[Array], Array]]:
    import hiddenstate_core as hs

    more: Task = {"max_iter": 60} if task.get("warm") else {}
    tsne: Any = hs.TSNE(perplexity=task["perplexity"], n_jobs=task["threads"], random_state=0, **more).fit(x)
    if not hasattr(tsne, "transform"):
        raise RuntimeError("this version's TSNE has no transform")
    return tsne.embedding_, tsne.transform


def _opentsne_placer(x: Array, task: Task) -> tuple[Array, Callable[[Array], Array]]:
    from openTSNE import TSNE

    more = {"early_exaggeration_iter": 10, "n_iter": 10} if task.get("warm") else {}
    made = TSNE(perplexity=task["perplexity"], n_jobs=task["threads"], random_state=0, **more).fit(x)
    return np.asarray(made), made.transform


_PLACERS: dict[str, Callable[[Array, Task], tuple[Array, Callable[[Array], Array]]]] = {
    "hiddenstate": _hiddenstate_placer,
    "opentsne": _opentsne_placer,
}

KINDS: dict[str, Callable[[Task], dict[str, Any]]] = {"tsne": _map, "neighbors": _graph, "placement": _place}
