"""Mean paths of classes against slow loops; samples, empty classes, reading order, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.analysis import class_flow
from hiddenstate_core.errors import InputError
from hiddenstate_core.traces import Projection, Trace
from tests.oracles import flow as oracle


@pytest.fixture(scope="module")
def coordinates(small_trace: Trace) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(small_trace.steps, 2)).astype(np.float32)


def _paths(trace: Trace, points: NDArray[np.float32], chosen: list[int]) -> list[NDArray[np.float64]]:
    views = [trace.sequence(s) for s in chosen]
    return [points[v.start : v.stop].astype(np.float64) for v in views if len(v)]


@pytest.mark.parametrize("by", ["label", "predicted"])
@pytest.mark.parametrize("bins", [2, 7, 24])
def test_relative_flow(small_trace: Trace, coordinates: NDArray[np.float32], by: str, bins: int) -> None:
    codes = small_trace.labels if by == "label" else small_trace.predicted
    for code in range(2):
        found = class_flow(small_trace, coordinates, code, by=by, bins=bins)
        paths = _paths(small_trace, coordinates, np.flatnonzero(codes == code).tolist())
        places, covariance = oracle.relative(paths, bins)
        np.testing.assert_allclose(found.places, places, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(found.spread**2, covariance[:, 0, 0] + covariance[:, 1, 1], rtol=1e-8)
        np.testing.assert_allclose(found.error, found.spread / np.sqrt(len(paths)))
        np.testing.assert_allclose(found.start, np.mean([path[0] for path in paths], axis=0))
        np.testing.assert_allclose(found.end, np.mean([path[-1] for path in paths], axis=0))
        assert found.counts.tolist() == [len(paths)] * bins
        assert (found.total, found.used, found.sampled) == (len(paths), len(paths), False)


def test_flow_over_word_numbers(small_trace: Trace, coordinates: NDArray[np.float32]) -> None:
    chosen = [3, 5, 8, 13, 21, 0, 1]
    found = class_flow(small_trace, coordinates, chosen, bins=10, relative=False)
    paths = _paths(small_trace, coordinates, sorted(chosen))
    numbers = found.positions.astype(int).tolist()
    places, counts = oracle.absolute(paths, numbers)
    np.testing.assert_allclose(found.places, places, rtol=1e-10)
    assert found.counts.tolist() == counts
    assert numbers[0] == 0
    assert 1 < len(numbers) <= 10
    assert sum(len(path) > numbers[-1] for path in paths) >= 1


def test_a_mask_is_as_good_as_numbers(small_trace: Trace, coordinates: NDArray[np.float32]) -> None:
    mask = small_trace.labels == 1
    one, other = (class_flow(small_trace, coordinates, chosen) for chosen in (mask, 1))
    np.testing.assert_array_equal(one.places, other.places)


def test_many_sequences_are_sampled_and_that_is_said(small_trace: Trace, coordinates: NDArray[np.float32]) -> None:
    everything = np.arange(len(small_trace))
    found = class_flow(small_trace, coordinates, everything, most=10, seed=4)
    again = class_flow(small_trace, coordinates, everything, most=10, seed=4)
    other = class_flow(small_trace, coordinates, everything, most=10, seed=5)
    assert (found.sampled, found.used, found.total) == (True, 10, int((small_trace.lengths > 0).sum()))
    np.testing.assert_array_equal(found.places, again.places)
    assert not np.array_equal(found.places, other.places)


def test_what_is_read_backward_flows_backward(small_trace: Trace, coordinates: NDArray[np.float32]) -> None:
    one = class_flow(small_trace, Projection("p", coordinates, {}), 1)
    other = class_flow(small_trace, Projection("p", coordinates, {"direction": "backward"}), 1)
    np.testing.assert_allclose(one.places, other.places[::-1], atol=1e-12)
    np.testing.assert_allclose(one.start, other.end)


@pytest.mark.parametrize("relative", [True, False])
def test_a_class_without_sequences_has_no_path(
    small_trace: Trace, coordinates: NDArray[np.float32], relative: bool
) -> None:
    found = class_flow(small_trace, coordinates, np.zeros(len(small_trace), bool), relative=relative)
    assert (found.total, found.used) == (0, 0)
    assert np.isnan(found.places).all()
    assert np.isnan(found.end).all()
    assert not found.counts.any()
    assert np.isnan(found.error).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences": 2}, r"There is no class 2; the trace has 0 \(negative\)"),
        ({"sequences": -1, "by": "predicted"}, "There is no class -1"),
        ({"sequences": "positive"}, "must be the number of a class"),
        ({"sequences": [99]}, "Sequences 99..99"),
        ({"by": "split"}, "Classes are 'label' or 'predicted'"),
        ({"bins": 1}, "bins must be a whole number of at least 2"),
        ({"most": 0}, "most must be"),
        ({"coordinates": np.zeros((3, 2))}, "coordinates must have shape"),
    ],
)
def test_bad_input_is_refused(
    small_trace: Trace, coordinates: NDArray[np.float32], change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"coordinates": coordinates, "sequences": 1, **change}
    with pytest.raises(InputError, match=message):
        class_flow(small_trace, **arguments)


def test_coordinates_that_are_not_finite_are_named(small_trace: Trace, coordinates: NDArray[np.float32]) -> None:
    first = int(small_trace.offsets[5])
    points = coordinates.copy()
    points[first] = np.nan
    with pytest.raises(InputError, match=f"step {first} are not finite"):
        class_flow(small_trace, points, [5])
