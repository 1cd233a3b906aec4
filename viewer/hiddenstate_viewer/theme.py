"""The page's one type scale, one spacing unit and neutral greys, light and dark, as CSS and as Bokeh figures."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = [
    "CARD_CSS", "CUT_CSS", "DARK", "FONT", "HOVER_CSS", "INK", "INK_CSS", "LIGHT", "LINE", "LINE_CSS", "LOOKS",
    "MORE_CSS", "MUTED", "MUTED_CSS", "PAGE_CSS", "PAPER_CSS", "SMALL", "UNIT", "VIEW_CSS", "Look", "quiet_figure",
    "quieten",
]  # fmt: skip

FONT = 'Inter, "Segoe UI", Roboto, "Helvetica Neue", Arial, system-ui, sans-serif'
UNIT = 8


@dataclasses.dataclass(frozen=True)
class Look:
    """Neutral colours of a theme; a page is built with one.

    Parameters
    ----------
    name : str
        ``"light"`` or ``"dark"``.
    ink, muted, line : str
        Text; captions and axes; hairlines.
    paper, card, hover : str
        Ground of the page; of a card; of what the pointer is over.
    chosen : str
        Ground of a chosen row.
    start, end : str
        Rings at the first and last state of a trajectory.
    """

    name: str
    ink: str
    muted: str
    line: str
    paper: str
    card: str
    hover: str
    chosen: str
    start: str
    end: str

    @property
    def dark(self) -> bool:
        """Whether text is light on a dark ground."""
        return self.name == "dark"

    @property
    def css(self) -> str:
        """The colours as CSS custom properties, which reach into every shadow tree."""
        names = ("ink", "muted", "line", "paper", "card", "hover", "chosen")
        return "".join(f"--hs-{name}: {getattr(self, name)}; " for name in names) + f"color-scheme: {self.name};"


LIGHT = Look(
    "light", ink="#1b1f24", muted="#5b636d", line="#dfe3e8", paper="#f4f5f7", card="#ffffff", hover="#f4f6f8",
    chosen="#e6eaee", start="#98a0a9", end="#000000",
)  # fmt: skip
DARK = Look(
    "dark", ink="#e8ebee", muted="#a3abb5", line="#353b43", paper="#121519", card="#1b1f25", hover="#252a31",
    chosen="#323943", start="#7d858f", end="#ffffff",
)  # fmt: skip
LOOKS = {look.name: look for look in (LIGHT, DARK)}
INK, MUTED, LINE = LIGHT.ink, LIGHT.muted, LIGHT.line
#: The colours as CSS: those of the page's theme, or light ones where no page says otherwise (in a notebook).
INK_CSS, MUTED_CSS, LINE_CSS, PAPER_CSS, CARD_CSS, HOVER_CSS = (
    f"var(--hs-{name}, {getattr(LIGHT, name)})" for name in ("ink", "muted", "line", "paper", "card", "hover")
)
#: Sizes of type in pixels: captions and axes, text, headings, key figures.
SMALL, TEXT, HEAD, FIGURE = 11, 13, 15, 22

#: Of the document: nothing but the ground on which the page lies.
PAGE_CSS = f"""
html, body {{ margin: 0; height: 100%; background: {PAPER_CSS}; overflow: hidden; font-family: {FONT}; }}
.hs-lost {{ position: fixed; top: {UNIT}px; left: 50%; transform: translateX(-50%); z-index: 1001; padding: 8px 14px;
  box-sizing: border-box; width: max-content; max-width: min(640px, 100vw - 16px); border-radius: 8px;
  font-size: {TEXT}px; background: {INK_CSS}; color: {CARD_CSS}; box-shadow: 0 2px 8px rgba(0,0,0,.18); }}
