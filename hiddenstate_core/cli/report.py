"""`hiddenstate report`: one sequence's page as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate_core.cli.common import say

__all__ = ["command"]


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    out: Annotated[Path, typer.Option(help="Where to write; the ending .html or .png says what.")] = Path(
        "report.html"
    ),
    sequence: Annotated[int | None, typer.Option(help="Which sequence; one whose prediction turns by default.")] = None,
    projection: Annotated[str | None, typer.Option(help="Which projection; the first by default.")] = None,
) -> None:
    """Write the page of one sequence as a standalone HTML file or a PNG."""
    from hiddenstate_core.errors import InputError
    from hiddenstate_core.viewing import picture, report

    if out.suffix.lower() not in (".html", ".png"):
        raise InputError(f"A report is written as .html or .png, not {out.name!r}.")
    write = report if out.suffix.lower() == ".html" else picture
    write(store, out, sequence=sequence, projection=projection)
    say(f"wrote {out}")
