"""`hiddenstate view`: serve the viewer for a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; another is taken if it is in use.", min=0, max=65535)] = 5006,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser at the page.")] = False,
) -> None:
    """Serve the viewer for a trace store and print its address."""
    from hiddenstate_core.viewing import view

    view(store, host=host, port=port, open_browser=open_browser)
