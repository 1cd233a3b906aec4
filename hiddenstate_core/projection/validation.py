"""Checks of the options that `TSNE` is given: each wrong one is refused by name."""

from __future__ import annotations

import math
import operator
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from hiddenstate_core.errors import InputError

__all__ = ["checked_choice", "checked_integer", "checked_number", "checked_perplexities", "drawn_seed"]


def checked_number(name: str, value: Any) -> float:
    """`value` as a finite float."""
    try:
        number = float("" if isinstance(value, str) else value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number, not {value!r}.") from error
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, not {value!r}.")
    return number


def checked_integer(name: str, value: Any) -> int:
    """`value` as an int; numbers with a fraction are refused."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise InputError(f"{name} must be a whole number, not {value!r}.") from error


def checked_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, one of `choices`."""
    if not (isinstance(value, str) and value in choices):
        told = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise InputError(f"{name} must be {told}, not {value!r}.")
    return value


def checked_perplexities(value: Any, n: int) -> tuple[float, ...]:
    """One perplexity or several, for n states."""
    if n < 2:
        raise InputError("t-SNE needs at least 2 states; there is 1.")
    several = isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value) == 1
    perplexities = tuple(checked_number("perplexity", p) for p in (value if several else (value,)))
    if not perplexities:
        raise InputError("perplexity must be a number or a few of them, not an empty list.")
    for perplexity in perplexities:
        if not perplexity >= 1:
            raise InputError(f"The perplexity must be at least 1, not {perplexity:g}.")
        if not perplexity < n:
            raise InputError(
                f"A perplexity of {perplexity:g} needs more than {perplexity:g} states; there are {n}. "
                f"Lower it (a fifth of the number of states is a common bound) or add states."
            )
    return perplexities


def drawn_seed(random_state: Any) -> int:
    """A seed from what scikit-learn's `random_state` may be."""
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
        ) from error
    if seed < 0:
        raise InputError(f"random_state must not be negative; it is {seed}.")
    return seed
