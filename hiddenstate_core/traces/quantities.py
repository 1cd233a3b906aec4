"""What a trace holds for every step: words, readout, states and gates, by layer and direction."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.additions import Additions
from hiddenstate_core.traces.facts import Facts
from hiddenstate_core.traces.lazy import LazyArray
from hiddenstate_core.traces.schema import layer_path
from hiddenstate_core.traces.steps import Positions, SequenceNumbers
from hiddenstate_core.traces.stored import StoredArray

if TYPE_CHECKING:
    import xarray

__all__ = ["Quantities"]


class Quantities(Additions):
    """The part of a `Trace` that has a row for every step."""

    attributes: dict[str, Any]

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """Kind of network, task, and what of it was recorded where."""

    @property
    @abc.abstractmethod
    def offsets(self) -> NDArray[np.int64]:
        """Where each sequence's rows begin and end, (S + 1,) int64."""

    @property
    def has_final_probabilities(self) -> bool:
        """Whether the prediction for each sequence was recorded."""
        return self.facts.task == "classification" and (self.path / "sequences/probabilities/zarr.json").exists()

    @abc.abstractmethod
    def require_same(self) -> None:
        """Refuse to go on reading where another store lies at the path by now."""

    @abc.abstractmethod
    def array(self, path: str) -> StoredArray:
        """Any array of the recording by its path in the store."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, by label; none where a language model was recorded."""
        return tuple(self.attributes["classes"])

    def summary(self) -> dict[str, Any]:
        """What identifies the recording, in plain values: path, corpus, task, fingerprint."""
        corpus = self.attributes.get("corpus")
        name = str(corpus.get("name", "")) if isinstance(corpus, dict) else ""
        return {"path": str(self.path), "corpus": name, "task": self.facts.task, "fingerprint": self.fingerprint}

    def tokens(self) -> StoredArray:
        """Ids in `vocabulary` of every word read, (N,) int32."""
        return self._checked(self.array("steps/tokens"), (self.steps,))

    def surface(self) -> StoredArray:
        """Ids in `lexicon` of every word as written, (N,) int32."""
        return self._checked(self.array("steps/surface"), (self.steps,))

    @property
    def positions(self) -> LazyArray:
        """Which step of its sequence each row is, counted from 0, (N,)."""
        if self.facts.every == 1:
            return Positions(self)
        return self._checked(self.array("steps/position"), (self.steps,))

    def probabilities(self) -> StoredArray:
        """Readout applied at every step, (N, C) float32.

        Raises
        ------
        InputError
            A language model's trace, or one without the readout at every step.
        """
        if self.facts.task != "classification" or not self.facts.probabilities:
            raise self._unpredicted()
        return self._checked(self.array("steps/probabilities"), (self.steps, len(self.classes)))

    def top_tokens(self) -> StoredArray:
        """Ids in `vocabulary` of the most probable next words at every step, the likeliest first, (N, k) int32."""
        return self._next_word("top_tokens", None)

    def top_probabilities(self) -> StoredArray:
        """Probabilities of the most probable next words at every step, (N, k) float32."""
        return self._next_word("top_probabilities", None)

    def target_probability(self) -> StoredArray:
        """Probability of the word that came next, (N,) float32; NaN at a sequence's last step."""
        return self._next_word("target_probability")

    def hidden(self, layer: int = -1, direction: str | None = None) -> StoredArray:
        """Hidden states of a layer, (N, H); -1 is the last layer, and the direction the network's first by default."""
        return self._recorded("hidden", layer, direction)

    def cell(self, layer: int = -1, direction: str | None = None) -> StoredArray:
        """Cell states of a layer, (N, H); see `hidden`."""
        return self._recorded("cell", layer, direction)

    def gate(self, name: str, layer: int = -1, direction: str | None = None) -> StoredArray:
        """Activations of a gate, (N, H), by its name.

        An LSTM has ``input``, ``forget``, ``candidate`` (tanh) and ``output``, a GRU ``reset``, ``update`` and
        ``candidate`` (tanh).
        """
        return self._recorded("gates", layer, direction, name)

    def unit(
        self, number: int, layer: int = -1, *, quantity: str = "hidden", direction: str | None = None
    ) -> NDArray[np.float32]:
        """One unit at every step, (N,) float32; reads the layer once, a few megabytes at a time.

        Parameters
        ----------
        number : int
            The unit; negative numbers count from the end.
        layer, direction : int, str
            As for `hidden`.
        quantity : str
            ``"hidden"``, ``"cell"`` or the name of a gate.
        """
        states = quantity in ("hidden", "cell")
        array = self._recorded(quantity if states else "gates", layer, direction, None if states else quantity)
        width = array.shape[1]
        if not -width <= number < width:
            raise InputError(f"Unit {number} does not exist; the layer has {width}, 0..{width - 1}.")
        return np.asarray(array[:, number], np.float32)

    def step_arrays(self, layer: int = -1, direction: str | None = None) -> dict[str, LazyArray]:
        """Every array with a row per step: the words, the readout, and what was recorded of one layer."""
        arrays: dict[str, LazyArray] = {"tokens": self.tokens(), "surface": self.surface()}
        if self.facts.probabilities and self.facts.task == "classification":
            arrays["probabilities"] = self.probabilities()
        elif self.facts.probabilities:
            arrays["top_tokens"], arrays["top_probabilities"] = self.top_tokens(), self.top_probabilities()
            arrays["target_probability"] = self.target_probability()
        for quantity in self.facts.recorded:
            for gate in self.facts.gates if quantity == "gates" else (None,):
                name = quantity if gate is None else f"gate_{gate}"
                arrays[name] = self._recorded(quantity, layer, direction, gate)
        return arrays

    def to_xarray(self, layer: int = -1, direction: str | None = None) -> xarray.Dataset:
        """Every array with a row per step as one dataset with named axes, read only when it is computed with.

        Variables are ``tokens``, ``surface``, ``probabilities`` (or a language model's), and of the layer ``hidden``,
        ``cell`` and ``gate_<name>``, as far as they were recorded; coordinates of the steps are ``sequence`` and
        ``position``.

        Raises
        ------
        MissingExtraError
            xarray is not installed.
        """
        from hiddenstate_core.traces.interop import dataset

        return dataset(self.step_arrays(layer, direction), self.summary())

    def coordinates_of(self, dimensions: tuple[str, ...], rows: int) -> dict[str, tuple[str, Any]]:
        """Coordinates of the axes of an array of the store; see `LazyArray.coordinates`."""
        found: dict[str, tuple[str, Any]] = {}
        if "step" in dimensions and rows == self.steps:
            found["sequence"] = ("step", SequenceNumbers(self))
            found["position"] = ("step", self.positions)
        if "class" in dimensions and self.classes:
            found["class"] = ("class", np.array(self.classes))
        return found

    # -- inside -----------------------------------------------------------------------------------------------------

    def _recorded(self, quantity: str, layer: int, direction: str | None, gate: str | None = None) -> StoredArray:
        facts = self.facts
        number = facts.layer(self.path, layer)
        way = facts.way(self.path, direction)
        name = facts.gate(self.path, gate) if gate is not None else facts.quantity(self.path, quantity)
        return self._checked(self.array(layer_path(number, name, way)), (self.steps, facts.sizes[number]))

    def _next_word(self, name: str, *columns: None) -> StoredArray:
        if self.facts.task != "language_model":
            raise InputError(
                f"{self.path} is a classifier's recording and has no {name}; it has the classes' probabilities()."
            )
        if not self.facts.probabilities:
            raise InputError(
                f"{self.path} was recorded without probabilities and has no {name}; it has {self.facts.describe()}."
            )
        return self._checked(self.array(f"steps/{name}"), (self.steps, *columns))

    def _unpredicted(self) -> InputError:
        if self.facts.task == "language_model":
            return InputError(
                f"{self.path} has no class probabilities, since its model is a language model; it has top_tokens(), "
                f"top_probabilities(), target_probability() and {self.facts.describe()}."
                if self.facts.probabilities
                else f"{self.path} has no class probabilities, since its model is a language model; it has "
                f"{self.facts.describe()}."
            )
        beside = " and the final_probabilities of each sequence" if self.has_final_probabilities else ""
        return InputError(
            f"{self.path} was recorded without class probabilities at every step; it has {self.facts.describe()}"
            f"{beside}. Record it again with probabilities."
        )