body:has(.hs-lost) .hs-page {{ opacity: .55; pointer-events: none; }}
"""

#: Of a name in two halves, which lose their inner ends where room is short, whole letters each. The first may break
#: after any letter, and shows one line. The second loses its beginning to an ellipsis, as text from right to left does,
#: though its letters stay in their order: what is put before and after it (LRI, PDI) sets them apart.
CUT_CSS = r"""
.hs-cut { display: flex; min-width: 0; white-space: pre; }
.hs-cut > bdi { flex: 0 1 auto; min-width: 0; overflow: hidden; text-overflow: ellipsis; }
.hs-cut > bdi:not(:only-child):first-child { max-height: 1lh; white-space: pre-wrap; line-break: anywhere; }
.hs-cut > bdi + bdi { direction: rtl; text-align: left; }
.hs-cut > bdi + bdi::before { content: "\2066"; }
.hs-cut > bdi + bdi::after { content: "\2069"; }
"""
#: Of what scrolls: a shade at its lower edge while there is more below.
MORE_CSS = f"""linear-gradient(transparent, {CARD_CSS} 60%) 0 100% / 100% 28px no-repeat local,
  linear-gradient(transparent, color-mix(in srgb, {INK_CSS} 34%, transparent)) 0 100% / 100% 9px no-repeat scroll"""

#: Of every view; it goes into each one's shadow tree, so names stay short.
VIEW_CSS = f"""
:host {{ font-family: {FONT}; font-size: {TEXT}px; line-height: 1.45; color: {INK_CSS}; --u: {UNIT}px; }}
.bk-clearfix {{ height: 100%; }}
:host > div {{ visibility: inherit !important; }}
.hs-brand {{ font-size: {HEAD}px; font-weight: 650; letter-spacing: -.01em; white-space: nowrap; }}
.hs-brand span {{ font-weight: 400; color: {MUTED_CSS}; margin-left: 10px; font-size: {TEXT}px; }}
.hs-summary {{ color: {MUTED_CSS}; text-align: right; white-space: nowrap; }}
.hs-summary b {{ color: {INK_CSS}; font-weight: 600; }}
.hs-title {{ font-size: {TEXT}px; font-weight: 650; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.hs-title small {{ font-size: {SMALL}px; font-weight: 400; color: {MUTED_CSS}; margin-left: 6px; }}
.hs-caption {{ font-size: {SMALL}px; color: {MUTED_CSS}; }}
.hs-map-name {{ position: absolute; top: 2px; left: 2px; padding: 1px 4px; font-size: {SMALL}px; color: {MUTED_CSS};
  background: color-mix(in srgb, {CARD_CSS} 82%, transparent); }}
.hs-head .hs-caption {{ white-space: nowrap; flex: none; }}
.hs-tips {{ font-size: 12px; color: {MUTED_CSS}; border-top: 1px solid {LINE_CSS}; padding-top: 10px; margin: 0; }}
.hs-tips p {{ margin: 0 0 5px; }}
.hs-tips b {{ color: {INK_CSS}; font-weight: 600; }}
.hs-figures {{ display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: 12px; }}
.hs-figures div {{ font-size: {FIGURE}px; font-weight: 600; letter-spacing: -.02em; line-height: 1.2;
  font-variant-numeric: tabular-nums; }}
.hs-figures div small {{ display: block; font-size: {SMALL}px; font-weight: 400; color: {MUTED_CSS};
  letter-spacing: 0; }}
.hs-head {{ display: flex; align-items: baseline; gap: 10px; }}
.hs-head .hs-id {{ font-size: {HEAD}px; font-weight: 650; min-width: 0; }}
{CUT_CSS}
.hs-verdict {{ display: grid; grid-template-columns: repeat(4, auto); justify-content: space-between; gap: 12px;
  font-weight: 600; }}
.hs-verdict small {{ display: block; font-size: {SMALL}px; font-weight: 400; color: {MUTED_CSS}; }}
.hs-chip {{ display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px; }}
.hs-words {{ height: 100%; height: calc(round(down, 100% - 10px, 1.75em) + 10px); overflow-y: auto;
  box-sizing: border-box; line-height: 1.75; scrollbar-width: thin; overflow-wrap: anywhere; padding: 2px 2px 8px;
  background: {MORE_CSS}; }}
.hs-word {{ padding: 1px 3px; border-radius: 3px; cursor: default; unicode-bidi: isolate; white-space: pre-wrap; }}
.hs-word.hs-unknown {{ text-decoration: underline dotted; text-underline-offset: 3px; }}
.hs-word.hs-on {{ outline: 2px solid {INK_CSS}; outline-offset: 0; }}
.hs-player {{ display: flex; align-items: center; gap: 10px; font-size: {SMALL}px; color: {MUTED_CSS}; }}
.hs-play {{ font: inherit; width: 54px; padding: 3px 0; border-radius: 6px; border: 1px solid {LINE_CSS};
  cursor: pointer; background: {CARD_CSS}; color: {INK_CSS}; }}
.hs-play:hover {{ background: {HOVER_CSS}; }}
.hs-play:focus-visible, .hs-scrub:focus-visible {{ outline: 2px solid {INK_CSS}; outline-offset: 1px; }}
.hs-scrub {{ flex: 1; min-width: 0; accent-color: {INK_CSS}; height: 4px; margin: 0; }}
.hs-place {{ min-width: 84px; text-align: right; font-variant-numeric: tabular-nums; }}
.hs-readout {{ font-size: {SMALL}px; color: {MUTED_CSS}; height: 16px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; font-variant-numeric: tabular-nums; }}
.hs-readout b {{ color: {INK_CSS}; font-weight: 600; }}
.hs-legend {{ display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: center; font-size: {SMALL}px;
  color: {MUTED_CSS}; min-width: 0; }}
.hs-legend > span {{ white-space: nowrap; display: inline-flex; align-items: center; max-width: 16em;
  overflow: hidden; }}
.hs-legend > span > span {{ min-width: 0; overflow: hidden; text-overflow: ellipsis; }}
.hs-legend > .hs-both {{ max-width: none; }}
.hs-legend > .hs-both > span {{ max-width: 10em; }}
.hs-legend i {{ flex: none; }}
.hs-number {{ color: {INK_CSS}; margin-right: 5px; font-variant-numeric: tabular-nums; }}
.hs-scale {{ display: inline-block; width: 112px; height: 8px; border-radius: 2px; margin: 0 7px; }}
.hs-ring {{ display: inline-block; width: 7px; height: 7px; border-radius: 50%; border: 2px solid #98a0a9;
  margin-right: 6px; }}
.hs-ring.hs-end {{ border-color: {INK_CSS}; }}
.hs-ring.hs-thin {{ border-width: 1.4px; }}
.hs-way, .hs-mean {{ display: inline-block; width: 22px; margin-right: 6px; }}
.hs-way {{ height: 8px; background: linear-gradient(45deg, {MUTED_CSS} 50%, {MUTED_CSS} 0) 50% / 6px 6px no-repeat,
  repeating-linear-gradient(90deg, {MUTED_CSS} 0 4px, transparent 4px 7px) 50% / 100% 2px no-repeat; }}
.hs-mean {{ height: 5px; clip-path: polygon(0 30%, 100% 0, 100% 100%, 0 70%); }}
.hs-cross {{ color: {INK_CSS}; font: 700 13px/1 sans-serif; margin-right: 5px; }}
.hs-empty {{ height: 100%; display: flex; flex-direction: column; align-items: center; justify-content: center;
  text-align: center; color: {MUTED_CSS}; gap: 8px; padding: 24px; box-sizing: border-box; }}
.hs-empty b {{ color: {INK_CSS}; font-size: {HEAD}px; font-weight: 600; }}
.hs-empty code {{ background: {PAPER_CSS}; border: 1px solid {LINE_CSS}; border-radius: 4px; padding: 3px 8px;
  color: {INK_CSS}; }}
"""

#: Of a card: a plain ground, a thin border.
CARD = {"background": CARD_CSS, "border": f"1px solid {LINE_CSS}", "border-radius": "8px", "box-sizing": "border-box"}


def quiet_figure(look: Look = LIGHT, **options: Any) -> Any:
    """A Bokeh figure without ornament: no tools, no logo, no grid, thin grey axes, small type."""
    from bokeh.plotting import figure

    options = {"toolbar_location": None, "tools": "", "min_border": 0, "outline_line_color": None, **options}
    return quieten(figure(**options), look)


def quieten(plot: Any, look: Look = LIGHT) -> Any:
    """Take the ornament from a Bokeh figure; returns it."""
    # Even an empty title has the page's styles computed anew whenever the plot is painted.
    plot.title = None
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    plot.background_fill_color = None
    plot.border_fill_color = None
    plot.grid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_line_color = look.line
        axis.major_tick_line_color = None
        axis.minor_tick_line_color = None
        axis.major_label_text_font = FONT
        axis.major_label_text_font_size = f"{SMALL}px"
        axis.major_label_text_color = look.muted
        axis.axis_label_text_font = FONT
        axis.axis_label_text_font_size = f"{SMALL}px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = look.muted
    return plot
