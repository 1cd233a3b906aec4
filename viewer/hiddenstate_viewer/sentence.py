"""A sentence of one's own: typed or edited in the page's foot, read by the model, shown beside the original."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import panel as pn
import param
from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Range1d, Span, TextAreaInput

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.colours import hex_of
from hiddenstate_viewer.controls import CONTROL_CSS, button, html
from hiddenstate_viewer.data import Reading, ViewData
from hiddenstate_viewer.evolution import SequenceCharts
from hiddenstate_viewer.limits import MAX_CHARACTERS, RateLimit, check_text
from hiddenstate_viewer.reader import ModelDesk, Typed, Wish
from hiddenstate_viewer.state import Selection
from hiddenstate_viewer.theme import CARD, UNIT, VIEW_CSS, Look, quiet_figure
from hiddenstate_viewer.words import words_html

__all__ = ["SentencePane"]

#: Milliseconds of rest while typing after which the text is read.
PAUSE = 400
_ROW, _CHARTS, _WORDS = 14, 58, 56
_LABEL = "Type or edit a text: the model reads it"
_CSS = (
    CONTROL_CSS
    + """
:host(.hs-typing) .bk-input-group { flex-direction: column; align-items: stretch; gap: 3px; }
textarea.bk-input { font-size: 13px; line-height: 1.45; padding: 6px 8px; border-radius: 6px; resize: none;
  field-sizing: content; height: auto; min-height: 34px; max-height: 54px; }
"""
)
_WORDS_CSS = (
    VIEW_CSS
    + """
