"""The training path of a recurrent layer: a batch of padded sequences at once, with a backward pass written out."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hiddenstate_core.models.cells import CELLS, matmul

__all__ = ["recur"]

_UNROLL = 1


@jax.custom_vjp
def recur(recurrent_kernel: jax.Array, projected: jax.Array, kept: jax.Array) -> jax.Array:
    """Hidden states of an LSTM layer that starts from zeros.

    Automatic differentiation of the scan adds a (H, 4H) product to the kernel's gradient at every step; here the scan
    back only emits the gradient of ``projected`` and one product over all steps gives the kernel's.

    Parameters
    ----------
    recurrent_kernel : (H, 4H) float32
        The kernel ``U``.
    projected : (T, B, 4H) float32
        Each word's part of the gates' inputs.
    kept : (B, H) float32
        Factor on the hidden state that is fed back, the same at every step: a variational dropout mask, or ones.

    Returns
    -------
    (T, B, H) float32
    """
    return _forward(recurrent_kernel, projected, kept)[0]


def _forward(recurrent_kernel: jax.Array, projected: jax.Array, kept: jax.Array) -> tuple[jax.Array, Any]:
    def advance(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], Any]:
        (h, c), gates = CELLS["lstm"].step({"recurrent_kernel": recurrent_kernel}, (state[0] * kept, state[1]), x)
        return (h, c), (h, c, gates)

    zero = jnp.zeros_like(kept)
    hidden, cell, gates = jax.lax.scan(advance, (zero, zero), projected, unroll=_UNROLL)[1]
    return hidden, (recurrent_kernel, kept, hidden, cell, gates)


def _backward(saved: Any, hidden_gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    recurrent_kernel, kept, hidden, cell, gates = saved
    units = kept.shape[-1]
    transposed = recurrent_kernel.T
    before = jnp.concatenate([jnp.zeros_like(cell[:1]), cell[:-1]])

    def retreat(state: tuple[jax.Array, jax.Array], at: Any) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        d_fed_back, d_cell = state
        d_hidden, c, c_before, gate = at
        i, f, g, o = (gate[..., k * units : (k + 1) * units] for k in range(4))
        d_hidden = d_hidden + d_fed_back * kept
        squashed = jnp.tanh(c)
        d_cell = d_cell + d_hidden * o * (1 - squashed * squashed)
        d_projected = jnp.concatenate(
            [
                d_cell * g * i * (1 - i),
                d_cell * c_before * f * (1 - f),
                d_cell * i * (1 - g * g),
                d_hidden * squashed * o * (1 - o),
            ],
            axis=-1,
        )
        return (matmul(d_projected, transposed), d_cell * f), d_projected

    zero = jnp.zeros_like(kept)
    _, d_projected = jax.lax.scan(
        retreat, (zero, zero), (hidden_gradient, cell, before, gates), reverse=True, unroll=_UNROLL
    )
    fed_back = hidden[:-1] * kept
    d_kernel = matmul(fed_back.reshape(-1, units).T, d_projected[1:].reshape(-1, 4 * units))
    return d_kernel, d_projected, jnp.zeros_like(kept)


recur.defvjp(_forward, _backward)
