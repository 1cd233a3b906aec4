"""Corpora of feature vectors: what they hold, that they travel with their sequences, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import hiddenstate_core as hs
from hiddenstate_core.corpora import Corpus, Vocabulary, corpus_from_features
from hiddenstate_core.errors import CorpusError, InputError


def small() -> Corpus:
    rows = [np.arange(8.0).reshape(4, 2), np.zeros((0, 2)), -np.ones((1, 2)), np.full((3, 2), 0.5, np.float16)]
    return corpus_from_features(rows, ["up", None, "down", "up"], split=["train", "train", "test", "test"])


def test_what_it_holds() -> None:
    corpus = small()
    assert corpus.features is not None
    assert corpus.features.dtype == np.float32
    assert corpus.features.shape == (8, 2)
    assert (corpus.classes, corpus.labels.tolist()) == (("down", "up"), [1, -1, 0, 1])
    assert corpus.lengths.tolist() == [4, 0, 1, 3]
    assert corpus.text(0) == ["1", "2", "3", "4"]
    assert corpus.text(3) == ["1", "2", "3"]
    assert not corpus.tokens.any()
    assert "8 steps of 2 features" in repr(corpus)
    assert hs.corpus_from_features is corpus_from_features


def test_vectors_travel_with_their_sequences() -> None:
    corpus = small()
    np.testing.assert_array_equal(corpus.select([3, 0]).features[:4], [[0.5, 0.5]] * 3 + [[0, 1]])  # type: ignore[index]
    np.testing.assert_array_equal(corpus.test.features, [[-1, -1]] + [[0.5, 0.5]] * 3)
    last = corpus.last(2)
    np.testing.assert_array_equal(last.features, [[4, 5], [6, 7], [-1, -1], [0.5, 0.5], [0.5, 0.5]])
    assert last.text(0) == ["3", "4"]
    assert corpus.encode(Vocabulary(("<unk>", "1"))) is corpus


def test_the_fingerprint_sees_every_number() -> None:
    corpus = small()
    assert corpus.features is not None
    other = corpus.features.copy()
    other[7, 1] += 1e-6
    without = dataclasses.replace(corpus, features=None)
    found = {c.fingerprint for c in (corpus, dataclasses.replace(corpus, features=other), without, corpus.last(3))}
    assert len(found) == 4
    assert small().fingerprint == corpus.fingerprint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_named(value: float) -> None:
    rows = [np.zeros((2, 3)), np.zeros((4, 3))]
    rows[1][2, 1] = value
    with pytest.raises(CorpusError, match=r"Feature 1 at step 2 of sequence 1 \('b'\) is"):
        corpus_from_features(rows, ids=["a", "b"])
    rows[1][2, 2] = -value
    with pytest.raises(CorpusError, match="Feature 1 at step 2 of sequence 1"):
        corpus_from_features(rows)


BAD: list[tuple[Any, dict[str, Any], str]] = [
    ([], {}, "no sequences"),
    (3, {}, "must be a list of arrays"),
    ("text", {}, "must be a list of arrays"),
    ([[1.0, 2.0]], {}, r"Sequence 0 must be an array \(steps, features\), not of shape \(2,\)"),
    ([np.zeros((2, 0))], {}, r"not of shape \(2, 0\)"),
    ([[[1.0], [1.0, 2.0]]], {}, "Sequence 0 is ragged"),
    ([[[1.0]], [["a"]]], {}, "Sequence 1 must hold real numbers"),
    ([[[1.0]], [[1.0, 2.0]]], {}, "Sequence 1 has vectors of 2 numbers, sequence 0 of 1"),
    ([[[1.0]]], {"labels": ["a", "b"]}, "1 sequences need 1 labels; there are 2"),
    ([[[1.0]]], {"labels": "a"}, "labels must be a list with one entry a sequence"),
    ([[[1.0]]], {"labels": [2], "classes": ["a"]}, "outside the classes"),
    ([[[1.0]]], {"split": ["train", "test"]}, "1 sequences need 1 split names"),
    ([[[1.0]]], {"ids": ["a", "b"]}, "1 sequences need 1 ids"),
    ([[[1.0]]] * 2, {"ids": ["a", "a"]}, "'a' is there twice"),
]


@pytest.mark.parametrize(("sequences", "options", "message"), BAD)
def test_what_is_no_corpus_is_refused(sequences: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        corpus_from_features(sequences, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((8, 2))}, "must be a float32 array .* not float64"),
        ({"features": np.zeros(8, np.float32)}, "must be a float32 array"),
        ({"features": np.zeros((7, 2), np.float32)}, "for each of 8 steps"),
        ({"features": np.zeros((8, 0), np.float32)}, "a vector of one number or more"),
        ({"vocabulary": Vocabulary(("<unk>", "a"))}, "has no words"),
    ],
)
def test_a_corpus_checks_its_vectors(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        dataclasses.replace(small(), **change)
