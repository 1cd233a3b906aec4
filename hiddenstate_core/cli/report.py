"""`hiddenstate report`: one sequence's page as a file, or one view as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate_core.cli.common import say

__all__ = ["command"]

_PICTURES = (".png", ".svg", ".pdf")


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    out: Annotated[Path, typer.Option(help="Where to write; the ending .html, .png, .svg or .pdf says what.")] = Path(
        "report.html"
    ),
    sequence: Annotated[int | None, typer.Option(help="Which sequence; one whose prediction turns by default.")] = None,
    projection: Annotated[str | None, typer.Option(help="Which projection; t-SNE or the first by default.")] = None,
    view: Annotated[
        str,
        typer.Option(help="Of a picture: all, map, words, probabilities, distances, classes or confusion."),
    ] = "all",
    colour_by: Annotated[
        str, typer.Option(help="What colours the map of a picture: prediction, class, confidence, unit:7 ...")
    ] = "prediction",
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark ground.")] = False,
) -> None:
    """Write the page of one sequence as a standalone HTML file, or a view as a PNG, SVG or PDF."""
    from hiddenstate_core.errors import InputError
    from hiddenstate_core.viewing import picture, report

    ending = out.suffix.lower()
    if ending != ".html" and ending not in _PICTURES:
        raise InputError(f"A report is written as .html, .png, .svg or .pdf, not {out.name!r}.")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent} to write {out.name} in; make it first, or name another.")
    if ending == ".html":
        if view != "all" or colour_by != "prediction":
            raise InputError("--view and --colour-by are for pictures; a page in .html shows all views of a sequence.")
        report(store, out, sequence=sequence, projection=projection, dark=dark)
    else:
        picture(store, out, view=view, sequence=sequence, projection=projection, colour_by=colour_by, dark=dark)
    say(f"wrote {out}")
