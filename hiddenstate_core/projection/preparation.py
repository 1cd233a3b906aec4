"""`prepare`: from states or a graph to affinities, saved on the way where that is wanted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import NeighborGraph, NeighborIndex, States, indexed_neighbors
from hiddenstate_core.projection.affinities import Affinities, multiscale_affinities, uniform_affinities
from hiddenstate_core.projection.checkpoint import UNREADABLE

__all__ = ["AFFINITIES", "NEIGHBORS", "Prepared", "Recipe", "prepare"]

AFFINITIES = ("gaussian", "uniform", "precomputed")
NEIGHBORS = ("auto", "exact", "nndescent", "partitioned")
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How affinities are made.

    Parameters
    ----------
    affinity : str
        ``"gaussian"`` or ``"uniform"``.
    perplexities : tuple of float
        One or more; for uniform affinities the first, rounded, is the number of neighbours.
    neighbors : str
        Method of the search.
    seed : int
        Of the search.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show bars.
    """

    affinity: str
    perplexities: tuple[float, ...]
    neighbors: str
    seed: int
    n_jobs: int | None = None
    progress: bool = False

    def neighbours(self, n: int) -> int:
        """Neighbours of each of n points that are needed: three times the largest perplexity (van der Maaten 2014)."""
        wanted = round(self.perplexities[0]) if self.affinity == "uniform" else math.ceil(3 * max(self.perplexities))
        return max(1, min(n - 1, wanted))

    def told(self) -> dict[str, Any]:
        """What the affinities depend on."""
        return {
            "affinity": self.affinity,
            "perplexities": list(self.perplexities),
            "neighbors": self.neighbors,
            "seed": self.seed,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Affinities and where they come from.

    Parameters
    ----------
    affinities : Affinities
        P.
    neighbors : str or None
        Method that found the neighbours; None where affinities were given.
    recall : float or None
        Share of the true neighbours among those found.
    index : NeighborIndex or None
        What the search leaves behind for later queries.
    """

    affinities: Affinities
    neighbors: str | None = None
    recall: float | None = None
    index: NeighborIndex | None = None


def prepare(source: States | NeighborGraph | Affinities, recipe: Recipe, file: Path | None = None) -> Prepared:
    """Affinities of states or of a graph.

    Parameters
    ----------
    source : States, NeighborGraph or Affinities
        Affinities are passed on.
    recipe : Recipe
        How to make them.
    file : Path or None
        Where they are saved (.npz; about 8 bytes an entry), and from where they are read if they are there already.

    Raises
    ------
    InputError
        The file holds the affinities of other states or options, or is damaged.
    """
    if isinstance(source, Affinities):
        return Prepared(source)
    run = None
    if file is not None:
        run = {"format": _FORMAT, "points": _fingerprint(source), "recipe": recipe.told()}
        if file.exists():
            return _load(file, run)
    index = None
    if isinstance(source, NeighborGraph):
        graph = source
    else:
        k = recipe.neighbours(len(source))
        graph, index = indexed_neighbors(
            source, k, method=recipe.neighbors, seed=recipe.seed, n_jobs=recipe.n_jobs, progress=recipe.progress
        )
    if recipe.affinity == "uniform":
        affinities = uniform_affinities(graph, min(graph.k, recipe.neighbours(graph.n)), n_jobs=recipe.n_jobs)
    else:
        affinities = multiscale_affinities(graph, recipe.perplexities, n_jobs=recipe.n_jobs)
    if file is not None and run is not None:
        _save(file, run | {"method": graph.method, "recall": graph.recall}, affinities)
    return Prepared(affinities, graph.method, graph.recall, index)


def _save(file: Path, told: dict[str, Any], affinities: Affinities) -> None:
    a = affinities
    text = np.frombuffer(json.dumps(told).encode(), np.uint8)
    with atomic_path(file) as aside, aside.open("wb") as stream:
        np.savez(stream, told=text, offsets=a.offsets, columns=a.columns, values=a.values)


def _load(file: Path, run: dict[str, Any]) -> Prepared:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            told = json.loads(saved["told"].tobytes())
            other = [name for name in run if told.get(name) != run[name]]
            if not other:
                affinities = Affinities(saved["offsets"], saved["columns"], saved["values"])
                return Prepared(affinities, str(told["method"]), float(told["recall"]))
    except UNREADABLE as error:
        raise InputError(f"{file} holds no affinities, or it is damaged ({error}); delete it to start anew.") from error
    raise InputError(f"{file} is of another run ({', '.join(other)} differ); delete its folder or name another one.")


def _fingerprint(source: States | NeighborGraph) -> str:
    digest = hashlib.blake2b(digest_size=16)
    arrays = (source.data,) if isinstance(source, States) else (source.indices, source.distances)
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype), getattr(source, "scale", 1.0))).encode())
        for start in range(0, len(array), 1 << 16):
            digest.update(np.ascontiguousarray(array[start : start + (1 << 16)]).data)
    return digest.hexdigest()
