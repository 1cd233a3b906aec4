"""`Frame`: the float32 coordinates in which products are taken, and how far rounding may move a distance in them."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.distances.source import Source, directions, kind_of
from hiddenstate_core.kernels.blocks import Block
from hiddenstate_core.kernels.distances import EUCLIDEAN, MANHATTAN, PANEL

__all__ = ["BLOCK_BYTES", "BlockCache", "Frame"]

#: Bytes of a block of states laid out for the kernels, and most states of one.
BLOCK_BYTES, _BLOCK_ROWS = 1 << 24, 8192
#: Blocks kept.
_KEPT = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates ``(x - center) / scale``, rounded to float32; for the cosine distance those of x at length 1.

    Parameters
    ----------
    metric : str
        The metric.
    center : (d,) float64
        Mean of the states. Distances between them do not change, products become smaller and lose less.
    scale : float
        A power of two, so that coordinates lie between -2 and 2 and squares neither overflow nor vanish.
    low, high : (d,) float64
        Least and largest value of each feature.

    Notes
    -----
    With u = 2^-24 and any order of summation, an inner product of d terms is off by at most about (d + 1) u |x| |y|
    (Higham 2002, eq. 3.5), so ``|x|^2 + |y|^2 - 2 x.y`` by (d + 4) u (|x| + |y|)^2; rounding the coordinates adds
    2 u (|x| + |y|)^2. `relative` holds these with room for what else is computed in float32. States that are off by v
    themselves move it by 4 v (|x| + |y| + v), which `drift` holds: v is sqrt(d) 2^-52 of the largest magnitude for the
    subtraction of the center, and what `directions` says where states are scaled to length 1.
    """

    metric: str
    center: NDArray[np.float64]
    scale: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def fit(cls, sources: Sequence[Source]) -> Frame:
        """Check all states and find their frame in one pass."""
        width = sources[0].width
        low, high = np.full(width, np.inf), np.full(width, -np.inf)
        total, count = np.zeros(width), 0
        for source in sources:
            for states in source.checked_blocks():
                block = directions(states) if source.metric == "cosine" else states
                low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
                total += block.sum(axis=0)
                count += len(block)
        center = np.clip(total / count, low, high)
        largest = float(np.maximum(high - center, center - low).max())
        scale = float(2.0 ** np.floor(np.log2(largest))) if largest > 0 else 1.0
        return cls(sources[0].metric, center, scale, low, high)

    @property
    def kind(self) -> int:
        """What the kernels compute."""
        return kind_of(self.metric)[0]

    @property
    def factor(self) -> float:
        """Distance to a unit of what the kernels compute."""
        return kind_of(self.metric)[1]

    @property
    def unit(self) -> float:
        """What the kernels compute, to a unit of the same in this frame."""
        return self.scale if self.kind in (EUCLIDEAN, MANHATTAN) else self.scale**2

    @property
    def relative(self) -> float:
        """Error of a square relative to (|x| + |y|)^2, or of a sum of d differences relative to |x| + |y|."""
        return (len(self.center) + 32) * 2.0**-24

    @property
    def drift(self) -> float:
        """What to add to each norm so that `relative` covers the error of centering too."""
        return 2 * self.blur / self.scale / self.relative

    @property
    def blur(self) -> float:
        """How far float64 may have moved a state before it is rounded to float32."""
        largest = float(np.maximum(np.abs(self.low), np.abs(self.high)).max())
        features = len(self.center)
        spread = features if self.kind == MANHATTAN else features**0.5
        scaled = (features / 2 + 3) * 2.0**-53 if self.metric == "cosine" else 0.0
        return spread * 2.0**-52 * largest + scaled

    @property
    def corner(self) -> float:
        """Bound of the scaled norm of any state, from the range of each feature."""
        return self._norm(np.maximum(self.high - self.center, self.center - self.low)[None] / self.scale).item()

    def bound(self, source: Source) -> float:
        """Bound of all distances: the box around the states, or the two states furthest from the center."""
        box = self._norm((self.high - self.low)[None]).item()
        first = second = 0.0
        for start, stop in blocks_of(len(source), self.rows_of_block()):
            norms = self._norm(self._placed(source.read(start, stop)) - self.center)
            for norm in np.partition(norms, -min(2, len(norms)))[-2:].tolist():
                first, second = max(first, norm), max(min(first, norm), second)
        least = min(box, first + second) * (1 + 1e-12)
        if self.metric == "cosine":
            least += 2 * self.blur
        if self.kind in (EUCLIDEAN, MANHATTAN):
            return least
        return min(2.0, least**2 / 2) if self.metric == "cosine" else least**2

    def rows_of_block(self) -> int:
        """States of a block, a multiple of `PANEL`."""
        rows = BLOCK_BYTES // (16 * len(self.center))
        return max(PANEL, min(_BLOCK_ROWS, rows // PANEL * PANEL))

    def block(self, states: NDArray[np.float64], gauge: float, groups: NDArray[np.int32] | None = None) -> Block:
        """Lay a block of states out for the kernels.

        Parameters
        ----------
        states : (m, d) float64
            As `Source` gives them.
        gauge : float
            Factor on the norms that makes `Block.reach`.
        groups : (m,) int32 or None
            Class of each state, all 0 by default.
        """
        count, width = states.shape
        features, padded = -(-width // 4) * 4, -(-count // PANEL) * PANEL
        rows = np.zeros((padded, features), np.float32)
        rows[:count, :width] = (self._placed(states) - self.center) / self.scale
        panels = np.ascontiguousarray(rows.reshape(-1, PANEL, features).transpose(0, 2, 1))
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        norms = np.abs(rows).sum(axis=1, dtype=np.float64) if self.kind == MANHATTAN else np.sqrt(squares)
        reach = gauge * (norms * (1 + 1e-6) + self.drift)
        classes = np.zeros(padded, np.int32)
        if groups is not None:
            classes[:count] = groups
        return Block(states, rows, panels, squares.astype(np.float32), reach.astype(np.float32), classes)

    def _placed(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        return directions(states) if self.metric == "cosine" else states

    def _norm(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == MANHATTAN:
            return np.asarray(np.abs(rows).sum(axis=1))
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def blocks_of(count: int, rows: int) -> list[tuple[int, int]]:
    """Where each block of `rows` of `count` states begins and ends."""
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]


class BlockCache:
    """The blocks used last, for several threads.

    Parameters
    ----------
    make : callable
        Key -> block. Two threads that miss the same one both make it.
    """

    def __init__(self, make: Callable[[Hashable], Block]) -> None:
        self._make = make
        self._kept: OrderedDict[Hashable, Block] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, key: Hashable) -> Block:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        block = self._make(key)
        with self._lock:
            self._kept[key] = block
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return block
