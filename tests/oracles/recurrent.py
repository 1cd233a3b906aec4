"""LSTM, GRU and tanh RNN in every direction, in float64 NumPy from their equations: slow, and sure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.oracles.lstm import Floats, sigmoid

#: States and gates of one direction of one layer by name, each (T, H).
Rows = dict[str, Floats]


def lstm(x: Floats, state: list[Floats], U: Floats, extra: Floats | None) -> tuple[list[Floats], Rows]:
    """One step; `x` is the inputs' part with the bias, (4H,)."""
    h, c = state
    i, f, g, o = np.split(x + h @ U, 4)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c + i * g
    h = o * np.tanh(c)
    return [h, c], {"hidden": h, "cell": c, "input": i, "forget": f, "candidate": g, "output": o}


def gru(x: Floats, state: list[Floats], U: Floats, extra: Floats | None) -> tuple[list[Floats], Rows]:
    """One step, reset gate behind the product; `x` is (3H,), `extra` the candidate's recurrent bias (H,)."""
    (h,) = state
    assert extra is not None
    (xr, xz, xn), (hr, hz, hn) = np.split(x, 3), np.split(h @ U, 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * (hn + extra))
    h = (1 - z) * n + z * h
    return [h], {"hidden": h, "reset": r, "update": z, "candidate": n}


def rnn(x: Floats, state: list[Floats], U: Floats, extra: Floats | None) -> tuple[list[Floats], Rows]:
    """One step; `x` is (H,)."""
    h = np.tanh(x + state[0] @ U)
    return [h], {"hidden": h}


CELLS: dict[str, Any] = {"lstm": (lstm, 2), "gru": (gru, 1), "rnn": (rnn, 1)}


def run_folder(
    folder: Path, inputs: NDArray[np.int32] | NDArray[np.float32]
) -> tuple[dict[tuple[int, str], Rows], Floats, Floats]:
    """Every state of one sequence from a checkpoint's files alone.

    Returns
    -------
    layers : dict
        States and gates by layer and direction, row t belonging to step t.
    probabilities : (T, C)
        The readout at every step.
    final : (C,)
        The readout after everything was read.
    """
    weights = {name: array.astype(np.float64) for name, array in load_file(folder / "weights.safetensors").items()}
    spec = json.loads((folder / "model.json").read_text())["spec"]
    names = {"both": ("forward", "backward")}.get(spec["direction"], (spec["direction"],))
    rows = inputs.astype(np.float64) if spec["inputs"] == "features" else weights["embedding"][inputs]
    layers: dict[tuple[int, str], Rows] = {}
    last: list[Floats] = []
    for layer, units in enumerate(spec["hidden"]):
        for name in names:
            own = {k: weights.get(f"layers.{layer}.{name}.{k}") for k in ("input_kernel", "recurrent_kernel", "bias")}
            extra = weights.get(f"layers.{layer}.{name}.recurrent_bias")
            found = run_layer(spec["cell"], rows, units, (*own.values(), extra), backward=name == "backward")
            layers[layer, name] = found
        rows = np.hstack([layers[layer, name]["hidden"] for name in names])
    for name in names:
        hidden = layers[len(spec["hidden"]) - 1, name]["hidden"]
        at = -1 if name == "forward" else 0
        last.append(hidden[at] if len(hidden) else np.zeros(spec["hidden"][-1]))
    return layers, softmax(rows, weights), softmax(np.concatenate(last), weights)


def run_layer(cell: str, rows: Floats, units: int, weights: tuple[Any, ...], *, backward: bool) -> Rows:
    """States and gates of one direction of a layer that starts from zeros."""
    W, U, b, extra = weights
    step, states = CELLS[cell]
    state = [np.zeros(units)] * states
    steps = range(len(rows))[::-1] if backward else range(len(rows))
    found: dict[int, Rows] = {}
    for t in steps:
        state, found[t] = step(rows[t] @ W + b, state, U, extra)
    names = list(found[0]) if found else ["hidden"]
    return {name: np.array([found[t][name] for t in range(len(rows))]).reshape(-1, units) for name in names}


def softmax(hidden: Floats, weights: dict[str, Floats]) -> Floats:
    """Probabilities of hidden states (..., D)."""
    logits = hidden @ weights["readout.kernel"] + weights["readout.bias"]
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
