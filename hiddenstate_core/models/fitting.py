"""One fit: Adam, one-cycle, variational dropout, early stopping on a validation split."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from hiddenstate_core.corpora.corpus import UNKNOWN, UNLABELLED, Corpus
from hiddenstate_core.errors import ModelError
from hiddenstate_core.models.batches import NO_TARGET, Batch, Windows, cut, last_words, shuffled
from hiddenstate_core.models.cells import matmul
from hiddenstate_core.models.language import next_word_loss, score_next_words
from hiddenstate_core.models.model import predict_batches
from hiddenstate_core.models.network import Network, beside, readout, step_inputs
from hiddenstate_core.models.parameters import Params, directions, input_width, layer_weights, places, top_width
from hiddenstate_core.models.recurrence import recur, reverse
from hiddenstate_core.models.spec import ModelSpec, TrainOptions
from hiddenstate_core.progress import Advance, progress_bar

__all__ = ["Fitted", "Score", "fit"]


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Weights of the best epoch, what they reached on the validation sequences, epochs run, and which was best."""

    params: Params
    score: Score | None
    epochs: int
    best: int


@dataclasses.dataclass(frozen=True)
class Score:
    """How good weights are on some sequences: `order` decides (larger is better), the rest is told."""

    order: tuple[float, float]
    accuracy: float
    perplexity: float | None = None

    def __str__(self) -> str:
        if self.perplexity is not None:
            return f"perplexity {self.perplexity:.1f}"
        return f"{100 * self.accuracy:.1f} %"


