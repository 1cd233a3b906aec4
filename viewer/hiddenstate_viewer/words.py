"""The current sequence as text: each word on the colour of the model's output after reading it; and the legends."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from html import escape

import numpy as np

from hiddenstate_viewer.colours import Palette, hex_of, readable_text
from hiddenstate_viewer.data import Reading

__all__ = ["Scale", "cut_html", "gradient", "header_html", "legend_html", "words_html"]

#: Joiner and variation selector, which belong to the letters round them.
_JOINS = "\u200d\ufe0f"


def words_html(reading: Reading | None, page: str) -> str:
    """Markup of a sequence's words, or of none; each is a ``span.hs-word`` with its step in ``data-step``."""
    if reading is None:
        return f'<div class="hs-words" data-page="{escape(page)}"></div>'
    if not len(reading):
        inner = (
            '<span class="hs-caption">This sequence has no words: the prediction is that of the initial state.</span>'
        )
        return f'<div class="hs-words" data-page="{escape(page)}">{inner}</div>'
    ground, ink = hex_of(reading.colours), readable_text(reading.colours)
    spans = []
    for step, word in enumerate(reading.evolution.words):
        unknown = "" if reading.known[step] else " hs-unknown"
        spans.append(
            f'<span class="hs-word{unknown}" data-step="{step}" style="background:{ground[step]};color:{ink[step]}">'
            f"{escape(word)}</span>"
        )
    return f'<div class="hs-words" data-page="{escape(page)}">{" ".join(spans)}</div>'


def cut_html(name: str) -> str:
    """Markup of a name that loses its middle where there is no room for all of it: neighbours differ at their ends.

    A name with letters that run from right to left stays in one piece, which loses its end.
    """
    if any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in name):
        return f'<span class="hs-cut"><bdi>{escape(name)}</bdi></span>'
    at = (len(name) + 1) // 2
    while at < len(name) and (unicodedata.combining(name[at]) or name[at] in _JOINS or name[at - 1] in _JOINS):
        at += 1
    return f'<span class="hs-cut"><bdi>{escape(name[:at])}</bdi><bdi>{escape(name[at:])}</bdi></span>'


def header_html(reading: Reading, palette: Palette) -> tuple[str, str]:
    """Markup of a sequence's id and length; and of its class, classification, correctness and confidence."""
    evolution = reading.evolution
    final = evolution.final
    last = evolution.outcome
    verdict = {True: "correct", False: "wrong", None: "class unknown"}[evolution.correct]
    cells = (
        ("class", _named(evolution.label, palette)),
        ("classified as", _named(final, palette)),
        ("verdict", verdict),
        ("confidence", f"{100 * float(last[final]):.1f} %"),
    )
    body = "".join(f"<div><small>{name}</small>{value}</div>" for name, value in cells)
    count = f"{len(reading):,} word{'' if len(reading) == 1 else 's'}"
    head = (
        f'<div class="hs-head"><span class="hs-id" title="{escape(reading.id)}">{cut_html(reading.id)}</span>'
        f'<span class="hs-caption">no. {reading.index} · {count}</span></div>'
    )
    return head, f'<div class="hs-verdict">{body}</div>'


def gradient(colours: np.ndarray) -> str:
    """A CSS gradient through a scale."""
    picks = np.linspace(0, len(colours) - 1, 9).astype(np.int64)
    return f"linear-gradient(90deg,{','.join(hex_of(colours[picks]))})"


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """A scale of numbers that colours the states.

    Parameters
    ----------
    label : str
        What they are.
    colours : (K, 3) uint8
        From the low end to the high one.
    low, high : float
        The ends.
    """

    label: str
    colours: np.ndarray
    low: float
    high: float


def legend_html(
    palette: Palette,
    colour_by: str = "prediction",
    *,
    trajectory: bool = False,
    most: int = 12,
    scale: Scale | None = None,
    more: Sequence[str] = (),
) -> str:
    """Markup of the legend of the map, words and bars; `scale` where states are coloured by numbers.

    `more` is markup of entries after these.
    """
    parts = []
    # Only an element of its own can lose its end where room is short; all of it is told when the pointer rests on it.
    names = [f'<span title="{escape(name)}">{escape(name)}</span>' for name in palette.classes]
    if scale is not None:
        ramp_of = f'<i class="hs-scale" style="background:{gradient(scale.colours)}"></i>'
        parts.append(f"<span>{escape(scale.label)}&nbsp; {scale.low:.3g}{ramp_of}{scale.high:.3g}</span>")
    if scale is not None and not trajectory:
        pass  # nothing on the map has a class's colour
    elif palette.binary and (colour_by == "prediction" or scale is not None):
        both = f'<i class="hs-scale" style="background:{gradient(palette.diverging)}"></i>'
        parts.append(f'<span class="hs-both">{names[0]}{both}{names[1]}</span>')
    else:
        shown = [i for i in range(len(names)) if palette.own[i]]
        hues = hex_of(palette.hues)
        parts += [f"<span>{_chip(hues[i])}{names[i]}</span>" for i in shown[:most]]
        rest = len(names) - min(len(shown), most)
        if rest:
            parts.append(f"<span>and {rest} more</span>")
        if colour_by == "prediction" and len(names) > 2:
            sure = gradient(palette.certainty)
            parts.append(f'<span>unsure<i class="hs-scale" style="width:56px;background:{sure}"></i>sure</span>')
    if trajectory:
        parts.append('<span><i class="hs-ring"></i>start</span><span><i class="hs-ring hs-end"></i>end</span>')
    return f'<div class="hs-legend">{"".join([*parts, *more])}</div>'


def _chip(colour: str) -> str:
    return f'<i class="hs-chip" style="background:{colour}"></i>'


def _named(label: int, palette: Palette) -> str:
    colour = hex_of(palette.labels(np.array([label])))[0]
    return f"{_chip(colour)}{escape(palette.classes[label]) if label >= 0 else 'unknown'}"
