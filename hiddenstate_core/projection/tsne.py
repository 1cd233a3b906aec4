"""`TSNE`: t-SNE of hidden states behind scikit-learn's interface."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError, OutputError
from hiddenstate_core.neighbors import NeighborGraph, States
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.barnes_hut import BarnesHut
from hiddenstate_core.projection.checkpoint import Checkpoint
from hiddenstate_core.projection.embedding import Embedding
from hiddenstate_core.projection.estimator import Estimator
from hiddenstate_core.projection.gradients import Exact, Repulsion, kl_divergence
from hiddenstate_core.projection.initialization import initial_positions
from hiddenstate_core.projection.interpolation import Interpolation
from hiddenstate_core.projection.optimizer import Callback, OptimizerOptions, Progress, optimize
from hiddenstate_core.projection.placement import Placement
from hiddenstate_core.projection.precomputed import precomputed_affinities
from hiddenstate_core.projection.preparation import AFFINITIES, NEIGHBORS, Recipe, prepare
from hiddenstate_core.projection.validation import (
    checked_choice,
    checked_integer,
    checked_number,
    checked_perplexities,
    drawn_seed,
)

__all__ = ["TSNE"]

#: Up to so many points every pair is as fast as the tree, and up to so many the tree is as fast as the grid.
_EXACT_POINTS, _TREE_POINTS = 1000, 30_000
#: Up to so many points the reported divergence is computed from every pair; beyond, with the method's own Z.
_JUDGED_POINTS = 50_000
_METHODS = ("auto", "exact", "barnes_hut", "interpolation")
_DEVICES = ("cpu", "gpu", "jax")


class TSNE(Estimator):
    """t-SNE map of states (van der Maaten & Hinton 2008; van der Maaten 2014; Linderman et al. 2019).

    Parameters
    ----------
    n_components : int
        2 or 3 dimensions; 3 not by interpolation.
    perplexity : float or sequence of float
        Effective number of neighbours of a state, at least 1 and below the number of states. Several make one map of
        near and far structure (`multiscale_affinities`).
    early_exaggeration : float
        Factor on the affinities during the first 250 iterations.
    late_exaggeration : float
        Factor during the last 250 of the others; above 1 it draws clusters together.
    learning_rate : float or "auto"
        In units of dC/dy / 4, as in the authors' program (scikit-learn's numbers are a quarter of these);
        "auto" is ``n / exaggeration``, at least 200, with the factor in force (Belkina et al. 2019).
    max_iter : int
        Iterations, at least 1, the exaggerated ones included.
    n_iter_without_progress : int or None
        Stop after the divergence has not fallen for so many iterations; None never stops.
    min_grad_norm : float
        Stop when the gradient's norm is below this.
    init : {"pca", "random"} or (n, n_components) array
        See `initial_positions`.
    affinity : {"gaussian", "uniform", "precomputed"}
        Gaussian of the given perplexity; the same for each of the `perplexity` nearest neighbours (for tens of
        millions of states); or `X` is a matrix of similarities (`precomputed_affinities`).
    method : {"auto", "exact", "barnes_hut", "interpolation"}
        Gradient. "auto" is exact up to 1,000 states, Barnes-Hut up to 30,000 and in 3 dimensions, interpolation beyond.
    angle : float
        Of Barnes-Hut, 0 (exact) to 1.
    neighbors : {"auto", "exact", "nndescent", "partitioned"}
        Search for the 3 x perplexity nearest neighbours; see `nearest_neighbors`.
    device : {"cpu", "gpu", "jax"}
        Where the iterations run: here, on a GPU through JAX, or on whatever device JAX takes by default.
    checkpoint : path or None
        A folder in which affinities and iterations are saved from time to time. A fit with the same states and options
        goes on from there, to the same bytes as if it had never stopped.
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        Seed; a generator is asked for one, so each fit with it has another; None draws one. Kept in `seed_`.
    n_jobs : int or None
        Threads: None for Numba's number, -1 for all cores. The result does not depend on it.
    verbose : int
        0 for silence, 1 for progress bars.
    callback : callable or None
        Told a `Progress` every 50 iterations; a true answer stops.

    Attributes
    ----------
    embedding_ : (n, n_components) float32
        The map.
    kl_divergence_ : float
        KL(P || Q) at the end, in nats.
    n_iter_, n_features_in_ : int
        Iterations done; features of a state.
    learning_rate_ : float
        Learning rate after the exaggerated iterations.
    method_ : str
        Gradient used.
    recall_ : float or None
        Share of the true neighbours in the graph (see `NeighborGraph`); None where affinities were given.
    affinities_ : Affinities
        P, to judge other maps of the same states with.
    seed_ : int
        Seed used.

    Notes
    -----
    Same states, options and seed: same bytes, for any number of threads, on one kind of processor. Ctrl-C during the
    iterations ends them and keeps the map so far.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        perplexity: float | tuple[float, ...] = 30.0,
        early_exaggeration: float = 12.0,
        late_exaggeration: float = 1.0,
        learning_rate: float | str = "auto",
        max_iter: int = 750,
        n_iter_without_progress: int | None = 300,
        min_grad_norm: float = 1e-7,
        init: Any = "pca",
        affinity: str = "gaussian",
        method: str = "auto",
        angle: float = 0.5,
        neighbors: str = "auto",
        device: str = "cpu",
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.early_exaggeration = early_exaggeration
        self.late_exaggeration = late_exaggeration
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.n_iter_without_progress = n_iter_without_progress
        self.min_grad_norm = min_grad_norm
        self.init = init
        self.affinity = affinity
        self.method = method
        self.angle = angle
        self.neighbors = neighbors
        self.device = device
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callback = callback

    kl_divergence_: float
    n_iter_: int
    n_features_in_: int
    learning_rate_: float
    method_: str
    recall_: float | None
    affinities_: Affinities
    seed_: int

    def fit(self, X: Any, y: Any = None) -> TSNE:
        """Make the map of `X`.

        Parameters
        ----------
        X : (n, d) array-like, NeighborGraph or Affinities
            States: any real array, memory map or Zarr array, or a data frame; not a sparse matrix. Read block by
            block, not changed. A graph or affinities made elsewhere serve as well (with ``init="random"`` or an
            array), and with ``affinity="precomputed"`` a matrix of similarities.
        y : ignored

        Returns
        -------
        TSNE
            Itself, with the attributes above.

        Raises
        ------
        InputError
            Bad states (see `States.read`), fewer than two of them, a perplexity outside [1, n), or a bad option.
        """
        began = time.perf_counter()
        options = self._options()
        device = checked_choice("device", self.device, _DEVICES)
        self._check_others()
        source = self._source(X)
        seed = drawn_seed(self.random_state)
        n = len(source) if isinstance(source, States) else source.n
        given = isinstance(source, Affinities)
        perplexities = (1.0,) if given else checked_perplexities(self.perplexity, n)
        if self.affinity == "uniform" and len(perplexities) > 1:
            raise InputError("Uniform affinities take one number of neighbours; give one perplexity, not several.")
        dims, method, repulsion = self._gradient(n)
        if device != "cpu":
            method = self._on_device(device, n, dims)
        start = initial_positions(self.init, source if isinstance(source, States) else n, dims, seed)
        recipe = Recipe(self.affinity, perplexities, self.neighbors, seed, self.n_jobs, bool(self.verbose))
        prepared = prepare(source, recipe, self._file("affinities.npz"))
        done = self._optimize(prepared.affinities, start, repulsion, options, device)
        self.embedding_ = done.positions
        self.kl_divergence_ = (
            kl_divergence(prepared.affinities, done.positions, n_jobs=self.n_jobs)
            if n <= _JUDGED_POINTS
            else done.kl_divergence
        )
        self.n_iter_ = done.iteration
        self.n_features_in_ = source.data.shape[1] if isinstance(source, States) else n
        self.learning_rate_ = options.phase(options.early_iterations, n).rate
        self.method_ = method
        self.recall_ = prepared.recall
        self.affinities_ = prepared.affinities
        self.seed_ = seed
        self._neighbors = prepared.neighbors
        self._fitted = self.get_params()
        self._interrupted = done.interrupted
        self._placement = (
            Placement(source, done.positions.copy(), perplexity=min(perplexities), index=prepared.index, seed=seed)
            if isinstance(source, States)
            else None
        )
        self._seconds = time.perf_counter() - began
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Make the map of `X` and return its coordinates, (n, n_components) float32; see `fit` and `set_output`."""
        return self._output(self.fit(X).embedding_, X)

    def transform(self, X: Any) -> Any:
        """Place new states into the map, which stays as it is.

        Parameters
        ----------
        X : (m, d) array-like
            States of as many features as those of the map.

        Returns
        -------
        (m, n_components) float32
            A row for each state; it depends on that state and the map alone. See `Placement.place` and `set_output`.

        Raises
        ------
        InputError
            `fit` has not been called, or was given a graph or affinities, which say nothing of other states; or bad
            states.
        """
        self._check_fitted()
        if self._placement is None:
            raise InputError("A map made from a graph or affinities has no states to compare new ones with.")
        return self._output(self._placement.place(X, n_jobs=self.n_jobs), X)

    def embedding(self) -> Embedding:
        """The finished map as a value, with every option and figure.

        Raises
        ------
        InputError
            `fit` has not been called.
        """
        self._check_fitted()
        hidden = ("callback", "verbose", "n_jobs", "checkpoint")
        parameters = {k: v for k, v in self._fitted.items() if k not in hidden}
        if not isinstance(parameters["init"], str):
            parameters["init"] = "array"
        parameters |= {"method": self.method_, "learning_rate": self.learning_rate_, "random_state": self.seed_}
        parameters |= {"neighbors": self._neighbors, "recall": self.recall_}
        return Embedding(
            coordinates=self.embedding_.copy(),
            method="tsne",
            parameters={k: _plain(v) for k, v in parameters.items()},
            kl_divergence=self.kl_divergence_,
            n_iter=self.n_iter_,
            seed=self.seed_,
            seconds=self._seconds,
            interrupted=self._interrupted,
        )

    def _check_others(self) -> None:
        """Refuse wrong options that are not the optimiser's."""
        checked_choice("affinity", self.affinity, AFFINITIES)
        checked_choice("neighbors", self.neighbors, NEIGHBORS)
        if self.n_jobs is not None and not (checked_integer("n_jobs", self.n_jobs) >= 1 or self.n_jobs == -1):
            raise InputError(f"n_jobs must be None, -1 or at least 1, not {self.n_jobs}.")
        if self.callback is not None and not callable(self.callback):
            raise InputError(f"callback must be a function or None, not {self.callback!r}.")
        if self.checkpoint is not None and not (
            isinstance(self.checkpoint, (str, os.PathLike)) and os.fspath(self.checkpoint)
        ):
            raise InputError(f"checkpoint must be the path of a folder or None, not {self.checkpoint!r}.")

    def _source(self, X: Any) -> States | NeighborGraph | Affinities:
        if isinstance(X, (NeighborGraph, Affinities)):
            return X
        if self.affinity == "precomputed":
            return precomputed_affinities(X, n_jobs=self.n_jobs)
        return States.read(X)

    def _file(self, name: str) -> Path | None:
        """A file in the folder of the checkpoint, which is made."""
        if self.checkpoint is None:
            return None
        folder = Path(self.checkpoint)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"The folder {folder} for the checkpoint cannot be made: {error.strerror}.") from error
        return folder / name

    def _options(self) -> OptimizerOptions:
        rate = self.learning_rate
        if isinstance(rate, str) and rate != "auto":
            raise InputError(f"learning_rate must be a number or 'auto', not {rate!r}.")
        angle = checked_number("angle", self.angle)
        if not 0 <= angle <= 1:
            raise InputError(f"angle must lie in 0..1, not {angle:g}.")
        max_iter = checked_integer("max_iter", self.max_iter)
        if max_iter < 1:
            raise InputError(f"max_iter must be at least 1, not {max_iter}.")
        patience = self.n_iter_without_progress
        return OptimizerOptions(
            max_iter=max_iter,
            early_exaggeration=checked_number("early_exaggeration", self.early_exaggeration),
            late_exaggeration=checked_number("late_exaggeration", self.late_exaggeration),
            learning_rate=None if isinstance(rate, str) else checked_number("learning_rate", rate),
            patience=None if patience is None else checked_integer("n_iter_without_progress", patience),
            min_gradient=checked_number("min_grad_norm", self.min_grad_norm),
        )

    def _gradient(self, n: int) -> tuple[int, str, Repulsion]:
        """Dimensions, name of the method, and the method."""
        dims = checked_integer("n_components", self.n_components)
        if dims not in (2, 3):
            raise InputError(f"n_components must be 2 or 3, not {dims}.")
        method = checked_choice("method", self.method, _METHODS)
        if method == "interpolation" and dims == 3:
            raise InputError("Interpolation works in 2 dimensions; use method='barnes_hut' with n_components=3.")
        if method == "auto":
            method = "exact" if n <= _EXACT_POINTS else "interpolation" if n > _TREE_POINTS else "barnes_hut"
            if dims == 3 and method == "interpolation":
                method = "barnes_hut"
        repulsions: dict[str, Repulsion] = {
            "exact": Exact(),
            "barnes_hut": BarnesHut(float(self.angle)),
            "interpolation": Interpolation(),
        }
        return dims, method, repulsions[method]

    def _on_device(self, device: str, n: int, dims: int) -> str:
        """Name of the method that will run there; refuses before the long search what cannot be done after it."""
        from hiddenstate_core.projection.accelerator import find_device, method_on_device

        if self.checkpoint is not None:
            raise InputError("Checkpoints are written on the CPU only; use device='cpu' or checkpoint=None.")
        find_device(device)
        return method_on_device(self.method, n, dims)

    def _optimize(
        self,
        affinities: Affinities,
        start: NDArray[np.float32],
        repulsion: Repulsion,
        options: OptimizerOptions,
        device: str,
    ) -> Progress:
        show = bool(self.verbose)
        if device != "cpu":
            from hiddenstate_core.projection.accelerator import optimize_on_device

            return optimize_on_device(
                affinities, start, options, method=self.method, device=device, callback=self.callback, progress=show
            )
        file = self._file("descent.npz")
        return optimize(
            affinities,
            start,
            repulsion,
            options,
            callback=self.callback,
            checkpoint=None if file is None else Checkpoint(file),
            n_jobs=self.n_jobs,
            progress=show,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(v) for v in value] if isinstance(value, (list, tuple, np.ndarray)) else value
