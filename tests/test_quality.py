"""Quality of a map: every figure against a float64 oracle, scikit-learn, and what a sample must agree with."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.manifold import trustworthiness

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import planar
from hiddenstate_core.kernels import quality as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.neighbors import States, nearest_neighbors
from hiddenstate_core.projection import Embedding, kl_divergence, perplexity_affinities
from hiddenstate_core.projection.estimates import Estimate, pearson, ranks, spearman, systematic_mean
from hiddenstate_core.projection.map_neighbors import map_neighbors
from hiddenstate_core.projection.quality import Quality, quality, sampled_kl_divergence
from tests.oracles import quality as oracle
from tests.oracles import tsne

#: The modules, whose names the package gives to their functions.
module = importlib.import_module("hiddenstate_core.projection.quality")
neighbors_module = importlib.import_module("hiddenstate_core.projection.map_neighbors")

Double = NDArray[np.float64]
POINTS = ("point_recall", "point_trustworthiness", "point_continuity", "point_hit")


def _points(seed: int, n: int, dims: int, kind: str) -> Double:
    """Points without ties, on a lattice (many ties), of very uneven density, some in one place, or all in one place."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dims))
    if kind == "lattice":
        x = np.round(1.5 * x)
    elif kind == "uneven":
        x *= np.exp(4 * rng.normal(size=(n, 1)))
    elif kind == "copies":
        x[rng.random(n) < 0.5] = x[0]
    elif kind == "one":
        x[:] = x[0]
    return x.astype(np.float32).astype(np.float64)


KINDS = st.sampled_from(["plain", "lattice", "uneven", "copies", "one"])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(2, 400), st.integers(1, 3), st.integers(1, 40), KINDS, st.integers(-30, 30))
def test_map_neighbors_are_exact(seed: int, n: int, dims: int, k: int, kind: str, power: int) -> None:
    y = _points(seed, n, dims, kind) * 2.0**power
    k = min(k, n - 1)
    made = map_neighbors(y, k)
    wanted = np.sqrt(np.sort(oracle.squared(y), axis=1)[:, :k])
    np.testing.assert_allclose(made.distances, wanted, rtol=1e-6)
    assert all(len(set(row)) == k for row in made.indices.tolist())
    between = np.sqrt(((y[:, None] - y[made.indices]) ** 2).sum(axis=2))
    np.testing.assert_allclose(made.distances, between, rtol=1e-6)


def test_map_neighbors_do_not_depend_on_threads_nor_on_the_jit(monkeypatch: pytest.MonkeyPatch) -> None:
    y = _points(0, 3000, 2, "copies")
    one, two = map_neighbors(y, 7, n_jobs=1), map_neighbors(y, 7, n_jobs=2)
    assert one.indices.tobytes() == two.indices.tobytes()
    small = map_neighbors(y[:60], 7)
    for name in ("split_nodes", "nearest_in_map"):
        monkeypatch.setattr(neighbors_module, name, plain(getattr(planar, name)))
    monkeypatch.setattr(planar, "_box_distance", plain(planar._box_distance))
    np.testing.assert_array_equal(map_neighbors(y[:60], 7).indices, small.indices)


def test_neighbours_among_copies_have_no_likeness_of_ids() -> None:
    made = map_neighbors(np.zeros((40_000, 2)), 10)
    assert not made.distances.any()
    apart = np.abs(made.indices - np.arange(40_000)[:, None])
    assert np.median(apart) > 5000


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(3, 150), st.integers(1, 9), st.integers(1, 20), KINDS, KINDS)
def test_every_figure_is_the_oracles(seed: int, n: int, dims: int, k: int, kind: str, map_kind: str) -> None:
    k = min(k, (n - 1) // 2)
    x, y = _points(seed, n, dims, kind), _points(seed + 1, n, 2, map_kind)
    classes = np.random.default_rng(seed).integers(3, size=n)
    near = map_neighbors(y, k).indices
    made = quality(x, y, n_neighbors=k, classes=classes)
    states = States.read(x).data.astype(np.float64)
    np.testing.assert_allclose(made.point_trustworthiness, oracle.trustworthiness(states, near), atol=2e-5)
    np.testing.assert_allclose(made.point_recall, oracle.recall(states, near), atol=1e-6)
    np.testing.assert_allclose(made.point_hit, oracle.hits(near, classes), atol=1e-6)
    others = tsne.nearest(states, k)[0]
    np.testing.assert_allclose(made.point_continuity, oracle.trustworthiness(y, others), atol=2e-5)
    for figure, points in zip(("recall", "trustworthiness", "continuity", "neighborhood_hit"), POINTS, strict=True):
        assert getattr(made, figure).value == pytest.approx(float(getattr(made, points).mean()), abs=1e-6)
        assert getattr(made, figure).error == 0
    for name, hit in made.class_hits.items():
        assert hit == pytest.approx(float(made.point_hit[classes == name].mean()), abs=1e-6)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(30, 200), st.integers(1, 12))
