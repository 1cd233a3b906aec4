"""What the colours of the maps stand for."""

from __future__ import annotations

from hiddenstate_core.analysis import available
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.points import Source, points_of
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import Look
from hiddenstate_viewer.words import Scale, legend_html

__all__ = ["MapLegend"]


class MapLegend:
    """The legend for what a selection colours by, as it is now.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What colours the states.
    look : Look
        Light or dark.
    trajectory : bool
        Whether a trajectory is drawn.

    Attributes
    ----------
    at_once : bool
        Whether `html` reads nothing of the size of the data.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look, *, trajectory: bool) -> None:
        self._data, self._look, self._trajectory = data, look, trajectory
        self._key, self._projection = selection.colour_by, selection.projection
        self._source = Source.of(selection)
        known = {choice.key: choice.label for choice in available(data.trace, selection.layer, selection.direction)}
        kind, _, number = self._key.rpartition(":")
        self._label = known.get(self._key) or f"{known.get(kind, kind)} {number}"
        self.at_once = self._key in ("prediction", "class") or self._projection is None

    def html(self) -> str:
        """Its markup."""
        palette = self._data.colours(self._look)
        if self.at_once or self._projection is None:
            return legend_html(palette, self._key, trajectory=self._trajectory)
        shared = points_of(self._data)
        colouring = shared.colouring(self._projection, self._source)
        if colouring.kind == "categorical":
            own = shared.palette(self._source, colouring, self._look)
            return legend_html(own, self._key, trajectory=self._trajectory)
        table = shared.table(self._source, colouring, self._look)
        scale = Scale(self._label, table, *colouring.limits)
        return legend_html(palette, self._key, trajectory=self._trajectory, scale=scale)
