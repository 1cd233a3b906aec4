"""`Selection`: some of a trace's sequences, and their rows of every array, read when asked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.lazy import LazyArray, concatenated_ranges
from hiddenstate_core.traces.sequence import SequenceTrace

if TYPE_CHECKING:
    import xarray

    from hiddenstate_core.traces.trace import Trace

__all__ = ["SelectedArray", "Selection", "matching"]


class SelectedArray(LazyArray):
    """The rows of some sequences of an array, one sequence after another; slices like the array itself.

    Parameters
    ----------
    array : LazyArray
        An array with a row per step.
    selection : Selection
        The sequences.
    """

    def __init__(self, array: LazyArray, selection: Selection) -> None:
        self._array = array
        self._selection = selection
        self.shape = (selection.steps, *array.shape[1:])
        self.dtype = array.dtype
        self.dimensions = array.dimensions
        self.name = array.name

    @property
    def block(self) -> int:
        """Rows of a chunk of the array; those of a selection lie anywhere."""
        return self._array.block

    @property
    def shard(self) -> int:
        """Rows that a Dask chunk has by default."""
        return int(getattr(self._array, "shard", self._array.block))

    @property
    def token(self) -> str:
        """That of the array, and a digest of the sequences' numbers."""
        digest = hashlib.sha256(np.ascontiguousarray(self._selection.sequences, "<i8").tobytes()).hexdigest()
        return f"{self._array.token}[{digest}]"

    def coordinates(self) -> dict[str, tuple[str, Any]]:
        """See `LazyArray.coordinates`."""
        return {
            name: (axis, SelectedArray(values, self._selection) if axis == "step" else values)
            for name, (axis, values) in self._array.coordinates().items()
        }

    def _rows(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[Any]:
        low, high = self._selection.ranges(starts, stops)
        if not len(low):
            return self._array[:0]
        # Runs in ascending order are read as they come; others each row once, and put in order.
        if (low[1:] >= high[:-1]).all():
            joined = np.flatnonzero(low[1:] != high[:-1])
            return self._array._rows(low[np.append(0, joined + 1)], high[np.append(joined, len(high) - 1)])
        return self._array._take(concatenated_ranges(low, high))


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Some sequences of a trace, in a given order; nothing is read before an array is sliced.

    Parameters
    ----------
    trace : Trace
        The trace.
    sequences : (M,) int64
        Numbers of the sequences.
    """

    trace: Trace
    sequences: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        return f"Selection({len(self)} of {len(self.trace)} sequences, {self.steps} of {self.trace.steps} steps)"

    def __iter__(self) -> Iterator[SequenceTrace]:
        return (self.trace.sequence(int(number)) for number in self.sequences)

    def sequence(self, index: int) -> SequenceTrace:
        """One of the selected sequences, counted among them; negative numbers count from the end."""
        if not -len(self) <= index < len(self):
            raise InputError(f"Sequence {index} of a selection of {len(self)} does not exist.")
        return self.trace.sequence(int(self.sequences[index]))

    def select(self, **criteria: Any) -> Selection:
        """Those of them that meet more criteria; see `Trace.select`."""
        if criteria.get("sequences") is not None or criteria.get("ids") is not None:
            wanted = np.isin(self.sequences, matching(self.trace, **criteria))
            return Selection(self.trace, self.sequences[wanted])
        return Selection(self.trace, matching(self.trace, sequences=self.sequences, **criteria))

    # -- what they are ----------------------------------------------------------------------------------------------

    @functools.cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each begins and ends among the rows of the selection, (M + 1,) int64."""
        lengths = np.diff(self.trace.offsets)[self.sequences]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])

    @property
    def steps(self) -> int:
        """Number of rows of all of them together."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of steps of each when it was read, (M,) int64."""
        return self.trace.lengths[self.sequences]

    @property
    def labels(self) -> NDArray[np.int32]:
        """Class of each, (M,) int32; -1 where it is not known."""
        return self.trace.labels[self.sequences]

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of each."""
        ids = self.trace.ids
        return tuple(ids[number] for number in self.sequences.tolist())

    @property
    def rows(self) -> NDArray[np.int64]:
        """Number in the trace of each of their rows, (n,) int64."""
        offsets = self.trace.offsets
        return concatenated_ranges(offsets[self.sequences], offsets[self.sequences + 1])

    @property
    def sequence_of_step(self) -> NDArray[np.int64]:
        """Number in the trace of the sequence that each of their rows belongs to, (n,) int64."""
        return np.repeat(self.sequences, np.diff(self.offsets))

    def ranges(
        self, starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the trace, as ranges, that some ranges of the selection's rows are; one a sequence and range."""
        kept = stops > starts
        starts, stops = starts[kept], stops[kept]
        first = np.searchsorted(self.offsets, starts, side="right") - 1
        last = np.searchsorted(self.offsets, stops, side="left")
        pieces = concatenated_ranges(first, last)
        counts = last - first
        low = np.maximum(self.offsets[pieces], np.repeat(starts, counts))
        high = np.minimum(self.offsets[pieces + 1], np.repeat(stops, counts))
        shift = self.trace.offsets[self.sequences[pieces]] - self.offsets[pieces]
        some = high > low
        return (low + shift)[some], (high + shift)[some]

    # -- what was recorded of them ----------------------------------------------------------------------------------

    def of(self, array: LazyArray) -> SelectedArray:
        """Their rows of any array that has a row for each of the trace's steps."""
        if array.shape[:1] != (self.trace.steps,):
            raise InputError(f"{array.name} has shape {array.shape}, not a row for each of {self.trace.steps} steps.")
        return SelectedArray(array, self)

    def hidden(self, layer: int = -1, direction: str | None = None) -> SelectedArray:
        """Hidden states, (n, H); see `Trace.hidden`."""
        return self.of(self.trace.hidden(layer, direction))

    def cell(self, layer: int = -1, direction: str | None = None) -> SelectedArray:
        """Cell states, (n, H); see `Trace.cell`."""
        return self.of(self.trace.cell(layer, direction))

    def gate(self, name: str, layer: int = -1, direction: str | None = None) -> SelectedArray:
        """Activations of a gate, (n, H); see `Trace.gate`."""
        return self.of(self.trace.gate(name, layer, direction))

    def tokens(self) -> SelectedArray:
        """Ids in the vocabulary of every word, (n,) int32."""
        return self.of(self.trace.tokens())

    def surface(self) -> SelectedArray:
        """Ids in the lexicon of every word, (n,) int32."""
        return self.of(self.trace.surface())

    @property
    def positions(self) -> SelectedArray:
        """Which step of its sequence each row is, (n,), counted from 0."""
        return self.of(self.trace.positions)

    def probabilities(self) -> SelectedArray:
        """Class probabilities after every word, (n, C) float32."""
        return self.of(self.trace.probabilities())

    def top_tokens(self) -> SelectedArray:
        """Most probable next words, (n, k) int32; see `Trace.top_tokens`."""
        return self.of(self.trace.top_tokens())

    def top_probabilities(self) -> SelectedArray:
        """Their probabilities, (n, k) float32."""
        return self.of(self.trace.top_probabilities())

    def target_probability(self) -> SelectedArray:
        """Probability of the word that came next, (n,) float32; see `Trace.target_probability`."""
        return self.of(self.trace.target_probability())

    def to_xarray(self, layer: int = -1, direction: str | None = None) -> xarray.Dataset:
        """Their rows of every array of a layer, with named axes; see `Trace.to_xarray`."""
        from hiddenstate_core.traces.interop import dataset

        arrays = self.trace.step_arrays(layer, direction)
        return dataset({name: self.of(array) for name, array in arrays.items()}, self.trace.summary())


