"""`TSNE`: t-distributed stochastic neighbour embedding with scikit-learn's conventions."""

from __future__ import annotations

import importlib
import inspect
import math
import operator
import secrets
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError, MissingExtraError
from hiddenstate_core.neighbors import States, nearest_neighbors
from hiddenstate_core.projection.affinities import Affinities, perplexity_affinities
from hiddenstate_core.projection.embedding import Embedding
from hiddenstate_core.projection.gradients import BarnesHut, Exact, Repulsion, kl_divergence
from hiddenstate_core.projection.initialization import initial_positions
from hiddenstate_core.projection.optimizer import Callback, OptimizerOptions, optimize

__all__ = ["TSNE"]

#: Up to so many points every pair is as fast as the tree.
_EXACT_POINTS = 1000
#: Up to so many points the reported divergence is computed from every pair; beyond, with the method's own Z.
_JUDGED_POINTS = 100_000


class TSNE:
    """t-SNE map of states (van der Maaten & Hinton 2008; van der Maaten 2014).

    Parameters
    ----------
    n_components : int
        2 or 3 dimensions; 3 only with the exact gradient.
    perplexity : float
        Effective number of neighbours of a state, at least 1 and below the number of states.
    early_exaggeration : float
        Factor on the affinities during the first 250 iterations.
    learning_rate : float or "auto"
        In units of dC/dy / 4, as in the authors' program (scikit-learn's numbers are a quarter of these);
        "auto" is ``max(n / early_exaggeration, 200)``.
    max_iter : int
        Iterations, at least 1, the exaggerated ones included.
    n_iter_without_progress : int or None
        Stop after the divergence has not fallen for so many iterations; None never stops.
    min_grad_norm : float
        Stop when the gradient's norm is below this.
    init : {"pca", "random"} or (n, n_components) array
        See `initial_positions`.
    method : {"auto", "exact", "barnes_hut"}
        Gradient; "auto" is exact up to 1,000 states and in 3 dimensions.
    angle : float
        Of Barnes-Hut, 0 (exact) to 1.
    neighbors : {"auto", "exact", "nndescent"}
        Search for the 3 x perplexity nearest neighbours; see `nearest_neighbors`.
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
        Learning rate used.
    method_ : str
        Gradient used.
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
        perplexity: float = 30.0,
        early_exaggeration: float = 12.0,
        learning_rate: float | str = "auto",
        max_iter: int = 1000,
        n_iter_without_progress: int | None = 300,
        min_grad_norm: float = 1e-7,
        init: Any = "pca",
        method: str = "auto",
        angle: float = 0.5,
        neighbors: str = "auto",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.early_exaggeration = early_exaggeration
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.n_iter_without_progress = n_iter_without_progress
        self.min_grad_norm = min_grad_norm
        self.init = init
        self.method = method
        self.angle = angle
        self.neighbors = neighbors
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callback = callback

    embedding_: NDArray[np.float32]
    kl_divergence_: float
    n_iter_: int
    n_features_in_: int
    learning_rate_: float
    method_: str
    affinities_: Affinities
    seed_: int

    def fit(self, X: Any, y: Any = None) -> TSNE:
        """Make the map of `X`.

        Parameters
        ----------
        X : (n, d) array-like
            States: any real array, memory map or Zarr array, or a data frame; not a sparse matrix. Read block by
            block, not changed.
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
        if self.n_jobs is not None and not (_integer("n_jobs", self.n_jobs) >= 1 or self.n_jobs == -1):
            raise InputError(f"n_jobs must be None, -1 or at least 1, not {self.n_jobs}.")
        states = States.read(X)
        n = len(states)
        perplexity = self._perplexity(n)
        dims, method, repulsion = self._gradient(n)
        seed = _seed(self.random_state)
        show = bool(self.verbose)
        start = initial_positions(self.init, states, dims, seed)
        k = min(n - 1, math.ceil(3 * perplexity))
        graph = nearest_neighbors(states, k, method=self.neighbors, seed=seed, n_jobs=self.n_jobs, progress=show)
        affinities = perplexity_affinities(graph, perplexity, n_jobs=self.n_jobs)
        done = optimize(
            affinities, start, repulsion, options, callback=self.callback, n_jobs=self.n_jobs, progress=show
        )  # fmt: skip
        self.embedding_ = done.positions
        self.kl_divergence_ = (
            kl_divergence(affinities, done.positions, n_jobs=self.n_jobs) if n <= _JUDGED_POINTS else done.kl_divergence
        )
        self.n_iter_ = done.iteration
        self.n_features_in_ = states.data.shape[1]
        self.learning_rate_ = options.rate(n)
        self.method_ = method
        self.affinities_ = affinities
        self.seed_ = seed
        self._graph = (graph.method, graph.recall)
        self._interrupted = done.interrupted
        self._seconds = time.perf_counter() - began
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Make the map of `X` and return its coordinates, (n, n_components) float32; see `fit` and `set_output`."""
        places = self.fit(X).embedding_
        if getattr(self, "_sklearn_output_config", {}).get("transform") != "pandas":
            return places
        index = X.index if hasattr(X, "iloc") else None
        return _pandas().DataFrame(places, index=index, columns=self.get_feature_names_out())

    def set_output(self, *, transform: str | None = None) -> TSNE:
        """Choose what `fit_transform` returns; returns itself.

        Parameters
        ----------
        transform : {"default", "pandas"} or None
            An array, or a data frame with the columns of `get_feature_names_out` and the index of a data frame given;
            None leaves it as it is.

        Raises
        ------
        InputError
            Another value.
        MissingExtraError
            pandas is wanted and not installed.
        """
        if transform not in (None, "default", "pandas"):
            raise InputError(f"transform must be 'default', 'pandas' or None, not {transform!r}.")
        if transform == "pandas":
            _pandas()
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # the name by which scikit-learn's clone keeps it
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the map's dimensions: tsne0, tsne1, ...

        Raises
        ------
        InputError
            `fit` has not been called.
        """
        if not hasattr(self, "embedding_"):
            raise InputError("There is no map yet; call fit first.")
        return np.array([f"tsne{i}" for i in range(self.embedding_.shape[1])], object)

    def embedding(self) -> Embedding:
        """The finished map as a value, with every option and figure.

        Raises
        ------
        InputError
            `fit` has not been called.
        """
        if not hasattr(self, "embedding_"):
            raise InputError("There is no map yet; call fit first.")
        parameters = {k: v for k, v in self.get_params().items() if k not in ("callback", "verbose", "n_jobs")}
        if not isinstance(self.init, str):
            parameters["init"] = "array"
        parameters |= {"method": self.method_, "learning_rate": self.learning_rate_, "random_state": self.seed_}
        parameters |= {"neighbors": self._graph[0], "recall": self._graph[1]}
        parameters = {k: v.item() if isinstance(v, np.generic) else v for k, v in parameters.items()}
        return Embedding(
            coordinates=self.embedding_,
            method="tsne",
            parameters=parameters,
            kl_divergence=self.kl_divergence_,
            n_iter=self.n_iter_,
            seed=self.seed_,
            seconds=self._seconds,
            interrupted=self._interrupted,
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Options by name, as given."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> TSNE:
        """Change options by name; returns itself.

        Raises
        ------
        InputError
            No such option.
        """
        for name, value in params.items():
            if name not in _PARAMETERS:
                raise InputError(f"TSNE has no option {name!r}; it has {', '.join(_PARAMETERS)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(TSNE).parameters
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if v is not defaults[k].default]
        return f"TSNE({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; called by scikit-learn alone."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
        )

    def _options(self) -> OptimizerOptions:
        rate = self.learning_rate
        if isinstance(rate, str) and rate != "auto":
            raise InputError(f"learning_rate must be a number or 'auto', not {rate!r}.")
        angle = _number("angle", self.angle)
        if not 0 <= angle <= 1:
            raise InputError(f"angle must lie in 0..1, not {angle:g}.")
        max_iter = _integer("max_iter", self.max_iter)
        if max_iter < 1:
            raise InputError(f"max_iter must be at least 1, not {max_iter}.")
        return OptimizerOptions(
            max_iter=max_iter,
            early_exaggeration=_number("early_exaggeration", self.early_exaggeration),
            learning_rate=None if isinstance(rate, str) else _number("learning_rate", rate),
            patience=(
                None
                if self.n_iter_without_progress is None
                else _integer("n_iter_without_progress", self.n_iter_without_progress)
            ),
            min_gradient=_number("min_grad_norm", self.min_grad_norm),
        )

    def _perplexity(self, n: int) -> float:
        perplexity = _number("perplexity", self.perplexity)
        if n < 2:
            raise InputError("t-SNE needs at least 2 states; there is 1.")
        if not perplexity >= 1:
            raise InputError(f"The perplexity must be at least 1, not {perplexity:g}.")
        if not perplexity < n:
            raise InputError(
                f"A perplexity of {perplexity:g} needs more than {perplexity:g} states; there are {n}. "
                f"Lower it (a fifth of the number of states is a common bound) or add states."
            )
        return perplexity

    def _gradient(self, n: int) -> tuple[int, str, Repulsion]:
        """Dimensions, name of the method, and the method."""
        dims = _integer("n_components", self.n_components)
        if dims not in (2, 3):
            raise InputError(f"n_components must be 2 or 3, not {dims}.")
        if self.method not in ("auto", "exact", "barnes_hut"):
            raise InputError(f"method must be 'auto', 'exact' or 'barnes_hut', not {self.method!r}.")
        if self.method == "barnes_hut" and dims == 3:
            raise InputError("Barnes-Hut works in 2 dimensions; use method='exact' with n_components=3.")
        if self.method == "exact" or (self.method == "auto" and (dims == 3 or n <= _EXACT_POINTS)):
            return dims, "exact", Exact()
        return dims, "barnes_hut", BarnesHut(_number("angle", self.angle))


_PARAMETERS = tuple(inspect.signature(TSNE).parameters)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number, not {value!r}.") from error
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, not {value!r}.")
    return number


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} must be a whole number, not {value!r}.") from error


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise MissingExtraError("set_output(transform='pandas') needs pandas; install it.") from error


def _seed(random_state: Any) -> int:
    if random_state is None:
        return secrets.randbits(32)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint32))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    try:
        seed = operator.index(random_state)
    except TypeError as error:
        raise InputError(
            "random_state must be a whole number, numpy's RandomState or Generator, or None, "
            f"not {type(random_state).__name__}."
        ) from error  # fmt: skip
    if seed < 0:
        raise InputError(f"random_state must not be negative; it is {seed}.")
    return seed
