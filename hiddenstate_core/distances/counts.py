"""`DistanceHistogram`: what was counted, overall and by parts, and how sure it is."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["DistanceHistogram", "PairCounts"]


@dataclasses.dataclass(frozen=True, eq=False)
class PairCounts:
    """Histogram of the distances of one set of pairs of states.

    Parameters
    ----------
    edges : (B + 1,) float64
        Bins are closed below and open above, the last one closed, as in `numpy.histogram`.
    counts : (B,) int64
        Pairs counted in each bin.
    below, above : int
        Pairs counted outside all bins.
    pairs : int
        Pairs that there are.
    sampled : bool
        Whether the pairs counted are a random sample (drawn independently, so with replacement) or all there are.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    below: int
    above: int
    pairs: int
    sampled: bool

    @property
    def counted(self) -> int:
        """Pairs looked at, those outside all bins included."""
        return int(self.counts.sum()) + self.below + self.above

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the pairs in each bin, (B,) float64; NaN where no pair was looked at."""
        return self.counts / self.counted if self.counted else np.full(len(self.counts), np.nan)

    @property
    def density(self) -> NDArray[np.float64]:
        """Shares by the width of the bins, (B,) float64, so that shapes of sets of different size compare."""
        return self.shares / np.diff(self.edges)

    def estimate(self) -> NDArray[np.float64]:
        """Pairs in each bin among all `pairs`, (B,) float64; the counts themselves where all were counted."""
        return self.shares * self.pairs if self.sampled else self.counts.astype(np.float64)

    def band(self, confidence: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Confidence interval of the share of each bin (Wilson 1927).

        Parameters
        ----------
        confidence : float
            Chance with which the interval of one bin holds its share; bins are taken one by one.

        Returns
        -------
        low, high : (B,) float64
            Both the shares themselves where every pair was counted; 0 and 1 where none was looked at.
        """
        if not 0 < confidence < 1:
            raise InputError(f"confidence must lie between 0 and 1, not {confidence!r}.")
        if not self.sampled:
            return self.shares, self.shares
        if not self.counted:
            return np.zeros(len(self.counts)), np.ones(len(self.counts))
        z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
        n, p = self.counted, self.shares
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low = np.where(self.counts == 0, 0.0, np.maximum(middle - half, 0))
        high = np.where(self.counts == n, 1.0, np.minimum(middle + half, 1))
        return low, high


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceHistogram:
    """Histogram of the distances of all pairs of states.

    Parameters
    ----------
    metric : str
        The metric.
    edges : (B + 1,) float64
        Of the bins.
    overall : PairCounts
        All pairs.
    classes : tuple
        The labels that occur, ascending; empty without labels.
    matrix : tuple of tuple of PairCounts
        ``matrix[a][b]``: pairs of a state of class a and one of class b (classes by position in `classes`); the same
        as ``matrix[b][a]``.
    within, between : PairCounts or None
        Pairs of states of the same class, and of different classes.
    sequence : PairCounts or None
        Pairs of states of the same sequence.
    """

    metric: str
    edges: NDArray[np.float64]
    overall: PairCounts
    classes: tuple[Any, ...] = ()
    matrix: tuple[tuple[PairCounts, ...], ...] = ()
    within: PairCounts | None = None
    between: PairCounts | None = None
    sequence: PairCounts | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Of all pairs, (B,) int64: as `numpy.histogram` gives them."""
        return self.overall.counts

    @property
    def sampled(self) -> bool:
        """Whether a sample of the pairs was counted."""
        return self.overall.sampled

    @classmethod
    def of(
        cls,
        metric: str,
        edges: NDArray[np.float64],
        tally: NDArray[np.int64],
        pairs: NDArray[np.int64],
        classes: tuple[Any, ...],
        sequence: PairCounts | None,
        *,
        sampled: bool,
    ) -> DistanceHistogram:
        """From slots counted by the class of one state and that of the other.

        Parameters
        ----------
        metric, edges, classes, sequence
            See the class.
        tally : (C, C, S) int64
            S >= B + 2 slots; slot 0 is below the bins, B + 1 above.
        pairs : (C, C) int64
            Pairs that there are, a < b above the diagonal only.
        sampled : bool
            See `PairCounts`.
        """
        count = len(edges) - 1
        both = tally + tally.transpose(1, 0, 2)
        own = np.arange(len(tally))
        both[own, own] = tally[own, own]

        def part(slots: NDArray[np.int64], there: int) -> PairCounts:
            return PairCounts(edges, slots[1 : count + 1].copy(), int(slots[0]), int(slots[count + 1]), there, sampled)

        overall = part(tally.sum(axis=(0, 1)), int(pairs.sum()))
        if not classes:
            return cls(metric, edges, overall, sequence=sequence)
        there = np.triu(pairs) + np.triu(pairs, 1).T
        matrix = tuple(tuple(part(both[a, b], int(there[a, b])) for b in own) for a in own)
        within = part(tally[own, own].sum(axis=0), int(np.trace(pairs)))
        between = part(tally.sum(axis=(0, 1)) - tally[own, own].sum(axis=0), int(pairs.sum() - np.trace(pairs)))
        return cls(metric, edges, overall, classes, matrix, within, between, sequence)
