"""`class_flow`: the mean path that the sequences of a class take through a map."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.trace import Projection, Trace

__all__ = ["Flow", "class_flow"]

Double = NDArray[np.float64]

#: Share of the sequences that reach the last place of a flow over word numbers.
_REACHING = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Flow:
    """The mean path of some sequences through the plane, at B places along it, in the order of reading.

    Parameters
    ----------
    positions : (B,) float64
        Where along the sequences: 0 at the first word that is read to 1 at the last, or, not relative, the number of
        the word.
    places : (B, 2) float64
        Mean place there; NaN where no sequence is.
    covariance : (B, 2, 2) float64
        Covariance of the sequences' places about it (population); NaN where no sequence is.
    counts : (B,) int64
        Sequences behind each.
    start, end : (2,) float64
        Mean place after the first and after the last word; NaN where there is no sequence.
    total, used : int
        Sequences with words that were asked for, and those looked at.
    relative : bool
        Whether positions are relative to each sequence's length.
    """

    positions: Double
    places: Double
    covariance: Double
    counts: NDArray[np.int64]
    start: Double
    end: Double
    total: int
    used: int
    relative: bool

    @property
    def sampled(self) -> bool:
        """Whether only some of the sequences were looked at, drawn at random."""
        return self.used < self.total

    @property
    def spread(self) -> Double:
        """Root mean squared distance of the sequences' places from the mean one, (B,) float64."""
        return np.asarray(np.sqrt(np.trace(self.covariance, axis1=1, axis2=2)), np.float64)

    @property
    def error(self) -> Double:
        """Standard error of the mean place, (B,) float64: `spread` over the root of `counts`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.spread / np.sqrt(self.counts), np.float64)


def class_flow(
    trace: Trace,
    coordinates: ArrayLike | Projection,
    sequences: int | ArrayLike,
    *,
    by: str = "label",
    bins: int = 24,
    most: int = 5000,
    seed: int = 0,
    relative: bool = True,
) -> Flow:
    """Mean path of the sequences of a class, or of any others.

    Parameters
    ----------
    trace : Trace
        A recording.
    coordinates : (N, 2 or more) float array-like, or Projection
        Place of every step; the first two axes count.
    sequences : int, (M,) int or (S,) bool array-like
        Number of a class; or numbers of sequences, or a mask.
    by : {"label", "predicted"}
        Whether the number is that of the true class (-1: unknown) or of the one predicted after everything was read.
    bins : int
        Places along the path, at least 2.
    most : int
        Sequences looked at; of more, so many drawn at random.
    seed : int
        Of the draw.
    relative : bool
        Whether places are taken at the same share of every sequence, between two words in proportion; otherwise at
        the same word number, as far as a tenth of the sequences reach (then the counts fall).

    Returns
    -------
    Flow
        Every sequence weighs the same.

    Raises
    ------
    InputError
        A class or sequence that the trace does not have, coordinates of another shape or not finite, or a number out
        of range.

    Notes
    -----
    O(most bins). Paths run in the order of reading: of a projection of states that were read backward (by its
    attributes, or because the network reads no other way), from the last word to the first.
    """
    for name, value, least in (("bins", bins, 2), ("most", most, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}.")
    direction = trace.directions[0]
    if isinstance(coordinates, Projection):
        direction = coordinates.attributes.get("direction") or direction
        coordinates = coordinates.coordinates
    points = np.asarray(coordinates)
    if points.ndim != 2 or len(points) != trace.steps or points.shape[1] < 2 or points.dtype.kind not in "fiu":
        raise InputError(f"The coordinates must have shape ({trace.steps}, 2), not {points.shape} {points.dtype}.")
    chosen = _chosen(trace, sequences, by)
    rows = np.diff(trace.offsets)
    chosen = chosen[rows[chosen] > 0]
    total = len(chosen)
    if total > most:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, most, replace=False))
    paths = _Paths(points, trace.offsets[chosen], rows[chosen], direction == "backward")
    if relative:
        positions = np.linspace(0.0, 1.0, bins)
        found = [_moments(paths.share(position)) for position in positions]
    else:
        longest = int(np.quantile(paths.lengths, 1 - _REACHING, method="lower")) if total else 1
        numbers = np.unique(np.round(np.linspace(0, longest - 1, bins)).astype(np.int64))
        found = [_moments(paths.word(number)) for number in numbers.tolist()]
        positions = ((numbers + 1) * trace.facts.every - 1).astype(np.float64)
    return Flow(
        positions=positions,
        places=np.array([mean for mean, _, _ in found]),
        covariance=np.array([covariance for _, covariance, _ in found]),
        counts=np.array([count for _, _, count in found], np.int64),
        start=_moments(paths.share(0.0))[0],
        end=_moments(paths.share(1.0))[0],
        total=total,
        used=len(chosen),
        relative=relative,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Paths:
    """Places of the steps of some sequences, each in the order of reading."""

    points: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    backward: bool

    def share(self, position: float) -> Double:
        """Where every sequence is at a share of its way, (M, 2)."""
        exact = position * (self.lengths - 1)
        before = np.floor(exact).astype(np.int64)
        after = np.minimum(before + 1, self.lengths - 1)
        weight = (exact - before)[:, None]
        return np.asarray((1 - weight) * self._at(before) + weight * self._at(after), np.float64)

    def word(self, number: int) -> Double:
        """Where every sequence that long is after a word, (M', 2)."""
        return self._at(np.full(len(self.lengths), number))[self.lengths > number]

    def _at(self, numbers: NDArray[np.int64]) -> Double:
        inside = np.minimum(numbers, self.lengths - 1)
        steps = self.starts + (self.lengths - 1 - inside if self.backward else inside)
        places = self.points[steps, :2].astype(np.float64)
        if not np.isfinite(places).all():
            row = int(steps[~np.isfinite(places).all(axis=1)][0])
            raise InputError(f"The coordinates of step {row} are not finite.")
        return places


def _moments(places: Double) -> tuple[Double, Double, int]:
    """Mean, covariance and number of some places."""
    if not len(places):
        return np.full(2, np.nan), np.full((2, 2), np.nan), 0
    mean = places.mean(axis=0)
    away = places - mean
    return mean, away.T @ away / len(places), len(places)


def _chosen(trace: Trace, sequences: int | ArrayLike, by: str) -> NDArray[np.int64]:
    """Numbers of the sequences, each once, ascending."""
    if by not in ("label", "predicted"):
        raise InputError(f"Classes are 'label' or 'predicted', not {by!r:.60}.")
    given = np.asarray(sequences)
    if given.ndim == 0 and given.dtype.kind in "iu":
        code, least = int(given), UNLABELLED if by == "label" else 0
        if not least <= code < len(trace.classes):
            known = ", ".join(f"{i} ({name})" for i, name in enumerate(trace.classes[:20])) or "none"
            raise InputError(f"There is no class {code}; the trace has {known}.")
        return np.flatnonzero((trace.labels if by == "label" else trace.predicted) == code)
    if given.ndim == 0:
        raise InputError(f"sequences must be the number of a class, numbers of sequences or a mask, not {sequences!r}.")
    return np.unique(trace.select(sequences=given).sequences)
