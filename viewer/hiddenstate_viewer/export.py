"""Taking away what is seen: pictures, standalone pages, tables; made by a thread and sent to the browser in parts."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, CustomJS

from hiddenstate_core.errors import HiddenStateError
from hiddenstate_viewer.data import ViewData
from hiddenstate_viewer.frames import (
    chosen_sequences,
    chosen_states,
    sequence_blocks,
    state_blocks,
    table_kind,
    text_blocks,
    write_table,
)
from hiddenstate_viewer.theme import CARD, FONT, SMALL, VIEW_CSS, Look

if TYPE_CHECKING:
    from hiddenstate_viewer.reader import Typed
    from hiddenstate_viewer.state import Selection

__all__ = ["EXPORTS", "ExportMenu", "file_name", "make_export", "write_states"]

_PICTURES = ("png", "svg", "pdf")
_TABLES = ("csv", "parquet")
#: What can be taken away: its label, and as what.
EXPORTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "map": ("Map", _PICTURES),
    "words": ("Words", _PICTURES),
    "probabilities": ("Class probability over time", _PICTURES),
    "distances": ("Step distances", _PICTURES),
    "classes": ("True classes", _PICTURES),
    "confusion": ("Confusion matrix", _PICTURES),
    "all": ("Sequence and map on one sheet", _PICTURES),
    "page": ("This page", ("html",)),
    "report": ("This sequence", ("html",)),
    "sequences": ("Sequences in the table", _TABLES),
    "states": ("Selected states", _TABLES),
    "text": ("Your text, word by word", _TABLES),
}
_OF_SEQUENCE = ("words", "probabilities", "distances", "report")
#: Bytes of one message to the browser.
_PART = 4 << 20
_CSS = (
    VIEW_CSS
    + f"""
