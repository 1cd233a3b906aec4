"""States to measure on: array files, trace stores, or a stand-in made by a random recurrent network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import InputError

__all__ = ["StatesFile", "classes", "count", "load", "prepare", "source_name", "stand_in"]

#: Rows read at a time: the harness itself stays small, whatever it measures.
_BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True)
class StatesFile:
    """States on disk, the input of every system alike.

    Parameters
    ----------
    path : Path
        A ``.npy`` file, (n, d) float32.
    digest : str
        Of its content.
    """

    path: Path
    digest: str


def source_name(sources: Sequence[Path]) -> str:
    """What to call the states in a report."""
    return " + ".join(path.name for path in sources) if sources else "built-in stand-in"


def prepare(sources: Sequence[Path], start: int, stop: int, cache: Path) -> StatesFile:
    """Write the states ``start..stop`` of `sources`, one after another, to a file in `cache` named by its content.

    Raises
    ------
    InputError
        No such file, too few states, or states of different widths.
    """
    parts = [stand_in(stop)] if not sources else [_open(path) for path in sources]
    widths = {int(part.shape[1]) for part in parts}
    if len(widths) > 1:
        raise InputError(f"The states of {source_name(sources)} differ in width: {sorted(widths)}; give stores alike.")
    held = sum(len(part) for part in parts)
    if held < stop:
        raise InputError(f"{source_name(sources)} holds {held} states; {stop} were asked for.")
    shape = (stop - start, widths.pop())
    digest = hashlib.sha256(repr(shape).encode())
    cache.mkdir(parents=True, exist_ok=True)
    for block in _blocks(parts, start, stop):
        digest.update(np.ascontiguousarray(block).tobytes())
    name = digest.hexdigest()[:16]
    path = cache / f"states-{name}.npy"
    if not path.exists():
        with atomic_path(path) as temporary:
            rows = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            at = 0
            for block in _blocks(parts, start, stop):
                rows[at : at + len(block)] = block
                at += len(block)
            rows.flush()
            del rows
    return StatesFile(path, name)


def count(sources: Sequence[Path]) -> int:
    """States that there are in all of `sources`."""
    return sum(len(_open(path)) for path in sources)


def classes(sources: Sequence[Path], n: int) -> NDArray[np.float32] | None:
    """Probability of the last class at each of the first `n` states, where every source is a trace store."""
    import hiddenstate_core as hs

    if any(path.suffix == ".npy" for path in sources):
        return None
    parts = [hs.open_trace(path).probabilities() for path in sources]
    return np.concatenate([np.asarray(part[:, -1], np.float32) for part in parts])[:n]


def load(source: Path | None, n: int) -> NDArray[np.float32]:
    """The first `n` states of `source` in memory, (n, d) float32; of `stand_in` where it is None."""
    if source is None:
        return stand_in(n)
    rows = _open(source)
    if len(rows) < n:
        raise InputError(f"{source} holds {len(rows)} states; {n} were asked for.")
    return np.asarray(rows[:n], np.float32)


def _open(source: Path) -> Any:
    if not source.exists():
        raise InputError(f"There are no states at {source}; give a .npy file or a trace store.")
    if source.suffix != ".npy":
        import hiddenstate_core as hs

        return hs.open_trace(source).hidden()
    try:
        rows = np.load(source, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{source} is no array file that can be read: {error}.") from error
    if rows.ndim != 2:
        raise InputError(f"{source} holds an array of shape {rows.shape}; states have the shape (states, units).")
    return rows


def _blocks(parts: list[Any], start: int, stop: int) -> Iterator[NDArray[np.float32]]:
    for part in parts:
        size = len(part)
        for low in range(max(start, 0), min(stop, size), _BLOCK):
            yield np.asarray(part[low : min(low + _BLOCK, stop, size)], np.float32)
        start, stop = start - size, stop - size


def stand_in(n: int, units: int = 100, length: int = 100) -> NDArray[np.float32]:
    """States of an LSTM with random weights reading random words, (n, units) float32.

    Words follow Zipf's law and each sequence has a drift of its own, so states are correlated in time and many
    sequences begin alike, as in traces of trained networks; clusters are weaker than in those.
    """
    rng = np.random.default_rng(0)
    words, width = 5000, 32
    embedding = rng.normal(size=(words, width))
    inputs = 1.2 * rng.normal(size=(width, 4 * units)) / np.sqrt(width)
    recurrent = 1.5 * rng.normal(size=(units, 4 * units)) / np.sqrt(units)
    frequency = 1 / (np.arange(words) + 2.7)
    sequences = -(-n // length)
    text = rng.choice(words, size=(sequences, length), p=frequency / frequency.sum())
    drift = 0.3 * rng.normal(size=(sequences, width))
    hidden, cell = np.zeros((sequences, units)), np.zeros((sequences, units))
    states = np.empty((sequences, length, units), np.float32)
    for t in range(length):
        write, keep, new, show = np.split((embedding[text[:, t]] + drift) @ inputs + hidden @ recurrent, 4, axis=1)
        cell = _sigmoid(keep + 1) * cell + _sigmoid(write) * np.tanh(new)
        hidden = _sigmoid(show) * np.tanh(cell)
        states[:, t] = hidden
    return states.reshape(-1, units)[:n]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * x))
