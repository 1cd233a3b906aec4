"""`Model`: a trained classifier or language model with the vocabulary, classes and tokenizer it reads with."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED, Corpus, Vocabulary
from hiddenstate_core.errors import CorpusError, InputError, ModelError
from hiddenstate_core.models.batches import batches, whole
from hiddenstate_core.models.language import score_next_words
from hiddenstate_core.models.network import Network, Params, final_hidden, parameter_shapes, readout
from hiddenstate_core.models.spec import ModelSpec

__all__ = ["Evaluation", "Model", "check_inputs", "load_model", "predict_batches"]

_BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model says about the sequences of a corpus.

    A classifier is judged by sequence (S of them, C classes), a language model by step: N of them, each predicting
    the word after it.

    Parameters
    ----------
    accuracy : float
        Share of the labelled sequences whose most probable class is theirs, or of the steps whose most probable next
        word came, in [0, 1]; NaN where none is labelled or no word comes next.
    predicted : (S,) or (N,) int32
        Most probable class, or most probable next word (an id in the model's vocabulary).
    probabilities : (S, C) or (N,) float32
        Class probabilities after the whole sequence was read, or the probability of the word that came next, NaN at
        a sequence's last step.
    correct : (S,) or (N,) bool
        Whether `predicted` is the sequence's label (False where it is not labelled), or the word that came next.
    perplexity : float
        Of a language model: the exponential of the mean negative log-probability (nats) of the words that came next,
        the unknown word counted as a word; NaN where no word comes next, and for a classifier.
    """

    accuracy: float
    predicted: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    correct: NDArray[np.bool_]
    perplexity: float = math.nan


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A recurrent classifier or language model and all it needs to read.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    vocabulary : Vocabulary
        Words that have a vector of their own; the unknown word alone where feature vectors are read.
    classes : tuple of str
        Class names, in the order of the probabilities; none for a language model, whose probabilities are those of
        the vocabulary's words.
    params : dict of str to float32 array
        Weights by name; see `hiddenstate_core.models.network`.
    tokenizer : str
        JSON of the Hugging Face tokenizer that cuts texts for this model, or empty for cutting at white space.
    metadata : dict
        How the model came about (JSON-ready): seed, test accuracy, options, versions.

    Raises
    ------
    ModelError
        Weights that are missing, of another shape than the architecture's, not float32 or not finite.
    """

    spec: ModelSpec
    vocabulary: Vocabulary
    classes: tuple[str, ...]
    params: Params
    tokenizer: str = dataclasses.field(default="", repr=False)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        language = self.spec.task == "language_model"
        if not self.classes and not language:
            raise ModelError("A model needs at least one class.")
        if self.classes and language:
            raise ModelError(
                f"A language model has no classes, since it predicts words; {_names(self.classes)} came with it."
            )
        if len(set(self.classes)) < len(self.classes):
            raise ModelError(f"Each class needs a name of its own; these are {_names(self.classes)}.")
        shapes = parameter_shapes(self.spec, len(self.vocabulary), self.outputs)
        if set(shapes) != set(self.params):
            missing, extra = sorted(set(shapes) - set(self.params)), sorted(set(self.params) - set(shapes))
            what = f"lack {missing[0]!r}" if missing else f"have an array {extra[0]!r} that the architecture has not"
            raise ModelError(f"The weights {what}; the architecture is {self.spec}.")
        for name, shape in shapes.items():
            array = self.params[name]
            if tuple(array.shape) != shape or array.dtype != np.float32:
                raise ModelError(
                    f"Weight {name!r} must be float32 of shape {shape} for {len(self.vocabulary)} words, "
                    f"{len(self.classes)} classes and {self.spec}, not {array.dtype} of shape {tuple(array.shape)}."
                )
            if not np.isfinite(np.asarray(array)).all():
                raise ModelError(f"Weight {name!r} holds a value that is not finite.")
        object.__setattr__(self, "params", {name: jnp.asarray(self.params[name]) for name in shapes})

    def __repr__(self) -> str:
        return f"Model({self.spec}, {len(self.vocabulary)} words, {len(self.classes)} classes)"

    @property
    def outputs(self) -> int:
        """Number of probabilities: of classes, or, for a language model, of the vocabulary's words."""
        return len(self.vocabulary) if self.spec.task == "language_model" else len(self.classes)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over architecture, vocabulary and weights, as hexadecimal text."""
        digest = hashlib.sha256(f"{self.spec.identity}\n{self.vocabulary.fingerprint}\n".encode())
        for name in sorted(self.params):
            array = np.ascontiguousarray(np.asarray(self.params[name]), "<f4")
            digest.update(f"{name}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def network(self) -> Network:
        """The weights as a Flax NNX module."""
        return Network.from_parameters(self.spec, self.params)

    def encode(self, corpus: Corpus) -> Corpus:
        """The corpus as this model reads it: its vocabulary's ids, the last `max_length` steps of each sequence.

        Raises
        ------
        CorpusError
            A corpus of words for a model that reads feature vectors (of another length), or the reverse.
        """
        check_inputs(self.spec, corpus)
        return corpus.encode(self.vocabulary).last(self.spec.max_length)

    def encode_text(self, text: str) -> tuple[list[str], NDArray[np.int32]]:
        """Words of a text as this model's tokenizer cuts it, and their ids (T,) int32; the last `max_length` words.

        Raises
        ------
        InputError
            The model reads feature vectors.
        """
        if self.spec.inputs == "features":
            raise InputError(
                f"This model reads vectors of {self.spec.features} numbers, not texts; "
                "make a corpus with corpus_from_features."
            )
        if self.tokenizer:
            from hiddenstate_core.corpora.tokenizer import tokenize

            words = list(tokenize(self.tokenizer, text))
        else:
            words = text.split()
        if self.spec.max_length is not None:
            words = words[-self.spec.max_length :]
        return words, self.vocabulary.encode(words)

    def predict(self, corpus: Corpus) -> NDArray[np.float32]:
        """Probabilities (S, C) float32 after all of each sequence of a corpus was read.

        Class probabilities, or, of a language model, those of the word that would come next: (S, V), so select few
        sequences where the vocabulary is large. An empty sequence gets the readout of the initial state, zeros.
        """
        return predict_batches(self.params, self.encode(corpus), self.spec)

    def evaluate(self, corpus: Corpus) -> Evaluation:
        """Predict every sequence of a corpus and compare with its labels, or every word with the one that came.

        A language model with a `max_length` reads the whole of a longer sequence, in windows of that length that each
        begin with the initial state.

        Raises
        ------
        CorpusError
            The corpus has other classes than the model, or steps of another kind.
        """
        if self.spec.task == "language_model":
            check_inputs(self.spec, corpus)
            found = score_next_words(self.params, corpus.encode(self.vocabulary), self.spec)
            chances = np.exp(found.log_probability)
            return Evaluation(found.accuracy, found.predicted, chances, found.correct, found.perplexity)
        if corpus.classes != self.classes:
            raise CorpusError(
                f"Corpus {corpus.name!r} has the classes {_names(corpus.classes)}, the model {_names(self.classes)}; "
                "evaluate needs the same ones in the same order."
            )
        probabilities = self.predict(corpus)
        predicted = probabilities.argmax(axis=1).astype(np.int32)
        correct = predicted == corpus.labels
        labelled = corpus.labels != UNLABELLED
        accuracy = float(correct[labelled].mean()) if labelled.any() else float("nan")
        return Evaluation(accuracy, predicted, probabilities, correct)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint folder (see `docs/checkpoint.md`); an older one of that name is replaced whole."""
        from hiddenstate_core.models.checkpoint import save_checkpoint

        save_checkpoint(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a checkpoint folder.

        Raises
        ------
        ModelError
            A part is missing, damaged, of another format version, or does not fit the others.
        """
        from hiddenstate_core.models.checkpoint import load_checkpoint

        return load_checkpoint(path)


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a checkpoint folder written by `Model.save`; see `Model.load`."""
    return Model.load(path)


def predict_batches(params: Params, corpus: Corpus, spec: ModelSpec) -> NDArray[np.float32]:
    """Probabilities (S, C) of sequences that already carry the network's word ids."""
    result = np.zeros((len(corpus), params["readout.bias"].shape[0]), np.float32)
    for batch in batches(whole(corpus), _BATCH):
        probabilities = np.asarray(_probabilities(params, batch.inputs, batch.lengths, spec))
        result[batch.rows] = probabilities[: len(batch.rows)]
    return result


@functools.partial(jax.jit, static_argnames="spec")
def _probabilities(params: Params, inputs: jax.Array, lengths: jax.Array, spec: ModelSpec) -> jax.Array:
    return jax.nn.softmax(readout(params, final_hidden(params, inputs, lengths, spec)))


def check_inputs(spec: ModelSpec, corpus: Corpus) -> None:
    """Refuse a corpus whose steps are not what the architecture reads, with a `CorpusError`."""
    found = 0 if corpus.features is None else corpus.features.shape[1]
    if found == spec.features:
        return
    reads = f"vectors of {spec.features} numbers (inputs='features')" if spec.features else "words (inputs='tokens')"
    holds = f"vectors of {found} numbers" if found else "words"
    raise CorpusError(f"Corpus {corpus.name!r} holds {holds}, but the model reads {reads}.")


def _names(classes: tuple[str, ...]) -> str:
    return (", ".join(classes[:5]) or "none") + (", ..." if len(classes) > 5 else "")
