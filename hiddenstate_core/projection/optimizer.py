"""Gradient descent of t-SNE: early exaggeration, momentum, gains, centring."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.tsne import step
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.options import Options
from hiddenstate_core.progress import progress_bar
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.gradients import Repulsion, attractive_force, divergence

__all__ = ["Callback", "OptimizerOptions", "Progress", "optimize"]

_GRAIN = 4096
#: Iterations between two looks at the divergence.
_CHECK = 50
#: Spreads of a map: too small to be kept, that of the start, and that from which a small gradient means an optimum.
_SMALLEST, _FIRST, _SETTLED = 1e-6, 1e-4, 1e-2


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Options):
    """How the map is moved.

    Parameters
    ----------
    max_iter : int
        Iterations altogether, 0 or more.
    early_exaggeration : float
        Factor on all affinities during the first `early_iterations` (van der Maaten & Hinton 2008, section 3.4).
    early_iterations : int
        How many iterations are exaggerated.
    learning_rate : float or None
        Step length in units of dC/dy / 4, as in the authors' program; None for ``max(n / early_exaggeration, 200)``
        (Belkina et al. 2019).
    early_momentum, momentum : float
        Share of the last step kept, during and after the exaggerated part.
    longest_step : float
        No point moves further than this in one iteration.
    patience : int or None
        Stop when the divergence has not fallen for so many iterations; None never stops.
    min_gradient : float
        Stop when the norm of the whole gradient is below this (and the map has left its start).
    """

    max_iter: int = 1000
    early_exaggeration: float = 12.0
    early_iterations: int = 250
    learning_rate: float | None = None
    early_momentum: float = 0.5
    momentum: float = 0.8
    longest_step: float = 5.0
    patience: int | None = 300
    min_gradient: float = 1e-7

    def __post_init__(self) -> None:
        if self.max_iter < 0 or self.early_iterations < 0:
            raise InputError("max_iter and early_iterations must not be negative.")
        if not (self.early_exaggeration >= 1 and math.isfinite(self.early_exaggeration)):
            raise InputError(f"early_exaggeration must be at least 1, not {self.early_exaggeration:g}.")
        if self.learning_rate is not None and not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise InputError(f"learning_rate must be above 0 or 'auto', not {self.learning_rate:g}.")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"n_iter_without_progress must be at least 1, or None, not {self.patience}.")

    def rate(self, n: int) -> float:
        """Learning rate for n points."""
        return max(n / self.early_exaggeration, 200.0) if self.learning_rate is None else self.learning_rate


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """What a callback is told, and what `optimize` returns.

    Parameters
    ----------
    iteration : int
        Iterations done.
    kl_divergence : float
        KL(P || Q), without exaggeration; within an optimisation, with the gradient method's own estimate of Z.
    positions : (n, dims) float32
        The map; a copy.
    interrupted : bool
        Whether the user stopped it (Ctrl-C, or a callback that returned True).
    """

    iteration: int
    kl_divergence: float
    positions: NDArray[np.float32]
    interrupted: bool = False


#: Called every 50 iterations; a true answer stops the optimisation.
Callback = Callable[[Progress], bool | None]


def optimize(
    affinities: Affinities,
    start: NDArray[np.float32],
    repulsion: Repulsion,
    options: OptimizerOptions | None = None,
    *,
    callback: Callback | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Progress:
    """Lower KL(P || Q) from `start` by gradient descent.

    Parameters
    ----------
    affinities : Affinities
        P; only read.
    start : (n, dims) float32
        First positions; not changed.
    repulsion : Repulsion
        Gradient method.
    options : OptimizerOptions or None
        None for the defaults.
    callback : Callback or None
        Told how it goes every 50 iterations.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    Progress
        The final map. Ctrl-C ends the optimisation and gives the map so far. The same bytes for any number of threads.
    """
    options = options or OptimizerOptions()
    if start.ndim != 2 or len(start) != affinities.n:
        raise InputError(f"The start must place {affinities.n} points; its shape is {start.shape}.")
    descent = _Descent(affinities, np.array(start, np.float32, order="C"), repulsion, options)
    total = options.max_iter
    with Workers(n_jobs) as workers, progress_bar("t-SNE", total, show=progress) as advance:
        note: str | None = None
        best, best_iteration = math.inf, 0
        interrupted = False
        try:
            while descent.iteration < total:
                norm = descent.advance(workers)
                done = descent.iteration
                exaggerated = done <= options.early_iterations
                if done % _CHECK == 0 or done == total:
                    spread = descent.unfold()
                    told = Progress(done, descent.divergence(workers), descent.positions.copy())
                    note = f"KL {told.kl_divergence:.3f}"
                    if callback is not None and callback(told):
                        interrupted = True
                        break
                    if told.kl_divergence < best or exaggerated:
                        best, best_iteration = told.kl_divergence, done
                    elif options.patience is not None and done - best_iteration >= options.patience:
                        break
                    if not exaggerated and spread > _SETTLED and norm < options.min_gradient:
                        break
                advance(1, note=note)
        except KeyboardInterrupt:
            interrupted = True
        return Progress(descent.iteration, descent.divergence(workers), descent.positions, interrupted)


class _Descent:
    """State of one optimisation."""

    def __init__(
        self, affinities: Affinities, positions: NDArray[np.float32], repulsion: Repulsion, options: OptimizerOptions
    ) -> None:
        self.affinities, self.positions, self.repulsion, self.options = affinities, positions, repulsion, options
        self.iteration = 0
        self.normalization = 1.0
        self._velocity = np.zeros_like(positions)
        self._gains = np.ones_like(positions)
        self._norms = np.empty(len(positions))

    def advance(self, workers: Workers) -> float:
        """One iteration; returns the norm of the gradient dC/dy."""
        o = self.options
        early = self.iteration < o.early_iterations
        attract = attractive_force(self.affinities, self.positions, workers)
        repel, self.normalization = self.repulsion(self.positions, workers)
        settings = np.array(
            [
                o.early_exaggeration if early else 1.0,
                1.0 / max(self.normalization, np.finfo(np.float64).tiny),
                o.rate(len(self.positions)),
                o.early_momentum if early else o.momentum,
                o.longest_step,
            ]
        )
        workers.run(
            step,
            len(self.positions),
            _GRAIN,
            self.positions,
            self._velocity,
            self._gains,
            attract,
            repel,
            settings,
            self._norms,
        )
        self.positions -= self.positions.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.iteration += 1
        return 4.0 * math.sqrt(float(self._norms.sum()))

    def unfold(self) -> float:
        """Standard deviation of the widest axis, after a map that shrank to nothing was blown up to its first size.

        Exaggerated attraction contracts states that form one cloud. So small a map obeys a linear law (every w_ij is
        1), so its scale carries no information, while float32 would lose its shape.
        """
        spread = float(self.positions.std(axis=0, dtype=np.float64).max())
        if 0 < spread < _SMALLEST:
            factor = np.float32(_FIRST / spread)
            self.positions *= factor
            self._velocity *= factor
        return spread

    def divergence(self, workers: Workers) -> float:
        """KL(P || Q) with the last Z (of the positions before the last step)."""
        return divergence(self.affinities, self.positions, max(self.normalization, 1e-300), workers)
