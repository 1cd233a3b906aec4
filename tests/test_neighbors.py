"""Neighbour graphs: exact against an oracle, copies by the thousand, ties, thread counts, bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import NeighborGraph, NeighborIndex, States, nearest_neighbors
from hiddenstate_core.neighbors.descent import measured_recall
from hiddenstate_core.neighbors.exact import exact_rows
from tests.oracles import tsne as oracle


def _states(seed: int, n: int, d: int) -> NDArray[np.float32]:
    """States in which many are exact or near copies of others."""
    rng = np.random.default_rng(seed)
    x = np.tanh(rng.normal(size=(n, d))).astype(np.float32)
    for _ in range(n // 3):
        i, j = rng.integers(0, n, 2)
        x[i] = x[j] + (rng.random() < 0.3) * np.float32(1e-6) * rng.normal(size=d).astype(np.float32)
    return x


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(2, 150), st.integers(1, 21), st.data())
def test_exact_is_exact_with_copies_and_ties(seed: int, n: int, d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n - 1))
    x = _states(seed, n, d)
    if data.draw(st.booleans()):
        x = (np.round(2 * x) / 2).astype(np.float32)  # distances tie by the dozen
    graph = nearest_neighbors(x, k, method="exact")
    kept = States.read(x)
    ids, distances = oracle.nearest(kept.data.astype(np.float64), k)
    np.testing.assert_allclose(graph.distances, distances * kept.scale, rtol=1e-6)
    # sums in another order may swap neighbours whose distances agree to the last bits, nothing else
    swapped = graph.indices != ids
    squared = oracle.squared_distances(kept.data.astype(np.float64))
    rows = np.nonzero(swapped)[0]
    np.testing.assert_allclose(squared[rows, graph.indices[swapped]], squared[rows, ids[swapped]], rtol=1e-12)
    assert (graph.recall, graph.method) == (1.0, "exact")


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_ties_go_to_the_smaller_id(offset: float) -> None:
    x = np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [1, 0]], np.float64) + offset
    graph = nearest_neighbors(x, 4)
    assert graph.indices[0].tolist() == [1, 2, 3, 4]
    assert graph.indices[5].tolist() == [1, 0, 2, 4]
    assert graph.distances[5].tolist() == [0.0, 1.0, pytest.approx(2**0.5), pytest.approx(2**0.5)]


def test_thousands_of_copies() -> None:
    x = np.random.default_rng(0).normal(size=(4000, 8)).astype(np.float32)
    x[500:3500] = x[17]
    graph = nearest_neighbors(x, 20)
    assert graph.indices[17].tolist() == list(range(500, 520))
    assert graph.indices[600].tolist() == [17, *range(500, 519)]
    assert (graph.distances[600] == 0).all()
    assert graph.indices[510].tolist() == [17, *(i for i in range(500, 520) if i != 510)]


def test_all_states_equal() -> None:
    graph = nearest_neighbors(np.full((50, 3), 0.7), 5)
    assert graph.indices[0].tolist() == [1, 2, 3, 4, 5]
    assert graph.indices[3].tolist() == [0, 1, 2, 4, 5]
    assert not graph.distances.any()


def test_result_does_not_depend_on_threads() -> None:
    x = _states(4, 3000, 13)
    results = [nearest_neighbors(x, 30, n_jobs=n) for n in (1, 2, 3)]
    for other in results[1:]:
        assert other.indices.tobytes() == results[0].indices.tobytes()
        assert other.distances.tobytes() == results[0].distances.tobytes()


def test_some_rows_are_rows_of_the_whole() -> None:
    x = States.read(_states(2, 300, 6))
    whole = nearest_neighbors(x, 9)
    rows = np.array([7, 299, 0, 123])
    indices, distances = exact_rows(x, rows, 9)
    np.testing.assert_array_equal(indices, whole.indices[rows])
    np.testing.assert_array_equal(distances, whole.distances[rows])


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-25, 1e25), st.integers(0, 1000))
def test_distances_keep_their_units_at_any_scale(scale: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(40, 3))
    small, large = nearest_neighbors(x, 5), nearest_neighbors(x * scale, 5)
    np.testing.assert_allclose(large.distances, small.distances * scale, rtol=1e-3)


def test_an_offset_far_larger_than_the_variation_loses_nothing() -> None:
    x = np.random.default_rng(3).normal(size=(100, 4)).astype(np.float32)
    moved = (x.astype(np.float64) + 1e6).astype(np.float32)
    _, distances = oracle.nearest(moved.astype(np.float64), 7)
    graph = nearest_neighbors(moved, 7)
    np.testing.assert_allclose(graph.distances, distances, rtol=1e-6)


def test_every_kind_of_array_gives_the_same(tmp_path: Path) -> None:
    base = np.random.default_rng(1).normal(size=(90, 12)).astype(np.float16)
    wanted = nearest_neighbors(base.astype(np.float32), 8)
    np.save(tmp_path / "x.npy", base)
    frozen = base.copy()
    frozen.flags.writeable = False
    stored = zarr.create_array(store=tmp_path / "x.zarr", shape=base.shape, chunks=(7, 12), dtype="float16")
    stored[:] = base
    wide = np.zeros((180, 24), np.float32)
    wide[::2, ::2] = base
    kinds = {
        "float16": base,
        "float64": base.astype(np.float64),
        "fortran": np.asfortranarray(base),
        "strided": wide[::2, ::2],
        "read-only": frozen,
        "mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "zarr": stored,
        "list": base.tolist(),
    }
    for name, kind in kinds.items():
        graph = nearest_neighbors(kind, 8)
        assert graph.indices.tobytes() == wanted.indices.tobytes(), name
        assert graph.distances.tobytes() == wanted.distances.tobytes(), name


def test_whole_numbers_and_booleans_are_states_too() -> None:
    x = np.random.default_rng(0).integers(0, 2**40, (30, 3))
    ids, _ = oracle.nearest(x.astype(np.float64), 4)
    np.testing.assert_array_equal(nearest_neighbors(x, 4).indices, ids)
    assert nearest_neighbors(x % 2 == 0, 4).indices.shape == (30, 4)


def test_reading_in_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(5).normal(size=(101, 3)) + [0, 50, -900]
    whole = States.read(x)
    monkeypatch.setattr("hiddenstate_core.neighbors.states._BLOCK", 8 * 3 * 10)
    pieces = States.read(x)
    assert whole.data.tobytes() == pieces.data.tobytes()
    assert whole.scale == pieces.scale
    x[57, 1] = np.nan
    with pytest.raises(InputError, match="State 57 holds nan in feature 1"):
        States.read(x)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros(5), "not one of shape"),
        (np.zeros((2, 3, 4)), "not one of shape"),
        (np.zeros((0, 4)), "no states"),
        (np.zeros((4, 0)), "no states"),
        (np.array([["a", "b"], ["c", "d"]]), "real numbers"),
        (np.zeros((3, 2), complex), "real numbers"),
        ([[1.0, 2.0], [3.0]], "must form an array"),
        (np.array([[1.0, 2.0], [np.inf, 0.0]]), "State 1 holds inf in feature 0"),
        (np.array([[1.0, 1e31], [0.0, 0.0]]), "State 0 holds 1e\\+31"),
        (7, "not one of shape"),
    ],
)
def test_bad_states_are_refused_by_name(bad: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        States.read(bad)


@pytest.mark.parametrize("k", [0, 5, -1])
def test_bad_number_of_neighbours(k: int) -> None:
    with pytest.raises(InputError, match="1 to 4 neighbours"):
        nearest_neighbors(np.eye(5), k)


def test_unknown_method() -> None:
    with pytest.raises(InputError, match="'magic'"):
        nearest_neighbors(np.eye(5), 2, method="magic")


def test_a_graph_is_checked() -> None:
    ids, distances = np.array([[1], [0], [0]]), np.ones((3, 1), np.float32)
    assert NeighborGraph(ids, distances).k == 1
    spoilt: list[tuple[Any, Any]] = [
        (np.array([[0], [0], [0]]), distances),
        (np.array([[1], [0], [3]]), distances),
        (ids.astype(np.int32), distances),
        (ids, distances.astype(np.float64)),
        (ids, distances[:2]),
        (ids, -distances),
        (ids, distances * np.float32(np.nan)),
    ]
    for bad_ids, bad_distances in spoilt:
        with pytest.raises(InputError):
            NeighborGraph(bad_ids, bad_distances)
    with pytest.raises(InputError, match="not empty"):
        NeighborGraph(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32))
    with pytest.raises(InputError, match="asarray on lists"):
        NeighborGraph([[1], [0]], [[1.0], [1.0]])  # type: ignore[arg-type]


def test_the_nearest_come_first_in_a_graph() -> None:
    made = nearest_neighbors(np.random.default_rng(0).normal(size=(50, 3)), 8)
    distances = made.distances.copy()
    distances[7] = distances[7, ::-1]
    with pytest.raises(InputError, match="The distances of point 7 do not ascend"):
        NeighborGraph(made.indices, distances)


def test_recall_counts_true_neighbours() -> None:
    x = States.read(np.random.default_rng(0).normal(size=(200, 4)))
    graph = nearest_neighbors(x, 10)
    assert measured_recall(x, graph.indices) == 1.0
    spoilt = graph.indices.copy()
    spoilt[:, :5] = nearest_neighbors(x, 199).indices[:, -5:]
    assert measured_recall(x, spoilt) == 0.5
    assert measured_recall(x, spoilt, sample=20) == 0.5


@pytest.mark.slow
def test_descent_finds_nearly_all_and_repeats_itself() -> None:
    x = _states(9, 3000, 10)
    x[1000:1400] = x[3]
    graphs = [nearest_neighbors(x, 15, method="nndescent", n_jobs=n) for n in (1, 2)]
    assert graphs[0].method == "nndescent"
    assert 0.95 <= graphs[0].recall <= 1.0
    assert graphs[0].indices.tobytes() == graphs[1].indices.tobytes()
    true = nearest_neighbors(x, 15)
    np.testing.assert_allclose(graphs[0].distances[1000:1400], 0)
    assert (graphs[0].distances >= true.distances * np.float32(1 - 1e-5)).all()
    assert (np.diff(graphs[0].distances, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"recall": "much"}, "recall must lie above 0"),
        ({"recall": 0}, "recall must lie above 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_bad_options_are_refused_by_name(option: dict[str, Any], message: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(InputError, match=message):
        nearest_neighbors(x, 5, **option)
    with pytest.raises(InputError, match=message):
        NeighborIndex.build(x, **option)


def test_descent_takes_any_seed() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    made, same = (nearest_neighbors(x, 5, method="nndescent", seed=seed) for seed in (2**40 + 3, 3))
    np.testing.assert_array_equal(made.distances, same.distances)


def test_masked_values_are_no_states() -> None:
    x = np.ma.masked_greater(np.random.default_rng(0).normal(size=(40, 3)), 1.0)
    with pytest.raises(InputError, match="are masked"):
        States.read(x)
    assert len(States.read(np.ma.masked_greater(x.data, 100.0))) == 40
