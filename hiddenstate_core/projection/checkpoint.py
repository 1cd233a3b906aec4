"""`Checkpoint`: a file from which a long optimisation goes on, to the same bytes as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.options import Options
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.descent import Descent

__all__ = ["UNREADABLE", "Checkpoint"]

#: What a damaged .npz file may raise.
UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
_FORMAT = 2
_ARRAYS = ("positions", "velocity", "gains")
_NUMBERS = ("iteration", "normalization", "norm", "best", "best_iteration")


class Checkpoint:
    """Where an optimisation is saved.

    Parameters
    ----------
    path : path
        A file (.npz; about 30 n bytes), written aside and renamed, so it is whole at any moment.
    seconds : float
        Least time between two saves.

    Notes
    -----
    A file is of one run: the affinities, the start, the gradient method and the options are recorded with it, and
    another run refuses it. Only `max_iter`, `patience` and `min_gradient` may differ (and not `max_iter` where there is
    late exaggeration, which is counted from the end).
    """

    def __init__(self, path: str | os.PathLike[str], *, seconds: float = 30.0) -> None:
        self.path = Path(path)
        self.seconds = seconds
        self._run: dict[str, Any] = {}
        self._saved = time.monotonic()

    def begin(self, descent: Descent, options: Options) -> None:
        """Take note of the run, and put `descent` where the file left it, if there is one.

        Raises
        ------
        InputError
            The file is of another run, or damaged, or cannot be read.
        """
        told = options.to_dict()
        if told["late_exaggeration"] == 1:
            told |= {"max_iter": None, "late_iterations": None}
        self._run = {
            "format": _FORMAT,
            "affinities": _fingerprint(descent.affinities),
            "shape": list(descent.positions.shape),
            "start": _digest(descent.positions),
            "method": repr(descent.repulsion),
            "options": told | {"patience": None, "min_gradient": None},
        }
        if self.path.exists():
            self._restore(descent)

    def save(self, descent: Descent, *, final: bool = False) -> None:
        """Write the state, unless it was written a moment ago; `final` always writes.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if not final and time.monotonic() - self._saved < self.seconds:
            return
        self._saved = time.monotonic()
        numbers = {name: getattr(descent, name) for name in _NUMBERS}
        told = json.dumps(self._run | numbers)
        arrays = {name: getattr(descent, name) for name in _ARRAYS} | {"drift": descent.drift}
        arrays["order"] = np.empty(0, np.int32) if descent.order is None else descent.order
        with atomic_path(self.path) as aside, aside.open("wb") as file:
            np.savez(file, told=np.frombuffer(told.encode(), np.uint8), **arrays)

    def _restore(self, descent: Descent) -> None:
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            told = json.loads(arrays.pop("told").tobytes())
            numbers = {name: told.pop(name) for name in _NUMBERS}
        except UNREADABLE as error:
            raise InputError(
                f"{self.path} is no checkpoint of a t-SNE run, or it is damaged ({error}); delete it to start anew."
            ) from error
        other = [name for name in self._run if told.get(name) != self._run[name]]
        if other:
            raise InputError(
                f"{self.path} was saved by another run ({', '.join(other)} differ); delete it or name another file."
            )
        n, dims = descent.positions.shape
        order = arrays.get("order", np.empty(1))
        wanted = dict.fromkeys(_ARRAYS, ((n, dims), np.float32)) | {"drift": ((dims,), np.float64)}
        whole = all(
            name in arrays and arrays[name].shape == shape and arrays[name].dtype == dtype
            and np.isfinite(arrays[name]).all() for name, (shape, dtype) in wanted.items()
        )  # fmt: skip
        permuted = len(order) == 0 or (order.shape == (n,) and np.array_equal(np.sort(order), np.arange(n)))
        if not (whole and permuted and order.dtype == np.int32 and all(_number(v) for v in numbers.values())):
            raise InputError(f"{self.path} is damaged; delete it to start anew.")
        for name in wanted:
            setattr(descent, name, arrays[name])
        for name, value in numbers.items():
            setattr(descent, name, value)
        with Workers() as workers:
            descent.take_order(order if len(order) else None, workers)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _fingerprint(affinities: Affinities) -> str:
    return _digest(affinities.offsets, affinities.columns, affinities.values)


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