.bk-input-group label, label, label span {{ font-size: {SMALL}px; color: var(--hs-muted, #5b636d); }}
select.bk-input {{ height: 28px; padding: 2px 26px 2px 8px; font: 12px {FONT}; border-radius: 6px;
  border-color: var(--hs-line, #dfe3e8); background-color: var(--hs-card, #fff); color: var(--hs-ink, #1b1f24); }}
.bk-btn.bk-btn-default {{ font: 12px {FONT}; padding: 3px 12px; border-radius: 6px; white-space: nowrap;
  border: 1px solid var(--hs-line, #d3d8de) !important; background: var(--hs-card, #fff) !important;
  color: var(--hs-ink, #1b1f24); }}
.bk-btn.bk-btn-default:hover {{ background: var(--hs-hover, #f0f2f4) !important; }}
.bk-btn:focus:not(:focus-visible) {{ outline: none; }}
.hs-told {{ font-size: {SMALL}px; color: var(--hs-muted, #5b636d); min-height: 16px; }}
"""
)
#: Parts are put together in the browser and saved once the last is there; each is asked for by its number.
_JOIN = """
const {part, parts, name, kind, data, serial} = source.data
if (!part.length) return
const known = window.hiddenstate_parts ??= new Map()
if (part[0] === 0) known.set(source.id, [])
known.get(source.id)?.push(new Blob([Uint8Array.from(data[0])]))
if (part[0] + 1 < parts[0]) {
  asked.data = {part: [part[0] + 1], serial}
  return
}
const whole = new Blob(known.get(source.id), {type: kind[0]})
known.delete(source.id)
const link = document.createElement("a")
link.href = URL.createObjectURL(whole)
link.download = name[0]
document.body.append(link)
link.click()
link.remove()
setTimeout(() => URL.revokeObjectURL(link.href), 60000)
asked.data = {part: [parts[0]], serial}
"""
_NOTHING: dict[str, list[Any]] = {name: [] for name in ("serial", "part", "parts", "name", "kind", "data")}
_MIME = {
    "png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "html": "text/html", "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}  # fmt: skip


@functools.cache
def _workers() -> ThreadPoolExecutor:
    # One for all sessions: two at once would only take each other's processor, and each other's memory.
    return ThreadPoolExecutor(1, thread_name_prefix="hiddenstate-export")


def file_name(data: ViewData, selection: Selection, what: str, kind: str) -> str:
    """Name of the file that something is saved as: the store's, the sequence's number where it matters, and what.

    Letters, digits, dots and hyphens only, at most 100 characters, whatever the store is called.
    """
    store = data.name.removesuffix(".zarr")
    parts = [store]
    if what in (*_OF_SEQUENCE, "all", "map") and selection.sequence is not None:
        parts.append(str(selection.sequence))
    parts.append({"all": "sheet"}.get(what, what))
    stem = re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(parts)).strip("-.")[-90:].lstrip("-.")
    return f"{stem or 'hiddenstate'}.{kind}"


def make_export(
    data: ViewData,
    selection: Selection,
    look: Look,
    what: str,
    path: str | os.PathLike[str],
    *,
    typed: Typed | None = None,
) -> None:
    """Write something of what a session sees; the file's ending says as what.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What is selected.
    look : Look
        Light or dark.
    what : str
        One of `EXPORTS`.
    path : path-like
        Where to write.
    typed : Typed, optional
        A text of one's own, in the map and the page as well.

    Raises
    ------
    HiddenStateError
        Nothing of that name, an ending that it cannot have, nothing selected, or a missing library.
    """
    from hiddenstate_core.atomic import atomic_path, write_text
    from hiddenstate_core.errors import InputError
    from hiddenstate_viewer.scene import Scene

    if what not in EXPORTS:
        raise InputError(f"There is nothing called {what!r} to take away; there are {', '.join(EXPORTS)}.")
    label, kinds = EXPORTS[what]
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in kinds:
        raise InputError(f"{label} is saved as {' or '.join('.' + k for k in kinds)}, not {Path(path).name!r}.")
    if what in _OF_SEQUENCE and selection.sequence is None:
        raise InputError("No sequence is selected; select one first, in the table or in the map.")
    if what == "text" and typed is None:
        raise InputError("No text has been read; type one at the foot of the page first.")
    if typed is not None and what == "text":
        write_table(path, lambda safe: text_blocks(data, typed, selection.projection, safe=safe))
    elif what == "sequences":
        numbers = chosen_sequences(selection)
        write_table(path, lambda safe: sequence_blocks(data, numbers, safe=safe))
    elif what == "states":
        write_states(data, selection, path)
    elif what in ("page", "report"):
        from hiddenstate_viewer.report import page_html, report_html

        if what == "page":
            write_text(path, page_html(data, selection, look, typed))
        else:
            write_text(path, report_html(Scene.of(data, selection, look)))
    else:
        from hiddenstate_viewer.picture import picture_bytes

        content = picture_bytes(Scene.of(data, selection, look, typed), what, kind)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


def write_states(data: ViewData, selection: Selection, path: str | os.PathLike[str]) -> int:
    """Write the selected states as CSV or Parquet; returns their number."""
    steps = chosen_states(selection)
    return write_table(path, lambda safe: state_blocks(data, steps, selection.projection, safe=safe))


class ExportMenu:
    """A button that opens a small form: what to take away, as what, and the button that saves it.

    Parameters
    ----------
    data : ViewData
        The trace.
    selection : Selection
        What is selected when the button is pressed.
    look : Look
        Light or dark.

    Attributes
    ----------
    view : panel.viewable.Viewable
        The button, with the form under it.
    what, kind : panel.widgets.Select
        What, and as what.
    typed : callable
        Gives the text of one's own that the page shows, or None.
    """

    def __init__(self, data: ViewData, selection: Selection, look: Look) -> None:
        self.data, self.selection, self.look = data, selection, look
        self.typed: Callable[[], Typed | None] = lambda: None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._busy, self._serial = False, 0
        self.source = ColumnDataSource(dict(_NOTHING))
        self.asked = ColumnDataSource({"part": [], "serial": []})
        self.source.js_on_change("data", CustomJS(args={"source": self.source, "asked": self.asked}, code=_JOIN))
        self.asked.on_change("data", self._next)
        self._build()

    def _build(self) -> None:
        plain: dict[str, Any] = {"margin": 0, "stylesheets": [_CSS]}
        self.open = pn.widgets.Button(label="Export", height=28, sizing_mode=None, align="center", **plain)
        labels = {label: what for what, (label, _) in EXPORTS.items()}
        self.what = pn.widgets.Select(label="What", options=labels, value="map", width=250, **plain)
        self.kind = pn.widgets.Select(label="As", options=_named(_PICTURES), value="png", width=110, **plain)
        self.save = pn.widgets.Button(label="Save", height=28, sizing_mode=None, align="end", **plain)
        self._told = pn.pane.HTML("", sizing_mode="stretch_width", **plain)
        # The transfer's models must be in the page; they show nothing.
        hidden = pn.pane.Bokeh(_carrier(self.source, self.asked), visible=True, width=0, height=0, margin=0,
                               styles={"overflow": "hidden"})  # fmt: skip
        self.form = pn.Column(
            pn.Row(self.what, self.kind, margin=0, styles={"gap": "8px"}),
            pn.Row(self._told, self.save, margin=0, sizing_mode="stretch_width", styles={"align-items": "center"}),
            visible=False,
            margin=0,
            width=400,
            height=120,
            styles={
                **CARD, "position": "absolute", "right": "0", "top": "36px", "z-index": "40", "padding": "12px",
                "gap": "8px", "box-shadow": "0 6px 24px rgba(0,0,0,.18)",
            },
            css_classes=["hs-export-form"],
        )  # fmt: skip
        self.view = pn.Column(
            self.open, self.form, hidden, margin=0, sizing_mode=None, align="center",
            styles={"position": "relative", "overflow": "visible"}, css_classes=["hs-export"],
        )  # fmt: skip
        self.open.on_click(lambda _event: self._toggle())
        self.save.on_click(lambda _event: self._start())
        self.what.param.watch(lambda event: self._offer(event.new), "value")

    def _toggle(self) -> None:
        self.form.visible = not self.form.visible
        if not self._busy:
            self._say("")

    def _offer(self, what: str) -> None:
        kinds = EXPORTS[what][1]
        with pn.io.hold() if pn.state.curdoc else contextlib.nullcontext():
            self.kind.options = _named(kinds)
            self.kind.value = kinds[0]
        if not self._busy:
            self._say("")

    def _say(self, text: str) -> None:
        self._told.object = f'<div class="hs-told" role="status">{escape(text)}</div>'

    # -- making ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._busy:
            return
        what, kind = str(self.what.value), str(self.kind.value)
        try:
            if kind in _TABLES:
                table_kind(f"table.{kind}")
        except HiddenStateError as error:
            self._say(str(error))
            return
        self._busy = True
        self._say("Being made …")
        name = file_name(self.data, self.selection, what, kind)
        document = self.source.document
        folder = tempfile.TemporaryDirectory(prefix="hiddenstate-export-")
        frozen = self.selection.copy() if hasattr(self.selection, "copy") else self.selection
        done, typed = functools.partial(self._made, folder, name, kind), self.typed()

        def work() -> None:
            problem = ""
            try:
                make_export(self.data, frozen, self.look, what, Path(folder.name) / name, typed=typed)
            except HiddenStateError as error:
                problem = str(error)
            except Exception as error:  # a full disk, a store that was taken away: the page lives on
                problem = f"That could not be made ({type(error).__name__}: {error})."
            if document is None or document.session_context is None:
                done(problem)
            else:
                with contextlib.suppress(Exception):  # the page was closed meanwhile
                    document.add_next_tick_callback(functools.partial(done, problem))
                    return
                folder.cleanup()

        _workers().submit(work)

    def _made(self, folder: tempfile.TemporaryDirectory[str], name: str, kind: str, problem: str) -> None:
        if problem:
            folder.cleanup()
            self._busy = False
            self._say(problem)
            return
        self._folder, self._name, self._kind = folder, name, kind
        self._serial += 1  # an answer that equals the last one would not be heard
        size = (Path(folder.name) / name).stat().st_size
        self._parts = max(1, -(-size // _PART))
        self._say(f"{name}, {_size(size)}")
        self._send(0)

    def _send(self, part: int) -> None:
        assert self._folder is not None
        with (Path(self._folder.name) / self._name).open("rb") as file:
            file.seek(part * _PART)
            content = np.frombuffer(file.read(_PART), np.uint8)
        self.source.data = {
            "serial": [self._serial], "part": [part], "parts": [self._parts], "name": [self._name],
            "kind": [_MIME[self._kind]], "data": [content],
        }  # fmt: skip

    def _next(self, _attribute: str, _old: Any, new: Any) -> None:
        part = next(iter(new.get("part", [])), None)
        if self._folder is None or not isinstance(part, int) or new.get("serial") != [self._serial]:
            return
        if 0 < part < self._parts:
            self._send(part)
        else:
            self.finish()

    def finish(self) -> None:
        """Forget what was made: it has been saved, or the page was closed."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder, self._busy = None, False
        self.source.data = dict(_NOTHING)


def _named(kinds: tuple[str, ...]) -> dict[str, str]:
    return {{"html": "HTML file", "parquet": "Parquet"}.get(kind, kind.upper()): kind for kind in kinds}


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _carrier(*sources: ColumnDataSource) -> Any:
    """A figure without extent that keeps data sources in the document."""
    from bokeh.models import Div

    return Div(text="", width=0, height=0, visible=False, tags=list(sources))
