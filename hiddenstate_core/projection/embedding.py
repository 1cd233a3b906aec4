"""`Embedding`: a finished map of the states, and how it was made."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors.states import States
from hiddenstate_core.projection.initialization import principal_components

__all__ = ["Embedding", "pca"]


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding:
    """Coordinates of n states in a map.

    Parameters
    ----------
    coordinates : (n, 2 or 3) float32
        A row for each state.
    method : str
        ``"tsne"`` or ``"pca"``.
    parameters : mapping
        Every option that led here, JSON-ready.
    kl_divergence : float or None
        KL(P || Q) in nats at the end; None for methods that have none.
    n_iter : int
        Iterations done.
    seed : int or None
        Seed of the noise at the start.
    seconds : float
        Wall time it took.
    interrupted : bool
        Whether it was stopped before its end.
    """

    coordinates: NDArray[np.float32]
    method: str
    parameters: Mapping[str, Any]
    kl_divergence: float | None = None
    n_iter: int = 0
    seed: int | None = None
    seconds: float = 0.0
    interrupted: bool = False

    def __post_init__(self) -> None:
        c = self.coordinates
        if c.ndim != 2 or c.shape[1] not in (1, 2, 3) or c.dtype != np.float32:
            raise InputError(f"The coordinates of a map must be float32 of shape (n, 2), not {c.dtype} {c.shape}.")
        if not np.isfinite(c).all():
            raise InputError("The coordinates of a map must be finite.")

    def __len__(self) -> int:
        return len(self.coordinates)

    def __repr__(self) -> str:
        kl = "" if self.kl_divergence is None else f", KL {self.kl_divergence:.4f} after {self.n_iter} iterations"
        return f"Embedding({self.method}, {len(self)} states{kl}, {self.seconds:.1f} s)"


def pca(X: Any, n_components: int = 2) -> Embedding:
    """Map of the states along their principal axes.

    Parameters
    ----------
    X : (n, d) array-like
        States; see `States.read`.
    n_components : int
        1 to 3 axes.

    Returns
    -------
    Embedding
        Centred coordinates, in the units of the states.
    """
    if n_components not in (1, 2, 3):
        raise InputError(f"A map has 1 to 3 dimensions, not {n_components!r}.")
    began = time.perf_counter()
    positions = principal_components(States.read(X), int(n_components)).astype(np.float32)
    return Embedding(positions, "pca", {"n_components": int(n_components)}, seconds=time.perf_counter() - began)
