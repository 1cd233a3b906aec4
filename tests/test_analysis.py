"""Step distances, prediction evolution, overview and confusion, against plain NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiddenstate_core.analysis import confusion_matrix, dataset_overview, prediction_evolution
from hiddenstate_core.distances import step_distances
from hiddenstate_core.distances import steps as steps_module
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Trace
from tests.fakes import make_trace


@pytest.mark.parametrize("block", [1, 7, 10_000])
@pytest.mark.parametrize("layer", [0, 1])
def test_step_distances(small_trace: Trace, layer: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "_BLOCK", block)
    found = step_distances(small_trace, layer)
    largest = 0.0
    for s in range(len(small_trace)):
        states = small_trace.sequence(s).hidden(layer).astype(np.float64)
        before = np.vstack([np.zeros((1, states.shape[1])), states])[:-1]
        expected = np.sqrt(((states - before) ** 2).sum(axis=1))
        np.testing.assert_allclose(found.sequence(s), expected, rtol=1e-6)
        largest = max([largest, *expected[1:]])
    assert found.largest == pytest.approx(largest, rel=1e-6)
    assert all((found.normalised(s) <= 1).all() for s in range(len(small_trace)))


def test_step_distances_are_stored_and_read_back(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 8)
    computed = step_distances(trace, store=True)
    again = step_distances(Trace(tmp_path / "t.zarr"))
    np.testing.assert_array_equal(computed.values, again.values)
    assert again.largest == computed.largest
    with pytest.raises(InputError, match="does not exist"):
        again.sequence(8)


def test_one_word_alone_has_no_largest_step(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 2, projections=())
    found = step_distances(trace)
    assert found.largest == 1.0
    assert len(found.sequence(0)) == 0
    assert len(found.sequence(1)) == 1


def test_confusion_and_overview(small_trace: Trace) -> None:
    expected = np.zeros((2, 2), np.int64)
    for s in range(len(small_trace)):
        view = small_trace.sequence(s)
        if view.label >= 0:
            expected[view.label, view.predicted] += 1
    np.testing.assert_array_equal(confusion_matrix(small_trace), expected)
    overview = dataset_overview(small_trace)
    assert overview.unlabelled == 2
    assert overview.sequences == 40 == overview.confusion.sum() + 2
    np.testing.assert_array_equal(overview.counts, expected.sum(axis=1))
    assert overview.accuracy == pytest.approx(np.trace(expected) / expected.sum())


def test_confusion_and_overview_of_some_sequences(small_trace: Trace) -> None:
    chosen = [7, 3, 3, 21, 0]
    expected = np.zeros((2, 2), np.int64)
    for s in chosen:
        view = small_trace.sequence(s)
        if view.label >= 0:
            expected[view.label, view.predicted] += 1
    np.testing.assert_array_equal(confusion_matrix(small_trace, chosen), expected)
    overview = dataset_overview(small_trace, np.array(chosen))
    assert (overview.sequences, overview.test_accuracy) == (5, small_trace.test_accuracy)
    assert overview.unlabelled == 5 - expected.sum()
    assert overview.steps == sum(len(small_trace.sequence(s)) for s in chosen)
    mask = np.zeros(len(small_trace), np.bool_)
    mask[[2, 9]] = True
    assert dataset_overview(small_trace, mask).sequences == 2
    assert dataset_overview(small_trace, []).accuracy is None
    bad: Any
    for bad in ([40], [-1], [0.5], mask[:3], [[1]]):
        with pytest.raises(InputError, match=r"Sequence|Sequences"):
            confusion_matrix(small_trace, bad)


def test_a_trace_without_labels_has_no_accuracy(tmp_path: Path) -> None:
    overview = dataset_overview(make_trace(tmp_path / "t.zarr", 6, classes=5, unlabelled=6))
    assert overview.accuracy is None
    assert overview.confusion.shape == (5, 5)


def test_prediction_evolution(small_trace: Trace) -> None:
    for s in range(len(small_trace)):
        view, found = small_trace.sequence(s), prediction_evolution(small_trace, s)
        p = view.probabilities()
        assert list(found.words) == view.words
        assert len(found.change) == len(found.flips) == len(found.confidence) == len(found.predicted) == len(view)
        if len(view) == 0:
            assert found.settled is None
            assert found.final == small_trace.initial_probabilities.argmax()
            continue
        np.testing.assert_allclose(found.change[1:], np.abs(np.diff(p, axis=0)).max(axis=1))
        np.testing.assert_allclose(found.change[0], np.abs(p[0] - small_trace.initial_probabilities).max())
        assert found.flips.sum() == (np.diff(p.argmax(axis=1)) != 0).sum()
        assert found.settled is not None
        assert (p[found.settled :].argmax(axis=1) == found.final).all()
        assert found.settled == 0 or p[found.settled - 1].argmax() != found.final
        assert found.correct is (None if view.label < 0 else view.label == found.final)
    with pytest.raises(InputError, match="does not exist"):
        prediction_evolution(small_trace, 40)
