"""The t-SNE gradient: attraction, the exact repulsion, and the divergence that it lowers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.tsne import attraction, divergence_terms, exact_repulsion
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection.affinities import Affinities
from hiddenstate_core.projection.map_neighbors import in_plane, read_positions

__all__ = ["Exact", "Repulsion", "Rows", "attractive_force", "divergence", "gradient", "kl_divergence"]

_GRAIN, _ROWS = 512, 1024


class Repulsion(Protocol):
    """A way to compute the repulsion between the points of a map."""

    def __call__(self, positions: NDArray[np.float32], workers: Workers) -> tuple[NDArray[np.float32], float]:
        """Repulsion of every point before normalisation, and its normalisation.

        Parameters
        ----------
        positions : (n, dims) float32, C order
            The map.
        workers : Workers
            Threads to use.

        Returns
        -------
        force : (n, dims) float32
            ``sum_j w_ij^2 (y_i - y_j)`` with ``w_ij = 1 / (1 + |y_i - y_j|^2)``. Good until the next call, which may
            use its memory again.
        Z : float
            ``sum_i sum_{j != i} w_ij``, summed in float64 in a fixed order.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Exact:
    """Every pair (van der Maaten & Hinton 2008, eq. 5): O(n^2) time, O(n) memory, two or three dimensions."""

    def __call__(self, positions: NDArray[np.float32], workers: Workers) -> tuple[NDArray[np.float32], float]:
        """See `Repulsion`."""
        n, dims = positions.shape
        axes = np.zeros((3, n), np.float32)
        axes[:dims] = positions.T
        force = np.empty_like(positions)
        mass = np.empty(n)
        workers.run(exact_repulsion, n, max(1, min(_GRAIN, 1 << 22 // max(n, 1))), axes, force, mass)
        return force, float(mass.sum())


class Rows(Protocol):
    """Sparse affinities, or the same with their points renamed."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each row begins."""
        ...

    @property
    def columns(self) -> NDArray[np.int32]:
        """Points of each row."""
        ...

    @property
    def values(self) -> NDArray[np.float32]:
        """Their p_ij."""
        ...

    @property
    def negative_entropy(self) -> float:
        """``sum p_ij log p_ij``, in nats."""
        ...


def attractive_force(
    affinities: Rows, positions: NDArray[np.float32], workers: Workers, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """``sum_j p_ij w_ij (y_i - y_j)``, (n, dims) float32, into `out` if it is given; O(nnz)."""
    force = np.empty_like(positions) if out is None else out
    a = affinities
    workers.run(attraction, len(positions), _ROWS, positions, a.offsets, a.columns, a.values, force)
    return force


def gradient(
    affinities: Affinities, positions: NDArray[np.float32], repulsion: Repulsion | None = None
) -> NDArray[np.float64]:
    """dC/dy of KL(P || Q) (van der Maaten & Hinton 2008, eq. 5), (n, dims) float64; exact where `repulsion` is None."""
    positions = read_positions(positions)
    if positions.shape[1] == 1:
        raise InputError("The gradient is that of maps of 2 or 3 dimensions, not of 1.")
    with Workers() as workers:
        force, total = (repulsion or Exact())(positions, workers)
        attract = attractive_force(affinities, positions, workers)
    return 4.0 * (attract.astype(np.float64) - force.astype(np.float64) / total)


def kl_divergence(
    affinities: Affinities,
    positions: Any,
    *,
    normalization: float | None = None,
    n_jobs: int | None = None,
) -> float:
    """KL(P || Q) of a map, in nats (van der Maaten & Hinton 2008, section 3.1).

    Parameters
    ----------
    affinities : Affinities
        P.
    positions : (n, 1 to 3) array-like or Embedding
        The map, by whatever tool it was made.
    normalization : float or None
        Z where it is known; None computes it from every pair, O(n^2).
    n_jobs : int or None
        Threads; see `Workers`.

    Returns
    -------
    float
        Independent of the number of threads.

    Raises
    ------
    InputError
        Not as many places as the affinities have points, places that are not finite, or all too far apart.
    """
    places = in_plane(read_positions(positions))
    if len(places) != affinities.n:
        raise InputError(f"The affinities are of {affinities.n} points, the map has {len(places)}.")
    with Workers(n_jobs) as workers:
        if normalization is None:
            normalization = Exact()(places, workers)[1]
        if not normalization > 0:
            raise InputError("The points of the map are too far apart for the divergence to be measured in float32.")
        return divergence(affinities, places, normalization, workers)


def divergence(affinities: Rows, positions: NDArray[np.float32], normalization: float, workers: Workers) -> float:
    """As `kl_divergence`, on threads that are there already and positions that need no check."""
    terms = np.empty(len(positions))
    a = affinities
    workers.run(divergence_terms, len(positions), _ROWS, positions, a.offsets, a.columns, a.values, terms)
    return float(a.negative_entropy + terms.sum() + math.log(normalization))
