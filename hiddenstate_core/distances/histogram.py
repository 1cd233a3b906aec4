"""`distance_histogram`: the histogram of all pairwise distances, which are never held."""

from __future__ import annotations

import queue
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.distances.counts import DistanceHistogram, PairCounts
from hiddenstate_core.distances.frame import BlockCache
from hiddenstate_core.distances.plan import HistogramPlan
from hiddenstate_core.distances.sampling import sample_pairs, sample_sequence_pairs
from hiddenstate_core.distances.source import Source
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.blocks import Block
from hiddenstate_core.kernels.workers import Workers

__all__ = ["distance_histogram", "plan_histogram"]

#: Most pairs that are counted all, and pairs of a sample.
_BUDGET, _SAMPLE = 20_000_000_000, 1_000_000


def distance_histogram(
    X: Any,
    bins: int | ArrayLike = 100,
    range: tuple[float, float] | None = None,
    metric: str = "euclidean",
    *,
    labels: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    budget: int = _BUDGET,
    seed: int = 0,
    n_jobs: int | None = None,
) -> DistanceHistogram:
    """Count the distances of all pairs of states (i < j) in bins, without ever holding them.

    Parameters
    ----------
    X : (n, d) array-like
        At least two states: real numbers in a NumPy array, memory map, Zarr array or `Trace` array, read block by
        block.
    bins : int or (B + 1,) array
        Number of bins, or their ascending edges.
    range : pair of float, optional
        First and last edge. By default from 0 to a bound that no distance exceeds: twice the largest distance from the
        mean or the diagonal of the box around the states, whichever is less.
    metric : {"euclidean", "sqeuclidean", "cosine", "manhattan"}
        Cosine: 1 less the cosine of the angle.
    labels : (n,) array of int or str, optional
        Class of each state, for counts within and between classes and for each pair of classes.
    offsets : (S + 1,) array of int, optional
        Where each sequence begins and ends, for counts within sequences: `Trace.offsets`.
    budget : int
        Most pairs that are counted. Where there are more, a sample of a million (or of `budget`, if that is less) is
        counted instead, and `PairCounts.band` tells how far off the shares may be.
    seed : int
        Of the sample.
    n_jobs : int or None
        Threads; see `Workers`. The result does not depend on it.

    Returns
    -------
    DistanceHistogram
        Not sampled, its counts are those of float64 distances put into ``numpy.histogram(..., edges)``; they can
        differ only for a distance that lies on an edge up to the rounding of float64.

    Raises
    ------
    InputError
        Bad states (by row), bins, range, metric, labels, offsets or budget.

    Notes
    -----
    Exact: O(n^2 d) time and O(n + C^2 B) memory beside blocks of 16 MB, for any n.
    """
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < 1:
        raise InputError(f"budget must be a number of pairs, at least 1, not {budget!r}.")
    source = Source.of(X, metric, least=2)
    plan = HistogramPlan.of(source, bins, range, labels, offsets)
    with Workers(n_jobs) as workers:
        if source_pairs(source) <= budget:
            return plan.result(_count_all(plan, source, plan.tasks(), workers))
        size = min(int(budget), _SAMPLE)
        sequence: PairCounts | None = None
        if plan.ends is not None:
            if plan.sequence_pairs() <= budget:
                slots = _count_all(plan, source, plan.sequence_tasks(), workers, overall=False)[-1]
                sequence = plan.sequence_part(slots, sampled=False)
            else:
                slots = sample_sequence_pairs(plan, source, size, seed, workers)
                sequence = plan.sequence_part(slots, sampled=True)
        tally = sample_pairs(plan, source, size, seed, workers)
    return DistanceHistogram.of(metric, plan.edges, tally, plan.pairs(), plan.classes, sequence, sampled=True)


def plan_histogram(
    X: Any,
    bins: int | ArrayLike = 100,
    range: tuple[float, float] | None = None,
    metric: str = "euclidean",
    *,
    labels: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
    rows: int | None = None,
) -> HistogramPlan:
    """The work of `distance_histogram` as a list of tasks, to be shared out among machines.

    Parameters
    ----------
    X, bins, range, metric, labels, offsets
        As there.
    rows : int or None
        States of a block; as many as 16 MB hold (at most 8192) by default.

    Returns
    -------
    HistogramPlan
        ``plan.result(sum(plan.count(i, j, *states of blocks i and j) for i, j in plan.tasks()))`` equals the exact
        `distance_histogram`.
    """
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1):
        raise InputError(f"rows must be a number of states, at least 1, not {rows!r}.")
    return HistogramPlan.of(Source.of(X, metric, least=2), bins, range, labels, offsets, rows=rows)


def source_pairs(source: Source) -> int:
    """Number of pairs of states."""
    return len(source) * (len(source) - 1) // 2


def _count_all(
    plan: HistogramPlan, source: Source, tasks: list[tuple[int, int]], workers: Workers, *, overall: bool = True
) -> NDArray[np.int64]:
    """Sum of the counts of some tasks; tables belong to one thread at a time, so nothing is lost."""

    def make(key: Hashable) -> Block:
        assert isinstance(key, int)
        return plan.prepare(key, source.read(*plan.blocks[key]))

    blocks = BlockCache(make)
    free: queue.SimpleQueue[tuple[NDArray[np.int64], NDArray[np.int64]]] = queue.SimpleQueue()
    tables = [plan.zeros() for _ in np.arange(max(1, min(workers.threads, len(tasks))))]
    for table in tables:
        free.put(table)

    def work(start: int, stop: int) -> None:
        table = free.get()
        for i, j in tasks[start:stop]:
            plan.add(i, j, blocks(i), blocks(j), table, overall=overall)
        free.put(table)

    workers.run(work, len(tasks), 1)
    total = plan.fold(plan.zeros())
    for table in tables:
        total += plan.fold(table)
    return total
