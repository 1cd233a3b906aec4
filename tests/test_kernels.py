"""The compiled loops: workers, the quadtree, and the same answers with the JIT off."""

from __future__ import annotations

import itertools
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
from hiddenstate_core.kernels.quadtree import GROUP, LEAF, LEVELS, build_tree, group_repulsion, morton_order
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection import Exact

Float = NDArray[np.float32]


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


@pytest.mark.parametrize("bad", [0, -2])
def test_workers_refuse_a_senseless_number(bad: int) -> None:
    with pytest.raises(ValueError, match="n_jobs"):
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


class _Tree:
    """A quadtree over some points, built compiled or not."""

    def __init__(self, positions: Float, angle: float, *, compiled: bool) -> None:
        order_of, build = (morton_order, build_tree) if compiled else (plain(morton_order), plain(build_tree))
        n = len(positions)
        low = positions.min(axis=0).astype(np.float64)
        self.width = float((positions.max(axis=0) - low).max()) * (1 + 1e-6) or 1.0
        self.codes, self.order = order_of(positions, low, self.width)
        self.cells, self.links = np.zeros((2 * n, 4), np.float32), np.zeros((2 * n, 3), np.int32)
        self.groups, self.points = np.zeros((n, 2), np.int32), np.zeros((2, n), np.float32)
        self.count, self.size = build(
            self.codes, self.order, positions, self.width, angle, self.cells, self.links, self.groups, self.points
        )


def _cloud(seed: int, n: int, copies: int) -> Float:
    """Points of very different density, the first `copies` of them in one place."""
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(n, 2)) * np.exp(2 * rng.normal(size=(n, 1)))).astype(np.float32)
    points[:copies] = points[0]
    return points


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(0, 60), st.booleans())
def test_tree_holds_every_point_once_with_right_moments(seed: int, n: int, copies: int, compiled: bool) -> None:
    positions = _cloud(seed, n, copies)
    tree = _Tree(positions, 0.5, compiled=compiled)
    assert sorted(tree.order) == list(range(n))
    assert (np.diff(tree.codes.astype(np.int64)) >= 0).all()
    equal = np.diff(tree.codes.astype(np.int64)) == 0
    assert (np.diff(tree.order)[equal] > 0).all(), "points of one smallest cell stand by id"
    covered = np.zeros(n, np.int64)
    for cell in range(tree.count):
        follower, first, last = tree.links[cell]
        assert cell < follower <= tree.count
        inside = positions[tree.order[first:last]].astype(np.float64)
        assert tree.cells[cell, 2] == len(inside)
        np.testing.assert_allclose(tree.cells[cell, :2], inside.mean(axis=0), rtol=1e-5, atol=1e-6 * tree.width)
        if follower == cell + 1:  # a leaf
            covered[first:last] += 1
            assert len(inside) <= LEAF or len(set(tree.codes[first:last])) == 1
        else:
            children = []
            child = cell + 1
            while child < follower:
                children.append(child)
                child = int(tree.links[child, 0])
            assert len(children) >= 2
            assert tree.links[children[0], 1] == first
            assert tree.links[children[-1], 2] == last
            assert all(tree.links[a, 2] == tree.links[b, 1] for a, b in itertools.pairwise(children))
    assert (covered == 1).all()
    runs = tree.groups[: tree.size]
    assert (runs[:, 1] - runs[:, 0] <= GROUP).all()
    assert runs[0, 0] == 0
    assert runs[-1, 1] == n
    assert (runs[1:, 0] == runs[:-1, 1]).all()


def test_tree_is_the_same_with_the_jit_off() -> None:
    positions = _cloud(5, 150, 20)
    one, other = _Tree(positions, 0.5, compiled=True), _Tree(positions, 0.5, compiled=False)
    assert (one.count, one.size) == (other.count, other.size)
    for name in ("codes", "order", "cells", "links", "groups", "points"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_morton_code_interleaves_the_bits_of_both_axes() -> None:
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.75, 0.75]], np.float32)
    codes, order = morton_order(corners, np.zeros(2), 1 + 1e-6)
    assert order.tolist() == [0, 1, 2, 4, 3]
    top = (1 << (2 * LEVELS)) - 1
    assert codes[0] == 0
    assert codes[1] == top // 3
    assert codes[2] == top // 3 * 2
    assert codes[4] == top


def test_repulsion_does_not_depend_on_how_groups_are_shared_out() -> None:
    positions = _cloud(3, 2000, 100)
    tree = _Tree(positions, 0.5, compiled=True)
    results = []
    for block in (1, 7, 10_000):
        force, mass = np.zeros((2000, 2), np.float32), np.zeros(2000)
        with Workers(2) as workers:
            workers.run(
                group_repulsion,
                tree.size,
                block,
                tree.count,
                tree.cells,
                tree.links,
                tree.groups,
                tree.points,
                tree.order,
                force,
                mass,
            )
        results.append(force.tobytes() + mass.tobytes())
    assert results[0] == results[1] == results[2]


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
