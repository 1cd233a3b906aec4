"""`Trace`: reads a trace store lazily, and adds projections and analyses to it."""

from __future__ import annotations

import functools
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.errors import InputError, StoreError
from hiddenstate_core.traces.additions import Projection, open_group
from hiddenstate_core.traces.facts import Facts
from hiddenstate_core.traces.quantities import Quantities
from hiddenstate_core.traces.rawfiles import ShardFiles
from hiddenstate_core.traces.schema import FORMAT, SCHEMAS, check_attributes
from hiddenstate_core.traces.selection import Selection, matching
from hiddenstate_core.traces.sequence import SequenceTrace
from hiddenstate_core.traces.stored import StoredArray, open_array

__all__ = ["Projection", "Trace", "open_trace"]


class Trace(Quantities):
    """A recorded corpus: every state that a network passed through, in a Zarr store.

    Arrays are read when asked for. The methods that name a quantity return a `StoredArray`, which slices like NumPy's
    and converts with ``np.asarray``, `LazyArray.to_xarray` and `LazyArray.to_dask`; small things (labels, words,
    offsets) are read once and kept. Reading is safe in threads, and a trace can be sent to other processes that see
    the store under the same path.

    Parameters
    ----------
    path : path-like
        The store, a folder written by `hiddenstate_core.extract`.

    Raises
    ------
    StoreNotFoundError
        Nothing at `path`.
    StoreError
        Not a trace store, one of another schema, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._group = open_group(self.path)
        attributes = self._group.attrs.asdict()
        if attributes.get("format") != FORMAT:
            raise StoreError(
                f"{self.path} is a Zarr group but not a hiddenstate trace; make one with `hiddenstate extract`."
            )
        if attributes.get("schema") not in SCHEMAS:
            raise StoreError(
                f"{self.path} has trace schema {attributes.get('schema')!r}; this version of hiddenstate reads "
                f"schema {' and '.join(map(str, SCHEMAS))}. Record it again with `hiddenstate extract`, or install "
                "the version that wrote it."
            )
        #: Attributes of the root group: provenance, classes, model, corpus, options, seed, versions.
        self.attributes: dict[str, Any] = attributes
        self._place = self._where()
        self._files = ShardFiles()
        self._opened: dict[str, StoredArray] = {}
        self._check()

    def __repr__(self) -> str:
        return f"Trace({str(self.path)!r}, {len(self)} sequences, {self.steps} steps, {len(self.classes)} classes)"

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> Any:
        return _reopened, (str(self.path), self.fingerprint)

    # -- what was recorded ------------------------------------------------------------------------------------------

    @functools.cached_property
    def facts(self) -> Facts:
        """Kind of network, task, and what of it was recorded where."""
        return Facts.of(self.path, self.attributes)

    @property
    def task(self) -> str:
        """``"classification"`` or ``"language_model"``."""
        return self.facts.task

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions in which the network reads: ``forward``, ``backward`` or both."""
        return self.facts.directions

    @property
    def steps(self) -> int:
        """Number of rows N of all sequences together; of all their steps, where every one was recorded."""
        return int(self.offsets[-1])

    @property
    def layers(self) -> tuple[int, ...]:
        """Number of units of each layer of the network, recorded or not (see `Facts.layers`)."""
        return self.facts.sizes

    @property
    def recorded(self) -> tuple[str, ...]:
        """Quantities recorded: some of ``hidden``, ``cell``, ``gates``."""
        return self.facts.recorded

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates recorded."""
        return self.facts.gates

    @property
    def seed(self) -> int | None:
        """Seed with which the model was trained, if known."""
        seed = self.attributes.get("seed")
        return None if seed is None else int(seed)

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy of the model on the corpus' whole test split, a fraction, if known."""
        value = self.attributes.get("test_accuracy")
        return None if value is None else float(value)

    @property
    def fingerprint(self) -> str:
        """Identity of the recording: SHA-256 of model, corpus and options."""
        return str(self.attributes["fingerprint"])

    # -- sequences --------------------------------------------------------------------------------------------------

    @functools.cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each sequence's rows begin and end, (S + 1,) int64."""
        return np.asarray(self._small("sequences/offsets"), np.int64)

    @functools.cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of steps of each sequence when it was read, (S,) int64; as many rows, where each was recorded."""
        if self.facts.every == 1:
            return np.diff(self.offsets)
        return np.asarray(self._small("sequences/lengths", len(self)), np.int64)

    @functools.cached_property
    def labels(self) -> NDArray[np.int32]:
        """Class of each sequence, (S,) int32; -1 where it is not known."""
        return np.asarray(self._small("sequences/labels"), np.int32)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Name of each sequence."""
        return tuple(self._small("sequences/ids", len(self)).tolist())

    @functools.cached_property
    def split(self) -> NDArray[np.int8]:
        """Split of each sequence, an index into `splits`."""
        split = np.asarray(self._small("sequences/split", len(self)), np.int8)
        if len(split) and not 0 <= int(split.min()) <= int(split.max()) < len(self.splits):
            raise StoreError(f"{self.path}: sequences/split has a split that the store does not name; it is damaged.")
        return split

    @property
    def splits(self) -> tuple[str, ...]:
        """Split names."""
        return tuple(self.attributes["splits"])

    @functools.cached_property
    def final_probabilities(self) -> NDArray[np.float32]:
        """Class probabilities after everything was read, (S, C) float32.

        Raises
        ------
        InputError
            A language model's trace, or one without predictions.
        """
        if not self.has_final_probabilities:
            raise self._unpredicted()
        array = self._checked(self.array("sequences/probabilities"), (len(self), len(self.classes)))
        return np.asarray(array[:], np.float32)

    @functools.cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Most probable class of each sequence after everything was read, (S,) int64; see `final_probabilities`."""
        return np.asarray(self.final_probabilities.argmax(axis=1), np.int64)

    @functools.cached_property
    def initial_probabilities(self) -> NDArray[np.float32]:
        """Class probabilities before any word is read (readout of the initial state), (C,) float32."""
        return np.asarray(self.attributes["initial_probabilities"], np.float32)

    @functools.cached_property
    def sequence_of_step(self) -> NDArray[np.int64]:
        """Number of the sequence that each row belongs to, (N,) int64."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    def sequence(self, index: int) -> SequenceTrace:
        """One sequence; negative numbers count from the end. Reads nothing yet."""
        try:
            number = operator.index(index)
        except TypeError as error:
            raise InputError(
                f"A sequence is chosen by its number, not {index!r:.60}; select(ids=...) chooses by names."
            ) from error
        if not -len(self) <= number < len(self):
            raise InputError(
                f"Sequence {number} does not exist; the trace has {len(self)} sequences, 0..{len(self) - 1}."
            )
        return SequenceTrace(self, number % len(self))

    def select(
        self,
        *,
        label: Any = None,
        split: Any = None,
        predicted: Any = None,
        correct: bool | None = None,
        ids: Any = None,
        sequences: ArrayLike | None = None,
    ) -> Selection:
        """Some of the sequences, whose rows of every array can then be read: those that meet all criteria given.

        Parameters
        ----------
        label, predicted : str or int, or a collection of them
            True class, and class predicted after everything was read, by name or number; label -1 is the unknown one.
        split : str or int, or a collection of them
            Split, by name or number.
        correct : bool
            Whether the prediction is the true class; sequences without a known class are neither.
        ids : str or collection of str
            Names of sequences; they come in this order.
        sequences : (M,) int or (S,) bool
            Numbers of sequences, in any order, or a mask.

        Returns
        -------
        Selection

        Raises
        ------
        InputError
            A class, split, id or sequence that the trace does not have, or predictions where none were recorded.
        """
        wanted = {"label": label, "split": split, "predicted": predicted, "correct": correct, "ids": ids}
        return Selection(self, matching(self, sequences=sequences, **wanted))

    # -- steps ------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def lexicon(self) -> tuple[str, ...]:
        """Every distinct word as written."""
        return tuple(self._small("lexicon/words").tolist())

    @functools.cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that the model knows; ``vocabulary[0]`` stands for the unknown ones."""
        return tuple(self._small("vocabulary/words").tolist())

    def array(self, path: str) -> StoredArray:
        """Any array of the recording by its path in the store, such as ``"layers/0/forward/hidden"``.

        Raises
        ------
        StoreError
            There is none, or its description is damaged.
        """
        if path not in self._opened:
            self._opened[path] = open_array(self._group, self.path, path, trace=self, files=self._files)
        return self._opened[path]

    # -- inside -----------------------------------------------------------------------------------------------------

    def require_same(self) -> None:
        """Refuse to go on reading where another store lies at the path by now: its rows are not those of the offsets.

        Raises
        ------
        StoreError
            The store was replaced or removed since it was opened.
        """
        if self._where() != self._place:
            raise StoreError(f"{self.path} was replaced or removed since it was opened; open it again.")

    def _small(self, path: str, length: int | None = None) -> NDArray[Any]:
        """All of an array that is kept in memory, of the length that it must have."""
        array = self._checked(self.array(path), (length,))
        try:
            return np.asarray(array[:])
        except MemoryError as error:  # a damaged description may claim any length
            raise StoreError(
                f"{self.path}: {path} claims {array.shape[0]:,} entries, more than memory holds; the store is damaged."
            ) from error

    def _where(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check(self) -> None:
        """Check that the parts fit each other, so that what follows can rely on it."""
        check_attributes(self.path, self.attributes)
        facts, offsets = self.facts, self.offsets
        if len(offsets) != len(self.labels) + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise StoreError(f"{self.path}: sequences/offsets does not fit sequences/labels; the store is damaged.")
        if len(self) and not (int(self.labels.min()) >= -1 and int(self.labels.max()) < len(self.classes)):
            raise StoreError(f"{self.path}: sequences/labels has a class that the store does not name; it is damaged.")
        self.tokens()
        self.surface()
        if facts.task == "classification" and facts.probabilities:
            self.probabilities()
            self._checked(self.array("sequences/probabilities"), (len(self), len(self.classes)))
        if facts.every > 1:
            _ = self.positions
            if not np.array_equal(-(-self.lengths // facts.every), np.diff(offsets)):
                raise StoreError(
                    f"{self.path}: sequences/lengths does not fit sequences/offsets; the store is damaged."
                )


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """Open a trace store for reading; see `Trace`."""
    return Trace(path)


@functools.lru_cache(maxsize=4)
def _reopened(path: str, fingerprint: str) -> Trace:
    """The same trace in another process; opened once there."""
    trace = Trace(path)
    if trace.fingerprint != fingerprint:
        raise StoreError(f"{path} holds another recording here than where the trace was opened.")
    return trace
