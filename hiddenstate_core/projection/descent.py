"""`Descent`: the state of one optimisation, its points kept in an order in which neighbours share the cache."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.order import permute_points, permute_rows
from hiddenstate_core.kernels.tsne import step
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.barnes_hut import morton_order
from hiddenstate_core.projection.gradients import Repulsion, Rows, attractive_force, divergence

__all__ = ["CHECK", "Descent", "Phase", "parting"]

_GRAIN = 4096
#: Iterations between two looks at the divergence.
CHECK = 50
#: Spreads of a map: too small to be kept, and that of the start.
_SMALLEST, _FIRST = 1e-6, 1e-4
#: How far points are moved apart, in standard deviations of the map.
_PARTED = 1e-4
#: From so many points on the order in memory matters: their places no longer fit a core's own cache.
_ORDERED_POINTS = 20_000
#: Iterations before which points are put in order; besides, every so many.
_ORDERED_AT, _ORDERED_EVERY = frozenset({0, 25, 100, 250, 300, 350}), 250


@dataclasses.dataclass(frozen=True)
class Phase:
    """What is in force in one iteration.

    Parameters
    ----------
    exaggeration : float
        Factor on all affinities.
    rate : float
        Learning rate, in units of dC/dy / 4.
    momentum : float
        Share of the last step kept.
    longest_step : float
        No point moves further than this.
    """

    exaggeration: float
    rate: float
    momentum: float
    longest_step: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Renamed:
    """Affinities of points in another order; needs no checks."""

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]
    negative_entropy: float


def parting(positions: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Noise, (n, dims) float32, with which points that exaggeration drew to one place can leave each other.

    Equal states attract each other most, and nothing else tells them apart: on one float32 place no force parts them,
    and on a grid, where forces are smooth, many end there. Its standard deviation is a ten-thousandth of the map's.
    """
    noise = np.random.default_rng(seed).standard_normal(positions.shape, np.float32)
    noise *= np.float32(_PARTED * positions.std(axis=0, dtype=np.float64).max())
    return noise


class Descent:
    """State of one optimisation.

    Parameters
    ----------
    affinities : Affinities
        P; only read. Large ones are copied in the order of the points.
    positions : (n, dims) float32, C order
        The map; taken over and changed.
    repulsion : Repulsion
        Gradient method.

    Attributes
    ----------
    order : (n,) int32 or None
        The point that stands in each place of the arrays; None while each stands in its own.
    positions, velocity, gains : (n, dims) float32
        In that order.
    iteration : int
        Iterations done.
    normalization, norm : float
        Z and the norm of the gradient in the last iteration.
    best, best_iteration : float, int
        Lowest divergence that was looked at, and when.
    """

    def __init__(self, affinities: Affinities, positions: NDArray[np.float32], repulsion: Repulsion) -> None:
        self.affinities, self.repulsion = affinities, repulsion
        self.positions = positions
        self.velocity = np.zeros_like(positions)
        self._attract = np.empty_like(positions)
        self.gains = np.ones_like(positions)
        self.order: NDArray[np.int32] | None = None
        self.drift = np.zeros(positions.shape[1])
        self.iteration = 0
        self.normalization = 1.0
        self.norm = math.inf
        self.best, self.best_iteration = math.inf, 0
        self._ordered: Rows = affinities
        self._room: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]] | None = None

    @property
    def rows(self) -> Rows:
        """The affinities in the order of the arrays."""
        return self._ordered

    def advance(self, phase: Phase, workers: Workers) -> None:
        """One iteration."""
        n, dims = self.positions.shape
        if n >= _ORDERED_POINTS and (self.iteration in _ORDERED_AT or self.iteration % _ORDERED_EVERY == 0):
            self._rearrange(workers)
        attract = attractive_force(self._ordered, self.positions, workers, self._attract)
        repel, self.normalization = self.repulsion(self.positions, workers)
        settings = np.array(
            [
                phase.exaggeration,
                1.0 / max(self.normalization, np.finfo(np.float64).tiny),
                phase.rate,
                phase.momentum,
                phase.longest_step,
                *self.drift,
            ]
        )
        sums = np.empty((-(-n // _GRAIN), 1 + dims))
        workers.run(
            step, n, _GRAIN, _GRAIN, self.positions, self.velocity, self.gains, attract, repel, settings, sums
        )  # fmt: skip
        total = sums.sum(axis=0)
        self.norm = 4.0 * math.sqrt(float(total[0]))
        if not math.isfinite(self.norm):
            raise InputError(
                f"The map is no longer finite after {self.iteration + 1} iterations; lower learning_rate, or start "
                "from places closer together."
            )
        self.drift = total[1:] / n
        self.iteration += 1

    def unfold(self) -> float:
        """Standard deviation of the widest axis, after a map that shrank to nothing was blown up to its first size.

        Exaggerated attraction contracts states that form one cloud. So small a map obeys a linear law (every w_ij is
        1), so its scale carries no information, while float32 would lose its shape.
        """
        spread = float(self.positions.std(axis=0, dtype=np.float64).max())
        if 0 < spread < _SMALLEST:
            factor = np.float32(_FIRST / spread)
            self.positions *= factor
            self.velocity *= factor
            self.drift *= float(factor)
        return spread

    def part(self) -> None:
        """Move every point a little; see `parting`."""
        noise = parting(self.positions, self.iteration)
        self.positions += noise if self.order is None else noise[self.order]

    def divergence(self, workers: Workers) -> float:
        """KL(P || Q) with the last Z (of the positions before the last step)."""
        return divergence(self._ordered, self.positions, max(self.normalization, 1e-300), workers)

    def places(self, workers: Workers) -> NDArray[np.float32]:
        """The map in the order of the affinities, centred once it has moved; a copy."""
        centred = self.positions.copy()
        if self.iteration > 0:
            centred -= self.positions.mean(axis=0, dtype=np.float64).astype(np.float32)
        return centred if self.order is None else self._permuted(centred, self.order, True, workers)

    def take_order(self, order: NDArray[np.int32] | None, workers: Workers) -> None:
        """Rename the points of the affinities for arrays that stand in `order` already."""
        self.order = order
        if order is None:
            self._ordered = self.affinities
            return
        a, n = self.affinities, self.affinities.n
        rank = np.empty(n, np.int32)
        rank[order] = np.arange(n, dtype=np.int32)
        if self._room is None:
            self._room = np.zeros_like(a.offsets), np.empty_like(a.columns), np.empty_like(a.values)
        offsets, columns, values = self._room
        np.cumsum(np.diff(a.offsets)[order], out=offsets[1:])
        workers.run(permute_rows, n, _GRAIN, order, rank, a.offsets, a.columns, a.values, offsets, columns, values)
        self._ordered = _Renamed(offsets, columns, values, a.negative_entropy)

    def _rearrange(self, workers: Workers) -> None:
        """Put the points in Morton order."""
        moves = morton_order(self.positions, workers)
        for name in ("positions", "velocity", "gains"):
            setattr(self, name, self._permuted(getattr(self, name), moves, False, workers))
        self.take_order(moves if self.order is None else self.order[moves], workers)

    def _permuted(
        self, values: NDArray[np.float32], order: NDArray[np.int32], back: bool, workers: Workers
    ) -> NDArray[np.float32]:
        result = np.empty_like(values)
        workers.run(permute_points, len(values), _GRAIN, order, back, values, result)
        return result