def test_without_ties_it_is_scikit_learns(seed: int, n: int, k: int) -> None:
    x, y = _points(seed, n, 6, "plain"), _points(seed + 1, n, 2, "uneven")
    y += x[:, :2]
    y = y.astype(np.float32).astype(np.float64)
    made = quality(x, y, n_neighbors=k)
    assert made.trustworthiness.value == pytest.approx(trustworthiness(x, y, n_neighbors=k), abs=1e-5)
    assert made.continuity.value == pytest.approx(trustworthiness(y, x, n_neighbors=k), abs=1e-5)
    np.testing.assert_allclose(made.point_recall, oracle.kept(x, y, k), atol=1e-6)
    one, other = oracle.pair_distances(x), oracle.pair_distances(y)
    assert made.pearson.value == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-6)
    assert made.spearman.value == pytest.approx(spearmanr(one, other).statistic, abs=1e-6)


def test_the_perfect_and_the_collapsed_map() -> None:
    x = _points(0, 100, 2, "plain")
    perfect = quality(x, 3 * x + 1)
    for figure in perfect.figures().values():
        assert figure.value == pytest.approx(1, abs=1e-6)
    collapsed = quality(x, np.zeros((100, 2)))
    # every rank from 1 to 99 is as likely: the mean of max(0, r - 10) is 89 * 90 / 2 / 99
    assert collapsed.continuity.value == pytest.approx(1 - 2 / (200 - 31) * 89 * 90 / 2 / 99)
    assert abs(collapsed.recall.value - 10 / 99) < 0.1
    assert np.isnan(collapsed.pearson.value)
    assert collapsed.to_dict()["spearman"] == {"value": None, "error": 0.0}


def _pair() -> tuple[Double, Double]:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(30, 12)) * 3
    x = centres[rng.integers(30, size=1500)] + rng.normal(size=(1500, 12))
    return x, 0.3 * x[:, :2] + 0.1 * rng.normal(size=(1500, 2))


def test_samples_agree_with_the_whole_within_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _pair()
    affinities = perplexity_affinities(nearest_neighbors(x, 30), 10)
    whole = quality(x, y, affinities=affinities)
    assert whole.sampled == 1500
    monkeypatch.setattr(module, "_MASS_PAIRS", 0)  # Z from 1,000 points
    monkeypatch.setattr(module, "_PAIRS", 4000)
    runs = [quality(x, y, affinities=affinities, sample=200, seed=seed) for seed in range(25)]
    for name, figure in whole.figures().items():
        made = [getattr(run, name) for run in runs]
        z = np.array([(estimate.value - figure.value) / estimate.error for estimate in made])
        assert (np.abs(z) < 5).all(), name
        assert 0.5 < np.sqrt((z**2).mean()) < 1.6 or name == "kl_divergence", name
        assert all(estimate.error < 0.03 for estimate in made), name
    run = runs[0]
    rows = np.flatnonzero(~np.isnan(run.point_recall))
    assert len(rows) == run.sampled == 200
    for name in POINTS[:3]:
        np.testing.assert_array_equal(getattr(run, name)[rows], getattr(whole, name)[rows])
        assert np.isnan(np.delete(getattr(run, name), rows)).all()


def test_a_graph_gives_every_point_its_recall() -> None:
    x, y = _pair()
    whole = quality(x, y)
    made = quality(x * 1e3, y, graph=nearest_neighbors(x * 1e3, 25), sample=50)
    np.testing.assert_allclose(made.point_recall, whole.point_recall, atol=1e-6)
    assert made.recall.value == pytest.approx(whole.recall.value)
    assert made.recall.error == 0
    assert np.isnan(made.point_continuity).sum() == 1450


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_divergence_is_the_oracles(dims: int) -> None:
    x, y = _points(1, 120, 4, "plain"), _points(2, 120, dims, "uneven")
    affinities = perplexity_affinities(nearest_neighbors(x, 20), 6)
    made = quality(x, y, affinities=affinities).kl_divergence
    assert made is not None
    assert made.value == pytest.approx(tsne.kl(affinities.dense(), y), rel=1e-5)
    assert made.error == 0


