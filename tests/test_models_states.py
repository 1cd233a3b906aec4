"""States against an independent LSTM written in float64 NumPy, and their independence of padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiddenstate_core.corpora.corpus import Vocabulary
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.cells import CELLS, matmul
from hiddenstate_core.models.network import (
    Network,
    Recording,
    final_hidden,
    layer_weights,
    parameter_shapes,
    record_sequence,
)
from hiddenstate_core.models.recurrence import recur
from tests.oracles.lstm import run_checkpoint

TOLERANCE = 2e-5
GATES = CELLS["lstm"].gates
record = jax.jit(record_sequence)


def random_model(hidden: tuple[int, ...], embedding: int, words: int, classes: int, scale: float, seed: int) -> Model:
    """Model whose weights are all random (biases too), far larger than a fresh network's."""
    generator = np.random.default_rng(seed)
    spec = ModelSpec(hidden=hidden, embedding=embedding)
    params = {
        name: jax.numpy.asarray(scale * generator.standard_normal(shape), "float32")
        for name, shape in parameter_shapes(spec, words, classes).items()
    }
    vocabulary = Vocabulary(("<unk>", *(f"w{i}" for i in range(1, words))))
    return Model(spec, vocabulary, tuple(f"c{i}" for i in range(classes)), params)


def worst_difference(model: Model, folder: Path, tokens: np.ndarray[tuple[int], np.dtype[np.int32]]) -> float:
    layers, probabilities = run_checkpoint(folder, tokens)
    found: Recording = record(model.params, tokens)
    worst = [float(np.abs(np.asarray(found["probabilities"]) - probabilities).max())]
    assert len(layers) == len(found["hidden"]) == len(model.spec.hidden)
    for layer, expected in enumerate(layers):
        gates = np.asarray(found["gates"][layer]).reshape(len(tokens), len(GATES), -1)
        mine: dict[str, Any] = {"hidden": found["hidden"][layer], "cell": found["cell"][layer]}
        mine |= {name: gates[:, k] for k, name in enumerate(GATES)}
        assert set(mine) == set(expected)
        for name, array in mine.items():
            assert array.shape == expected[name].shape
            worst.append(float(np.abs(np.asarray(array, np.float64) - expected[name]).max()))
    return max(worst)


