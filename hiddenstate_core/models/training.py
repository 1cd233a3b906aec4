"""Training of a recurrent classifier: Adam, one-cycle, variational dropout, early stopping on a validation split."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import platform
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNKNOWN, UNLABELLED, Corpus
from hiddenstate_core.errors import CorpusError, ModelError
from hiddenstate_core.models.batches import Batch, last_words, shuffled
from hiddenstate_core.models.cells import matmul
from hiddenstate_core.models.model import Model, predict_batches
from hiddenstate_core.models.network import Network, Params, layer_weights, readout
from hiddenstate_core.models.recurrence import recur
from hiddenstate_core.models.spec import ModelSpec, TrainOptions
from hiddenstate_core.progress import Advance, progress_bar

__all__ = ["train"]


def train(
    corpus: Corpus, spec: ModelSpec | None = None, options: TrainOptions | None = None, *, progress: bool = True
) -> Model:
    """Train a classifier on a corpus's training split and evaluate it on its test split.

    Parameters
    ----------
    corpus : Corpus
        Labelled sequences. Its ``train`` split is trained on, or, where it has no such split, all but ``test``.
        Unlabelled and empty sequences are left out; the vocabulary, classes and tokenizer become the model's.
    spec : ModelSpec, optional
        Architecture; by default one LSTM layer of 100 units.
    options : TrainOptions, optional
        How to train.
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Model
        With the weights of the epoch that was best on the validation split, and in ``metadata``: ``seed``,
        ``test_accuracy`` (None without a labelled test split), ``test_sequences``, ``validation_accuracy``,
        ``epochs_run``, ``best_epoch``, ``train_options``, ``spec``, ``corpus``, ``versions`` and ``seconds``.
        The same seed on the same machine gives the same weights (XLA rounds by the number of cores and release).

    Raises
    ------
    CorpusError
        Fewer than two classes among the sequences to train on.
    ModelError
        The loss became infinite or NaN.
    """
    spec, options = spec or ModelSpec(), options or TrainOptions()
    began = time.perf_counter()
    training, validation = _split(corpus, spec, options)
    fitted = _fit(training, validation, spec, options, progress)
    model = Model(spec, corpus.vocabulary, corpus.classes, fitted.params, corpus.tokenizer)
    test = corpus.test if "test" in corpus.splits else None
    labelled = int((test.labels != UNLABELLED).sum()) if test is not None else 0
    metadata = {
        "seed": options.seed,
        "test_accuracy": model.evaluate(test).accuracy if test is not None and labelled else None,
        "test_sequences": labelled,
        "validation_accuracy": fitted.accuracy,
        "validation_sequences": len(validation),
        "training_sequences": len(training),
        "epochs_run": fitted.epochs,
        "best_epoch": fitted.best,
        "train_options": options.to_dict(),
        "spec": spec.to_dict(),
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "versions": _versions(),
        "seconds": round(time.perf_counter() - began, 3),
    }
    return dataclasses.replace(model, metadata=metadata)


def _split(corpus: Corpus, spec: ModelSpec, options: TrainOptions) -> tuple[Corpus, Corpus]:
    """Sequences to train on, and to validate on as the model reads them; each class gives its share."""
    split = corpus.split
    usable = (corpus.labels != UNLABELLED) & (corpus.lengths > 0)
    if "train" in corpus.splits:
        usable &= split == corpus.splits.index("train")
    elif "test" in corpus.splits:
        usable &= split != corpus.splits.index("test")
    rows = np.flatnonzero(usable)
    present = np.unique(corpus.labels[rows])
    if len(present) < 2:
        raise CorpusError(
            f"Training needs sequences of two classes or more, but corpus {corpus.name!r} has {len(rows)} labelled "
            f"training sequences of {len(present)} class{'' if len(present) == 1 else 'es'}."
        )
    generator = np.random.default_rng([options.seed, 1])
    held: list[NDArray[np.int64]] = []
    for label in present:
        members = generator.permutation(rows[corpus.labels[rows] == label])
        # At least one of each class is left to train on.
        held.append(members[: min(round(options.validation * len(members)), len(members) - 1)])
    held_out = np.sort(np.concatenate(held))
    kept = np.setdiff1d(rows, held_out)
    return corpus.select(kept), corpus.select(held_out).last(spec.max_length)


@dataclasses.dataclass(frozen=True)
class _Fitted:
    params: Params
    accuracy: float | None
    epochs: int
    best: int


def _fit(training: Corpus, validation: Corpus, spec: ModelSpec, options: TrainOptions, progress: bool) -> _Fitted:
    steps = -(-len(training) // options.batch_size)
    optimiser = _optimiser(options, steps * options.epochs)
    network = Network(spec, len(training.vocabulary), len(training.classes), nnx.Rngs(options.seed))
    params = network.parameters()
    zeros: Any = {name: np.zeros(array.shape, np.float32) for name, array in params.items()}
    state = _State(params, jax.jit(optimiser.init)(params), zeros, jnp.zeros((), jnp.int32))
    advance_state = _compile_step(optimiser, spec, options)
    generator = np.random.default_rng([options.seed, 2])
    kept, best, best_score, note = params, 0, (-1.0, 0.0), ""
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
                note += f"  validation {100 * score[0]:.1f} %"
                if score > best_score:
                    kept, best, best_score = current, epoch, score
            advance(0, note=note)
            if options.patience is not None and len(validation) and epoch - best >= options.patience:
                break
    return _Fitted(kept, best_score[0] if len(validation) else None, epoch, best)


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
    windows = last_words(training, spec.max_length, options.crop, generator)
    for batch in shuffled(windows, options.batch_size, generator):
        state, loss = advance_state(state, _feed(batch, training, spec, options, generator))
        losses.append(loss)
        advance(1, note=note)
    return state, float(np.mean(np.asarray(losses, np.float64)))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["tokens", "lengths", "labels", "kept", "kept_last"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True)
class _Fed:
    """What a training step reads.

    Words of B padded sequences (T, B), words already dropped; lengths and labels (B,), `UNLABELLED` where a column is
    empty; and which units stay: for each layer, those of its input (B, I) and those it feeds back (B, H), and those
    of the last hidden state in front of the readout (B, H).
    """

    tokens: jax.Array
    lengths: jax.Array
    labels: jax.Array
    kept: tuple[tuple[jax.Array, jax.Array], ...]
    kept_last: jax.Array


def _feed(
    batch: Batch, training: Corpus, spec: ModelSpec, options: TrainOptions, generator: np.random.Generator
) -> _Fed:
    """Draw a batch's dropout masks (in NumPy: jax's generators take seconds to compile)."""
    columns = len(batch.lengths)
    labels = np.full(columns, UNLABELLED, np.int32)
    labels[: len(batch.rows)] = training.labels[batch.rows]

    def kept(rate: float, *shape: int) -> Any:
        return generator.random(shape, np.float32) >= rate

    tokens = np.where(kept(options.word_dropout, *batch.tokens.shape), batch.tokens, UNKNOWN)
    below = (spec.embedding, *spec.hidden[:-1])
    rate = options.variational_dropout
    masks = tuple((kept(rate, columns, b), kept(rate, columns, h)) for b, h in zip(below, spec.hidden, strict=True))
    return _Fed(tokens, batch.lengths, labels, masks, kept(spec.dropout, columns, spec.hidden[-1]))  # type: ignore[arg-type]


def _loss(params: Params, batch: _Fed, spec: ModelSpec, options: TrainOptions) -> jax.Array:
    """Mean cross-entropy of a batch's labelled columns under its dropout masks."""
    inputs = jnp.take(params["embedding"], batch.tokens, axis=0, mode="clip")
    for layer in range(len(spec.hidden)):
        weights = layer_weights(params, layer)
        below, fed_back = (_scaled(mask, options.variational_dropout) for mask in batch.kept[layer])
        inputs = recur(
            weights["recurrent_kernel"], matmul(inputs * below, weights["input_kernel"]) + weights["bias"], fed_back
        )
    last = jnp.take_along_axis(inputs, jnp.maximum(batch.lengths - 1, 0)[None, :, None], axis=0)[0]
    logits = readout(params, last * _scaled(batch.kept_last, spec.dropout))
    target = optax.smooth_labels(jax.nn.one_hot(batch.labels, logits.shape[1]), options.label_smoothing)
    weight = (batch.labels != UNLABELLED).astype(jnp.float32)
    return jnp.sum(optax.softmax_cross_entropy(logits, target) * weight) / jnp.maximum(weight.sum(), 1.0)


def _scaled(mask: jax.Array, rate: float) -> jax.Array:
    """Dropout factors of a mask: 0, or ``1 / (1 - rate)`` so that the mean is kept."""
    return mask.astype(jnp.float32) / (1 - rate)


def _averaged(state: _State, options: TrainOptions) -> Params:
    """Running mean of the weights, freed from its start at zero."""
    if options.average == 0:
        return state.params
    scale = np.float32(1 / (1 - options.average ** int(state.count)))
    return {name: jnp.asarray(np.asarray(mean) * scale) for name, mean in state.mean.items()}


def _score(params: Params, validation: Corpus, spec: ModelSpec) -> tuple[float, float]:
    """Accuracy and mean log-probability of the true class; the second decides between equal accuracies."""
    probabilities = predict_batches(params, validation, spec)
    accuracy = float((probabilities.argmax(axis=1) == validation.labels).mean())
    true = probabilities[np.arange(len(validation)), validation.labels].astype(np.float64)
    return accuracy, float(np.log(np.maximum(true, 1e-30)).mean())


def _versions() -> dict[str, str]:
    names = ("hiddenstate", "jax", "flax", "optax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
