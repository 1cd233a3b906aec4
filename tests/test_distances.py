"""Pairwise distances, one state's distances and step distances, against float64 and by hand."""

from __future__ import annotations

import dataclasses
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hiddenstate_core as hs
from hiddenstate_core.distances import pairwise as pairwise_module
from hiddenstate_core.distances import sequence_distances
from hiddenstate_core.distances.frame import Frame
from hiddenstate_core.distances.source import METRICS, Source
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.distances import fill_distances, state_distances
from hiddenstate_core.kernels.jit import plain
from tests.fakes import make_trace
from tests.oracles.distances import distances as oracle

States = NDArray[Any]


def states(seed: int, n: int, d: int, dtype: str = "float32", *, shift: float = 0.0) -> States:
    """Clustered states far from zero, some equal, some nearly so."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, d))[rng.integers(0, 3, n)] + 0.3 * rng.normal(size=(n, d)) + shift
    x[n // 2 :: 5] = x[0]
    x[1::7] = x[0] * (1 + 1e-6 * rng.normal(size=(len(x[1::7]), d)))
    x[np.abs(x).max(axis=1) == 0] = 1
    return (10 * x).astype(dtype) if dtype != "int16" else np.clip(10 * x + 1, -99, 99).astype(dtype) | 1


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 80),
    st.integers(1, 30),
    st.integers(1, 9),
    st.sampled_from(METRICS),
    st.sampled_from(["float32", "float16", "float64", "int16"]),
    st.sampled_from([0.0, 3.0, 300.0]),
)
def test_distances_equal_the_oracles(seed: int, n: int, m: int, d: int, metric: str, dtype: str, shift: float) -> None:
    both = states(seed, n + m, d, dtype, shift=shift)
    x, y = both[:n], both[n:]
    found, expected = hs.pairwise_distances(x, y, metric), oracle(x, y, metric)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=5e-4 if metric == "euclidean" else 1e-3)
    assert (found[oracle(x, y, "euclidean") == 0] == 0).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_square_matrix_is_symmetric_with_zeros_on_the_diagonal(metric: str) -> None:
    x = states(0, 300, 37)
    found = hs.pairwise_distances(x, metric=metric)
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 0).all()
    np.testing.assert_array_equal(found, hs.pairwise_distances(x, x.copy(), metric))


@pytest.mark.parametrize("metric", METRICS)
def test_neither_threads_nor_blocks_change_a_distance(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = states(1, 700, 11), states(2, 300, 11)
    whole = hs.pairwise_distances(x, y, metric, n_jobs=1)
    np.testing.assert_array_equal(whole, hs.pairwise_distances(x, y, metric, n_jobs=3))
    monkeypatch.setattr("hiddenstate_core.distances.frame.BLOCK_BYTES", 128 * 16 * 11)
    np.testing.assert_array_equal(whole, hs.pairwise_distances(x, y, metric))
    for block in ((1, 1), (700, 300), (64, 100), (37, 299)):
        joined, seen = np.full_like(whole, np.nan), 0
        for rows, columns, part in hs.distance_blocks(x[:90], y, metric, block=block):
            joined[rows, columns] = part
            seen += part.size
        assert seen == 90 * 300
        np.testing.assert_array_equal(joined[:90], hs.pairwise_distances(x[:90], y, metric))


def test_typical_errors_are_those_of_float32() -> None:
    x = np.random.default_rng(0).normal(size=(400, 100)).astype(np.float32) + np.float32(5)
    for metric in METRICS:
        expected = oracle(x[:50], x, metric)
        off = np.abs(hs.pairwise_distances(x, metric=metric)[:50] - expected)[expected > 0] / expected[expected > 0]
        assert off.max() < 1e-5


@pytest.mark.parametrize("scale", [1e-15, 1e-9, 1e14])
def test_scale_does_not_matter(scale: float) -> None:
    x = states(3, 80, 6, "float64")
    one, other = hs.pairwise_distances(x), hs.pairwise_distances(x * (scale / 64))
    np.testing.assert_allclose(other, one * (scale / 64), rtol=1e-3)


def test_a_far_center_does_not_matter() -> None:
    x = np.random.default_rng(4).normal(size=(60, 8))
    np.testing.assert_allclose(hs.pairwise_distances(x + 1e9), oracle(x + 1e9, x + 1e9, "euclidean"), rtol=5e-4)


def test_the_kernels_without_the_jit() -> None:
    x = states(5, 9, 5).astype(np.float64)
    for metric in METRICS:
        source = Source.of(x, metric)
        frame = Frame.fit([source])
        block = frame.block(source.read(0, 9), 0.5)
        for name in ("compiled", "plain"):
            out, row = np.empty((9, 9), np.float32), np.empty(9)
            fill = fill_distances if name == "compiled" else plain(fill_distances)
            one = state_distances if name == "compiled" else plain(state_distances)
            fill(0, 9, block, block, frame.kind, frame.unit, frame.factor, 0, out)
            one(0, 9, block.exact, block.exact[2:3], frame.kind, row)
            np.testing.assert_allclose(out, oracle(x, x, metric), rtol=1e-3)
            np.testing.assert_allclose(row, oracle(x, x, metric)[2], rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "F", "strided", "read-only", "list"])
def test_any_layout_is_read(order: str) -> None:
    x = states(6, 50, 8)
    given: Any = {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=0)[::2],
        "read-only": x.copy(),
        "list": x.tolist(),
    }[order]
    if order == "read-only":
        given.setflags(write=False)
        compiled = len(getattr(fill_distances, "signatures", ()))
        double = x.astype(np.float64)
        double.setflags(write=False)
        hs.pairwise_distances(double)
        assert len(getattr(fill_distances, "signatures", ())) <= max(compiled, 1)
    np.testing.assert_array_equal(hs.pairwise_distances(given), hs.pairwise_distances(x))


def test_into_a_memory_map_and_other_arrays(tmp_path: Path) -> None:
    x, y = states(7, 130, 5), states(8, 70, 5)
    whole = hs.pairwise_distances(x, y)
    mapped = np.lib.format.open_memmap(tmp_path / "d.npy", "w+", np.float32, (130, 70))
    assert hs.pairwise_distances(x, y, out=mapped) is mapped
    mapped.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), whole)
    double = np.zeros((70, 130)).T
    np.testing.assert_array_equal(hs.pairwise_distances(x, y, out=double), whole)


class _Chunked:
    """An array on disk that refuses to be written by parts of chunks, or to be read."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, int], chunks: tuple[int, int], shards: tuple[int, int] | None) -> None:
        self.shape, self.chunks, self.shards = shape, chunks, shards
        self.values = np.full(shape, np.nan, np.float32)

    def __setitem__(self, key: tuple[slice, slice], block: NDArray[np.float32]) -> None:
        whole = self.shards or self.chunks
        for part, size, length in zip(key, whole, self.shape, strict=True):
            assert part.start % size == 0
            assert part.stop % size == 0 or part.stop == length
        assert np.isnan(self.values[key]).all()
        self.values[key] = block


