"""Layers of a figure with as few Bokeh models as will do: server and browser take time for each."""

from __future__ import annotations

from typing import Any

from bokeh.models import AllIndices, CDSView, ColumnDataSource, Selection, UnionRenderers

__all__ = ["Layers"]


class Layers:
    """Adds glyphs to one figure.

    Bokeh would give every source a selection and a policy of its own, every layer a filter, and every glyph copies for
    when it is muted or not selected. No glyph of ours is selected by Bokeh (see `Selection` of this package), so all
    layers of a figure share these, and there are no copies.

    Parameters
    ----------
    plot : bokeh.plotting.figure
        What is drawn on.
    """

    def __init__(self, plot: Any) -> None:
        self.plot = plot
        self._nothing, self._policy, self._all = Selection(), UnionRenderers(), AllIndices()

    def source(self, *names: str, syncable: bool = False) -> ColumnDataSource:
        """A source with these columns, empty; what the browser does to it stays there unless `syncable`."""
        columns: dict[str, list[Any]] = {name: [] for name in names}
        return ColumnDataSource(columns, selected=self._nothing, selection_policy=self._policy, syncable=syncable)

    def draw(self, source: ColumnDataSource, glyph: Any, *, above: bool = False) -> Any:
        """Draw a glyph of `bokeh.models` for each row of a source; returns its renderer.

        What is `above` lies on a canvas of its own: where only it changes, the figure below is not painted anew.
        """
        level = "overlay" if above else "glyph"
        return self.plot.add_glyph(source, glyph, view=CDSView(filter=self._all), level=level)
