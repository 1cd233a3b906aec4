"""Names, shapes and first values of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.models.cells import CELLS, Cell
from hiddenstate_core.models.spec import ModelSpec

__all__ = [
    "Params",
    "directions",
    "first_weights",
    "glorot",
    "input_width",
    "layer_shapes",
    "layer_weights",
    "parameter_shapes",
    "places",
    "top_width",
]

Params = dict[str, jax.Array]


def directions(spec: ModelSpec) -> tuple[str, ...]:
    """Directions in which every layer reads: ``("forward",)``, ``("backward",)`` or ``("forward", "backward")``."""
    return ("forward", "backward") if spec.direction == "both" else (spec.direction,)


def places(spec: ModelSpec) -> tuple[tuple[int, str], ...]:
    """Every (layer, direction), layers from the input upwards and "forward" first."""
    return tuple((layer, direction) for layer in range(len(spec.hidden)) for direction in directions(spec))


def input_width(spec: ModelSpec, layer: int) -> int:
    """Length of the vector that a layer reads at a step."""
    if layer == 0:
        return spec.features if spec.inputs == "features" else spec.embedding
    return spec.hidden[layer - 1] * len(directions(spec))


def top_width(spec: ModelSpec) -> int:
    """Length of the vector that the readout reads: the last layer's units, twice where it reads both ways."""
    return spec.hidden[-1] * len(directions(spec))


def layer_shapes(cell: Cell, below: int, units: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of the weights of one direction of a layer."""
    columns = cell.blocks * units
    shapes: dict[str, tuple[int, ...]] = {
        "input_kernel": (below, columns),
        "recurrent_kernel": (units, columns),
        "bias": (columns,),
    }
    if cell.recurrent_bias:
        shapes["recurrent_bias"] = (units,)
    return shapes


def parameter_shapes(spec: ModelSpec, words: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a network.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    words : int
        Words of the vocabulary.
    outputs : int
        Logits of the readout: classes, or, for a language model, words.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if spec.inputs == "tokens":
        shapes["embedding"] = (words, spec.embedding)
    for layer, direction in places(spec):
        found = layer_shapes(CELLS[spec.cell], input_width(spec, layer), spec.hidden[layer])
        shapes |= {f"layers.{layer}.{direction}.{name}": shape for name, shape in found.items()}
    shapes["readout.kernel"] = (top_width(spec), outputs)
    shapes["readout.bias"] = (outputs,)
    return shapes


def layer_weights(params: Mapping[str, Any], layer: int, direction: str = "forward") -> dict[str, Any]:
    """Weights of one direction of a layer by their last name.

    ``input_kernel`` (I, blocks * H), ``recurrent_kernel`` (H, blocks * H), ``bias`` (blocks * H,), and for a GRU
    ``recurrent_bias`` (H,).
    """
    prefix = f"layers.{layer}.{direction}."
    return {name[len(prefix) :]: array for name, array in params.items() if name.startswith(prefix)}


def first_weights(cell: Cell, below: int, units: int, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Weights that a layer's direction starts from.

    Input kernels are Glorot uniform and recurrent ones orthogonal, each block drawn as a matrix of its own; biases
    are 0, an LSTM's forget biases 1 (Jozefowicz et al. 2015).
    """
    bias = np.zeros((cell.blocks, units))
    if "forget" in cell.gates:
        bias[cell.gates.index("forget")] = 1
    weights = {
        "input_kernel": np.hstack([glorot(generator, below, units) for _ in range(cell.blocks)]),
        "recurrent_kernel": np.hstack([_orthogonal(generator, units) for _ in range(cell.blocks)]),
        "bias": bias.reshape(-1),
    }
    if cell.recurrent_bias:
        weights["recurrent_bias"] = np.zeros(units)
    return weights


def glorot(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Uniform matrix of the scale of Glorot & Bengio (2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return generator.uniform(-limit, limit, (rows, columns))


def _orthogonal(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))
