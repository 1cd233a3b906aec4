"""The partitioned search: exact at full reach, its recall otherwise, copies, threads, files, kernels with no JIT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError, OutputError
from hiddenstate_core.kernels import nearest as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.nearest import Queries, search_cells
from hiddenstate_core.kernels.partition import hash_rows, reduce_rows
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors import NeighborGraph, States, indexed_neighbors, nearest_neighbors
from hiddenstate_core.neighbors import partition as partitions
from hiddenstate_core.neighbors.exact import exact_rows
from hiddenstate_core.neighbors.partition import Partition
from hiddenstate_core.neighbors.reduction import Reduction
from tests.oracles import neighbors as oracle

KINDS = ("clustered", "uniform", "trace", "copies", "lattice", "far")


def _points(kind: str, n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        x = rng.random((n, d))
    elif kind == "lattice":  # distances tie by the dozen
        x = rng.integers(0, 3, (n, d)).astype(np.float64)
    elif kind == "trace":  # a path of few directions, with some noise
        x = np.tanh(0.1 * rng.normal(size=(n, 4)).cumsum(axis=0) @ rng.normal(size=(4, d)))
        x = x + 0.01 * rng.normal(size=(n, d))
    else:
        x = rng.normal(size=(20, d))[rng.integers(0, 20, n)] + 0.2 * rng.normal(size=(n, d)) * 0.9 ** np.arange(d)
        if kind == "copies":
            x[rng.integers(0, n, n // 2)] = x[0]
        if kind == "far":  # all but a few far from the origin, beside their distances
            x = 3 + 1e-3 * x
            x[:5] = -3
    return x.astype(np.float32)


@pytest.fixture
def many_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells and reduced rows also where there are few points."""
    monkeypatch.setattr(partitions, "_SINGLE", 1)
    monkeypatch.setattr(partitions, "_FILL", 1)
    monkeypatch.setattr(partitions, "_LINKS", 7)


def _same(a: NeighborGraph, b: NeighborGraph) -> bool:
    return a.indices.tobytes() == b.indices.tobytes() and a.distances.tobytes() == b.distances.tobytes()


@pytest.mark.usefixtures("many_cells")
@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.integers(2, 400), st.integers(1, 40), st.integers(0, 2**31), st.data())
def test_at_full_reach_it_is_exact(kind: str, n: int, d: int, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(n - 1, 60)))
    x = _points(kind, n, d, seed)
    graph = nearest_neighbors(x, k, method="exact")
    kept = States.read(x)
    points = kept.data.astype(np.float64)
    ids, distances = oracle.nearest(points, k)
    np.testing.assert_allclose(graph.distances, distances * kept.scale, rtol=1e-6)
    # sums in another order may swap neighbours whose distances agree to the last bits, nothing else
    rows = np.nonzero(graph.indices != ids)[0]
    swapped = graph.indices != ids
    table = oracle.distances(points, points)
    np.testing.assert_allclose(table[rows, graph.indices[swapped]], table[rows, ids[swapped]], rtol=1e-12)
    if kind == "lattice":
        np.testing.assert_array_equal(graph.indices, ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_recall_is_what_was_asked_for(kind: str) -> None:
    x = _points(kind, 6000, 24)
    graph, index = indexed_neighbors(x, 15, method="partitioned", recall=0.9)
    true = nearest_neighbors(x, 15, method="exact")
    share = oracle.recall(graph.distances.astype(np.float64), true.distances.astype(np.float64))
    assert share >= 0.88
    assert abs(share - graph.recall) <= 2 * graph.recall_error + 0.002
    assert graph.method == "partitioned"
    assert index is not None
    assert (np.diff(graph.distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 15 for row in graph.indices[::100].tolist())
    again = np.linalg.norm((x[graph.indices] - x[:, None]).astype(np.float64), axis=2)
    np.testing.assert_allclose(graph.distances, again, rtol=1e-5, atol=1e-12)


def test_less_recall_searches_less_far() -> None:
    x = _points("trace", 6000, 24)
    low, high = (nearest_neighbors(x, 15, method="partitioned", recall=r) for r in (0.7, 0.99))
    assert 0.65 <= low.recall < high.recall
    assert high.recall >= 0.98
    whole = nearest_neighbors(x, 15, method="partitioned", recall=1.0)
    assert _same(whole, nearest_neighbors(x, 15, method="exact"))
    assert (whole.recall, whole.recall_error) == (1.0, 0.0)


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_nothing_depends_on_threads(method: str) -> None:
    x = _points("copies", 5000, 13)
    graphs = [nearest_neighbors(x, 20, method=method, n_jobs=n) for n in (1, 2, 3)]
    assert _same(graphs[0], graphs[1])
    assert _same(graphs[0], graphs[2])


def test_the_seed_repeats() -> None:
    x = _points("trace", 5000, 13)
    assert _same(*(nearest_neighbors(x, 9, method="partitioned", seed=3, recall=0.9) for _ in range(2)))


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_float16_in_a_file_gives_the_same(method: str, tmp_path: Path) -> None:
    half = _points("trace", 3000, 10).astype(np.float16)
    np.save(tmp_path / "x.npy", half)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    wanted = nearest_neighbors(half.astype(np.float32), 9, method=method)
    assert _same(nearest_neighbors(mapped, 9, method=method), wanted)
    assert _same(nearest_neighbors(np.asfortranarray(half), 9, method=method), wanted)


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_states_in_a_file_give_the_same(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = _points("copies", 3000, 10)
    wanted = nearest_neighbors(x, 9, method=method)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(partitions, "_GATHERED", 4 * 10 * 100)
    states = States.read(x, memory=1000)
    assert states.mapped
    assert not States.read(x).mapped
    graph, index = indexed_neighbors(states, 9, method=method)
    assert index is not None
    assert _same(graph, wanted)
    assert not list(tmp_path.iterdir())  # nothing is left, not even now
    x[17, 3] = np.nan
    with pytest.raises(InputError, match="State 17"):
        States.read(x, memory=1000)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match="TMPDIR"):
        States.read(np.eye(50), memory=10)


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_copies_leave_room_for_real_neighbours(method: str) -> None:
    x = _points("clustered", 12000, 8)
    x[3000:8000] = x[17]
    x[8000:] = x[18]
    graph = nearest_neighbors(x, 20, method=method, recall=0.99)
    assert graph.indices[17].tolist() == list(range(3000, 3020))
    assert graph.indices[3005].tolist() == [17, *(i for i in range(3000, 3020) if i != 3005)]
    assert graph.indices[7999].tolist() == [17, *range(3000, 3019)]
    assert graph.indices[11999].tolist() == [18, *range(8000, 8019)]
    others = np.delete(np.arange(3000), [17, 18])
    few = np.concatenate([np.arange(3000), range(3000, 3019), range(8000, 8019)])
    true = nearest_neighbors(x[few], 20, method="exact").distances[others]
    share = oracle.recall(graph.distances[others].astype(np.float64), true.astype(np.float64))
    assert share > 0.97


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_all_points_equal(method: str) -> None:
    graph = nearest_neighbors(np.full((5000, 7), 0.3), 12, method=method)
    assert not graph.distances.any()
    assert graph.indices[4000].tolist() == list(range(12))
    assert graph.indices[3].tolist() == [0, 1, 2, *range(4, 13)]


def test_zero_and_minus_zero_are_equal() -> None:
    x = np.zeros((40, 3), np.float32)
    x[::2] = -0.0
    assert nearest_neighbors(x, 3).indices[39].tolist() == [0, 1, 2]


@pytest.mark.usefixtures("many_cells")
@pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 2), (40, 39), (41, 39), (300, 298)])
def test_nearly_all_are_neighbours(n: int, k: int) -> None:
    x = _points("clustered", n, 5)
    ids, _ = oracle.nearest(x.astype(np.float64), k)
    for method in ("exact", "partitioned"):
        np.testing.assert_array_equal(np.sort(nearest_neighbors(x, k, method=method).indices), np.sort(ids))


