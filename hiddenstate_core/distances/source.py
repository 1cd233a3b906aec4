"""`Source`: states that are read block by block, checked once, whatever holds them; the metrics there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["METRICS", "Source", "check_metric", "directions", "kind_of"]

#: Metrics by name.
METRICS = ("euclidean", "sqeuclidean", "cosine", "manhattan")
#: Largest magnitude of a value: squared distances of such states still fit into float32.
_LARGEST = 1e15
#: Values read at a time while states are checked.
_BLOCK = 1 << 21


def check_metric(metric: str) -> str:
    """Refuse a metric that there is not."""
    if metric not in METRICS:
        raise InputError(f"metric must be {', '.join(map(repr, METRICS[:-1]))} or {METRICS[-1]!r}, not {metric!r}.")
    return metric


def kind_of(metric: str) -> tuple[int, float]:
    """What the kernels compute for a metric, and the factor from that to the distance.

    In float32 the cosine distance is half the squared distance of the rows scaled to length 1: 1 - u.v = |u - v|^2 / 2.
    """
    from hiddenstate_core.kernels.distances import COSINE, EUCLIDEAN, MANHATTAN, SQUARED

    if metric == "cosine":
        return COSINE, 0.5
    return {"euclidean": EUCLIDEAN, "sqeuclidean": SQUARED, "manhattan": MANHATTAN}[metric], 1.0


def directions(states: NDArray[np.float64]) -> NDArray[np.float64]:
    """States as `Source` gives them for the cosine distance, of length 1; each is off by (d / 2 + 3) 2^-53 at most."""
    return np.asarray(states / np.sqrt(np.einsum("ij,ij->i", states, states))[:, None])


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """States as float64 rows, read when asked for.

    Parameters
    ----------
    array : (n, d)
        Whatever has a shape and a dtype and can be sliced by rows.
    metric : str
        For "cosine", each row is given times the power of two that brings its largest magnitude to between 0.5 and 1,
        so that squares neither overflow nor vanish. Nothing is rounded, and angles stay as they are.
    name : str
        What to call them in messages: "State" or "State of Y".
    """

    array: Any
    metric: str
    name: str = "State"

    def __len__(self) -> int:
        return int(self.array.shape[0])

    @property
    def width(self) -> int:
        """Features d of a state."""
        return int(self.array.shape[1])

    @classmethod
    def of(cls, X: Any, metric: str, *, name: str = "State", least: int = 1) -> Source:
        """Check kind and shape of an array; its values are checked by `checked_blocks` or `rows`.

        Parameters
        ----------
        X : (n, d) array-like
            Real numbers: NumPy array of any order, memory map, Zarr or stored array, data frame, nested list.
        metric : str
            One of `METRICS`.
        name : str
            See `Source`.
        least : int
            Fewest states that make sense.

        Raises
        ------
        InputError
            An unknown metric; states that are sparse, not two-dimensional, too few, or not real numbers.
        """
        check_metric(metric)
        if hasattr(X, "toarray") and hasattr(X, "nnz"):
            raise InputError(f"The states must be dense, not a sparse {type(X).__name__}; pass X.toarray().")
        if not (hasattr(X, "shape") and hasattr(X, "dtype") and hasattr(X, "__getitem__")) or hasattr(X, "iloc"):
            try:
                X = np.asarray(X)
            except ValueError as error:
                raise InputError(f"The states must form an array of shape (states, features): {error}.") from error
        shape = tuple(X.shape)
        if len(shape) != 2:
            raise InputError(f"The states must form an array of shape (states, features), not one of shape {shape}.")
        if shape[1] == 0 or shape[0] < least:
            want = "at least one feature" if shape[1] == 0 else f"at least {least} state{'s' if least > 1 else ''}"
            raise InputError(f"There must be {want}; the array's shape is {shape}.")
        if np.dtype(X.dtype).kind not in "fiub":
            raise InputError(f"The states must be real numbers, not {X.dtype}.")
        return cls(X, metric, name)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows ``start`` to ``stop - 1``, (m, d) float64 in C order, not checked."""
        return self.scaled(np.asarray(self.array[start:stop]))

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The rows of a NumPy array in any order, with repetitions, checked."""
        return self.checked(np.asarray(self.array[rows]), rows)

    def checked(self, values: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values as float64 rows, refused by number (in `rows`) where they are not finite, too large, or all zero."""
        values = np.asarray(values)
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        if not (low >= -_LARGEST and high <= _LARGEST):  # false for NaN too
            values = values.astype(np.float64)
            bad = ~(np.abs(values) <= _LARGEST)
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise InputError(
                f"{self.name} {int(rows[row])} holds {values[row, column]:g} in feature {column}; every value must be "
                f"finite and within +-{_LARGEST:g}. Remove or mend that state."
            )
        if self.metric == "cosine" and not values.any(axis=1).all():
            row = int(rows[int(np.argmin(values.any(axis=1)))])
            raise InputError(
                f"{self.name} {row} is zero in all features, so it has no direction and no cosine distance. "
                "Leave it out, or use another metric."
            )
        return self.scaled(values)

    def checked_blocks(self) -> Iterator[NDArray[np.float64]]:
        """All rows in order, checked."""
        step = self.step(_BLOCK)
        for start in range(0, len(self), step):
            block = np.asarray(self.array[start : start + step])
            yield self.checked(block, np.arange(start, start + len(block)))

    def step(self, values: int) -> int:
        """Rows to read at a time, about so many values: whole chunks, where the array has chunks."""
        chunks = getattr(self.array, "chunks", None) or getattr(getattr(self.array, "array", None), "chunks", None)
        rows = max(1, values // self.width)
        chunk = int(chunks[0]) if isinstance(chunks, tuple) and isinstance(chunks[0], int) else 1
        return -(-rows // chunk) * chunk if chunk <= 8 * rows else rows

    def scaled(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values as the rows that are given, not checked."""
        given = np.require(values, np.float64, ["C", "W"])  # a kernel would be compiled again for read-only rows
        if self.metric != "cosine":
            return given
        exponents = np.frexp(np.maximum(given.max(axis=1, keepdims=True), -given.min(axis=1, keepdims=True)))[1]
        return np.asarray(given * np.ldexp(1.0, np.clip(-exponents, -1000, 1000)))
