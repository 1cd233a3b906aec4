"""Where the points of a map start: principal components, seeded noise, or places given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors.states import States

__all__ = ["checked_start", "initial_positions", "principal_components"]

#: Standard deviation of the first axis at the start (Kobak & Berens 2019), and of the noise that parts equal points.
_SPREAD, _JITTER = 1e-4, 1e-6
_BLOCK = 8192
#: Beyond this, points given as a start would no longer feel each other in float32.
_WIDEST = 1e6


def principal_components(states: States, n_components: int) -> NDArray[np.float64]:
    """Coordinates of the states along their principal axes.

    Parameters
    ----------
    states : States
        n points of d features.
    n_components : int
        Axes wanted; those beyond the d there are come out as zeros.

    Returns
    -------
    (n, n_components) float64
        Centred, in the units of the states. Each axis points so that its largest component is positive.

    Notes
    -----
    Eigenvectors of the float64 covariance (d x d, or of the Gram matrix where d > n); O(n d min(n, d)). The axes are
    rounded to multiples of 2^-24, so that a linear algebra library that sums in another order gives the same bytes.
    """
    n, d = states.data.shape
    mean = states.data.mean(axis=0, dtype=np.float64)
    blocks = [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
    if d <= n:
        covariance = np.zeros((d, d))
        for block in blocks:
            centred = states.data[block] - mean
            covariance += centred.T @ centred
        axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :n_components]
    else:
        centred = states.data - mean
        weights = np.linalg.eigh(centred @ centred.T)[1][:, ::-1][:, :n_components]
        axes = centred.T @ weights
        lengths = np.linalg.norm(axes, axis=0)
        axes = np.where(lengths > 1e-7 * lengths.max(), axes / np.maximum(lengths, 1e-300), 0.0)  # the rest is rounding
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    axes = np.round(axes * 2.0**24) * 2.0**-24
    positions = np.zeros((n, n_components))
    for block in blocks:  # einsum without optimisation sums in one fixed order
        positions[block, : axes.shape[1]] = np.einsum("ij,jk->ik", states.data[block] - mean, axes, optimize=False)
    return positions * states.scale


def initial_positions(init: Any, states: States | int, n_components: int, seed: int) -> NDArray[np.float32]:
    """The map before the first step.

    Parameters
    ----------
    init : {"pca", "random"} or (n, n_components) array-like
        Principal components scaled to a standard deviation of 1e-4 along the first axis (Kobak & Berens 2019), with
        noise a hundred times smaller so that equal states can part; Gaussian noise of standard deviation 1e-4; or
        places, used as they are.
    states : States or int
        The n points to place, or how many where they are not known (then there are no principal components).
    n_components : int
        Dimensions of the map.
    seed : int
        Seed of the noise.

    Returns
    -------
    (n, n_components) float32, C order

    Raises
    ------
    InputError
        An unknown name, principal components of unknown states, or an array of another shape or kind or with values
        that are not finite.
    """
    n = states if isinstance(states, int) else len(states)
    noise = np.random.default_rng(seed).standard_normal((n, n_components))
    if isinstance(init, str):
        if init == "random":
            return np.asarray(_SPREAD * noise, np.float32)
        if init == "pca" and isinstance(states, int):
            raise InputError("A graph or affinities have no principal components; use init='random' or an array.")
        if init == "pca" and not isinstance(states, int):
            positions = principal_components(states, n_components)
            spread = float(positions[:, 0].std())
            positions *= _SPREAD / spread if spread > 0 else 0.0
            return np.asarray(positions + _JITTER * noise, np.float32)
        raise InputError(f"init must be 'pca', 'random' or an array of shape ({n}, {n_components}), not {init!r}.")
    return checked_start("init", init, n, (n_components,))


def checked_start(name: str, start: Any, n: int, dims: tuple[int, ...] = (2, 3)) -> NDArray[np.float32]:
    """Places of n points from which a map can start, a copy in C order.

    Parameters
    ----------
    name : str
        What messages call it.
    start : (n, d) array-like or Embedding
        The places.
    n : int
        Points.
    dims : tuple of int
        Dimensions that the map may have.

    Raises
    ------
    InputError
        Another shape, not real numbers, or values that are not finite or too large.
    """
    try:
        given = np.asarray(getattr(start, "coordinates", start))
        given = given.astype(np.float64) if given.dtype.kind == "O" else given
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of real numbers: {error}.") from error
    if given.dtype.kind not in "fiub":
        raise InputError(f"{name} must be an array of real numbers, not of {given.dtype}.")
    if given.ndim != 2 or given.shape not in [(n, d) for d in dims]:
        raise InputError(f"{name} must have shape {' or '.join(f'({n}, {d})' for d in dims)}, not {given.shape}.")
    with np.errstate(over="ignore"):
        places = np.array(given, np.float32, order="C")
    if not np.isfinite(places).all():
        raise InputError(f"{name} must be finite; it holds NaN or infinity.")
    if np.abs(places).max() > _WIDEST:
        raise InputError(f"{name} must lie within +-{_WIDEST:g}; it reaches {np.abs(places).max():g}. Scale it down.")
    return places
