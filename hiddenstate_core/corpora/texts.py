"""From plain texts to a `Corpus`: cut, count, number."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora import tokenizer as _tokenizer
from hiddenstate_core.corpora.corpus import UNKNOWN_WORD, UNLABELLED, Corpus, Vocabulary
from hiddenstate_core.errors import InputError

__all__ = ["Words", "assemble", "corpus_from_texts", "cut_texts"]

_INT32_MAX = int(np.iinfo(np.int32).max)


@dataclasses.dataclass(frozen=True, eq=False)
class Words:
    """Texts cut into words, before a vocabulary is chosen.

    Parameters
    ----------
    surface : (N,) int32
        Word of every step, an index into `lexicon`.
    offsets : (S + 1,) int64
        Where each text begins and ends.
    lexicon : tuple of str
        Distinct words.
    """

    surface: NDArray[np.int32]
    offsets: NDArray[np.int64]
    lexicon: tuple[str, ...]

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How often each word of the lexicon stands in the chosen texts ((S,) bool); (len(lexicon),) int64."""
        steps = np.repeat(chosen, np.diff(self.offsets))
        return np.bincount(self.surface[steps], minlength=len(self.lexicon)).astype(np.int64, copy=False)


def cut_texts(texts: Iterable[str], tokenizer: str) -> Words:
    """Cut every text with the tokenizer of JSON `tokenizer`; O(characters)."""
    cut = _tokenizer.cutter(tokenizer)
    index: defaultdict[str, int] = defaultdict()
    index.default_factory = index.__len__
    parts: list[NDArray[np.int32]] = []
    for text in texts:
        words = cut(text)
        parts.append(np.fromiter(map(index.__getitem__, words), np.int32, len(words)))
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(p) for p in parts], dtype=np.int64, out=offsets[1:])
    surface = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return Words(surface, offsets, tuple(index))


