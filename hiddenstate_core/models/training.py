"""Training of a recurrent network on a corpus: which sequences, and what is written down about it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import platform
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED, Corpus
from hiddenstate_core.errors import CorpusError, require_kind
from hiddenstate_core.models.fitting import fit
from hiddenstate_core.models.model import Model, check_inputs
from hiddenstate_core.models.spec import ModelSpec, TrainOptions

__all__ = ["train"]


def train(
    corpus: Corpus, spec: ModelSpec | None = None, options: TrainOptions | None = None, *, progress: bool = True
) -> Model:
    """Train a classifier or a language model on a corpus's training split and evaluate it on its test split.

    Parameters
    ----------
    corpus : Corpus
        Sequences of words, or of feature vectors where ``spec.inputs`` is "features". Its ``train`` split is trained
        on, or, where it has no such split, all but ``test``. A classifier leaves out unlabelled and empty sequences; a
        language model needs no labels, and leaves out sequences of fewer than two words. The vocabulary, tokenizer
        and, for a classifier, classes become the model's.
    spec : ModelSpec, optional
        Architecture; by default a classifier of one LSTM layer of 100 units.
    options : TrainOptions, optional
        How to train.
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Model
        With the weights of the epoch that was best on the validation split (by accuracy; a language model's by
        perplexity), and in ``metadata``: ``seed``, ``test_accuracy`` (None without a labelled test split; a language
        model's is the share of next words that were the most probable), ``test_sequences``, ``validation_accuracy``,
        ``epochs_run``, ``best_epoch``, ``train_options``, ``spec``, ``corpus``, ``versions`` and ``seconds``; of a
        language model also ``test_perplexity`` and ``validation_perplexity``.
        The same seed on the same machine gives the same weights (XLA rounds by the number of cores and release).

    Raises
    ------
    CorpusError
        Fewer than two classes among the sequences to train on, no sequence of two words for a language model, or
        words where the spec reads feature vectors (of another length, or the reverse).
    ModelError
        The loss became infinite or NaN.
    """
    spec = ModelSpec() if spec is None else spec
    options = TrainOptions() if options is None else options
    for value, kind, what in (
        (corpus, Corpus, "The corpus"), (spec, ModelSpec, "The architecture"), (options, TrainOptions, "The options"),
    ):  # fmt: skip
        require_kind(value, kind, what)
    check_inputs(spec, corpus)
    began = time.perf_counter()
    language = spec.task == "language_model"
    training, validation = _split_sequences(corpus, options) if language else _split_classes(corpus, spec, options)
    fitted = fit(training, validation, spec, options, progress)
    model = Model(spec, corpus.vocabulary, () if language else corpus.classes, fitted.params, corpus.tokenizer)
    score = fitted.score
    metadata: dict[str, Any] = {
        "seed": options.seed,
        **_tested(model, corpus),
        "validation_accuracy": score.accuracy if score is not None else None,
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
    if language:
        metadata["validation_perplexity"] = score.perplexity if score is not None else None
    return dataclasses.replace(model, metadata=metadata)


def _tested(model: Model, corpus: Corpus) -> dict[str, Any]:
    """What the model reaches on the corpus's test split."""
    test = corpus.test if "test" in corpus.splits else None
    if model.spec.task == "language_model":
        usable = int((test.lengths > 1).sum()) if test is not None else 0
        found = model.evaluate(test) if test is not None and usable else None
        return {
            "test_accuracy": found.accuracy if found is not None else None,
            "test_perplexity": found.perplexity if found is not None else None,
            "test_sequences": usable,
        }
    labelled = int((test.labels != UNLABELLED).sum()) if test is not None else 0
    return {
        "test_accuracy": model.evaluate(test).accuracy if test is not None and labelled else None,
        "test_sequences": labelled,
    }


def _training_split(corpus: Corpus) -> NDArray[np.bool_]:
    """Which sequences may be trained on: the train split, or all but the test split."""
    if "train" in corpus.splits:
        return np.asarray(corpus.split == corpus.splits.index("train"))
    if "test" in corpus.splits:
        return np.asarray(corpus.split != corpus.splits.index("test"))
    return np.ones(len(corpus), np.bool_)


def _split_classes(corpus: Corpus, spec: ModelSpec, options: TrainOptions) -> tuple[Corpus, Corpus]:
    """Sequences to train on, and to validate on as the model reads them; each class gives its share."""
    rows = np.flatnonzero(_training_split(corpus) & (corpus.labels != UNLABELLED) & (corpus.lengths > 0))
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


def _split_sequences(corpus: Corpus, options: TrainOptions) -> tuple[Corpus, Corpus]:
    """Sequences for a language model to train on and to validate on."""
    rows = np.flatnonzero(_training_split(corpus) & (corpus.lengths > 1))
    if not len(rows):
        raise CorpusError(
            f"Training a language model needs sequences of two words or more, but corpus {corpus.name!r} has none "
            "to train on."
        )
    rows = np.random.default_rng([options.seed, 1]).permutation(rows)
    held = min(math.ceil(options.validation * len(rows)), len(rows) - 1)
    return corpus.select(np.sort(rows[held:])), corpus.select(np.sort(rows[:held]))


def _versions() -> dict[str, str]:
    names = ("hiddenstate", "jax", "flax", "optax", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
