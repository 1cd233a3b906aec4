"""A random sample of the pairs of states, where there are too many to look at them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.distances.plan import HistogramPlan
from hiddenstate_core.distances.source import Source
from hiddenstate_core.kernels.distances import pair_slots
from hiddenstate_core.kernels.workers import Workers

__all__ = ["sample_pairs", "sample_sequence_pairs"]

#: Pairs drawn with one generator.
_CHUNK = 1 << 16
#: Bytes of states read for one lot of pairs where states cannot be had one by one.
_LOT = 1 << 28

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def sample_pairs(plan: HistogramPlan, source: Source, size: int, seed: int, workers: Workers) -> NDArray[np.int64]:
    """Slots of pairs drawn with equal chances from all pairs, each for itself; (C, C, B + 3) int64 by class."""
    n, groups, slots = plan.states, max(1, len(plan.classes)), len(plan.edges) + 2

    def draw(rng: np.random.Generator, count: int) -> Pairs:
        first = rng.integers(0, n, count)
        second = rng.integers(0, n - 1, count)
        return first, second + (second >= first)

    tally = np.zeros(groups * groups * slots, np.int64)
    for i, j, found in _lots(plan, source, size, (seed, 0), draw, workers):
        at = found
        if plan.labels is not None:
            at = found + slots * (groups * plan.labels[i].astype(np.int64) + plan.labels[j])
        tally += np.bincount(at, minlength=len(tally))
    return tally.reshape(groups, groups, slots)


def sample_sequence_pairs(
    plan: HistogramPlan, source: Source, size: int, seed: int, workers: Workers
) -> NDArray[np.int64]:
    """Slots of pairs drawn with equal chances from all pairs of the same sequence, each for itself; (B + 3,) int64."""
    assert plan.ends is not None
    after = plan.ends - np.arange(1, plan.states + 1)  # pairs of which a state is the first
    above = np.cumsum(after)

    def draw(rng: np.random.Generator, count: int) -> Pairs:
        number = rng.integers(0, above[-1], count)
        first = np.searchsorted(above, number, side="right").astype(np.int64)
        return first, first + 1 + (number - (above[first] - after[first]))

    tally = np.zeros(len(plan.edges) + 2, np.int64)
    for _, _, found in _lots(plan, source, size, (seed, 1), draw, workers):
        tally += np.bincount(found, minlength=len(tally))
    return tally


def _lots(
    plan: HistogramPlan,
    source: Source,
    size: int,
    seed: tuple[int, int],
    draw: Callable[[np.random.Generator, int], Pairs],
    workers: Workers,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Draw pairs and find their slots: first states, second states, slots of each lot.

    Every chunk has a generator of its own, and whole lots follow the first state, so that pairs of the same sequence
    are read in one go through the states; the counts depend on neither lots nor threads.
    """
    pairs = [
        draw(np.random.default_rng((*seed, number)), min(_CHUNK, size - start))
        for number, start in enumerate(range(0, size, _CHUNK))
    ]
    i, j = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.argsort(i)
    i, j = i[order], j[order]
    width = source.width * np.dtype(source.array.dtype).itemsize
    lot = _CHUNK if isinstance(source.array, np.ndarray) else max(1024, _LOT // (2 * width))
    for start in range(0, size, lot):
        first, second = i[start : start + lot], j[start : start + lot]
        yield first, second, _slots(plan, source, first, second, workers)


def _slots(
    plan: HistogramPlan, source: Source, i: NDArray[np.int64], j: NDArray[np.int64], workers: Workers
) -> NDArray[np.int64]:
    """Slot of each pair, in float64."""
    held, a, b = source, i, j
    if not isinstance(source.array, np.ndarray):
        rows, places = np.unique(np.concatenate([i, j]), return_inverse=True)
        held = Source(_gather(source, rows), source.metric, source.name)
        a, b = places[: len(i)], places[len(i) :]
    slots = np.empty(len(i), np.int64)

    def work(start: int, stop: int) -> None:
        x, y = held.rows(a[start:stop]), held.rows(b[start:stop])
        pair_slots(x, y, plan.frame.kind, plan.edges, slots[start:stop])

    workers.run(work, len(i), 2048)
    return slots


def _gather(source: Source, rows: NDArray[np.int64]) -> NDArray[np.generic]:
    """Some rows, ascending, of what can only be sliced; read once from front to end, as they are stored."""
    out = np.empty((len(rows), source.width), source.array.dtype)
    step = source.step(1 << 22)
    for start in range(0, len(source), step):
        low, high = np.searchsorted(rows, [start, start + step])
        if high > low:
            out[low:high] = np.asarray(source.array[start : start + step])[rows[low:high] - start]
    return out