def test_rows_alone_in_any_order() -> None:
    states = States.read(_points("copies", 4000, 6))
    whole = nearest_neighbors(states, 9, method="exact")
    rows = np.random.default_rng(0).integers(0, 4000, 500)
    indices, distances = exact_rows(states, rows, 9)
    np.testing.assert_array_equal(indices, whole.indices[rows])
    np.testing.assert_array_equal(distances, whole.distances[rows])


@pytest.mark.parametrize("recall", [0.0, -1.0, 1.5, float("nan")])
def test_a_bad_recall_is_refused(recall: float) -> None:
    with pytest.raises(InputError, match="recall"):
        nearest_neighbors(np.eye(5), 2, recall=recall)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(KINDS), st.integers(1, 60), st.integers(0, 99))
def test_reduced_rows_are_never_further_apart(kind: str, d: int, seed: int) -> None:
    x = _points(kind, 80, d, seed)
    reduction = Reduction.fit(x, seed)
    basis = reduction.basis
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-13)
    with Workers(1) as workers:
        short = reduction(x, workers).astype(np.float64)
    assert short.shape[1] % 4 == 0
    before = oracle.distances(x.astype(np.float64), x.astype(np.float64))
    norms = np.linalg.norm(short, axis=1)
    blur = reduction.drift * (norms[:, None] + norms[None])
    assert (oracle.distances(short, short) <= before + blur).all()


def test_few_directions_shorten_rows() -> None:
    assert Reduction.fit(_points("trace", 3000, 64), 0).size <= 24
    assert Reduction.fit(_points("uniform", 3000, 64), 0).basis.shape == (64, 64)


def test_kernels_without_the_jit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = _points("clustered", 90, 6)
    x[80:] = x[2]
    monkeypatch.setattr(partitions, "_SINGLE", 1)
    monkeypatch.setattr(partitions, "_FILL", 1)
    monkeypatch.setattr(partitions, "_CELLS", 1)
    with Workers(1) as workers:
        cells = Partition.build(States.read(x), 6, seed=0, workers=workers)
        wanted = cells.whole(5, 1.0, workers=workers)
        hashes, short = np.empty(90, np.uint64), np.empty((90, cells.reduction.size), np.float32)
        with np.errstate(over="ignore"):
            plain(hash_rows)(0, 90, x.view(np.uint32), hashes)
        assert len(np.unique(hashes)) == len(np.unique(x, axis=0))
        plain(reduce_rows)(0, 90, x, cells.reduction.center, cells.reduction.basis, short)
        np.testing.assert_allclose(short, cells.reduction(x, workers), rtol=1e-5, atol=1e-6)
        for name in ("_squared_distance", "_select", "_write", "_screen", "_hits", "_join"):
            monkeypatch.setattr(kernels, name, plain(getattr(kernels, name)))
        monkeypatch.setattr(partitions, "search_cells", plain(search_cells))
        found = cells.whole(5, 1.0, workers=workers)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


def test_units_hold_one_cell_and_no_more_than_a_panel() -> None:
    cell = np.repeat([3, 5, 9], [1, 200, 64])
    units = partitions._units(cell)
    assert units.tolist() == [[3, 0, 1], [5, 1, 65], [5, 65, 129], [5, 129, 193], [5, 193, 201], [9, 201, 265]]
    assert Queries._fields[0] == "units"
