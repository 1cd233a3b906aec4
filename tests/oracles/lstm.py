"""The LSTM written from its equations in float64 NumPy, one number-crunching line a formula: slow, and sure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Floats = NDArray[np.float64]


def sigmoid(z: Floats) -> Floats:
    """Logistic function, without overflow."""
    return np.where(z >= 0, 1 / (1 + np.exp(-np.abs(z))), np.exp(-np.abs(z)) / (1 + np.exp(-np.abs(z))))


def run_checkpoint(folder: Path, tokens: NDArray[np.int32]) -> tuple[list[dict[str, Floats]], Floats]:
    """Every state of one sequence from a checkpoint's weights alone.

    Returns
    -------
    layers : list of dict
        For each layer ``hidden``, ``cell``, ``input``, ``forget``, ``candidate`` and ``output``, each (T, H).
    probabilities : (T, C)
        The readout at every step.
    """
    weights = {name: array.astype(np.float64) for name, array in load_file(folder / "weights.safetensors").items()}
    inputs = weights["embedding"][tokens]
    layers: list[dict[str, Floats]] = []
    while f"layers.{len(layers)}.forward.bias" in weights:
        prefix = f"layers.{len(layers)}.forward."
        layers.append(
            run_layer(
                inputs, weights[prefix + "input_kernel"], weights[prefix + "recurrent_kernel"], weights[prefix + "bias"]
            )
        )
        inputs = layers[-1]["hidden"]
    logits = inputs @ weights["readout.kernel"] + weights["readout.bias"]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return layers, powers / powers.sum(axis=1, keepdims=True)


def run_layer(inputs: Floats, input_kernel: Floats, recurrent_kernel: Floats, bias: Floats) -> dict[str, Floats]:
    """States and gates of one layer that starts from zeros."""
    units = recurrent_kernel.shape[0]
    hidden, cell = np.zeros(units), np.zeros(units)
    rows: dict[str, list[Floats]] = {name: [] for name in ("hidden", "cell", "input", "forget", "candidate", "output")}
    for x in inputs:
        z = x @ input_kernel + hidden @ recurrent_kernel + bias
        i = sigmoid(z[:units])
        f = sigmoid(z[units : 2 * units])
        g = np.tanh(z[2 * units : 3 * units])
        o = sigmoid(z[3 * units :])
        cell = f * cell + i * g
        hidden = o * np.tanh(cell)
        for name, value in zip(rows, (hidden, cell, i, f, g, o), strict=True):
            rows[name].append(value)
    return {name: np.array(values).reshape(-1, units) for name, values in rows.items()}
