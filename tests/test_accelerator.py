"""t-SNE on an accelerator, run on JAX's default device: gradients against the float64 oracle, descent, refusals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.neighbors import nearest_neighbors
from hiddenstate_core.projection import (
    Affinities,
    accelerator,
    device_gradients,
    kl_divergence,
    optimize,
    perplexity_affinities,
)
from hiddenstate_core.projection.accelerator import find_device, method_on_device, optimize_on_device
from hiddenstate_core.projection.device_gradients import Grid, place_affinities
from hiddenstate_core.projection.gradients import Exact
from hiddenstate_core.projection.optimizer import OptimizerOptions, Progress
from tests.oracles import tsne as oracle

Float = NDArray[np.float32]


def _states(n: int) -> NDArray[np.float64]:
    """Six clouds in ten dimensions."""
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(n, 10)) + 6 * rng.normal(size=(6, 10))[rng.integers(0, 6, n)])


def _affinities(n: int, perplexity: float = 10.0) -> Affinities:
    return perplexity_affinities(nearest_neighbors(_states(n), min(n - 1, 30)), perplexity)


def _map(seed: int, n: int, dims: int, size: float, copies: int = 0) -> Float:
    y = (np.random.default_rng(seed).normal(size=(n, dims)) * size).astype(np.float32)
    y[:copies] = y[0]
    return y


def _start(n: int, dims: int = 2) -> Float:
    return _map(1, n, dims, 1e-4)


def _interpolated(y: Float, spacing: float) -> tuple[Float, float]:
    grid = Grid.around(float(np.ptp(y, axis=0).max()), spacing)

    @jax.jit
    def repulsion(y: jax.Array, spacing: jax.Array) -> tuple[jax.Array, jax.Array]:
        kernels = device_gradients.kernel_transforms(grid.side, spacing)
        return device_gradients.interpolated_repulsion(y, Grid(grid.side, spacing), kernels)  # type: ignore[arg-type]

    force, total = repulsion(jnp.asarray(y), jnp.float32(grid.spacing))
    return np.asarray(force), float(total)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [1e-4, 1.0, 30.0])
def test_attraction_equals_the_sum_over_the_stored_pairs(dims: int, size: float) -> None:
    a, y = _affinities(150), _map(2, 150, dims, size)
    got = device_gradients.attraction(jnp.asarray(y), place_affinities(a, find_device("jax")))
    places = y.astype(np.float64)
    weights = a.dense() * oracle.student(places)
    wanted = weights.sum(axis=1)[:, None] * places - weights @ places
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


def test_rows_longer_and_shorter_than_a_piece_in_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_gradients, "_PIECES", 16)
    n = 80  # a point that all others know, and one that is known to that one alone
    dense = np.zeros((n, n))
    dense[0, 1:] = dense[1:, 0] = 1.0
    dense[2, 3] = dense[3, 2] = 5.0
    offsets = np.concatenate([[0], np.cumsum((dense > 0).sum(axis=1))]).astype(np.int64)
    columns = np.nonzero(dense)[1].astype(np.int32)
    a = Affinities(offsets, columns, (dense[dense > 0] / dense.sum()).astype(np.float32))
    y = _map(0, n, 2, 3.0)
    edges = place_affinities(a, find_device("jax"))
    assert edges.rows.shape[0] > 1
    weights = a.dense() * oracle.student(y.astype(np.float64))
    wanted = weights.sum(axis=1)[:, None] * y - weights @ y
    np.testing.assert_allclose(device_gradients.attraction(jnp.asarray(y), edges), wanted, rtol=1e-4, atol=1e-8)
    terms = np.asarray(device_gradients.divergence_terms(jnp.asarray(y), edges)).sum(dtype=np.float64)
    assert terms == pytest.approx(
        (a.dense() * np.log1p(oracle.squared_distances(y.astype(np.float64)))).sum(), rel=1e-5
    )


@pytest.mark.parametrize(("n", "dims", "size"), [(2, 2, 1e-4), (300, 2, 20.0), (600, 3, 5.0)])
def test_every_pair(n: int, dims: int, size: float) -> None:
    y = _map(3, n, dims, size, copies=n // 3)
    force, total = device_gradients.exact_repulsion(jnp.asarray(y), (64, 256))
    wanted, z = oracle.repulsion(y.astype(np.float64))
    assert float(total) == pytest.approx(z, rel=1e-6)
    np.testing.assert_allclose(force, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("size", [1e-5, 1.0, 20.0])
def test_interpolation_is_near_and_nearer_on_a_finer_grid(size: float) -> None:
    y = _map(4, 1200, 2, size, copies=200)
    wanted, z = oracle.repulsion(y.astype(np.float64))
    for spacing, of_force, of_total in ((0.5, 0.05, 0.02), (0.25, 0.004, 0.002)):
        force, total = _interpolated(y, spacing)
        assert total == pytest.approx(z, rel=of_total)
        assert np.linalg.norm(force - wanted) < of_force * np.linalg.norm(wanted)
    small = np.ptp(y, axis=0).max() < 10
    assert not small or np.linalg.norm(force - wanted) < 2e-5 * np.linalg.norm(wanted)


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 1e5, width=32), st.sampled_from([0.25, 0.5, 2.0]))
def test_a_grid_holds_its_map_and_some_room(extent: float, spacing: float) -> None:
    grid = Grid.around(extent, spacing)
    assert grid.side in device_gradients._SIDES
    assert grid.spacing > 0
    assert device_gradients.intervals(grid.side) * grid.spacing >= 1.19 * extent
    if grid.side < device_gradients._SIDES[-1]:
        assert grid.spacing <= spacing


@pytest.mark.parametrize(("method", "dims"), [("exact", 2), ("exact", 3), ("interpolation", 2)])
def test_the_first_steps_follow_the_oracle(method: str, dims: int) -> None:
    a, start = _affinities(60, 5.0), _start(60, dims)
    wanted = oracle.descend(a.dense(), start.astype(np.float64), 8, 20.0, 4.0, 0.5)
    options = OptimizerOptions(max_iter=8, early_exaggeration=4.0, learning_rate=20.0)
    done = optimize_on_device(a, start, options, method=method, device="jax")
    assert done.iteration == 8
    np.testing.assert_allclose(done.positions, wanted, rtol=0, atol=5e-4 * np.abs(wanted).max())
    assert start.std() < 2e-4, "the start is not changed"


@pytest.mark.parametrize("method", ["exact", "interpolation"])
def test_the_map_is_as_good_as_that_of_the_kernels(method: str) -> None:
    a, start = _affinities(400), _start(400)
    options = OptimizerOptions(max_iter=300, early_iterations=130, late_iterations=20, late_exaggeration=1.5)
    ours = optimize_on_device(a, start, options, method=method, device="jax")
    other = optimize(a, start, Exact(), options)
    assert ours.iteration == other.iteration == 300
    judged = kl_divergence(a, ours.positions)
    assert judged == pytest.approx(kl_divergence(a, other.positions), rel=0.02)
    assert ours.kl_divergence == pytest.approx(judged, rel=0.05), "with the Z of the step before"
    assert np.abs(ours.positions.mean(axis=0)).max() < 1e-4


def test_callbacks_are_told_and_may_stop() -> None:
    a, seen = _affinities(60), []

    def tell(progress: Progress) -> bool:
        seen.append(progress)
        return progress.iteration >= 100

    options = OptimizerOptions(max_iter=200, early_iterations=70, late_iterations=0)
    done = optimize_on_device(a, _start(60), options, device="jax", callback=tell)
    assert [p.iteration for p in seen] == [50, 100]
    assert done.interrupted
    assert done.iteration == 100
    np.testing.assert_array_equal(done.positions, seen[-1].positions)
    assert done.positions is not seen[-1].positions


def test_ctrl_c_gives_the_map_so_far() -> None:
    a = _affinities(60)

    def interrupt(progress: Progress) -> bool:
        if progress.iteration == 100:
            raise KeyboardInterrupt
        return False

    done = optimize_on_device(a, _start(60), OptimizerOptions(max_iter=500), device="jax", callback=interrupt)
    assert done.interrupted
    assert done.iteration == 100
    assert np.isfinite(done.positions).all()


def test_an_interrupt_amid_a_step_loses_no_more_than_that_step(monkeypatch: pytest.MonkeyPatch) -> None:
    advance, calls = accelerator._advance, []

    def fail(*args: Any, **options: Any) -> Any:
        calls.append(1)
        result = advance(*args, **options)  # what it was given is gone by now
        if len(calls) == 3:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(accelerator, "_advance", fail)
    done = optimize_on_device(_affinities(60), _start(60), OptimizerOptions(max_iter=500), device="jax")
    assert done.interrupted
    assert done.iteration == 100
    assert np.isfinite(done.positions).all()


def test_it_stops_when_the_divergence_no_longer_falls_or_the_gradient_is_nothing() -> None:
    a, start = _affinities(60), _start(60)
    options = OptimizerOptions(max_iter=2000, early_iterations=50, late_iterations=0, patience=50)
    assert optimize_on_device(a, start, options, device="jax").iteration < 2000
    options = options.replace(patience=None, min_gradient=10.0)
    assert optimize_on_device(a, start, options, device="jax").iteration == 100


def test_a_map_that_shrinks_to_nothing_is_blown_up_again() -> None:
    a, start = _affinities(60), _map(1, 60, 2, 1e-9)
    done = optimize_on_device(a, start, OptimizerOptions(max_iter=50, learning_rate=1e-6), device="jax")
    assert done.positions.std(axis=0).max() == pytest.approx(1e-4, rel=1e-2)


def test_auto_takes_every_pair_for_few_points_and_in_space() -> None:
    assert method_on_device("auto", 5000, 2) == method_on_device("auto", 10**6, 3) == "exact"
    assert method_on_device("auto", 5001, 2) == method_on_device("interpolation", 50, 2) == "interpolation"


def test_what_it_refuses() -> None:
    a, start = _affinities(20, 3.0), _start(20)
    with pytest.raises(InputError, match="Barnes-Hut runs on the CPU only"):
        optimize_on_device(a, start, method="barnes_hut", device="jax")
    with pytest.raises(InputError, match="'auto', 'exact' or 'interpolation'"):
        optimize_on_device(a, start, method="fft", device="jax")
    with pytest.raises(InputError, match="2 dimensions, not 3"):
        optimize_on_device(a, _start(20, 3), method="interpolation", device="jax")
    with pytest.raises(InputError, match="The start must have shape"):
        optimize_on_device(a, start[:9], device="jax")
    with pytest.raises(InputError, match="spacing"):
        optimize_on_device(a, start, spacing=0.0, device="jax")
    with pytest.raises(InputError, match="'cpu', 'gpu' or 'jax', not 'tpu'"):
        find_device("tpu")


def test_without_a_gpu_it_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = jax.devices

    def none(platform: str | None = None) -> Any:
        if platform is not None:
            raise RuntimeError("Unknown backend")
        return devices()

    monkeypatch.setattr(jax, "devices", none)
    with pytest.raises(InputError, match=r"JAX sees only: .*device='cpu'"):
        find_device("gpu")


def test_a_map_that_is_no_longer_finite_is_refused_at_once() -> None:
    affinities = _affinities(60)
    start = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    options = OptimizerOptions(learning_rate=1e300, max_iter=500)
    with pytest.raises(InputError, match="no longer finite after 50 iterations; lower learning_rate"):
        optimize_on_device(affinities, start, options, device="jax")
