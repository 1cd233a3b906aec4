"""Training: it learns, repeats itself by seed, and takes every odd corpus or refuses it by name."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.corpora.tokenizer import word_tokenizer
from hiddenstate_core.errors import CorpusError, InputError, ModelError
from hiddenstate_core.models import RECIPES, Model, ModelSpec, TrainOptions, recipe, train
from hiddenstate_core.models.batches import batches, last_words, shuffled, whole, width_for

SPEC = ModelSpec(hidden=(12,), embedding=6, dropout=0.1)
QUICK = TrainOptions(epochs=12, batch_size=16, learning_rate=2e-2, word_dropout=0.0, variational_dropout=0.0)


def made_corpus(count: int = 200, classes: int = 2, longest: int = 20, seed: int = 0, test: bool = True) -> Corpus:
    """Sequences of noise words in which one word, at a random place, tells the class."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int32)
    sequences = []
    for label in labels:
        words = generator.integers(1 + classes, 1 + classes + 10, generator.integers(1, longest + 1))
        words[generator.integers(len(words))] = 1 + label
        sequences.append(words.astype(np.int32))
    split = (generator.permutation(count) % 4 == 0).astype(np.int8) if test else np.zeros(count, np.int8)
    return corpus_of(sequences, labels, tuple(f"class {i}" for i in range(classes)), 11 + classes, split)


def corpus_of(
    sequences: list[NDArray[np.int32]],
    labels: NDArray[np.int32],
    classes: tuple[str, ...],
    words: int,
    split: NDArray[np.int8] | None = None,
) -> Corpus:
    tokens = np.concatenate([np.zeros(0, np.int32), *sequences]).astype(np.int32)
    lexicon = ("<unk>", *(f"w{i}" for i in range(1, words)))
    return Corpus(
        name="made",
        tokens=tokens,
        surface=tokens.copy(),
        offsets=np.cumsum([0, *map(len, sequences)]).astype(np.int64),
        labels=labels,
        classes=classes,
        vocabulary=Vocabulary(lexicon),
        lexicon=lexicon,
        split=np.zeros(len(labels), np.int8) if split is None else split,
        splits=("train",) if split is None or not split.any() else ("train", "test"),
        ids=tuple(map(str, range(len(labels)))),
    )


@pytest.fixture(scope="module")
def trained() -> tuple[Corpus, Model]:
    corpus = made_corpus()
    return corpus, train(corpus, SPEC, QUICK, progress=False)


