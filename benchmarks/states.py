"""States to measure on: an array file, a trace store, or a stand-in made by a random recurrent network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError

__all__ = ["load", "stand_in"]


def load(source: Path | None, n: int) -> NDArray[np.float32]:
    """The first `n` states of `source`, (n, d) float32; of `stand_in` where it is None.

    Raises
    ------
    InputError
        No such file, or fewer states in it.
    """
    if source is None:
        return stand_in(n)
    if not source.exists():
        raise InputError(f"There are no states at {source}; give a .npy file or a trace store.")
    if source.suffix == ".npy":
        rows = np.load(source, mmap_mode="r", allow_pickle=False)
    else:
        import hiddenstate_core as hs

        rows = hs.open_trace(source).hidden()
    if len(rows) < n:
        raise InputError(f"{source} holds {len(rows)} states; {n} were asked for.")
    return np.asarray(rows[:n], np.float32)


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
