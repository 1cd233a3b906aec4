"""`Facts`: what a store says of its recording, by the root attributes of either version of the format."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiddenstate_core.errors import InputError, StoreError
from hiddenstate_core.traces.record import CELL_GATES

__all__ = ["Facts"]

_DIRECTIONS = {"forward": ("forward",), "backward": ("backward",), "both": ("forward", "backward")}
_TASKS = ("classification", "language_model")
_DTYPES = ("float32", "float16", "bfloat16")
_CELLS = {"lstm": "an LSTM", "gru": "a GRU", "rnn": "a vanilla RNN"}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What was recorded of which kind of network.

    Parameters
    ----------
    schema : int
        Version of the format.
    cell : str
        ``"lstm"``, ``"gru"``, ``"rnn"``, or another writer's name.
    direction : str
        ``"forward"``, ``"backward"`` or ``"both"``.
    task : str
        ``"classification"`` or ``"language_model"``.
    sizes : tuple of int
        Units of each layer of the network.
    layers : tuple of int
        Numbers of the layers that were recorded.
    recorded : tuple of str
        Quantities of each: some of ``hidden``, ``cell``, ``gates``.
    gates : tuple of str
        Gates that were recorded.
    probabilities : bool
        Whether the readout was recorded at every step.
    every : int
        Steps ``every - 1, 2 every - 1, ...`` of each sequence have rows, and its last one.
    dtype : str
        Type of the states in the store.
    """

    schema: int
    cell: str
    direction: str
    task: str
    sizes: tuple[int, ...]
    layers: tuple[int, ...]
    recorded: tuple[str, ...]
    gates: tuple[str, ...]
    probabilities: bool
    every: int
    dtype: str

    @property
    def directions(self) -> tuple[str, ...]:
        """Directions in which the network reads."""
        return _DIRECTIONS[self.direction]

    @classmethod
    def of(cls, store: Path, attributes: Mapping[str, Any]) -> Facts:
        """Read and check them; the attributes have passed `check_attributes`.

        Raises
        ------
        StoreError
            One is missing or of another kind.
        """
        sizes = tuple(int(n) for n in attributes["layers"])
        recorded = tuple(attributes["recorded"])
        if attributes["schema"] == 1:
            gates = CELL_GATES["lstm"] if "gates" in recorded else ()
            everything = tuple(range(len(sizes)))
            return cls(1, "lstm", "forward", "classification", sizes, everything, recorded, gates, True, 1, "float32")

        def refuse(name: str, value: Any, what: str) -> StoreError:
            return StoreError(f"{store}: the attribute {name!r} must be {what}, not {value!r:.60}.")

        def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
            if value not in choices:
                raise refuse(name, value, f"one of {', '.join(choices)}")
            return str(value)

        record = attributes.get("record")
        if not isinstance(record, dict):
            raise refuse("record", record, "an object that says what was recorded")
        layers, gates = record.get("layers"), record.get("gates", [])
        fits = isinstance(layers, list) and all(type(n) is int and 0 <= n < len(sizes) for n in layers)
        if not fits or not isinstance(layers, list) or layers != sorted(set(layers)):
            raise refuse("record.layers", layers, f"a rising list of numbers of the {len(sizes)} layers")
        if not isinstance(gates, list) or not all(isinstance(gate, str) for gate in gates):
            raise refuse("record.gates", gates, "a list of names")
        every = record.get("every", 1)
        if type(every) is not int or every < 1:
            raise refuse("record.every", every, "a whole number of at least 1")
        if not isinstance(record.get("probabilities", True), bool):
            raise refuse("record.probabilities", record["probabilities"], "true or false")
        if not isinstance(attributes.get("cell"), str):
            raise refuse("cell", attributes.get("cell"), "the name of a kind of cell")
        return cls(
            schema=2,
            cell=str(attributes["cell"]),
            direction=one_of("direction", attributes.get("direction"), tuple(_DIRECTIONS)),
            task=one_of("task", attributes.get("task"), _TASKS),
            sizes=sizes,
            layers=tuple(layers),
            recorded=recorded,
            gates=tuple(gates) if "gates" in recorded else (),
            probabilities=record.get("probabilities", True),
            every=every,
            dtype=one_of("record.dtype", record.get("dtype", "float32"), _DTYPES),
        )

    def describe(self) -> str:
        """Quantities, layers and directions that the store has, for a message."""
        if not self.recorded:
            return "no states"
        gates = f" ({', '.join(self.gates)})" if self.gates else ""
        quantities = ", ".join(name + gates if name == "gates" else name for name in self.recorded)
        layers = f"layer{'s' if len(self.layers) > 1 else ''} {', '.join(map(str, self.layers))}"
        return f"{quantities} of {layers}, {' and '.join(self.directions)}"

    def layer(self, store: Path, number: int) -> int:
        """A layer's number from 0 on.

        Raises
        ------
        InputError
            A layer that the network does not have, or that was not recorded.
        """
        count = len(self.sizes)
        try:
            number = operator.index(number)
        except TypeError as error:
            raise InputError(f"A layer is chosen by its number, not {number!r:.60}.") from error
        if not -count <= number < count:
            raise InputError(f"Layer {number} does not exist; the model has {count}, 0..{count - 1}.")
        if number % count not in self.layers:
            raise InputError(f"Layer {number % count} was not recorded in {store}; it has {self.describe()}.")
        return number % count

    def way(self, store: Path, direction: str | None) -> str:
        """A direction, the network's first where none was named.

        Raises
        ------
        InputError
            A direction in which the network does not read.
        """
        if direction is None:
            return self.directions[0]
        if direction not in _DIRECTIONS["both"]:
            raise InputError(f"A direction is 'forward' or 'backward', not {direction!r:.60}.")
        if direction not in self.directions:
            raise InputError(
                f"The model of {store} does not read {direction}s, so no such states were recorded; it has "
                f"{self.describe()}."
            )
        return direction

    def gate(self, store: Path, name: str) -> str:
        """Path of a gate below its layer's direction.

        Raises
        ------
        InputError
            A gate that the cell does not have, or that was not recorded.
        """
        if name not in self.gates:
            if self.cell in CELL_GATES and name not in CELL_GATES[self.cell]:
                known = ", ".join(CELL_GATES[self.cell]) or "none"
                raise InputError(f"There is no gate {name!r}; {_CELLS[self.cell]} has {known}.")
            raise InputError(f"The gate {name!r} was not recorded in {store}; it has {self.describe()}.")
        return f"gates/{name}"

    def quantity(self, store: Path, name: str) -> str:
        """A recorded quantity's name.

        Raises
        ------
        InputError
            It was not recorded.
        """
        if name not in self.recorded:
            raise InputError(f"{name!r} was not recorded in {store}; it has {self.describe()}.")
        return name
