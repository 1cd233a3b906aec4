"""What the kernels of pairwise distances read: a block of states laid out for products, and the bins to count in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bins", "Block"]


class Block(NamedTuple):
    """A block of m states, laid out for the kernels; M is m rounded up to a multiple of `PANEL`.

    Parameters
    ----------
    exact : (m, d) float64
        The states as they came (for the cosine distance each times a power of two): what is doubtful is decided on
        these.
    rows : (M, f) float32
        The same (for the cosine distance at length 1) less a center, divided by a scale; f is d rounded up to a
        multiple of 4, padded with zeros.
    panels : (M / PANEL, f, PANEL) float32
        The rows again, `PANEL` at a time and transposed.
    squares : (M,) float32
        Squared norm of each row.
    reach : (M,) float32
        Share of each row in the most that rounding may change (see `Bins` and `fill_distances`).
    groups : (M,) int32
        Class of each state.
    """

    exact: NDArray[np.float64]
    rows: NDArray[np.float32]
    panels: NDArray[np.float32]
    squares: NDArray[np.float32]
    reach: NDArray[np.float32]
    groups: NDArray[np.int32]


class Bins(NamedTuple):
    """Where distances are counted. Slot 0 is for what lies below, 1 to B for the bins, B + 1 for what lies above.

    Parameters
    ----------
    edges : (B + 1,) float64
        In the unit of the distances.
    table : (T,) int32
        Slot of each of T - 2 equally wide cells between the first and last edge, with one cell before and one after;
        B + 2 where float32 cannot tell the bin. Of length 0 where the bins themselves are equally wide.
    inverse : float32
        Cells (or bins) to a unit of the scaled distance.
    low : float32
        First edge, in cells.
    first : float32
        Lowest edge at which there can be doubt: no distance lies below 0.
    """

    edges: NDArray[np.float64]
    table: NDArray[np.int32]
    inverse: np.float32
    low: np.float32
    first: np.float32
