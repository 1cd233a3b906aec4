"""`divergence`: where two readings of a text part, word by word, in state and in prediction."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.analysis.prediction import most_probable
from hiddenstate_core.errors import InputError

__all__ = ["Divergence", "divergence"]


@dataclasses.dataclass(frozen=True, eq=False)
class Divergence:
    """How an edited text is read otherwise than the original; P words stand in both.

    Parameters
    ----------
    pairs : (P, 2) int64
        Numbers of the words that stand in both, in the original and in the edited text, in order.
    parted : (int, int) or None
        Number in either of the first word at which they part; its length where it has ended. None where they are equal.
    probability_distances : (P,) float32
        Half the sum of absolute differences between the class probabilities after each of these words (total
        variation), 0 to 1; with two classes the difference of either's probability.
    state_distances : (P,) float32 or None
        Euclidean distance between the states after each, where states were given.
    disagree : (int, int) or None
        First of these words after which another class is the most probable.
    outcome_differs : bool
        Whether another class is the most probable after the last word of each.
    """

    pairs: NDArray[np.int64]
    parted: tuple[int, int] | None
    probability_distances: NDArray[np.float32]
    state_distances: NDArray[np.float32] | None
    disagree: tuple[int, int] | None
    outcome_differs: bool

    def __len__(self) -> int:
        return len(self.pairs)


def divergence(
    words_a: Sequence[str],
    words_b: Sequence[str],
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    *,
    states_a: ArrayLike | None = None,
    states_b: ArrayLike | None = None,
) -> Divergence:
    """Compare the reading of a text with that of an edited one.

    Parameters
    ----------
    words_a, words_b : sequence of str
        Words of the original (T of them) and of the edited text (U).
    probabilities_a, probabilities_b : (T, C) and (U, C) float array-like
        Class probabilities after each.
    states_a, states_b : (T, H) and (U, H) float array-like, optional
        States after each; both or none.

    Returns
    -------
    Divergence

    Raises
    ------
    InputError
        Arrays that do not have a row for each word, or rows of different lengths.

    Notes
    -----
    Words are aligned as `difflib.SequenceMatcher` does (Ratcliff & Metzener 1988): the longest run that both have,
    then the same before and after it. O(T U) at worst.
    """
    p, q = _rows("probabilities", words_a, probabilities_a, words_b, probabilities_b)
    if (states_a is None) != (states_b is None):
        raise InputError("The states of both texts are compared, or none; those of one were given.")
    matcher = difflib.SequenceMatcher(None, list(words_a), list(words_b), autojunk=False)
    pairs = np.array(
        [(m.a + i, m.b + i) for m in matcher.get_matching_blocks() for i in range(m.size)], np.int64
    ).reshape(-1, 2)
    here, there = pairs[:, 0], pairs[:, 1]
    away = None
    if states_a is not None and states_b is not None:
        x, y = _rows("states", words_a, states_a, words_b, states_b)
        away = np.sqrt(((x[here] - y[there]) ** 2).sum(axis=1)).astype(np.float32)
    leads, other = (_leading(one) for one in (p, q))
    differ = np.flatnonzero(leads[here] != other[there])
    return Divergence(
        pairs=pairs,
        parted=_parted(words_a, words_b),
        probability_distances=(np.abs(p[here] - q[there]).sum(axis=1) / 2).astype(np.float32),
        state_distances=away,
        disagree=(int(here[differ[0]]), int(there[differ[0]])) if len(differ) else None,
        outcome_differs=bool(len(leads) and len(other) and leads[-1] != other[-1]),
    )


def _leading(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    if probabilities.shape[1] == 0:  # a language model's
        return np.zeros(len(probabilities), np.int64)
    return most_probable(probabilities)


def _parted(one: Sequence[str], other: Sequence[str]) -> tuple[int, int] | None:
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return None if same == len(one) == len(other) else (same, same)


def _rows(
    name: str, words_a: Sequence[str], a: ArrayLike, words_b: Sequence[str], b: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(words_a) or len(y) != len(words_b) or x.shape[1] != y.shape[1]:
        raise InputError(
            f"The {name} must be rows of one length for the {len(words_a)} and {len(words_b)} words, not of shapes "
            f"{x.shape} and {y.shape}."
        )
    return x, y
