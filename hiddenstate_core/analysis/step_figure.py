"""`StepValues`: a figure of every step, read for the steps asked for, with what a legend needs to know of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.trace import Trace

__all__ = ["Kind", "Rows", "StepValues", "Values"]

Kind = Literal["diverging", "sequential", "categorical"]
Values = NDArray[Any]
#: Figures of some rows, by their numbers, ascending and each once.
Rows = Callable[[NDArray[np.int64]], Values]

#: Steps read at a time; runs of steps that limits are drawn from, and steps of a run.
_BLOCK, _RUNS, _RUN = 1 << 18, 64, 256
#: Share of the sampled values that limits leave out at either end.
_TAIL = 0.005


class StepValues:
    """A figure of every step of a trace; made by `step_values`. Safe in threads.

    Attributes
    ----------
    key, label : str
        Its name, and what to call it.
    kind : {"diverging", "sequential", "categorical"}
        What sort of colours shows it.
    classes : tuple of str
        Names of the codes of a categorical one; code -1 is none of them.
    dtype : dtype
        int16 for codes, float32 for numbers.
    """

    def __init__(
        self,
        trace: Trace,
        key: str,
        label: str,
        kind: Kind,
        read: Rows,
        *,
        limits: tuple[float, float] | None = None,
        classes: tuple[str, ...] = (),
        confidence: Rows | None = None,
        seed: int = 0,
    ) -> None:
        self.trace, self.key, self.label, self.kind, self.classes = trace, key, label, kind, classes
        self.dtype: np.dtype[Any] = np.dtype(np.int16 if kind == "categorical" else np.float32)
        self._read, self._fixed, self._seed = read, limits, seed
        self._confidence = confidence

    def __len__(self) -> int:
        return self.trace.steps

    def __repr__(self) -> str:
        return f"StepValues({self.key!r}, {self.kind}, {len(self)} steps)"

    def rows(self, steps: ArrayLike) -> Values:
        """Figures of some steps.

        Parameters
        ----------
        steps : (n,) int or (N,) bool array-like
            Numbers of steps in any order, negative ones counted from the end; or a mask.

        Returns
        -------
        (n,) `dtype`
            NaN, or code -1, where there is none.

        Raises
        ------
        InputError
            Steps that the trace does not have.
        """
        return self._values(self._read, self._numbers(steps), self.dtype)

    def range(self, start: int, stop: int) -> Values:
        """Figures of the steps `start` to ``stop - 1``, cut to those there are; see `rows`."""
        low, high, _ = slice(start, stop).indices(len(self))
        return self._values(self._read, np.arange(low, max(low, high), dtype=np.int64), self.dtype)

    def full(self) -> Values:
        """Figures of all N steps, read block by block."""
        found = np.empty(len(self), self.dtype)
        for start in range(0, len(self), _BLOCK):
            block = self.range(start, min(start + _BLOCK, len(self)))
            found[start : start + len(block)] = block
        return found

    def weights(self, steps: ArrayLike) -> NDArray[np.float32] | None:
        """How sure each code is: the probability of the class predicted at some steps; None for other figures."""
        if self._confidence is None:
            return None
        return np.asarray(self._values(self._confidence, self._numbers(steps), np.dtype(np.float32)), np.float32)

    @functools.cached_property
    def limits(self) -> tuple[float, float] | None:
        """Low and high end of a scale; None for codes.

        Fixed where the figure has natural ends. Otherwise those between which 99 % of a sample of up to 16,384 steps
        lie, about zero where the kind is diverging, so that single outliers do not wash out a map.
        """
        if self.kind == "categorical" or self._fixed is not None:
            return self._fixed
        values = self.range(0, len(self)) if len(self) <= _RUNS * _RUN else self.rows(self._sample())
        values = values[np.isfinite(values)]
        if self.kind == "diverging":
            end = float(np.quantile(np.abs(values), 1 - 2 * _TAIL)) if len(values) else 0.0
            return (-end, end) if end > 0 else (-1.0, 1.0)
        low, high = (float(q) for q in np.quantile(values, (_TAIL, 1 - _TAIL))) if len(values) else (0.0, 1.0)
        return (low, high) if high > low else (low, low + 1.0)

    def _sample(self) -> NDArray[np.int64]:
        starts = np.random.default_rng(self._seed).integers(0, len(self) - _RUN, _RUNS)
        return np.unique(starts[:, None] + np.arange(_RUN)).astype(np.int64)

    def _numbers(self, steps: ArrayLike) -> NDArray[np.int64]:
        given, n = np.asarray(steps), len(self)
        if given.dtype == np.bool_ and given.shape == (n,):
            return np.flatnonzero(given)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise InputError(f"Steps must be whole numbers or a mask of {n}, not {given.dtype} of shape {given.shape}.")
        if given.size and not -n <= int(given.min()) <= int(given.max()) < n:
            raise InputError(f"Steps {given.min()}..{given.max()} were asked for; the trace has {n}, 0..{n - 1}.")
        numbers = given.astype(np.int64)
        return np.where(numbers < 0, numbers + n, numbers)

    def _values(self, read: Rows, steps: NDArray[np.int64], dtype: np.dtype[Any]) -> Values:
        if not len(steps):
            return np.empty(0, dtype)
        if (np.diff(steps) > 0).all():
            return np.asarray(read(steps), dtype)
        rows, inverse = np.unique(steps, return_inverse=True)
        return np.asarray(read(rows), dtype)[inverse]
