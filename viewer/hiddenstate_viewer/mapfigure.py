"""A map's figure: its glyphs, its tools, and the sources by which browser and server talk about it."""

from __future__ import annotations

import functools
import uuid
from importlib import resources
from typing import Any

from bokeh.events import MouseLeave, MouseMove, SelectionGeometry, Tap
from bokeh.models import (
    BoxSelectTool,
    Button,
    CustomJS,
    ImageRGBA,
    LassoSelectTool,
    PanTool,
    RadioButtonGroup,
    Range1d,
    Scatter,
    WheelZoomTool,
)

from hiddenstate_viewer.layers import Layers
from hiddenstate_viewer.theme import FONT, Look, quiet_figure

__all__ = ["MapFigure", "map_script"]


@functools.cache
def map_script() -> str:
    """JavaScript of the maps; harmless to run twice."""
    return resources.files("hiddenstate_viewer").joinpath("map.js").read_text("utf-8")


class MapFigure:
    """Bokeh models of one map.

    Parameters
    ----------
    name : str
        Of the figure.
    look : Look
        Neutral colours.
    point_size : float
        Pixels.

    Attributes
    ----------
    plot : bokeh.plotting.figure
    tools : panel.viewable.Viewable
        Pan, box, lasso, whole map.
    image, points, rings : ColumnDataSource
        What is drawn.
    request : ColumnDataSource
        What the browser asks for: name, value and number of the request.
    reply, tell, go : ColumnDataSource
        Answered by: a picture has come; what lies under the pointer; a window to show, and the extent of the map.
    """

    def __init__(self, name: str, look: Look, point_size: float) -> None:
        self.name, self.look = name, look
        self.id = f"{name}-{uuid.uuid4().hex[:8]}"
        self._above: list[Any] = []
        self.plot = self._drawn(point_size)
        self._connect()

    def keep_clear(self, *sources: Any) -> None:
        """Show no tooltip of the map over what these sources hold (columns x, y or x0, y0, x1, y1)."""
        self._above += sources
        self._start.args = {**self._start.args, "above": list(self._above)}

    def fade(self, behind: float | None, points: Any) -> None:
        """Opacity of the picture and of the points; None for their own."""
        self._image.glyph.global_alpha = 1.0 if behind is None else behind
        self._points.glyph.fill_alpha = {"field": "alpha"} if points is None else points

    def resize(self, point_size: float) -> None:
        """Draw single points of another size, in pixels."""
        self._points.glyph.size = point_size
        self._rings.glyph.size = point_size + 4

    # -- inside -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def tools(self) -> Any:
        """Pan, box, lasso and whole map, by name, in reach of the keyboard."""
        import panel as pn

        from hiddenstate_viewer.controls import CONTROL_CSS

        names = list(self._tools)
        group = RadioButtonGroup(
            labels=["Pan", "Box", "Lasso"], active=0, margin=0, stylesheets=[CONTROL_CSS], name=f"{self.name}-tools"
        )
        call = f"window.hiddenstateMaps?.tool({self.id!r}, {names!r}[cb_obj.active])"
        group.js_on_change("active", CustomJS(code=call))
        whole = Button(label="Whole map", margin=0, stylesheets=[CONTROL_CSS], name=f"{self.name}-whole")
        whole.js_on_click(CustomJS(code=f"window.hiddenstateMaps?.whole({self.id!r})"))
        return pn.Row(
            pn.pane.Bokeh(group, margin=0), pn.pane.Bokeh(whole, margin=0), margin=0,
            styles={"gap": "8px", "align-items": "center", "flex-wrap": "wrap"}, css_classes=["hs-map-tools"],
        )  # fmt: skip

    def _drawn(self, size: float) -> Any:
        wheel = WheelZoomTool()
        overlay = {"fill_color": self.look.ink, "fill_alpha": 0.06, "line_color": self.look.ink, "line_dash": [4, 3]}
        box, lasso = BoxSelectTool(renderers=[]), LassoSelectTool(renderers=[], continuous=False)
        for tool in (box, lasso):
            tool.overlay.update(line_alpha=0.8, line_width=1, **overlay)
        self._tools = {"pan": PanTool(), "box": box, "lasso": lasso}
        plot = quiet_figure(
            self.look,
            x_axis_type=None,
            y_axis_type=None,
            x_range=Range1d(-1, 1, syncable=False),
            y_range=Range1d(-1, 1, syncable=False),
            sizing_mode="stretch_both",
            tools=[*self._tools.values(), wheel],
            name=self.name,
            lod_threshold=None,
            min_height=200,
            min_width=200,
        )
        plot.toolbar.active_scroll = wheel
        plot.toolbar.active_drag = self._tools["pan"]
        plot.background_fill_color = self.look.card
        layers = Layers(plot)
        source, at = layers.source, {"x": "x", "y": "y"}
        self.image = source("image", "x", "y", "dw", "dh")
        self.points = source("x", "y", "packed", "alpha")
        self.rings = source("x", "y", "colour")
        self.hover = source("x", "y")
        self.request = source("name", "value", "serial", syncable=True)
        self.reply = source("serial", "count")
        self.tell = source("serial", "lines", "x", "y")
        self.go = source("extent", "window", "count")
        self._image = layers.draw(self.image, ImageRGBA(image="image", **at, dw="dw", dh="dh"))
        self._points = layers.draw(
            self.points, Scatter(**at, size=size, fill_color="packed", fill_alpha="alpha", line_color=None)
        )
        self._rings = layers.draw(
            self.rings, Scatter(**at, size=size + 4, fill_color=None, line_color="colour", line_width=1.4)
        )
        ring = Scatter(**at, size=11, fill_color=None, line_color=self.look.ink, line_width=2)
        layers.draw(self.hover, ring, above=True)
        return plot

    def _connect(self) -> None:
        look, here = self.look, f"window.hiddenstateMaps?.{{}}({self.id!r}"

        def run(call: str, arguments: str = "") -> CustomJS:
            return CustomJS(code=here.format(call) + arguments + ")")

        self._start = CustomJS(
            args={
                "plot": self.plot, "image": self.image, "points": self.points, "request": self.request,
                "reply": self.reply, "tell": self.tell, "go": self.go, "hover": self.hover, "tools": self._tools,
                "above": self._above,
            },
            code=map_script()
            + f"""
            window.hiddenstateMaps.register({self.id!r}, {{
              plot, image, points, request, reply, tell, go, hover, tools, above, font: {FONT!r},
              card: "{look.card}", ink: "{look.ink}", line: "{look.line}",
            }})""",
        )  # fmt: skip
        for name in ("inner_width", "inner_height"):
            self.plot.js_on_change(name, self._start)
        for axis in (self.plot.x_range, self.plot.y_range):
            for name in ("start", "end"):
                axis.js_on_change(name, run("moved"))
        self.plot.js_on_event(MouseMove, run("over", ", cb_obj.x, cb_obj.y"))
        self.plot.js_on_event(MouseLeave, run("leave"))
        self.plot.js_on_event(Tap, run("tap", ", cb_obj.x, cb_obj.y"))
        self.plot.js_on_event(SelectionGeometry, run("stroke", ", cb_obj.geometry, cb_obj.final"))
