"""The optimisation of t-SNE on an accelerator: the update rules in JAX, run in chunks on the device."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.progress import progress_bar
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.descent import parting
from hiddenstate_core.projection.device_gradients import (
    Edges,
    Grid,
    attraction,
    divergence_terms,
    exact_repulsion,
    interpolated_repulsion,
    intervals,
    kernel_transforms,
    pairwise_sum,
    place_affinities,
)
from hiddenstate_core.projection.initialization import checked_start
from hiddenstate_core.projection.optimizer import Callback, OptimizerOptions, Progress

__all__ = ["EXACT_POINTS", "find_device", "method_on_device", "optimize_on_device"]

#: Up to so many points "auto" takes every pair.
EXACT_POINTS = 5000
#: Iterations between two looks at the divergence.
_CHECK = 50
#: Standard deviations of a map: too small to be kept, that of the start, and that from which it can have settled.
_SMALLEST, _FIRST, _SETTLED = 1e-6, 1e-4, 1e-2
#: Rows and columns of a tile of the exact method, on a CPU and elsewhere.
_TILE, _LARGE_TILE = (256, 1024), (2048, 4096)


class _State(NamedTuple):
    """What one iteration hands to the next."""

    positions: jax.Array
    velocity: jax.Array
    gains: jax.Array
    normalization: jax.Array
    norm: jax.Array


def find_device(name: str) -> Any:
    """The device to compute on.

    Parameters
    ----------
    name : {"gpu", "jax"}
        The first GPU, or the device that JAX takes by default, whatever it is.

    Raises
    ------
    InputError
        Another name, or JAX sees no GPU.
    """
    if name not in ("gpu", "jax"):
        raise InputError(f"device must be 'cpu', 'gpu' or 'jax', not {name!r}.")
    if name == "jax":
        return jax.devices()[0]
    try:
        return jax.devices("gpu")[0]
    except RuntimeError as error:
        seen = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise InputError(
            f"device='gpu' needs a GPU that JAX can use, and JAX sees only: {seen}. Install JAX with support for the "
            f"GPU, or use device='cpu'."
        ) from error


def _move(state: _State, attract: jax.Array, repel: jax.Array, total: jax.Array, settings: jax.Array) -> _State:
    """One step down the gradient, with momentum and gains (Jacobs 1988), as `hiddenstate_core.kernels.tsne.step`."""
    exaggeration, rate, momentum, longest = settings
    gradient = exaggeration * attract - repel / total
    same = (gradient > 0) == (state.velocity > 0)
    gains = jnp.maximum(jnp.where(same, state.gains * 0.8, state.gains + 0.2), 0.01)
    velocity = momentum * state.velocity - rate * gains * gradient
    length = jnp.sqrt((velocity * velocity).sum(axis=1, keepdims=True))
    velocity = velocity * jnp.minimum(1.0, longest / jnp.maximum(length, longest))
    positions = state.positions + velocity
    positions = positions - pairwise_sum(positions) / positions.shape[0]
    return _State(positions, velocity, gains, total, 4 * jnp.sqrt(pairwise_sum((gradient * gradient).sum(axis=1))))


@functools.partial(jax.jit, static_argnames=("side", "tile"), donate_argnames=("state",))
def _advance(
    state: _State,
    edges: Edges,
    settings: jax.Array,
    spacing: jax.Array,
    limit: jax.Array,
    *,
    side: int,
    tile: tuple[int, int],
) -> tuple[_State, jax.Array]:
    """Up to `limit` iterations, fewer where the map outgrows the grid (`side` 0: every pair); and how many."""
    grid = Grid(side, spacing)  # type: ignore[arg-type]
    kernels = kernel_transforms(side, spacing) if side else None

    def fits(carry: tuple[_State, jax.Array]) -> jax.Array:
        state, done = carry
        if not side:
            return done < limit
        extent = (state.positions.max(axis=0) - state.positions.min(axis=0)).max()
        return (done < limit) & ((extent < 0.9999 * intervals(side) * spacing) | (done == 0))

    def iterate(carry: tuple[_State, jax.Array]) -> tuple[_State, jax.Array]:
        state, done = carry
        attract = attraction(state.positions, edges)
        if kernels is None:
            repel, total = exact_repulsion(state.positions, tile)
        else:
            repel, total = interpolated_repulsion(state.positions, grid, kernels)
        return _move(state, attract, repel, total, settings), done + 1

    result: tuple[_State, jax.Array] = lax.while_loop(fits, iterate, (state, jnp.int32(0)))
    return result


class _Run:
    """One optimisation: its state on the device, and the last of it that has come back."""

    def __init__(
        self, affinities: Affinities, start: NDArray[np.float32], options: OptimizerOptions, exact: bool, device: Any
    ) -> None:
        self.affinities, self.options, self.exact = affinities, options, exact
        self._edges, self._device = place_affinities(affinities, device), device
        self._tile = _TILE if device.platform == "cpu" else _LARGE_TILE
        zero = np.float32(0)
        state = _State(start, np.zeros_like(start), np.ones_like(start), zero, zero)  # type: ignore[arg-type]
        self._state = _State(*(jax.device_put(x, device) for x in state))
        self.positions, self.normalization, self.norm = start, 1.0, math.inf
        self.iteration = 0
        self._best, self._best_iteration = math.inf, 0

    def advance(self, spacing: float) -> None:
        """Iterations up to the next look at the divergence, the next phase, or a map that outgrows its grid."""
        o, n, begin = self.options, self.affinities.n, self.iteration
        phase = o.phase(begin, n)
        if begin == o.early_iterations > 0:
            noise = parting(self.positions, begin)
            self._state = self._state._replace(positions=self._state.positions + noise)
        until = min(o.max_iter, (begin // _CHECK + 1) * _CHECK)
        until = next((i for i in range(begin + 1, until) if o.phase(i, n) != phase), until)
        with np.errstate(over="ignore"):  # what float32 cannot hold ends in a map that is refused below
            settings = np.array([phase.exaggeration, phase.rate, phase.momentum, phase.longest_step], np.float32)
        grid = Grid(0, 1.0) if self.exact else Grid.around(float(np.ptp(self.positions, axis=0).max()), spacing)
        self._state, done = _advance(
            self._state,
            self._edges,
            settings,
            np.float32(grid.spacing),
            np.int32(until - begin),
            side=grid.side,
            tile=self._tile,
        )
        positions = np.array(self._state.positions)
        total, norm = float(self._state.normalization), float(self._state.norm)
        self.positions, self.normalization, self.norm = positions, total, norm
        self.iteration = begin + int(done)
        if not math.isfinite(norm):
            raise InputError(
                f"The map is no longer finite after {self.iteration} iterations; lower learning_rate, or start from "
                "places closer together."
            )

    def unfold(self) -> float:
        """Standard deviation of the widest axis, after a map that shrank to nothing was blown up to its first size.

        The reason is that of `hiddenstate_core.projection.descent.Descent.unfold`.
        """
        spread = float(self.positions.std(axis=0, dtype=np.float64).max())
        if 0 < spread < _SMALLEST:
            factor = np.float32(_FIRST / spread)
            state = self._state
            self._state = state._replace(positions=state.positions * factor, velocity=state.velocity * factor)
            self.positions = self.positions * factor
        return spread

    def divergence(self) -> float:
        """KL(P || Q) with the last Z (of the positions before the last step)."""
        terms = np.asarray(divergence_terms(jax.device_put(self.positions, self._device), self._edges))
        entropy = self.affinities.negative_entropy
        return float(entropy + terms.sum(dtype=np.float64) + math.log(self.normalization))

    def settled(self, divergence: float | None, spread: float) -> bool:
        """Whether it is time to stop: the divergence no longer falls, or the gradient is nearly nothing."""
        o, done = self.options, self.iteration
        if done <= o.early_iterations:
            return False
        if divergence is not None and o.patience is not None:
            if divergence < self._best:
                self._best, self._best_iteration = divergence, done
            elif done - max(self._best_iteration, o.early_iterations) >= o.patience:
                return True
        return spread > _SETTLED and self.norm < o.min_gradient


def optimize_on_device(
    affinities: Affinities,
    start: NDArray[np.float32],
    options: OptimizerOptions | None = None,
    *,
    method: str = "auto",
    device: str = "gpu",
    spacing: float = 0.4,
    callback: Callback | None = None,
    progress: bool = False,
) -> Progress:
    """Lower KL(P || Q) from `start` by gradient descent on an accelerator.

    Parameters
    ----------
    affinities : Affinities
        P; copied to the device: about 8 bytes an entry, and up to 256 a point.
    start : (n, 2 or 3) float32
        First positions; not changed.
    options : OptimizerOptions or None
        None for the defaults; the same schedule and update rules as `optimize`.
    method : {"auto", "exact", "interpolation"}
        Repulsion: by every pair, or on a grid (in the plane only); "auto" takes every pair for up to 5,000 points and
        in space.
    device : {"gpu", "jax"}
        See `find_device`.
    spacing : float
        Largest distance of neighbouring nodes of the grid, in units of the map; passed in a map that is wider than the
        largest grid.
    callback : Callback or None
        Told how it goes every 50 iterations.
    progress : bool
        Show a bar.

    Returns
    -------
    Progress
        The final map. Ctrl-C ends the optimisation and gives the map as it was when the device was last asked, which it
        is after at most 50 iterations. Sums of float32 are pairwise; a GPU may add in another order in every run, so
        that maps agree in their divergence but not in their bytes.

    Raises
    ------
    InputError
        A start of another shape than the affinities need, no such device or method, interpolation in space, or a map
        that is no longer finite.
    """
    options = options or OptimizerOptions()
    start = checked_start("The start", start, affinities.n)
    exact = method_on_device(method, *start.shape) == "exact"
    if not (spacing > 0 and math.isfinite(spacing)):
        raise InputError(f"The spacing of the grid must be above 0, not {spacing:g}.")
    run = _Run(affinities, start, options, exact, find_device(device))
    total = options.max_iter
    interrupted = False
    with progress_bar("t-SNE", total, show=progress) as advance:
        try:
            while run.iteration < total:
                before = run.iteration
                run.advance(spacing)
                note = divergence = None
                stop = False
                if run.iteration % _CHECK == 0 or run.iteration == total:
                    spread = run.unfold()
                    if callback is not None or progress or (options.patience or total) < total:
                        divergence = run.divergence()
                        note = f"KL {divergence:.3f}"
                    if callback is not None and divergence is not None:
                        interrupted = bool(callback(Progress(run.iteration, divergence, run.positions.copy())))
                    stop = interrupted or run.settled(divergence, spread)
                advance(run.iteration - before, note=note)
                if stop:
                    break
        except KeyboardInterrupt:
            interrupted = True
        return Progress(run.iteration, run.divergence(), run.positions, interrupted)


def method_on_device(method: str, n: int, dims: int) -> str:
    """The method that "auto" stands for on an accelerator; other names as they are.

    Parameters
    ----------
    method : {"auto", "exact", "interpolation"}
        See `optimize_on_device`.
    n, dims : int
        Points and dimensions of the map.

    Raises
    ------
    InputError
        A method that does not run there, or not in so many dimensions.
    """
    if method == "barnes_hut":
        raise InputError("Barnes-Hut runs on the CPU only; use method='interpolation' or 'exact', or device='cpu'.")
    if method not in ("auto", "exact", "interpolation"):
        raise InputError(f"method must be 'auto', 'exact' or 'interpolation' on an accelerator, not {method!r}.")
    if method == "interpolation" and dims != 2:
        raise InputError(f"Interpolation works in 2 dimensions, not {dims}; use method='exact'.")
    if method == "auto":
        return "exact" if dims != 2 or n <= EXACT_POINTS else "interpolation"
    return method
