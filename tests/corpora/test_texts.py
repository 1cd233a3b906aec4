"""`corpus_from_texts`: what it builds, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hiddenstate_core.corpora as corpora
from hiddenstate_core.corpora import Vocabulary, corpus_from_texts
from hiddenstate_core.errors import InputError

TEXTS = ["Good film, good!", "a bad bad film", "bad"]


def test_texts_become_a_corpus() -> None:
    corpus = corpus_from_texts(
        TEXTS, ["pos", "neg", "neg"], vocabulary=3, split=["train", "test", "train"], ids=["x", "y", "z"], name="mine"
    )
    assert (corpus.name, corpus.classes, corpus.splits, corpus.ids) == (
        "mine",
        ("neg", "pos"),
        ("train", "test"),
        ("x", "y", "z"),
    )
    assert corpus.labels.tolist() == [1, 0, 0]
    # Counted in the train split alone: good 2, bad 1, film 1; the tie goes to the alphabet.
    assert corpus.vocabulary.words == ("<unk>", "good", "bad")
    assert corpus.text(0) == ["good", "film", "good"]
    assert corpus.sequence(0).tolist() == [1, 0, 1]
    assert corpus.test.text(0) == ["a", "bad", "bad", "film"]
    assert corpus.test.sequence(0).tolist() == [0, 2, 2, 0]


def test_numbers_and_missing_labels() -> None:
    assert corpus_from_texts(TEXTS, np.array([2, 0, -1])).classes == ("0", "1", "2")
    assert corpus_from_texts(TEXTS, [1, 0, -1], ["no", "yes"]).labels.tolist() == [1, 0, -1]
    unlabelled = corpus_from_texts(TEXTS, None, split="unsup")
    assert (unlabelled.labels.tolist(), unlabelled.classes, unlabelled.splits) == ([-1, -1, -1], (), ("unsup",))
    assert corpus_from_texts(TEXTS, ["b", "a", "b"], ("b", "a")).labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "expected", "names"),
    [
        (["pos", None, "neg"], None, [1, -1, 0], ("neg", "pos")),
        (["pos", None, "neg"], ("pos", "neg"), [0, -1, 1], ("pos", "neg")),
        ([1, None, -1], None, [1, -1, -1], ("0", "1")),
        (np.array([None, 0, 1], object), ("no", "yes"), [-1, 0, 1], ("no", "yes")),
        ([None, None, None], ("no", "yes"), [-1, -1, -1], ("no", "yes")),
    ],
)
def test_none_is_a_text_without_a_label(labels: Any, classes: Any, expected: list[int], names: tuple[str, ...]) -> None:
    corpus = corpus_from_texts(TEXTS, labels, classes)
    assert (corpus.labels.tolist(), corpus.classes) == (expected, names)


def test_a_text_without_words_is_shown_in_short() -> None:
    with pytest.raises(InputError) as caught:
        corpus_from_texts(["a", "." * 1000], None, ids=["x", "y"])
    assert str(caught.value) == f"1 of 2 texts has no words, the first being text 1, {'.' * 40!r}; leave it out."


def test_a_trained_vocabulary_is_taken_as_it_is() -> None:
    vocabulary = Vocabulary(("<unk>", "film", "never"))
    corpus = corpus_from_texts(TEXTS, None, vocabulary=vocabulary)
    assert corpus.vocabulary == vocabulary
    assert corpus.tokens.tolist() == [0, 1, 0, 0, 0, 0, 1, 0]


def test_own_tokenizer_and_a_word_that_looks_like_the_unknown_one() -> None:
    corpus = corpus_from_texts(["<unk> <unk> x"], None, tokenizer=corpora.tokenizer._word_level(None, None))
    assert corpus.vocabulary.words == ("<unk>", "x")
    assert corpus.text(0) == ["<unk>", "<unk>", "x"]
    assert corpus.sequence(0).tolist() == [0, 0, 1]


def test_a_generator_of_texts_is_read_once() -> None:
    assert len(corpus_from_texts((t for t in TEXTS), [0, 1, 1])) == 3


@given(st.permutations(["b a", "c", "a d", "e e"]))
@settings(max_examples=20)
def test_vocabulary_does_not_depend_on_the_order_of_texts(texts: list[str]) -> None:
    assert corpus_from_texts(texts, None, vocabulary=4).vocabulary.words == ("<unk>", "a", "e", "b")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"texts": "one text"}, "list of texts, not str"),
    ({"texts": None}, "list of texts, not NoneType"),
    ({"texts": []}, "no texts"),
    ({"texts": ["a", None, "b"]}, "Text 1 must be a str, not NoneType"),
    ({"texts": ["a", "...", " "]}, r"2 of 3 texts have no words, the first being text 1, '\.\.\.'; leave them out"),
    ({"labels": [0, 1]}, "3 texts need 3 labels; there are 2"),
    ({"labels": "abc"}, "list with one label a text"),
    ({"labels": [0, "a", 1]}, "label 1 is 'a'"),
    ({"labels": [0, None, "a"]}, "label 2 is 'a'"),
    ({"labels": [None, None, None]}, "Every label is None, so there are no classes"),
    ({"labels": [0, True, 1]}, "label 1 is True"),
    ({"labels": [0, 1.0, 1]}, "label 1 is 1.0"),
    ({"labels": [0, 1, 2], "classes": ["a", "b"]}, r"Label 2 is 2, outside the classes 0\.\.1"),
    ({"labels": [0, 1, -2]}, "Label 2 is -2"),
    ({"labels": [0, 1, 2**31]}, "no class number"),
    ({"labels": ["a", "b", "c"], "classes": ["a", "b"]}, "'c' is not among the classes a, b"),
    ({"classes": ["a", "a"]}, "distinct names"),
    ({"classes": "ab"}, "list of names"),
    ({"split": ["train"]}, "3 split names; there are 1"),
    ({"split": ["train", "", "test"]}, "Splits are named by text"),
    ({"ids": ["a", "b"]}, "3 ids; there are 2"),
    ({"ids": ["a", "b", "a"]}, "'a' is there twice"),
    ({"ids": ["a", "b", 3]}, "3 is no text"),
    ({"ids": "abc"}, "one name a text"),
    ({"vocabulary": 1}, "at least 2 words"),
    ({"vocabulary": True}, "at least 2 words"),
    ({"vocabulary": "many"}, "at least 2 words"),
    ({"tokenizer": "no json"}, "not the JSON"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"texts": TEXTS, "labels": [0, 1, 1], **changes}
    texts, labels, classes = given.pop("texts"), given.pop("labels"), given.pop("classes", None)
    with pytest.raises(InputError, match=message):
        corpus_from_texts(texts, labels, classes, **given)


def test_sequences_are_selected_by_number_or_mask() -> None:
    corpus = corpus_from_texts(["a b", "c", "d e f"], ["x", "y", "x"])
    assert corpus.select([2, 0, 2]).ids == ("2", "0", "2")
    assert corpus.select(corpus.labels == 0).ids == corpus.select(np.array([True, False, True])).ids == ("0", "2")
    assert len(corpus.select([])) == 0
    for odd in ([0.7], [True, False], "a", 1, slice(0, 1), [[0]]):
        with pytest.raises(InputError, match="Sequences are chosen by a list of numbers or a mask of 3 bools, not"):
            corpus.select(odd)  # type: ignore[arg-type]


def test_what_is_no_list_is_refused_in_a_sentence() -> None:
    texts: Any = ["a b", "c", "d"]
    for labels, options, message in (
        (3, {}, "labels must be a list, not 3"),
        (None, {"classes": 3}, "classes must be a list, not 3"),
        (None, {"split": None}, "split must be a name, such as 'train', or a list of names, not None"),
        (None, {"ids": 5}, "ids must be a list, not 5"),
        (None, {"ids": [["x"], "y", "z"]}, r"ids must be distinct names; \['x'\] is no text"),
        # A table's empty cell among names is told by its own number.
        (["x", float("nan"), "y"], {}, "label 1 is nan"),
        (["x", 7, "y"], {}, "label 1 is 7"),
        ([0, 1.5, 1], {}, r"label 1 is 1\.5\.$"),
    ):
        with pytest.raises(InputError, match=message):
            corpus_from_texts(texts, labels, **options)  # type: ignore[arg-type]


def test_a_masked_array_is_not_read_as_if_nothing_were_masked() -> None:
    masked: Any = np.ma.masked_array(np.ones((2, 2)), mask=[[False, True], [False, False]])
    with pytest.raises(InputError, match="Sequence 1 is a masked array"):
        corpora.corpus_from_features([np.ones((2, 2)), masked])
