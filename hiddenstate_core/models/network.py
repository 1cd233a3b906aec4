"""The recurrent classifier: parameters as a Flax NNX module, and the pure functions that run them.

Parameters travel as a flat dictionary from array name to float32 array, with the same names in the module, in these
functions, in the optimiser and in a checkpoint::

    embedding                        (V, E)
    layers.<l>.forward.input_kernel      (I, 4H)     I is E for layer 0, else the units of the layer below
    layers.<l>.forward.recurrent_kernel  (H, 4H)
    layers.<l>.forward.bias              (4H,)
    readout.kernel                   (H, C)
    readout.bias                     (C,)

The 4H columns are four blocks of H in the order of `GATES`.
"""

from __future__ import annotations

from typing import TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from hiddenstate_core.models.spec import ModelSpec

__all__ = [
    "GATES",
    "Classifier",
    "Params",
    "Recording",
    "final_hidden",
    "layer_parameters",
    "number_of_layers",
    "parameter_shapes",
    "readout",
    "record_sequence",
    "step",
]

#: Order of the four blocks of columns in the kernels, the bias and a recorded gate array.
GATES = ("input", "forget", "candidate", "output")

Params = dict[str, jax.Array]
#: Word ids or lengths, on the device or not yet.
Integers = jax.Array | NDArray[np.int32]

#: Full float32 products on every device (accelerators would otherwise round the factors).
_PRECISION = jax.lax.Precision.HIGHEST


class Recording(TypedDict):
    """Everything a sequence makes a network pass through; T steps, a tuple entry a layer."""

    hidden: tuple[jax.Array, ...]
    """(T, H) hidden states."""
    cell: tuple[jax.Array, ...]
    """(T, H) cell states."""
    gates: tuple[jax.Array, ...]
    """(T, 4H) activations of the gates, four blocks in the order of `GATES`."""
    probabilities: jax.Array
    """(T, C) readout applied to the last layer's hidden state at every step."""


