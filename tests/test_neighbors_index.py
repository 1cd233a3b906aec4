"""`NeighborIndex`: new points against an oracle, alone and in company; kept from a search; bad questions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import NeighborIndex, States, indexed_neighbors
from hiddenstate_core.neighbors import index as indexes
from tests.oracles import neighbors as oracle


def _states(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(15, d))[rng.integers(0, 15, n)] + 0.3 * rng.normal(size=(n, d)) * 0.9 ** np.arange(d)
    x[n // 2 : n // 2 + n // 10] = x[0]
    return x.astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 300), st.integers(1, 30), st.integers(0, 2**31), st.data())
def test_few_states_are_searched_exactly(n: int, d: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    x, new = _states(n, d, seed), _states(20, d, seed + 1)
    new[:5] = x[:5] if n >= 5 else x[0]
    ids, distances = NeighborIndex.build(x).query(new, k)
    true_ids, true = oracle.nearest_to(x.astype(np.float64), new.astype(np.float64), k)
    np.testing.assert_allclose(distances, true, rtol=1e-5, atol=1e-12)
    table = oracle.distances(new.astype(np.float64), x.astype(np.float64))
    np.testing.assert_allclose(np.take_along_axis(table, ids, 1), np.take_along_axis(table, true_ids, 1), rtol=1e-9)
    assert ids.dtype == np.int64
    assert distances.dtype == np.float32
    assert distances[0, 0] == 0


@pytest.fixture
def approximate(monkeypatch: pytest.MonkeyPatch) -> tuple[NeighborIndex, NDArray[np.float32], NDArray[np.float32]]:
    monkeypatch.setattr(indexes, "_EXACT_POINTS", 1000)
    x = _states(6300, 16)
    x, new = x[:6000], x[6000:] + np.float32(1e-3)
    index = NeighborIndex.build(x, k=12, recall=0.9)
    assert index.reach < 1
    return index, x, new


def test_an_answer_does_not_depend_on_the_company(
    approximate: tuple[NeighborIndex, NDArray[np.float32], NDArray[np.float32]],
) -> None:
    index, x, new = approximate
    ids, distances = index.query(new, 12)
    share = oracle.recall(
        distances.astype(np.float64), oracle.nearest_to(x.astype(np.float64), new.astype(np.float64), 12)[1]
    )
    assert share >= 0.85
    order = np.random.default_rng(0).permutation(len(new))
    for n_jobs in (1, 2, 3):
        other = index.query(new[order], 12, n_jobs=n_jobs)
        np.testing.assert_array_equal(other[0], ids[order])
        np.testing.assert_array_equal(other[1], distances[order])
    for i in range(0, len(new), 7):
        alone = index.query(new[i : i + 1], 12)
        np.testing.assert_array_equal(alone[0][0], ids[i])
        np.testing.assert_array_equal(alone[1][0], distances[i])


def test_more_neighbours_than_copies_kept(
    approximate: tuple[NeighborIndex, NDArray[np.float32], NDArray[np.float32]],
) -> None:
    index, x, _ = approximate
    ids, distances = index.query(x[:1], 100)
    assert ids[0].tolist() == [0, *range(3150, 3249)]
    assert not distances.any()


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_the_search_for_a_graph_leaves_an_index(method: str) -> None:
    x = _states(3000, 9) + np.float32(50)
    graph, index = indexed_neighbors(x, 9, method=method)
    assert index is not None
    assert len(index) == 3000
    ids, distances = index.query(x, 10)
    rows = np.r_[1:1500, 1800:3000]  # without copies a point's first neighbour is itself
    np.testing.assert_array_equal(ids[rows, 0], rows)
    assert (distances[rows, 1:] <= graph.distances[rows]).all()  # so few are always searched exactly
    if method == "exact":
        np.testing.assert_array_equal(distances[rows, 1:], graph.distances[rows])


def test_kinds_of_arrays_and_none_at_all() -> None:
    x = _states(200, 6).astype(np.float16)
    index = NeighborIndex.build(x)
    wanted = index.query(x[:9].astype(np.float32), 4)
    for kind in (x[:9], np.asfortranarray(x[:9]), x[:9].tolist(), x[:9].astype(np.float64)):
        np.testing.assert_array_equal(index.query(kind, 4)[0], wanted[0])
    assert index.query(np.empty((0, 6)), 4)[0].shape == (0, 4)


def test_new_states_share_the_frame_of_the_old() -> None:
    x = np.array([[1000.0, 1], [1001, -1], [1002, 0.5]])
    states = States.read(x)
    np.testing.assert_array_equal(states.convert(x), states.data)
    np.testing.assert_array_equal(states.convert(x.astype(np.float16)), states.data)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (np.zeros((2, 5)), "must have 6 features"),
        (np.full((1, 6), np.nan), "State 0 holds nan"),
        (np.full((2, 6), 1e25), "New state 0 is more than"),
        (np.zeros(6), "not one of shape"),
        ([["a"] * 6], "real numbers"),
    ],
)
def test_bad_points_are_refused(points: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        NeighborIndex.build(_states(50, 6)).query(points, 3)


@pytest.mark.parametrize("k", [0, 51, -3])
def test_a_bad_number_is_refused(k: int) -> None:
    with pytest.raises(InputError, match="1 to 50 neighbours"):
        NeighborIndex.build(_states(50, 6)).query(np.zeros((1, 6)), k)


def test_an_index_needs_sound_options() -> None:
    with pytest.raises(InputError, match="recall"):
        NeighborIndex.build(np.eye(5), recall=0)
    with pytest.raises(InputError, match="at least 1"):
        NeighborIndex.build(np.eye(5), k=0)
    assert len(NeighborIndex.build(np.ones((1, 3)))) == 1
