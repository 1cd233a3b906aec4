"""The training path of a recurrent layer: a batch of padded sequences at once, with a backward pass written out."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from hiddenstate_core.models.cells import CELLS, State, Weights, matmul, zero_state

__all__ = ["recur", "reverse"]

#: What the scan back carries: gradients of the hidden state by the product ``h U``, of it directly, of a cell state.
_Carried = tuple[jax.Array, ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def recur(name: str, weights: Weights, projected: jax.Array, kept: jax.Array) -> jax.Array:
    """Hidden states of a layer that starts from zeros and reads forward.

    Automatic differentiation of the scan adds a (H, blocks * H) product to the kernel's gradient at every step; here
    the scan back only emits the gradient of ``projected`` and one product over all steps gives the kernel's.

    Parameters
    ----------
    name : str
        Name of the cell.
    weights : dict
        ``recurrent_kernel`` (H, blocks * H) and, for a GRU, ``recurrent_bias`` (H,).
    projected : (T, B, blocks * H) float32
        Each step's part of the gates' inputs.
    kept : (B, H) float32
        Factor on the hidden state in front of the recurrent kernel, the same at every step: a variational dropout
        mask, or ones. (What a cell state or a GRU's update gate carries over is not touched by it.)

    Returns
    -------
    (T, B, H) float32
    """
    return _forward(name, weights, projected, kept)[0]


def _forward(name: str, weights: Weights, projected: jax.Array, kept: jax.Array) -> tuple[jax.Array, Any]:
    cell = CELLS[name]

    def advance(state: State, x: jax.Array) -> tuple[State, tuple[State, jax.Array]]:
        new, gates = cell.advance(weights, state, x, matmul(state[0] * kept, weights["recurrent_kernel"]))
        return new, (new, gates)

    states, gates = jax.lax.scan(advance, zero_state(cell, kept.shape, kept.dtype), projected)[1]
    return states[0], (weights, kept, states, gates)


def _backward(name: str, saved: Any, hidden_gradient: jax.Array) -> tuple[Weights, jax.Array, jax.Array]:
    weights, kept, states, gates = saved
    kernel = weights["recurrent_kernel"]
    units = kept.shape[-1]
    before = tuple(jnp.concatenate([jnp.zeros_like(s[:1]), s[:-1]]) for s in states)
    fed_back = before[0] * kept
    at = {"d_hidden": hidden_gradient, "gates": gates, "before": before[-1], "after": states[-1]}
    gradients: Weights = {}
    if name == "gru":
        at["candidate"] = matmul(fed_back, kernel[:, 2 * units :]) + weights["recurrent_bias"]
    transposed = kernel.T
    retreat = _RETREAT[name]

    def back(carried: _Carried, now: dict[str, jax.Array]) -> tuple[_Carried, jax.Array]:
        d_hidden = now["d_hidden"] + carried[0] * kept
        d_projected, d_fed_back, rest = retreat(d_hidden, carried[1:], now)
        return (matmul(d_fed_back, transposed), *rest), d_projected

    zero = jnp.zeros_like(kept)
    _, d_projected = jax.lax.scan(back, (zero,) * (1 if name == "rnn" else 2), at, reverse=True)
    d_fed_back = d_projected
    if name == "gru":
        # The candidate's product goes through the reset gate, the inputs' part does not.
        d_candidate = d_projected[..., 2 * units :] * gates[..., :units]
        d_fed_back = jnp.concatenate([d_projected[..., : 2 * units], d_candidate], axis=-1)
        gradients["recurrent_bias"] = d_candidate.sum(axis=(0, 1))
    gradients["recurrent_kernel"] = matmul(
        fed_back[1:].reshape(-1, units).T, d_fed_back[1:].reshape(-1, kernel.shape[1])
    )
    return gradients, d_projected, jnp.zeros_like(kept)


def _retreat_lstm(d_hidden: jax.Array, carried: _Carried, now: dict[str, jax.Array]) -> Any:
    (d_cell,) = carried
    i, f, g, o = jnp.split(now["gates"], 4, axis=-1)
    squashed = jnp.tanh(now["after"])
    d_cell = d_cell + d_hidden * o * (1 - squashed * squashed)
    d_projected = jnp.concatenate(
        [
            d_cell * g * i * (1 - i),
            d_cell * now["before"] * f * (1 - f),
            d_cell * i * (1 - g * g),
            d_hidden * squashed * o * (1 - o),
        ],
        axis=-1,
    )
    return d_projected, d_projected, (d_cell * f,)


def _retreat_gru(d_hidden: jax.Array, carried: _Carried, now: dict[str, jax.Array]) -> Any:
    d_hidden = d_hidden + carried[0]
    r, z, n = jnp.split(now["gates"], 3, axis=-1)
    d_n = d_hidden * (1 - z) * (1 - n * n)
    d_r = d_n * now["candidate"] * r * (1 - r)
    d_z = d_hidden * (now["before"] - n) * z * (1 - z)
    return jnp.concatenate([d_r, d_z, d_n], axis=-1), jnp.concatenate([d_r, d_z, d_n * r], axis=-1), (d_hidden * z,)


def _retreat_rnn(d_hidden: jax.Array, carried: _Carried, now: dict[str, jax.Array]) -> Any:
    d_projected = d_hidden * (1 - now["after"] * now["after"])
    return d_projected, d_projected, carried


_RETREAT = {"lstm": _retreat_lstm, "gru": _retreat_gru, "rnn": _retreat_rnn}
recur.defvjp(_forward, _backward)


@jax.custom_vjp
def reverse(rows: jax.Array, lengths: jax.Array) -> jax.Array:
    """Every sequence's steps in reverse, the padding behind them left where it is; its own inverse.

    Parameters
    ----------
    rows : (T, B, D) float32
        A column a sequence, padded on the right.
    lengths : (B,) int32
        Steps of each.
    """
    steps = jnp.arange(rows.shape[0])[:, None]
    source = jnp.where(steps < lengths, lengths - 1 - steps, steps)
    return jnp.take_along_axis(rows, source[:, :, None], axis=0)


def _reverse_forward(rows: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    return reverse(rows, lengths), lengths


def _reverse_backward(lengths: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    # A permutation that is its own inverse is its own transpose: another gather, not a scatter.
    return reverse(gradient, lengths), None


reverse.defvjp(_reverse_forward, _reverse_backward)
