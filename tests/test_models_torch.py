"""Weights from a state dict: found by name and shape, folded exactly, and refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Vocabulary
from hiddenstate_core.errors import InputError, ModelError
from hiddenstate_core.models import ModelSpec, model_from_torch

WORDS = Vocabulary(("<unk>", "a", "b", "c"))
SPEC = ModelSpec(cell="gru", hidden=(3,), embedding=2)


def state_dict(units: int = 3, blocks: int = 3, rows: int = 2) -> dict[str, NDArray[np.float32]]:
    """What a GRU classifier's `state_dict()` holds, as arrays."""
    generator = np.random.default_rng(0)
    shapes = {
        "words.weight": (4, 2), "net.rnn.weight_ih_l0": (blocks * units, 2),
        "net.rnn.weight_hh_l0": (blocks * units, units), "net.rnn.bias_ih_l0": (blocks * units,),
        "net.rnn.bias_hh_l0": (blocks * units,), "head.weight": (rows, units), "head.bias": (rows,),
    }  # fmt: skip
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_gru_keeps_its_second_candidate_bias() -> None:
    arrays = state_dict()
    model = model_from_torch(arrays, SPEC, vocabulary=WORDS, classes=("x", "y"))
    own = {name.rsplit(".", 1)[-1]: np.asarray(array) for name, array in model.params.items() if "layers" in name}
    first, second = arrays["net.rnn.bias_ih_l0"], arrays["net.rnn.bias_hh_l0"]
    np.testing.assert_array_equal(own["bias"], np.concatenate([(first + second)[:6], first[6:]]))
    np.testing.assert_array_equal(own["recurrent_bias"], second[6:])
    np.testing.assert_array_equal(own["input_kernel"], arrays["net.rnn.weight_ih_l0"].T)
    np.testing.assert_array_equal(own["recurrent_kernel"], arrays["net.rnn.weight_hh_l0"].T)
    np.testing.assert_array_equal(model.params["embedding"], arrays["words.weight"])
    assert model.classes == ("x", "y")
    named = model_from_torch(
        arrays, SPEC, vocabulary=WORDS, classes=("x", "y"), embedding="words", recurrent="net.rnn", readout="head"
    )
    assert named.fingerprint == model.fingerprint


def test_no_biases_are_zeros_and_one_logit_is_two_classes() -> None:
    arrays = {name: array for name, array in state_dict(rows=1).items() if "bias" not in name}
    arrays["weight_ih_l0"], arrays["weight_hh_l0"] = (arrays.pop(f"net.rnn.weight_{k}_l0") for k in ("ih", "hh"))
    model = model_from_torch(arrays, SPEC, vocabulary=WORDS, classes=("x", "y"), recurrent="", embedding="words")
    np.testing.assert_array_equal(model.params["readout.kernel"], np.c_[np.zeros(3), arrays["head.weight"][0]])
    assert not any(np.asarray(model.params[f"layers.0.forward.{name}"]).any() for name in ("bias", "recurrent_bias"))
    assert not np.asarray(model.params["readout.bias"]).any()


def test_a_language_model_with_tied_sizes() -> None:
    arrays = state_dict(units=2, rows=4)
    spec = SPEC.replace(hidden=(2,), task="language_model")
    model = model_from_torch(arrays, spec, vocabulary=WORDS)
    assert (model.classes, model.outputs) == ((), 4)
    np.testing.assert_array_equal(model.params["readout.kernel"], arrays["head.weight"].T)
    np.testing.assert_array_equal(model.params["embedding"], arrays["words.weight"])
    del arrays["head.bias"]
    with pytest.raises(ModelError, match="2 matrices in the state dict could be the readout"):
        model_from_torch(arrays, spec, vocabulary=WORDS)
    model_from_torch(arrays, spec, vocabulary=WORDS, readout="head", embedding="words")


def test_feature_vectors_need_no_vocabulary() -> None:
    arrays = state_dict()
    del arrays["words.weight"]
    spec = SPEC.replace(inputs="features", features=2)
    assert "embedding" not in model_from_torch(arrays, spec, classes=("x", "y")).params


def drop(*names: str) -> dict[str, Any]:
    return {name: array for name, array in state_dict().items() if name not in names}


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no recurrent weights": (drop("net.rnn.weight_hh_l0"), {}, r"lacks 'net\.rnn\.weight_hh_l0', of shape \(9, 3\)"),
    "one bias of two": (drop("net.rnn.bias_hh_l0"), {}, r"lacks 'net\.rnn\.bias_hh_l0', of shape \(9,\)"),
    "no recurrent module": (drop("net.rnn.weight_ih_l0"), {}, "No recurrent modules"),
    "another prefix": (state_dict(), {"recurrent": "gru"}, r"lacks 'gru\.weight_ih_l0'"),
    "two modules": (state_dict() | {"b.weight_ih_l0": np.zeros((9, 2))}, {}, "2 recurrent modules .* `recurrent`"),
    "another cell": (state_dict(blocks=4), {}, r"must have shape \(9, 2\) for this spec, not \(12, 2\)"),
    "no readout": (drop("head.weight", "head.bias"), {}, "No matrices in the state dict could be the readout"),
    "no embedding": (drop("words.weight"), {}, "No matrices in the state dict could be the embedding"),
    "a second layer": (
        state_dict() | {"net.rnn.weight_ih_l1": np.zeros((9, 3))},
        {},
        "'net.rnn.weight_ih_l1', which",
    ),
    "a norm": (state_dict() | {"norm.bias": np.zeros(3)}, {}, "'norm.bias', which has no place"),
    "a projection": (state_dict() | {"net.rnn.weight_hr_l0": np.zeros((2, 3))}, {}, "projections cannot be"),
    "not finite": (state_dict() | {"head.bias": np.array([np.nan, 0])}, {}, r"'readout\.bias' holds a value"),
    "too large": (state_dict() | {"head.bias": np.array([1e300, 0])}, {}, r"'readout\.bias' holds a value"),
    "no numbers": (state_dict() | {"head.bias": "x"}, {}, "'head.bias' in the state dict is no array"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_fit_is_named(kind: str) -> None:
    arrays, options, message = BAD[kind]
    with pytest.raises(ModelError, match=message) as caught:
        model_from_torch(arrays, SPEC, vocabulary=WORDS, classes=("x", "y"), **options)
    assert "\n" not in str(caught.value)


def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match="must map names to arrays"):
        model_from_torch([1], SPEC, vocabulary=WORDS, classes=("x", "y"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs `vocabulary`"):
        model_from_torch(state_dict(), SPEC, classes=("x", "y"))
    with pytest.raises(ModelError, match="no classes"):
        model_from_torch(state_dict(rows=4), SPEC.replace(task="language_model"), vocabulary=WORDS, classes=("x",))
