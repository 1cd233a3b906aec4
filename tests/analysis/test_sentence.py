"""Texts that are typed: read as a recording reads them, placed in a map, compared with another; models found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiddenstate_core.analysis import (
    SentencePlacer,
    check_model,
    divergence,
    find_model,
    place_text,
    prediction_evolution,
    read_text,
)
from hiddenstate_core.distances import step_distances
from hiddenstate_core.errors import InputError, ModelError, StoreError
from hiddenstate_core.models import Model, ModelSpec
from hiddenstate_core.models.network import parameter_shapes
from hiddenstate_core.projection import Placement, pca
from hiddenstate_core.traces import Trace, extract
from tests.fakes import make_corpus, make_model, make_trace

Direction = Literal["forward", "backward", "both"]


def _model(direction: Direction = "forward", **spec: Any) -> Model:
    corpus = make_corpus(12)
    options: dict[str, Any] = {"hidden": (9, 7), "embedding": 6, "direction": direction, **spec}
    made = ModelSpec(**options)
    classes = () if made.task == "language_model" else corpus.classes
    outputs = len(classes) or len(corpus.vocabulary)
    shapes = parameter_shapes(made, len(corpus.vocabulary), outputs)
    rng = np.random.default_rng(3)
    params: dict[str, Any] = {name: (rng.normal(size=shape) * 0.8).astype(np.float32) for name, shape in shapes.items()}
    return Model(made, corpus.vocabulary, classes, params)


@pytest.mark.parametrize(("cell", "direction"), [("lstm", "forward"), ("gru", "backward"), ("rnn", "both")])
def test_a_text_is_read_as_a_recording_reads_it(tmp_path: Path, cell: str, direction: Direction) -> None:
    model = _model(direction, cell=cell)
    trace = extract(model, make_corpus(12), tmp_path / "t.zarr", progress=False)
    view = trace.sequence(5)
    reading = read_text(model, " ".join(view.words), gates=True)
    assert list(reading.words) == view.words
    np.testing.assert_array_equal(reading.tokens, view.tokens)
    np.testing.assert_array_equal(reading.known, view.known)
    np.testing.assert_allclose(reading.probabilities, view.probabilities(), atol=1e-6)
    np.testing.assert_allclose(reading.initial, trace.initial_probabilities, atol=1e-7)
    np.testing.assert_allclose(reading.prediction, trace.final_probabilities[5], atol=1e-6)
    for way in trace.directions:
        for layer in (0, 1):
            np.testing.assert_allclose(reading.hidden(layer, way), view.hidden(layer, way), atol=1e-6)
            for gate in trace.gates:
                np.testing.assert_allclose(reading.gate(gate, layer, way), view.gate(gate, layer, way), atol=1e-6)
    for quantity in ("hidden", *trace.gates[:1]):
        stored = step_distances(trace, 0, quantity=quantity, direction=trace.directions[-1])
        name = quantity if quantity == "hidden" else f"gate:{quantity}"
        found = reading.distances(stored.largest, layer=0, direction=trace.directions[-1], quantity=name)
        np.testing.assert_allclose(found, stored.normalised(5), atol=1e-5)
    expected = prediction_evolution(trace, 5)
    np.testing.assert_allclose(reading.evolution.change, expected.change, atol=1e-6)
    assert reading.evolution.final == expected.final


def test_a_long_text_is_cut_at_the_front() -> None:
    text = " ".join(f"word{i}" for i in range(30))
    reading = read_text(_model(max_length=20), text)
    assert (len(reading), reading.dropped, reading.words[0]) == (20, 10, "word10")
    reading = read_text(_model(), text, limit=5)
    assert (reading.words, reading.dropped) == (tuple(f"word{i}" for i in range(25, 30)), 25)


def test_a_language_model_reads_too() -> None:
    reading = read_text(_model(task="language_model"), "it the a of it")
    assert reading.probabilities.shape == (5, 0)
    assert reading.hidden().shape == (5, 7)
    assert reading.arrays["steps/top_tokens"].shape[0] == 5
    with pytest.raises(InputError, match="predicts words"):
        _ = reading.evolution


def test_given_initial_probabilities_are_used() -> None:
    reading = read_text(_model(), "it", initial=[0.25, 0.75])
    np.testing.assert_array_equal(reading.evolution.before, [[0.25, 0.75]])
    with pytest.raises(InputError, match="initial probabilities must be 2"):
        read_text(_model(), "it", initial=[1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": " \n "}, "The text has no words"),
        ({"text": 3}, "must be text, not int"),
        ({"text": "it", "limit": 0}, "limit must be a number of words"),
    ],
)
def test_bad_texts_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_text(_model(), **arguments)


def test_what_was_not_kept_is_refused_by_name() -> None:
    reading = read_text(_model(), "it the")
    with pytest.raises(InputError, match="gates=True"):
        reading.gate("forget")
    with pytest.raises(InputError, match="Layer 2 does not exist"):
        reading.hidden(2)
    with pytest.raises(InputError, match="reads forward, not 'backward'"):
        reading.hidden(0, "backward")
    with pytest.raises(InputError, match="A quantity is"):
        reading.states("gate:")
    with pytest.raises(InputError, match="largest distance must be above 0"):
        reading.distances(0.0)


def test_another_model_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    right, wrong = make_model(corpus), make_model(corpus, seed=1)
    trace = extract(right, corpus, tmp_path / "t.zarr", progress=False)
    check_model(trace, right)
    with pytest.raises(ModelError, match=f"{right.fingerprint}.*{wrong.fingerprint}"):
        check_model(trace, wrong)


def test_the_model_of_a_store_is_found_beside_it(tmp_path: Path) -> None:
    corpus = make_corpus(5)
    model, other = make_model(corpus), make_model(corpus, seed=1)
    home = tmp_path / "home"
    store = home / "t.zarr"
    extract(model, corpus, store, progress=False)
    assert find_model(store) is None
    model.save(tmp_path / "outside")  # above the folder that holds the store
    other.save(home / "model")
    (home / "link").symlink_to(tmp_path / "outside")
    (home / "damaged").mkdir()
    (home / "damaged" / "model.json").write_text("{")
    assert find_model(store) is None
    model.save(home / "trained")
    assert find_model(store) == home / "trained"
    assert find_model(store, other.fingerprint) == home / "model"
    shutil.copytree(home / "trained", home / "model", dirs_exist_ok=True)
    assert find_model(store) == home / "model"
    model.save(store / "model")
    assert find_model(store) == store / "model"
    with pytest.raises(StoreError, match="not a readable trace store"):
        find_model(home)


# -- placing ----------------------------------------------------------------------------------------------------


def test_a_principal_map_is_recovered(tmp_path: Path) -> None:
    model = _model()
    trace = extract(model, make_corpus(30), tmp_path / "t.zarr", progress=False)
    trace.add_projection("pca", pca(trace.cell(0)), attributes={"layer": 0, "quantity": "cell"})
    placer = SentencePlacer(trace, "pca")
    view = trace.sequence(7)
    places = placer.place(read_text(model, " ".join(view.words)))
    assert placer.linear
    assert (placer.layer, placer.quantity, placer.direction) == (0, "cell", "forward")
    expected = trace.projection("pca").coordinates[view.start : view.stop]
    np.testing.assert_allclose(places, expected, atol=1e-4)


def test_other_maps_are_placed_into_by_their_neighbours(small_trace: Trace) -> None:
    coordinates = small_trace.projection("tsne").coordinates
    curved = np.column_stack([coordinates[:, 0], coordinates[:, 1] ** 2]).astype(np.float32)
    for method in ("tsne", "pca"):  # what says that it is linear and is not
        projection = _projection(small_trace, curved, method)
        placer = SentencePlacer(small_trace, projection, perplexity=5)
        ready = [placer.ready]
        placer.prepare()
        assert [*ready, placer.ready] == [False, True]
        assert not placer.linear
        states = small_trace.sequence(9).hidden()
        expected = Placement(small_trace.hidden(), curved, perplexity=5).place(states)
        np.testing.assert_array_equal(placer.place(states), expected)
    assert placer.place(states[:0]).shape == (0, 2)


def _projection(trace: Trace, coordinates: Any, method: str = "tsne", **attributes: Any) -> Any:
    from hiddenstate_core.traces import Projection

    return Projection("made", coordinates, {"method": method, **attributes})


def test_a_large_map_is_stood_for_by_some_of_its_states(small_trace: Trace) -> None:
    coordinates = small_trace.projection("tsne").coordinates
    placer = SentencePlacer(small_trace, _projection(small_trace, coordinates), most=600, perplexity=5)
    assert placer.sampled
    states = small_trace.sequence(9).hidden()
    rows = np.sort(np.random.default_rng(0).choice(small_trace.steps, 600, replace=False))
    some = Placement(np.asarray(small_trace.hidden())[rows], coordinates[rows], perplexity=5)
    np.testing.assert_array_equal(placer.place(states), some.place(states))
    again = place_text(small_trace, _projection(small_trace, coordinates), states, most=600, perplexity=5)
    np.testing.assert_array_equal(again, placer.place(states))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"layer": "one"}, "layer 'one', which is no number"),
        ({"layer": 7}, "Layer 7 does not exist"),
        ({"quantity": 3}, "quantity 3"),
        ({"quantity": "gate:nothing"}, "no gate 'nothing'"),
        ({"direction": "backward"}, "does not read backwards"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(small_trace: Trace, attributes: dict[str, Any], message: str) -> None:
    coordinates = small_trace.projection("tsne").coordinates
    with pytest.raises(InputError, match=message):
        SentencePlacer(small_trace, _projection(small_trace, coordinates, **attributes))


def test_bad_placements_are_refused(small_trace: Trace) -> None:
    with pytest.raises(InputError, match="perplexity must be at least 1"):
        SentencePlacer(small_trace, "tsne", perplexity=0.5)
    with pytest.raises(InputError, match="most must be a whole number"):
        SentencePlacer(small_trace, "tsne", most=1)
    with pytest.raises(InputError, match=r"states must have shape \(words, 8\)"):
        SentencePlacer(small_trace, "tsne").place(np.zeros((3, 9)))
    with pytest.raises(InputError, match="states must be finite"):
        SentencePlacer(small_trace, "pca").place(np.full((3, 8), np.nan))
    with pytest.raises(InputError, match="points, the trace"):
        SentencePlacer(small_trace, _projection(small_trace, np.zeros((4, 2), np.float32)))


# -- divergence -------------------------------------------------------------------------------------------------


def test_where_two_texts_part() -> None:
    one, other = ["a", "fine", "film", "it", "was"], ["a", "film", "it", "never", "was"]
    p = np.array([[0.5, 0.5], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    q = np.array([[0.5, 0.5], [0.3, 0.7], [0.8, 0.2], [0.9, 0.1], [0.95, 0.05]])
    x, y = np.zeros((5, 2)), np.full((5, 2), 3.0)
    found = divergence(one, other, p, q, states_a=x, states_b=y)
    assert found.pairs.tolist() == [[0, 0], [2, 1], [3, 2], [4, 4]]
    assert found.parted == (1, 1)
    np.testing.assert_allclose(found.probability_distances, [0, 0.1, 0.5, 0.55], atol=1e-6)
    assert found.state_distances is not None
    np.testing.assert_allclose(found.state_distances, np.sqrt(18.0), rtol=1e-6)
    assert found.disagree == (3, 2)
    assert found.outcome_differs


@given(
    one=st.lists(st.sampled_from("abc"), max_size=12),
    other=st.lists(st.sampled_from("abc"), max_size=12),
)
def test_words_that_are_aligned_are_equal_and_in_order(one: list[str], other: list[str]) -> None:
    p, q = np.full((len(one), 3), 1 / 3), np.full((len(other), 3), 1 / 3)
    found = divergence(one, other, p, q)
    assert all(one[i] == other[j] for i, j in found.pairs.tolist())
    assert (np.diff(found.pairs, axis=0) > 0).all()
    assert (found.parted is None) == (one == other)
    if found.parted is not None:
        at = found.parted[0]
        assert one[:at] == other[:at]
        assert one[at : at + 1] != other[at : at + 1]
    assert found.state_distances is None
    assert found.disagree is None
    assert not found.outcome_differs


def test_rows_that_do_not_fit_the_words_are_refused() -> None:
    with pytest.raises(InputError, match="probabilities must be rows"):
        divergence(["a"], ["b"], np.zeros((2, 2)), np.zeros((1, 2)))
    with pytest.raises(InputError, match="states of both"):
        divergence(["a"], ["b"], np.zeros((1, 2)), np.zeros((1, 2)), states_a=np.zeros((1, 2)))


def test_a_description_of_another_format_is_no_model(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 3, projections=())
    folder = tmp_path / "model"
    folder.mkdir()
    fingerprint = trace.attributes["model"]["fingerprint"]
    (folder / "model.json").write_text(json.dumps({"format": "other", "fingerprint": fingerprint}))
    assert find_model(trace.path) is None
