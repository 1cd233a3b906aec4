"""Barnes-Hut in the plane and in space: codes, sort, tree and forces against float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import tree as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection import barnes_hut
from hiddenstate_core.projection.barnes_hut import BarnesHut, Tree, morton_order
from tests.oracles import tsne as oracle

Float = NDArray[np.float32]
SEEDS, DIMS = st.integers(0, 2**31), st.sampled_from([2, 3])


def _cloud(seed: int, n: int, dims: int, copies: int = 0) -> Float:
    """Points of very different density, the first `copies` of them in one place."""
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(n, dims)) * np.exp(2 * rng.normal(size=(n, 1)))).astype(np.float32)
    points[:copies] = points[0]
    return points


def _repulsion(positions: Float, angle: float, threads: int = 1) -> tuple[Float, float]:
    with Workers(threads) as workers:
        return BarnesHut(angle)(positions, workers)


def _near(positions: Float, angle: float, force: float, total: float) -> None:
    """Within relative bounds of the oracle."""
    got, z = _repulsion(positions, angle)
    wanted, expected = oracle.repulsion(positions.astype(np.float64))
    # each point's own w of 1 is summed in float32 and taken off again
    assert z == pytest.approx(expected, rel=total, abs=3e-7 * len(positions))
    assert np.linalg.norm(got - wanted) <= force * np.linalg.norm(wanted) + 1e-9


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 400), DIMS, st.integers(0, 80))
@example(0, 1, 2, 0)
@example(0, 2, 3, 0)
@example(0, 2, 2, 2)
def test_at_angle_zero_it_is_exact(seed: int, n: int, dims: int, copies: int) -> None:
    _near(_cloud(seed, n, dims, min(copies, n)), 0.0, 1e-5, 1e-5)


@settings(deadline=None, max_examples=40)
@given(SEEDS, DIMS, st.floats(0.1, 1.0), st.floats(-4, 2))
def test_it_is_near_at_any_angle_and_size_of_map(seed: int, dims: int, angle: float, log_size: float) -> None:
    positions = np.random.default_rng(seed).normal(size=(500, dims)) * 10**log_size
    _near(positions.astype(np.float32), angle, 0.2 * angle**2 + 1e-5, 0.1 * angle**2)


def test_two_points_by_hand() -> None:
    force, total = _repulsion(np.array([[0, 0, 0], [2, 0, 0]], np.float32), 0.5)
    assert total == pytest.approx(2 / 5)
    np.testing.assert_allclose(force, [[-2 / 25, 0, 0], [2 / 25, 0, 0]], rtol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("n", [1, 2, 9, 50, 3000])
def test_all_points_in_one_place(n: int, dims: int) -> None:
    for angle in (0.0, 0.5):
        force, total = _repulsion(np.full((n, dims), 3, np.float32), angle)
        assert not force.any()
        assert total == pytest.approx(n * (n - 1))


_LINE = np.linspace(-20, 20, 900)[:, None]
_HARD: dict[str, Any] = {
    "a line": _LINE * [1, 0],
    "a slanted line": _LINE * [1, -2, 0.5],
    "few places": np.random.default_rng(0).integers(0, 3, size=(900, 2)) * 1.5,
    "tiny": np.random.default_rng(1).normal(size=(900, 2)) * 1e-20,
    "far from the origin": np.random.default_rng(2).normal(size=(900, 3)) * 0.5 + 1000,
    "clusters far apart": np.repeat([[0, 0], [3e4, 1e4]], 450, 0) + np.random.default_rng(3).normal(size=(900, 2)),
    "a cluster and one far off": np.append(np.random.default_rng(4).normal(size=(899, 3)), [[1e6, 0, 0]], 0),
    "in ever smaller steps": 100 * 0.5 ** np.arange(60)[:, None] * [1, 1],
}


@pytest.mark.parametrize("name", _HARD)
def test_awkward_maps(name: str) -> None:
    positions = _HARD[name].astype(np.float32)
    _near(positions, 0.0, 1e-4, 1e-5)
    _near(positions, 0.5, 0.1, 0.03)


def _grown(positions: Float, angle: float = 0.5, threads: int = 1) -> Tree:
    with Workers(threads) as workers:
        return Tree(positions, angle, workers)


def _check(tree: Tree, cell: int, positions: Float) -> NDArray[np.int64]:
    """Check the cell and what is below it; returns how often each place in the order lies in a leaf."""
    begin, end, first, last = tree.links[cell].tolist()
    inside = positions[tree.order[first:last]].astype(np.float64)
    centre = tree.cells[cell, : positions.shape[1]]
    np.testing.assert_allclose(centre, inside.mean(axis=0), rtol=2e-6, atol=4e-7 * np.abs(inside).max())
    assert (tree.cells[cell, positions.shape[1] : 3] == 0).all()
    covered = np.zeros(len(positions), np.int64)
    if end == 0:
        covered[first:last] += 1
        assert last - first <= kernels.LEAF or tree.cells[cell, 3] < 0
        return covered
    assert end - begin >= 2
    assert tree.cells[cell, 3] >= (np.ptp(inside, axis=0) ** 2).sum() * 0.999, "what lies inside is never far"
    ranges = tree.links[begin:end, 2:]
    assert ranges[0, 0] == first
    assert ranges[-1, 1] == last
    assert (ranges[1:, 0] == ranges[:-1, 1]).all()
    for child in range(begin, end):
        assert tree.cells[child, 3] <= tree.cells[cell, 3] / 4 * 1.001
        covered += _check(tree, child, positions)
    return covered


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 200), DIMS, st.integers(0, 60), st.booleans())
def test_every_cell_has_the_moments_of_its_points(seed: int, n: int, dims: int, copies: int, deep: bool) -> None:
    positions = _cloud(seed, n, dims, copies)
    if deep and n > 1:
        positions[-1] = 1e5  # the others crowd in a corner
    tree = _grown(positions)
    assert sorted(tree.order) == list(range(n))
    np.testing.assert_array_equal(tree.points[:dims, :n].T, positions[tree.order])
    assert (_check(tree, 0, positions) == 1).all()


def test_a_tree_large_enough_to_be_shared_out() -> None:
    positions = _cloud(1, 20_000, 3, 5000)
    tree = _grown(positions)
    assert (_check(tree, 0, positions) == 1).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_same_bytes_for_any_number_of_threads(dims: int) -> None:
    positions = _cloud(3, 40_000, dims, 3000)
    results = []
    for threads in (1, 2, 3):
        force, total = _repulsion(positions, 0.8, threads)
        with Workers(threads) as workers:
            results.append((force.tobytes(), total, morton_order(positions, workers).tobytes()))
    assert results[0] == results[1] == results[2]


def test_codes_interleave_the_bits_of_the_axes() -> None:
    for dims, bits in kernels.BITS.items():
        corners = np.vstack([np.zeros(dims), np.eye(dims), np.ones(dims)]).astype(np.float32)
        codes = np.empty(len(corners), np.uint64)
        kernels.morton_codes(0, len(corners), corners, np.zeros(dims), (1 << bits) * 0.999999, bits, codes)
        top = kernels.BITS[dims]
        for axis in range(dims):
            wanted = sum(1 << (dims * b + axis) for b in range(top))
            assert int(codes[1 + axis]) >> (dims * 8) << (dims * 8) != 0
            assert int(codes[1 + axis]) & ~wanted == 0
        assert int(codes[0]) == 0
        assert int(codes[-1]) == sum(int(c) for c in codes[1:-1])


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 300), DIMS)
def test_order_is_by_cell_then_id(seed: int, n: int, dims: int) -> None:
    positions = np.random.default_rng(seed).integers(0, 4, size=(n, dims)).astype(np.float32)
    with Workers(1) as workers:
        order = morton_order(positions, workers)
    assert sorted(order) == list(range(n))
    in_order = positions[order]
    changes = (np.diff(in_order, axis=0) != 0).any(axis=1)
    assert changes.sum() == len(np.unique(positions, axis=0)) - 1, "points of one place stand together"
    assert (np.diff(order.astype(np.int64))[~changes] > 0).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_same_with_the_jit_off(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    positions = np.random.default_rng(5).normal(size=(70, dims)).astype(np.float32) * 5
    positions[:12] = positions[0]
    compiled, tree = _repulsion(positions, 0.7), _grown(positions)
    for name in ("morton_codes", "count_digits", "place_digits", "take_points", "grow", "moments", "walk"):
        monkeypatch.setattr(kernels, name, plain(getattr(kernels, name)))
    monkeypatch.setattr(kernels, "_sum_buffer", plain(kernels._sum_buffer))
    interpreted, other = _repulsion(positions, 0.7), _grown(positions)
    np.testing.assert_array_equal(tree.order, other.order)
    np.testing.assert_array_equal(tree.links[0], other.links[0])
    np.testing.assert_allclose(tree.cells[0], other.cells[0], rtol=1e-6)
    np.testing.assert_allclose(compiled[0], interpreted[0], rtol=1e-4, atol=1e-6)
    assert compiled[1] == pytest.approx(interpreted[1], rel=1e-6)


def test_a_crowded_map_is_sorted_by_every_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    shifts: list[int] = []
    sort = barnes_hut._sorted

    def spy(codes: Any, order: Any, shift: int, dims: int, workers: Workers) -> Any:
        shifts.append(shift)
        return sort(codes, order, shift, dims, workers)

    monkeypatch.setattr(barnes_hut, "_sorted", spy)
    positions = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    _grown(positions)
    assert shifts == [30]
    positions[0] = 1e7
    _grown(positions)
    assert shifts == [30, 30, 0]


def test_what_it_refuses() -> None:
    with pytest.raises(InputError, match="2 or 3 dimensions, not 4"):
        _repulsion(np.zeros((4, 4), np.float32), 0.5)
    with pytest.raises(InputError, match="angle"):
        BarnesHut(1.5)
