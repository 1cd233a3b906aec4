"""Writes the rows of a batch of recorded states to where they belong, and notices values that are not finite."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["scatter_rows"]


@kernel()
def scatter_rows(block: NDArray[Any], rows: NDArray[Any], out: NDArray[Any], exponent: Any) -> bool:
    """Copy row ``p`` of a block to row ``rows[p]`` of an array; O(P W).

    Parameters
    ----------
    block : (P, W) uint32 or uint16
        Bit patterns of floating-point numbers.
    rows : (P,) int64
        Where each row goes; -1 for nowhere.
    out : (R, W) of the block's type
        Written to.
    exponent : integer of the block's type
        The exponent's bits of the floating-point type: a number that has all of them set is infinite or NaN.

    Returns
    -------
    bool
        Whether every number copied is finite.
    """
    width = block.shape[1]
    finite = True
    for p in range(len(rows)):
        r = rows[p]
        if r >= 0:
            bad = 0
            for k in range(width):
                value = block[p, k]
                out[r, k] = value
                bad |= (value & exponent) == exponent
            if bad:
                finite = False
    return finite
