"""Writes the rows of a batch of recorded states to where they belong, and notices values that are not finite."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hiddenstate_core.kernels.jit import kernel

__all__ = ["scatter_rows"]

#: Columns that are written at a time: as many streams as a processor keeps ahead of.
_STREAMS = 8


@kernel()
def scatter_rows(block: NDArray[Any], rows: NDArray[Any], out: NDArray[Any], exponent: Any) -> bool:
    """Copy row ``block[t, b]`` to row ``rows[t, b]`` of an array; O(T B W).

    Parameters
    ----------
    block : (T, B, W) uint32 or uint16
        Bit patterns of floating-point numbers.
    rows : (T, B) int64
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
    steps, columns, width = block.shape
    finite = True
    # Some columns at a time: each is a sequence whose rows lie one after another, so that what is written streams.
    for first in range(0, columns, _STREAMS):
        for step in range(steps):
            for column in range(first, min(first + _STREAMS, columns)):
                row = rows[step, column]
                if row >= 0:
                    bad = 0
                    for k in range(width):
                        value = block[step, column, k]
                        out[row, k] = value
                        bad |= (value & exponent) == exponent
                    if bad:
                        finite = False
    return finite