[data-parted] { box-shadow: -3px 0 0 0 var(--hs-ink, #1b1f24); margin-left: 3px; }
.hs-outcomes { display: grid; grid-template-columns: auto 1fr auto; gap: 2px 10px; font-size: 12px; }
.hs-outcomes b { font-weight: 600; }
.hs-outcomes span:nth-child(3n) { text-align: right; font-variant-numeric: tabular-nums; }
.hs-told { font-size: 12px; overflow-wrap: anywhere; }
.hs-told p { margin: 0 0 4px; }
.hs-told code { background: var(--hs-paper, #f4f5f7); border-radius: 4px; padding: 2px 6px; }
"""
)
#: Ctrl or Cmd and Enter in the text area; heard from the first letter on.
_KEYS = """
const name = "hiddenstate_place_" + asked.id
if (window[name]) return
window[name] = true
document.addEventListener("keydown", (event) => {
  const area = event.composedPath()[0]
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || area.tagName !== "TEXTAREA") return
  if (!event.composedPath().some((node) => node.classList?.contains("hs-typing"))) return
  event.preventDefault()
  asked.data = { text: [area.value], count: [(asked.data.count[0] ?? 0) + 1] }
}, true)
"""


class SentencePane(param.Parameterized):
    """Text area, what the model makes of the text, and how that differs from the sequence that is read.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        Whose `text` it follows and sets.
    look : Look
        Light or dark.

    Attributes
    ----------
    typed : Typed or None
        What the model made of the text; may be watched.
    view : panel.viewable.Viewable
        The pane.
    """

    typed = param.ClassSelector(class_=Typed, default=None, allow_None=True)

    def __init__(self, data: ViewData, selection: Selection, look: Look) -> None:
        super().__init__()
        self.data, self.selection, self.look = data, selection, look
        self.palette = data.colours(look)
        self.desk = ModelDesk.of(data)
        self.rate = RateLimit()
        self._serial, self._warm, self._setting = 0, False, False
        self._pages = tuple(f"hs-typed-{uuid.uuid4().hex[:8]}" for _ in range(2))
        self._message = html("", stylesheets=[_WORDS_CSS])
        problem = self.desk.problem
        if problem is not None:
            self.view = self._empty(problem)
            return
        self._build()
        selection.param.watch(self._asked_elsewhere, "text")
        selection.param.watch(lambda *_: self._again(), ["sequence", "projection", "beside", "layer", "quantity",
                                                         "direction"])  # fmt: skip
        if selection.text:
            self._asked_elsewhere()

    # -- building -------------------------------------------------------------------------------------------------

    def _empty(self, problem: str) -> Any:
        command = f"hiddenstate view {self.data.trace.path.name} --model MODEL"
        more = f" Start the viewer with it: <code>{escape(command)}</code>" if self.desk.path is None else ""
        if self.data.trace.task == "language_model":
            more = ""
        self._message.object = f'<div class="hs-told hs-caption">{escape(_LABEL)}. {escape(problem)}{more}</div>'
        return pn.Row(self._message, sizing_mode="stretch_width", margin=0, css_classes=["hs-sentence"],
                      styles={**CARD, "padding": f"{UNIT}px {2 * UNIT}px"})  # fmt: skip

    def _build(self) -> None:
        # Bokeh's own widget: Panel keeps the models that a script of its widgets names for ever.
        self.area = TextAreaInput(
            title=_LABEL, placeholder="type or paste words …", rows=1, max_length=MAX_CHARACTERS + 1,
            sizing_mode="stretch_width", margin=0, stylesheets=[_CSS], css_classes=["hs-typing"], name="hs-typing",
        )  # fmt: skip
        self.asked = ColumnDataSource({"text": [""], "count": [0]})
        self.area.js_on_change("value_input", CustomJS(args={"asked": self.asked}, code=_KEYS))
        self.edit = button("Edit this one", lambda: self._locked(self._edit))
        self.place_button = button("Place it", lambda: self._locked(lambda: self.place(self._written())))
        self.clear_button = button("Clear", lambda: self._locked(self.clear))
        for one in (self.edit, self.place_button, self.clear_button):
            one.align = "end"
        self.area.on_change("value_input", lambda _name, _old, new: self._typing(str(new)))
        self.asked.on_change("data", lambda _name, _old, new: self.place(str(next(iter(new["text"]), ""))))
        self.mine, self.other = _Side(self, 0, "Your text"), _Side(self, 1, "Original")
        self._between = self._between_chart()
        self._verdict = html("", stylesheets=[_WORDS_CSS])
        away = pn.pane.Bokeh(self._between, sizing_mode="stretch_width", margin=0)
        self._distance = pn.Column(
            html('<div class="hs-title">Between them<small>distance of the predictions, word by word</small></div>'),
            away, sizing_mode="stretch_width", margin=0, styles={"gap": "4px"},
        )  # fmt: skip
        last = pn.Column(
            html('<div class="hs-title">Outcome</div>'), self._verdict, self._distance, sizing_mode="stretch_width",
            margin=0, min_width=0, styles={"gap": "6px", "flex": "1 1 0"},
        )  # fmt: skip
        self.result = pn.Row(
            self.mine.view, self.other.view, last, visible=False, sizing_mode="stretch_width", margin=0,
            styles={"gap": f"{2 * UNIT}px"},
        )  # fmt: skip
        self.view = pn.Column(
            pn.Row(pn.pane.Bokeh(self.area, sizing_mode="stretch_width", margin=0), self.edit, self.place_button,
                   self.clear_button, sizing_mode="stretch_width", margin=0,
                   styles={"gap": f"{UNIT}px", "align-items": "end"}),
            self._message, self.result, sizing_mode="stretch_width", margin=0, css_classes=["hs-sentence"],
            styles={**CARD, "padding": f"{UNIT}px {2 * UNIT}px", "gap": f"{UNIT}px", "flex": "none"},
        )  # fmt: skip
        self._message.visible = False

    def _between_chart(self) -> Any:
        self._apart = ColumnDataSource({name: [] for name in ("x", "top", "colour", "word", "state")})
        plot = quiet_figure(
            self.look, height=96, sizing_mode="stretch_width", x_range=self.mine.charts.positions,
            y_range=Range1d(0, 1.04), min_border_left=34, min_border_right=4, min_border_top=4, name="hs-apart",
        )  # fmt: skip
        bars = plot.vbar(x="x", top="top", width=0.86, color="colour", line_width=0, source=self._apart)
        plot.yaxis.ticker = [0, 0.5, 1]
        plot.yaxis.axis_line_color = None
        tip = "<b>@word</b> &nbsp; predictions @top{0.00} apart, states @state{0.00}"
        plot.add_tools(HoverTool(renderers=[bars], tooltips=tip, attachment="above"))
        return plot

    # -- asking ---------------------------------------------------------------------------------------------------

    def place(self, text: str) -> None:
        """Have a text read; what comes of it is `typed`, once a thread has read it."""
        self._serial += 1
        try:
            plain = check_text(text)
            self.rate.check()
        except HiddenStateError as error:
            self._say(str(error))
            return
        self._set_text(plain)
        self._submit(plain)

    def clear(self) -> None:
        """Forget the text."""
        self._serial += 1
        self._fill("")
        self._set_text(None)
        self._show(None)

    def _submit(self, text: str) -> None:
        self._serial += 1
        serial = self._serial
        if self.typed is None:
            self._say("Reading …")

        def later(action: Callable[..., None], value: Any) -> None:
            self._locked(lambda: action(value) if serial == self._serial else None)

        self.desk.submit(
            Wish.of(text, self.selection),
            lambda: serial != self._serial,
            functools.partial(later, self._show),
            functools.partial(later, self._say),
        )

    def _typing(self, text: str) -> None:
        self._serial += 1
        serial = self._serial
        if not self._warm:
            self._warm = True
            self.desk.warm(Wish.of("", self.selection).projections)
        if not text.strip() or self._setting:
            return

        def rested() -> None:
            if serial == self._serial:
                self.place(text)

        document = self.mine.charts.heat.document
        if document is not None and document.session_context is not None:
            document.add_timeout_callback(rested, PAUSE)

    def _written(self) -> str:
        return str(self.area.value_input or self.area.value or "")

    def _edit(self) -> None:
        """Take the words of the sequence that is read for a beginning."""
        if self.selection.sequence is None:
            self._say("No sequence is selected; select one in the table or in the map, then edit it.")
            return
        text = " ".join(self.data.trace.sequence(self.selection.sequence).words)
        self._fill(text)
        self.place(text)

    def _fill(self, text: str) -> None:
        self._setting = True
        try:
            self.area.update(value=text, value_input=text)
        finally:
            self._setting = False

    def _asked_elsewhere(self, *_: Any) -> None:
        if not self._setting:
            self._locked(self._follow)

    def _follow(self) -> None:
        text = self.selection.text
        if not text:
            if self.typed is not None or self._written():
                self.clear()
            return
        self._fill(text)
        self.place(text)

    def _again(self) -> None:
        # Another sequence beside it, another map, another layer: the same text, read anew.
        if self.typed is not None and self.selection.text:
            self._submit(self.selection.text)

    def _set_text(self, text: str | None) -> None:
        self._setting = True
        try:
            self.selection.text = text
        finally:
            self._setting = False

    def _locked(self, action: Callable[[], None]) -> None:
        document = self.mine.charts.heat.document
        if document is None or document.session_context is None:
            action()
        else:
            document.add_next_tick_callback(action)

    # -- showing --------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._message.object = f'<div class="hs-told" role="status">{escape(text)}</div>' if text else ""
        self._message.visible = bool(text)

    def _show(self, typed: Typed | None) -> None:
        if typed is None:
            self.result.visible = False
            self._say("")
            self.typed = None
            return
        notes = [*typed.problems]
        if typed.waiting:
            notes.append(f"The map {', '.join(typed.waiting)} is being prepared for placing texts, once.")
        if typed.reading.dropped:
            dropped, read = typed.reading.dropped, len(typed)
            notes.append(f"The model reads the last {read} words; the first {dropped:,} were left out.")
        self._say(" ".join(notes))
        apart, original = typed.divergence, self._original(typed)
        parted = (None, None) if apart is None or apart.parted is None else apart.parted
        longest = max(len(typed), 0 if original is None else len(original), 1)
        self.mine.show(typed.shown(self.palette), parted[1], longest)
        self.other.show(original, parted[0], longest)
        self._verdict.object = self._verdict_html(typed, original)
        self._distance.visible = apart is not None and len(apart) > 0
        if apart is not None:
            here = apart.pairs[:, 1]
            away = apart.probability_distances
            state = np.full(len(here), np.nan) if apart.state_distances is None else apart.state_distances
            self._apart.data = {
                "x": here + 1, "top": away, "state": state, "word": [typed.reading.words[i] for i in here.tolist()],
                "colour": [self.look.muted] * len(here),
            }  # fmt: skip
        self.result.visible = True
        self.typed = typed

    def _original(self, typed: Typed) -> Reading | None:
        """The sequence beside it, in this session's colours."""
        if typed.original is None:
            return None
        import dataclasses

        evolution = typed.original.evolution
        return dataclasses.replace(
            typed.original,
            colours=self.palette.outputs(evolution.probabilities),
            before=self.palette.outputs(evolution.before),
        )

    def _verdict_html(self, typed: Typed, original: Reading | None) -> str:
        rows = [self._outcome("your text", typed.reading.prediction)]
        if original is not None:
            rows.append(self._outcome("original", original.evolution.outcome))
        parts = [f'<div class="hs-outcomes">{"".join(rows)}</div>']
        apart = typed.divergence
        if apart is not None and original is not None:
            if apart.parted is None:
                parts.append("The two texts are the same.")
            else:
                a, b = apart.parted
                there = escape(original.evolution.words[a]) if a < len(original) else "its end"
                here = escape(typed.reading.words[b]) if b < len(typed) else "the end"
                parts.append(f"They part at word {b + 1}: <b><bdi>{here}</bdi></b> instead of <bdi>{there}</bdi>.")
            if apart.outcome_differs:
                parts.append("<b>The outcome differs.</b>")
        return f'<div class="hs-told">{"<p></p>".join(parts)}</div>'

    def _outcome(self, name: str, probabilities: Any) -> str:
        label = int(np.argmax(probabilities))
        colour = hex_of(self.palette.labels(np.array([label])))[0]
        chip = f'<i class="hs-chip" style="background:{colour}"></i>'
        return (
            f"<span>{name}</span><b>{chip}{escape(self.data.trace.classes[label])}</b>"
            f"<span>{100 * float(probabilities[label]):.1f} %</span>"
        )


class _Side:
    """Words, class probabilities and step distances of one of the two texts."""

    def __init__(self, pane: SentencePane, which: int, title: str) -> None:
        self.page, self.title = pane._pages[which], title
        self.charts = SequenceCharts(pane.palette, pane.look, row=_ROW)
        name = ("typed", "original")[which]
        self.charts.heat.update(name=f"hs-{name}-heatmap")
        self.charts.bars.update(name=f"hs-{name}-distances", height=_CHARTS)
        self.charts.threshold.visible = False
        self.marks = [Span(dimension="height", line_color=pane.look.ink, line_width=1.5, visible=False)
                      for _ in range(2)]  # fmt: skip
        for plot, mark in zip((self.charts.heat, self.charts.bars), self.marks, strict=True):
            plot.add_layout(mark)
        self.words = html("", height=_WORDS, stylesheets=[_WORDS_CSS], css_classes=[f"hs-{name}-words"])
        self.view = pn.Column(
            html(f'<div class="hs-title">{escape(title)}</div>'),
            self.words,
            pn.pane.Bokeh(self.charts.heat, sizing_mode="stretch_width", margin=0),
            pn.pane.Bokeh(self.charts.bars, sizing_mode="stretch_width", margin=0),
            sizing_mode="stretch_width", margin=0, min_width=0, styles={"gap": "4px", "flex": "1.3 1 0"},
        )  # fmt: skip

    def show(self, reading: Reading | None, parted: int | None, longest: int) -> None:
        """A text, with a mark at the word where the two part, on an axis of `longest` words."""
        self.view.visible = reading is not None
        markup = words_html(reading, self.page)
        if parted is not None:  # no word can hold this: quotes in words are escaped
            markup = markup.replace(f'data-step="{parted}"', f'data-step="{parted}" data-parted', 1)
        self.words.object = markup
        self.charts.update(reading)
        self.charts.positions.update(start=0.5, end=longest + 0.5)
        for mark in self.marks:
            mark.update(location=0.5 + (parted or 0), visible=parted is not None)
