"""`SentencePlacer`: shows where the states of a text that was typed lie in a trace's projection."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.analysis.quantity import StateSource
from hiddenstate_core.analysis.sentence import TextReading
from hiddenstate_core.errors import InputError
from hiddenstate_core.projection import Placement
from hiddenstate_core.traces.trace import Projection, Trace

__all__ = ["SentencePlacer", "place_text"]

Float = NDArray[np.float32]
Double = NDArray[np.float64]

#: States that a linear map is recovered from, its tolerance, and the perplexity of a placement at most.
_FITTED, _LINEAR, _PERPLEXITY = 20_000, 1e-4, 30.0


class SentencePlacer:
    """Places the states of texts in a projection, which stays as it is; safe in threads, to be shared by sessions.

    Parameters
    ----------
    trace : Trace
        A recording.
    projection : str or Projection
        One of its projections; what it was made of (layer, direction, quantity) is taken from its attributes.
    perplexity : float, optional
        Effective number of a state's neighbours; that of the projection by default, at most 30.
    seed : int
        Of the index, and of the sample of a large map.
    most : int
        States that stand for the map: of a larger one, so many drawn at random.

    Raises
    ------
    StoreNotFoundError
        No such projection.
    InputError
        States that were not recorded, or a bad perplexity, seed or number.

    Notes
    -----
    A projection by principal components is linear: its map is recovered from states and coordinates by least squares
    and applied, where it reproduces the coordinates to 1e-4 of their extent. Any other is placed into by `Placement`:
    the first call reads the states and builds an index, about 10 bytes a number; after that a text takes milliseconds.
    """

    def __init__(
        self,
        trace: Trace,
        projection: str | Projection,
        *,
        perplexity: float | None = None,
        seed: int = 0,
        most: int = 1_000_000,
    ) -> None:
        found = trace.projection(projection) if isinstance(projection, str) else projection
        if len(found.coordinates) != trace.steps:
            raise InputError(
                f"The projection {found.name!r} has {len(found.coordinates)} points, the trace {trace.steps} states."
            )
        for name, value, least in (("seed", seed, 0), ("most", most, 2)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}.")
        self.trace = trace
        self.projection = found
        #: What the projection was made of.
        self.source = StateSource.of(trace, found.attributes, f"The projection {found.name!r} of {trace.path}")
        self.perplexity = _perplexity(found.attributes) if perplexity is None else float(perplexity)
        self._seed, self._most = int(seed), int(most)
        self._states = self.source.array(trace)
        self._lock = threading.Lock()
        self._linear: tuple[Double, Double, Double] | None = None
        self._placement: Placement | None = None
        if not self.perplexity >= 1 or not np.isfinite(self.perplexity):
            raise InputError(f"The perplexity must be at least 1, not {self.perplexity:g}.")

    @property
    def layer(self) -> int:
        """Layer of the states, counted from 0."""
        return self.source.layer

    @property
    def direction(self) -> str:
        """Direction of the states."""
        return self.source.direction

    @property
    def quantity(self) -> str:
        """Quantity of the states: ``"hidden"``, ``"cell"`` or ``"gate:<name>"``."""
        return self.source.quantity

    @property
    def linear(self) -> bool:
        """Whether states are placed by the projection's own linear map; known once something was placed."""
        return self._linear is not None

    @property
    def sampled(self) -> bool:
        """Whether some of the states stand for the whole map, where it is not linear."""
        return self.trace.steps > self._most

    @property
    def ready(self) -> bool:
        """Whether the index is built, so that the next text is placed at once."""
        return self._linear is not None or self._placement is not None

    def prepare(self) -> None:
        """Read the states and build the index, unless that was done.

        Raises
        ------
        InputError
            A map of fewer than 2 states, or with states that are not finite.
        """
        with self._lock:
            self._prepare()

    def place(self, reading: TextReading | ArrayLike) -> Float:
        """Places of the states of a text.

        Parameters
        ----------
        reading : TextReading or (T, H) array-like
            A text that the trace's model has read, with gates where `quantity` is one; or states.

        Returns
        -------
        (T, 2 or 3) float32
            A row depends on its state and the map alone.

        Raises
        ------
        InputError
            States of another length than the map's, or not finite; or a reading without the quantity.
        """
        if isinstance(reading, TextReading):
            states = reading.states(self.quantity, self.layer, self.direction)
        else:
            states = np.asarray(reading, np.float32)
        width = self._states.shape[1]
        if states.ndim != 2 or states.shape[1] != width:
            raise InputError(f"The states must have shape (words, {width}), as those of the map, not {states.shape}.")
        with self._lock:  # a query may widen the index
            self._prepare()
            if self._linear is not None:
                if not np.isfinite(states).all():
                    raise InputError("The states must be finite; one is not.")
                centre, axes, origin = self._linear
                return ((states.astype(np.float64) - centre) @ axes + origin).astype(np.float32)
            assert self._placement is not None
            return self._placement.place(states)

    def _prepare(self) -> None:
        """As `prepare`, with the lock held."""
        if self.ready:
            return
        if _method(self.projection.attributes) == "pca":
            self._linear = _linear_map(self._states, self.projection.coordinates, self._seed)
        if self._linear is None:
            states: Any = self._states
            coordinates = self.projection.coordinates
            if self.sampled:
                rows = _some(self.trace.steps, self._most, self._seed)
                states, coordinates = self._states[rows], coordinates[rows]
            placement = Placement(states, coordinates, perplexity=self.perplexity, seed=self._seed)
            placement.place(np.zeros((1, self._states.shape[1]), np.float32))  # builds index and grid
            self._placement = placement


def place_text(trace: Trace, projection: str | Projection, reading: TextReading | ArrayLike, **options: Any) -> Float:
    """Places of the states of one text; to place several, keep a `SentencePlacer`, whose options these are."""
    return SentencePlacer(trace, projection, **options).place(reading)


def _method(attributes: dict[str, Any]) -> Any:
    options = attributes.get("options")
    return attributes.get("method") or (options.get("method") if isinstance(options, dict) else None)


def _perplexity(attributes: dict[str, Any]) -> float:
    for name in ("options", "parameters"):
        found = attributes.get(name)
        value = found.get("perplexity") if isinstance(found, dict) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1:
            return float(min(value, _PERPLEXITY))
    return _PERPLEXITY


def _some(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Numbers of `most` of n states drawn at random, ascending; all where there are no more."""
    if n <= most:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False)).astype(np.int64)


def _linear_map(states: Any, coordinates: Float, seed: int) -> tuple[Double, Double, Double] | None:
    """Centre of the states, axes, and the centre's place, where the projection is linear; None where it is not."""
    if not len(coordinates):
        return None
    rows = _some(len(coordinates), _FITTED, seed)
    x, y = states[rows].astype(np.float64), coordinates[rows].astype(np.float64)
    centre, origin = x.mean(axis=0), y.mean(axis=0)
    # The shortest solution: no weight on directions in which the states do not differ, as principal axes have none.
    axes = np.linalg.lstsq(x - centre, y - origin, rcond=1e-7)[0]
    away = np.abs((x - centre) @ axes + origin - y).max()
    return (centre, axes, origin) if away <= _LINEAR * max(np.abs(y - origin).max(), 1e-30) else None