def choose_vocabulary(words: Words, counted: NDArray[np.bool_], size: int) -> Vocabulary:
    """The ``size - 1`` most frequent words of the counted texts after the unknown word, ties in alphabetical order.

    Raises
    ------
    InputError
        `size` is not an int of at least 2.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 2:
        raise InputError(f"A vocabulary holds at least 2 words (the unknown word is one of them), not {size!r}.")
    counts = words.counts(counted).tolist()
    seen = [(-n, word) for n, word in zip(counts, words.lexicon, strict=True) if n and word != UNKNOWN_WORD]
    seen.sort()
    return Vocabulary((UNKNOWN_WORD, *(word for _, word in seen[: size - 1])))


@dataclasses.dataclass(frozen=True, eq=False)
class Sheet:
    """What is known of each text besides its words: labels (S,) int32, split (S,) int8, ids, and the names of both."""

    labels: NDArray[np.int32]
    classes: tuple[str, ...]
    split: NDArray[np.int8]
    splits: tuple[str, ...]
    ids: tuple[str, ...]


def assemble(name: str, words: Words, sheet: Sheet, tokenizer: str, vocabulary: int | Vocabulary) -> Corpus:
    """Build the `Corpus`: choose the vocabulary where a size is given (from the train split), number the words."""
    if isinstance(vocabulary, Vocabulary):
        known = vocabulary
    else:
        train = sheet.splits.index("train") if "train" in sheet.splits else -1
        counted = sheet.split == train if train >= 0 else np.ones(len(sheet.split), np.bool_)
        known = choose_vocabulary(words, counted, vocabulary)
    table = known.encode(words.lexicon)
    tokens = table[words.surface] if len(words.surface) else np.zeros(0, np.int32)
    return Corpus(
        name=name,
        tokens=tokens,
        surface=words.surface,
        offsets=words.offsets,
        labels=sheet.labels,
        classes=sheet.classes,
        vocabulary=known,
        lexicon=words.lexicon,
        split=sheet.split,
        splits=sheet.splits,
        ids=sheet.ids,
        tokenizer=_tokenizer.with_vocabulary(tokenizer, known),
    )


def corpus_from_texts(
    texts: Iterable[str],
    labels: Sequence[int | None] | Sequence[str | None] | NDArray[np.integer] | None,
    classes: Sequence[str] | None = None,
    *,
    vocabulary: int | Vocabulary = 10_000,
    split: str | Sequence[str] = "train",
    ids: Sequence[str] | None = None,
    name: str = "texts",
    tokenizer: str | None = None,
) -> Corpus:
    """Make a corpus of your own texts.

    Parameters
    ----------
    texts : iterable of str
        One text a sequence, each with at least one word.
    labels : sequence of int or str, or None
        Class of each text: indices into `classes` or class names, with None (or, among indices, -1) for a text whose
        class is not known; such a text gets the label -1. None instead of the list where no class is known.
    classes : sequence of str, optional
        Class names. By default the names found in `labels` in alphabetical order, or the numbers 0 to the highest;
        needed where every label of the list is None.
    vocabulary : int or Vocabulary
        Number of words known, the unknown word included: the most frequent ones of the "train" split (of all texts
        where there is no such split), ties in alphabetical order. Or a vocabulary, such as that of a trained model.
    split : str or sequence of str
        Split of every text, or of each: "train", "test" and any others.
    ids : sequence of str, optional
        A distinct name for each text; the numbers from 0 by default.
    name : str
        Name of the corpus.
    tokenizer : str, optional
        JSON of the Hugging Face tokenizer that cuts the texts; `word_tokenizer` by default. Its vocabulary is
        replaced by the corpus's.

    Returns
    -------
    Corpus
        The texts in the order given.

    Raises
    ------
    InputError
        Something that is not a text, a text with no words, lists of different lengths, an unknown class, names that
        are not distinct.

    Examples
    --------
    >>> corpus = corpus_from_texts(["good film", "a bad, bad film"], ["pos", "neg"])
    >>> corpus.classes, corpus.text(1), corpus.sequence(1).tolist()
    (('neg', 'pos'), ['a', 'bad', 'bad', 'film'], [3, 1, 1, 2])
    """
    given = _check_texts(texts)
    count = len(given)
    numbers, class_names = _check_labels(labels, classes, count)
    codes, splits = _check_split(split, count)
    names = _check_ids(ids, count)
    cutting = _tokenizer.word_tokenizer() if tokenizer is None else tokenizer
    words = cut_texts(given, cutting)
    empty = np.flatnonzero(np.diff(words.offsets) == 0)
    if len(empty):
        first = int(empty[0])
        raise InputError(
            f"{len(empty)} of {count} texts {'has' if len(empty) == 1 else 'have'} no words, the first being text "
            f"{first}, {given[first][:40]!r}; leave {'it' if len(empty) == 1 else 'them'} out."
        )
    sheet = Sheet(numbers, class_names, codes, splits, names)
    return assemble(name, words, sheet, cutting, vocabulary)


def _check_texts(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise InputError(f"texts must be a list of texts, not {type(texts).__name__}.")
    given = list(texts)
    if not given:
        raise InputError("There are no texts; give at least one.")
    for position, text in enumerate(given):
        if not isinstance(text, str):
            raise InputError(f"Text {position} must be a str, not {type(text).__name__}.")
    return given


def _check_labels(
    labels: Sequence[int | None] | Sequence[str | None] | NDArray[np.integer] | None,
    classes: Sequence[str] | None,
    count: int,
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    if isinstance(classes, str):
        raise InputError(f"classes must be a list of names, not the text {classes!r}.")
    _check_listed("classes", classes)
    _check_listed("labels", labels)
    names = None if classes is None else tuple(classes)
    if names is not None and (len(set(names)) != len(names) or not all(isinstance(n, str) for n in names)):
        raise InputError(f"classes must be distinct names, not {names!r}.")
    if labels is None:
        return np.full(count, UNLABELLED, np.int32), names or ()
    if isinstance(labels, (str, bytes)):
        raise InputError("labels must be a list with one label a text, not one text.")
    given: list[object] = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(given) != count:
        raise InputError(f"{count} texts need {count} labels; there are {len(given)}.")
    if names is None and all(label is None for label in given):
        raise InputError("Every label is None, so there are no classes; give `classes`, or None instead of the list.")
    if all(isinstance(label, str) or label is None for label in given):
        names = tuple(sorted({label for label in given if isinstance(label, str)})) if names is None else names
        index: dict[object, int] = {None: UNLABELLED} | {n: i for i, n in enumerate(names)}
        unknown = next((label for label in given if label not in index), None)
        if unknown is not None:
            raise InputError(f"Label {unknown!r} is not among the classes {', '.join(names)}.")
        return np.array([index[label] for label in given], np.int32), names
    numbers: list[int] = []
    for position, label in enumerate(given):
        if label is None:
            numbers.append(UNLABELLED)
            continue
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            if isinstance(label, str) and all(before is None for before in given[:position]):
                # They begin as names, so the odd one comes later: a table's NaN, for example.
                position, label = next((i, o) for i, o in enumerate(given) if not (o is None or isinstance(o, str)))
            raise InputError(
                f"Labels must be all class numbers or all class names, None where not known; label {position} is "
                f"{label!r}."
            )
        numbers.append(int(label))
    if names is None:
        if max(numbers) >= 10_000:
            raise InputError(f"Label {max(numbers)} is no class number; give `classes`, or number the classes from 0.")
        names = tuple(str(i) for i in range(max(numbers) + 1))
    for position, number in enumerate(numbers):
        if not UNLABELLED <= number < len(names):
            raise InputError(f"Label {position} is {number}, outside the classes 0..{len(names) - 1} (-1: not known).")
    return np.array(numbers, np.int32), names


def _check_listed(what: str, value: object) -> None:
    if value is not None and not isinstance(value, Iterable):
        raise InputError(f"{what} must be a list, not {value!r:.60}.")


def _check_split(split: str | Sequence[str], count: int) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    if not isinstance(split, Iterable):
        raise InputError(f"split must be a name, such as 'train', or a list of names, not {split!r:.60}.")
    given = [split] * count if isinstance(split, str) else list(split)
    if len(given) != count:
        raise InputError(f"{count} texts need {count} split names; there are {len(given)}.")
    if not all(isinstance(name, str) and name for name in given):
        raise InputError("Splits are named by text, such as 'train' and 'test'.")
    found = dict.fromkeys(given)
    splits = tuple(n for n in ("train", "test") if n in found) + tuple(n for n in found if n not in ("train", "test"))
    if len(splits) > 127:
        raise InputError(f"At most 127 splits are possible, not {len(splits)}.")
    index = {n: i for i, n in enumerate(splits)}
    return np.array([index[n] for n in given], np.int8), splits


def _check_ids(ids: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if ids is None:
        return tuple(map(str, range(count)))
    if isinstance(ids, str):
        raise InputError("ids must be a list with one name a text, not one text.")
    _check_listed("ids", ids)
    names = tuple(ids)
    if len(names) != count:
        raise InputError(f"{count} texts need {count} ids; there are {len(names)}.")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"ids must be distinct names; {name!r} is no text.")
        if name in seen:
            raise InputError(f"ids must be distinct names; {name!r} is there twice.")
        seen.add(name)
    return names
