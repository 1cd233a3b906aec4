"""Padded, time-major batches of a corpus's sequences, in few shapes so that little is compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus

__all__ = ["NO_TARGET", "Batch", "Windows", "batches", "cut", "last_words", "pad", "shuffled", "whole", "width_for"]

#: Stands for the next word where there is none.
NO_TARGET = -1

#: Batches are not made narrower than this.
_SMALLEST = 24
#: Training batches are formed from runs of this many batches' worth of shuffled sequences, ordered by length.
_WINDOW = 16


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some sequences side by side, padded on the right with the unknown word (or zeros), with empty ones beside them.

    Parameters
    ----------
    rows : (R,) int64
        Numbers of the sequences (or windows).
    inputs : (T, B) int32 or (T, B, F) float32
        Word ids or feature vectors, a column a sequence; B is at least R.
    lengths : (B,) int32
        Steps of each column.
    next_words : (T, B) int32 or None
        The word that follows each step's, `NO_TARGET` where there is none; only of windows that carry them.
    """

    rows: NDArray[np.int64]
    inputs: NDArray[np.int32] | NDArray[np.float32]
    lengths: NDArray[np.int32]
    next_words: NDArray[np.int32] | None = None


def width_for(length: int, longest: int) -> int:
    """Padded length of a batch whose longest sequence has `length` words: `longest`, halved while it is enough.

    Few different widths come out, since a network is compiled anew for each.
    """
    width = max(1, longest)
    while -(-width // 2) >= max(length, _SMALLEST):
        width = -(-width // 2)
    return width


@dataclasses.dataclass(frozen=True)
class Windows:
    """The steps of each sequence that are read: `lengths` steps from `starts` on, (S,) int64 each.

    `inputs` are all steps of the corpus, (N,) int32 or (N, F) float32; `next_words` (N,) int32 where they are wanted.
    """

    inputs: NDArray[np.int32] | NDArray[np.float32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    next_words: NDArray[np.int32] | None = None

    @property
    def longest(self) -> int:
        """Steps of the longest window, at least 1."""
        return int(self.lengths.max(initial=1))


def whole(corpus: Corpus) -> Windows:
    """Every sequence from its first step to its last."""
    return Windows(_steps(corpus), corpus.offsets[:-1], corpus.lengths)


def cut(corpus: Corpus, steps: int | None, *, predicted_only: bool = False) -> Windows:
    """Every sequence in windows of `steps` steps, the last one shorter, with the word that follows each step.

    Parameters
    ----------
    corpus : Corpus
        Sequences of words.
    steps : int or None
        Length of a window; None for whole sequences.
    predicted_only : bool
        Whether a sequence's last word, which no word follows, is left out.
    """
    lengths = corpus.lengths - (1 if predicted_only else 0)
    lengths = np.maximum(lengths, 0)
    width = steps or max(1, int(lengths.max(initial=1)))
    counts = -(-lengths // width)
    sequence = np.repeat(np.arange(len(corpus)), counts)
    within = np.arange(len(sequence)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = corpus.offsets[:-1][sequence] + within * width
    next_words = np.full(len(corpus.tokens), NO_TARGET, np.int32)
    next_words[:-1] = corpus.tokens[1:]
    next_words[corpus.offsets[1:][corpus.lengths > 0] - 1] = NO_TARGET
    return Windows(corpus.tokens, starts, np.minimum(width, lengths[sequence] - within * width), next_words)


def last_words(
    corpus: Corpus, steps: int | None, crop: float = 0.0, generator: np.random.Generator | None = None
) -> Windows:
    """The last `steps` words of each sequence, or, for a share `crop` of the sequences, of a random beginning of it.

    A sequence that is cropped ends at a random word, early enough or late enough that `steps` words are left; one of
    at most `steps` words is read whole.
    """
    if steps is None:
        return whole(corpus)
    lengths = np.minimum(corpus.lengths, steps)
    starts = corpus.offsets[1:] - lengths
    if crop > 0 and generator is not None:
        chosen = generator.random(len(corpus)) < crop
        back = generator.integers(0, corpus.lengths - lengths + 1)
        starts = np.where(chosen, starts - back, starts)
    return Windows(_steps(corpus), starts, lengths)


def _steps(corpus: Corpus) -> NDArray[np.int32] | NDArray[np.float32]:
    return corpus.tokens if corpus.features is None else corpus.features


def pad(windows: Windows, rows: NDArray[np.int64], columns: int, longest: int) -> Batch:
    """Batch of the sequences `rows` with `columns` columns; O(padded steps)."""
    lengths = np.zeros(columns, np.int32)
    lengths[: len(rows)] = windows.lengths[rows]
    width = width_for(int(lengths.max(initial=0)), longest)
    places = np.arange(width)[:, None] < lengths[None, :]
    starts = np.zeros(columns, np.int64)
    starts[: len(rows)] = windows.starts[rows]
    steps = (starts[None, :] + np.arange(width)[:, None])[places]
    # Zeros are the unknown word, and the vector of no feature.
    inputs = np.zeros((width, columns, *windows.inputs.shape[1:]), windows.inputs.dtype)
    inputs[places] = windows.inputs[steps]
    if windows.next_words is None:
        return Batch(rows, inputs, lengths)
    next_words = np.full((width, columns), NO_TARGET, np.int32)
    next_words[places] = windows.next_words[steps]
    return Batch(rows, inputs, lengths, next_words)


def batches(windows: Windows, size: int) -> Iterator[Batch]:
    """Every sequence once, shortest first, in batches of `size` (smaller where there are fewer)."""
    order = np.argsort(windows.lengths, kind="stable").astype(np.int64)
    size = min(size, max(8, 1 << (max(len(order), 1) - 1).bit_length()))
    for start in range(0, len(order), size):
        yield pad(windows, order[start : start + size], size, windows.longest)


def shuffled(windows: Windows, size: int, generator: np.random.Generator) -> Iterator[Batch]:
    """Every sequence once in a random order, but with sequences of like length together.

    The last batch is filled with empty columns; every batch has `size` columns.
    """
    order = generator.permutation(len(windows.lengths)).astype(np.int64)
    groups: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * _WINDOW):
        window = order[start : start + size * _WINDOW]
        window = window[np.argsort(windows.lengths[window], kind="stable")]
        groups.extend(window[i : i + size] for i in range(0, len(window), size))
    for group in generator.permutation(len(groups)):
        yield pad(windows, groups[group], size, windows.longest)
