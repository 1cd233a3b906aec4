"""`hiddenstate demo`: the main job from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate_core.cli.common import say

__all__ = ["command"]


def command(
    corpus: Annotated[str, typer.Argument(help="stdlib, imdb or reuters.")] = "stdlib",
    out: Annotated[Path | None, typer.Option(help="Folder for the results; hiddenstate-CORPUS by default.")] = None,
    serve: Annotated[bool, typer.Option(help="Serve the viewer when done.")] = True,
    port: Annotated[
        int, typer.Option(help="Port of the viewer; another is taken if it is in use.", min=0, max=65535)
    ] = 5006,
    seed: Annotated[int | None, typer.Option(help="Seed of the training; the recipe's by default.", min=0)] = None,
) -> None:
    """Train on a corpus, record and project its states, write a report, and serve the viewer.

    A second run goes on from what is there.
    """
    from hiddenstate_core.pipeline import run_demo

    target = out if out is not None else Path(f"hiddenstate-{corpus}")
    trace = run_demo(corpus, target, say=say, seed=seed)
    if serve:
        from hiddenstate_core.viewing import view

        view(trace, port=port, open_browser=False)
    else:
        say(f"Look at it with: hiddenstate view {trace.path}")