def test_neither_threads_nor_blocks_nor_the_kind_of_input_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    x, y = _pair()
    places = y.astype(np.float32)
    affinities = perplexity_affinities(nearest_neighbors(x, 30), 10)
    classes = np.random.default_rng(0).integers(-1, 4, size=1500)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    one = quality(x.astype(np.float32), places, affinities=affinities, classes=classes, sample=300, n_jobs=1)
    monkeypatch.setattr(module, "_POINTS", 192)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    two = quality(mapped, Embedding(places, "pca", {}), affinities=affinities, classes=classes, sample=300, n_jobs=2)
    assert repr(one) == repr(two)
    assert json.dumps(one.to_dict()) == json.dumps(two.to_dict())
    for name in POINTS:
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()


def test_with_the_jit_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _points(3, 80, 5, "copies"), _points(4, 80, 2, "lattice")
    graph = nearest_neighbors(x, 12)
    options: dict[str, Any] = {"affinities": perplexity_affinities(graph, 3), "graph": graph, "n_neighbors": 4}
    compiled = quality(x, y, sample=20, **options)
    for name in ("rank_rows", "recall_rows", "student_mass"):
        monkeypatch.setattr(module, name, plain(getattr(kernels, name)))
    for name in ("_screen", "_squared"):
        monkeypatch.setattr(kernels, name, plain(getattr(kernels, name)))
    with np.errstate(over="ignore", invalid="ignore"):
        interpreted = quality(x, y, sample=20, **options)
    for name in POINTS:
        np.testing.assert_array_equal(getattr(compiled, name), getattr(interpreted, name))
    for name, figure in compiled.figures().items():
        assert interpreted.figures()[name].value == pytest.approx(figure.value, rel=1e-6), name


def test_classes_of_any_kind_and_points_without_one() -> None:
    x, y = _points(0, 60, 3, "plain"), _points(1, 60, 2, "plain")
    numbers = np.random.default_rng(0).integers(-1, 3, size=60)
    made = quality(x, y, classes=numbers, n_neighbors=5)
    assert list(made.class_hits) == [0, 1, 2]
    assert (np.isnan(made.point_hit) == (numbers < 0)).all()
    near = map_neighbors(y, 5).indices
    known = numbers >= 0
    wanted = oracle.hits(near, numbers)[known]
    np.testing.assert_allclose(made.point_hit[known], wanted, atol=1e-6)
    assert made.neighborhood_hit is not None
    assert made.neighborhood_hit.value == pytest.approx(wanted.mean())
    words = np.array(["negative", "neutral", "positive"])[np.maximum(numbers, 0)]
    named: list[Any] = [words, words.tolist(), words.astype(object), words.astype(np.dtypes.StringDType())]
    for one in named:
        assert list(quality(x, y, classes=one).class_hits) == ["negative", "neutral", "positive"]
    assert list(quality(x, y, classes=numbers == 1).class_hits) == [0, 1]
    assert quality(x, y).neighborhood_hit is None


def test_summaries() -> None:
    x, y = _pair()
    made = quality(x, y, classes=np.arange(1500) % 2, sample=100)
    text = repr(made)
    assert text.startswith("Quality of a map of 1,500 points (10 neighbours, ranks of 100 points drawn at random)")
    assert f"trustworthiness   {made.trustworthiness.value:.4f} ± {made.trustworthiness.error:.4f}" in text
    summary = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert summary["continuity"] == made.continuity.to_dict()
    assert "kl_divergence" not in summary
    assert set(summary["class_hits"]) == {"0", "1"}
    assert isinstance(made, Quality)


def test_correlations_know_their_errors() -> None:
    found: dict[str, list[Estimate]] = {"pearson": [], "spearman": []}
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.gamma(2, size=400)
        y = x + rng.gamma(1, size=400) * x
        found["pearson"].append(pearson(x, y))
        found["spearman"].append(spearman(x, y))
    for name, estimates in found.items():
        spread = float(np.std([estimate.value for estimate in estimates]))
        assert np.mean([estimate.error for estimate in estimates]) == pytest.approx(spread, rel=0.25), name


