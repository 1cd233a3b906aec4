"""t-SNE piece by piece against the float64 oracle: affinities, start, gradients, divergence, descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.neighbors import NeighborGraph, States, nearest_neighbors
from hiddenstate_core.projection import (
    Affinities,
    BarnesHut,
    Embedding,
    Exact,
    OptimizerOptions,
    Progress,
    Repulsion,
    gradient,
    initial_positions,
    kl_divergence,
    optimize,
    pca,
    perplexity_affinities,
    principal_components,
)
from tests.oracles import tsne as oracle

Double = NDArray[np.float64]


def _affinities(seed: int, n: int, perplexity: float = 5.0) -> Affinities:
    x = np.random.default_rng(seed).normal(size=(n, 4))
    return perplexity_affinities(nearest_neighbors(x, min(n - 1, 15)), perplexity)


def _map(seed: int, n: int, dims: int = 2, copies: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    y = (rng.normal(size=(n, dims)) * np.exp(rng.normal(size=(n, 1)))).astype(np.float32)
    y[:copies] = y[0]
    return y


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(3, 90), st.floats(1, 40), st.floats(-8, 8))
def test_affinities_are_those_of_the_paper(seed: int, n: int, perplexity: float, log_scale: float) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3)) * 10**log_scale
    k = min(n - 1, int(3 * perplexity) + 1)
    graph = nearest_neighbors(x, k)
    made = perplexity_affinities(graph, perplexity)
    distances = graph.distances.astype(np.float64)
    p = oracle.conditional(distances, min(perplexity, k))
    np.testing.assert_allclose(oracle.perplexity(p), min(perplexity, k), rtol=1e-6)
    # where the perplexity is all of k, entropy is flat in beta: 1e-9 of it leaves some 1e-4 of the affinities open
    np.testing.assert_allclose(made.dense(), oracle.joint(graph.indices, p), rtol=1e-3, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 120))
def test_affinities_are_symmetric_sorted_and_sum_to_one(seed: int, n: int) -> None:
    a = _affinities(seed, n)
    dense = a.dense()
    np.testing.assert_array_equal(dense, dense.T)
    assert not dense.diagonal().any()
    assert a.values.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    for i in range(n):
        assert (np.diff(a.columns[a.offsets[i] : a.offsets[i + 1]]) > 0).all()
    assert [str(array.dtype) for array in (a.offsets, a.columns, a.values)] == ["int64", "int32", "float32"]


def test_more_copies_than_the_perplexity_share_evenly() -> None:
    x = np.zeros((40, 2))
    x[30:] = np.random.default_rng(0).normal(size=(10, 2)) + 5
    made = perplexity_affinities(nearest_neighbors(x, 35), 4.0).dense()
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[0, 1:30], made[0, 1], rtol=1e-5)
    assert made[0, 1] == pytest.approx(1 / 29 / 40, rel=1e-3)


def test_affinities_of_equal_states_are_even() -> None:
    made = perplexity_affinities(nearest_neighbors(np.ones((20, 3)), 19), 5.0).dense()
    np.testing.assert_allclose(made[~np.eye(20, dtype=bool)], 1 / (20 * 19), rtol=1e-6)


def test_affinities_do_not_depend_on_threads() -> None:
    graph = nearest_neighbors(np.random.default_rng(0).normal(size=(2000, 5)), 30)
    one, two = (perplexity_affinities(graph, 10, n_jobs=n) for n in (1, 2))
    assert one.values.tobytes() == two.values.tobytes()
    assert one.columns.tobytes() == two.columns.tobytes()


@pytest.mark.parametrize("perplexity", [0.5, 0, -3, np.nan, np.inf])
def test_bad_perplexity(perplexity: float) -> None:
    with pytest.raises(InputError, match="perplexity"):
        perplexity_affinities(nearest_neighbors(np.eye(5), 2), perplexity)


def test_affinities_are_checked() -> None:
    a = _affinities(0, 10)
    spoilt: list[tuple[Any, Any, Any]] = [
        (a.offsets.astype(np.int32), a.columns, a.values),
        (a.offsets[:-1], a.columns, a.values),
        (a.offsets, a.columns + np.int32(5), a.values),
        (a.offsets, a.columns, a.values * np.float32(2)),
        (a.offsets, a.columns, -a.values),
        (a.offsets[::-1].copy(), a.columns, a.values),
        (a.offsets, a.columns[:-1], a.values),
    ]
    for bad in spoilt:
        with pytest.raises(InputError):
            Affinities(*bad)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(2, 300), st.sampled_from([2, 3]))
def test_exact_repulsion(seed: int, n: int, dims: int) -> None:
    y = _map(seed, n, dims)
    with Workers(2) as workers:
        force, total = Exact()(y, workers)
    wanted, z = oracle.repulsion(y.astype(np.float64))
    assert total == pytest.approx(z, rel=1e-5)
    np.testing.assert_allclose(force, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("method", [Exact(), BarnesHut(0.5)])
def test_repulsion_of_one_place(method: Exact | BarnesHut) -> None:
    with Workers(1) as workers:
        force, total = method(np.full((50, 2), 3, np.float32), workers)
    assert not force.any()
    assert total == pytest.approx(50 * 49)


def test_oracle_gradient_is_the_slope_of_the_divergence() -> None:
    p, y = _affinities(1, 12).dense(), _map(2, 12).astype(np.float64)
    slope = np.zeros_like(y)
    for index in np.ndindex(*y.shape):
        step = np.zeros_like(y)
        step[index] = 1e-5
        slope[index] = (oracle.kl(p, y + step) - oracle.kl(p, y - step)) / 2e-5
    np.testing.assert_allclose(oracle.gradient(p, y), slope, rtol=1e-6, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(4, 150), st.sampled_from([2, 3]))
def test_gradient_and_divergence(seed: int, n: int, dims: int) -> None:
    a, y = _affinities(seed, n), _map(seed, n, dims)
    p = a.dense()
    wanted = oracle.gradient(p, y.astype(np.float64))
    np.testing.assert_allclose(gradient(a, y), wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    assert kl_divergence(a, y) == pytest.approx(oracle.kl(p, y.astype(np.float64)), rel=1e-5, abs=1e-6)
    far = y * np.float32(1e4)  # rounded once, for both
    wide = oracle.kl(p, far.astype(np.float64))
    assert kl_divergence(a, far, n_jobs=2) == pytest.approx(wide, rel=1e-5, abs=1e-6)


def test_divergence_needs_a_map_of_the_same_points() -> None:
    with pytest.raises(InputError, match="10 points, the map has 9"):
        kl_divergence(_affinities(0, 10), _map(0, 9))


def test_descent_follows_the_oracle() -> None:
    a, start = _affinities(3, 60), initial_positions("random", States.read(np.eye(60)), 2, 1)
    wanted = oracle.descend(a.dense(), start.astype(np.float64), 8, 20.0, 4.0, 0.5)
    options = OptimizerOptions(max_iter=8, early_exaggeration=4.0, learning_rate=20.0)
    for method in (Exact(), BarnesHut(0.0)):
        done = optimize(a, start, method, options)
        np.testing.assert_allclose(done.positions, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())
        assert done.iteration == 8
    assert start.std() < 2e-4, "the start is not changed"


def test_optimisation_only_reads_the_affinities_and_ends_lower() -> None:
    a = _affinities(0, 200)
    before = a.values.copy()
    start = initial_positions("random", States.read(np.eye(200)), 2, 0)
    seen: list[Progress] = []
    done = optimize(a, start, Exact(), OptimizerOptions(max_iter=400, patience=None), callback=seen.append)
    np.testing.assert_array_equal(a.values, before)
    assert [p.iteration for p in seen] == [50, 100, 150, 200, 250, 300, 350, 400]
    assert done.kl_divergence < 0.7 * kl_divergence(a, start)
    assert done.kl_divergence == pytest.approx(kl_divergence(a, done.positions), rel=2e-2)
    assert not done.interrupted
    assert np.abs(done.positions.mean(axis=0)).max() < 1e-4


def test_callback_and_interrupt_end_it_with_the_map_so_far() -> None:
    a = _affinities(0, 50)
    start = _map(0, 50)
    stopped = optimize(a, start, Exact(), callback=lambda p: p.iteration >= 100)
    assert (stopped.iteration, stopped.interrupted) == (100, True)

    def press(progress: Progress) -> None:
        if progress.iteration == 150:
            raise KeyboardInterrupt

    pressed = optimize(a, start, Exact(), callback=press)
    assert (pressed.iteration, pressed.interrupted) == (150, True)
    assert np.isfinite(pressed.positions).all()


def test_it_stops_when_the_divergence_no_longer_falls() -> None:
    a = _affinities(0, 40)
    done = optimize(a, _map(0, 40), Exact(), OptimizerOptions(max_iter=20_000, patience=100))
    assert 350 <= done.iteration < 20_000
    assert not done.interrupted


def test_one_cloud_does_not_shrink_to_nothing() -> None:
    # high-dimensional noise has no structure: exaggerated attraction contracts its map at every step
    x = States.read(np.random.default_rng(0).normal(size=(1000, 60)))
    a = perplexity_affinities(nearest_neighbors(x, 300), 100.0)
    widths: list[float] = []
    start = initial_positions("pca", x, 2, 0)
    options = OptimizerOptions(learning_rate=1000 / 12)
    done = optimize(a, start, BarnesHut(), options, callback=lambda p: widths.append(float(p.positions.std())))
    assert min(widths[:5]) < 0.9e-4, "the case does contract"
    assert min(widths) > 1e-9
    assert done.positions.std() > 1e-2


@pytest.mark.parametrize(
    "bad",
    [
        {"max_iter": -1},
        {"early_exaggeration": 0.5},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"patience": 0},
    ],
)
def test_bad_options(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        OptimizerOptions.from_dict(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"max_iter": "a"}, "max_iter must be a whole number"),
        ({"early_iterations": 1.5}, "early_iterations must be a whole number"),
        ({"patience": "x"}, "n_iter_without_progress must be a whole number"),
        ({"learning_rate": "auto"}, "learning_rate must be a number"),
        ({"min_gradient": "a"}, "min_grad_norm must be a number"),
        ({"momentum": None}, "momentum must be a number"),
    ],
)
def test_options_of_another_kind(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OptimizerOptions(**bad)


def test_options_round_trip() -> None:
    options = OptimizerOptions(max_iter=7, learning_rate=3.5)
    assert OptimizerOptions.from_json(options.to_json()) == options


def test_the_schedule() -> None:
    options = OptimizerOptions(max_iter=750, late_exaggeration=4)
    told = [options.phase(i, 1200) for i in (0, 249, 250, 499, 500, 749)]
    assert [p.exaggeration for p in told] == [12, 12, 1, 1, 4, 4]
    assert [p.rate for p in told] == [200, 200, 1200, 1200, 300, 300]
    assert [p.momentum for p in told] == [0.5, 0.5, 0.8, 0.8, 0.8, 0.8]
    assert OptimizerOptions(learning_rate=7.0).phase(0, 10**6).rate == 7
    assert OptimizerOptions(max_iter=300, late_exaggeration=4).phase(100, 100).exaggeration == 12


def test_start_must_fit() -> None:
    with pytest.raises(InputError, match="must have shape"):
        optimize(_affinities(0, 10), _map(0, 9), Exact())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 90))
def test_principal_components(seed: int, n: int, d: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(1, 3, d)
    centred = x - x.mean(axis=0)
    got = principal_components(States.read(x), 2)
    sizes = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(got, axis=0)[: len(sizes)], sizes[:2], rtol=1e-4, atol=1e-4)
    assert abs(got[:, 0] @ got[:, 1]) <= 1e-4 * sizes[0] ** 2
    # each column lies in the span of the features: it is a projection of the states, not merely of the right length
    weights = np.linalg.lstsq(centred, got, rcond=None)[0]
    np.testing.assert_allclose(centred @ weights, got, atol=1e-4 * sizes[0])
    if d == 1:
        assert not got[:, 1].any()


def test_start_from_principal_components() -> None:
    x = States.read(np.random.default_rng(0).normal(size=(500, 6)) * [9, 3, 1, 1, 1, 1])
    start = initial_positions("pca", x, 2, 0)
    assert start.dtype == np.float32
    assert start[:, 0].std() == pytest.approx(1e-4, rel=1e-2)
    assert start[:, 1].std() == pytest.approx(1e-4 / 3, rel=0.2)
    np.testing.assert_array_equal(start, initial_positions("pca", x, 2, 0))
    assert (start != initial_positions("pca", x, 2, 1)).any()
    flat = initial_positions("pca", States.read(np.ones((9, 4))), 2, 0)
    assert np.isfinite(flat).all()
    assert len(np.unique(flat, axis=0)) == 9


def test_start_given() -> None:
    x = States.read(np.eye(4))
    places = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(initial_positions(places, x, 2, 0), places)
    assert initial_positions(places[::-1], x, 2, 0).flags.c_contiguous
    for bad in (np.zeros((4, 3)), np.zeros((3, 2)), np.full((4, 2), np.nan), "spectral"):
        with pytest.raises(InputError, match="init must"):
            initial_positions(bad, x, 2, 0)


def test_pca_map() -> None:
    x = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    made = pca(x, 2)
    assert isinstance(made, Embedding)
    assert (made.method, made.kl_divergence, made.coordinates.shape) == ("pca", None, (50, 2))
    total = np.linalg.svd(x - x.mean(axis=0).astype(np.float64), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(made.coordinates, axis=0), total, rtol=1e-5)
    with pytest.raises(InputError, match="1 to 3"):
        pca(x, 4)


def test_an_embedding_is_checked() -> None:
    Embedding(np.zeros((3, 2), np.float32), "pca", {})
    spoilt: list[Any] = [np.zeros(3, np.float32), np.zeros((3, 2)), np.full((3, 2), np.nan, np.float32)]
    for bad in spoilt:
        with pytest.raises(InputError):
            Embedding(bad, "pca", {})


def test_a_graph_made_elsewhere_serves_too() -> None:
    ids = np.array([[1, 2], [0, 2], [1, 0]])
    graph = NeighborGraph(ids, np.array([[1, 2], [1, 3], [2, 3]], np.float32), "elsewhere", 0.9)
    assert perplexity_affinities(graph, 1.5).n == 3


def _apart(n: int) -> NDArray[np.float32]:
    return np.linspace(-1e30, 1e30, 2 * n, dtype=np.float32).reshape(n, 2)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_divergence_of_a_map_by_any_tool(dims: int) -> None:
    a, y = _affinities(0, 60), np.random.default_rng(0).normal(size=(60, dims))
    squared = ((y[:, None] - y[None]) ** 2).sum(axis=2)
    w = 1 / (1 + squared) * (1 - np.eye(60))
    p = a.dense()
    expected = (p[p > 0] * np.log(p[p > 0] / (w / w.sum())[p > 0])).sum()
    assert kl_divergence(a, y) == pytest.approx(expected, abs=1e-5)
    assert kl_divergence(a, Embedding(y.astype(np.float32), "pca", {})) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((60, 4)), r"shape \(n, 2\) or \(n, 3\), not \(60, 4\)"),
        (np.zeros(60), r"shape \(n, 2\) or \(n, 3\), not \(60,\)"),
        (np.zeros((59, 2)), "of 60 points, the map has 59"),
        (np.full((60, 2), np.nan), "Position 0 is"),
        (np.full((60, 2), "a"), "must be real numbers"),
        (_apart(60), "too far apart"),
    ],
)
def test_divergence_of_no_map(bad: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        kl_divergence(_affinities(0, 60), bad)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (np.zeros((60, 1)), r"The start must have shape \(60, 2\) or \(60, 3\), not \(60, 1\)"),
        (np.zeros((60, 4)), "The start must have shape"),
        (np.zeros((59, 2)), "The start must have shape"),
        (np.full((60, 2), np.nan), "The start must be finite"),
        (_apart(60), "The start must lie within"),
        ([["a", "b"]] * 60, "The start must be an array of real numbers"),
        ([[1, 2], [3]], "The start must be an array of real numbers"),
        (np.ones((60, 2)) * 1j, "The start must be an array of real numbers, not of complex128"),
    ],
)
@pytest.mark.parametrize("repulsion", [Exact(), BarnesHut()], ids=["exact", "barnes_hut"])
def test_a_start_that_is_none(start: Any, message: str, repulsion: Repulsion) -> None:
    with pytest.raises(InputError, match=message):
        optimize(_affinities(0, 60), start, repulsion, OptimizerOptions(max_iter=5))
    with pytest.raises(InputError, match=message.replace("The start", "init").replace(r" or \(60, 3\)", "")):
        initial_positions(start, 60, 2, 0)


def test_a_start_may_be_a_list() -> None:
    a, start = _affinities(0, 60), _map(0, 60)
    options = OptimizerOptions(max_iter=5)
    np.testing.assert_array_equal(
        optimize(a, start.tolist(), Exact(), options).positions, optimize(a, start, Exact(), options).positions
    )
