"""The compiled loops: the decorator, workers, and the same answers with the JIT off."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hiddenstate_core.kernels import jit
from hiddenstate_core.kernels.jit import kernel, plain
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection import Exact


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 300), st.integers(1, 60), st.integers(1, 4))
def test_workers_visit_every_index_once(count: int, block: int, threads: int) -> None:
    seen = np.zeros(count, np.int64)

    def visit(start: int, stop: int, array: NDArray[np.int64]) -> None:
        assert 0 <= start < stop <= count
        assert start % block == 0
        array[start:stop] += 1

    with Workers(threads) as workers:
        workers.run(visit, count, block, seen)
        workers.run(visit, count, block, seen)
    assert (seen == 2).all()


def test_workers_pass_errors_on_and_go_on_working() -> None:
    def fail(start: int, stop: int) -> None:
        if start == 30:
            raise ArithmeticError("block 30")

    with Workers(3) as workers:
        with pytest.raises(ArithmeticError, match="block 30"):
            workers.run(fail, 100, 10)
        done: list[int] = []
        workers.run(lambda start, stop: done.append(start), 50, 10)
    assert sorted(done) == [0, 10, 20, 30, 40]


def test_workers_run_blocks_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30)
    with Workers(2) as workers:
        workers.run(lambda start, stop: meeting.wait(), 2, 1)


def test_workers_take_numbas_number_of_threads() -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert Workers().threads == 1
    finally:
        numba.set_num_threads(before)
    assert Workers().threads == before
    assert Workers(-1).threads >= 1


@pytest.mark.parametrize("bad", [0, -2, True, 2.5, "all"])
def test_workers_refuse_a_senseless_number(bad: Any) -> None:
    with pytest.raises(ValueError, match="n_jobs must be None, -1 or a whole number"):
        Workers(bad)


def test_kernel_works_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    njit: Callable[..., Any] = numba.njit
    asked: list[bool] = []

    def refuse(*args: Any, cache: bool, **options: Any) -> Any:
        asked.append(cache)
        if cache:

            def fail(function: Callable[..., Any]) -> Any:
                raise RuntimeError("cannot cache function: no locator available")

            return fail
        return njit(*args, cache=False, **options)

    monkeypatch.setattr(jit, "numba", types.SimpleNamespace(njit=refuse))

    @kernel()
    def double(x: float) -> float:
        return 2 * x

    assert asked == [True, False]
    assert double(4.0) == 8.0


def test_plain_is_the_python_function() -> None:
    @kernel(fast=True)
    def add(x: float, y: float) -> float:
        return x + y

    assert plain(add)(1.0, 2.0) == 3.0
    assert plain(plain(add)) is plain(add)


_SCRIPT = """
import sys, numpy as np, numba
import hiddenstate_core as hs
from hiddenstate_core.projection import BarnesHut, Exact, gradient, kl_divergence
from hiddenstate_core.neighbors import nearest_neighbors
X = np.random.default_rng(1).normal(size=(45, 5))
X[:6] = X[0]
graph = nearest_neighbors(X, 12)
tsne = hs.TSNE(perplexity=4, max_iter=15, learning_rate=2, method="barnes_hut", n_iter_without_progress=None).fit(X)
solid = hs.TSNE(3, perplexity=4, max_iter=15, learning_rate=2).fit(X)
Y = np.random.default_rng(2).normal(size=(45, 2)).astype("float32")
np.savez(
    sys.argv[1], indices=graph.indices, distances=graph.distances, values=tsne.affinities_.values,
    columns=tsne.affinities_.columns, embedding=tsne.embedding_, solid=solid.embedding_,
    gradient=gradient(tsne.affinities_, Y, BarnesHut(0.7)), exact=gradient(tsne.affinities_, Y, Exact()),
    kl=kl_divergence(tsne.affinities_, Y),
)
"""


def test_the_whole_way_gives_the_same_with_the_jit_off(tmp_path: Path) -> None:
    saved = []
    for disabled in ("0", "1"):
        path = tmp_path / f"{disabled}.npz"
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        subprocess.run([sys.executable, "-c", _SCRIPT, str(path)], check=True, env=environment, timeout=600)
        saved.append(np.load(path))
    compiled, interpreted = saved
    for name in ("indices", "columns"):
        np.testing.assert_array_equal(compiled[name], interpreted[name])
    for name in ("distances", "values", "gradient", "exact", "kl"):
        np.testing.assert_allclose(compiled[name], interpreted[name], rtol=2e-5, atol=1e-8)
    for name in ("embedding", "solid"):  # 15 steps: rounding has had little time to grow
        scale = np.abs(interpreted[name]).max()
        np.testing.assert_allclose(compiled[name], interpreted[name], atol=1e-3 * scale)


def test_exact_repulsion_of_two_points_by_hand() -> None:
    with Workers(1) as workers:
        force, total = Exact()(np.array([[0, 0], [2, 0]], np.float32), workers)
    assert total == pytest.approx(2 / 5)
    np.testing.assert_allclose(force, [[-2 / 25, 0], [2 / 25, 0]], rtol=1e-6)
