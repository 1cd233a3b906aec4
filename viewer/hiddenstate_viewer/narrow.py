"""How the page is laid out where there is little room: cards under each other, a foot that leaves the maps theirs."""

from __future__ import annotations

from typing import Any

from hiddenstate_viewer.theme import CARD_CSS, MORE_CSS

__all__ = ["BRAND", "CARDS", "NARROW", "PAGE", "SCROLLS", "dropped", "foot", "stacked", "when_narrow"]

#: Pixels of width from which on the three cards stand beside each other.
NARROW = 1180


def when_narrow(css: str) -> str:
    """Rules for a page that is narrow: by its window, or, in a notebook, by its cell."""
    return f"@media (max-width: {NARROW - 1}px) {{ {css} }} @container hs-page (max-width: {NARROW - 1}px) {{ {css} }}"


#: Of the page: what is too long for the window is scrolled to.
PAGE = ":host { container: hs-page / inline-size; overflow: hidden auto; scrollbar-width: thin; }"
#: Of a card that scrolls: a shade tells that there is more below its edge.
SCROLLS = f":host {{ background: {MORE_CSS}, {CARD_CSS} !important; }}"
#: Of the name in the top bar: the store's has no room beside search and buttons on a small screen.
BRAND = "@media (max-width: 899px) { .hs-brand span { display: none; } }"
#: Of the row of cards. What is important here goes before the styles that its parts have of their own.
CARDS = when_narrow(
    ":host { flex-flow: column nowrap !important; flex: none !important; height: auto !important;"
    " max-height: none !important; }"
)


def stacked(view: Any, height: str, *, first: bool = False) -> None:
    """Have a card take the whole width and so much height where the page is narrow."""
    rules = f"flex: none !important; width: 100% !important; height: {height} !important;{' order: -1;' * first}"
    view.stylesheets = [*view.stylesheets, when_narrow(f":host {{ {rules} }}")]


def dropped(view: Any) -> None:
    """Leave a view out where the page is narrow."""
    view.stylesheets = [*view.stylesheets, when_narrow(":host { display: none !important; }")]


def foot(view: Any) -> None:
    """Have the foot take at most a third of the window and scroll, so that maps and charts keep their room."""
    view.styles = {**view.styles, "max-height": "max(216px, 34vh)", "overflow": "hidden auto", "flex": "none"}
    view.stylesheets = [*view.stylesheets, SCROLLS, when_narrow(":host { max-height: none !important; }")]
