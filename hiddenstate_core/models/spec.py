"""`ModelSpec` and `TrainOptions`: what a recurrent network is made of, and how it is trained."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Literal

from hiddenstate_core.errors import InputError
from hiddenstate_core.options import Options

__all__ = ["ModelSpec", "TrainOptions"]


#: Fields of `ModelSpec` that came after the first checkpoints, with the values that those checkpoints mean.
_LATER = {"direction": "forward", "task": "classification", "inputs": "tokens", "features": 0}


@dataclasses.dataclass(frozen=True)
class ModelSpec(Options):
    """Architecture of a recurrent network: embedding, a stack of recurrent layers, dropout, dense readout.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn"}
        Kind of recurrent cell: long short-term memory, gated recurrent unit, or the vanilla unit with tanh.
    hidden : tuple of int
        Number of units of each layer (of each direction of it), from the input upwards; one entry a layer.
    embedding : int
        Length of a word's vector; not used where `inputs` is "features".
    dropout : float
        Share of the last hidden state's units that are silenced in front of the readout while training, in [0, 1).
    max_length : int or None
        The model reads the last `max_length` words of a sequence; None for all of them.
    readout : {"softmax"}
        How the last layer's hidden state becomes probabilities: a dense layer with one logit a class (a word of the
        vocabulary, for a language model) and a softmax, whatever their number (two classes have two logits).
    direction : {"forward", "backward", "both"}
        Whether every layer reads from the first step to the last, from the last to the first, or both, side by side;
        a layer above "both" reads the two hidden states of each step, forward first.
    task : {"classification", "language_model"}
        Whether the readout gives the probabilities of a corpus's classes or those of the next word.
    inputs : {"tokens", "features"}
        Whether a step is a word or a vector of numbers.
    features : int
        Length of a step's vector where `inputs` is "features", else 0.

    Raises
    ------
    InputError
        A value outside its range, or a language model that reads backward or reads vectors.
    """

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden: tuple[int, ...] = (100,)
    embedding: int = 32
    dropout: float = 0.5
    max_length: int | None = None
    readout: Literal["softmax"] = "softmax"
    direction: Literal["forward", "backward", "both"] = "forward"
    task: Literal["classification", "language_model"] = "classification"
    inputs: Literal["tokens", "features"] = "tokens"
    features: int = 0

    def __post_init__(self) -> None:
        _one_of("ModelSpec.cell", self.cell, ("lstm", "gru", "rnn"))
        _one_of("ModelSpec.readout", self.readout, ("softmax",))
        _one_of("ModelSpec.direction", self.direction, ("forward", "backward", "both"))
        _one_of("ModelSpec.task", self.task, ("classification", "language_model"))
        _one_of("ModelSpec.inputs", self.inputs, ("tokens", "features"))
        if not isinstance(self.hidden, tuple) or not self.hidden:
            raise InputError(f"ModelSpec.hidden must be a tuple with the units of each layer, not {self.hidden!r}.")
        for units in self.hidden:
            _whole("ModelSpec.hidden", units, 1)
        _whole("ModelSpec.embedding", self.embedding, 1)
        _number("ModelSpec.dropout", self.dropout, 0.0, 1.0)
        if self.max_length is not None:
            _whole("ModelSpec.max_length", self.max_length, 1)
        _whole("ModelSpec.features", self.features, 0)
        if (self.inputs == "features") != (self.features > 0):
            expected = "the length of a step's vector" if self.inputs == "features" else "0"
            raise InputError(
                f"ModelSpec.features must be {expected} where inputs is {self.inputs!r}, not {self.features}."
            )
        if self.task == "language_model" and self.direction != "forward":
            raise InputError(
                f"ModelSpec.direction must be 'forward' for a language model, not {self.direction!r}: "
                "reading backward, it would see the word that it is to predict."
            )
        if self.task == "language_model" and self.inputs != "tokens":
            raise InputError("ModelSpec.inputs must be 'tokens' for a language model: it predicts words.")

    @property
    def identity(self) -> str:
        """JSON text that fingerprints are taken over: all fields but the later ones that have their first meaning.

        So a checkpoint keeps its fingerprint when a release adds a field.
        """
        fields = {name: value for name, value in self.to_dict().items() if _LATER.get(name, ...) != value}
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@dataclasses.dataclass(frozen=True)
class TrainOptions(Options):
    """How a model is trained.

    Parameters
    ----------
    epochs : int
        Passes over the training sequences.
    batch_size : int
        Sequences a step.
    learning_rate : float
        Peak of the one-cycle schedule.
    schedule : {"onecycle", "constant"}
        One-cycle (Smith & Topin 2018): the rate rises over the first 30 % of all steps and falls as a cosine.
    word_dropout : float
        Share of words replaced by the unknown word while training, in [0, 1).
    variational_dropout : float
        Share of each layer's input units and of the units it feeds back that are silenced while training, the same
        ones at every step of a sequence (Gal & Ghahramani 2016), in [0, 1).
    crop : float
        Share of the sequences that are read, while training, up to a random word instead of the last one, in [0, 1];
        only those longer than ``ModelSpec.max_length`` can be.
    label_smoothing : float
        Share of the target spread evenly over all classes, in [0, 1).
    weight_decay : float
        Decoupled weight decay (Loshchilov & Hutter 2019) on matrices, not on biases.
    clip : float
        Largest Euclidean norm of a step's gradient.
    average : float
        Decay, a step, of the running mean of the weights that is evaluated and kept, in [0, 1); 0 for the last weights.
    validation : float
        Share of the training sequences held out to choose the epoch whose weights are kept, in [0, 0.5]; 0 for none
        (the last epoch's weights are kept).
    patience : int or None
        Training stops after this many epochs in a row without a better validation accuracy; None for never.
    seed : int
        Decides the initial weights, the validation split, the order of the sequences and every dropout mask.

    Raises
    ------
    InputError
        A value outside its range.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 5e-3
    schedule: Literal["onecycle", "constant"] = "onecycle"
    word_dropout: float = 0.1
    variational_dropout: float = 0.2
    crop: float = 0.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    average: float = 0.0
    validation: float = 0.1
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("TrainOptions.schedule", self.schedule, ("onecycle", "constant"))
        _whole("TrainOptions.epochs", self.epochs, 1)
        _whole("TrainOptions.batch_size", self.batch_size, 1)
        for name in ("word_dropout", "variational_dropout", "label_smoothing", "average"):
            _number(f"TrainOptions.{name}", getattr(self, name), 0.0, 1.0)
        _number("TrainOptions.crop", self.crop, 0.0, 1.0, closed=True)
        _number("TrainOptions.validation", self.validation, 0.0, 0.5, closed=True)
        _number("TrainOptions.weight_decay", self.weight_decay, 0.0, math.inf)
        for name in ("learning_rate", "clip"):
            _number(f"TrainOptions.{name}", getattr(self, name), 0.0, math.inf)
            if getattr(self, name) == 0:
                raise InputError(f"TrainOptions.{name} must be above 0.")
        if self.patience is not None:
            _whole("TrainOptions.patience", self.patience, 1)
        _whole("TrainOptions.seed", self.seed, 0)
        if self.seed >= 2**32:
            raise InputError(f"TrainOptions.seed must be below 2**32, not {self.seed}.")


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")


def _whole(name: str, value: object, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{name} must be a whole number of at least {low}, not {value!r}.")


def _number(name: str, value: object, low: float, high: float, *, closed: bool = False) -> None:
    """Check ``low <= value < high`` (or ``<= high`` where `closed`); NaN is refused."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    if fits:
        number = float(value)  # type: ignore[arg-type]
        fits = low <= number < high or (closed and number == high)
    if not fits:
        bracket = "]" if closed else ")"
        raise InputError(f"{name} must be a number in [{low:g}, {high:g}{bracket}, not {value!r}.")
