"""`Estimate`: a figure and its standard error; and the estimators that the quality of a map needs."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "pearson", "ranks", "sample_mean", "spearman", "systematic_mean"]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure and how far off it may be.

    Parameters
    ----------
    value : float
        The figure; NaN where it is not defined (a correlation of distances that are all equal).
    error : float
        Its standard error; 0 where it was computed from everything there is.
    """

    value: float
    error: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.4f}" + (f" ± {self.error:.4f}" if self.error else "")

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready; None for NaN."""
        return {"value": _plain(self.value), "error": _plain(self.error)}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def sample_mean(values: NDArray[np.float64], population: int) -> Estimate:
    """Mean of a population by a simple random sample of it without replacement (Cochran 1977, chapter 2)."""
    m = len(values)
    left_out = 1 - m / population
    error = math.sqrt(left_out * float(values.var(ddof=1)) / m) if left_out > 0 and m > 1 else 0.0
    return Estimate(float(values.mean()), error)


def systematic_mean(values: NDArray[np.float64], population: int) -> Estimate:
    """Mean of a population by every s-th of it, from a random start.

    Where neighbours in the order are alike, this is far closer than a random sample of that size; the variance is that
    of differences between successive values (Wolter 2007, Introduction to Variance Estimation, section 8.2).
    """
    m = len(values)
    left_out = 1 - m / population
    if left_out <= 0 or m < 2:
        return Estimate(float(values.mean()))
    variance = float((np.diff(values) ** 2).sum()) / (2 * (m - 1))
    return Estimate(float(values.mean()), math.sqrt(left_out * variance / m))


def pearson(x: NDArray[np.float64], y: NDArray[np.float64], *, exact: bool = False) -> Estimate:
    """Pearson's correlation of pairs of numbers, independent draws unless `exact` says that these are all.

    The error is that of its influence function (Devlin, Gnanadesikan & Kettenring 1975), so no distribution is assumed.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return Estimate(math.nan, 0.0 if exact else math.nan)
    r = float((x * y).mean())
    influence = x * y - r * (x * x + y * y) / 2
    return Estimate(r, 0.0 if exact else float(influence.std()) / math.sqrt(len(x)))


def spearman(x: NDArray[np.float64], y: NDArray[np.float64], *, exact: bool = False) -> Estimate:
    """Spearman's rank correlation, as `pearson`; equal numbers share their mean rank.

    The error is that of the influence function of ``12 E[F(x) G(y)] - 3`` (Borkowf 2002).
    """
    m = len(x)
    f, g = ranks(x), ranks(y)
    figure = pearson(f, g, exact=True)
    if exact or math.isnan(figure.value):
        return dataclasses.replace(figure, error=0.0 if exact else math.nan)
    f, g = (f - 0.5) / m, (g - 0.5) / m
    influence = f * g
    for these, others in ((f, g), (g, f)):
        order = np.argsort(these, kind="stable")
        influence[order] += np.cumsum(others[order][::-1])[::-1] / m
    return dataclasses.replace(figure, error=12 * float(influence.std()) / math.sqrt(m))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
