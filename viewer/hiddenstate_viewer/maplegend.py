"""What the colours of the maps stand for."""

from __future__ import annotations

from html import escape

from hiddenstate_core.analysis import available
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.points import Source, points_of
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import Look
from hiddenstate_viewer.words import Scale, legend_html

__all__ = ["MapLegend"]

#: Mean paths that are named.
_MEANS = 4


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
    typed, parted : bool
        Whether the path of a text of one's own is, and a cross where it parts from the original.

    Attributes
    ----------
    at_once : bool
        Whether `html` reads nothing of the size of the data.
    """

    def __init__(
        self,
        data: ViewData,
        selection: Selection,
        look: Look,
        *,
        trajectory: bool,
        typed: bool = False,
        parted: bool = False,
    ) -> None:
        self._data, self._look, self._trajectory = data, look, trajectory
        self._key, self._projection = selection.colour_by, selection.projection
        self._source = Source.of(selection)
        known = {choice.key: choice.label for choice in available(data.trace, selection.layer, selection.direction)}
        kind, _, number = self._key.rpartition(":")
        self._label = known.get(self._key) or f"{known.get(kind, kind)} {number}"
        self._more = [] if self._projection is None else self._marks(selection, typed, parted)
        self.at_once = self._key in ("prediction", "class") or self._projection is None

    def html(self) -> str:
        """Its markup."""
        palette = self._data.colours(self._look)
        if self.at_once or self._projection is None:
            return legend_html(palette, self._key, trajectory=self._trajectory, more=self._more)
        shared = points_of(self._data)
        colouring = shared.colouring(self._projection, self._source)
        if colouring.kind == "categorical":
            own = shared.palette(self._source, colouring, self._look)
            return legend_html(own, self._key, trajectory=self._trajectory, more=self._more)
        table = shared.table(self._source, colouring, self._look)
        scale = Scale(self._label, table, *colouring.limits)
        return legend_html(palette, self._key, trajectory=self._trajectory, scale=scale, more=self._more)

    def _marks(self, selection: Selection, typed: bool, parted: bool) -> list[str]:
        """Entries for what is drawn beside states and trajectory."""
        options, names = selection.options, self._data.trace.classes
        found = []
        if options.show_starts:
            found.append(_entry('<i class="hs-ring hs-thin"></i>', "first states"))
        if options.show_lasts:
            found.append(_entry('<i class="hs-ring hs-end hs-thin"></i>', "last states"))
        if typed:
            found.append(_entry('<i class="hs-way"></i>', "your text"))
        if typed and parted:
            found.append(_entry('<i class="hs-cross">×</i>', "where it parts"))
        hues = hex_of(self._data.colours(self._look).hues)
        for label in selection.flows[:_MEANS]:
            name = f"mean path of {names[label]}"
            found.append(_entry(f'<i class="hs-mean" style="background:{hues[label]}"></i>', name))
        if len(selection.flows) > _MEANS:
            found.append(f"<span>and {len(selection.flows) - _MEANS} more</span>")
        return found


def _entry(mark: str, name: str) -> str:
    return f'<span>{mark}<span title="{escape(name)}">{escape(name)}</span></span>'
