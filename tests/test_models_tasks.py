"""Training of every cell, direction, task and kind of input: each learns what can be learnt, or is refused by name."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.corpora.features import corpus_from_features
from hiddenstate_core.errors import CorpusError, InputError, ModelError
from hiddenstate_core.models import RECIPES, Model, ModelSpec, TrainOptions, language, load_model, recipe, train
from hiddenstate_core.models.batches import NO_TARGET, cut
from hiddenstate_core.models.language import next_word_loss
from hiddenstate_core.models.network import parameter_shapes, record_sequence
from hiddenstate_core.models.recipes import language_recipe

QUICK = TrainOptions(epochs=12, batch_size=16, learning_rate=2e-2, word_dropout=0.0, variational_dropout=0.0)
LANGUAGE = ModelSpec(cell="gru", task="language_model", hidden=(12,), embedding=6, dropout=0.0)


def signs(count: int = 240, features: int = 2) -> Corpus:
    """Sequences of vectors whose class is the sign of the first feature's sum over time."""
    generator = np.random.default_rng(0)
    rows = [generator.standard_normal((generator.integers(1, 16), features)) for _ in range(count)]
    labels = [int(row[:, 0].sum() > 0) for row in rows]
    return corpus_from_features(
        rows, labels, classes=["minus", "plus"], split=["train", "train", "test"] * (count // 3)
    )


def first_or_last(count: int, place: int) -> Corpus:
    """Long sequences of noise words whose first (or last) word alone tells the class."""
    generator = np.random.default_rng(1)
    labels = (np.arange(count) % 2).astype(np.int32)
    sequences = [generator.integers(3, 13, generator.integers(10, 30)).astype(np.int32) for _ in labels]
    for sequence, label in zip(sequences, labels, strict=True):
        sequence[place] = 1 + label
    return corpus_of(sequences, 13, labels, ("a", "b"))


def corpus_of(
    sequences: list[NDArray[np.int32]], words: int, labels: Any = None, classes: tuple[str, ...] = ()
) -> Corpus:
    tokens = np.concatenate([np.zeros(0, np.int32), *sequences]).astype(np.int32)
    count = len(sequences)
    lexicon = ("<unk>", *(f"w{i}" for i in range(1, words)))
    return Corpus(
        "made", tokens, tokens, np.cumsum([0, *map(len, sequences)]).astype(np.int64),
        np.full(count, -1, np.int32) if labels is None else labels, classes, Vocabulary(lexicon), lexicon,
        (np.arange(count) % 4 == 3).astype(np.int8), ("train", "test"), tuple(map(str, range(count))),
    )  # fmt: skip


def pattern(count: int = 64) -> Corpus:
    """Texts that repeat 1 2 3 1 4, each followed in half of the cases by 5 and else by 6: 1/6 of log 2 a word."""
    generator = np.random.default_rng(2)
    texts = []
    for length in generator.integers(20, 45, count):
        blocks = [np.array([1, 2, 3, 1, 4, 5 + generator.integers(2)]) for _ in range(9)]
        texts.append(np.concatenate(blocks)[:length].astype(np.int32))
    return corpus_of(texts, 7)


@pytest.mark.parametrize(("cell", "direction"), [("lstm", "both"), ("gru", "backward"), ("rnn", "forward")])
def test_classifiers_of_feature_vectors_learn(cell: Any, direction: Any) -> None:
    spec = ModelSpec(cell=cell, direction=direction, hidden=(10, 8), inputs="features", features=2, dropout=0.1)
    model = train(signs(), spec, QUICK, progress=False)
    assert model.metadata["test_accuracy"] > 0.85
    assert model.vocabulary.words == ("<unk>",)


@pytest.mark.parametrize(("cell", "place"), [("lstm", 0), ("gru", 0), ("rnn", 0), ("gru", -1)])
def test_a_backward_reader_learns_from_either_end(cell: Any, place: int) -> None:
    corpus = first_or_last(200, place)
    spec = ModelSpec(cell=cell, direction="backward" if place == 0 else "both", hidden=(10,), embedding=6, dropout=0.1)
    assert train(corpus, spec, QUICK.replace(epochs=8), progress=False).metadata["test_accuracy"] > 0.95


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_language_models_come_near_the_entropy(tmp_path: Path, cell: Any) -> None:
    corpus = pattern()
    model = train(corpus, LANGUAGE.replace(cell=cell, max_length=20), QUICK.replace(epochs=25), progress=False)
    found = model.evaluate(corpus.test)
    entropy = math.log(2) / 6
    assert entropy * 0.8 < math.log(found.perplexity) < entropy + 0.15
    assert 0.85 < found.accuracy < 1
    assert model.metadata["test_accuracy"] == found.accuracy
    assert model.metadata["test_perplexity"] == found.perplexity
    assert model.metadata["validation_perplexity"] < 1.4
    assert model.classes == ()
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").fingerprint == model.fingerprint
    probabilities = model.predict(corpus.select([0, 1]))
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_language_model() -> None:
    options = QUICK.replace(epochs=2, word_dropout=0.2, variational_dropout=0.2, label_smoothing=0.1, average=0.9)
    one, two = (train(pattern(), LANGUAGE.replace(dropout=0.2), options, progress=False) for _ in range(2))
    assert one.fingerprint == two.fingerprint


def random_language_model(max_length: int | None = None, words: int = 11) -> Model:
    spec = LANGUAGE.replace(max_length=max_length)
    generator = np.random.default_rng(0)
    params = {
        name: jnp.asarray(generator.standard_normal(shape), "float32")
        for name, shape in parameter_shapes(spec, words, words).items()
    }
    return Model(spec, Vocabulary(("<unk>", *(f"w{i}" for i in range(1, words)))), (), params)


@pytest.mark.parametrize("max_length", [None, 4])
def test_scores_are_those_of_the_plain_reading(max_length: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_LOGITS", 64)  # many small blocks
    model = random_language_model(max_length)
    generator = np.random.default_rng(3)
    corpus = corpus_of([generator.integers(0, 11, n).astype(np.int32) for n in (0, 1, 2, 9, 13)], 11)
    found = model.evaluate(corpus)
    width = max_length or 100
    probabilities, predicted = [], []
    for sequence in corpus.sequences():
        for start in range(0, len(sequence), width):
            piece = sequence[start : start + width]
            rows = np.asarray(record_sequence(model.params, piece, model.spec)["probabilities"])
            after = sequence[start + 1 : start + width + 1]
            probabilities += [rows[i, word] for i, word in enumerate(after)] + [math.nan] * (len(piece) - len(after))
            predicted += rows.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)
    np.testing.assert_array_equal(found.predicted, predicted)
    chances = np.array(probabilities)[np.isfinite(probabilities)]
    assert len(chances) == 1 + 8 + 12
    np.testing.assert_allclose(found.perplexity, np.exp(-np.log(chances).mean()), rtol=1e-5)
    assert found.correct.sum() == round(found.accuracy * len(chances))
    assert not found.correct[np.isnan(found.probabilities)].any()


def test_nothing_to_predict_is_no_number() -> None:
    found = random_language_model().evaluate(corpus_of([np.array([3], np.int32), np.zeros(0, np.int32)], 11))
    assert math.isnan(found.accuracy)
    assert math.isnan(found.perplexity)
    assert math.isnan(random_language_model().evaluate(corpus_of([], 11)).perplexity)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_in_blocks_equals_the_loss_at_once(smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_LOGITS", 40)  # blocks of four rows, the last one short
    generator = np.random.default_rng(0)
    kernel, bias, hidden = (jnp.asarray(generator.standard_normal(s), "float32") for s in ((5, 9), (9,), (23, 5)))
    targets = jnp.asarray(np.where(np.arange(23) % 6 == 5, NO_TARGET, generator.integers(0, 9, 23)), "int32")

    def at_once(k: jax.Array, b: jax.Array, h: jax.Array) -> jax.Array:
        target = jax.nn.one_hot(targets, 9) * (1 - smoothing) + smoothing / 9
        losses = -(target * jax.nn.log_softmax(h @ k + b)).sum(axis=1)
        return 0.5 * jnp.where(targets == NO_TARGET, 0, losses).sum()

    expected, gradients = jax.value_and_grad(at_once, argnums=(0, 1, 2))(kernel, bias, hidden)
    found, mine = jax.value_and_grad(
        lambda k, b, h: 0.5 * next_word_loss(smoothing, k, b, h, targets), argnums=(0, 1, 2)
    )(kernel, bias, hidden)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for left, right in zip(mine, gradients, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-6)


@given(st.lists(st.integers(0, 12), max_size=8), st.none() | st.integers(1, 6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_word_once(lengths: list[int], steps: int | None, predicted_only: bool) -> None:
    corpus = corpus_of([np.arange(n, dtype=np.int32) for n in lengths], 13)
    windows = cut(corpus, steps, predicted_only=predicted_only)
    covered = [i for s, n in zip(windows.starts, windows.lengths, strict=True) for i in range(s, s + n)]
    ends = set((corpus.offsets[1:] - 1).tolist()) if predicted_only else set()
    assert covered == [i for i in range(len(corpus.tokens)) if i not in ends]
    assert (windows.lengths > 0).all()
    assert steps is None or (windows.lengths <= steps).all()
    assert windows.next_words is not None
    for start, stop in zip(corpus.offsets[:-1], corpus.offsets[1:], strict=True):
        expected = [*range(1, stop - start), NO_TARGET] if stop > start else []
        np.testing.assert_array_equal(windows.next_words[start:stop], expected)


def test_steps_of_another_kind_are_refused() -> None:
    words, vectors = pattern(8), signs(6)
    reads_vectors = ModelSpec(inputs="features", features=2, hidden=(4,))
    reads_words = ModelSpec(hidden=(4,))
    with pytest.raises(CorpusError, match="'made' holds words, but the model reads vectors of 2 numbers"):
        train(words, reads_vectors, QUICK, progress=False)
    with pytest.raises(CorpusError, match="holds vectors of 2 numbers, but the model reads words"):
        train(vectors, reads_words, QUICK, progress=False)
    with pytest.raises(CorpusError, match="holds vectors of 3 numbers, but the model reads vectors of 2"):
        train(signs(6, features=3), reads_vectors, QUICK, progress=False)
    model = train(vectors, reads_vectors, QUICK.replace(epochs=1), progress=False)
    for call in (model.encode, model.predict):
        with pytest.raises(CorpusError, match="holds vectors of 3 numbers"):
            call(signs(6, features=3))
    with pytest.raises(InputError, match="reads vectors of 2 numbers, not texts"):
        model.encode_text("a b")
    with pytest.raises(CorpusError, match="holds vectors of 2 numbers, but the model reads words"):
        random_language_model().evaluate(vectors)


def test_a_language_model_needs_two_words_and_no_classes() -> None:
    with pytest.raises(CorpusError, match="sequences of two words or more"):
        train(corpus_of([np.array([1], np.int32)] * 4, 3), LANGUAGE, QUICK, progress=False)
    model = random_language_model()
    with pytest.raises(ModelError, match="A language model has no classes"):
        dataclasses.replace(model, classes=("a",))
    one = corpus_of([np.array([1, 2, 1, 2, 1, 2], np.int32)], 3)
    trained = train(one, LANGUAGE, QUICK.replace(epochs=1), progress=False)
    assert trained.metadata["validation_accuracy"] is trained.metadata["test_perplexity"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "mgu"}, "cell must be one of"), ({"direction": "sideways"}, "direction must be one of"),
        ({"task": "regression"}, "task must be one of"), ({"inputs": "images"}, "inputs must be one of"),
        ({"inputs": "features"}, "features must be the length"), ({"features": 3}, "features must be 0"),
        ({"features": -1, "inputs": "features"}, "features must be a whole number"),
        ({"task": "language_model", "direction": "both"}, "direction must be 'forward' for a language model"),
        ({"task": "language_model", "inputs": "features", "features": 2}, "inputs must be 'tokens'"),
    ],
)  # fmt: skip
def test_impossible_architectures_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"ModelSpec.{message}"):
        ModelSpec(**change)


def test_the_command_refuses_what_no_model_can_be(capfd: pytest.CaptureFixture[str]) -> None:
    from hiddenstate_core.cli.app import main

    for arguments, message in (
        (["--cell", "GRU"], "--cell takes lstm, gru or rnn, not 'GRU'"),
        (["--direction", "up"], "--direction takes forward, backward or both"),
        (["--language-model", "--direction", "both"], "--language-model reads forward"),
    ):
        assert main(["train", "stdlib", *arguments]) == 2
        assert message in capfd.readouterr().err


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_language_models_keep_the_architecture(name: str) -> None:
    made, classifier = language_recipe(name), recipe(name)
    assert made.spec == classifier.spec.replace(task="language_model", dropout=made.spec.dropout)
    assert (made.vocabulary, made.options.seed) == (classifier.vocabulary, classifier.options.seed)
    assert made.options.word_dropout == made.options.label_smoothing == 0
