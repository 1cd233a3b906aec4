"""`Record`: which of a network's quantities a trace keeps, in which type, at which steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from hiddenstate_core.errors import InputError
from hiddenstate_core.options import Options

__all__ = ["CELL_GATES", "CELL_STATES", "Record", "as_record"]

#: Gates of each kind of cell, in the order of its kernels' columns.
CELL_GATES: dict[str, tuple[str, ...]] = {
    "lstm": ("input", "forget", "candidate", "output"),
    "gru": ("reset", "update", "candidate"),
    "rnn": (),
}
#: States that each kind of cell carries from step to step.
CELL_STATES: dict[str, tuple[str, ...]] = {"lstm": ("hidden", "cell"), "gru": ("hidden",), "rnn": ("hidden",)}

_NAMES = {"lstm": "An LSTM", "gru": "A GRU", "rnn": "A vanilla RNN"}
_DTYPES = ("float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Record(Options):
    """What a recording keeps; nothing else is computed or stored.

    Parameters
    ----------
    hidden : bool
        Hidden states.
    cell : bool
        Cell states; only an LSTM has them.
    gates : tuple of str
        Gates whose activations are kept, by name: ``input``, ``forget``, ``candidate``, ``output`` of an LSTM,
        ``reset``, ``update``, ``candidate`` of a GRU; a vanilla RNN has none.
    layers : tuple of int or None
        Layers that are kept, counted from the input upwards from 0, or from the last one downwards from -1; None for
        all of them.
    probabilities : bool
        Whether the readout is applied at every step: class probabilities of a classifier; of a language model the `top`
        most probable next words and the probability of the word that does come next.
    top : int
        How many next words a language model's trace keeps.
    dtype : {"float32", "float16", "bfloat16"}
        Type in which states and gates are stored. They are always computed in float32.
    every : int
        Steps ``every - 1, 2 every - 1, ...`` of each sequence are kept, and always its last one.

    Raises
    ------
    InputError
        A value outside its range.
    """

    hidden: bool = True
    cell: bool = False
    gates: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None
    probabilities: bool = True
    top: int = 10
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    every: int = 1

    def __post_init__(self) -> None:
        for name in ("hidden", "cell", "probabilities"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"Record.{name} must be True or False, not {getattr(self, name)!r}.")
        if not isinstance(self.gates, tuple):
            raise InputError(f"Record.gates must be a tuple of names, such as ('forget',), not {self.gates!r}.")
        if self.dtype not in _DTYPES:
            raise InputError(f"Record.dtype must be one of {', '.join(_DTYPES)}, not {self.dtype!r}.")
        for name, value in (("every", self.every), ("top", self.top)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"Record.{name} must be a whole number of at least 1, not {value!r}.")
        if self.layers is not None and (not isinstance(self.layers, tuple) or not self.layers):
            raise InputError(f"Record.layers must be a tuple such as (0, -1), or None for all; not {self.layers!r}.")
        for layer in self.layers or ():
            if not isinstance(layer, int) or isinstance(layer, bool):
                raise InputError(f"Record.layers must hold whole numbers, not {layer!r}.")
        if not (self.hidden or self.cell or self.gates or self.probabilities):
            raise InputError("A Record that keeps nothing was given; ask for hidden, cell, gates or probabilities.")

    @property
    def quantities(self) -> tuple[str, ...]:
        """Kinds of arrays that each layer gets: some of ``hidden``, ``cell``, ``gates``."""
        wanted = (("hidden", self.hidden), ("cell", self.cell), ("gates", bool(self.gates)))
        return tuple(name for name, kept in wanted if kept)

    def resolve(self, cell: str, layers: int) -> Record:
        """The same for a network of `layers` layers of `cell` cells: layers by number, gates in the cell's order.

        Raises
        ------
        InputError
            A quantity that the cell does not have, or a layer that the network does not have.
        """
        gates = CELL_GATES[cell]
        if self.cell and "cell" not in CELL_STATES[cell]:
            raise InputError(f"{_NAMES[cell]} has no 'cell' to record; it has {_listed(cell)}.")
        for gate in self.gates:
            if gate not in gates:
                raise InputError(f"{_NAMES[cell]} has no gate {gate!r} to record; it has {_listed(cell)}.")
        chosen = tuple(range(layers)) if self.layers is None else self.layers
        for layer in chosen:
            if not -layers <= layer < layers:
                raise InputError(f"Layer {layer} cannot be recorded: the network has {layers}, 0..{layers - 1}.")
        return self.replace(
            gates=tuple(gate for gate in gates if gate in self.gates),
            layers=tuple(sorted({layer % layers for layer in chosen})),
        )


def as_record(wanted: Record | Sequence[str] | str | None, cell: str) -> Record:
    """A `Record` from whatever `extract` was given.

    Parameters
    ----------
    wanted : Record, sequence of str, str or None
        Names are ``hidden``, ``cell``, ``gates`` (all that the cell has) or single gates; None is everything.
    cell : str
        Kind of cell.

    Raises
    ------
    InputError
        A name that the cell does not have.
    """
    if isinstance(wanted, Record):
        return wanted
    if wanted is None:
        return Record(cell="cell" in CELL_STATES[cell], gates=CELL_GATES[cell])
    if not isinstance(wanted, (str, Sequence)) or not all(isinstance(name, str) for name in wanted):
        raise InputError(f"What to record is a Record or names such as 'hidden', not {wanted!r}.")
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if not names:
        raise InputError(f"Nothing to record was named; choose some of {_listed(cell)}.")
    known = {"hidden", *CELL_STATES[cell], *CELL_GATES[cell], *(("gates",) if CELL_GATES[cell] else ())}
    for name in names:
        if name not in known:
            raise InputError(f"{_NAMES[cell]} has no {name!r} to record; it has {_listed(cell)}.")
    gates = CELL_GATES[cell] if "gates" in names else tuple(n for n in names if n in CELL_GATES[cell])
    return Record(hidden="hidden" in names, cell="cell" in names, gates=gates)


def _listed(cell: str) -> str:
    gates = CELL_GATES[cell]
    return ", ".join(CELL_STATES[cell]) + (f", gates ({', '.join(gates)})" if gates else "")