def matching(
    trace: Trace,
    *,
    label: Any = None,
    split: Any = None,
    predicted: Any = None,
    correct: bool | None = None,
    ids: Any = None,
    sequences: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Numbers of the sequences that meet all criteria; see `Trace.select`."""
    numbers = np.arange(len(trace), dtype=np.int64) if sequences is None else _numbers(trace, sequences)
    if ids is not None:
        wanted = list(ids) if isinstance(ids, Iterable) and not isinstance(ids, str) else [ids]
        where = {name: number for number, name in reversed(list(enumerate(trace.ids)))}
        for name in wanted:
            if name not in where:
                raise InputError(f"{trace.path} has no sequence with the id {name!r:.80}.")
        found = np.array([where[name] for name in wanted], np.int64)
        numbers = found if sequences is None else found[np.isin(found, numbers)]
    if label is not None:
        numbers = numbers[np.isin(trace.labels[numbers], _codes(label, trace.classes, "class", unknown=True))]
    if split is not None:
        numbers = numbers[np.isin(trace.split[numbers], _codes(split, trace.splits, "split"))]
    if predicted is not None:
        numbers = numbers[np.isin(trace.predicted[numbers], _codes(predicted, trace.classes, "class"))]
    if correct is not None:
        labels = trace.labels[numbers]
        numbers = numbers[(labels >= 0) & ((labels == trace.predicted[numbers]) == bool(correct))]
    return numbers


def _numbers(trace: Trace, sequences: ArrayLike) -> NDArray[np.int64]:
    given = np.asarray(sequences)
    if given.dtype == np.bool_ and given.shape == (len(trace),):
        return np.flatnonzero(given)
    given = np.atleast_1d(given)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError(
            f"sequences must be numbers of sequences or a mask of {len(trace)} bools, not an array of "
            f"{given.dtype}, shape {given.shape}."
        )
    numbers = given.astype(np.int64)
    if numbers.size and not -len(trace) <= int(numbers.min()) <= int(numbers.max()) < len(trace):
        raise InputError(
            f"Sequences {numbers.min()}..{numbers.max()} were asked for; the trace has {len(trace)}, "
            f"0..{len(trace) - 1}."
        )
    return np.where(numbers < 0, numbers + len(trace), numbers)


def _codes(wanted: Any, names: tuple[str, ...], what: str, *, unknown: bool = False) -> list[int]:
    """Numbers of what was named by name or number."""
    codes = []
    for one in list(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]:
        if isinstance(one, str) and one in names:
            codes.append(names.index(one))
        elif isinstance(one, (int, np.integer)) and not isinstance(one, bool) and -int(unknown) <= one < len(names):
            codes.append(int(one))
        else:
            known = ", ".join(names) or "none"
            raise InputError(f"There is no {what} {one!r:.80}; the trace has {known}.")
    return codes
