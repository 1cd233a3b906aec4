"""States that workers work on: read from the trace store by each, or sent to each once where they are an array."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.cluster.client import here
from hiddenstate_core.errors import HiddenStateError, StoreError
from hiddenstate_core.traces.selection import SelectedArray
from hiddenstate_core.traces.stored import StoredArray
from hiddenstate_core.traces.trace import Trace

__all__ = ["SentStates", "once"]

_lock = threading.RLock()


class SentStates:
    """Rows that can be had on any worker.

    An array of a trace, or of some of its sequences, travels as the store's path, and is read where it is needed; the
    store must be seen there under the same path. Anything else travels as it is.

    Parameters
    ----------
    states : (n, d)
        Whatever has a shape and a dtype and can be sliced by rows.
    """

    def __init__(self, states: Any) -> None:
        self._states: Any = None
        self._where: tuple[str, str, str, NDArray[np.int64] | None] | None = None
        chosen: NDArray[np.int64] | None = None
        array = states
        if isinstance(states, SelectedArray):
            array, chosen = states._array, states._selection.sequences
        if isinstance(array, StoredArray):
            store = array.store.absolute()
            self._where = str(store), Trace(store).fingerprint, array.path, chosen
        else:
            self._states = states

    @property
    def in_store(self) -> bool:
        """Whether workers read it from a store."""
        return self._where is not None

    def array(self) -> Any:
        """The rows, on a worker.

        Raises
        ------
        StoreError
            The store is not seen from there, or is another one.
        """
        if self._where is None:
            return self._states
        store, fingerprint, path, chosen = self._where
        trace = _opened(store, fingerprint)
        found = trace.array(path)
        return found if chosen is None else trace.select(sequences=chosen).of(found)


def once(holder: object, name: str, make: Any) -> Any:
    """What `make` gives, made by the first thread of a process that asks and kept with `holder`; never sent."""
    with _lock:
        kept = holder.__dict__
        if f"made_{name}" not in kept:
            kept[f"made_{name}"] = make()
        return kept[f"made_{name}"]


@functools.lru_cache(maxsize=4)
def _opened(store: str, fingerprint: str) -> Trace:
    try:
        trace = Trace(Path(store))
    except (OSError, HiddenStateError) as error:
        raise StoreError(
            f"The {here()} cannot read {store} ({error}); states of a trace are read by every worker, so the store "
            "must lie on a file system that all of them share, under the same path."
        ) from error
    if trace.fingerprint != fingerprint:
        raise StoreError(f"The {here()} sees another recording at {store} than the client.")
    return trace
