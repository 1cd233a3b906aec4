"""Places of new states in a map on a cluster: batch by batch, since each state's place is its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.cluster.client import Held, checked, run_tasks, threads_of
from hiddenstate_core.cluster.states import SentStates
from hiddenstate_core.errors import InputError
from hiddenstate_core.projection.placement import Placement

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["place"]

#: Numbers of new states in a task.
_BATCH = 1 << 20


def place(client: Client, placement: Placement, X: Any) -> NDArray[np.float32]:
    """Places of new states in a fixed map, found by the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        A synchronous one.
    placement : Placement
        The map; sent to every worker once, with its index.
    X : (m, d) array-like
        As for `Placement.place`. A `Trace` array is read by the workers from its store; of anything else a batch of
        rows is sent with each task.

    Returns
    -------
    (m, 2 or 3) float32
        Equal to the bit to ``placement.place(X)``, on the same kind of processor.

    Raises
    ------
    InputError
        Another number of features, values that are not finite, or no client.
    StoreError
        A worker does not see the store.
    ClusterError
        No workers, workers that die again and again, or a scheduler that is lost.

    Notes
    -----
    The index is built here, if the placement has none yet.
    """
    reached = checked(client)
    X = X if hasattr(X, "shape") and not hasattr(X, "iloc") else np.asarray(X)
    states, width = SentStates(X), placement.states.data.shape[1]
    if len(X.shape) != 2 or X.shape[1] != width:
        placement.states.convert(X)  # says what is wrong
    placement.place(np.empty((0, width), np.float32))  # builds the index, and the grid of the map's forces
    count = int(X.shape[0])
    places = np.empty((count, placement.positions.shape[1]), np.float32)
    threads = max(1, threads_of(reached))
    batches = _Batches(None if states.in_store else X, count, max(1, min(_BATCH // width, -(-count // (2 * threads)))))

    def arrived(number: int, found: NDArray[np.float32]) -> None:
        start = number * batches.rows
        places[start : start + len(found)] = found

    try:
        run_tasks(reached, _place_rows, _Placing(placement, states if states.in_store else None), batches, arrived)
    except InputError:
        placement.states.convert(X)  # names the state by its place among all of them
        raise
    return places


class _Batches(Sequence[Any]):
    """What each task is about: its rows, as numbers of the first and the last + 1, or themselves."""

    def __init__(self, states: Any, count: int, rows: int) -> None:
        self.states, self.steps, self.rows = states, count, rows

    def __len__(self) -> int:
        return -(-self.steps // self.rows)

    def __getitem__(self, number: Any) -> Any:
        start, stop = number * self.rows, min((number + 1) * self.rows, self.steps)
        return (start, stop) if self.states is None else np.asarray(self.states[start:stop])


class _Placing(Held):
    def __init__(self, placement: Placement, states: SentStates | None) -> None:
        self.placement, self.states = placement, states


def _place_rows(job: _Placing, batch: Any) -> NDArray[np.float32]:
    """On a worker: places of a batch, by one thread."""
    rows = batch if job.states is None else job.states.array()[slice(*batch)]
    return job.placement.place(rows, n_jobs=1)
