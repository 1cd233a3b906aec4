"""Every cell in every direction: states against an independent float64 implementation and against PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.corpora.features import corpus_from_features
from hiddenstate_core.models import Model, ModelSpec, load_model, model_from_torch
from hiddenstate_core.models.cells import CELLS, matmul, zero_state
from hiddenstate_core.models.network import (
    final_hidden,
    hidden_states,
    layer_weights,
    parameter_shapes,
    places,
    readout,
    record_sequence,
)
from hiddenstate_core.models.recurrence import recur, reverse
from tests.oracles.recurrent import run_folder

TOLERANCE = 2e-5
WORDS = 30
KINDS = [(cell, direction) for cell in CELLS for direction in ("forward", "backward", "both")]
record = jax.jit(record_sequence, static_argnames="spec")


def random_model(spec: ModelSpec, classes: int = 3, seed: int = 0, scale: float = 0.3) -> Model:
    """Model whose weights are all random (biases too)."""
    language, features = spec.task == "language_model", spec.inputs == "features"
    words = 1 if features else WORDS
    generator = np.random.default_rng(seed)
    params = {
        name: jnp.asarray(scale * generator.standard_normal(shape), "float32")
        for name, shape in parameter_shapes(spec, words, words if language else classes).items()
    }
    vocabulary = Vocabulary(("<unk>", *(f"w{i}" for i in range(1, words))))
    return Model(spec, vocabulary, () if language else tuple(f"c{i}" for i in range(classes)), params)


def random_corpus(model: Model, lengths: list[int], seed: int = 0) -> Corpus:
    generator = np.random.default_rng(seed)
    if model.spec.inputs == "features":
        rows = [generator.standard_normal((n, model.spec.features)) for n in lengths]
        return corpus_from_features(rows, [0] * len(rows), classes=model.classes)
    tokens = generator.integers(0, WORDS, sum(lengths)).astype(np.int32)
    return Corpus(
        "random", tokens, tokens, np.cumsum([0, *lengths]).astype(np.int64), np.full(len(lengths), -1, np.int32),
        model.classes, model.vocabulary, model.vocabulary.words, np.zeros(len(lengths), np.int8), ("train",),
        tuple(map(str, range(len(lengths)))),
    )  # fmt: skip


def steps_of(corpus: Corpus, index: int) -> NDArray[Any]:
    start, stop = corpus.offsets[index : index + 2]
    return (corpus.tokens if corpus.features is None else corpus.features)[start:stop]


def padded(steps: NDArray[Any], width: int) -> NDArray[Any]:
    """Steps with anything but zeros behind them, so that one program serves every length."""
    behind = np.ones((width - len(steps), *steps.shape[1:]), steps.dtype)
    return np.concatenate([steps, behind])


def check_states(found: Any, expected: dict[tuple[int, str], dict[str, Any]], cell: str, length: int) -> None:
    """Compare a recording's states and gates, by name, with the oracle's."""
    made = CELLS[cell]
    for place, rows in enumerate(expected.values()):
        mine: dict[str, Any] = {"hidden": found["hidden"][place]}
        if "cell" in made.states:
            mine["cell"] = found["cell"][place]
        if made.gates:
            mine |= dict(zip(made.gates, np.split(np.asarray(found["gates"][place]), made.blocks, axis=1), strict=True))
        assert set(mine) == set(rows)
        for name, array in mine.items():
            np.testing.assert_allclose(array[:length], rows[name], atol=TOLERANCE, rtol=0, err_msg=name)


@pytest.mark.parametrize(("cell", "direction"), KINDS)
def test_every_state_equals_the_float64_oracle(tmp_path: Path, cell: Any, direction: Any) -> None:
    features = 4 if direction == "both" else 0
    inputs: Any = "features" if features else "tokens"
    spec = ModelSpec(cell=cell, direction=direction, hidden=(11, 7), embedding=5, inputs=inputs, features=features)
    model = random_model(spec)
    model.save(tmp_path / "model")
    corpus = random_corpus(model, [0, 1, 2, 90])
    predicted = model.predict(corpus)
    for index in range(4):
        steps = steps_of(corpus, index)
        layers, probabilities, final = run_folder(tmp_path / "model", steps)
        assert list(layers) == list(places(spec))
        np.testing.assert_allclose(predicted[index], final, atol=TOLERANCE, rtol=0)
        if len(steps):
            found = record(model.params, padded(steps, 90), spec, len(steps))
            chances = found["probabilities"][: len(steps)]
            np.testing.assert_allclose(chances, probabilities, atol=TOLERANCE, rtol=0)
            check_states(found, layers, cell, len(steps))
    again = load_model(tmp_path / "model")
    assert (again.spec, again.fingerprint) == (spec, model.fingerprint)


@pytest.mark.parametrize("cell", CELLS)
def test_the_network_module_predicts_what_the_model_does(cell: Any) -> None:
    model = random_model(ModelSpec(cell=cell, direction="both", hidden=(6,), inputs="features", features=3))
    corpus = random_corpus(model, [9])
    np.testing.assert_allclose(model.network()(steps_of(corpus, 0)), model.predict(corpus)[0], atol=1e-6)
    shapes = {name: array.shape for name, array in model.network().parameters().items()}
    assert shapes == parameter_shapes(model.spec, 1, 3)


def torch_network(cell: str, direction: str) -> tuple[Any, Any, list[Any]]:
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own layers, which are not installed")
    torch.manual_seed(3)
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell]
    layers = kind(5, 9, num_layers=2, bidirectional=direction == "both", batch_first=True)
    return torch, layers, [torch.nn.Embedding(WORDS, 5), torch.nn.Linear(18 if direction == "both" else 9, 3)]


@pytest.mark.parametrize(
    ("cell", "direction"),
    [("lstm", "both"), ("gru", "both"), ("rnn", "both"), ("gru", "forward"), ("lstm", "backward")],
)
def test_states_are_those_of_torch(cell: Any, direction: Any) -> None:
    torch, layers, (embedding, linear) = torch_network(cell, direction)
    module = torch.nn.ModuleDict({"embed": embedding, "recurrent": layers, "out": linear})
    spec = ModelSpec(cell=cell, direction=direction, hidden=(9, 9), embedding=5)
    words = Vocabulary(("<unk>", *(f"w{i}" for i in range(1, WORDS))))
    model = model_from_torch(module.state_dict(), spec, vocabulary=words, classes=("a", "b", "c"))
    corpus = random_corpus(model, [1, 7, 60])
    predicted = model.predict(corpus)
    for index in range(3):
        tokens = corpus.sequence(index)
        with torch.no_grad():
            read = torch.from_numpy(tokens.astype(np.int64))
            read = read.flip(0) if direction == "backward" else read
            top, last = layers(embedding(read)[None])
            last = last[0] if cell == "lstm" else last
            final = torch.cat([last[-2, 0], last[-1, 0]]) if direction == "both" else last[-1, 0]
            expected = torch.softmax(linear(final), -1).numpy()
            top = (top.flip(1) if direction == "backward" else top)[0].numpy()
        hidden = record(model.params, padded(tokens, 60), spec, len(tokens))["hidden"]
        mine = np.hstack(hidden[-2:]) if direction == "both" else np.asarray(hidden[-1])
        np.testing.assert_allclose(mine[: len(tokens)], top, atol=5e-6, rtol=0)
        np.testing.assert_allclose(predicted[index], expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_neighbours_never_reach_a_state(cell: Any) -> None:
    spec = ModelSpec(cell=cell, direction="both", hidden=(10, 6), embedding=4)
    model = random_model(spec)
    generator = np.random.default_rng(1)
    lengths = np.array([1, 5, 17, 30, 0], np.int32)
    tokens = generator.integers(0, WORDS, (5, 30)).astype(np.int32)
    noise = np.where(np.arange(30)[None, :] < lengths[:, None], tokens, (tokens + 7) % WORDS).astype(np.int32)

    @jax.jit
    def run(params: Any, rows: Any, sizes: Any) -> Any:
        mapped = jax.vmap(lambda t, n: record_sequence(params, t, spec, n))(rows, sizes)
        states = hidden_states(params, rows.T, sizes, spec)
        return mapped, states, jax.nn.softmax(readout(params, states)), final_hidden(params, rows.T, sizes, spec)

    real, from_noise = (jax.device_get(run(model.params, t, lengths)) for t in (tokens, noise))
    np.testing.assert_array_equal(real[3], from_noise[3])
    assert not real[3][4].any()
    alone = record(model.params, tokens[2, :17], spec)
    for row, length in enumerate(lengths):
        for one, two in zip(jax.tree.leaves(real[0]), jax.tree.leaves(from_noise[0]), strict=True):
            np.testing.assert_array_equal(one[row, :length], two[row, :length])
        np.testing.assert_array_equal(real[1][:length, row], from_noise[1][:length, row])
        chances = real[0]["probabilities"][row, :length]
        np.testing.assert_allclose(real[2][:length, row], chances, atol=1e-6, rtol=0)
    for one, three in zip(jax.tree.leaves(real[0]), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one[2, :17], three, atol=1e-6, rtol=0)


def test_a_backward_reading_needs_the_lengths() -> None:
    """Without them padding is read first: what the test above would miss if it could not see it."""
    spec = ModelSpec(cell="rnn", direction="backward", hidden=(4,), embedding=3)
    model = random_model(spec)
    tokens = padded(np.array([1, 2], np.int32), 4)
    with_padding, without = (np.asarray(record(model.params, tokens, spec, n)["hidden"][0]) for n in (None, 2))
    assert np.abs(with_padding[:2] - without[:2]).max() > 1e-3
    np.testing.assert_allclose(without[:2], record(model.params, tokens[:2], spec)["hidden"][0], atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_predictions_do_not_depend_on_the_other_sequences(cell: Any) -> None:
    model = random_model(ModelSpec(cell=cell, direction="both", hidden=(10, 6), inputs="features", features=3))
    corpus = random_corpus(model, [0, 1, 3, 40, 2, 9, 9, 60, 5])
    together = model.predict(corpus)
    np.testing.assert_allclose(model.predict(corpus.select([3]))[0], together[3], atol=1e-6, rtol=0)
    np.testing.assert_allclose(model.predict(corpus.select(range(8, -1, -1)))[::-1], together, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_written_out_gradients_equal_automatic_ones(cell: str) -> None:
    length, columns, units = 7, 3, 5
    generator = np.random.default_rng(4)
    made = CELLS[cell]

    def normal(*size: int) -> jax.Array:
        return jnp.asarray(generator.standard_normal(size), "float32")

    weights = {"recurrent_kernel": normal(units, made.blocks * units)}
    if made.recurrent_bias:
        weights["recurrent_bias"] = normal(units)
    projected, factor = normal(length, columns, made.blocks * units), normal(length, columns, units)
    kept = jnp.asarray(2.0 * generator.integers(0, 2, (columns, units)), "float32")

    def by_scan(own: dict[str, jax.Array], rows: jax.Array) -> jax.Array:
        def advance(state: Any, x: jax.Array) -> Any:
            state, _ = made.advance(own, state, x, matmul(state[0] * kept, own["recurrent_kernel"]))
            return state, state[0]

        return jax.lax.scan(advance, zero_state(made, (columns, units)), rows)[1]

    def by_recur(own: dict[str, jax.Array], rows: jax.Array) -> jax.Array:
        return recur(cell, own, rows, kept)

    @jax.jit
    def both(own: dict[str, jax.Array], rows: jax.Array) -> Any:
        gradients = [
            jax.grad(lambda o, r, f=f: (f(o, r) * factor).sum(), argnums=(0, 1))(own, rows) for f in (by_scan, by_recur)
        ]
        return by_scan(own, rows), by_recur(own, rows), *gradients

    left, right, expected, found = both(weights, projected)
    np.testing.assert_allclose(left, right, atol=1e-6)
    for one, two in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(two, one, atol=5e-5 * max(1.0, float(np.abs(one).max())))


def test_reversing_is_within_each_length_and_its_own_inverse() -> None:
    rows = jnp.arange(4 * 3 * 2, dtype=jnp.float32).reshape(4, 3, 2)
    lengths = jnp.array([4, 2, 0])
    turned = reverse(rows, lengths)
    np.testing.assert_array_equal(turned[:, 0], rows[::-1, 0])
    np.testing.assert_array_equal(turned[:, 1], rows[jnp.array([1, 0, 2, 3]), 1])
    np.testing.assert_array_equal(turned[:, 2], rows[:, 2])
    np.testing.assert_array_equal(reverse(turned, lengths), rows)
    factor = jnp.sin(rows)
    gradient = jax.grad(lambda x: (reverse(x, lengths) * factor).sum())(rows)
    np.testing.assert_array_equal(gradient, reverse(factor, lengths))


def test_weights_are_named_by_layer_and_direction() -> None:
    spec = ModelSpec(cell="gru", direction="both", hidden=(3, 4), embedding=2)
    model = random_model(spec)
    shapes = {name: array.shape for name, array in layer_weights(model.params, 1, "backward").items()}
    assert shapes == {"input_kernel": (6, 12), "recurrent_kernel": (4, 12), "bias": (12,), "recurrent_bias": (4,)}
    assert model.params["readout.kernel"].shape == (8, 3)
    assert {name: array.shape for name, array in model.network().parameters().items()} == parameter_shapes(
        spec, WORDS, 3
    )
