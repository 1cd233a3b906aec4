"""Histograms of pairwise distances: equal to NumPy's, whatever the blocks and threads; samples within their band."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

import hiddenstate_core as hs
from hiddenstate_core.distances import PairCounts
from hiddenstate_core.distances.plan import HistogramPlan
from hiddenstate_core.distances.source import METRICS, Source
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.distances import EUCLIDEAN, MANHATTAN, PANEL, SQUARED, count_pairs, pair_slots
from hiddenstate_core.kernels.jit import plain
from tests.oracles.distances import histogram, upper

States = NDArray[Any]


def states(seed: int, n: int, d: int, *, shift: float = 0.0, dtype: str = "float32") -> States:
    """Clustered states, a third of them copies of three others, as the first words of texts make them."""
    rng = np.random.default_rng(seed)
    x = np.tanh(rng.normal(size=(4, d)))[rng.integers(0, 4, n)] + 0.3 * rng.normal(size=(n, d)) + shift
    copies = rng.random(n) < 0.3
    x[copies] = x[rng.integers(0, min(n, 3), int(copies.sum()))]
    return x.astype(dtype)


def check(found: hs.DistanceHistogram, distances: NDArray[np.float64]) -> None:
    """All pairs are counted as NumPy counts their distances, but for those on an edge up to the rounding of float64."""
    counts, below, above = histogram(distances, found.edges)
    assert found.overall.counted == len(distances) == found.overall.pairs
    inner = found.edges[1:-1] if found.edges[0] == 0 else found.edges
    at = np.searchsorted(inner, distances).clip(0, max(0, len(inner) - 1))
    near = np.abs(np.array([inner[at], inner[np.maximum(at - 1, 0)]]) - distances) if len(inner) else np.ones((1, 1))
    ties = int((near.min(axis=0) <= 1e-13 * (np.abs(distances).max(initial=0) + 1e-300)).sum())
    differ = np.abs(found.counts - counts).sum() + abs(found.overall.below - below) + abs(found.overall.above - above)
    assert differ <= 2 * ties


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 90),
    st.integers(1, 9),
    st.sampled_from(METRICS),
    st.one_of(st.integers(1, 300), st.just("uneven"), st.just("short"), st.just("high")),
    st.sampled_from([0.0, 5.0, 1e4]),
    st.integers(1, 200),
)
@example(1, 2, 3, "cosine", 1, 1e4, 1)  # nearly parallel: the last edge is their distance but for a millionth of 1e-6
def test_counts_equal_numpys(seed: int, n: int, d: int, metric: str, bins: Any, shift: float, rows: int) -> None:
    x = states(seed, n, d, shift=shift)
    distances = upper(x, metric)[2]
    rng, largest = np.random.default_rng(seed), float(distances.max()) or 1.0
    limits = None
    if bins == "uneven":
        bins = np.unique(np.append(0, rng.uniform(0, 1.2 * largest, 12)))
    elif bins == "short":
        bins, limits = 7, (0.3 * largest, 0.8 * largest)
    elif bins == "high":
        bins = np.array([0.5, 0.6, 0.9, 2]) * largest
    plan = hs.plan_histogram(x, bins, limits, metric, rows=rows)
    blocks = [x[start:stop] for start, stop in plan.blocks]
    found = plan.result(np.sum([plan.count(i, j, blocks[i], blocks[j]) for i, j in plan.tasks()], axis=0))
    check(found, distances)
    whole = hs.distance_histogram(x, plan.edges, metric=metric)
    if isinstance(bins, np.ndarray):
        np.testing.assert_array_equal(whole.counts, found.counts)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bins", [100, 3000, "uneven"])
def test_counts_equal_scipys_and_numpys(metric: str, bins: Any) -> None:
    x = states(1, 1500, 40)
    distances = pdist(x.astype(np.float64), {"manhattan": "cityblock"}.get(metric, metric))
    if bins == "uneven":
        bins = np.append(0, np.geomspace(1e-4, 1.1, 60)) * distances.max()
    found = hs.distance_histogram(x, bins, metric=metric)
    expected = np.histogram(distances, found.edges)[0]
    if metric == "cosine":  # SciPy's distance of equal states may be -1e-16, below the first edge
        expected[0] += (distances < 0).sum()
    np.testing.assert_array_equal(found.counts, expected)
    assert found.counts.dtype == np.int64
    assert not found.sampled


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan"])
def test_ties_of_whole_numbers_are_decided_as_numpy_does(metric: str) -> None:
    x = np.random.default_rng(2).integers(-3, 4, size=(300, 3)).astype(np.int8)
    distances = upper(x, metric)[2]
    for edges in (np.arange(8), np.array([0, 1, 2, 5, 9]), np.array([-2, -1, 0]), np.sqrt([1, 2, 3, 5, 8])):
        found = hs.distance_histogram(x, edges, metric=metric)
        counts, below, above = histogram(distances, found.edges)
        assert found.counts.tolist() == counts.tolist()
        assert (found.overall.below, found.overall.above) == (below, above)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_float32_cannot_tell_is_decided_in_float64(dtype: str) -> None:
    rng = np.random.default_rng(3)
    x = (100 + rng.normal(size=(200, 5)) * {"float16": 1, "float32": 1e-3, "float64": 1e-6}[dtype]).astype(dtype)
    distances = pdist(x.astype(np.float64))
    found = hs.distance_histogram(x, 40, (0, 1.01 * distances.max()))
    np.testing.assert_array_equal(found.counts, np.histogram(distances, found.edges)[0])
    assert found.counts.astype(bool).sum() > 10


def test_senseless_ranges_are_counted_all_the_same() -> None:
    x = states(4, 50, 3)
    for limits in ((0, 1e-40), (0, 1e40), (1e30, 2e30), (-5, -1), (-1, 1e-12)):
        check(hs.distance_histogram(x, 10, limits), upper(x, "euclidean")[2])
    equal = hs.distance_histogram(np.ones((40, 3)), 4)
    assert equal.counts.tolist() == [780, 0, 0, 0]


def test_the_default_range_holds_all_distances() -> None:
    for metric in METRICS:
        found = hs.distance_histogram(states(5, 400, 6), 50, metric=metric)
        assert found.overall.above == found.overall.below == 0
        assert found.edges[0] == 0
    assert hs.distance_histogram([[0.0, 0.0], [3.0, 4.0]], 5).edges[-1] == pytest.approx(5)


def test_classes_and_sequences() -> None:
    x = states(6, 700, 5)
    rng = np.random.default_rng(6)
    labels = rng.choice(["a", "b", "c"], 700)
    offsets = np.array([0, 3, 3, 200, 201, 700])
    number = np.searchsorted(offsets, np.arange(700), side="right")
    i, j, distances = upper(x, "euclidean")
    found = hs.distance_histogram(x, 30, labels=labels, offsets=offsets)
    plan = hs.plan_histogram(x, found.edges, labels=labels, offsets=offsets, rows=90)
    blocks = [x[start:stop] for start, stop in plan.blocks]
    joined = plan.result(np.sum([plan.count(*t, blocks[t[0]], blocks[t[1]]) for t in plan.tasks()], axis=0))
    assert len(plan.sequence_tasks()) < len(plan.tasks())
    for made in (found, joined):
        assert made.classes == ("a", "b", "c")
        parts: list[tuple[PairCounts | None, NDArray[np.bool_]]] = [
            (made.overall, np.ones(len(i), np.bool_)),
            (made.within, labels[i] == labels[j]),
            (made.between, labels[i] != labels[j]),
            (made.sequence, number[i] == number[j]),
        ]
        for a, one in enumerate("abc"):
            for b, other in enumerate("abc"):
                pair = ((labels[i] == one) & (labels[j] == other)) | ((labels[i] == other) & (labels[j] == one))
                parts.append((made.matrix[a][b], pair))
        for part, mask in parts:
            assert part is not None
            np.testing.assert_array_equal(part.counts, np.histogram(distances[mask], made.edges)[0])
            assert part.pairs == part.counted == mask.sum()


def test_threads_change_nothing() -> None:
    x = states(7, 3000, 8)
    labels = np.arange(3000) % 3
    one, three = (hs.distance_histogram(x, 64, labels=labels, n_jobs=jobs) for jobs in (1, 3))
    np.testing.assert_array_equal(one.counts, three.counts)
    for a in range(3):
        for b in range(3):
            np.testing.assert_array_equal(one.matrix[a][b].counts, three.matrix[a][b].counts)
    sampled = [hs.distance_histogram(x, 64, budget=100_000, seed=5, n_jobs=jobs) for jobs in (1, 3)]
    np.testing.assert_array_equal(sampled[0].counts, sampled[1].counts)


@pytest.mark.parametrize("kind", [EUCLIDEAN, SQUARED, MANHATTAN])
@pytest.mark.parametrize("even", [True, False])
def test_the_kernels_without_the_jit(kind: int, even: bool) -> None:
    x = states(8, 21, 3)
    metric = {EUCLIDEAN: "euclidean", SQUARED: "sqeuclidean", MANHATTAN: "manhattan"}[kind]
    _, _, distances = upper(x, metric)
    edges = np.linspace(0, distances.max(), 9) if even else np.append(0, np.geomspace(0.01, distances.max(), 7))
    plan = HistogramPlan.of(Source.of(x, metric), edges, None, None, None, rows=PANEL)
    block = plan.prepare(0, x.astype(np.float64))
    first, last = np.zeros(PANEL, np.int64), np.zeros(PANEL, np.int64)
    first[:21], last[:21] = np.arange(1, 22), 21
    tables = [np.zeros((4, len(edges) + 2), np.int64) for _ in range(2)]
    for table, kernel in zip(tables, (count_pairs, plain(count_pairs)), strict=True):
        kernel(block, block, first, last, plan._bins, kind, 1, table)
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[1].sum(axis=0)[1:-2], np.histogram(distances, edges)[0])
    slots = np.empty(20, np.int64)
    plain(pair_slots)(block.exact[:-1], block.exact[1:], kind, edges, slots)
    successive = np.array([upper(x[i : i + 2], metric)[2][0] for i in range(20)])
    expected = np.where(successive == edges[-1], len(edges) - 1, np.searchsorted(edges, successive, "right"))
    np.testing.assert_array_equal(slots, expected)


class _Stored:
    """States that can be had by slices only."""

    def __init__(self, x: States) -> None:
        self.x, self.shape, self.dtype, self.read = x, x.shape, x.dtype, 0

    def __getitem__(self, key: slice) -> States:
        assert isinstance(key, slice)
        part = self.x[key]
        self.read += len(part)
        return part


def test_samples_lie_within_their_band() -> None:
    x = states(9, 400, 4)
    labels, offsets = np.arange(400) % 2, np.array([0, 150, 160, 400])
    exact = hs.distance_histogram(x, 12, labels=labels, offsets=offsets)
    held = looked = 0
    for seed in range(60):
        found = hs.distance_histogram(x, exact.edges, labels=labels, offsets=offsets, budget=2000, seed=seed)
        assert found.sampled
        assert found.overall.counted == 2000
        assert found.overall.pairs == 400 * 399 // 2
        pairs = [
            (found.overall, exact.overall),
            (found.within, exact.within),
            (found.between, exact.between),
            (found.matrix[0][1], exact.matrix[0][1]),
            (found.matrix[1][1], exact.matrix[1][1]),
            (found.sequence, exact.sequence),
        ]
        for part, whole in pairs:
            assert part is not None
            assert whole is not None
            assert part.pairs == whole.pairs
            low, high = part.band(0.9)
            some = whole.counts > 0
            held += int(((low <= whole.shares) & (whole.shares <= high))[some].sum())
            looked += int(some.sum())
    assert looked > 3000
    assert 0.87 < held / looked < 0.93


def test_small_parts_are_counted_all_beside_a_sample() -> None:
    x, offsets = states(10, 600, 4), np.arange(0, 601, 20)
    stored = _Stored(x)
    found = hs.distance_histogram(stored, 15, offsets=offsets, budget=20_000)
    exact = hs.distance_histogram(x, found.edges, offsets=offsets)
    assert found.sampled
    assert found.sequence is not None
    assert exact.sequence is not None
    assert not found.sequence.sampled
    np.testing.assert_array_equal(found.sequence.counts, exact.sequence.counts)
    np.testing.assert_array_equal(found.counts, hs.distance_histogram(x, found.edges, budget=20_000).counts)
    np.testing.assert_allclose(found.overall.estimate().sum(), found.overall.pairs)


def test_lots_of_a_sample_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x = states(11, 3000, 4)
    whole = hs.distance_histogram(x, 15, budget=150_000)
    monkeypatch.setattr("hiddenstate_core.distances.sampling._LOT", 1 << 18)
    stored = _Stored(x)
    np.testing.assert_array_equal(hs.distance_histogram(stored, whole.edges, budget=150_000).counts, whole.counts)
    assert stored.read > 5 * 3000


def test_the_band_by_hand() -> None:
    part = PairCounts(np.arange(4.0), np.array([0, 5, 10]), 1, 4, 1000, True)
    low, high = part.band(0.95)
    z = 1.959963984540054
    assert part.counted == 20
    assert low[0] == 0
    assert high[0] == pytest.approx(z**2 / (20 + z**2))
    assert (low[2] + high[2]) / 2 == pytest.approx(0.5)
    assert part.estimate().tolist() == [0, 250, 500]
    np.testing.assert_allclose(part.density, [0, 0.25, 0.5])
    everything = PairCounts(np.arange(2.0), np.array([7]), 0, 0, 7, False)
    assert [one.tolist() for one in everything.band()] == [[1.0], [1.0]]
    nothing = PairCounts(np.arange(2.0), np.array([0]), 0, 0, 7, True)
    assert [one.tolist() for one in nothing.band()] == [[0.0], [1.0]]
    assert np.isnan(nothing.shares).all()
    with pytest.raises(InputError, match="confidence"):
        part.band(1.0)


def test_memory_does_not_grow_with_the_pairs() -> None:
    x = np.random.default_rng(12).normal(size=(6000, 3)).astype(np.float32)
    hs.distance_histogram(x[:100], 10)
    tracemalloc.start()
    found = hs.distance_histogram(x, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.overall.counted == 17_997_000  # as float32 72 MB
    assert peak < 6e6


_BAD: list[tuple[dict[str, Any], str]] = [
    ({"X": np.eye(1)}, "at least 2 states"),
    ({"X": np.array([[1.0], [np.nan]])}, "State 1 holds nan"),
    ({"X": np.zeros((3, 2)), "metric": "cosine"}, "State 0 is zero in all features"),
    ({"metric": "l2"}, "not 'l2'"),
    ({"bins": 0}, "bins must lie in 1"),
    ({"bins": True}, "whole number of bins or at least two edges"),
    ({"bins": 2.5}, "whole number of bins or at least two edges"),
    ({"bins": "auto"}, "number of bins or their edges"),
    ({"bins": [1.0]}, "at least two edges"),
    ({"bins": [1, 1, 2]}, "ascend without repetition"),
    ({"bins": [0, np.inf]}, "must be finite"),
    ({"bins": [0, 1, 2], "range": (0, 1)}, "range has no meaning"),
    ({"range": (1, 1)}, "that ascend, not \\(1, 1\\)"),
    ({"range": (0, np.nan)}, "two finite numbers"),
    ({"range": 3}, "two numbers"),
    ({"labels": [0, 1]}, "one label for each of the 5 states"),
    ({"labels": np.zeros(5)}, "whole numbers or text, not float64"),
    ({"labels": np.arange(5), "bins": 500_000}, "fewer bins, or labels with fewer classes"),
    ({"offsets": [0, 4]}, "ascend from 0 to the number of states, 5"),
    ({"offsets": [0, 3, 2, 5]}, "ascend from 0"),
    ({"offsets": [5]}, "where each sequence begins"),
    ({"offsets": [0.0, 5.0]}, "whole numbers"),
    ({"budget": 0}, "budget must be"),
]


@pytest.mark.parametrize(("more", "said"), _BAD)
def test_bad_input_is_refused_by_name(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        hs.distance_histogram(**({"X": np.eye(5)} | more))


def test_a_plan_knows_its_blocks() -> None:
    plan = hs.plan_histogram(np.eye(5), 3, rows=2)
    assert plan.blocks == ((0, 2), (2, 4), (4, 5))
    assert sorted(plan.tasks()) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    with pytest.raises(InputError, match="Block 2 of the plan has the shape \\(1, 5\\)"):
        plan.count(0, 2, np.eye(5)[:2], np.eye(5)[:2])
    with pytest.raises(InputError, match="rows must be"):
        hs.plan_histogram(np.eye(5), rows=0)