def parameter_shapes(spec: ModelSpec, words: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array of a network for a vocabulary of `words` words and `classes` classes."""
    shapes: dict[str, tuple[int, ...]] = {"embedding": (words, spec.embedding)}
    below = spec.embedding
    for layer, units in enumerate(spec.hidden):
        shapes[f"layers.{layer}.forward.input_kernel"] = (below, 4 * units)
        shapes[f"layers.{layer}.forward.recurrent_kernel"] = (units, 4 * units)
        shapes[f"layers.{layer}.forward.bias"] = (4 * units,)
        below = units
    shapes["readout.kernel"] = (below, classes)
    shapes["readout.bias"] = (classes,)
    return shapes


def number_of_layers(params: Params) -> int:
    """Recurrent layers of a parameter dictionary."""
    return sum(name.endswith(".forward.bias") for name in params)


def layer_parameters(params: Params, layer: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Input kernel (I, 4H), recurrent kernel (H, 4H) and bias (4H,) of one layer."""
    prefix = f"layers.{layer}.forward."
    return params[prefix + "input_kernel"], params[prefix + "recurrent_kernel"], params[prefix + "bias"]


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product in full float32."""
    return jnp.matmul(a, b, precision=_PRECISION)


def step(
    recurrent_kernel: jax.Array, state: tuple[jax.Array, jax.Array], projected: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Advance an LSTM layer by one word.

    The cell of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000) and no peepholes: with
    ``z = x W + b + h U`` in four blocks of columns, ``i = sigmoid(z_i)``, ``f = sigmoid(z_f)``, ``g = tanh(z_g)``,
    ``o = sigmoid(z_o)``, ``c' = f c + i g`` and ``h' = o tanh(c')``.

    Parameters
    ----------
    recurrent_kernel : (H, 4H) float32
        ``U``.
    state : pair of (..., H) float32
        ``h`` and ``c`` before the word.
    projected : (..., 4H) float32
        ``x W + b``, the word's part of ``z``, which needs no state and is computed for all words at once.

    Returns
    -------
    h, c : (..., H) float32
        The state after the word.
    gates : (..., 4H) float32
        ``i``, ``f``, ``g`` and ``o`` side by side.
    """
    hidden, cell = state
    units = recurrent_kernel.shape[0]
    # One tanh serves all four blocks: sigmoid(z) = (1 + tanh(z / 2)) / 2.
    is_candidate = (jnp.arange(4 * units) // units) == GATES.index("candidate")
    scale = jnp.where(is_candidate, 1.0, 0.5).astype(projected.dtype)
    shift = jnp.where(is_candidate, 0.0, 0.5).astype(projected.dtype)
    gates = jnp.tanh((projected + matmul(hidden, recurrent_kernel)) * scale) * scale + shift
    i, f, g, o = (gates[..., k * units : (k + 1) * units] for k in range(4))
    cell = f * cell + i * g
    return o * jnp.tanh(cell), cell, gates


def readout(params: Params, hidden: jax.Array) -> jax.Array:
    """Class logits (..., C) of hidden states (..., H) of the last layer."""
    return matmul(hidden, params["readout.kernel"]) + params["readout.bias"]


def record_sequence(params: Params, tokens: Integers) -> Recording:
    """Run one sequence and return everything it passes through.

    Pure, so it can be compiled, and mapped over a batch with ``jax.vmap(record_sequence, in_axes=(None, 0))``. States
    are causal: with padding on the right, the steps before it are untouched, and the padded ones are to be dropped.

    Parameters
    ----------
    params : dict of float32 arrays
        Parameters of the network.
    tokens : (T,) int32
        Word ids; T may be 0.
    """
    inputs = jnp.take(params["embedding"], tokens, axis=0, mode="clip")
    hidden, cell, gates = [], [], []
    for layer in range(number_of_layers(params)):
        input_kernel, recurrent_kernel, bias = layer_parameters(params, layer)
        h, c, g = _scan_layer(recurrent_kernel, matmul(inputs, input_kernel) + bias)
        hidden.append(h)
        cell.append(c)
        gates.append(g)
        inputs = h
    return {
        "hidden": tuple(hidden),
        "cell": tuple(cell),
        "gates": tuple(gates),
        "probabilities": jax.nn.softmax(readout(params, inputs)),
    }


def _scan_layer(recurrent_kernel: jax.Array, projected: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Hidden, cell (T, ..., H) and gates (T, ..., 4H) of one layer from its projected inputs (T, ..., 4H)."""

    def advance(
        state: tuple[jax.Array, jax.Array], x: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
        h, c, gates = step(recurrent_kernel, state, x)
        return (h, c), (h, c, gates)

    zero = jnp.zeros((*projected.shape[1:-1], recurrent_kernel.shape[0]), projected.dtype)
    return jax.lax.scan(advance, (zero, zero), projected)[1]


def final_hidden(params: Params, tokens: Integers, lengths: Integers) -> jax.Array:
    """Hidden states (B, H) of the last layer after the last word of each of B sequences.

    Parameters
    ----------
    params : dict of float32 arrays
        Parameters of the network.
    tokens : (T, B) int32
        Word ids, a column a sequence, padded on the right with any valid id.
    lengths : (B,) int32
        Words of each sequence; a sequence of none keeps the initial state, zeros.
    """
    inputs = jnp.take(params["embedding"], tokens, axis=0, mode="clip")
    last = number_of_layers(params) - 1
    for layer in range(last):
        input_kernel, recurrent_kernel, bias = layer_parameters(params, layer)
        inputs = _scan_layer(recurrent_kernel, matmul(inputs, input_kernel) + bias)[0]
    input_kernel, recurrent_kernel, bias = layer_parameters(params, last)

    def advance(
        state: tuple[jax.Array, jax.Array], at: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        projected, position = at
        h, c, _ = step(recurrent_kernel, state, projected)
        real = (position < lengths)[:, None]
        return (jnp.where(real, h, state[0]), jnp.where(real, c, state[1])), None

    zero = jnp.zeros((tokens.shape[1], recurrent_kernel.shape[0]), inputs.dtype)
    at = (matmul(inputs, input_kernel) + bias, jnp.arange(tokens.shape[0]))
    return jax.lax.scan(advance, (zero, zero), at)[0][0]


class Cell(nnx.Module):
    """Parameters of one direction of an LSTM layer."""

    def __init__(self, below: int, units: int, rngs: nnx.Rngs) -> None:
        generator = _numpy(rngs)
        bias = np.zeros((len(GATES), units))
        bias[GATES.index("forget")] = 1
        # Each gate's block is drawn as a matrix of its own.
        self.input_kernel = _param(np.hstack([_glorot(generator, below, units) for _ in GATES]))
        self.recurrent_kernel = _param(np.hstack([_orthogonal(generator, units) for _ in GATES]))
        self.bias = _param(bias.reshape(-1))


class Layer(nnx.Module):
    """A recurrent layer; it reads forward."""

    def __init__(self, below: int, units: int, rngs: nnx.Rngs) -> None:
        self.forward = Cell(below, units, rngs)


class Readout(nnx.Module):
    """Parameters of the dense layer from the last hidden state to the class logits."""

    def __init__(self, below: int, classes: int, rngs: nnx.Rngs) -> None:
        self.kernel = _param(_glorot(_numpy(rngs), below, classes))
        self.bias = _param(np.zeros(classes))


class Classifier(nnx.Module):
    """Embedding, LSTM layers and dense readout as a Flax NNX module.

    The recurrent kernels start orthogonal, the input kernels and the readout Glorot uniform (each gate's block on its
    own), the embedding normal with standard deviation 0.05, the biases at 0 and those of the forget gates at 1.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    words, classes : int
        Sizes of the vocabulary and of the set of classes.
    rngs : flax.nnx.Rngs
        Source of the initial weights.
    """

    def __init__(self, spec: ModelSpec, words: int, classes: int, rngs: nnx.Rngs) -> None:
        self.embedding = _param(_numpy(rngs).normal(0.0, 0.05, (words, spec.embedding)))
        below = (spec.embedding, *spec.hidden[:-1])
        self.layers = nnx.List([Layer(b, units, rngs) for b, units in zip(below, spec.hidden, strict=True)])
        self.readout = Readout(spec.hidden[-1], classes, rngs)

    def __call__(self, tokens: Integers) -> jax.Array:
        """Class probabilities (C,) after the last word of one sequence of word ids (T,) with T of at least 1."""
        return record_sequence(self.parameters(), tokens)["probabilities"][-1]

    def parameters(self) -> Params:
        """The arrays by name, as in a checkpoint."""
        flat = nnx.to_flat_state(nnx.state(self, nnx.Param))
        return {".".join(map(str, path)): value[...] for path, value in flat}

    @classmethod
    def from_parameters(cls, spec: ModelSpec, params: Params) -> Classifier:
        """Module that holds the arrays given."""
        network = cls(spec, params["embedding"].shape[0], params["readout.bias"].shape[0], nnx.Rngs(0))
        state = nnx.state(network, nnx.Param)
        for path, value in nnx.to_flat_state(state):
            value.set_value(params[".".join(map(str, path))])
        nnx.update(network, state)
        return network


def _param(values: NDArray[np.float64]) -> nnx.Param[jax.Array]:
    return nnx.Param(jnp.asarray(values.astype(np.float32)))


def _numpy(rngs: nnx.Rngs) -> np.random.Generator:
    """NumPy generator from a Flax key: the draws are the same under every release of jax, and nothing is compiled."""
    return np.random.default_rng(np.asarray(jax.random.key_data(rngs.params())))


def _glorot(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    limit = np.sqrt(6 / (rows + columns))
    return generator.uniform(-limit, limit, (rows, columns))


def _orthogonal(generator: np.random.Generator, size: int) -> NDArray[np.float64]:
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))
