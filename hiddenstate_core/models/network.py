"""The recurrent network: parameters as a Flax NNX module, and the pure functions that run them.

Parameters travel as a flat dictionary from array name to float32 array, with the same names in the module, in these
functions, in the optimiser and in a checkpoint::

    embedding                            (V, E)        where the inputs are words
    layers.<l>.<d>.input_kernel          (I, nH)       <d> is forward or backward; n blocks of H columns
    layers.<l>.<d>.recurrent_kernel      (H, nH)
    layers.<l>.<d>.bias                  (nH,)
    layers.<l>.<d>.recurrent_bias        (H,)          of a GRU
    readout.kernel                       (D, C)        D is H of the last layer, twice that where it reads both ways
    readout.bias                         (C,)

The blocks of columns are those of the cell, in the order of `Cell.gates`.
"""

from __future__ import annotations

from typing import TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from hiddenstate_core.models.cells import CELLS, Cell, State, Weights, matmul, zero_state
from hiddenstate_core.models.parameters import (
    Params,
    directions,
    first_weights,
    glorot,
    input_width,
    layer_weights,
    parameter_shapes,
    places,
    top_width,
)
from hiddenstate_core.models.spec import ModelSpec

__all__ = [
    "Network",
    "Params",
    "Recording",
    "beside",
    "directions",
    "final_hidden",
    "hidden_states",
    "layer_weights",
    "parameter_shapes",
    "places",
    "readout",
    "record_sequence",
    "step_inputs",
]

#: Word ids (int32) or feature vectors (float32), on the device or not yet.
Inputs = jax.Array | NDArray[np.int32] | NDArray[np.float32]
#: Lengths, on the device or not yet.
Lengths = jax.Array | NDArray[np.int32] | int


class Recording(TypedDict):
    """Everything a sequence makes a network pass through; T steps, a tuple entry for each of `places(spec)`."""

    hidden: tuple[jax.Array, ...]
    """(T, H) hidden states."""
    cell: tuple[jax.Array, ...]
    """(T, H) cell states; empty where the cell has none."""
    gates: tuple[jax.Array, ...]
    """(T, blocks * H) activations of the gates, in the order of `Cell.gates`; empty where the cell has none."""
    probabilities: jax.Array
    """(T, C) readout applied to the last layer's hidden state (both directions side by side) at every step."""


def readout(params: Params, hidden: jax.Array) -> jax.Array:
    """Logits (..., C) of hidden states (..., D) of the last layer."""
    return matmul(hidden, params["readout.kernel"]) + params["readout.bias"]


def step_inputs(params: Params, inputs: Inputs, spec: ModelSpec) -> jax.Array:
    """What the first layer reads: the words' vectors (..., E), or the feature vectors (..., F) themselves."""
    if spec.inputs == "features":
        return jnp.asarray(inputs)
    return jnp.take(params["embedding"], jnp.asarray(inputs), axis=0, mode="clip")


def record_sequence(
    params: Params, inputs: Inputs, spec: ModelSpec | None = None, length: Lengths | None = None
) -> Recording:
    """Run one sequence and return everything it passes through: the plain reference for every faster path.

    Pure, so it can be compiled, and mapped over a batch with ``jax.vmap``. With padding on the right, the steps in
    front of it are untouched, and the padded ones are to be dropped; a layer that reads backward needs `length` for
    that.

    Parameters
    ----------
    params : dict of float32 arrays
        Parameters of the network.
    inputs : (T,) int32 or (T, F) float32
        Word ids or feature vectors; T may be 0.
    spec : ModelSpec, optional
        Architecture; by default the LSTM classifier with the units that the parameters have.
    length : int32, optional
        Steps in front of the padding; all of them by default.
    """
    if spec is None:
        spec = ModelSpec(hidden=_units(params))
    cell = CELLS[spec.cell]
    rows = step_inputs(params, inputs, spec)
    states: list[State] = []
    gates: list[jax.Array] = []
    for layer in range(len(spec.hidden)):
        read = [_scan(cell, layer_weights(params, layer, d), rows, d, length) for d in directions(spec)]
        states += [found for found, _ in read]
        gates += [found for _, found in read]
        rows = beside([found[0] for found, _ in read])
    return {
        "hidden": tuple(state[0] for state in states),
        "cell": tuple(state[1] for state in states if len(state) > 1),
        "gates": tuple(gates) if cell.gates else (),
        "probabilities": jax.nn.softmax(readout(params, rows)),
    }


def hidden_states(params: Params, inputs: Inputs, lengths: Lengths, spec: ModelSpec) -> jax.Array:
    """Hidden states (T, B, D) of the last layer, both directions side by side, of a padded batch.

    Parameters
    ----------
    params : dict of float32 arrays
        Parameters of the network.
    inputs : (T, B) int32 or (T, B, F) float32
        Word ids or feature vectors, a column a sequence, padded on the right with anything valid.
    lengths : (B,) int32
        Steps of each sequence; rows beyond them are to be dropped.
    spec : ModelSpec
        Architecture.
    """
    return _stack(params, inputs, lengths, spec, len(spec.hidden))


def final_hidden(params: Params, inputs: Inputs, lengths: Lengths, spec: ModelSpec) -> jax.Array:
    """Last layer's hidden states (B, D) after everything was read, of a padded batch.

    Forward the state of the last step, backward that of the first, side by side where both are read; a sequence of no
    steps keeps the initial state, zeros. Parameters as for `hidden_states`.
    """
    last = len(spec.hidden) - 1
    rows = _stack(params, inputs, lengths, spec, last)
    cell = CELLS[spec.cell]
    return beside([_final(cell, layer_weights(params, last, d), rows, d, lengths) for d in directions(spec)])


