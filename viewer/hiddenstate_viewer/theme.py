"""The page's one type scale, one spacing unit and neutral greys, as CSS and as Bokeh figures."""

from __future__ import annotations

from typing import Any

__all__ = ["FONT", "INK", "LINE", "MUTED", "PAGE_CSS", "SMALL", "UNIT", "VIEW_CSS", "quiet_figure", "quieten"]

FONT = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, system-ui, sans-serif'
UNIT = 8
INK, MUTED, LINE, PAPER = "#1b1f24", "#5b636d", "#dfe3e8", "#f4f5f7"
#: Sizes of type in pixels: captions and axes, text, headings, key figures.
SMALL, TEXT, HEAD, FIGURE = 11, 13, 15, 22

#: Of the document: nothing but the ground on which the page lies.
PAGE_CSS = f"""
html, body {{ margin: 0; height: 100%; background: {PAPER}; overflow: hidden; font-family: {FONT}; }}
"""

#: Of every view; it goes into each one's shadow tree, so names stay short.
VIEW_CSS = f"""
:host {{ font-family: {FONT}; font-size: {TEXT}px; line-height: 1.45; color: {INK}; --u: {UNIT}px; }}
.bk-clearfix {{ height: 100%; }}
.hs-brand {{ font-size: {HEAD}px; font-weight: 650; letter-spacing: -.01em; white-space: nowrap; }}
.hs-brand span {{ font-weight: 400; color: {MUTED}; margin-left: 10px; font-size: {TEXT}px; }}
.hs-summary {{ color: {MUTED}; text-align: right; white-space: nowrap; }}
.hs-summary b {{ color: {INK}; font-weight: 600; }}
.hs-title {{ font-size: {TEXT}px; font-weight: 650; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.hs-title small {{ font-size: {SMALL}px; font-weight: 400; color: {MUTED}; margin-left: 6px; }}
.hs-caption {{ font-size: {SMALL}px; color: {MUTED}; }}
.hs-head .hs-caption {{ white-space: nowrap; flex: none; }}
.hs-tips {{ font-size: 12px; color: {MUTED}; border-top: 1px solid {LINE}; padding-top: 10px; margin: 0; }}
.hs-tips p {{ margin: 0 0 5px; }}
.hs-tips b {{ color: {INK}; font-weight: 600; }}
.hs-figures {{ display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: 12px; }}
.hs-figures div {{ font-size: {FIGURE}px; font-weight: 600; letter-spacing: -.02em; line-height: 1.2;
  font-variant-numeric: tabular-nums; }}
.hs-figures div small {{ display: block; font-size: {SMALL}px; font-weight: 400; color: {MUTED}; letter-spacing: 0; }}
.hs-head {{ display: flex; align-items: baseline; gap: 10px; }}
.hs-head .hs-id {{ font-size: {HEAD}px; font-weight: 650; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }}
.hs-verdict {{ display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: 12px;
  font-weight: 600; }}
.hs-verdict small {{ display: block; font-size: {SMALL}px; font-weight: 400; color: {MUTED}; }}
.hs-chip {{ display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px; }}
.hs-words {{ height: 100%; overflow-y: auto; box-sizing: border-box; line-height: 1.75; scrollbar-width: thin;
  overflow-wrap: anywhere; padding: 2px; }}
.hs-word {{ padding: 1px 3px; border-radius: 3px; cursor: default; unicode-bidi: isolate; white-space: pre-wrap; }}
.hs-word.hs-unknown {{ text-decoration: underline dotted; text-underline-offset: 3px; }}
.hs-word.hs-on {{ outline: 2px solid {INK}; outline-offset: 0; }}
.hs-readout {{ font-size: {SMALL}px; color: {MUTED}; height: 16px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; font-variant-numeric: tabular-nums; }}
.hs-readout b {{ color: {INK}; font-weight: 600; }}
.hs-legend {{ display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; font-size: {SMALL}px;
  color: {MUTED}; min-width: 0; }}
.hs-legend > span {{ white-space: nowrap; display: inline-flex; align-items: center; max-width: 16em;
  overflow: hidden; }}
.hs-scale {{ display: inline-block; width: 112px; height: 8px; border-radius: 2px; margin: 0 7px; }}
.hs-ring {{ display: inline-block; width: 7px; height: 7px; border-radius: 50%; border: 2px solid #98a0a9;
  margin-right: 6px; }}
.hs-ring.hs-end {{ border-color: #000; }}
.hs-empty {{ height: 100%; display: flex; flex-direction: column; align-items: center; justify-content: center;
  text-align: center; color: {MUTED}; gap: 8px; padding: 24px; box-sizing: border-box; }}
.hs-empty b {{ color: {INK}; font-size: {HEAD}px; font-weight: 600; }}
.hs-empty code {{ background: {PAPER}; border: 1px solid {LINE}; border-radius: 4px; padding: 3px 8px; color: {INK}; }}
"""

#: Of a card: white, thin border.
CARD = {"background": "#fff", "border": f"1px solid {LINE}", "border-radius": "8px", "box-sizing": "border-box"}


def quiet_figure(**options: Any) -> Any:
    """A Bokeh figure without ornament: no tools, no logo, no grid, thin grey axes, small type."""
    from bokeh.plotting import figure

    options = {"toolbar_location": None, "tools": "", "min_border": 0, "outline_line_color": None, **options}
    return quieten(figure(**options))


def quieten(plot: Any) -> Any:
    """Take the ornament from a Bokeh figure; returns it."""
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    plot.background_fill_color = None
    plot.border_fill_color = None
    plot.grid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_line_color = LINE
        axis.major_tick_line_color = None
        axis.minor_tick_line_color = None
        axis.major_label_text_font = FONT
        axis.major_label_text_font_size = f"{SMALL}px"
        axis.major_label_text_color = MUTED
        axis.axis_label_text_font = FONT
        axis.axis_label_text_font_size = f"{SMALL}px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = MUTED
    return plot
