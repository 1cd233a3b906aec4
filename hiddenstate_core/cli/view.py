"""`hiddenstate view`: serve the viewer for one or several traces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Trace stores.")],
    model: Annotated[
        list[Path] | None, typer.Option(help="Checkpoint that recorded a store, for typed sentences; repeatable.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve on; others than this machine need a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port; another is taken if it is in use.", min=0, max=65535)] = 5006,
    token: Annotated[
        str | None,
        typer.Option(help="What visitors must have; HIDDENSTATE_TOKEN by default, else a random one where needed."),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let anyone who can reach the server look at everything.")
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="HOST or HOST:PORT of a proxy in front, as browsers see it; repeatable.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Path under which a proxy shows the server, such as /tools/states.")] = "",
    max_sessions: Annotated[int, typer.Option(help="Pages that may be open at once.", min=1)] = 64,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser at the page.")] = False,
) -> None:
    """Serve the viewer for one or several trace stores and print its address."""
    from hiddenstate_core.viewing import ServeOptions, view

    options = ServeOptions(
        token=token, no_token=no_token, origins=tuple(origin or ()), prefix=prefix, max_sessions=max_sessions
    )
    view(stores, host=host, port=port, models=model or (), options=options, open_browser=open_browser)
