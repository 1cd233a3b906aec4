"""Gradient descent of t-SNE: its schedule, what it tells, when it stops."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.options import Options
from hiddenstate_core.progress import progress_bar
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.checkpoint import Checkpoint
from hiddenstate_core.projection.descent import CHECK, Descent, Phase
from hiddenstate_core.projection.gradients import Repulsion
from hiddenstate_core.projection.initialization import checked_start
from hiddenstate_core.projection.interrupts import held_interrupts
from hiddenstate_core.projection.validation import checked_integer, checked_number

__all__ = ["Callback", "OptimizerOptions", "Progress", "optimize"]

#: What `TSNE` calls options that have another name here.
_OUTSIDE = {"patience": "n_iter_without_progress", "min_gradient": "min_grad_norm"}
#: Standard deviation of a map from which a small gradient means an optimum.
_SETTLED = 1e-2


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
    late_exaggeration : float
        Factor during the last `late_iterations`; above 1 it draws clusters together (Kobak & Berens 2019, after
        Linderman & Steinerberger 2019).
    late_iterations : int
        How many iterations at the end those are.
    learning_rate : float or None
        Step length in units of dC/dy / 4, as in the authors' program; None for ``n / exaggeration``, at least 200, with
        the factor in force (Belkina et al. 2019).
    early_momentum, momentum : float
        Share of the last step kept, during and after the early part.
    longest_step : float
        No point moves further than this in one iteration.
    patience : int or None
        Stop when the divergence has not fallen for so many iterations; None never stops.
    min_gradient : float
        Stop when the norm of the whole gradient is below this (and the map has left its start).
    """

    max_iter: int = 750
    early_exaggeration: float = 12.0
    early_iterations: int = 250
    late_exaggeration: float = 1.0
    late_iterations: int = 250
    learning_rate: float | None = None
    early_momentum: float = 0.5
    momentum: float = 0.8
    longest_step: float = 5.0
    patience: int | None = 300
    min_gradient: float = 1e-7

    def __post_init__(self) -> None:
        for name in ("max_iter", "early_iterations", "late_iterations", "patience"):
            if name != "patience" or self.patience is not None:
                checked_integer(_OUTSIDE.get(name, name), getattr(self, name))
        for name in ("early_exaggeration", "late_exaggeration", "early_momentum", "momentum", "min_gradient"):
            checked_number(_OUTSIDE.get(name, name), getattr(self, name))
        if self.learning_rate is not None:
            checked_number("learning_rate", self.learning_rate)
        for name in ("max_iter", "early_iterations", "late_iterations"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; it is {getattr(self, name)}.")
        for name in ("early_exaggeration", "late_exaggeration"):
            if not (getattr(self, name) >= 1 and math.isfinite(getattr(self, name))):
                raise InputError(f"{name} must be at least 1, not {getattr(self, name):g}.")
        if self.learning_rate is not None and not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise InputError(f"learning_rate must be above 0 or 'auto', not {self.learning_rate:g}.")
        for name in ("early_momentum", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in 0..1, 1 excluded; it is {getattr(self, name):g}.")
        if not self.longest_step > 0:
            raise InputError(f"longest_step must be above 0, not {self.longest_step:g}.")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"n_iter_without_progress must be at least 1, or None, not {self.patience}.")

    def phase(self, iteration: int, n: int) -> Phase:
        """What is in force in an iteration (counted from 0) of a map of n points."""
        early = iteration < self.early_iterations
        late = not early and iteration >= self.max_iter - self.late_iterations
        exaggeration = self.early_exaggeration if early else self.late_exaggeration if late else 1.0
        return Phase(
            exaggeration=exaggeration,
            rate=max(n / exaggeration, 200.0) if self.learning_rate is None else self.learning_rate,
            momentum=self.early_momentum if early else self.momentum,
            longest_step=self.longest_step,
        )


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
    checkpoint: Checkpoint | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> Progress:
    """Lower KL(P || Q) from `start` by gradient descent.

    Parameters
    ----------
    affinities : Affinities
        P; only read.
    start : (n, 2 or 3) array-like or Embedding
        First positions; not changed.
    repulsion : Repulsion
        Gradient method.
    options : OptimizerOptions or None
        None for the defaults.
    callback : Callback or None
        Told how it goes every 50 iterations.
    checkpoint : Checkpoint or None
        Where the run is saved from time to time, and from where it goes on if it was saved there before.
    n_jobs : int or None
        Threads; see `Workers`.
    progress : bool
        Show a bar.

    Returns
    -------
    Progress
        The final map. Ctrl-C ends the optimisation and gives the map so far. The same bytes for any number of threads,
        and for a run that was cut off and resumed.

    Raises
    ------
    InputError
        A start of another shape than the affinities need, or with values that are not finite or beyond +-1e6; or a
        checkpoint of another run.
    """
    options = options or OptimizerOptions()
    descent = Descent(affinities, checked_start("The start", start, affinities.n), repulsion)
    if checkpoint is not None:
        checkpoint.begin(descent, options)
    total = options.max_iter
    with Workers(n_jobs) as workers, progress_bar("t-SNE", total, show=progress) as advance:
        note: str | None = None
        interrupted = False
        advance(descent.iteration)
        try:
            stop = _had_settled(descent, options, workers)
            while descent.iteration < total and not stop:
                with held_interrupts():  # an iteration is done as a whole or not at all
                    if descent.iteration == options.early_iterations > 0:
                        descent.part()
                    descent.advance(options.phase(descent.iteration, affinities.n), workers)
                    done = descent.iteration
                    look = done % CHECK == 0 or done == total
                    spread = descent.unfold() if look else 0.0
                if look:
                    told = None
                    if callback is not None or progress or _patient(descent, options):
                        told = Progress(done, descent.divergence(workers), descent.places(workers))
                        note = f"KL {told.kl_divergence:.3f}"
                    if checkpoint is not None:
                        checkpoint.save(descent, final=done == total)
                    if told is not None and callback is not None and callback(told):
                        interrupted = True
                        break
                    stop = _settled(descent, options, None if told is None else told.kl_divergence, spread)
                advance(1, note=note)
        except KeyboardInterrupt:
            interrupted = True
        if checkpoint is not None and descent.iteration < total:
            checkpoint.save(descent, final=True)
        return Progress(descent.iteration, descent.divergence(workers), descent.places(workers), interrupted)


def _patient(descent: Descent, options: OptimizerOptions) -> bool:
    """Whether the divergence is watched."""
    return options.patience is not None and descent.iteration > options.early_iterations


def _had_settled(descent: Descent, options: OptimizerOptions, workers: Workers) -> bool:
    """Whether a run that goes on from a checkpoint had come to its end there; looks as that run did."""
    if descent.iteration == 0 or descent.iteration % CHECK != 0:
        return False
    divergence = descent.divergence(workers) if _patient(descent, options) else None
    return _settled(descent, options, divergence, descent.unfold())


def _settled(descent: Descent, options: OptimizerOptions, divergence: float | None, spread: float) -> bool:
    """Whether it is time to stop: the divergence no longer falls, or the gradient is nearly nothing."""
    done = descent.iteration
    if done <= options.early_iterations:
        return False
    if divergence is not None and options.patience is not None:
        if divergence < descent.best:
            descent.best, descent.best_iteration = divergence, done
        elif done - max(descent.best_iteration, options.early_iterations) >= options.patience:
            return True
    return spread > _SETTLED and descent.norm < options.min_gradient
