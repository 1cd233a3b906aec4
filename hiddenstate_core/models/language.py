"""Next-word prediction: its loss and its scores, without batch x time x vocabulary numbers in memory at once."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.models.batches import NO_TARGET, batches, cut
from hiddenstate_core.models.cells import matmul
from hiddenstate_core.models.network import Params, hidden_states, readout
from hiddenstate_core.models.spec import ModelSpec

__all__ = ["NextWords", "next_word_loss", "score_next_words"]

#: Logits that are held at once (32 MiB).
_LOGITS = 1 << 23
#: Steps that are scored in one batch.
_STEPS = 1 << 15


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def next_word_loss(
    smoothing: float, kernel: jax.Array, bias: jax.Array, hidden: jax.Array, targets: jax.Array
) -> jax.Array:
    """Sum of the cross-entropies of the readout's next-word probabilities, in nats.

    The steps are taken in blocks of at most 2^23 logits, and a block's gradient is formed while its logits are there
    (as it is linear in the factor that comes back), so nothing of size N x V is ever held.

    Parameters
    ----------
    smoothing : float
        Share of the target spread over all words.
    kernel, bias : (D, V), (V,) float32
        The readout.
    hidden : (N, D) float32
        Last layer's hidden states.
    targets : (N,) int32
        The word that follows each, `NO_TARGET` where there is none.
    """
    return _loss_forward(smoothing, kernel, bias, hidden, targets)[0]


def _loss_forward(
    smoothing: float, kernel: jax.Array, bias: jax.Array, hidden: jax.Array, targets: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    words = kernel.shape[1]

    def block(
        carried: tuple[jax.Array, jax.Array, jax.Array], at: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
        loss, d_kernel, d_bias = carried
        rows, wanted = at
        weight = (wanted != NO_TARGET).astype(jnp.float32)
        log_probabilities = jax.nn.log_softmax(matmul(rows, kernel) + bias)
        target = jax.nn.one_hot(wanted, words) * (1 - smoothing) + smoothing / words
        loss = loss - jnp.sum(jnp.sum(target * log_probabilities, axis=1) * weight)
        d_logits = (jnp.exp(log_probabilities) - target) * weight[:, None]
        carried = (loss, d_kernel + matmul(rows.T, d_logits), d_bias + d_logits.sum(axis=0))
        return carried, matmul(d_logits, kernel.T)

    zero = (jnp.zeros((), hidden.dtype), jnp.zeros_like(kernel), jnp.zeros_like(bias))
    (loss, d_kernel, d_bias), d_hidden = jax.lax.scan(block, zero, _blocks(hidden, targets, words))
    return loss, (d_kernel, d_bias, d_hidden.reshape(-1, hidden.shape[1])[: len(hidden)])


def _loss_backward(
    smoothing: float, saved: tuple[jax.Array, jax.Array, jax.Array], factor: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, None]:
    d_kernel, d_bias, d_hidden = saved
    return d_kernel * factor, d_bias * factor, d_hidden * factor, None


next_word_loss.defvjp(_loss_forward, _loss_backward)


def _blocks(hidden: jax.Array, targets: jax.Array, words: int) -> tuple[jax.Array, jax.Array]:
    """Rows (N, D) and targets (N,) as (blocks, rows, D) and (blocks, rows), padded with rows that count nothing."""
    rows = max(1, min(len(hidden), _LOGITS // words))
    blocks = -(-len(hidden) // rows)
    behind = blocks * rows - len(hidden)
    padded = jnp.pad(hidden, ((0, behind), (0, 0))).reshape(blocks, rows, -1)
    return padded, jnp.pad(targets, (0, behind), constant_values=NO_TARGET).reshape(blocks, rows)


@dataclasses.dataclass(frozen=True, eq=False)
class NextWords:
    """What a language model says at every step of a corpus.

    Parameters
    ----------
    predicted : (N,) int32
        Most probable next word.
    log_probability : (N,) float32
        Of the word that came next, in nats; NaN at each sequence's last word.
    correct : (N,) bool
        Whether `predicted` came next.
    """

    predicted: NDArray[np.int32]
    log_probability: NDArray[np.float32]
    correct: NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """Share of the words that came next which were the most probable; NaN where there is none."""
        count = int(np.isfinite(self.log_probability).sum())
        return float(self.correct.sum()) / count if count else math.nan

    @property
    def perplexity(self) -> float:
        """Exponential of the mean negative log-probability of the words that came next; NaN where there is none."""
        found = self.log_probability[np.isfinite(self.log_probability)]
        if not len(found):
            return math.nan
        return float(np.exp(min(-found.mean(dtype=np.float64), 700.0)))


def score_next_words(params: Params, corpus: Corpus, spec: ModelSpec) -> NextWords:
    """Score every step of a corpus that carries the network's word ids.

    A sequence longer than ``spec.max_length`` is read in windows of that length, each from the initial state.
    """
    windows = cut(corpus, spec.max_length)
    predicted = np.zeros(len(corpus.tokens), np.int32)
    log_probability = np.full(len(corpus.tokens), np.nan, np.float32)
    for batch in batches(windows, max(1, min(256, _STEPS // windows.longest))):
        assert batch.next_words is not None
        best, found = _score_batch(params, batch.inputs, batch.lengths, batch.next_words, spec)
        real = np.arange(len(batch.inputs))[:, None] < batch.lengths[None, : len(batch.rows)]
        steps = (windows.starts[batch.rows] + np.arange(len(batch.inputs))[:, None])[real]
        predicted[steps] = np.asarray(best)[:, : len(batch.rows)][real]
        log_probability[steps] = np.asarray(found)[:, : len(batch.rows)][real]
    next_words = windows.next_words
    assert next_words is not None
    return NextWords(predicted, log_probability, (predicted == next_words) & (next_words != NO_TARGET))


@functools.partial(jax.jit, static_argnames="spec")
def _score_batch(
    params: Params, tokens: jax.Array, lengths: jax.Array, targets: jax.Array, spec: ModelSpec
) -> tuple[jax.Array, jax.Array]:
    hidden = hidden_states(params, tokens, lengths, spec)

    def block(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rows, wanted = at
        log_probabilities = jax.nn.log_softmax(readout(params, rows))
        found = jnp.take_along_axis(log_probabilities, jnp.maximum(wanted, 0)[:, None], axis=1)[:, 0]
        best = jnp.argmax(log_probabilities, axis=1).astype(jnp.int32)
        return best, jnp.where(wanted == NO_TARGET, jnp.nan, found)

    flat = _blocks(hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), params["readout.bias"].shape[0])
    best, found = jax.lax.map(block, flat)
    count = targets.size
    return best.reshape(-1)[:count].reshape(targets.shape), found.reshape(-1)[:count].reshape(targets.shape)
