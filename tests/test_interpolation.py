"""The repulsion by interpolation and FFT, against the float64 oracle and with the JIT off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels import interpolation as kernels
from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection import BarnesHut, Interpolation
from tests.oracles import tsne as oracle


def _cloud(seed: int, n: int, extent: float) -> NDArray[np.float32]:
    """Points in a few clumps whose longer side is `extent`."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(6, 2))[rng.integers(0, 6, n)] + 0.2 * rng.normal(size=(n, 2))
    return np.asarray(y * extent / np.ptp(y, axis=0).max(), np.float32)


def _errors(y: NDArray[np.float32], method: Interpolation) -> tuple[float, float]:
    """Relative errors of the forces (root mean square) and of Z."""
    with Workers(2) as workers:
        force, total = method(y, workers)
    wanted, z = oracle.repulsion(y.astype(np.float64))
    return float(np.linalg.norm(force - wanted) / np.linalg.norm(wanted)), abs(total / z - 1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(2, 300), log_extent=st.floats(-6, 1))
@example(seed=0, n=2, log_extent=0.75)
def test_small_maps_are_exact_to_rounding(seed: int, n: int, log_extent: float) -> None:
    y = _cloud(seed, n, 10.0**log_extent)
    force, total = _errors(y, Interpolation())
    _, z = oracle.repulsion(y.astype(np.float64))
    assert force < 1e-3
    # The grid sums each point with itself as well: of few points far apart, Z is what little is left without these n.
    assert total * z < 1e-4 * (z if z >= n else z + n)


def test_the_error_falls_with_the_fourth_power_of_the_spacing() -> None:
    y = _cloud(0, 1500, 40.0)
    coarse, middle, fine = (_errors(y, Interpolation(spacing=h, intervals=1))[0] for h in (0.5, 0.25, 0.125))
    assert coarse < 0.03
    assert coarse / middle > 8
    assert middle / fine > 8


def test_wide_maps() -> None:
    force, total = _errors(_cloud(1, 800, 120.0), Interpolation(spacing=0.25))
    assert force < 0.01
    assert total < 2e-3
    coarse = Interpolation(most_nodes=64)
    with Workers(1) as workers:
        left, tree = coarse(_cloud(1, 800, 300.0), workers), BarnesHut()(_cloud(1, 800, 300.0), workers)
    np.testing.assert_array_equal(left[0], tree[0])
    assert left[1] == tree[1]
    assert coarse.step(np.array([300.0, 1.0])) == pytest.approx(300 / 59)


@pytest.mark.parametrize(
    "y", [np.zeros((5, 2)), np.array([[0, 0], [3, 0]]), np.stack([np.arange(50), np.zeros(50)], 1)]
)
def test_points_on_a_line_or_in_one_place(y: NDArray[np.float64]) -> None:
    with Workers(1) as workers:
        force, total = Interpolation()(np.ascontiguousarray(y, np.float32), workers)
    wanted, z = oracle.repulsion(y.astype(np.float64))
    np.testing.assert_allclose(force, wanted, atol=2e-3 * max(1, abs(wanted).max()))
    assert total == pytest.approx(z, rel=3e-3)


def test_points_that_hardly_act_on_each_other() -> None:
    y = np.array([[0, 0], [30, 0], [0, 30]], np.float32)
    force, total = _errors(y, Interpolation())
    assert force < 1e-3
    assert total < 1e-3


def test_many_threads_give_the_same_bytes() -> None:
    y = _cloud(2, 70_000, 60.0)
    made = []
    for threads in (1, 2, 3):
        with Workers(threads) as workers:
            force, total = Interpolation()(y, workers)
        made.append((force.tobytes(), total))
    assert made[0] == made[1] == made[2]


def test_a_method_used_again_forgets_the_map_before() -> None:
    method = Interpolation()
    with Workers(1) as workers:
        alone = [Interpolation()(_cloud(s, 200, e), workers)[0] for s, e in ((0, 3), (1, 80), (0, 3))]
        again = [method(_cloud(s, 200, e), workers)[0].copy() for s, e in ((0, 3), (1, 80), (0, 3))]
    for a, b in zip(alone, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_threads_may_share_a_method() -> None:
    method, maps = Interpolation(), [_cloud(s, 3000, 20.0 + s) for s in range(2)]

    def forces(y: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with Workers(1) as workers:
            return [method(y, workers)[0].copy() for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(forces, maps))
    for y, found in zip(maps, together, strict=True):
        alone = forces(y)[0]
        assert all((force == alone).all() for force in found)


def test_the_field_between_the_points() -> None:
    y = _cloud(3, 400, 12.0)
    with Workers(1) as workers:
        field = Interpolation(spacing=0.2).field(y, workers)
    rows, columns, _ = field.values.shape
    assert columns >= np.ptp(y[:, 0]) * field.frame[2]
    assert rows >= np.ptp(y[:, 1]) * field.frame[2]
    np.testing.assert_allclose(field.frame[:2], y.min(axis=0))


def test_bad_input() -> None:
    with Workers(1) as workers, pytest.raises(InputError, match="2 dimensions, not 3"):
        Interpolation()(np.zeros((4, 3), np.float32), workers)
    with pytest.raises(InputError, match="spacing of the grid must be above 0"):
        Interpolation(spacing=0)
    with pytest.raises(InputError, match="at least 1 interval"):
        Interpolation(intervals=0)


def test_kernels_with_the_jit_off() -> None:
    y = _cloud(4, 60, 5.0)
    frame = np.array([*y.min(axis=0), 2.0])
    size = 25
    boxes = np.array([[0, 0, 16, 16, 256 * b] for b in range(3)])
    fields = np.random.default_rng(0).normal(size=(16, 16, 4)).astype(np.float32)
    results = []
    for compiled in (True, False):
        spread = kernels.spread_charges if compiled else plain(kernels.spread_charges)
        add = kernels.sum_tiles if compiled else plain(kernels.sum_tiles)
        gather = kernels.gather_field if compiled else plain(kernels.gather_field)
        tiles, grid = np.empty(3 * 256), np.empty((16, 16), np.float32)
        spread(0, 3, size, y, frame, boxes, tiles)
        add(0, 16, boxes, tiles, grid)
        force, sums = np.empty_like(y), np.empty(2)
        gather(0, 30, 30, y, frame, fields, force, sums)
        gather(30, 60, 30, y, frame, fields, force, sums)
        results.append((grid, force, sums))
        assert grid.sum() == pytest.approx(60, rel=1e-6)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
