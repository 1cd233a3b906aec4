"""New states placed into a fixed map: their neighbourhood, independence of batch and order, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.placement import place_points
from hiddenstate_core.neighbors import NeighborIndex
from hiddenstate_core.projection import TSNE, Placement
from hiddenstate_core.projection import placement as placements

Float = NDArray[np.float32]


def _blobs(seed: int, n: int) -> Float:
    rng = np.random.default_rng(seed)
    centres = 8 * np.random.default_rng(99).normal(size=(5, 12))
    return (centres[rng.integers(0, 5, n)] + rng.normal(size=(n, 12))).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> TSNE:
    return TSNE(perplexity=20, max_iter=500).fit(_blobs(0, 700))


def _nearest_share(fitted: TSNE, states: Float, new: Float, places: Float) -> float:
    """Share of each new state's 10 nearest states that are among its 10 nearest places."""
    hits = 0
    for state, place in zip(new, places, strict=True):
        there = np.argsort(((states - state) ** 2).sum(axis=1))[:10]
        here = np.argsort(((fitted.embedding_ - place) ** 2).sum(axis=1))[:10]
        hits += len(np.intersect1d(there, here))
    return hits / (10 * len(new))


def test_new_states_come_to_their_neighbours(fitted: TSNE) -> None:
    states, new = _blobs(0, 700), _blobs(1, 150)
    places = fitted.transform(new)
    assert (places.shape, places.dtype) == ((150, 2), np.float32)
    known = _nearest_share(fitted, states, states[:150], fitted.embedding_[:150])
    assert _nearest_share(fitted, states, new, places) > 0.65 * known  # each of these counts itself
    assert (places >= fitted.embedding_.min(axis=0)).all()
    assert (places <= fitted.embedding_.max(axis=0)).all()


def test_known_states_come_back_near_their_places(fitted: TSNE) -> None:
    away = np.linalg.norm(fitted.transform(_blobs(0, 700)) - fitted.embedding_, axis=1)
    assert np.median(away) < 0.02 * np.ptp(fitted.embedding_)


def test_a_place_depends_on_its_state_alone(fitted: TSNE) -> None:
    new = _blobs(1, 90)
    whole = fitted.transform(new)
    order = np.random.default_rng(0).permutation(90)
    np.testing.assert_array_equal(fitted.transform(new[order]), whole[order])
    np.testing.assert_array_equal(np.concatenate([fitted.transform(new[i : i + 1]) for i in range(90)]), whole)
    many = TSNE(perplexity=20, max_iter=500, n_jobs=3).fit(_blobs(0, 700))
    assert many.transform(new).tobytes() == whole.tobytes()
    assert fitted.transform(new.astype(np.float64)[:, ::1]).tobytes() == whole.tobytes()
    assert fitted.transform(np.empty((0, 12), np.float32)).shape == (0, 2)


def test_the_map_is_left_alone(fitted: TSNE) -> None:
    before = fitted.embedding_.copy()
    fitted.transform(_blobs(3, 40))
    np.testing.assert_array_equal(fitted.embedding_, before)


def test_grid_and_sum_agree(fitted: TSNE, monkeypatch: pytest.MonkeyPatch) -> None:
    new = _blobs(1, 60)
    summed = fitted.transform(new)
    monkeypatch.setattr(placements, "_SUMMED_POINTS", 10)
    on_grid = Placement(_blobs(0, 700), fitted.embedding_, perplexity=20).place(new)
    assert np.median(np.linalg.norm(on_grid - summed, axis=1)) < 0.02 * fitted.embedding_.std()


