"""`Corpus`: sequences of words or feature vectors as ragged arrays, and `Vocabulary`: the words a model knows."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import CorpusError, InputError

__all__ = ["UNKNOWN", "UNKNOWN_WORD", "UNLABELLED", "Corpus", "Vocabulary", "sequence_numbers"]

#: Id of the word that stands for every word outside the vocabulary; it keeps its place in the sequence.
UNKNOWN = 0
UNKNOWN_WORD = "<unk>"
#: Label of a sequence whose class is not known.
UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words a model knows, by id; id 0 is the unknown word.

    Parameters
    ----------
    words : tuple of str
        Distinct words; ``words[0]`` is ``"<unk>"``.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.words or self.words[0] != UNKNOWN_WORD:
            raise CorpusError(f"A vocabulary's first word must be {UNKNOWN_WORD!r}, the unknown word.")
        if len(set(self.words)) != len(self.words):
            raise CorpusError("A vocabulary's words must be distinct.")

    def __len__(self) -> int:
        return len(self.words)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the words in order, as hexadecimal text."""
        told = "".join(f"{word}\0" for word in self.words)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()

    def encode(self, words: Sequence[str]) -> NDArray[np.int32]:
        """Ids of `words`, unknown ones as `UNKNOWN`; shape (len(words),), int32."""
        index = {word: i for i, word in enumerate(self.words)}
        return np.fromiter((index.get(w, UNKNOWN) for w in words), np.int32, len(words))


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Sequences of words, or of feature vectors, with their classes, stored ragged (no padding).

    A step is one word of one sequence; N steps make S sequences; sequence ``s`` covers the steps
    ``offsets[s]:offsets[s + 1]``. Every step carries two ids: ``tokens``, the word as a model sees it (`UNKNOWN` where
    it is outside the vocabulary), and ``surface``, the word as it is written, so that words and states never slip
    out of step and unknown words can still be shown. Where a step is a vector of numbers (`features`), there are no
    words: every token is `UNKNOWN`, and ``surface`` counts a sequence's steps.

    Parameters
    ----------
    name : str
        Name of the corpus.
    tokens : (N,) int32
        Ids in `vocabulary`.
    surface : (N,) int32
        Ids in `lexicon`.
    offsets : (S + 1,) int64
        Where each sequence begins and ends; starts at 0, ends at N, never falls.
    labels : (S,) int32
        Class of each sequence, `UNLABELLED` (-1) where it is not known.
    classes : tuple of str
        Class names, by label; empty where there are none, as for a language model.
    vocabulary : Vocabulary
        The words that have a token id of their own.
    lexicon : tuple of str
        Every distinct word as written.
    split : (S,) int8
        Split of each sequence, an index into `splits`.
    splits : tuple of str
        Split names, such as ``("train", "test")``.
    ids : tuple of str
        A name for each sequence, distinct.
    tokenizer : str
        JSON of the Hugging Face tokenizer that cut the texts, or empty where there was none.
    features : (N, F) float32, optional
        Every step's vector, finite; None where the steps are words. The vocabulary is then the unknown word alone.
        See `corpus_from_features`.

    Raises
    ------
    CorpusError
        Arrays of another type or length, an id outside its list, or a vector that is not finite (named by sequence
        and step).
    """

    name: str
    tokens: NDArray[np.int32]
    surface: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    vocabulary: Vocabulary
    lexicon: tuple[str, ...]
    split: NDArray[np.int8]
    splits: tuple[str, ...]
    ids: tuple[str, ...]
    tokenizer: str = dataclasses.field(default="", repr=False)
    features: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        expected = {
            "tokens": np.int32, "surface": np.int32, "offsets": np.int64, "labels": np.int32, "split": np.int8
        }  # fmt: skip
        for field, dtype in expected.items():
            array = getattr(self, field)
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                raise CorpusError(
                    f"Corpus.{field} must be a one-dimensional {np.dtype(dtype)} array, not {_say(array)}."
                )
        steps, count = len(self.tokens), len(self.labels)
        if len(self.surface) != steps:
            raise CorpusError(f"Corpus.surface has {len(self.surface)} steps where tokens has {steps}.")
        if len(self.offsets) != count + 1 or len(self.split) != count or len(self.ids) != count:
            raise CorpusError(
                f"{count} labels need {count + 1} offsets, {count} split codes and {count} ids; "
                f"there are {len(self.offsets)}, {len(self.split)} and {len(self.ids)}."
            )
        if self.offsets[0] != 0 or self.offsets[-1] != steps or (np.diff(self.offsets) < 0).any():
            raise CorpusError(f"Corpus.offsets must rise from 0 to the number of steps, {steps}.")
        _check_range(self.tokens, 0, len(self.vocabulary), "tokens", "the vocabulary")
        _check_range(self.surface, 0, len(self.lexicon), "surface", "the lexicon")
        _check_range(self.labels, UNLABELLED, len(self.classes), "labels", "the classes")
        _check_range(self.split, 0, len(self.splits), "split", "the splits")
        if self.features is not None:
            self._check_features(self.features)

    def _check_features(self, features: NDArray[np.float32]) -> None:
        if not isinstance(features, np.ndarray) or features.dtype != np.float32 or features.ndim != 2:
            raise CorpusError(f"Corpus.features must be a float32 array (steps, length), not {_say(features)}.")
        if len(features) != len(self.tokens) or features.shape[1] < 1:
            raise CorpusError(
                f"Corpus.features must hold a vector of one number or more for each of {len(self.tokens)} steps; "
                f"its shape is {features.shape}."
            )
        if self.vocabulary.words != (UNKNOWN_WORD,):
            raise CorpusError(
                f"A corpus of feature vectors has no words: its vocabulary is {UNKNOWN_WORD!r} alone, "
                f"not {len(self.vocabulary)} words."
            )
        # A sum is finite only where every number is, and costs no array (float32 numbers cannot overflow float64).
        with np.errstate(invalid="ignore"):
            total = features.sum(dtype=np.float64)
        if not np.isfinite(total):
            raise CorpusError(_not_finite(features, self.offsets, self.ids))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        if self.features is not None:
            return (
                f"Corpus({self.name!r}, {len(self)} sequences, {len(self.tokens)} steps of {self.features.shape[1]} "
                f"features, {len(self.classes)} classes, splits {self.splits})"
            )
        return (
            f"Corpus({self.name!r}, {len(self)} sequences, {len(self.tokens)} steps, "
            f"{len(self.classes)} classes, {len(self.vocabulary)} words known, splits {self.splits})"
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of steps of each sequence, (S,) int64."""
        return np.diff(self.offsets)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides what a model reads: steps, offsets, labels, classes, vocabulary."""
        digest = hashlib.sha256(self.vocabulary.fingerprint.encode())
        for array in (self.tokens, self.surface, self.offsets, self.labels):
            digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        if self.features is not None:
            digest.update(f"\0features{self.features.shape}".encode())
            digest.update(np.ascontiguousarray(self.features, "<f4").data)
        return digest.hexdigest()

    def sequence(self, index: int) -> NDArray[np.int32]:
        """Token ids of one sequence, a view of shape (length,)."""
        index = self._index(index)
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def text(self, index: int) -> list[str]:
        """Words of one sequence as written."""
        index = self._index(index)
        return [self.lexicon[i] for i in self.surface[self.offsets[index] : self.offsets[index + 1]]]

    def sequences(self) -> Iterator[NDArray[np.int32]]:
        """Token ids of every sequence, in order."""
        return (self.sequence(i) for i in range(len(self)))

    def select(self, indices: Sequence[int] | NDArray[np.integer] | NDArray[np.bool_]) -> Corpus:
        """Corpus of the chosen sequences; O(steps chosen).

        Parameters
        ----------
        indices : (M,) int or (S,) bool
            Numbers of sequences, in the order wanted, or a mask.

        Raises
        ------
        InputError
            Neither of them, or a number that the corpus does not have.
        """
        chosen = sequence_numbers(indices, len(self))
        return self._ragged(chosen, self.offsets[chosen], self.lengths[chosen])

    def take_split(self, name: str) -> Corpus:
        """Corpus of the sequences of one split.

        Raises
        ------
        InputError
            No such split.
        """
        if name not in self.splits:
            raise InputError(f"Corpus {self.name!r} has no split {name!r}; it has {', '.join(self.splits)}.")
        return self.select(np.flatnonzero(self.split == self.splits.index(name)))

    @property
    def train(self) -> Corpus:
        """The sequences to train on."""
        return self.take_split("train")

    @property
    def test(self) -> Corpus:
        """The sequences to test on."""
        return self.take_split("test")

    def last(self, steps: int | None) -> Corpus:
        """Corpus whose sequences keep at most their last `steps` steps; None keeps all."""
        if steps is None:
            return self
        if steps < 1:
            raise InputError(f"Sequences can be cut to 1 word or more, not {steps}.")
        kept = np.minimum(self.lengths, steps)
        return self._ragged(np.arange(len(self)), self.offsets[1:] - kept, kept)

    def encode(self, vocabulary: Vocabulary) -> Corpus:
        """The same sequences with token ids of another vocabulary (words matched as written).

        A corpus of feature vectors has no words and is returned as it is.
        """
        if self.features is not None or vocabulary.words == self.vocabulary.words:
            return self
        table = vocabulary.encode(self.lexicon)
        tokens = table[self.surface] if len(self.surface) else self.tokens
        return dataclasses.replace(self, tokens=tokens.astype(np.int32), vocabulary=vocabulary)

    def _ragged(self, chosen: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Corpus:
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        steps = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1], dtype=np.int64)
        return dataclasses.replace(
            self,
            tokens=self.tokens[steps],
            surface=self.surface[steps],
            offsets=offsets,
            labels=self.labels[chosen],
            split=self.split[chosen],
            ids=tuple(self.ids[i] for i in chosen.tolist()),
            features=None if self.features is None else self.features[steps],
        )

    def _index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise InputError(f"Sequence {index} does not exist; the corpus has {len(self)} sequences.")
        return int(index) % len(self)


def _check_range(array: NDArray[np.signedinteger], low: int, high: int, field: str, of: str) -> None:
    if len(array) and (int(array.min()) < low or int(array.max()) >= high):
        bad = int(array[(array < low) | (array >= high)][0])
        raise CorpusError(f"Corpus.{field} holds {bad}, outside {of} ({low}..{high - 1}).")


def _not_finite(features: NDArray[np.float32], offsets: NDArray[np.int64], ids: tuple[str, ...]) -> str:
    step, column = (int(i) for i in np.argwhere(~np.isfinite(features))[0])
    sequence = int(np.searchsorted(offsets, step, side="right")) - 1
    return (
        f"Feature {column} at step {step - int(offsets[sequence])} of sequence {sequence} ({ids[sequence]!r}) is "
        f"{features[step, column]}; every number must be finite: replace it or leave the sequence out."
    )


def _say(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def sequence_numbers(given: Any, count: int) -> NDArray[np.int64]:
    """Numbers of the sequences that a list of them, or a mask of all `count`, chooses.

    Raises
    ------
    InputError
        Neither of them, or a number outside ``0..count - 1``.
    """
    given = np.asarray(given)
    if given.dtype == np.bool_ and given.shape == (count,):
        given = np.flatnonzero(given)
    # An empty list has no type of its own; whatever else holds no integers would be rounded, or read as 0 and 1.
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError(
            f"Sequences are chosen by a list of numbers or a mask of {count} bools, not an array of "
            f"{given.dtype}, shape {given.shape}."
        )
    chosen: NDArray[np.int64] = given.astype(np.int64)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= count):
        raise InputError(f"Sequence numbers must lie in 0..{count - 1}.")
    return chosen
