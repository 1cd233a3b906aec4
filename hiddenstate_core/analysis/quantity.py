"""Names of what can be recorded of a layer, and the arrays behind them: ``hidden``, ``cell``, ``gate:<name>``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hiddenstate_core.errors import InputError
from hiddenstate_core.traces.stored import StoredArray
from hiddenstate_core.traces.trace import Trace

__all__ = ["StateSource", "check_quantity", "distance_name", "recorded_states"]


@dataclasses.dataclass(frozen=True)
class StateSource:
    """Which states of a trace something is made of.

    Parameters
    ----------
    layer : int
        Layer, counted from 0.
    direction : str
        ``"forward"`` or ``"backward"``.
    quantity : str
        ``"hidden"``, ``"cell"`` or ``"gate:<name>"``.
    """

    layer: int
    direction: str
    quantity: str

    @classmethod
    def of(cls, trace: Trace, attributes: Mapping[str, Any], what: str) -> StateSource:
        """What the attributes of a projection say it was made of; the last layer's hidden states where they do not.

        Raises
        ------
        InputError
            Attributes that are not those of a layer, direction and quantity of the trace.
        """
        layer = attributes.get("layer", trace.facts.layers[-1] if trace.facts.layers else -1)
        quantity = attributes.get("quantity", "hidden")
        direction = attributes.get("direction")
        if not isinstance(layer, int) or isinstance(layer, bool):
            raise InputError(f"{what} says that it is of layer {layer!r:.60}, which is no number; project again.")
        if not isinstance(quantity, str) or not (direction is None or isinstance(direction, str)):
            raise InputError(
                f"{what} says that it is of the quantity {quantity!r:.60}, direction {direction!r:.60}, which are no "
                "names; project again."
            )
        check_quantity(quantity)
        number = trace.facts.layer(trace.path, layer)
        return cls(number, trace.facts.way(trace.path, direction), quantity)

    def array(self, trace: Trace) -> StoredArray:
        """The states, (N, H)."""
        return recorded_states(trace, self.quantity, self.layer, self.direction)


def check_quantity(quantity: str) -> str | None:
    """The gate that a quantity names; None for states.

    Raises
    ------
    InputError
        Another name than ``hidden``, ``cell`` or ``gate:<name>``.
    """
    if quantity in ("hidden", "cell"):
        return None
    kind, _, gate = quantity.partition(":") if isinstance(quantity, str) else ("", "", "")
    if kind != "gate" or not gate:
        raise InputError(
            f"A quantity is 'hidden', 'cell' or 'gate:<name>', such as 'gate:forget', not {quantity!r:.60}."
        )
    return gate


def distance_name(quantity: str) -> str:
    """What `step_distances` calls a quantity: a gate by its name alone."""
    return check_quantity(quantity) or quantity


def recorded_states(trace: Trace, quantity: str, layer: int = -1, direction: str | None = None) -> StoredArray:
    """The array of a quantity, (N, H).

    Raises
    ------
    InputError
        Another name, or a quantity, layer or direction that was not recorded.
    """
    gate = check_quantity(quantity)
    if gate is not None:
        return trace.gate(gate, layer, direction)
    return trace.hidden(layer, direction) if quantity == "hidden" else trace.cell(layer, direction)