def fit(training: Corpus, validation: Corpus, spec: ModelSpec, options: TrainOptions, progress: bool) -> Fitted:
    """Fit a network to the sequences of `training` and keep the weights that are best on those of `validation`."""
    steps = -(-len(_windows(training, spec, options).lengths) // options.batch_size)
    optimiser = _optimiser(options, steps * options.epochs)
    outputs = len(training.vocabulary) if spec.task == "language_model" else len(training.classes)
    network = Network(spec, len(training.vocabulary), outputs, nnx.Rngs(options.seed))
    params = network.parameters()
    zeros: Any = {name: np.zeros(array.shape, np.float32) for name, array in params.items()}
    state = _State(params, jax.jit(optimiser.init)(params), zeros, jnp.zeros((), jnp.int32))
    advance_state = _compile_step(optimiser, spec, options)
    generator = np.random.default_rng([options.seed, 2])
    kept, best, note = params, 0, ""
    best_score: Score | None = None
    with progress_bar("Training", options.epochs * steps, show=progress) as advance:
        for epoch in range(1, options.epochs + 1):
            state, loss = _run_epoch(advance_state, state, training, (spec, options), generator, (advance, note))
            if not np.isfinite(loss):
                raise ModelError(
                    f"Training broke down in epoch {epoch}: the loss is {loss}; a learning rate below "
                    f"{options.learning_rate:g} or a clip below {options.clip:g} helps."
                )
            current = _averaged(state, options)
            note = f"epoch {epoch}/{options.epochs}  loss {loss:.4f}"
            if not len(validation):
                kept, best = current, epoch
            else:
                score = _score(current, validation, spec)
                note += f"  validation {score}"
                if best_score is None or score.order > best_score.order:
                    kept, best, best_score = current, epoch, score
            advance(0, note=note)
            if options.patience is not None and len(validation) and epoch - best >= options.patience:
                break
    return Fitted(kept, best_score, epoch, best)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["params", "moments", "mean", "count"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class _State:
    """What a training step changes: weights, the optimiser's moments, running mean of the weights, steps done."""

    params: Params
    moments: Any
    mean: Params
    count: jax.Array


def _optimiser(options: TrainOptions, steps: int) -> optax.GradientTransformation:
    rate: Any = options.learning_rate
    if options.schedule == "onecycle":
        rate = optax.cosine_onecycle_schedule(max(steps, 4), options.learning_rate)
    adam = optax.adamw(
        rate,
        weight_decay=options.weight_decay,
        mask=lambda params: {name: array.ndim > 1 for name, array in params.items()},
    )
    return optax.chain(optax.clip_by_global_norm(options.clip), adam)


def _compile_step(optimiser: optax.GradientTransformation, spec: ModelSpec, options: TrainOptions) -> Any:
    """Compiled ``(state, batch) -> (state, loss)``."""

    def run(state: _State, batch: _Fed) -> tuple[_State, jax.Array]:
        loss, gradient = jax.value_and_grad(_loss)(state.params, batch, spec, options)
        updates, moments = optimiser.update(gradient, state.moments, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = options.average
        mean = jax.tree.map(lambda m, p: decay * m + (1 - decay) * p, state.mean, params)
        return _State(params, moments, mean, state.count + 1), loss

    return jax.jit(run)


def _run_epoch(
    advance_state: Any,
    state: _State,
    training: Corpus,
    wanted: tuple[ModelSpec, TrainOptions],
    generator: np.random.Generator,
    shown: tuple[Advance, str],
) -> tuple[_State, float]:
    """One pass; returns the state after it and the mean loss."""
    spec, options = wanted
    advance, note = shown
    losses = []
    windows = _windows(training, spec, options, generator)
    for batch in shuffled(windows, options.batch_size, generator):
        state, loss = advance_state(state, _feed(batch, training, spec, options, generator))
        losses.append(loss)
        advance(1, note=note)
    return state, float(np.mean(np.asarray(losses, np.float64)))


def _windows(
    training: Corpus, spec: ModelSpec, options: TrainOptions, generator: np.random.Generator | None = None
) -> Windows:
    """What an epoch reads: the last words of each sequence, or, for a language model, all of it in windows."""
    if spec.task == "language_model":
        return cut(training, spec.max_length, predicted_only=True)
    return last_words(training, spec.max_length, options.crop, generator)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["inputs", "lengths", "targets", "kept", "kept_last"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class _Fed:
    """What a training step reads.

    Words of B padded sequences (T, B), words already dropped, or feature vectors (T, B, F); lengths (B,); targets:
    labels (B,), `UNLABELLED` where a column is empty, or next words (T, B), `NO_TARGET` where there is none; and which
    units stay: for each of `places(spec)`, those of its input (B, I) and those it feeds back (B, H), and those of the
    last layer's hidden state in front of the readout (B, D).
    """

    inputs: jax.Array
    lengths: jax.Array
    targets: jax.Array
    kept: tuple[tuple[jax.Array, jax.Array], ...]
    kept_last: jax.Array


def _feed(
    batch: Batch, training: Corpus, spec: ModelSpec, options: TrainOptions, generator: np.random.Generator
) -> _Fed:
    """Draw a batch's dropout masks (in NumPy: jax's generators take seconds to compile)."""
    columns = len(batch.lengths)

    def kept(rate: float, *shape: int) -> Any:
        return generator.random(shape, np.float32) >= rate

    inputs: Any = batch.inputs
    if spec.inputs == "tokens":
        inputs = np.where(kept(options.word_dropout, *inputs.shape), inputs, UNKNOWN)
    targets: Any = batch.next_words
    if targets is None:
        targets = np.full(columns, UNLABELLED, np.int32)
        targets[: len(batch.rows)] = training.labels[batch.rows]
    rate = options.variational_dropout
    masks = tuple(
        (kept(rate, columns, input_width(spec, layer)), kept(rate, columns, spec.hidden[layer]))
        for layer, _ in places(spec)
    )
    lengths: Any = batch.lengths
    return _Fed(inputs, lengths, targets, masks, kept(spec.dropout, columns, top_width(spec)))


def _loss(params: Params, batch: _Fed, spec: ModelSpec, options: TrainOptions) -> jax.Array:
    """Mean cross-entropy of a batch's labelled columns, or next words, under its dropout masks."""
    top = _training_states(params, batch, spec, options.variational_dropout)
    kept_last = _scaled(batch.kept_last, spec.dropout)
    if spec.task == "language_model":
        hidden = (top[0] * kept_last).reshape(-1, kept_last.shape[1])
        wanted = batch.targets.reshape(-1)
        kernel, bias = params["readout.kernel"], params["readout.bias"]
        loss = next_word_loss(options.label_smoothing, kernel, bias, hidden, wanted)
        return loss / jnp.maximum((wanted != NO_TARGET).sum(), 1)
    ends = [
        jnp.take_along_axis(h, jnp.maximum(batch.lengths - 1, 0)[None, :, None], axis=0)[0]
        if direction == "forward"
        else h[0]
        for h, direction in zip(top, directions(spec), strict=True)
    ]
    logits = readout(params, beside(ends) * kept_last)
    target = optax.smooth_labels(jax.nn.one_hot(batch.targets, logits.shape[1]), options.label_smoothing)
    weight = (batch.targets != UNLABELLED).astype(jnp.float32)
    return jnp.sum(optax.softmax_cross_entropy(logits, target) * weight) / jnp.maximum(weight.sum(), 1.0)


def _training_states(params: Params, batch: _Fed, spec: ModelSpec, rate: float) -> list[jax.Array]:
    """Hidden states (T, B, H) of the last layer, one array a direction, under a batch's masks."""
    rows = step_inputs(params, batch.inputs, spec)
    masks = iter(batch.kept)
    for layer in range(len(spec.hidden)):
        states = []
        for direction in directions(spec):
            weights = layer_weights(params, layer, direction)
            below, fed_back = (_scaled(mask, rate) for mask in next(masks))
            inputs = rows * below
            if direction == "backward":
                inputs = reverse(inputs, batch.lengths)
            projected = matmul(inputs, weights.pop("input_kernel")) + weights.pop("bias")
            hidden = recur(spec.cell, weights, projected, fed_back)
            states.append(reverse(hidden, batch.lengths) if direction == "backward" else hidden)
        rows = beside(states)
    return states


def _scaled(mask: jax.Array, rate: float) -> jax.Array:
    """Dropout factors of a mask: 0, or ``1 / (1 - rate)`` so that the mean is kept."""
    return mask.astype(jnp.float32) / (1 - rate)


def _averaged(state: _State, options: TrainOptions) -> Params:
    """Running mean of the weights, freed from its start at zero."""
    if options.average == 0:
        return state.params
    scale = np.float32(1 / (1 - options.average ** int(state.count)))
    return {name: jnp.asarray(np.asarray(mean) * scale) for name, mean in state.mean.items()}


def _score(params: Params, validation: Corpus, spec: ModelSpec) -> Score:
    """Judge by accuracy, then mean log-probability of the true class; a language model the other way round."""
    if spec.task == "language_model":
        found = score_next_words(params, validation, spec)
        perplexity = found.perplexity
        return Score((-perplexity, found.accuracy), found.accuracy, perplexity)
    probabilities = predict_batches(params, validation, spec)
    accuracy = float((probabilities.argmax(axis=1) == validation.labels).mean())
    true = probabilities[np.arange(len(validation)), validation.labels].astype(np.float64)
    return Score((accuracy, float(np.log(np.maximum(true, 1e-30)).mean())), accuracy)
