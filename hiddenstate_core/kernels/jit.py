"""`kernel`, the one decorator that every compiled loop of the package carries, and `plain`, its opposite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

__all__ = ["kernel", "plain"]

P = ParamSpec("P")
R = TypeVar("R")

#: Sums may be reordered (so that they vectorise) and products fused; NaN and infinity keep their meaning.
_FAST = frozenset({"reassoc", "contract", "arcp", "nsz"})


def kernel(*, fast: bool = False, inline: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function with Numba on its first call, release the GIL in it, and cache the machine code on disk.

    A kernel calls only kernels of its own file: Numba's cache watches one source file a kernel. Kernels are serial;
    `hiddenstate_core.kernels.workers.Workers` runs one over blocks on several threads. That compiles several times
    faster than Numba's own parallel loops, needs no threading layer, and leaves the order of every sum fixed.

    Parameters
    ----------
    fast : bool
        Let sums be reordered and products fused. The order is fixed when the kernel is compiled, so results still
        repeat bit for bit on one kind of processor.
    inline : bool
        Compile the function into each kernel that calls it. A kernel called by kernels must have this: otherwise the
        process that compiles it runs the callee as compiled alone, and one that reads the cache runs the copy compiled
        with its caller, and the two may round differently.

    Returns
    -------
    decorator
        Keeps the function's type.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": set(_FAST) if fast else False,
        "forceinline": inline,
    }

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        try:
            compiled: Callable[P, R] = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            compiled = numba.njit(cache=False, **options)(function)
        return compiled

    return decorate


def plain(compiled: Callable[P, R]) -> Callable[P, R]:
    """The Python function behind a kernel (itself where the JIT is switched off); for tests."""
    function: Callable[P, R] = getattr(compiled, "py_func", compiled)
    return function