@pytest.mark.parametrize("room", [1, 3000, 1 << 23])
@pytest.mark.parametrize("shards", [None, (40, 60)])
def test_chunks_are_written_whole_and_once(
    room: int, shards: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairwise_module, "_BLOCK", room)
    x, y = states(9, 130, 4), states(10, 170, 4)
    out = _Chunked((130, 170), (20, 30), shards)
    hs.pairwise_distances(x, y, out=out)
    np.testing.assert_allclose(out.values, oracle(x, y, "euclidean"), rtol=5e-4)


def test_into_a_zarr_array(tmp_path: Path) -> None:
    x = states(11, 90, 4)
    out = zarr.create_array(tmp_path / "d.zarr", shape=(90, 90), shards=(40, 40), chunks=(20, 10), dtype="float32")
    hs.pairwise_distances(x, out=out, metric="manhattan")
    np.testing.assert_array_equal(np.asarray(out[:]), hs.pairwise_distances(x, metric="manhattan"))
    stored = zarr.create_array(tmp_path / "x.zarr", shape=x.shape, chunks=(7, 2), dtype="float32")
    stored[:] = x
    np.testing.assert_array_equal(hs.pairwise_distances(stored), hs.pairwise_distances(x))


def test_blocks_need_the_memory_of_blocks_only() -> None:
    x = np.zeros((40_000, 4), np.float32)
    x[:, 0] = np.arange(40_000)
    next(iter(hs.distance_blocks(x[:64])))  # compiled
    tracemalloc.start()
    total = sum(float(part[0, -1]) for _, _, part in hs.distance_blocks(x[:300], x, block=(100, 10_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = sum(abs(top - end) for top in (0, 100, 200) for end in (9_999, 19_999, 29_999, 39_999))
    assert total == pytest.approx(expected, rel=1e-5)
    assert peak < 24e6  # the whole would be 48 MB


@pytest.mark.parametrize("metric", METRICS)
def test_distances_to_one_state(metric: str) -> None:
    x = states(12, 200, 7)
    expected = oracle(x, x[5:6], metric)[:, 0]
    np.testing.assert_allclose(hs.distances_to(x, 5, metric), expected, rtol=1e-6)
    np.testing.assert_array_equal(hs.distances_to(x, x[5], metric, n_jobs=2), hs.distances_to(x, 5 - 200, metric))
    ids, near = hs.distances_to(x, 5, metric, k=20)
    assert 5 not in ids
    assert (np.diff(near) >= 0).all()
    np.testing.assert_array_equal(near, np.sort(np.delete(hs.distances_to(x, 5, metric), 5))[:20])
    assert ids[near == 0].tolist() == sorted(ids[near == 0])
    assert 5 in hs.distances_to(x, x[5], metric, k=60)[0]


_BAD: list[tuple[Any, dict[str, Any], str]] = [
    (np.array([[1, 2], [np.nan, 0]]), {}, "State 1 holds nan in feature 0"),
    (np.array([[1, np.inf], [0, 0]], np.float32), {}, "State 0 holds inf in feature 1"),
    (np.array([[1, 1e16], [0, 0]]), {}, "State 0 holds 1e\\+16"),
    (np.zeros((0, 3)), {}, "at least 1 state"),
    (np.zeros((3, 0)), {}, "at least one feature"),
    (np.zeros(3), {}, "not one of shape \\(3,\\)"),
    (np.array([["a", "b"]]), {}, "real numbers, not <U1"),
    (np.array([[1j, 2]]), {}, "real numbers, not complex128"),
    ([[1.0], [1.0, 2.0]], {}, "must form an array"),
    (np.eye(3), {"Y": np.eye(4)}, "not 3 and 4"),
    (np.eye(3), {"Y": np.full((1, 3), np.nan)}, "State of Y 0 holds nan"),
    (np.eye(3), {"metric": "hamming"}, "'manhattan', not 'hamming'"),
    (np.eye(3) * [1, 1, 0], {"metric": "cosine"}, "State 2 is zero in all features"),
    (np.eye(3), {"out": [1]}, "can be written to, not list"),
    (np.eye(3), {"out": np.zeros((3, 4))}, "the shape \\(3, 3\\)"),
    (np.eye(3), {"out": np.zeros((3, 3), int)}, "floating-point numbers, not int64"),
    (np.eye(3), {"out": np.broadcast_to(np.float32(0), (3, 3))}, "cannot be written to"),
]


@pytest.mark.parametrize(("x", "more", "said"), _BAD)
def test_bad_input_is_refused_by_name(x: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        hs.pairwise_distances(x, **more)


def test_more_bad_input_is_refused() -> None:
    x = np.eye(4)
    with pytest.raises(InputError, match="State 4 does not exist"):
        hs.distances_to(x, 4)
    with pytest.raises(InputError, match="3 features, the others have 4"):
        hs.distances_to(x, [1, 2, 3])
    with pytest.raises(InputError, match="The state given"):
        hs.distances_to(x, [1, 2, 3, np.nan])
    for k in (0, 4, True, 1.5):
        with pytest.raises(InputError, match="k must lie in 1"):
            hs.distances_to(x, 0, k=k)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pair of whole numbers"):
        hs.distance_blocks(x, block=(0, 3))
    with pytest.raises(InputError, match="State 1 holds nan"):
        hs.distance_blocks([[1.0], [np.nan]])


def test_one_state_is_enough() -> None:
    assert hs.pairwise_distances([[1.0, 2.0]]).tolist() == [[0.0]]
    assert hs.pairwise_distances(np.ones((3, 2))).tolist() == [[0.0] * 3] * 3


@dataclasses.dataclass
class _Trace:
    """As much of a trace as step distances need."""

    states: NDArray[np.float32]
    offsets: NDArray[np.int64]
    directions: tuple[str, ...] = ("forward",)
    layers: tuple[int, ...] = (3,)
    initial_probabilities: NDArray[np.float32] = dataclasses.field(
        default_factory=lambda: np.full(3, 1 / 3, np.float32)
    )
    kept: dict[str, Any] = dataclasses.field(default_factory=dict)

    def hidden(self, layer: int, direction: str | None) -> NDArray[np.float32]:
        return self.states

    def gate(self, name: str, layer: int, direction: str | None) -> NDArray[np.float32]:
        return self.states

    def probabilities(self) -> NDArray[np.float32]:
        return self.states

    def analysis(self, name: str) -> Any:
        return self.kept.get(name)

    def add_analysis(self, name: str, values: Any, *, attributes: Any) -> None:
        self.kept[name] = values


@pytest.mark.parametrize("block", [1, 4, 1000])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantity", ["hidden", "output", "probabilities"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_steps_by_any_metric(
    block: int, metric: str, quantity: str, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hiddenstate_core.distances.steps._BLOCK", block)
    offsets = np.array([0, 0, 5, 6, 6, 30])
    trace: Any = _Trace(states(13, 30, 3), offsets)
    found = hs.step_distances(trace, quantity=quantity, metric=metric, direction=direction, store=True)
    x = trace.states.astype(np.float64)
    largest = 0.0
    for start, stop in itertools.pairwise(offsets.tolist()):
        rows = list(range(start, stop))
        if direction == "backward" and quantity != "probabilities":
            rows.reverse()
        for before, row in zip([None, *rows], rows, strict=False):
            if before is None and (quantity == "output" or (metric == "cosine" and quantity == "hidden")):
                assert found.values[row] == 0
                continue
            initial = trace.initial_probabilities if quantity == "probabilities" else np.zeros(3)
            other = initial.astype(np.float64) if before is None else x[before]
            expected = oracle(x[row : row + 1], other[None], metric)[0, 0]
            assert found.values[row] == pytest.approx(expected, rel=1e-6, abs=0)
            largest = max(largest, expected if before is not None else 0)
    assert found.largest == pytest.approx(largest, rel=1e-6)
    assert len(trace.kept) == 1
    again = hs.step_distances(trace, quantity=quantity, metric=metric, direction=direction)
    np.testing.assert_array_equal(again.values, found.values)


def test_steps_of_bad_states_are_refused() -> None:
    x = np.ones((6, 3), np.float32)
    x[4] = 0
    trace: Any = _Trace(x, np.array([0, 6]))
    with pytest.raises(InputError, match="State 4 is zero"):
        hs.step_distances(trace, metric="cosine")
    x[2, 1] = np.nan
    with pytest.raises(InputError, match="State 2 holds nan in feature 1"):
        hs.step_distances(trace)
    with pytest.raises(InputError, match="metric must be"):
        hs.step_distances(trace, metric="angular")


@pytest.mark.parametrize("quantity", ["hidden", "probabilities"])
def test_steps_of_one_sequence_are_those_of_all(tmp_path: Path, quantity: str) -> None:
    trace = make_trace(tmp_path / "trace.zarr", 12, hidden=(5, 4))
    for layer in (0, 1):
        every = hs.step_distances(trace, layer, quantity=quantity)
        for index in range(len(trace)):
            alone = sequence_distances(trace, index, layer, quantity=quantity)
            np.testing.assert_allclose(alone, every.sequence(index), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError):
        sequence_distances(trace, 12)
