"""How far each word moves what a network keeps in mind."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.distances.source import Source, check_metric
from hiddenstate_core.errors import InputError

if TYPE_CHECKING:
    from hiddenstate_core.traces.trace import Trace

__all__ = ["StepDistances", "sequence_distances", "step_distances"]

#: Steps read at a time, and values of them that are held in float64 at a time.
_BLOCK, _VALUES = 65_536, 1 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class StepDistances:
    """Distances between successive recorded states of every sequence.

    Parameters
    ----------
    values : (N,) float32
        ``values[t]`` is the distance that reading word t moved the state (where only some steps were recorded, the
        words since the last one that was): from the state before it, or, for a sequence's first word, from the initial
        state. That is zero for hidden and cell states, and the readout before any word for probabilities. Gates have
        none, nor has a zero state a direction: there the first distance is 0.
    largest : float
        Largest distance between two recorded states (first words left out), by which views are scaled; 1.0 where
        there is none.
    offsets : (S + 1,) int64
        Where each sequence begins and ends.
    layer : int
        Layer of the states, counted from 0.
    quantity, metric : str
        What moved, and how the way was measured.
    """

    values: NDArray[np.float32]
    largest: float
    offsets: NDArray[np.int64]
    layer: int
    quantity: str = "hidden"
    metric: str = "euclidean"

    def sequence(self, index: int) -> NDArray[np.float32]:
        """Distances (T,) along one sequence, unscaled."""
        count = len(self.offsets) - 1
        if not -count <= index < count:
            raise InputError(f"Sequence {index} does not exist; there are {count}, 0..{count - 1}.")
        index %= count
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def normalised(self, index: int) -> NDArray[np.float32]:
        """Distances (T,) along one sequence as shares of `largest`, at most 1."""
        shares: NDArray[np.float32] = np.minimum(self.sequence(index) / np.float32(self.largest), np.float32(1))
        return shares


def step_distances(
    trace: Trace,
    layer: int = -1,
    *,
    quantity: str = "hidden",
    metric: str = "euclidean",
    direction: str | None = None,
    store: bool = False,
) -> StepDistances:
    """Distance that each word moved the state, in the original space.

    Stored values (see `store`) are read; otherwise the states are read once, block by block: O(N H) time, O(N) memory.

    Parameters
    ----------
    trace : Trace
        A recording with the quantity.
    layer : int
        Which layer; -1 is the last.
    quantity : str
        ``"hidden"``, ``"cell"``, the name of a gate, or ``"probabilities"``.
    metric : {"euclidean", "sqeuclidean", "cosine", "manhattan"}
        As for `pairwise_distances`.
    direction : {"forward", "backward"}, optional
        Of a network that reads in both; its first by default. Where it reads backward, the state before row t is that
        of row t + 1, and a sequence's last word is its first.
    store : bool
        Whether the result is kept in the trace, as ``analysis/step_distance-<layer>``, with direction, quantity and
        metric added to the name where they are not forward, hidden and Euclidean.

    Returns
    -------
    StepDistances

    Raises
    ------
    InputError
        A quantity, layer or direction that was not recorded, an unknown metric, or a state (by row) that is not
        finite or, for the cosine distance, zero.
    """
    check_metric(metric)
    source, backward = _source(trace, layer, quantity, metric, direction)
    layer %= len(trace.layers)
    parts = ["step_distance", str(layer)]
    parts += ["backward"] * backward + [quantity] * (quantity != "hidden") + [metric] * (metric != "euclidean")
    name = "-".join(parts)
    stored = trace.analysis(name)
    if stored is not None:
        values = np.asarray(stored[:], np.float32)
    else:
        values = _compute(trace, source, quantity, backward)
        if store:
            notes = {"quantity": quantity, "layer": layer, "metric": metric}
            trace.add_analysis(name, values, attributes=notes | ({"direction": "backward"} if backward else {}))
    assert len(values) == len(source)
    inner = ~_starts(trace.offsets, backward)
    largest = float(values[inner].max()) if inner.any() else 0.0
    return StepDistances(values, largest if largest > 0 else 1.0, trace.offsets, layer, quantity, metric)


def sequence_distances(
    trace: Trace, sequence: int, layer: int = -1, *, quantity: str = "hidden", direction: str | None = None
) -> NDArray[np.float32]:
    """Euclidean step distances of one sequence, without reading any other; the same values as `step_distances` has.

    Parameters
    ----------
    trace, layer, quantity, direction
        As for `step_distances`.
    sequence : int
        Number of the sequence.

    Returns
    -------
    (T,) float32
        Unscaled.

    Raises
    ------
    InputError
        No such sequence, a quantity, layer or direction that was not recorded, or a state that is not finite.
    """
    view = trace.sequence(sequence)
    source, backward = _source(trace, layer, quantity, "euclidean", direction)
    rows = np.asarray(source.array[view.start : view.stop], np.float64)
    if not np.isfinite(rows).all():
        source.checked(rows.astype(np.float32), np.arange(view.start, view.stop))
    initial = np.zeros(source.width)
    if quantity == "probabilities":
        initial = np.asarray(trace.initial_probabilities, np.float64)
    ordered = np.vstack([initial, rows[:: -1 if backward else 1]])
    found = np.sqrt(np.square(np.diff(ordered, axis=0)).sum(axis=1))
    if len(found) and quantity not in ("hidden", "cell", "probabilities"):
        found[0] = 0
    return np.asarray(found[:: -1 if backward else 1], np.float32)


def _source(trace: Trace, layer: int, quantity: str, metric: str, direction: str | None) -> tuple[Source, bool]:
    """The rows, and whether they were read from the last to the first."""
    if quantity == "probabilities":
        return Source.of(trace.probabilities(), metric, least=0), False
    if quantity == "hidden":
        array = trace.hidden(layer, direction)
    elif quantity == "cell":
        array = trace.cell(layer, direction)
    else:
        array = trace.gate(quantity, layer, direction)
    return Source.of(array, metric, least=0), (direction or trace.directions[0]) == "backward"


def _starts(offsets: NDArray[np.int64], backward: bool) -> NDArray[np.bool_]:
    """Whether each row is the first of its sequence to be read."""
    starts = np.zeros(int(offsets[-1]), np.bool_)
    there = np.diff(offsets) > 0
    starts[offsets[1:][there] - 1 if backward else offsets[:-1][there]] = True
    return starts


def _compute(trace: Trace, source: Source, quantity: str, backward: bool) -> NDArray[np.float32]:
    from hiddenstate_core.kernels.steps import MANHATTAN, SQUARED, successive_distances

    count, metric = len(source), source.metric
    starts = _starts(trace.offsets, backward)
    initial = np.zeros(source.width, np.float32)
    if quantity == "probabilities":
        initial = np.ascontiguousarray(trace.initial_probabilities, np.float32)
    kind = MANHATTAN if metric == "manhattan" else SQUARED
    directionless = quantity not in ("hidden", "cell", "probabilities") or (metric == "cosine" and not initial.any())
    values, before = np.empty(count), initial
    blocks = [(at, min(at + _BLOCK, count)) for at in range(0, count, _BLOCK)]
    step = -1 if backward else 1  # blocks and rows in the order in which the network read
    for start, stop in blocks[::step]:
        given = np.asarray(source.array[start:stop])
        rows = np.require(given[::step], np.float32, ["C", "W"])
        first = np.ascontiguousarray(starts[start:stop][::step])
        found = np.empty(len(rows))
        if metric == "cosine":
            _turns(source, rows, first, before, initial, found)
        else:
            successive_distances(rows, first, before, initial, kind, found)
        if directionless:
            found[first] = 0
        if not np.isfinite(found).all() or not np.isfinite(rows[first]).all():
            source.checked(given, np.arange(start, stop))
        before = rows[-1].copy()
        values[start:stop] = found[::step]
    return (np.sqrt(values) if metric == "euclidean" else values).astype(np.float32)


def _turns(
    source: Source,
    rows: NDArray[np.float32],
    first: NDArray[np.bool_],
    before: NDArray[np.float32],
    initial: NDArray[np.float32],
    out: NDArray[np.float64],
) -> None:
    """Write the cosine distance of each row from the one before it or from `initial`; NaN where one has none."""
    from hiddenstate_core.kernels.distances import COSINE, state_distances

    grain = max(1, _VALUES // source.width)
    for start in range(0, len(rows), grain):
        stop = min(start + grain, len(rows))
        states = source.scaled(np.vstack([before if start == 0 else rows[start - 1], rows[start:stop]]))
        state_distances(0, stop - start, states[1:], states[:-1], COSINE, out[start:stop])
    if first.any():
        begun = np.empty(int(first.sum()))
        state_distances(0, len(begun), source.scaled(rows[first]), source.scaled(initial[None]), COSINE, begun)
        out[first] = begun
