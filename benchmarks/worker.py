"""One run of one t-SNE in a process of its own: system, states, where the map goes, perplexity, threads."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Made(NamedTuple):
    coordinates: NDArray[np.float32]
    iterations: int


def _hiddenstate(x: NDArray[np.float32], perplexity: float, threads: int) -> _Made:
    import hiddenstate_core as hs

    tsne = hs.TSNE(perplexity=perplexity, n_jobs=threads, n_iter_without_progress=None).fit(x)
    return _Made(tsne.embedding_, tsne.n_iter_)


def _sklearn(x: NDArray[np.float32], perplexity: float, threads: int) -> _Made:
    from sklearn.manifold import TSNE

    tsne: Any = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=threads).fit(x)
    return _Made(np.asarray(tsne.embedding_, np.float32), int(tsne.n_iter_) + 1)


def _opentsne(x: NDArray[np.float32], perplexity: float, threads: int) -> _Made:
    from openTSNE import TSNE

    made = TSNE(perplexity=perplexity, initialization="pca", random_state=0, n_jobs=threads).fit(x)
    return _Made(np.asarray(made, np.float32), 750)


_SYSTEMS = {"hiddenstate": _hiddenstate, "sklearn": _sklearn, "opentsne": _opentsne}
_DISTRIBUTIONS = {"hiddenstate": "hiddenstate", "sklearn": "scikit-learn", "opentsne": "openTSNE"}


def main(system: str, source: str, target: str, perplexity: str, threads: str) -> None:
    """Warm up on a few states, then read, fit and save; prints the figures as one line of JSON."""
    make = _SYSTEMS[system]
    began = time.perf_counter()
    make(np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32), 5.0, int(threads))
    warm = time.perf_counter()
    made = make(np.load(source), float(perplexity), int(threads))
    np.save(target, made.coordinates)
    seconds = time.perf_counter() - warm
    unit = 2**20 if sys.platform == "darwin" else 2**10
    figures = {
        "system": system,
        "version": importlib.metadata.version(_DISTRIBUTIONS[system]),
        "threads": int(threads),
        "iterations": made.iterations,
        "seconds": seconds,
        "warm_up_seconds": warm - began,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
