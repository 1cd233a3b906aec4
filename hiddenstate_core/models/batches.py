"""Padded, time-major batches of a corpus's sequences, in few shapes so that little is compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNKNOWN, Corpus

__all__ = ["Batch", "Windows", "batches", "last_words", "pad", "shuffled", "whole", "width_for"]

#: Batches are not made narrower than this.
_SMALLEST = 24
#: Training batches are formed from runs of this many batches' worth of shuffled sequences, ordered by length.
_WINDOW = 16


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some sequences side by side, padded on the right with the unknown word and below with empty sequences.

    Parameters
    ----------
    rows : (R,) int64
        Numbers of the sequences in the corpus.
    tokens : (T, B) int32
        Word ids, a column a sequence; B is at least R.
    lengths : (B,) int32
        Words of each column.
    """

    rows: NDArray[np.int64]
    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]


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
    """The words of each sequence that are read: `lengths` words from `starts` on, (S,) int64 each."""

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def longest(self) -> int:
        """Words of the longest window, at least 1."""
        return int(self.lengths.max(initial=1))


def whole(corpus: Corpus) -> Windows:
    """Every sequence from its first word to its last."""
    return Windows(corpus.tokens, corpus.offsets[:-1], corpus.lengths)


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
    return Windows(corpus.tokens, starts, lengths)


def pad(windows: Windows, rows: NDArray[np.int64], columns: int, longest: int) -> Batch:
    """Batch of the sequences `rows` with `columns` columns; O(padded steps)."""
    lengths = np.zeros(columns, np.int32)
    lengths[: len(rows)] = windows.lengths[rows]
    width = width_for(int(lengths.max(initial=0)), longest)
    places = np.arange(width)[:, None] < lengths[None, :]
    starts = np.zeros(columns, np.int64)
    starts[: len(rows)] = windows.starts[rows]
    tokens = np.full((width, columns), UNKNOWN, np.int32)
    tokens[places] = windows.tokens[(starts[None, :] + np.arange(width)[:, None])[places]]
    return Batch(rows, tokens, lengths)


def batches(corpus: Corpus, size: int) -> Iterator[Batch]:
    """Every sequence once, shortest first, in batches of `size` (smaller where the corpus is)."""
    windows = whole(corpus)
    order = np.argsort(windows.lengths, kind="stable").astype(np.int64)
    size = min(size, max(8, 1 << (max(len(corpus), 1) - 1).bit_length()))
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
