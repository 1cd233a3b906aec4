"""Affinities of every kind against float64 oracles: rows, symmetrisation, the user's own matrices, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import affinities as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.neighbors import NeighborGraph, nearest_neighbors
from hiddenstate_core.projection import affinities as module
from hiddenstate_core.projection.affinities import (
    Affinities,
    multiscale_affinities,
    perplexity_affinities,
    uniform_affinities,
)
from hiddenstate_core.projection.precomputed import precomputed_affinities
from tests.oracles import affinities as oracle
from tests.oracles import tsne

Double = NDArray[np.float64]


def _graph(seed: int, n: int, k: int) -> NeighborGraph:
    """A graph whose edges are drawn at random: some mutual, some not, some points nobody's neighbour."""
    rng = np.random.default_rng(seed)
    ids = np.array([rng.choice(n - 1, k, replace=False) for _ in range(n)]).reshape(n, k)
    ids += ids >= np.arange(n)[:, None]
    distances = np.sort(rng.gamma(3, size=(n, k)), axis=1).astype(np.float32)
    return NeighborGraph(ids.astype(np.int64), distances)


def _check_form(a: Affinities) -> None:
    dense = a.dense()
    np.testing.assert_array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    assert a.values.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    rows = np.repeat(np.arange(a.n), np.diff(a.offsets))
    assert (np.diff(rows * a.n + a.columns) > 0).all(), "columns must ascend in every row"
    assert a.columns.flags.owndata
    assert a.values.flags.owndata


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 40), st.floats(1, 50), st.floats(-15, 15))
def test_rows_have_the_wanted_perplexity(seed: int, n: int, k: int, perplexity: float, log_scale: float) -> None:
    rng = np.random.default_rng(seed)
    distances = np.sort(rng.gamma(2, size=(n, k)) * 10**log_scale, axis=1).astype(np.float32)
    rows = np.empty((n, k), np.float32)
    kernels.perplexity_rows(0, n, distances, np.array([perplexity]), rows)
    wanted = tsne.conditional(distances.astype(np.float64), min(perplexity, k))
    np.testing.assert_allclose(rows.sum(axis=1, dtype=np.float64), 1, rtol=1e-6)
    # where the perplexity is 1 or k, entropy is flat in beta, so rows may differ where perplexities do not
    np.testing.assert_allclose(tsne.perplexity(rows.astype(np.float64)), tsne.perplexity(wanted), rtol=1e-6)
    np.testing.assert_allclose(rows, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("start", [0, 5])
def test_a_row_does_not_depend_on_the_rows_before_it(start: int) -> None:
    distances = _graph(1, 40, 20).distances
    distances[7] *= np.float32(1e12)
    distances[8] = 0
    distances[9] = 3
    whole, part = np.empty((40, 20), np.float32), np.zeros((40, 20), np.float32)
    kernels.perplexity_rows(0, 40, distances, np.array([6.0]), whole)
    kernels.perplexity_rows(start, 40, distances, np.array([6.0]), part)
    np.testing.assert_allclose(part[start:], whole[start:], rtol=1e-4)
    np.testing.assert_allclose(whole[8:10], 1 / 20, rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(3, 60), st.lists(st.floats(1, 30), min_size=1, max_size=4), st.booleans())
def test_multiscale_is_the_mean_of_its_scales(seed: int, n: int, perplexities: list[float], equal: bool) -> None:
    graph = _graph(seed, n, min(n - 1, 12))
    if equal:
        graph.distances[0] = 0
        graph.distances[1] = 2
    made = multiscale_affinities(graph, perplexities)
    _check_form(made)
    p = oracle.multiscale(graph.distances.astype(np.float64), perplexities)
    np.testing.assert_allclose(made.dense(), tsne.joint(graph.indices, p), rtol=2e-3, atol=1e-7)


def test_one_scale_is_a_perplexity() -> None:
    graph = _graph(3, 50, 12)
    one, other = perplexity_affinities(graph, 4), multiscale_affinities(graph, [4])
    assert one.values.tobytes() == other.values.tobytes()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(3, 80), st.integers(1, 12), st.integers(1, 12))
def test_uniform(seed: int, n: int, k: int, room: int) -> None:
    room = min(n - 1, room)
    graph = _graph(seed, n, room)
    made = uniform_affinities(graph, min(k, room))
    _check_form(made)
    np.testing.assert_allclose(made.dense(), oracle.uniform(graph.indices, min(k, room)), rtol=1e-6)
    if k >= room:
        assert uniform_affinities(graph).values.tobytes() == made.values.tobytes()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(2, 700), st.integers(1, 9), st.integers(0, 200), st.integers(1, 500))