def test_ranks_share() -> None:
    assert ranks(np.array([3.0, 1, 3, 2])).tolist() == [3.5, 1, 3.5, 2]


def test_a_systematic_mean_of_a_trend_is_close() -> None:
    values = np.sin(np.arange(100_000) / 3e4)
    made = systematic_mean(values[37::100], 100_000)
    assert made.error < 1e-4
    assert made.value == pytest.approx(values.mean(), abs=1e-3)
    assert systematic_mean(values, 100_000).error == 0


_X, _Y = np.random.default_rng(0).normal(size=(50, 4)), np.random.default_rng(1).normal(size=(50, 2))


def _with(array: Double, value: float) -> Double:
    changed = array.copy()
    changed[7, 1] = value
    return changed


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (_X[:40], _Y, {}, "X has 40 points, the map has 50"),
        (_X, _Y[:, 0], {}, r"shape \(n, 2\)"),
        (_X, _X, {}, r"not \(50, 4\)"),
        (_X, _with(_Y, np.nan), {}, "Position 7 is"),
        (_X, _with(_Y, 1e200), {}, "Position 7 is"),
        (_X, _Y.astype(str), {}, "real numbers"),
        (_X, [[1, 2], [3]], {}, "positions"),
        (_with(_X, np.nan), _Y, {}, "State 7 holds nan"),
        (_X[:2], _Y[:2], {"n_neighbors": 1}, "3 points on, not of 2"),
        (_X, _Y, {"n_neighbors": 25}, "below half the number of points, 25, not 25"),
        (_X, _Y, {"n_neighbors": 0}, "n_neighbors"),
        (_X, _Y, {"n_neighbors": 2.5}, "n_neighbors"),
        (_X, _Y, {"sample": 1}, "sample"),
        (_X, _Y, {"seed": -1}, "seed"),
        (_X, _Y, {"classes": np.zeros(49, int)}, "one for each of 50 points"),
        (_X, _Y, {"classes": [[1], [2, 3]]}, "one for each of 50 points"),
        (_X, _Y, {"classes": np.zeros(50)}, "whole numbers or text, not float64"),
        (_X, _Y, {"classes": np.full(50, None)}, "whole numbers or text, not object"),
        (_X, _Y, {"classes": np.full(50, -1)}, "None of the points has a class"),
        (_X, _Y, {"graph": nearest_neighbors(_X[:49], 10)}, "graph is of 49 points, the map has 50"),
        (_X, _Y, {"graph": 5}, "graph must be NeighborGraph or None, not int"),
        (_X, _Y, {"affinities": _X}, "affinities must be Affinities or None, not ndarray"),
        (_X, _Y, {"graph": nearest_neighbors(_X, 9)}, "9 neighbours of each point, fewer than n_neighbors=10"),
        (_X, _Y, {"affinities": perplexity_affinities(nearest_neighbors(_X[:49], 9), 3)}, "affinities are of 49"),
    ],
)
def test_bad_input_is_refused_by_name(x: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        quality(x, y, **options)


@pytest.mark.parametrize("k", [0, 50, True, 1.0])
def test_map_neighbors_refuse_other_numbers(k: Any) -> None:
    with pytest.raises(InputError, match="1 to 49 neighbours"):
        map_neighbors(_Y, k)


def test_divergence_of_a_map_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(3000, 5))
    places = np.asarray(8 * x[:, :2], np.float32)
    affinities = perplexity_affinities(nearest_neighbors(x, 30), 10)
    whole = sampled_kl_divergence(affinities, places)
    assert whole.error == 0
    assert whole.value == pytest.approx(kl_divergence(affinities, places), rel=1e-6)
    monkeypatch.setattr(module, "_MASS_PAIRS", 0)  # a thousand rows
    part = sampled_kl_divergence(affinities, places)
    assert 0 < part.error < 0.1
    assert abs(part.value - whole.value) < 5 * part.error
    assert sampled_kl_divergence(affinities, places, n_jobs=1) == sampled_kl_divergence(affinities, places, n_jobs=3)
    with pytest.raises(InputError, match="affinities are of 3000 points, the map has 3"):
        sampled_kl_divergence(affinities, places[:3])
