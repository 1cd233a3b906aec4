"""From sequences of feature vectors (sensor readings, frames, prices) to a `Corpus`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.corpora.corpus import UNKNOWN_WORD, Corpus, Vocabulary
from hiddenstate_core.corpora.texts import _check_ids, _check_labels, _check_split
from hiddenstate_core.errors import InputError

__all__ = ["corpus_from_features"]


def corpus_from_features(
    sequences: Iterable[ArrayLike],
    labels: Sequence[int | None] | Sequence[str | None] | NDArray[np.integer] | None = None,
    *,
    name: str = "features",
    classes: Sequence[str] | None = None,
    split: str | Sequence[str] = "train",
    ids: Sequence[str] | None = None,
) -> Corpus:
    """Make a corpus of sequences whose steps are vectors of numbers.

    Parameters
    ----------
    sequences : iterable of (T, F) arrays
        One array a sequence, a row a step; every sequence has its own T (0 is possible) and all the same F. They are
        kept as float32. Bring the features to a like scale first (mean 0, standard deviation 1): nothing is scaled
        here.
    labels : sequence of int or str, or None
        Class of each sequence: indices into `classes` or class names, None (or, among indices, -1) where it is not
        known. None instead of the list where no class is known.
    name : str
        Name of the corpus.
    classes : sequence of str, optional
        Class names. By default the names found in `labels` in alphabetical order, or the numbers 0 to the highest.
    split : str or sequence of str
        Split of every sequence, or of each: "train", "test" and any others.
    ids : sequence of str, optional
        A distinct name for each sequence; the numbers from 0 by default.

    Returns
    -------
    Corpus
        The sequences in the order given, with ``features`` (N, F). ``text`` numbers their steps from "1".

    Raises
    ------
    InputError
        No sequence, an array that is not (T, F), sequences of different F, numbers that are not real, lists of
        different lengths, an unknown class, names that are not distinct.
    CorpusError
        A number that is not finite (also one too large for float32), named by sequence and step.

    Examples
    --------
    >>> corpus = corpus_from_features([[[0.5, 1.0], [0.25, 2.0]], [[1.0, 1.0]]], ["up", "down"])
    >>> corpus.classes, corpus.lengths.tolist(), corpus.features.shape, corpus.text(0)
    (('down', 'up'), [2, 1], (3, 2), ['1', '2'])
    """
    rows = _check_rows(sequences)
    count = len(rows)
    for what, value in (("labels", labels), ("split names", split), ("ids", ids)):
        _check_count(what, value, count)
    numbers, class_names = _check_labels(labels, classes, count)
    codes, splits = _check_split(split, count)
    lengths = [len(array) for array in rows]
    features = np.concatenate(rows)
    return Corpus(
        name=name,
        tokens=np.zeros(len(features), np.int32),
        surface=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        labels=numbers,
        classes=class_names,
        vocabulary=Vocabulary((UNKNOWN_WORD,)),
        lexicon=tuple(map(str, range(1, max(lengths) + 1))),
        split=codes,
        splits=splits,
        ids=_check_ids(ids, count),
        features=features,
    )


def _check_rows(sequences: Iterable[ArrayLike]) -> list[NDArray[np.float32]]:
    if isinstance(sequences, (str, bytes)) or not isinstance(sequences, Iterable):
        raise InputError(f"sequences must be a list of arrays (steps, features), not {type(sequences).__name__}.")
    rows: list[NDArray[np.float32]] = []
    for position, sequence in enumerate(sequences):
        if np.ma.isMaskedArray(sequence):
            raise InputError(f"Sequence {position} is a masked array; fill in what is masked, or leave it out.")
        try:
            array = np.asarray(sequence)
        except ValueError as error:
            raise InputError(f"Sequence {position} is ragged; its steps must be vectors of one length.") from error
        if array.dtype.kind not in "biuf":
            raise InputError(f"Sequence {position} must hold real numbers, not {array.dtype}.")
        if array.ndim != 2 or array.shape[1] < 1:
            raise InputError(
                f"Sequence {position} must be an array (steps, features), not of shape {array.shape}; "
                "one number a step is an array (steps, 1)."
            )
        if rows and array.shape[1] != rows[0].shape[1]:
            raise InputError(
                f"Sequence {position} has vectors of {array.shape[1]} numbers, sequence 0 of {rows[0].shape[1]}; "
                "all must have the same."
            )
        with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused as such
            rows.append(array.astype(np.float32))
    if not rows:
        raise InputError("There are no sequences; give at least one.")
    return rows


def _check_count(what: str, value: Any, count: int) -> None:
    if value is None or (what == "split names" and isinstance(value, str)):
        return
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise InputError(f"{what} must be a list with one entry a sequence, not {value!r}.")
    if len(value) != count:
        raise InputError(f"{count} sequences need {count} {what}; there are {len(value)}.")
