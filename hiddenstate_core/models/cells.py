"""Recurrent cells as pure functions: long short-term memory, gated recurrent unit and the vanilla (tanh) unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

__all__ = ["CELLS", "Cell", "State", "Weights", "matmul", "zero_state"]

#: What a layer carries from step to step, an array (..., H) each, in the order of `Cell.states`.
State = tuple[jax.Array, ...]
#: Weights of one direction of one layer, by name.
Weights = dict[str, jax.Array]

#: Full float32 products on every device (accelerators would otherwise round the factors).
_PRECISION = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Cell:
    """A kind of recurrent cell.

    Parameters
    ----------
    name : str
        As in `ModelSpec.cell`.
    gates : tuple of str
        Names of the blocks of H columns in the kernels, the bias and the array of gates that `step` gives; empty
        where a cell has none (its one block is then the hidden state itself).
    blocks : int
        Columns of the kernels and the bias, divided by H.
    states : tuple of str
        Names of what is carried from step to step; the first, ``"hidden"``, is what the layer above reads.
    advance : callable
        ``advance(weights, state, projected, fed_back) -> (state, gates)``: `step` with ``fed_back``, the product
        ``h U`` (..., blocks * H), given.
    recurrent_bias : bool
        Whether the weights have a ``recurrent_bias``.
    """

    name: str
    gates: tuple[str, ...]
    blocks: int
    states: tuple[str, ...]
    advance: Callable[[Weights, State, jax.Array, jax.Array], tuple[State, jax.Array]]
    recurrent_bias: bool = False

    def step(self, weights: Weights, state: State, projected: jax.Array) -> tuple[State, jax.Array]:
        """Advance a layer by one step.

        Parameters
        ----------
        weights : dict
            ``recurrent_kernel`` (H, blocks * H) and, for a GRU, ``recurrent_bias`` (H,).
        state : tuple of (..., H) float32
            In the order of `states`.
        projected : (..., blocks * H) float32
            ``x W + b``, the inputs' part, which needs no state and is computed for all steps at once.

        Returns
        -------
        state : tuple of (..., H) float32
            The state after the step.
        gates : (..., blocks * H) float32
            Activations of the blocks side by side.
        """
        return self.advance(weights, state, projected, matmul(state[0], weights["recurrent_kernel"]))


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product in full float32."""
    return jnp.matmul(a, b, precision=_PRECISION)


def zero_state(cell: Cell, shape: tuple[int, ...], dtype: jnp.dtype | type = jnp.float32) -> State:
    """The state before the first step: zeros of the given shape (..., H), one array for each of `Cell.states`."""
    zero = jnp.zeros(shape, dtype)
    return (zero,) * len(cell.states)


def _lstm(weights: Weights, state: State, projected: jax.Array, fed_back: jax.Array) -> tuple[State, jax.Array]:
    """Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000) and no peepholes.

    With ``z = x W + b + h U`` in four blocks of columns, ``i = sigmoid(z_i)``, ``f = sigmoid(z_f)``,
    ``g = tanh(z_g)``, ``o = sigmoid(z_o)``, ``c' = f c + i g`` and ``h' = o tanh(c')``.
    """
    cell = state[1]
    units = cell.shape[-1]
    # One tanh serves all four blocks: sigmoid(z) = (1 + tanh(z / 2)) / 2.
    is_candidate = (jnp.arange(4 * units) // units) == 2
    scale = jnp.where(is_candidate, 1.0, 0.5).astype(projected.dtype)
    shift = jnp.where(is_candidate, 0.0, 0.5).astype(projected.dtype)
    gates = jnp.tanh((projected + fed_back) * scale) * scale + shift
    i, f, g, o = (gates[..., k * units : (k + 1) * units] for k in range(4))
    cell = f * cell + i * g
    return (o * jnp.tanh(cell), cell), gates


def _gru(weights: Weights, state: State, projected: jax.Array, fed_back: jax.Array) -> tuple[State, jax.Array]:
    """Cho et al. (2014) in the form that applies the reset gate after the product (cuDNN, torch, Keras).

    With ``p = x W + b`` and ``q = h U`` in three blocks of columns, ``r = sigmoid(p_r + q_r)``,
    ``z = sigmoid(p_z + q_z)``, ``n = tanh(p_n + r (q_n + recurrent_bias))`` and ``h' = (1 - z) n + z h``.
    """
    (hidden,) = state
    units = hidden.shape[-1]
    two = jnp.tanh((projected[..., : 2 * units] + fed_back[..., : 2 * units]) * 0.5) * 0.5 + 0.5
    r, z = two[..., :units], two[..., units:]
    n = jnp.tanh(projected[..., 2 * units :] + r * (fed_back[..., 2 * units :] + weights["recurrent_bias"]))
    return ((1 - z) * n + z * hidden,), jnp.concatenate([two, n], axis=-1)


def _rnn(weights: Weights, state: State, projected: jax.Array, fed_back: jax.Array) -> tuple[State, jax.Array]:
    """Elman (1990) with tanh: ``h' = tanh(x W + b + h U)``."""
    hidden = jnp.tanh(projected + fed_back)
    return (hidden,), hidden


#: Cells by name.
CELLS: dict[str, Cell] = {
    "lstm": Cell("lstm", ("input", "forget", "candidate", "output"), 4, ("hidden", "cell"), _lstm),
    "gru": Cell("gru", ("reset", "update", "candidate"), 3, ("hidden",), _gru, recurrent_bias=True),
    "rnn": Cell("rnn", (), 1, ("hidden",), _rnn),
}
