"""Checkpoints: a round trip changes nothing, and every kind of damage is named in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hiddenstate_core.corpora.corpus import Vocabulary
from hiddenstate_core.corpora.tokenizer import word_tokenizer
from hiddenstate_core.errors import ModelError
from hiddenstate_core.models import Model, ModelSpec, load_model
from hiddenstate_core.models.network import parameter_shapes


def small_model(tokenizer: str = "") -> Model:
    spec = ModelSpec(hidden=(5, 4), embedding=3, max_length=7)
    words = ("<unk>", "the", "\ud800", "naïve", "0")
    generator = np.random.default_rng(0)
    params = {
        name: jnp.asarray(generator.standard_normal(shape), "float32")
        for name, shape in parameter_shapes(spec, len(words), 2).items()
    }
    return Model(
        spec, Vocabulary(words), ("neg", "pos"), params, tokenizer, {"seed": 3, "note": "é", "nested": [1.5, None]}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small_model(word_tokenizer()).save(tmp_path / "model")
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model, again = small_model(word_tokenizer()), load_model(folder)
    assert (again.spec, again.vocabulary, again.classes) == (model.spec, model.vocabulary, model.classes)
    assert (again.tokenizer, again.metadata, again.fingerprint) == (model.tokenizer, model.metadata, model.fingerprint)
    for name, array in model.params.items():
        np.testing.assert_array_equal(array, again.params[name])


def test_saving_again_replaces_the_whole_folder(folder: Path) -> None:
    small_model().save(folder)
    assert load_model(folder).tokenizer == ""
    assert not (folder / "tokenizer.json").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ModelError, match="no model checkpoint"):
        small_model().save(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


#: Of `small_model`, written down when a `ModelSpec` had no direction, task or inputs.
OLD_FINGERPRINT = "427d235044b8534c52ec2f5524a6c480de3d4b76a89a32ba8732c43d4cd257c9"


def test_older_checkpoints_keep_their_fingerprint(folder: Path) -> None:
    assert load_model(folder).fingerprint == OLD_FINGERPRINT
    description = json.loads((folder / "model.json").read_text())
    for name in ("direction", "task", "inputs", "features"):
        del description["spec"][name]
    (folder / "model.json").write_text(json.dumps(description))
    assert load_model(folder).fingerprint == OLD_FINGERPRINT
    assert load_model(folder).spec == small_model().spec


@pytest.mark.parametrize("change", [{"cell": "gru"}, {"cell": "rnn"}, {"direction": "backward"}, {"direction": "both"}])
def test_fingerprint_sees_the_newer_fields(change: dict[str, Any]) -> None:
    model = small_model()
    spec = model.spec.replace(**change)
    assert spec.identity != model.spec.identity
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_fingerprint_sees_weights_architecture_and_words() -> None:
    model = small_model()
    params = dict(model.params)
    params["readout.bias"] = params["readout.bias"].at[0].add(1e-3)
    others = [
        Model(model.spec, model.vocabulary, model.classes, params),
        Model(model.spec.replace(max_length=6), model.vocabulary, model.classes, model.params),
        Model(model.spec, Vocabulary(("<unk>", "a", "b", "c", "d")), model.classes, model.params),
    ]
    assert len({model.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert Model(model.spec, model.vocabulary, model.classes, model.params).fingerprint == model.fingerprint


def edit_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        changed = change(value)
        (folder / name).write_text(json.dumps(value if changed is None else changed))

    return edit


def edit_weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        arrays = load_file(folder / "weights.safetensors")
        change(arrays)
        save_file(arrays, folder / "weights.safetensors")

    return edit


def truncate(name: str, share: float) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return edit


def put(arrays: dict[str, Any], name: str, value: object) -> None:
    arrays[name].flat[0] = value


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), "lacks weights.safetensors"),
    "no description": (lambda f: (f / "model.json").unlink(), "lacks model.json"),
    "no vocabulary": (lambda f: (f / "vocabulary.json").unlink(), "lacks vocabulary.json"),
    "weights cut short": (truncate("weights.safetensors", 0.7), "weights.safetensors is damaged"),
    "weights cut in the header": (truncate("weights.safetensors", 0.02), "weights.safetensors is damaged"),
    "weights empty": (truncate("weights.safetensors", 0), "weights.safetensors is damaged"),
    "description cut short": (truncate("model.json", 0.5), "model.json is damaged"),
    "vocabulary cut short": (truncate("vocabulary.json", 0.5), "vocabulary.json is damaged"),
    "tokenizer cut short": (truncate("tokenizer.json", 0.5), "tokenizer.json is damaged"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "not the JSON of a Hugging Face tokenizer"),
    "not UTF-8": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe{"), "model.json is damaged"),
    "other format": (edit_json("model.json", lambda d: d.update(format="x")), "does not describe a model"),
    "description a list": (edit_json("model.json", lambda d: [1]), "does not describe a model"),
    "newer version": (edit_json("model.json", lambda d: d.update(version=2)), "checkpoint version 2"),
    "classes a string": (edit_json("model.json", lambda d: d.update(classes="ab")), "'classes' .* list of strings"),
    "a class more": (edit_json("model.json", lambda d: d["classes"].append("x")), "'readout.kernel' must be float32"),
    "a class twice": (
        edit_json("model.json", lambda d: d.update(classes=["a"] * len(d["classes"]))),
        "name of its own",
    ),
    "metadata a list": (edit_json("model.json", lambda d: d.update(metadata=[])), "'metadata'"),
    "unknown option": (edit_json("model.json", lambda d: d["spec"].update(width=3)), "no option 'width'"),
    "unknown cell": (edit_json("model.json", lambda d: d["spec"].update(cell="x")), "ModelSpec.cell must be"),
    "another cell": (edit_json("model.json", lambda d: d["spec"].update(cell="gru")), "lack 'layers.0.*recurrent_bias"),
    "another direction": (edit_json("model.json", lambda d: d["spec"].update(direction="both")), "lack .*backward"),
    "classes of a language model": (
        edit_json("model.json", lambda d: d["spec"].update(task="language_model")),
        "no classes",
    ),
    "no spec": (edit_json("model.json", lambda d: d.update(spec=None)), "expects a JSON object"),
    "other units": (edit_json("model.json", lambda d: d["spec"].update(hidden=[5, 5])), "layers.1.forward.*shape"),
    "a layer more": (edit_json("model.json", lambda d: d["spec"].update(hidden=[5, 4, 4])), "lack 'layers.2.forward"),
    "a layer less": (edit_json("model.json", lambda d: d["spec"].update(hidden=[5])), "'layers.1.forward.bias'"),
    "other max_length": (edit_json("model.json", lambda d: d["spec"].update(max_length=9)), "do not belong together"),
    "other word": (edit_json("vocabulary.json", lambda d: d.__setitem__(1, "teh")), "do not belong together"),
    "a word less": (edit_json("vocabulary.json", lambda d: d[:-1]), "'embedding' must be float32"),
    "a word twice": (edit_json("vocabulary.json", lambda d: d.__setitem__(1, "0")), "must be distinct"),
    "words numbers": (edit_json("vocabulary.json", lambda d: [1, 2]), "list of strings"),
    "an infinite weight": (edit_weights(lambda a: put(a, "embedding", np.inf)), "'embedding' holds a value"),
    "a NaN": (edit_weights(lambda a: put(a, "layers.1.forward.bias", np.nan)), "'layers.1.forward.bias' holds a value"),
    "a weight changed": (edit_weights(lambda a: put(a, "readout.bias", 9)), "do not belong together"),
    "an array less": (edit_weights(lambda a: a.pop("readout.bias")), "lack 'readout.bias'"),
    "an array more": (edit_weights(lambda a: a.update(x=a["readout.bias"])), "array 'x'"),
    "double precision": (
        edit_weights(lambda a: a.update({"readout.bias": a["readout.bias"].astype("float64")})),
        "'readout.bias' must be float32",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(folder: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_path_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"lacks model\.json"):
        load_model(tmp_path)
