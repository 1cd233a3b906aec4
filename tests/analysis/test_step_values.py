"""Figures of steps against what plain arrays give, in any order and part; limits, menus, bad keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.analysis import available, prediction_evolution, step_figure, step_values, store_quality
from hiddenstate_core.analysis.map_quality import read_quality
from hiddenstate_core.distances import step_distances
from hiddenstate_core.errors import InputError, StoreNotFoundError
from hiddenstate_core.projection import quality
from hiddenstate_core.traces import Record, Trace, extract
from tests.analysis.test_impact import _trace
from tests.fakes import make_corpus, make_model, make_trace


@pytest.fixture(scope="module", params=["forward", "backward"])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    made = _trace(tmp_path_factory.mktemp("steps") / "t.zarr", request.param, 3)
    states = np.asarray(made.hidden())
    made.add_projection("plane", states[:, :2].copy())
    store_quality(made, "plane", k=5, sample=50)
    return made


def _expected(trace: Trace) -> dict[str, NDArray[Any]]:
    evolutions = [prediction_evolution(trace, s) for s in range(len(trace))]
    rows = np.repeat(np.arange(len(trace)), trace.lengths)
    words = np.concatenate([np.arange(n) for n in trace.lengths])
    p, labels = np.asarray(trace.probabilities()), trace.labels[rows]
    quality = read_quality(trace, "plane")
    assert quality is not None
    distances = step_distances(trace)
    error = np.where(labels >= 0, 1 - p[np.arange(len(p)), labels], np.nan)
    return {
        "prediction": p.argmax(axis=1),
        "confidence": p.max(axis=1),
        "class": labels,
        "split": trace.split[rows],
        "position": words,
        "relative": words / np.maximum(trace.lengths[rows] - 1, 1),
        "change": np.concatenate([e.change for e in evolutions]),
        "error": error,
        "distance": np.concatenate([distances.normalised(s) for s in range(len(trace))]),
        "unit:3": np.asarray(trace.hidden())[:, 3],
        "cell:0": np.asarray(trace.cell())[:, 0],
        "gate:forget:8": np.asarray(trace.gate("forget"))[:, 8],
        "gate:candidate:1": np.asarray(trace.gate("candidate"))[:, 1],
        "recall:plane": np.asarray(quality)[:, 0],
        "trust:plane": np.asarray(quality)[:, 1],
        "continuity:plane": np.asarray(quality)[:, 2],
    }


def test_every_figure_is_read_in_any_order_and_part(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_figure, "_BLOCK", 101)
    rng = np.random.default_rng(0)
    steps = rng.integers(-trace.steps, trace.steps, 200)
    mask = rng.random(trace.steps) < 0.3
    for key, expected in _expected(trace).items():
        found = step_values(trace, key)
        wanted = expected.astype(np.int16 if found.kind == "categorical" else np.float32)
        full = found.full()
        assert full.dtype == found.dtype == wanted.dtype
        np.testing.assert_allclose(full.astype(float), wanted.astype(float), rtol=1e-6, atol=1e-7, err_msg=key)
        np.testing.assert_array_equal(found.rows(steps), full[steps], err_msg=key)
        np.testing.assert_array_equal(found.rows(mask), full[mask], err_msg=key)
        np.testing.assert_array_equal(found.range(37, 91), full[37:91], err_msg=key)
        assert len(found.range(50, 50)) == len(found.rows([])) == 0
        assert (found.limits is None) == (found.kind == "categorical")
        if found.limits is not None:
            low, high = found.limits
            assert low < high
            assert np.nanmean((full >= low) & (full <= high)) > 0.9 * np.isfinite(full).mean()
        weights = found.weights(steps)
        if key == "prediction":
            np.testing.assert_array_equal(weights, np.asarray(trace.probabilities()).max(axis=1)[steps])
        else:
            assert weights is None


def test_the_menu_has_what_can_be_read(trace: Trace) -> None:
    choices = available(trace)
    assert {choice.key for choice in choices} == {
        *("prediction", "confidence", "class", "change", "error", "position", "relative", "split", "distance"),
        *("unit", "cell", "gate:input", "gate:forget", "gate:candidate", "gate:output"),
        *("recall:plane", "trust:plane", "continuity:plane"),
    }
    for choice in choices:
        assert choice.label
        key = choice.key if choice.count is None else f"{choice.key}:{choice.count - 1}"
        assert len(step_values(trace, key).rows([0, 1])) == 2
        if choice.count is not None:
            with pytest.raises(InputError, match=f"no unit '{choice.count}'"):
                step_values(trace, f"{choice.key}:{choice.count}")


def test_unlabelled_steps_have_no_error_and_no_class(small_trace: Trace) -> None:
    last = [small_trace.steps - 1]
    assert np.isnan(step_values(small_trace, "error").rows(last)).all()
    assert step_values(small_trace, "class").rows(last).tolist() == [-1]


def test_limits_come_from_a_sample_and_leave_outliers_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = make_trace(tmp_path / "t.zarr", 40, projections=())
    monkeypatch.setattr(step_figure, "_RUNS", 8)
    monkeypatch.setattr(step_figure, "_RUN", 64)
    full = step_values(trace, "unit:2").full()
    one, again, other = (step_values(trace, "unit:2", seed=seed).limits for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one is not None
    assert one[0] == -one[1]
    assert 0.5 * np.quantile(np.abs(full), 0.99) < one[1] <= np.abs(full).max()


def test_what_was_not_recorded_is_not_offered(tmp_path: Path) -> None:
    corpus = make_corpus(6)
    record = Record(hidden=False, cell=True, probabilities=False, every=2)
    trace = extract(make_model(corpus), corpus, tmp_path / "t.zarr", record=record, progress=False)
    assert [choice.key for choice in available(trace)] == ["class", "position", "relative", "split", "cell"]
    np.testing.assert_array_equal(step_values(trace, "position").full(), np.asarray(trace.positions))
    with pytest.raises(InputError, match="recorded without class probabilities"):
        step_values(trace, "confidence")
    with pytest.raises(InputError, match="one step in 2"):
        step_values(trace, "change")
    with pytest.raises(InputError, match="'hidden' was not recorded"):
        step_values(trace, "distance")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("beauty", "There is no figure 'beauty'"),
        ("", "named by text"),
        ("unit", "There is no figure 'unit'"),
        ("unit:", "There is no figure 'unit:'"),
        ("unit:12x", "There is no unit '12x'"),
        ("unit:-1", "There is no unit '-1'"),
        ("gate:forget", "A quantity is"),
        ("gate:sesame:1", "no gate 'sesame'"),
        ("trust:tsne", "no quality of the points of a projection 'tsne'"),
        ("trust:../model", "no quality of the points"),
    ],
)
def test_bad_keys_are_refused_by_name(small_trace: Trace, key: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        step_values(small_trace, key)


def test_steps_that_there_are_not_are_refused(small_trace: Trace) -> None:
    found = step_values(small_trace, "position")
    with pytest.raises(InputError, match="were asked for"):
        found.rows([0, small_trace.steps])
    with pytest.raises(InputError, match="must be whole numbers or a mask"):
        found.rows([0.5])


# -- quality of the points of a map -----------------------------------------------------------------------------------


def test_quality_is_kept_with_the_projection_it_is_of(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "t.zarr", 10, projections=("tsne", "p" * 64))
    assert read_quality(trace, "tsne") is None
    measured = store_quality(trace, "tsne", k=4, sample=60, seed=3)
    expected = quality(trace.hidden(), trace.projection("tsne"), n_neighbors=4, sample=60, seed=3)
    stored = read_quality(trace, "tsne")
    assert stored is not None
    np.testing.assert_array_equal(np.asarray(stored)[:, 0], expected.point_recall)
    np.testing.assert_array_equal(np.asarray(stored)[:, 1], expected.point_trustworthiness)
    np.testing.assert_array_equal(np.asarray(stored)[:, 2], expected.point_continuity)
    assert np.isfinite(np.asarray(stored)[:, 0]).sum() == measured.sampled == 60
    assert stored.store == trace.path
    store_quality(trace, "p" * 64)
    assert read_quality(trace, "p" * 64) is not None
    assert read_quality(trace, "nothing") is None
    other = trace.projection("tsne").coordinates * 2
    trace.add_projection("tsne", other, attributes=dict(trace.projection("tsne").attributes), overwrite=True)
    assert read_quality(trace, "tsne") is None
    with pytest.raises(StoreNotFoundError):
        store_quality(trace, "nothing")
