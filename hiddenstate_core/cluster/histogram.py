"""`distance_histogram` on a cluster: pairs of blocks counted by the workers, the counts added up."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.cluster.client import Held, checked, run_tasks, threads_of
from hiddenstate_core.cluster.states import SentStates
from hiddenstate_core.distances.counts import DistanceHistogram
from hiddenstate_core.distances.frame import BlockCache
from hiddenstate_core.distances.plan import HistogramPlan
from hiddenstate_core.distances.source import Source
from hiddenstate_core.kernels.blocks import Block

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["distance_histogram"]

#: Pairs of blocks that a worker counts at a time: neighbours in the plan's list, which share blocks.
_PAIRS = 10


def distance_histogram(
    client: Client,
    X: Any,
    bins: int | ArrayLike = 100,
    range: tuple[float, float] | None = None,
    metric: str = "euclidean",
    *,
    labels: ArrayLike | None = None,
    offsets: ArrayLike | None = None,
) -> DistanceHistogram:
    """Count the distances of all pairs of states in bins, on the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        A synchronous one.
    X, bins, range, metric, labels, offsets
        As for `hiddenstate_core.distance_histogram`. A `Trace` array is read by every worker from its store; anything
        else is sent to every worker once.

    Returns
    -------
    DistanceHistogram
        Every pair is counted, however many there are; the counts equal those of `hiddenstate_core.distance_histogram`
        with a budget that allows them.

    Raises
    ------
    InputError
        Bad states (by row), bins, range, metric, labels or offsets, or no client.
    StoreError
        A worker does not see the store.
    ClusterError
        No workers, workers that die again and again, or a scheduler that is lost.

    Notes
    -----
    O(n^2 d) time altogether. The client reads the states once, or twice without range or edges. A worker's thread
    counts about ten pairs of blocks of 16 MB at a time, and sends back (C^2 + 1)(B + 3) numbers for them.
    """
    reached = checked(client)
    source = Source.of(X, metric, least=2)
    plan = HistogramPlan.of(source, bins, range, labels, offsets)
    tasks = plan.tasks()
    # Small jobs are cut finer, so that every thread has something to do.
    size = max(1, min(_PAIRS, len(tasks) // (4 * max(1, threads_of(reached)))))
    total = plan.fold(plan.zeros())

    def arrived(number: int, counts: NDArray[np.int64]) -> None:
        total[...] += counts

    groups = [tasks[at : at + size] for at in np.arange(0, len(tasks), size).tolist()]
    run_tasks(reached, _count_pairs, _Counting(plan, SentStates(source.array)), groups, arrived)
    return plan.result(total)


class _Counting(Held):
    def __init__(self, plan: HistogramPlan, states: SentStates) -> None:
        self.plan, self.states = plan, states


def _count_pairs(job: _Counting, tasks: list[tuple[int, int]]) -> NDArray[np.int64]:
    """On a worker: the counts of some pairs of blocks."""
    plan = job.plan
    source = Source.of(job.states.array(), plan.frame.metric)

    def make(key: Hashable) -> Block:
        assert isinstance(key, int)
        return plan.prepare(key, source.read(*plan.blocks[key]))

    blocks = BlockCache(make)
    table = plan.zeros()
    for i, j in tasks:
        plan.add(i, j, blocks(i), blocks(j), table)
    return plan.fold(table)
