"""Pages that need no session: the list of stores, and one sentence where a page cannot be shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape

from hiddenstate_viewer.theme import DARK, FONT, LIGHT

__all__ = ["NOTICE_POLICY", "PAGE_POLICY", "Row", "entrance_html", "listing_html", "notice_fragment", "notice_html"]

#: Content security policies. Bokeh compiles the code of its callbacks in the browser and styles inline, so the pages
#: need 'unsafe-inline' and 'unsafe-eval'; nothing may be loaded from, sent to or framed by another server.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
NOTICE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_CSS = f"""
:root {{ {LIGHT.css} }}
@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {DARK.css} }} }}
:root[data-theme=dark] {{ {DARK.css} }}
body {{ margin: 0; min-height: 100vh; background: var(--hs-paper); color: var(--hs-ink);
  font: 14px/1.5 {FONT}; display: flex; justify-content: center; box-sizing: border-box; padding: 12vh 24px 48px; }}
main {{ width: min(880px, 100%); }}
main.hs-notice {{ width: min(560px, 100%); }}
h1 {{ font-size: 15px; font-weight: 650; margin: 0 0 16px; letter-spacing: -.01em; }}
.hs-notice h2 {{ font-size: 22px; font-weight: 600; letter-spacing: -.02em; margin: 0 0 8px; line-height: 1.25; }}
p {{ margin: 0 0 16px; overflow-wrap: anywhere; }}
small, .hs-muted {{ color: var(--hs-muted); font-size: 12px; }}
a {{ color: inherit; text-underline-offset: 3px; }}
a:focus-visible {{ outline: 2px solid var(--hs-ink); outline-offset: 3px; border-radius: 4px; }}
ul {{ list-style: none; margin: 0; padding: 0; display: grid; gap: 8px; }}
li {{ background: var(--hs-card); border: 1px solid var(--hs-line); border-radius: 8px; position: relative;
  padding: 12px 16px; display: grid; grid-template-columns: 1fr auto; gap: 2px 24px; align-items: baseline; }}
li:has(a):hover {{ background: var(--hs-hover); }}
li > b, li > a {{ font-size: 15px; font-weight: 600; overflow-wrap: anywhere; text-decoration: none; }}
li > a::after {{ content: ""; position: absolute; inset: 0; }}
li > span {{ font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }}
li > small {{ grid-column: 1 / -1; overflow-wrap: anywhere; }}
@media (max-width: 640px) {{ li {{ grid-template-columns: 1fr; }} li > span {{ text-align: left; }} }}
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A store in the list.

    Parameters
    ----------
    name : str
        As shown.
    address : str
        Where its page is.
    size : str
        How much it holds, in words; empty where that is not known.
    notes : str
        Classes, projections and so on, or why it cannot be shown.
    open : bool
        Whether it can be shown.
    """

    name: str
    address: str
    size: str
    notes: str
    open: bool


def _document(title: str, body: str, *, theme: str | None = None, refresh: tuple[int, str] | None = None) -> str:
    chosen = f' data-theme="{theme}"' if theme in ("light", "dark") else ""
    again = f'<meta http-equiv="refresh" content="{refresh[0]};url={escape(refresh[1])}">' if refresh else ""
    return (
        f'<!doctype html><html lang="en"{chosen}><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>{body}</body></html>"
    )


def notice_html(
    title: str,
    sentence: str,
    *,
    theme: str | None = None,
    again: str | None = None,
    refresh: tuple[int, str] | None = None,
) -> str:
    """A page that says one thing.

    Parameters
    ----------
    title, sentence : str
        Plain text.
    theme : str, optional
        ``"light"`` or ``"dark"``; the visitor's own by default.
    again : str, optional
        Address of a link "Try again".
    refresh : (int, str), optional
        Seconds after which the browser goes to an address by itself.
    """
    link = f'<p><a href="{escape(again)}">Try again</a></p>' if again is not None else ""
    body = f'<main class="hs-notice"><h1>hiddenstate</h1><h2>{escape(title)}</h2><p>{escape(sentence)}</p>{link}</main>'
    return _document(f"{title} · hiddenstate", body, theme=theme, refresh=refresh)


def notice_fragment(title: str, sentence: str) -> str:
    """The same as part of a page."""
    return f'<div class="hs-empty"><b>{escape(title)}</b>{escape(sentence)}</div>'


def entrance_html(target: str) -> str:
    """The page that takes a visitor on, once the cookie is set, to the address without the token.

    A redirect would not do: the browser holds back a cookie of the same site from a navigation that began on another
    one, such as a click on the link in a message, and a redirect goes on with that navigation.
    """
    body = f'<main class="hs-notice"><h1>hiddenstate</h1><p><a href="{escape(target)}">Go to the page</a></p></main>'
    return _document("hiddenstate", body, refresh=(0, target))


def listing_html(rows: Sequence[Row], *, theme: str | None = None) -> str:
    """The start page of several stores."""
    items = []
    for row in rows:
        name = f'<a href="{escape(row.address)}">{escape(row.name)}</a>' if row.open else f"<b>{escape(row.name)}</b>"
        items.append(f"<li>{name}<span>{escape(row.size)}</span><small>{escape(row.notes)}</small></li>")
    body = f"<main><h1>hiddenstate</h1><ul>{''.join(items)}</ul></main>"
    return _document("hiddenstate", body, theme=theme)
