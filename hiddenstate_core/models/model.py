"""`Model`: a trained classifier with the vocabulary, classes and tokenizer that it reads with."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNLABELLED, Corpus, Vocabulary
from hiddenstate_core.errors import CorpusError, ModelError
from hiddenstate_core.models.batches import batches
from hiddenstate_core.models.network import Network, Params, final_hidden, parameter_shapes, readout
from hiddenstate_core.models.spec import ModelSpec

__all__ = ["Evaluation", "Model", "load_model", "predict_batches"]

_BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model says about the sequences of a corpus.

    Parameters
    ----------
    accuracy : float
        Share of the labelled sequences whose most probable class is theirs, in [0, 1]; NaN where none is labelled.
    predicted : (S,) int32
        Most probable class.
    probabilities : (S, C) float32
        Class probabilities after the last word.
    correct : (S,) bool
        Whether `predicted` is the sequence's label (False where it is not labelled).
    """

    accuracy: float
    predicted: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    correct: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A recurrent classifier and all it needs to read.

    Parameters
    ----------
    spec : ModelSpec
        Architecture.
    vocabulary : Vocabulary
        Words that have a vector of their own.
    classes : tuple of str
        Class names, in the order of the probabilities.
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
        if not self.classes:
            raise ModelError("A model needs at least one class.")
        shapes = parameter_shapes(self.spec, len(self.vocabulary), len(self.classes))
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
        """The corpus as this model reads it: its vocabulary's ids, the last `max_length` words of each sequence."""
        return corpus.encode(self.vocabulary).last(self.spec.max_length)

    def encode_text(self, text: str) -> tuple[list[str], NDArray[np.int32]]:
        """Words of a text as this model's tokenizer cuts it, and their ids (T,) int32; the last `max_length` words."""
        if self.tokenizer:
            from hiddenstate_core.corpora.tokenizer import tokenize

            words = list(tokenize(self.tokenizer, text))
        else:
            words = text.split()
        if self.spec.max_length is not None:
            words = words[-self.spec.max_length :]
        return words, self.vocabulary.encode(words)

    def predict(self, corpus: Corpus) -> NDArray[np.float32]:
        """Class probabilities (S, C) float32 after the last word of each sequence of a corpus.

        An empty sequence gets the readout of the initial state, zeros.
        """
        return predict_batches(self.params, self.encode(corpus), self.spec)

    def evaluate(self, corpus: Corpus) -> Evaluation:
        """Predict every sequence of a corpus and compare with its labels.

        Raises
        ------
        CorpusError
            The corpus has other classes than the model.
        """
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
    """Class probabilities (S, C) of sequences that already carry the network's word ids."""
    result = np.zeros((len(corpus), params["readout.bias"].shape[0]), np.float32)
    for batch in batches(corpus, _BATCH):
        probabilities = np.asarray(_probabilities(params, batch.tokens, batch.lengths, spec))
        result[batch.rows] = probabilities[: len(batch.rows)]
    return result


@functools.partial(jax.jit, static_argnames="spec")
def _probabilities(params: Params, tokens: jax.Array, lengths: jax.Array, spec: ModelSpec) -> jax.Array:
    return jax.nn.softmax(readout(params, final_hidden(params, tokens, lengths, spec)))


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