def _stack(params: Params, inputs: Inputs, lengths: Lengths, spec: ModelSpec, layers: int) -> jax.Array:
    """Hidden states of the lowest `layers` layers' top one; the network's inputs where there are none."""
    rows = step_inputs(params, inputs, spec)
    cell = CELLS[spec.cell]
    for layer in range(layers):
        rows = beside([_scan(cell, layer_weights(params, layer, d), rows, d, lengths)[0][0] for d in directions(spec)])
    return rows


def beside(parts: list[jax.Array]) -> jax.Array:
    """What a layer's directions give, side by side."""
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _scan(
    cell: Cell, weights: Weights, inputs: jax.Array, direction: str, lengths: Lengths | None
) -> tuple[State, jax.Array]:
    """States (T, ..., H) and gates (T, ..., blocks * H) of one direction of a layer from its inputs (T, ..., I).

    Backward, the steps from `lengths` on leave the state as it is at the start, so that padding on the right has no
    part in it.
    """
    backward = direction == "backward"
    masked = backward and lengths is not None

    def advance(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, tuple[State, jax.Array]]:
        projected, position = at
        new, gates = cell.step(weights, state, projected)
        if masked:
            new = _where(position < jnp.asarray(lengths), new, state)
        return new, (new, gates)

    projected = matmul(inputs, weights["input_kernel"]) + weights["bias"]
    zero = zero_state(cell, (*projected.shape[1:-1], weights["recurrent_kernel"].shape[0]), projected.dtype)
    at = (projected, jnp.arange(projected.shape[0]))
    found: tuple[State, jax.Array] = jax.lax.scan(advance, zero, at, reverse=backward)[1]
    return found


def _final(cell: Cell, weights: Weights, inputs: jax.Array, direction: str, lengths: Lengths) -> jax.Array:
    """Hidden state (B, H) of one direction of a layer after everything was read."""

    def advance(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, None]:
        projected, position = at
        return _where(position < jnp.asarray(lengths), cell.step(weights, state, projected)[0], state), None

    zero = zero_state(cell, (inputs.shape[1], weights["recurrent_kernel"].shape[0]), inputs.dtype)
    at = (matmul(inputs, weights["input_kernel"]) + weights["bias"], jnp.arange(inputs.shape[0]))
    state: State = jax.lax.scan(advance, zero, at, reverse=direction == "backward")[0]
    return state[0]


def _where(real: jax.Array, new: State, old: State) -> State:
    return tuple(jnp.where(real[..., None], n, o) for n, o in zip(new, old, strict=True))


def _units(params: Params) -> tuple[int, ...]:
    """Units of each layer of a parameter dictionary that reads forward."""
    layers = sum(name.endswith(".forward.bias") for name in params)
    return tuple(params[f"layers.{layer}.forward.recurrent_kernel"].shape[0] for layer in range(layers))


class _Direction(nnx.Module):
    """Parameters of one direction of a recurrent layer."""

    def __init__(self, cell: Cell, below: int, units: int, rngs: nnx.Rngs) -> None:
        for name, values in first_weights(cell, below, units, _numpy(rngs)).items():
            setattr(self, name, _param(values))


class _Layer(nnx.Module):
    """A recurrent layer with the directions in which it reads."""

    def __init__(self, spec: ModelSpec, layer: int, rngs: nnx.Rngs) -> None:
        for direction in directions(spec):
            module = _Direction(CELLS[spec.cell], input_width(spec, layer), spec.hidden[layer], rngs)
            setattr(self, direction, module)


class _Readout(nnx.Module):
    """Parameters of the dense layer from the last hidden state to the logits."""

    def __init__(self, below: int, outputs: int, rngs: nnx.Rngs) -> None:
        self.kernel = _param(glorot(_numpy(rngs), below, outputs))
        self.bias = _param(np.zeros(outputs))


class Network(nnx.Module):
    """Embedding, recurrent layers and dense readout as a Flax NNX module, whatever the `ModelSpec`.

    The recurrent kernels start orthogonal, the input kernels and the readout Glorot uniform (each block on its own),
    the embedding normal with standard deviation 0.05, the biases at 0 and those of an LSTM's forget gates at 1.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    words : int
        Words of the vocabulary.
    outputs : int
        Logits of the readout: classes, or, for a language model, words.
    rngs : flax.nnx.Rngs
        Source of the initial weights.
    """

    def __init__(self, spec: ModelSpec, words: int, outputs: int, rngs: nnx.Rngs) -> None:
        self.spec = spec
        if spec.inputs == "tokens":
            self.embedding = _param(_numpy(rngs).normal(0.0, 0.05, (words, spec.embedding)))
        self.layers = nnx.List([_Layer(spec, layer, rngs) for layer in range(len(spec.hidden))])
        self.readout = _Readout(top_width(spec), outputs, rngs)

    def __call__(self, inputs: Inputs) -> jax.Array:
        """Probabilities (C,) after all of one sequence (T,) int32 or (T, F) float32 with T of at least 1 was read."""
        params = self.parameters()
        rows = jnp.asarray(inputs)
        last = final_hidden(params, rows[:, None], np.array([rows.shape[0]], np.int32), self.spec)
        return jax.nn.softmax(readout(params, last))[0]

    def parameters(self) -> Params:
        """The arrays by name, as in a checkpoint."""
        flat = nnx.to_flat_state(nnx.state(self, nnx.Param))
        return {".".join(map(str, path)): value[...] for path, value in flat}

    @classmethod
    def from_parameters(cls, spec: ModelSpec, params: Params) -> Network:
        """Module that holds the arrays given."""
        words = params["embedding"].shape[0] if spec.inputs == "tokens" else 1
        network = cls(spec, words, params["readout.bias"].shape[0], nnx.Rngs(0))
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