@given(
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    embedding=st.integers(1, 40),
    length=st.integers(1, 500),
    radius=st.sampled_from([0.2, 0.7, 1.4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_state_equals_the_float64_lstm(
    tmp_path: Path, hidden: tuple[int, ...], embedding: int, length: int, radius: float, seed: int
) -> None:
    # Eigenvalues of the recurrent blocks reach about as far as `radius`; with far larger ones a network is chaotic, and
    # float32 a hundred times as far from float64 after some hundred steps.
    model = random_model(hidden, embedding, 30, 4, radius / max(hidden) ** 0.5, seed)
    model.save(tmp_path / "model")
    tokens = np.random.default_rng(seed).integers(0, 30, length).astype(np.int32)
    assert worst_difference(model, tmp_path / "model", tokens) < TOLERANCE / 4


@pytest.mark.parametrize("hidden", [(100,), (64, 48), (24, 32, 16)])
def test_fresh_networks_of_the_usual_sizes_over_long_sequences(tmp_path: Path, hidden: tuple[int, ...]) -> None:
    spec = ModelSpec(hidden=hidden, embedding=32)
    params = Network(spec, 50, 3, nnx.Rngs(1)).parameters()
    model = Model(spec, Vocabulary(("<unk>", *map(str, range(49)))), ("a", "b", "c"), params)
    model.save(tmp_path / "model")
    for length in (1, 2, 99, 500):
        tokens = np.random.default_rng(length).integers(0, 50, length).astype(np.int32)
        assert worst_difference(model, tmp_path / "model", tokens) < TOLERANCE


def test_padding_never_reaches_a_state() -> None:
    model = random_model((20, 15), 8, 30, 3, 0.3, 0)
    generator = np.random.default_rng(0)
    lengths = np.array([1, 5, 17, 40, 0], np.int32)
    tokens = np.zeros((len(lengths), 40), np.int32)
    for row, length in enumerate(lengths):
        tokens[row, :length] = generator.integers(0, 30, length)
    noise = tokens.copy()
    outside = np.arange(40)[None, :] >= lengths[:, None]
    noise[outside] = generator.integers(0, 30, outside.sum())
    mapped = jax.jit(jax.vmap(record_sequence, in_axes=(None, 0)))
    padded, noisy = mapped(model.params, tokens), mapped(model.params, noise)
    last, last_noisy = (np.asarray(final_hidden(model.params, t.T, lengths, model.spec)) for t in (tokens, noise))
    np.testing.assert_array_equal(last, last_noisy)
    assert not last[4].any()
    for row, length in enumerate(lengths[:4]):
        alone = record(model.params, tokens[row, :length])
        np.testing.assert_allclose(last[row], alone["hidden"][1][-1], atol=1e-6, rtol=0)
        for quantity in ("hidden", "cell", "gates"):
            for layer in range(2):
                left = np.asarray(padded[quantity][layer][row, :length])
                np.testing.assert_array_equal(left, np.asarray(noisy[quantity][layer][row, :length]))
                np.testing.assert_allclose(left, alone[quantity][layer], atol=1e-6, rtol=0)


def test_an_empty_sequence_has_no_states() -> None:
    model = random_model((4,), 3, 5, 2, 0.3, 0)
    found = record(model.params, np.zeros(0, np.int32))
    assert found["hidden"][0].shape == (0, 4)
    assert found["probabilities"].shape == (0, 2)


def test_the_network_module_holds_the_weights_given() -> None:
    model = random_model((6, 5), 3, 9, 2, 0.5, 3)
    network = model.network()
    assert {name: array.shape for name, array in network.parameters().items()} == parameter_shapes(model.spec, 9, 2)
    for name, array in network.parameters().items():
        np.testing.assert_array_equal(array, model.params[name])
    tokens = np.array([3, 1, 4, 1, 5], np.int32)
    np.testing.assert_allclose(network(tokens), record(model.params, tokens)["probabilities"][-1], atol=1e-6)


def test_a_fresh_network_starts_as_documented() -> None:
    params = Network(ModelSpec(hidden=(12,), embedding=7), 20, 3, nnx.Rngs(0)).parameters()
    bias = np.asarray(params["layers.0.forward.bias"]).reshape(4, 12)
    np.testing.assert_array_equal(bias, np.array([0, 1, 0, 0])[:, None] * np.ones((4, 12)))
    for block in np.split(np.asarray(params["layers.0.forward.recurrent_kernel"]), 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(12), atol=1e-5)
    assert not np.asarray(params["readout.bias"]).any()


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=4, deadline=None)
def test_the_written_out_gradient_equals_automatic_differentiation(shape: tuple[int, int, int, int], seed: int) -> None:
    length, columns, units, below = shape
    generator = np.random.default_rng(seed)

    def normal(*size: int) -> jax.Array:
        return jax.numpy.asarray(generator.standard_normal(size), "float32")

    kernel, inputs, input_kernel = normal(units, 4 * units), normal(length, columns, below), normal(below, 4 * units)
    kept = jax.numpy.asarray(2.0 * generator.integers(0, 2, (columns, units)), "float32")
    weight = normal(length, columns, units)

    def by_scan(recurrent_kernel: jax.Array, projected: jax.Array) -> jax.Array:
        def advance(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            (h, c), _ = CELLS["lstm"].step({"recurrent_kernel": recurrent_kernel}, (state[0] * kept, state[1]), x)
            return (h, c), h

        return jax.lax.scan(advance, (jax.numpy.zeros_like(kept),) * 2, projected)[1]

    def by_recur(recurrent_kernel: jax.Array, projected: jax.Array) -> jax.Array:
        return recur("lstm", {"recurrent_kernel": recurrent_kernel}, projected, kept)

    gradients = [
        jax.grad(lambda u, w, f=f: (f(u, matmul(inputs, w)) * weight).sum(), argnums=(0, 1))(kernel, input_kernel)
        for f in (by_scan, by_recur)
    ]
    np.testing.assert_allclose(
        by_scan(kernel, inputs @ input_kernel), by_recur(kernel, inputs @ input_kernel), atol=1e-6
    )
    for expected, found in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


def test_layer_weights_are_looked_up_by_layer() -> None:
    model = random_model((3, 4), 2, 5, 2, 0.1, 0)
    shapes = {name: array.shape for name, array in layer_weights(model.params, 1).items()}
    assert shapes == {"input_kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
