"""Cosine distances of nearly parallel states, against fractions: wherever one is asked for, it keeps its digits."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import hiddenstate_core as hs
from hiddenstate_core.distances import sequence_distances
from hiddenstate_core.distances.frame import Frame
from hiddenstate_core.distances.source import Source, directions
from hiddenstate_core.kernels.distances import COSINE, state_distances
from hiddenstate_core.kernels.jit import plain
from tests.oracles.distances import cosine

States = NDArray[Any]


def near_states(seed: int, n: int, d: int, dtype: str, shift: float, spread: float) -> States:
    """States of any length about one direction, the first feature small, the third parallel to the second."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=d) + shift) * (1 + spread * rng.normal(size=(n, d))) * rng.uniform(0.5, 2, (n, 1))
    x[:, 0] *= 1e-3
    x = np.clip(x, -3e4, 3e4).astype(dtype)  # float16 ends at 65504
    x[2:3] = 2 * x[1:2]
    return x


def matrix(x: States) -> NDArray[np.float64]:
    """All distances, exactly."""
    return np.array([[cosine(a, b) for b in x] for a in x])


@dataclasses.dataclass
class _Trace:
    """As much of a trace as step distances need."""

    states: States
    directions: tuple[str, ...] = ("forward",)
    layers: tuple[int, ...] = (0,)

    @property
    def offsets(self) -> NDArray[np.int64]:
        return np.array([0, len(self.states)])

    def hidden(self, layer: int, direction: str | None) -> States:
        return self.states

    def sequence(self, number: int) -> Any:
        return types.SimpleNamespace(start=0, stop=len(self.states))

    def analysis(self, name: str) -> None:
        return None


any_states = given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 9),
    st.integers(2, 24),
    st.sampled_from(["float32", "float16", "float64"]),
    st.sampled_from([0.0, 5.0, 1e4]),
    st.sampled_from([1.0, 1e-2, 1e-4, 1e-6, 1e-9, 1e-14]),
)


@settings(deadline=None, max_examples=60)
@any_states
@example(1, 2, 3, "float32", 1e4, 1e-6)
@example(0, 6, 4, "float64", 1e4, 1e-14)
def test_float64_keeps_every_digit(seed: int, n: int, d: int, dtype: str, shift: float, spread: float) -> None:
    x = near_states(seed, n, d, dtype, shift, spread)
    given, exact, found = Source.of(x, "cosine").read(0, n), matrix(x), np.empty((n, n))
    for kernel in (state_distances, plain(state_distances)):
        for i in range(n):
            kernel(0, n, given, given[i : i + 1], COSINE, found[i])
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_allclose(found, exact, rtol=(4 * d + 48) * 2.0**-53, atol=2.0**-128)


@settings(deadline=None, max_examples=40)
@any_states
@example(1, 2, 3, "float32", 1e4, 1e-6)
def test_nearly_parallel_states_everywhere(seed: int, n: int, d: int, dtype: str, shift: float, spread: float) -> None:
    x = near_states(seed, n, d, dtype, shift, spread)
    exact = matrix(x)
    np.testing.assert_allclose(hs.pairwise_distances(x, metric="cosine"), exact, rtol=1e-3, atol=1e-35)
    np.testing.assert_allclose(hs.pairwise_distances(x[:1], x[1:], "cosine"), exact[:1, 1:], rtol=1e-3, atol=1e-35)
    for rows, columns, block in hs.distance_blocks(x, metric="cosine", block=(2, 3)):
        np.testing.assert_allclose(block, exact[rows, columns], rtol=1e-3, atol=1e-35)
    for other in (n - 1, x[-1].astype(np.float64) * 4):
        np.testing.assert_allclose(hs.distances_to(x, other, "cosine"), exact[-1], rtol=2.0**-22, atol=1e-30)
    trace: Any = _Trace(x.astype(np.float32))
    steps = hs.step_distances(trace, metric="cosine").values
    expected = [cosine(a, b) for a, b in zip(trace.states[:-1], trace.states[1:], strict=True)]
    np.testing.assert_allclose(steps[1:], expected, rtol=2.0**-23, atol=1e-35)
    apart = np.diff(trace.states.astype(np.float64), axis=0)
    np.testing.assert_allclose(sequence_distances(trace, 0)[1:], np.sqrt((apart**2).sum(axis=1)), rtol=2.0**-23)


@settings(deadline=None, max_examples=40)
@any_states
@example(1, 2, 3, "float32", 1e4, 1e-6)
def test_histograms_of_nearly_parallel_states(
    seed: int, n: int, d: int, dtype: str, shift: float, spread: float
) -> None:
    x = near_states(seed, n, d, dtype, shift, spread)
    exact = matrix(x)[np.triu_indices(n, 1)]
    for scale in (1, 1 + 1e-3):  # edges close around every distance, or a little off it
        edges = np.unique(np.concatenate([[0], exact * scale * (1 - 1e-13), exact * scale * (1 + 1e-13), [2.5]]))
        edges = edges[np.append(True, edges[1:] > 1e-35)]
        expected = np.histogram(exact, edges)[0]
        found = hs.distance_histogram(x, edges, metric="cosine")
        assert found.counts.tolist() == expected.tolist()
        plan = hs.plan_histogram(x, edges, metric="cosine", rows=2)
        blocks = [x[start:stop] for start, stop in plan.blocks]
        counted = np.sum([plan.count(i, j, blocks[i], blocks[j]) for i, j in plan.tasks()], axis=0)
        assert plan.result(counted).counts.tolist() == expected.tolist()
        if n > 2:
            some = hs.distance_histogram(x, edges, metric="cosine", budget=n * (n - 1) // 2 - 1)
            assert some.sampled
            assert (some.counts[expected == 0] == 0).all()
    whole = hs.distance_histogram(x, 3, metric="cosine")
    assert whole.overall.above == whole.overall.below == 0
    top = max(exact.max(), 1e-30)
    even = hs.distance_histogram(x, 5, (0, top * (1 + 1e-12)), "cosine")
    assert even.counts[-1] == np.histogram(exact, even.edges)[0][-1]


def test_opposite_states_are_two_apart() -> None:
    x = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    found = hs.distance_histogram(np.concatenate([x, -3 * x]), 8, metric="cosine")
    assert found.overall.above == 0
    for i in range(40):
        assert hs.distances_to(np.stack([x[i], -x[i]]), 0, "cosine").tolist() == pytest.approx([0, 2])


@pytest.mark.parametrize("d", [1, 5, 300])
def test_what_float64_blurs_is_within_the_doubt(d: int) -> None:
    x = near_states(0, 40, d, "float64", 5.0, 1e-9)
    source = Source.of(x, "cosine")
    frame = Frame.fit([source])
    wide = x.astype(np.longdouble)
    true = wide / np.sqrt((wide * wide).sum(axis=1))[:, None]
    off = np.sqrt(((directions(source.read(0, 40)) - true) ** 2).sum(axis=1))
    assert off.max() <= frame.blur


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e12])
def test_length_does_not_matter(scale: float) -> None:
    x = near_states(1, 6, 5, "float64", 5.0, 1e-5)
    np.testing.assert_allclose(hs.distances_to(x * scale, 0, "cosine"), hs.distances_to(x, 0, "cosine"), rtol=1e-6)