def test_buckets_and_rounds_leave_no_trace(seed: int, n: int, k: int, bucket: int, round_: int) -> None:
    graph = _graph(seed, n, min(k, n - 1))
    whole = perplexity_affinities(graph, 3, n_jobs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BUCKET_ENTRIES", bucket)
        patch.setattr(module, "_ROUND_ENTRIES", round_)
        patch.setattr(module, "_GRAIN", 256)
        parts = perplexity_affinities(graph, 3, n_jobs=2)
    _check_form(parts)
    for name in ("offsets", "columns", "values"):
        assert getattr(whole, name).tobytes() == getattr(parts, name).tobytes(), name


def test_a_hub_that_everyone_names() -> None:
    ids = np.zeros((300, 2), np.int64)
    ids[:, 1] = 1
    ids[0], ids[1] = [1, 2], [0, 2]
    made = uniform_affinities(NeighborGraph(ids, np.ones((300, 2), np.float32)), n_jobs=2)
    _check_form(made)
    np.testing.assert_allclose(made.dense(), oracle.uniform(ids, 2), rtol=1e-6)


def test_kernels_with_the_jit_off(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = nearest_neighbors(np.random.default_rng(0).normal(size=(25, 3)), 6)
    compiled = multiscale_affinities(graph, (2, 4))
    for name in ("perplexity_rows", "count_buckets", "fill_buckets", "merge_bucket"):
        monkeypatch.setattr(module, name, plain(getattr(kernels, name)))
    monkeypatch.setattr(kernels, "_weigh", plain(kernels._weigh))
    monkeypatch.setattr(module, "_BUCKET_ENTRIES", 20)
    interpreted = multiscale_affinities(graph, (2, 4))
    np.testing.assert_array_equal(compiled.columns, interpreted.columns)
    np.testing.assert_allclose(compiled.values, interpreted.values, rtol=1e-6)


@pytest.mark.parametrize("k", [0, 7, -1, 2.0, True, "3"])
def test_uniform_refuses_other_numbers_of_neighbours(k: Any) -> None:
    with pytest.raises(InputError, match="1 to 6 neighbours"):
        uniform_affinities(_graph(0, 20, 6), k)


@pytest.mark.parametrize("perplexities", [[], [0.5], [3, np.nan], ["many"]])
def test_multiscale_refuses_other_perplexities(perplexities: list[Any]) -> None:
    with pytest.raises(InputError, match="perplexity"):
        multiscale_affinities(_graph(0, 20, 6), perplexities)


def _similarities(seed: int, n: int, share: float, symmetric: bool) -> Double:
    rng = np.random.default_rng(seed)
    matrix = np.where(rng.random((n, n)) < share, rng.gamma(1, size=(n, n)), 0.0)
    if symmetric:
        matrix += matrix.T
    np.fill_diagonal(matrix, 0)
    matrix[0, 1] = 1
    return matrix


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**31), st.integers(2, 60), st.floats(0, 1), st.booleans(),
    st.sampled_from(["dense", "list", "float32", "csr", "csc", "coo", "csr_array", "triplet"]),
    st.sampled_from([1e-300, 1.0, 1e300]),
)  # fmt: skip
def test_precomputed(seed: int, n: int, share: float, symmetric: bool, form: str, scale: float) -> None:
    matrix = _similarities(seed, n, share, symmetric)
    rows = sp.csr_matrix(matrix * scale)
    given_: Any = {
        "dense": matrix * scale,
        "list": (matrix * scale).tolist(),
        "float32": matrix.astype(np.float32),
        "csr": rows,
        "csc": rows.tocsc(),
        "coo": rows.tocoo(),
        "csr_array": sp.csr_array(rows),
        "triplet": (rows.data, rows.indices, rows.indptr),
    }[form]
    made = precomputed_affinities(given_)
    _check_form(made)
    np.testing.assert_allclose(made.dense(), oracle.symmetric(matrix), rtol=1e-6, atol=1e-12)


def test_precomputed_changes_nothing_and_takes_disorder() -> None:
    data = np.array([1.0, 2, 0, 4, 5, 6])
    indices = np.array([2, 1, 0, 2, 0, 2], np.int32)  # row 1 names point 2 twice, and itself with a zero at 0
    indptr = np.array([0, 2, 6, 6], np.int32)
    wanted = np.array([[0, 2 + 5, 1], [5 + 2, 0, 10], [1, 10, 0]]) / 36
    kept = [array.copy() for array in (data, indices, indptr)]
    for array in (data, indices, indptr):
        array.flags.writeable = False
    for form in ((data, indices, indptr), sp.csr_matrix((data, indices, indptr), shape=(3, 3))):
        np.testing.assert_allclose(precomputed_affinities(form).dense(), wanted, rtol=1e-6)
    for array, copy in zip((data, indices, indptr), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_precomputed_affinities_pass_through_and_come_back() -> None:
    made = perplexity_affinities(_graph(2, 40, 8), 3)
    assert precomputed_affinities(made) is made
    again = precomputed_affinities((made.values, made.columns, made.offsets))
    np.testing.assert_array_equal(again.columns, made.columns)
    np.testing.assert_allclose(again.values, made.values, rtol=1e-6)


_GOOD = np.array([[0, 1.0], [1, 0]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(4), "square"),
        (3.0, "square"),
        (sp.csr_matrix(np.ones((3, 2))), "square"),
        (np.zeros((1, 1)), "2 to"),
        (np.zeros((4, 4)), "zero"),
        (sp.csr_matrix((4, 4)), "zero"),
        (np.full((2, 2), np.nan), "points 0 and [01] is nan"),
        (np.where(_GOOD > 0, np.inf, 0), "points 0 and 1 is inf"),
        (-_GOOD, "points 0 and 1 is -1"),
        (np.eye(3), "Point 0 has a similarity to itself"),
        (sp.csr_matrix(_GOOD + np.diag([0, 2])), "Point 1 .* 2"),
        (_GOOD.astype(complex), "real numbers"),
        (_GOOD.astype(str), "real numbers"),
        ([[0, 1], [1]], "dense"),
        ((np.ones(2), np.array([1, 0]), np.array([0, 1, 3])), "indptr"),
        ((np.ones(2), np.array([1, 0]), np.array([0, 3, 2])), "indptr"),
        ((np.ones(2), np.array([1, 2]), np.array([0, 1, 2])), "indices"),
        ((np.ones(2), np.array([1, -1]), np.array([0, 1, 2])), "indices"),
        ((np.ones(3), np.array([1, 0]), np.array([0, 1, 2])), "as many indices"),
        ((np.ones(2), np.array([1.0, 0]), np.array([0, 1, 2])), "integers"),
        ((np.ones((2, 1)), np.array([1, 0]), np.array([0, 1, 2])), "one dimension"),
    ],
)
def test_precomputed_refuses(matrix: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        precomputed_affinities(matrix)
