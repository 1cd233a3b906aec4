"""Packing: every step is run once, in order, in one column, and next to nothing that is run is padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.kernels.jit import plain
from hiddenstate_core.kernels.scatter import scatter_rows
from hiddenstate_core.traces.packing import pack, padding


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 700), min_size=1, max_size=60),
    widest=st.sampled_from([8, 64, 512]),
    block=st.sampled_from([1, 4, 32]),
    fewest=st.sampled_from([1, 8]),
    at_once=st.sampled_from([1, 2]),
    backward=st.booleans(),
)
def test_every_step_runs_once_and_in_order(
    lengths: list[int], widest: int, block: int, fewest: int, at_once: int, backward: bool
) -> None:
    sizes = np.array(lengths, np.int64)
    first = np.cumsum(sizes) - sizes
    seen = []
    for group in pack(sizes, widest, block, fewest, at_once=at_once):
        assert group.length % block == 0
        assert fewest <= group.columns <= max(widest, fewest)
        steps = group.steps(first[group.sequences], sizes[group.sequences], backward=backward)
        assert steps.shape == (group.length, group.columns)
        begins = np.zeros(steps.shape, bool)
        begins[group.start, group.column] = True
        for column in range(group.columns):
            run = steps[:, column]
            real = run >= 0
            # Nothing is run after the padding begins, and the number goes on by one except where a sequence begins.
            assert not real[np.argmin(real) :].any() or real.all()
            moved = np.diff(run[real])
            expected = -1 if backward else 1
            assert (moved[~begins[1:, column][: len(moved)]] == expected).all()
            starts = run[begins[:, column]]
            assert np.isin(starts, first + sizes - 1 if backward else first).all()
        seen.append(steps[steps >= 0])
    assert sorted(np.concatenate(seen).tolist()) == list(range(sizes.sum()))


def test_reviews_are_run_with_little_padding_in_few_widths() -> None:
    # Lengths as those of film reviews: log-normal, median 174 words, the longest about 2,500.
    rng = np.random.default_rng(0)
    for steps, widest in ((1_000_000, 64), (200_000, 64), (500_000, 256), (130_000, 512)):
        lengths = np.clip(np.exp(rng.normal(np.log(174), 0.65, 20_000)), 4, 2500).astype(np.int64)
        lengths = lengths[: np.searchsorted(np.cumsum(lengths), steps)]
        groups = pack(lengths, widest, 32)
        real, run = padding(groups, lengths)
        assert real == lengths.sum()
        assert (run - real) / run <= 0.05
        assert len({group.columns for group in groups}) <= 5, "a program is compiled for each width"
        assert max(g.columns * g.length for g in groups) <= 0.75 * steps, "two threads have work at once"


def test_columns_are_as_many_as_the_sequences_that_are_left_allow() -> None:
    # A few long sequences, and many short ones: only the group of the long ones is narrow.
    lengths = np.concatenate([np.full(16, 2000), np.full(1000, 60)]).astype(np.int64)
    groups = pack(lengths, 256, 16)
    assert groups[0].columns == 16
    assert max(group.columns for group in groups) == 128
    real, run = padding(groups, lengths)
    assert real == lengths.sum()
    assert (run - real) / run <= 0.05


def test_one_group_at_a_time_is_twice_as_wide() -> None:
    lengths = np.clip(np.exp(np.random.default_rng(0).normal(5.2, 0.65, 350)), 4, 1000).astype(np.int64)
    two, one = (pack(lengths, 512, 4, at_once=share, overhead=8 * share) for share in (2, 1))
    # The first group holds the longest sequence of all, which is what limits its columns.
    assert one[0].columns == 2 * two[0].columns
    for groups in (two, one):
        real, run = padding(groups, lengths)
        assert real == lengths.sum()
        assert (run - real) / run <= 0.05


def test_rows_are_scattered_and_what_is_not_finite_is_noticed() -> None:
    rng = np.random.default_rng(0)
    for scatter in (scatter_rows, plain(scatter_rows)):
        for dtype, bits, exponent in (
            (np.float32, np.uint32, np.uint32(0x7F800000)), (np.float16, np.uint16, np.uint16(0x7C00))
        ):  # fmt: skip
            block = rng.normal(size=(3, 19, 5)).astype(dtype)  # more columns than are written at a time
            rows = rng.permutation(70)[:57].reshape(3, 19)
            rows[rng.random(rows.shape) < 0.2] = -1
            rows[1, 18], rows[2, 17] = 70, -1
            out = np.zeros((71, 5), dtype)
            assert scatter(block.view(bits), rows, out.view(bits), exponent)
            expected = np.zeros_like(out)
            expected[rows[rows >= 0]] = block[rows >= 0]
            np.testing.assert_array_equal(out, expected)
            for bad in (np.nan, np.inf, -np.inf):
                block[1, 18, 4] = bad
                assert not scatter(block.view(bits), rows, out.view(bits), exponent)
                block[1, 18, 4] = 0
                block[2, 17, 0] = bad  # goes nowhere
                assert scatter(block.view(bits), rows, out.view(bits), exponent)
                block[2, 17, 0] = 0
