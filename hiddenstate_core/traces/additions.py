"""What is added to a finished trace: projections of its states and arrays of analyses."""

from __future__ import annotations

import abc
import dataclasses
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
from hiddenstate_core.traces.schema import check_name
from hiddenstate_core.traces.stored import StoredArray, open_array

__all__ = ["Additions", "Projection", "open_group"]


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


class Additions(abc.ABC):
    """The part of a `Trace` that may grow after the recording; each group appears whole or not at all."""

    path: Path
    _group: zarr.Group

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """Number of rows N."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Identity of the recording."""

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
        group = open_group(self.path / "projections" / name)
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
        group = open_group(self.path / "analysis" / name)
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


def _unfinished(path: Path) -> str:
    """What to add where a store is missing because its recording was not finished."""
    if not path.with_name(path.name + ".partial").exists():
        return ""
    from hiddenstate_core.traces.writer import progress_of

    progress = progress_of(path)
    done = "" if progress is None else f" ({progress.done:,} of {progress.shards:,} shards are done)"
    return f" Its recording was not finished{done}: run the same `hiddenstate extract` again."


def open_group(path: Path) -> zarr.Group:
    """Open a group of a store, or say what is wrong with the path."""
    if not path.exists():
        raise StoreNotFoundError(f"There is no trace store at {path}.{_unfinished(path)}")
    if not path.is_dir():
        raise StoreError(f"{path} is a file; a trace store is a folder, made by `hiddenstate extract`.")
    if (path / "model.json").is_file():
        raise StoreError(f"{path} is a model, not a trace; record one with `hiddenstate extract {path} STORE`.")
    try:
        return zarr.open_group(path, mode="r+" if os.access(path, os.W_OK) else "r", use_consolidated=False)
    except FileNotFoundError as error:
        if path.name.endswith(".partial"):
            raise StoreError(
                f"{path} holds a recording that was not finished; run the same `hiddenstate extract` again, which "
                "goes on from there."
            ) from error
        raise StoreError(f"{path} is a folder but not a Zarr v3 group; a trace store is one.") from error
    except Exception as error:  # whatever damaged metadata makes Zarr raise
        raise StoreError(
            f"{path} is not a readable Zarr v3 group ({error}): its zarr.json is damaged or not one. Copy the "
            "store again, or record it again with `hiddenstate extract --overwrite`."
        ) from error
