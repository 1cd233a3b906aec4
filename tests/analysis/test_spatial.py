"""The spatial order of a map: windows, counts, nearest points and polygons agree with looking at every point."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.analysis.spatial import SpatialOrder, open_spatial_order, spatial_order, store_spatial_order
from hiddenstate_core.errors import InputError, StoreError, StoreNotFoundError
from hiddenstate_core.traces import Trace
from tests.fakes import make_trace
from tests.oracles.spatial import in_polygon, in_window, nearest

#: Coordinates that meet each other and the cells' borders often.
number = st.one_of(st.integers(-8, 8).map(lambda n: n / 4), st.floats(-3, 3, width=32))


def clustered(n: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(7, 2)) * 10
    points = centres[rng.integers(0, 7, n)] + rng.normal(size=(n, 2)) * rng.choice([0.01, 1, 3], n)[:, None]
    points[: n // 10] = points[0]  # a thousand equal points, as repeated prefixes make them
    return points.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(number, number), max_size=60), st.tuples(number, number), st.tuples(number, number))
def test_windows_of_few_points_hold_what_lies_in_them(
    rows: list[tuple[float, float]], a: tuple[float, float], b: tuple[float, float]
) -> None:
    points = np.array(rows, np.float32).reshape(-1, 2)
    order = SpatialOrder.build(points)
    assert sorted(order.steps.tolist()) == list(range(len(points)))
    assert np.array_equal(order.coordinates, points[order.steps])
    window = min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
    assert np.array_equal(np.sort(order.steps[order.places(*window)]), in_window(points, *window))
    assert order.count(*window) == len(in_window(points, *window))
    reach = abs(b[0])
    assert order.nearest(a[0], a[1], reach) == nearest(points, a[0], a[1], reach)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_windows_of_many_points(data: st.DataObject) -> None:
    points = clustered(30_000)
    order = SpatialOrder.build(points)
    assert order.levels > 4
    low, high = points.min(axis=0), points.max(axis=0)
    x = sorted(data.draw(st.tuples(*[st.floats(low[0] - 1, high[0] + 1)] * 2)))
    y = sorted(data.draw(st.tuples(*[st.floats(low[1] - 1, high[1] + 1)] * 2)))
    if data.draw(st.booleans()):  # edges that go through points
        some = points[data.draw(st.integers(0, len(points) - 1))].astype(np.float64)
        x, y = sorted([float(some[0]), x[0]]), sorted([float(some[1]), y[0]])
    window = (x[0], x[1], y[0], y[1])
    expected = in_window(points, *window)
    assert np.array_equal(np.sort(order.steps[order.places(*window)]), expected)
    assert order.count(*window) == len(expected)
    runs = order.window(*window)
    assert (runs[:, 0] < runs[:, 1]).all()
    assert (runs[1:, 0] > runs[:-1, 1]).all()


def test_a_small_window_touches_few_points() -> None:
    points = np.random.default_rng(1).random((200_000, 2)).astype(np.float32)
    order = SpatialOrder.build(points)
    runs = order.window(0.4, 0.45, 0.7, 0.75)
    inside = len(in_window(points, 0.4, 0.45, 0.7, 0.75))
    assert 0 < inside <= int(np.diff(runs, axis=1).sum()) < 20_000
    assert len(order.window(*order.extent)) == 1


def test_nothing_depends_on_the_number_of_threads() -> None:
    points = clustered(150_000, 3)
    one, two = SpatialOrder.build(points, n_jobs=1), SpatialOrder.build(points, n_jobs=2)
    for name in ("steps", "points", "offsets"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    xs, ys = [-9.0, 9.0, 3.0, -4.0], [-9.0, -5.0, 12.0, 1.0]
    assert np.array_equal(one.inside(xs, ys, n_jobs=1), two.inside(xs, ys, n_jobs=2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(number, number), max_size=40), st.lists(st.tuples(number, number), max_size=9))
def test_polygons(rows: list[tuple[float, float]], corners: list[tuple[float, float]]) -> None:
    points = np.array(rows, np.float32).reshape(-1, 2)
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    expected = in_polygon(points, xs, ys).tolist() if len(corners) > 2 else []
    assert SpatialOrder.build(points).inside(xs, ys).tolist() == expected


def test_a_star_has_a_hole() -> None:
    points = clustered(3_000, 5)
    turn = np.arange(5) * 4 * np.pi / 5
    xs, ys = (8 * np.cos(turn)).tolist(), (8 * np.sin(turn)).tolist()
    found = SpatialOrder.build(points).inside(xs, ys)
    assert found.tolist() == in_polygon(points, xs, ys).tolist()
    assert 0 < len(found) < len(points)
    middle = np.array([[0.0, 0.0], [5.0, 0.0]], np.float32)
    assert SpatialOrder.build(middle).inside(xs, ys).tolist() == [1]


def test_a_sample_is_spread_over_the_map() -> None:
    points = clustered(20_000)
    order = SpatialOrder.build(points)
    sample = order.sample(500)
    assert 450 <= len(sample) <= 500
    assert (np.diff(sample) > 0).all()
    assert np.abs(points[sample].mean(axis=0) - points.mean(axis=0)).max() < 0.2
    assert len(order.sample(10**9)) == len(points)
    assert len(SpatialOrder.build(np.zeros((0, 2))).sample(5)) == 0


def test_what_is_not_a_map_is_refused() -> None:
    for wrong in (np.zeros(4), np.zeros((3, 1)), np.array([[0, np.nan]]), np.array([[np.inf, 0]])):
        with pytest.raises(InputError, match="coordinates"):
            SpatialOrder.build(wrong)
    order = SpatialOrder.build(np.zeros((4, 2)))
    with pytest.raises(InputError, match="finite"):
        order.inside([0, 1, np.nan], [0, 1, 2])
    with pytest.raises(InputError, match="corners"):
        order.inside([0, 1], [0, 1, 2])
    with pytest.raises(InputError, match="at least 0"):
        order.sample(-1)
    assert order.nearest(float("nan"), 0, 1) is None
    assert order.count(1, 0, 0, 1) == 0
    assert len(order.window(float("nan"), 1, 0, 1)) == 0


def test_it_is_stored_beside_the_projection_and_mapped(tmp_path: Path) -> None:
    trace = make_trace(tmp_path / "a.zarr", 12)
    assert open_spatial_order(trace, "tsne") is None
    made = SpatialOrder.build(trace.projection("tsne").coordinates)
    stored = store_spatial_order(trace, "tsne")
    for name in ("steps", "points", "offsets"):
        assert np.array_equal(getattr(made, name), getattr(stored, name))
        array = getattr(stored, name)
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        assert isinstance(array, np.memmap)
    assert (made.low, made.width) == (stored.low, stored.width)
    assert made.count(-1, 1, -1, 1) == stored.count(-1, 1, -1, 1)
    assert trace.projections == ("tsne",)
    trace.add_projection("tsne", np.zeros((trace.steps, 2)), overwrite=True)
    assert open_spatial_order(trace, "tsne") is None  # it went with the map that it was of
    assert spatial_order(trace, "tsne").extent == (0.0, 0.0, 0.0, 0.0)
    assert open_spatial_order(trace, "tsne") is not None
    with pytest.raises(StoreNotFoundError):
        spatial_order(trace, "umap")
    with pytest.raises(InputError):
        spatial_order(trace, "../tsne")


@pytest.mark.parametrize("damage", ["short", "offsets", "steps", "json", "types"])
def test_a_damaged_order_is_refused_and_made_again(tmp_path: Path, damage: str) -> None:
    make_trace(tmp_path / "a.zarr", 12)
    trace = Trace(tmp_path / "a.zarr")
    store_spatial_order(trace, "tsne")
    folder = tmp_path / "a.zarr" / "projections" / "tsne" / "spatial"
    if damage == "short":
        path = folder / "steps" / "c" / "0"
        path.write_bytes(path.read_bytes()[:-8])
    elif damage in ("offsets", "steps"):
        path = folder / damage / "c" / "0"
        numbers = np.frombuffer(path.read_bytes(), "<i8").copy()
        numbers[1] = 10**12
        path.write_bytes(numbers.tobytes())
    elif damage == "json":
        (folder / "points" / "zarr.json").write_text("{")
    else:
        about = json.loads((folder / "points" / "zarr.json").read_text())
        about["data_type"] = "int32"
        (folder / "points" / "zarr.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="projections/tsne/spatial is damaged"):
        open_spatial_order(trace, "tsne")
    expected = SpatialOrder.build(trace.projection("tsne").coordinates)
    assert np.array_equal(spatial_order(trace, "tsne").steps, expected.steps)
    assert open_spatial_order(trace, "tsne") is not None


def test_a_store_that_cannot_be_written_is_sorted_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = make_trace(tmp_path / "a.zarr", 12)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(spatial_order(trace, "tsne")) == trace.steps
    assert open_spatial_order(trace, "tsne") is None
