"""`HistogramPlan`: a histogram of distances as a list of block pairs whose counts add up, wherever each is counted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hiddenstate_core.distances.counts import DistanceHistogram, PairCounts
from hiddenstate_core.distances.frame import Frame, blocks_of
from hiddenstate_core.distances.source import Source
from hiddenstate_core.errors import InputError
from hiddenstate_core.kernels.blocks import Bins, Block
from hiddenstate_core.kernels.distances import EUCLIDEAN, MANHATTAN, PANEL, count_pairs

__all__ = ["HistogramPlan", "bin_edges", "check_labels", "check_offsets"]

#: Cells of the table that finds the bin among edges that are not equally far apart.
_CELLS = 16_384
#: Most numbers of one table of counts.
_ROOM = 1 << 21
#: Fewest pairs of blocks wanted, so that every thread has work.
_PAIRS = 16
#: Block pairs side by side that are counted one after another, so that their blocks are still at hand.
_PATCH = 5


@dataclasses.dataclass(frozen=True, eq=False)
class HistogramPlan:
    """Everything that counting a pair of blocks needs to know; small, and the same for all.

    Parameters
    ----------
    frame : Frame
        How rows are laid out for products.
    edges : (B + 1,) float64
        Of the bins.
    labels : (n,) int32 or None
        Class of each state, 0 to C - 1.
    classes : tuple
        The label of each class; empty without labels.
    ends : (n,) int64 or None
        Where each state's sequence ends.
    states : int
        Number n of states.
    rows : int
        States of a block.

    Notes
    -----
    ``sum(plan.count(i, j, x_i, x_j) for i, j in plan.tasks())`` is the whole, whatever the order and wherever each
    term is computed: counts are integers, and each depends on its two blocks and the plan alone.
    """

    frame: Frame
    edges: NDArray[np.float64]
    labels: NDArray[np.int32] | None
    classes: tuple[Any, ...]
    ends: NDArray[np.int64] | None
    states: int
    rows: int
    _bins: Bins = dataclasses.field(init=False, repr=False)
    _gauge: float = dataclasses.field(init=False, repr=False)
    #: First and last + 1 state of each block.
    blocks: tuple[tuple[int, int], ...] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        bins, gauge = _bins_of(self.frame, self.edges)
        object.__setattr__(self, "_bins", bins)
        object.__setattr__(self, "_gauge", gauge)
        object.__setattr__(self, "blocks", tuple(blocks_of(self.states, self.rows)))

    @classmethod
    def of(
        cls,
        source: Source,
        bins: int | ArrayLike,
        limits: tuple[float, float] | None,
        labels: ArrayLike | None,
        offsets: ArrayLike | None,
        *,
        rows: int | None = None,
    ) -> HistogramPlan:
        """Check everything and read the states once or, without limits or edges, twice.

        Parameters
        ----------
        source : Source
        bins : int or (B + 1,) array
            Number of bins, or their edges.
        limits : pair of float or None
            First and last edge; None for 0 and a bound of all distances.
        labels : (n,) array or None
        offsets : (S + 1,) array or None
        rows : int or None
            States of a block, by default as many as a few megabytes hold, or fewer for few states.

        Raises
        ------
        InputError
            Bad states, bins, limits, labels or offsets.
        """
        n = len(source)
        classes, of_state = check_labels(labels, n)
        ends = check_offsets(offsets, n)
        edges = bin_edges(bins, limits)
        frame = Frame.fit([source])
        if edges is None:
            top = frame.bound(source)
            assert isinstance(bins, (int, np.integer))
            edges = np.linspace(0.0, top if top > 0 else 1.0, int(bins) + 1)
        count = max(1, len(classes))
        if count**2 * (len(edges) + 2) > _ROOM:
            raise InputError(
                f"{count} classes and {len(edges) - 1:,} bins make {count**2 * (len(edges) - 1):,} numbers to count "
                f"in, more than {_ROOM:,}; pass fewer bins, or labels with fewer classes."
            )
        if rows is None:
            rows = min(frame.rows_of_block(), max(512, -(-n // (_PAIRS * PANEL)) * PANEL))
        return cls(frame, edges, of_state, classes, ends, n, rows)

    def tasks(self) -> list[tuple[int, int]]:
        """All pairs of blocks (i, j), i <= j; neighbours in the list share blocks."""
        count = len(self.blocks)
        pairs = [(i, j) for i in range(count) for j in range(i, count)]
        return sorted(pairs, key=lambda pair: (pair[0] // _PATCH, pair[1] // _PATCH, pair))

    def sequence_tasks(self) -> list[tuple[int, int]]:
        """Those of the pairs of blocks that hold two states of the same sequence."""
        count = len(self.blocks)
        pairs = []
        for i in range(count):
            j = i
            while j < count and self._shares_sequence(i, j):
                pairs.append((i, j))
                j += 1
        return pairs

    def prepare(self, i: int, states: NDArray[np.float64]) -> Block:
        """Lay out block i, given its states as `Source.read` gives them."""
        start, stop = self.blocks[i]
        if states.shape != (stop - start, len(self.frame.center)):
            raise InputError(
                f"Block {i} of the plan has the shape {(stop - start, len(self.frame.center))}, not {states.shape}."
            )
        return self.frame.block(states, self._gauge, None if self.labels is None else self.labels[start:stop])

    def count(self, i: int, j: int, x: Any, y: Any) -> NDArray[np.int64]:
        """Count all pairs of a state of block i and one of block j.

        Parameters
        ----------
        i, j : int
            One of `tasks`.
        x, y : (m, d) arrays
            The states of block i and of block j.

        Returns
        -------
        (C * C + 1, B + 3) int64
            Slots by class of the one state and of the other (see `Bins`); the last line is for pairs of the same
            sequence, all zero without sequences. O(m_i m_j d) time.
        """
        metric, counts = self.frame.metric, self.zeros()
        first = self.prepare(i, Source.of(x, metric).read(0, self.rows))
        second = first if i == j else self.prepare(j, Source.of(y, metric).read(0, self.rows))
        self.add(i, j, first, second, counts)
        return self.fold(counts)

    def zeros(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tables for `add`: by class, and for pairs of the same sequence."""
        slots = len(self.edges) + 2
        return np.zeros((4, max(1, len(self.classes)) ** 2 * slots), np.int64), np.zeros((4, slots), np.int64)

    def fold(self, counts: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
        """What `count` returns, from tables that `add` has filled."""
        slots = len(self.edges) + 2
        return np.concatenate([part.sum(axis=0).reshape(-1, slots) for part in counts])

    def add(
        self,
        i: int,
        j: int,
        x: Block,
        y: Block,
        counts: tuple[NDArray[np.int64], NDArray[np.int64]],
        *,
        overall: bool = True,
    ) -> None:
        """Add the pairs of two blocks to tables; only those of the same sequence where `overall` is False."""
        (start, stop), (low, high) = self.blocks[i], self.blocks[j]
        padded, size = len(x.rows), stop - start
        first, last = np.zeros(padded, np.int64), np.zeros(padded, np.int64)
        first[:size] = np.arange(1, size + 1) if i == j else 0
        last[:size] = high - low
        if overall:
            groups = max(1, len(self.classes))
            count_pairs(x, y, first, last, self._bins, self.frame.kind, groups, counts[0])
        if self._shares_sequence(i, j):
            assert self.ends is not None
            last[:size] = np.clip(self.ends[start:stop] - low, first[:size], high - low)
            alone = [block._replace(groups=np.zeros_like(block.groups)) for block in (x, y)]
            count_pairs(alone[0], alone[1], first, last, self._bins, self.frame.kind, 1, counts[1])

    def result(self, counts: NDArray[np.int64]) -> DistanceHistogram:
        """The histogram, from the sum of the counts of all `tasks`."""
        groups = max(1, len(self.classes))
        return DistanceHistogram.of(
            self.frame.metric,
            self.edges,
            counts[:-1].reshape(groups, groups, -1),
            self.pairs(),
            self.classes,
            None if self.ends is None else self.sequence_part(counts[-1], sampled=False),
            sampled=False,
        )

    def sequence_part(self, slots: NDArray[np.int64], *, sampled: bool) -> PairCounts:
        """Pairs of the same sequence, from their slots."""
        count = len(self.edges) - 1
        below, above = int(slots[0]), int(slots[count + 1])
        return PairCounts(self.edges, slots[1 : count + 1].copy(), below, above, self.sequence_pairs(), sampled)

    def pairs(self) -> NDArray[np.int64]:
        """Number of pairs by class, (C, C) int64, a <= b only."""
        sizes = np.array([self.states]) if self.labels is None else np.bincount(self.labels)
        return np.triu(np.outer(sizes, sizes), 1) + np.diag(sizes * (sizes - 1) // 2)

    def sequence_pairs(self) -> int:
        """Number of pairs of states of the same sequence."""
        return 0 if self.ends is None else int((self.ends - np.arange(1, self.states + 1)).sum())

    def _shares_sequence(self, i: int, j: int) -> bool:
        return self.ends is not None and int(self.ends[self.blocks[i][1] - 1]) > self.blocks[j][0]


def bin_edges(bins: int | ArrayLike, limits: tuple[float, float] | None) -> NDArray[np.float64] | None:
    """Edges as `numpy.histogram` has them; None where they depend on the states.

    Raises
    ------
    InputError
        No bins, edges that do not ascend, or limits that are not two ascending numbers.
    """
    if limits is not None:
        try:
            low, high = (float(value) for value in limits)
        except (TypeError, ValueError) as error:
            raise InputError(f"range must be two numbers, the first and last edge, not {limits!r}.") from error
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"range must be two finite numbers that ascend, not ({low:g}, {high:g}).")
    if isinstance(bins, (int, np.integer)) and not isinstance(bins, bool):
        if not 1 <= bins <= _ROOM - 3:
            raise InputError(f"bins must lie in 1..{_ROOM - 3:,}, not {bins}.")
        return None if limits is None else np.linspace(low, high, int(bins) + 1)
    try:
        edges = np.array(bins, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"bins must be a number of bins or their edges, not {bins!r}.") from error
    if isinstance(bins, (bool, float, str)) or edges.ndim != 1 or len(edges) < 2:
        raise InputError(f"bins must be a whole number of bins or at least two edges, not {bins!r}.")
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise InputError("The edges in bins must be finite and ascend without repetition.")
    if limits is not None:
        raise InputError("range has no meaning beside the edges in bins; pass one of the two.")
    return edges


def check_labels(labels: ArrayLike | None, n: int) -> tuple[tuple[Any, ...], NDArray[np.int32] | None]:
    """The labels that occur, and the class of each state."""
    if labels is None:
        return (), None
    given = np.asarray(labels)
    if given.shape != (n,):
        raise InputError(f"labels must hold one label for each of the {n} states, not have the shape {given.shape}.")
    if given.dtype.kind not in "iubU":
        raise InputError(f"labels must be whole numbers or text, not {given.dtype}.")
    values, classes = np.unique(given, return_inverse=True)
    return tuple(values.tolist()), classes.reshape(-1).astype(np.int32)


def check_offsets(offsets: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
    """Where the sequence of each state ends."""
    if offsets is None:
        return None
    given = np.asarray(offsets)
    if given.ndim != 1 or len(given) < 2 or given.dtype.kind not in "iu":
        raise InputError("offsets must be whole numbers: where each sequence begins, and where the last one ends.")
    if given[0] != 0 or int(given[-1]) != n or (np.diff(given.astype(np.int64)) < 0).any():
        raise InputError(f"offsets must ascend from 0 to the number of states, {n}.")
    given = given.astype(np.int64)
    return np.repeat(given[1:], np.diff(given))


def _bins_of(frame: Frame, edges: NDArray[np.float64]) -> tuple[Bins, float]:
    """Bins for the kernels, and the gauge that makes reaches from norms."""
    count = len(edges) - 1
    low, high = float(edges[0]), float(edges[-1])
    even = bool((np.abs(edges - np.linspace(low, high, count + 1)) <= 1e-8 * (high - low) / count).all())
    cells, table = count, np.zeros(0, np.int32)
    unit = frame.factor * frame.unit
    if not even:
        pad = 0.01 * (high - low)
        low, high, cells = max(0.0, low - pad), high + pad, _CELLS
        if high <= low:
            high = low + 1.0
    with np.errstate(over="ignore", divide="ignore"):
        inverse = float(np.float64(unit) * cells / (high - low))
        start = float(np.float64(low) / (high - low) * cells)
    if not (1e-25 < inverse < 1e25 and abs(start) < 1e15):  # beyond what float32 can resolve: every pair in float64
        table, inverse, start = np.full(3, count + 2, np.int32), 1.0, 0.0
    elif not even:
        table = _table(frame, edges, low, high)
    # the index of the lowest edge above 0, but the last edge at least closes the last bin
    first = min(int(np.searchsorted(edges, 0.0, "right")), count)
    bins = Bins(edges, table, np.float32(inverse), np.float32(start), np.float32(first))
    relative = frame.relative
    if frame.kind == MANHATTAN:
        return bins, relative * inverse
    return bins, float(np.sqrt(relative)) * (inverse if frame.kind == EUCLIDEAN else float(np.sqrt(inverse)))


def _table(frame: Frame, edges: NDArray[np.float64], low: float, high: float) -> NDArray[np.int32]:
    """Slot of each cell, or doubt where an edge lies within what rounding may move a distance in that cell."""
    unit = frame.factor * frame.unit
    bounds = np.linspace(low, high, _CELLS + 1) / unit
    reach = 2 * (frame.corner * (1 + 1e-6) + frame.drift)
    slack = 2.0**-20 * (bounds[1] - bounds[0]) + 2.0**-21 * bounds[-1]
    least, most = np.append(-np.inf, bounds), np.append(bounds, np.inf)
    if frame.kind == EUCLIDEAN:
        error = frame.relative * reach**2
        least = np.sqrt(np.maximum(np.square(np.maximum(least - slack, 0)) - error, 0))
        most = np.sqrt(np.square(most + slack) + error)
    else:
        error = frame.relative * (reach if frame.kind == MANHATTAN else reach**2) + slack
        least, most = np.maximum(least - error, 0), most + error
    before = np.searchsorted(edges, least * unit, "left")
    after = np.searchsorted(edges, most * unit, "right")
    at_zero = (least <= 0) & (edges[0] <= 0 < edges[-1])  # no distance lies below 0: an edge there leaves no doubt
    before = np.where(at_zero, np.searchsorted(edges, 0.0, "right"), before)
    table = np.where(before == after, after, len(edges) + 1)
    return table.astype(np.int32)
