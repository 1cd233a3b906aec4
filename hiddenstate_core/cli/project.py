"""`hiddenstate project`: map a trace's states into the plane."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate_core.cli.common import say

__all__ = ["command"]


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    name: Annotated[str | None, typer.Option(help="Name of the projection; the method's by default.")] = None,
    method: Annotated[str, typer.Option(help="tsne or pca.")] = "tsne",
    perplexity: Annotated[float, typer.Option(help="Effective number of neighbours (t-SNE).")] = 30.0,
    layer: Annotated[int, typer.Option(help="Whose states; -1 is the last layer.")] = -1,
    quantity: Annotated[str, typer.Option(help="hidden, cell, or gate:<name>, such as gate:forget.")] = "hidden",
    direction: Annotated[
        str | None, typer.Option(help="forward or backward, of a network that reads both ways.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of whatever is random.", min=0, max=2**32 - 1)] = 0,
    iterations: Annotated[int, typer.Option(help="Steps of the optimiser (t-SNE).", min=1)] = 750,
    affinity: Annotated[
        str, typer.Option(help="gaussian, or uniform for tens of millions of states (t-SNE).")
    ] = "gaussian",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder to save a long run in, from where the same command goes on (t-SNE).")
    ] = None,
    quality: Annotated[
        bool | None,
        typer.Option(
            "--quality/--no-quality", help="Measure each point's quality; by default of up to 200,000 states."
        ),
    ] = None,
) -> None:
    """Project the states by t-SNE or PCA and store the map in the trace.

    A projection of that name made with the same options is kept, one made with others is replaced.
    """
    from hiddenstate_core.pipeline import ProjectionOptions, project
    from hiddenstate_core.traces.trace import Trace

    trace = Trace(store)
    options = ProjectionOptions(
        method=method,
        perplexity=perplexity,
        layer=layer,
        seed=seed,
        iterations=iterations,
        affinity=affinity,
        quantity=quantity,
        direction=direction,
    )
    computed = project(trace, name, options, checkpoint=checkpoint, quality=quality)
    stored = trace.projection(method if name is None else name)
    divergence = stored.attributes.get("kl_divergence")
    told = f", KL {divergence:.4f}" if isinstance(divergence, float) else ""
    say(f"{'made' if computed else 'kept'} projection {stored.name!r}: {trace.steps:,} states{told}")
