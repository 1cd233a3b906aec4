"""Packs sequences end to end into the columns of a batch, so that next to nothing of what is run is padding."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Group", "pack", "padding"]

#: Columns are filled to this length at least, so that a group is worth its start.
_SHORTEST = 256
#: About as many groups are made of a long run of sequences: enough to share out to threads.
_GROUPS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Sequences that run side by side in `columns` columns, several after another in each.

    Parameters
    ----------
    columns : int
        Columns B.
    length : int
        Steps T that are run in every column, a multiple of the block that was asked for.
    sequences : (K,) int64
        Places, in the lengths that were packed, of the sequences in this group.
    column : (K,) int64
        Column of each.
    start : (K,) int64
        Step of the column at which each begins.
    """

    columns: int
    length: int
    sequences: NDArray[np.int64]
    column: NDArray[np.int64]
    start: NDArray[np.int64]

    def steps(
        self, first: NDArray[np.int64], lengths: NDArray[np.int64], *, backward: bool = False
    ) -> NDArray[np.int64]:
        """Number of the corpus' step that runs at each place, (T, B) int64, -1 where nothing does.

        Parameters
        ----------
        first, lengths : (K,) int64
            First step of each of this group's sequences in the corpus, and how many it has.
        backward : bool
            Whether sequences run from their last step to their first.
        """
        found = np.full(self.length * self.columns, -1, np.int64)
        count = np.arange(int(lengths.sum()), dtype=np.int64)
        before = np.cumsum(lengths) - lengths
        if backward:
            numbers = np.repeat(first + lengths - 1 + before, lengths) - count
        else:
            numbers = np.repeat(first - before, lengths) + count
        places = np.repeat((self.start - before) * self.columns + self.column, lengths) + count * self.columns
        found[places] = numbers
        return found.reshape(self.length, self.columns)


def pack(
    lengths: NDArray[np.int64], widest: int, block: int, fewest: int = 8, *, at_once: int = 2, overhead: int = 8
) -> list[Group]:
    """Share sequences out to groups of columns with little padding.

    The longest sequence that is left decides how long a group's columns are; sequences, longest first, go to the
    column with the most room (worst-fit decreasing), so that the many short ones fill the gaps beside the few long
    ones. A column's state is set back to zeros where a sequence begins. Few numbers of columns occur (`widest`, halved
    down to `fewest`), since a program is compiled for each. O(S log S).

    Parameters
    ----------
    lengths : (S,) int64
        Steps of each sequence, at least 1.
    widest : int
        Most columns of a group.
    block : int
        Columns' lengths are multiples of this.
    fewest : int
        Fewest columns of a group.
    at_once : int
        Groups that are to have work at the same time: no group takes more than about this part of all steps.
    overhead : int
        What a step of a whole group costs whatever its columns, in steps of one column.

    Returns
    -------
    list of Group
        Every sequence is in one group.
    """
    order = np.argsort(-lengths, kind="stable")
    waiting: list[int] = order.tolist()
    sizes: list[int] = lengths.tolist()
    groups: list[Group] = []
    left = int(lengths.sum())
    most = left // at_once
    while waiting:
        longest, wide = sizes[waiting[0]], widest
        while wide >= 2 * fewest and wide * max(longest, _SHORTEST) > most:
            wide //= 2
        columns, length = _shape(longest, left, most, (wide, fewest), block, overhead)
        group, waiting = _fill(waiting, sizes, columns, length)
        groups.append(group)
        left -= int(lengths[group.sequences].sum())
    return groups


def padding(groups: Sequence[Group], lengths: NDArray[np.int64]) -> tuple[int, int]:
    """Steps of sequences, and steps run, of some groups; their difference is padding."""
    return int(sum(lengths[g.sequences].sum() for g in groups)), sum(g.length * g.columns for g in groups)


def _shape(longest: int, left: int, most: int, limits: tuple[int, int], block: int, overhead: int) -> tuple[int, int]:
    """Columns of the next group and their length, for `left` steps of which one sequence takes `longest`."""

    widest, fewest = limits

    def rounded(steps: int) -> int:
        return -(-steps // block) * block

    # Long columns are filled better: the more sequences one holds, the smaller the gap at its end.
    wanted = min(max(left // (widest * _GROUPS), 3 * longest), min(left, most) // widest)
    length = rounded(max(longest, _SHORTEST, wanted))
    if widest * length <= left:
        return widest, length
    # What is left does not fill the widest group: run all of it, or nearly so, at the least cost.
    best, cheapest = (fewest, rounded(longest)), float("inf")
    columns = widest
    while columns >= fewest:
        steps = rounded(max(longest, -(-left // columns)))
        # An uneven share costs a group of its own, about as long as the longest of the sequences that did not fit.
        cost = (steps + longest / 4) * (overhead + columns)
        if cost < cheapest:
            best, cheapest = (columns, steps), cost
        columns //= 2
    return best


def _fill(waiting: list[int], sizes: list[int], columns: int, length: int) -> tuple[Group, list[int]]:
    """The group of the sequences that fit, and those that still wait."""
    room = [(-length, column) for column in range(columns)]
    taken: list[tuple[int, int, int]] = []
    later: list[int] = []
    at = 0
    while at < len(waiting):
        most, column = room[0]
        if sizes[waiting[at]] > -most:
            # Lengths fall along the list: go on at the first that fits.
            low, high = at, len(waiting)
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if sizes[waiting[middle]] > -most else (low, middle)
            later += waiting[at:low]
            at = low
            continue
        sequence = waiting[at]
        taken.append((sequence, column, length + most))
        heapq.heapreplace(room, (most + sizes[sequence], column))
        at += 1
    found = np.array(taken, np.int64)
    return Group(columns, length, found[:, 0].copy(), found[:, 1].copy(), found[:, 2].copy()), later