def test_it_learns_and_says_so(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    evaluation = model.evaluate(corpus.test)
    assert evaluation.accuracy > 0.95
    assert model.metadata["test_accuracy"] == evaluation.accuracy == evaluation.correct.mean()
    assert model.metadata["test_sequences"] == len(corpus.test)
    assert model.metadata["seed"] == 0
    assert model.metadata["epochs_run"] == 12
    assert 0.9 < model.metadata["validation_accuracy"] <= 1
    assert TrainOptions.from_dict(model.metadata["train_options"]) == QUICK
    assert model.metadata["corpus"] == {"name": "made", "fingerprint": corpus.fingerprint}
    assert json.loads(json.dumps(model.metadata)) == model.metadata
    assert evaluation.probabilities.dtype == np.float32
    np.testing.assert_allclose(evaluation.probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(evaluation.predicted, evaluation.probabilities.argmax(axis=1))


def test_the_seed_decides_the_weights(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    assert train(corpus, SPEC, QUICK, progress=False).fingerprint == model.fingerprint
    assert train(corpus, SPEC, QUICK.replace(seed=1, epochs=1), progress=False).fingerprint != model.fingerprint


@pytest.mark.parametrize(
    "options",
    [
        QUICK.replace(word_dropout=0.1, variational_dropout=0.1, label_smoothing=0.1, weight_decay=1e-3, average=0.9),
        QUICK.replace(schedule="constant", learning_rate=1e-2, validation=0.3),
    ],
)
def test_every_option_learns(options: TrainOptions) -> None:
    model = train(made_corpus(), SPEC.replace(hidden=(12, 8)), options.replace(epochs=16), progress=False)
    assert model.metadata["test_accuracy"] > 0.9


def test_many_classes_and_no_test_split() -> None:
    corpus = made_corpus(300, classes=5, longest=8, test=False)
    model = train(corpus, SPEC, QUICK.replace(epochs=16), progress=False)
    assert model.metadata["test_accuracy"] is None
    assert model.metadata["test_sequences"] == 0
    assert model.evaluate(corpus).accuracy > 0.95


def test_a_tiny_corpus_without_validation() -> None:
    model = train(made_corpus(10, test=False), SPEC, QUICK.replace(epochs=2), progress=False)
    assert model.metadata["validation_accuracy"] is None
    assert model.metadata["validation_sequences"] == 0
    assert model.metadata["best_epoch"] == 2


def test_unlabelled_and_empty_sequences_change_nothing(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    extra = [np.zeros(0, np.int32), np.array([1, 2, 1], np.int32)]
    labels = np.concatenate([corpus.labels, [1, -1]]).astype(np.int32)
    split = np.concatenate([corpus.split, [0, 0]]).astype(np.int8)
    more = corpus_of([*corpus.sequences(), *extra], labels, corpus.classes, len(corpus.vocabulary), split)
    again = train(more, SPEC, QUICK, progress=False)
    assert again.fingerprint == model.fingerprint
    evaluation = again.evaluate(more)
    # The empty sequence gets the readout of the zero state, the unlabelled one a prediction that is never correct.
    powers = np.exp(np.asarray(again.params["readout.bias"]))
    np.testing.assert_allclose(evaluation.probabilities[-2], powers / powers.sum(), atol=1e-6)
    assert not evaluation.correct[-1]
    assert evaluation.accuracy == evaluation.correct[:-1].mean()


def test_nothing_labelled_has_no_accuracy(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    nameless = dataclasses.replace(corpus, labels=np.full(len(corpus), -1, np.int32))
    assert math.isnan(model.evaluate(nameless).accuracy)
    empty = model.evaluate(corpus.select([]))
    assert math.isnan(empty.accuracy)
    assert empty.probabilities.shape == (0, 2)


def test_other_kinds_of_arguments_are_refused() -> None:
    corpus = made_corpus(20)
    with pytest.raises(InputError, match="The corpus must be Corpus, not list"):
        train(["a"], SPEC, QUICK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="The architecture must be ModelSpec, not dict"):
        train(corpus, {"hidden": 3}, QUICK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="The options must be TrainOptions, not dict"):
        train(corpus, SPEC, {})  # type: ignore[arg-type]


def test_one_class_is_refused() -> None:
    corpus = made_corpus(20)
    with pytest.raises(CorpusError, match="of 1 class"):
        train(dataclasses.replace(corpus, labels=np.zeros(20, np.int32)), SPEC, QUICK, progress=False)
    with pytest.raises(CorpusError, match="0 labelled"):
        train(dataclasses.replace(corpus, labels=np.full(20, -1, np.int32)), SPEC, QUICK, progress=False)


def test_other_classes_are_refused(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    with pytest.raises(CorpusError, match="evaluate needs the same ones"):
        model.evaluate(dataclasses.replace(corpus, classes=("b", "a")))


def test_a_loss_that_is_not_finite_is_named() -> None:
    options = QUICK.replace(learning_rate=1e38, schedule="constant", clip=1e38)
    with pytest.raises(ModelError, match="Training broke down in epoch"):
        train(made_corpus(40), SPEC, options, progress=False)


def test_patience_stops_early() -> None:
    generator = np.random.default_rng(0)
    corpus = made_corpus(120, test=False)
    noise = dataclasses.replace(corpus, labels=generator.integers(0, 2, 120).astype(np.int32))
    model = train(noise, SPEC, QUICK.replace(epochs=40, patience=2, validation=0.3), progress=False)
    assert model.metadata["epochs_run"] == model.metadata["best_epoch"] + 2 < 40


def test_reading_the_last_words_only() -> None:
    corpus = made_corpus(60, longest=30)
    model = train(corpus, SPEC.replace(max_length=5), QUICK.replace(epochs=1, crop=1.0), progress=False)
    cut = model.encode(corpus)
    assert cut.lengths.max() == 5
    np.testing.assert_array_equal(model.predict(corpus), model.predict(cut))
    for index in range(len(corpus)):
        np.testing.assert_array_equal(cut.sequence(index), corpus.sequence(index)[-5:])
    words, ids = model.encode_text("w1 w2 nonsense w3 w4 w5")
    assert words == ["w2", "nonsense", "w3", "w4", "w5"]
    assert ids.tolist() == [2, 0, 3, 4, 5]


def test_texts_are_cut_as_the_corpus_was() -> None:
    corpus = dataclasses.replace(made_corpus(20), tokenizer=word_tokenizer())
    model = train(corpus, SPEC, QUICK.replace(epochs=1), progress=False)
    words, ids = model.encode_text("W1, w2!<br />What")
    assert words == ["w1", "w2", "what"]
    assert ids.tolist() == [1, 2, 0]
    assert model.encode_text("")[0] == []


def test_words_are_matched_as_written(trained: tuple[Corpus, Model]) -> None:
    corpus, model = trained
    shuffled_words = ("<unk>", *reversed(corpus.vocabulary.words[1:]))
    other = corpus.encode(Vocabulary(shuffled_words))
    assert not np.array_equal(other.tokens, corpus.tokens)
    np.testing.assert_array_equal(model.predict(other), model.predict(corpus))


def test_a_corpus_of_words_keeps_its_fingerprint() -> None:
    """Written down when a corpus had no feature vectors."""
    assert made_corpus().fingerprint == "a0c4dfdd4096ea50b6bd42ab3f4af695f2da58b82f34f6ab60f410d65642b57a"


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_batches_hold_every_sequence_once(count: int, size: int, longest: int, seed: int) -> None:
    corpus = made_corpus(count, longest=longest, seed=seed, test=False)
    for made in (batches(whole(corpus), size), shuffled(whole(corpus), size, np.random.default_rng(seed))):
        seen: list[int] = []
        for batch in made:
            assert batch.inputs.shape == (batch.inputs.shape[0], len(batch.lengths))
            for column, row in enumerate(batch.rows):
                length = batch.lengths[column]
                np.testing.assert_array_equal(batch.inputs[:length, column], corpus.sequence(row))
                assert not batch.inputs[length:, column].any()
            assert not batch.lengths[len(batch.rows) :].any()
            seen.extend(batch.rows)
        assert sorted(seen) == list(range(count))


@given(st.integers(0, 3000), st.integers(1, 3000))
def test_widths_are_wide_enough_and_few(length: int, longest: int) -> None:
    length = min(length, longest)
    assert length <= width_for(length, longest) <= longest
    assert len({width_for(n, longest) for n in range(longest + 1)}) <= 1 + math.log2(max(longest, 1))


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_crops_stay_inside_their_sequence(steps: int, crop: float, seed: int) -> None:
    corpus = made_corpus(30, longest=30, test=False)
    windows = last_words(corpus, steps, crop, np.random.default_rng(seed))
    np.testing.assert_array_equal(windows.lengths, np.minimum(corpus.lengths, steps))
    assert (windows.starts >= corpus.offsets[:-1]).all()
    assert (windows.starts + windows.lengths <= corpus.offsets[1:]).all()
    plain = last_words(corpus, steps)
    np.testing.assert_array_equal(plain.starts + plain.lengths, corpus.offsets[1:])


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": ()}, {"hidden": (0,)}, {"hidden": [3]}, {"embedding": 0}, {"dropout": 1.0}, {"dropout": -0.1},
        {"dropout": math.nan}, {"max_length": 0}, {"cell": "GRU"}, {"readout": "sigmoid"}, {"hidden": (True,)},
    ],
)  # fmt: skip
def test_impossible_architectures_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"ModelSpec.{next(iter(change))} must be"):
        ModelSpec(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": math.inf}, {"schedule": "linear"},
        {"word_dropout": 1.0}, {"variational_dropout": 1}, {"label_smoothing": -1.0}, {"weight_decay": -1.0},
        {"clip": 0.0}, {"average": 1.0}, {"crop": 1.5}, {"validation": 0.6}, {"patience": 0}, {"seed": -1},
        {"seed": 2**32}, {"epochs": 1.5},
    ],
)  # fmt: skip
def test_impossible_training_options_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"TrainOptions.{next(iter(change))} must be"):
        TrainOptions(**change)  # type: ignore[arg-type]


def test_options_round_trip_as_json() -> None:
    for made in RECIPES.values():
        assert ModelSpec.from_json(made.spec.to_json()) == made.spec
        assert TrainOptions.from_json(made.options.to_json()) == made.options


def test_recipes_have_the_architecture_of_the_paper() -> None:
    assert (recipe("imdb").spec.hidden, recipe("imdb").spec.embedding, recipe("imdb").spec.max_length) == (
        (100,),
        32,
        100,
    )
    assert (recipe("reuters").spec.hidden, recipe("reuters").spec.max_length) == ((20,), 100)
    with pytest.raises(InputError, match="no recipe for corpus 'x'"):
        recipe("x")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("real_data")
def test_the_reuters_recipe_reaches_its_accuracy() -> None:
    from hiddenstate_core.corpora.load import load_corpus

    made = recipe("reuters")
    corpus = load_corpus("reuters", vocabulary=made.vocabulary, progress=False)
    model = train(corpus, made.spec, made.options, progress=False)
    assert model.metadata["test_sequences"] == 2298
    assert model.metadata["test_accuracy"] >= 0.95
