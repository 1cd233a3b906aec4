"""`Trace`: reads a trace store lazily, and adds projections and analyses to it."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import ZstdCodec

from hiddenstate_core.atomic import atomic_directory
from hiddenstate_core.errors import InputError, StoreError, StoreNotFoundError
from hiddenstate_core.traces.coordinates import coordinates_of
from hiddenstate_core.traces.schema import FORMAT, GATES, SCHEMA, check_attributes, check_name, layer_path
from hiddenstate_core.traces.sequence import SequenceTrace
from hiddenstate_core.traces.stored import StoredArray, open_array

__all__ = ["Projection", "Trace", "open_trace"]


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """A map of the states: a point in the plane for every step.

    Parameters
    ----------
    name : str
        Its name in the store.
    coordinates : (N, D) float32
        Position of every step's state; D is 2 or 3.
    attributes : dict
        How it was made: method, parameters, seed, KL divergence, layer, quantity, versions.
    """

    name: str
    coordinates: NDArray[np.float32]
    attributes: dict[str, Any]


class Trace:
    """A recorded corpus: every state that a network passed through, in a Zarr store.

    Arrays are read when asked for. The methods that name a quantity return a `StoredArray`, which slices like NumPy's
    and converts with ``np.asarray``; small things (labels, words, offsets) are read once and kept. Reading is safe in
    threads.

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
        self._group = _open_group(self.path)
        attributes = self._group.attrs.asdict()
        if attributes.get("format") != FORMAT:
            raise StoreError(
                f"{self.path} is a Zarr group but not a hiddenstate trace; make one with `hiddenstate extract`."
            )
        if attributes.get("schema") != SCHEMA:
            raise StoreError(
                f"{self.path} has trace schema {attributes.get('schema')!r}; this version of hiddenstate reads "
                f"schema {SCHEMA}. Record it again with `hiddenstate extract`, or install the version that wrote it."
            )
        #: Attributes of the root group: provenance, classes, model, corpus, options, seed, versions.
        self.attributes: dict[str, Any] = attributes
        self._check()

    def __repr__(self) -> str:
        return f"Trace({str(self.path)!r}, {len(self)} sequences, {self.steps} steps, {len(self.classes)} classes)"

    def __len__(self) -> int:
        return len(self.labels)

    # -- what was recorded ------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Number of steps N of all sequences together."""
        return int(self.offsets[-1])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, by label."""
        return tuple(self.attributes["classes"])

    @property
    def layers(self) -> tuple[int, ...]:
        """Number of units of each layer."""
        return tuple(int(n) for n in self.attributes["layers"])

    @property
    def recorded(self) -> tuple[str, ...]:
        """Quantities recorded: some of ``hidden``, ``cell``, ``gates``."""
        return tuple(self.attributes["recorded"])

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
        """Where each sequence begins and ends, (S + 1,) int64."""
        return np.asarray(self._array("sequences/offsets")[:], np.int64)

    @functools.cached_property
    def labels(self) -> NDArray[np.int32]:
        """Class of each sequence, (S,) int32; -1 where it is not known."""
        return np.asarray(self._array("sequences/labels")[:], np.int32)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Name of each sequence."""
        return tuple(np.asarray(self._array("sequences/ids")[:]).tolist())

    @functools.cached_property
    def split(self) -> NDArray[np.int8]:
        """Split of each sequence, an index into `splits`."""
        return np.asarray(self._array("sequences/split")[:], np.int8)

    @property
    def splits(self) -> tuple[str, ...]:
        """Split names."""
        return tuple(self.attributes["splits"])

    @functools.cached_property
    def final_probabilities(self) -> NDArray[np.float32]:
        """Class probabilities after each sequence's last word, (S, C) float32."""
        return np.asarray(self._array("sequences/probabilities")[:], np.float32)

    @functools.cached_property
    def initial_probabilities(self) -> NDArray[np.float32]:
        """Class probabilities before any word is read (readout of the initial state), (C,) float32."""
        return np.asarray(self.attributes["initial_probabilities"], np.float32)

    @functools.cached_property
    def sequence_of_step(self) -> NDArray[np.int64]:
        """Number of the sequence that each step belongs to, (N,) int64."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    def sequence(self, index: int) -> SequenceTrace:
        """One sequence; negative numbers count from the end."""
        if not -len(self) <= index < len(self):
            raise InputError(
                f"Sequence {index} does not exist; the trace has {len(self)} sequences, 0..{len(self) - 1}."
            )
        return SequenceTrace(self, int(index) % len(self))

    # -- steps ------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def lexicon(self) -> tuple[str, ...]:
        """Every distinct word as written."""
        return tuple(np.asarray(self._array("lexicon/words")[:]).tolist())

    @functools.cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that the model knows; ``vocabulary[0]`` stands for the unknown ones."""
        return tuple(np.asarray(self._array("vocabulary/words")[:]).tolist())

    def tokens(self) -> StoredArray:
        """Ids in `vocabulary` of every word read, (N,) int32."""
        return self._array("steps/tokens")

    def surface(self) -> StoredArray:
        """Ids in `lexicon` of every word as written, (N,) int32."""
        return self._array("steps/surface")

    def probabilities(self) -> StoredArray:
        """Readout applied at every step, (N, C) float32."""
        return self._array("steps/probabilities")

    def hidden(self, layer: int = -1) -> StoredArray:
        """Hidden states of a layer, (N, H) float32; -1 is the last layer."""
        return self._recorded("hidden", layer)

    def cell(self, layer: int = -1) -> StoredArray:
        """Cell states of a layer, (N, H) float32."""
        return self._recorded("cell", layer)

    def gate(self, name: str, layer: int = -1) -> StoredArray:
        """Activations of a gate, (N, H) float32: ``input``, ``forget``, ``candidate`` (tanh) or ``output``."""
        if name not in GATES:
            raise InputError(f"There is no gate {name!r}; an LSTM has {', '.join(GATES)}.")
        return self._recorded("gates", layer, f"gates/{name}")

    # -- projections and analyses -----------------------------------------------------------------------------------

    @property
    def projections(self) -> tuple[str, ...]:
        """Names of the projections stored."""
        return self._children("projections")

    def projection(self, name: str) -> Projection:
        """A stored projection."""
        if name not in self.projections:
            known = ", ".join(self.projections) or "none yet"
            raise StoreNotFoundError(
                f"{self.path} has no projection {name!r} (it has {known}); make one with `hiddenstate project`."
            )
        group = _open_group(self.path / "projections" / name)
        coordinates = open_array(group, self.path, "coordinates", f"projections/{name}/coordinates")
        values = np.asarray(self._checked(coordinates, (self.steps, None))[:], np.float32)
        return Projection(name, values, group.attrs.asdict())

    def add_projection(
        self, name: str, projection: Any, *, attributes: Mapping[str, Any] | None = None, overwrite: bool = False
    ) -> Projection:
        """Store a projection of all N states.

        Parameters
        ----------
        name : str
            Its name in the store.
        projection : (N, D) array, `hiddenstate_core.Embedding`, or fitted estimator with ``embedding_``
            Where each state lies.
        attributes : mapping, optional
            What to note beside what the embedding says of itself; JSON values.
        overwrite : bool
            Whether a projection of the same name is replaced.

        Raises
        ------
        InputError
            Coordinates of another shape or with values that are not finite, or a name that is taken.
        """
        check_name(name, "projection")
        if name in self.projections and not overwrite:
            raise InputError(f"{self.path} already has a projection {name!r}; pass overwrite=True to replace it.")
        coordinates, notes = coordinates_of(projection)
        if coordinates.ndim != 2 or coordinates.shape[0] != self.steps or coordinates.shape[1] not in (2, 3):
            raise InputError(f"A projection of this trace has shape ({self.steps}, 2), not {coordinates.shape}.")
        if not np.isfinite(coordinates).all():
            raise InputError("A projection's coordinates must be finite.")
        notes = {**notes, **dict(attributes or {}), "trace": self.fingerprint}
        self._write_group(
            f"projections/{name}", {"coordinates": (coordinates, ("step", "axis"))}, json.loads(json.dumps(notes))
        )
        return self.projection(name)

    def analysis(self, name: str) -> StoredArray | None:
        """A stored array of ``analysis/``, one row per step, or None where there is none."""
        if name not in self._children("analysis"):
            return None
        group = _open_group(self.path / "analysis" / name)
        values = open_array(group, self.path, "values", f"analysis/{name}/values")
        return self._checked(values, (self.steps, *values.shape[1:]))

    def add_analysis(self, name: str, values: ArrayLike, *, attributes: Mapping[str, Any] | None = None) -> None:
        """Store a (N,) or (N, K) float32 array under ``analysis/<name>``, replacing one of that name."""
        check_name(name, "analysis")
        array = np.asarray(values, np.float32)
        if array.ndim not in (1, 2) or len(array) != self.steps:
            raise InputError(f"An analysis of this trace has {self.steps} rows, not shape {array.shape}.")
        dimensions = ("step", "column")[: array.ndim]
        self._write_group(f"analysis/{name}", {"values": (array, dimensions)}, dict(attributes or {}))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _write_group(
        self, path: str, arrays: Mapping[str, tuple[NDArray[Any], tuple[str, ...]]], attributes: dict[str, Any]
    ) -> None:
        parent = path.split("/", 1)[0]
        if not (self.path / parent / "zarr.json").exists():
            self._group.require_group(parent)
        with atomic_directory(self.path / path) as temporary:
            group = zarr.create_group(temporary, zarr_format=3, attributes=attributes, overwrite=True)
            for name, (values, dimensions) in arrays.items():
                rows = max(1, min(65_536, len(values)))
                array = group.create_array(
                    name,
                    shape=values.shape,
                    chunks=(rows, *values.shape[1:]),
                    dtype=values.dtype,
                    compressors=ZstdCodec(level=1),
                    dimension_names=dimensions,
                )
                array[:] = values

    def _children(self, path: str) -> tuple[str, ...]:
        # The file system is asked rather than Zarr, so that what another process adds is seen, and half-written
        # groups (names beginning with a dot) are not.
        folder = self.path / path
        if not folder.is_dir():
            return ()
        return tuple(
            sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and (p / "zarr.json").is_file())
        )

    def _array(self, path: str) -> StoredArray:
        return open_array(self._group, self.path, path)

    def _recorded(self, quantity: str, layer: int, path: str | None = None) -> StoredArray:
        count = len(self.layers)
        if not -count <= layer < count:
            raise InputError(f"Layer {layer} does not exist; the model has {count}, 0..{count - 1}.")
        if quantity not in self.recorded:
            raise InputError(
                f"{quantity!r} was not recorded in {self.path}; it has {', '.join(self.recorded) or 'none'}."
            )
        array = self._array(layer_path(layer % count, path or quantity))
        return self._checked(array, (self.steps, self.layers[layer]))

    def _checked(self, array: StoredArray, shape: tuple[int | None, ...]) -> StoredArray:
        fits = len(array.shape) == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            expected = " x ".join("any" if want is None else str(want) for want in shape)
            raise StoreError(
                f"{self.path}: {array.path} has shape {array.shape}, not {expected}; the store is damaged."
            )
        return array

    def _check(self) -> None:
        """Check that the parts fit each other, so that what follows can rely on it."""
        check_attributes(self.path, self.attributes)
        offsets = self.offsets
        if len(offsets) != len(self.labels) + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise StoreError(f"{self.path}: sequences/offsets does not fit sequences/labels; the store is damaged.")
        if len(self) and not (int(self.labels.min()) >= -1 and int(self.labels.max()) < len(self.classes)):
            raise StoreError(f"{self.path}: sequences/labels has a class that the store does not name; it is damaged.")
        classes, steps = len(self.classes), self.steps
        for path, shape in (
            ("steps/tokens", (steps,)),
            ("steps/surface", (steps,)),
            ("steps/probabilities", (steps, classes)),
            ("sequences/probabilities", (len(self), classes)),
        ):
            self._checked(self._array(path), shape)


def open_trace(path: str | os.PathLike[str]) -> Trace:
    """Open a trace store for reading; see `Trace`."""
    return Trace(path)


def _open_group(path: Path) -> zarr.Group:
    if not path.exists():
        partial = path.with_name(path.name + ".partial")
        hint = " Its recording was not finished: run the same `hiddenstate extract` again." if partial.exists() else ""
        raise StoreNotFoundError(f"There is no trace store at {path}.{hint}")
    if not path.is_dir():
        raise StoreError(f"{path} is a file; a trace store is a folder, made by `hiddenstate extract`.")
    if (path / "model.json").is_file():
        raise StoreError(f"{path} is a model, not a trace; record one with `hiddenstate extract {path} STORE`.")
    try:
        return zarr.open_group(path, mode="r+" if os.access(path, os.W_OK) else "r", use_consolidated=False)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is a folder but not a Zarr v3 group; a trace store is one.") from error
    except Exception as error:  # whatever damaged metadata makes Zarr raise
        raise StoreError(f"{path} is not a readable Zarr v3 group: {error}") from error