def test_a_place_is_a_minimum_of_its_own_divergence(fitted: TSNE) -> None:
    """The slope of sum p log(p / q), written out in float64, nearly vanishes at the place."""
    states, new = _blobs(0, 700).astype(np.float64), _blobs(1, 20)
    places = fitted.transform(new).astype(np.float64)
    y = fitted.embedding_.astype(np.float64)
    for state, place in zip(new.astype(np.float64), places, strict=True):
        squared = ((states - state) ** 2).sum(axis=1)
        near = np.argsort(squared)[:60]
        low, high = 1e-9, 1e9
        for _ in range(200):
            beta = np.sqrt(low * high)
            p = np.exp(-beta * (squared[near] - squared[near[0]]))
            p /= p.sum()
            low, high = (beta, high) if np.exp(-(p * np.log(p + 1e-300)).sum()) > 20 else (low, beta)
        w = 1 / (1 + ((place - y) ** 2).sum(axis=1))
        pull = (p[:, None] * w[near, None] * (place - y[near])).sum(axis=0)
        push = (w[:, None] ** 2 * (place - y)).sum(axis=0) / w.sum()
        inside = (place > y.min(axis=0)).all() and (place < y.max(axis=0)).all()
        assert not inside or np.linalg.norm(pull - push) < 2e-3


def test_three_dimensions_and_a_map_made_elsewhere() -> None:
    states = _blobs(0, 300)
    solid = TSNE(3, perplexity=10, max_iter=100).fit(states)
    assert solid.transform(_blobs(1, 9)).shape == (9, 3)
    flat = Placement(states, states[:, :2].astype(np.float64)).place(states[:5])
    assert np.isfinite(flat).all()
    tiny = Placement(states[:2], states[:2, :2]).place(states[:4])
    assert tiny.shape == (4, 2)


def test_equal_states_and_far_ones(fitted: TSNE) -> None:
    same = TSNE(perplexity=5, max_iter=100).fit(np.ones((50, 4)))
    assert np.isfinite(same.transform(np.ones((3, 4)))).all()
    assert np.isfinite(fitted.transform(np.full((2, 12), 1e6, np.float32))).all()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((3, 5)), "12"),
        (np.zeros(12), "shape"),
        (np.full((2, 12), np.nan), "State 0 holds nan"),
        (np.full((2, 12), "x"), "real numbers"),
    ],
)
def test_bad_states_are_refused(fitted: TSNE, bad: NDArray[Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fitted.transform(bad)


def test_bad_maps_are_refused(fitted: TSNE) -> None:
    states = _blobs(0, 20)
    for places, said in (
        (np.zeros((19, 2)), "20 states has shape"),
        (np.full((20, 2), np.inf), "must be a finite float32"),
    ):
        with pytest.raises(InputError, match=said):
            Placement(states, places)
    with pytest.raises(InputError, match="perplexity must be at least 1"):
        Placement(states, np.zeros((20, 2)), perplexity=0)
    with pytest.raises(InputError, match="call fit first"):
        TSNE().transform(states)
    with pytest.raises(InputError, match="no states to compare"):
        TSNE(init="random", max_iter=20).fit(fitted.affinities_).transform(states)


def test_the_kernel_with_the_jit_off() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(12, 2)).astype(np.float32)
    ids = np.stack([rng.permutation(12)[:4] for _ in range(3)]).astype(np.int64)
    weights = rng.dirichlet(np.ones(4), 3).astype(np.float32)
    settings = np.array([20, 0.5, 0.8, 1.0, *y.min(axis=0), *y.max(axis=0)])
    fields = rng.normal(size=(9, 9, 4)).astype(np.float32) ** 2 + 5
    for grid in (np.empty((0, 0, 4), np.float32), fields):
        made = []
        for place in (place_points, plain(place_points)):
            places = np.empty((3, 2), np.float32)
            place(0, 3, y, ids, weights, np.array([*y.min(axis=0), 1.0]), grid, settings, places)
            made.append(places)
        np.testing.assert_allclose(made[0], made[1], atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(300, 12), (900, 12), (700, 5)])
def test_an_index_of_other_states_is_refused(fitted: TSNE, n: int, d: int) -> None:
    index = NeighborIndex.build(_blobs(0, n)[:, :d])
    with pytest.raises(InputError, match=f"The index is of {n} states of {d} features, the map of 700 states of 12"):
        Placement(_blobs(0, 700), fitted.embedding_, index=index)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"perplexity": "30"}, "perplexity must be a number"),
        ({"perplexity": 0.5}, "perplexity must be at least 1"),
        ({"seed": -1}, "seed must not be negative"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_bad_options_are_refused_by_name(fitted: TSNE, option: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Placement(_blobs(0, 700), fitted.embedding_, **option)
