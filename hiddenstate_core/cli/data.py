"""`hiddenstate data`: load a corpus (downloading it where needed) and say what it holds."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.table import Table

from hiddenstate_core.cli.common import console, is_own, no_topics, parse_topics

__all__ = ["command"]


def command(
    corpus: Annotated[str, typer.Argument(help="stdlib, imdb or reuters; or a file or folder.")] = "stdlib",
    vocabulary: Annotated[
        int | None, typer.Option(help="Known words, the most frequent of the train split.", min=2)
    ] = None,
    topics: Annotated[str | None, typer.Option(help="reuters: how many topics, or names separated by commas.")] = None,
    text: Annotated[str, typer.Option(help="Column of a file's texts.")] = "text",
    label: Annotated[str | None, typer.Option(help="Column of their labels; 'label' by default.")] = None,
) -> None:
    """Fetch a corpus if it is not here yet, and count its sequences by class and split."""
    from hiddenstate_core.corpora.files import read_corpus
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.models.recipes import OWN

    chosen = parse_topics(topics)
    if not is_own(corpus):
        loaded = load_corpus(corpus, vocabulary=vocabulary, topics=chosen)
    else:
        no_topics(chosen)
        loaded = read_corpus(corpus, text=text, label=label, vocabulary=vocabulary or OWN.vocabulary)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("class")
    for split in loaded.splits:
        table.add_column(split, justify="right")
    names = [*enumerate(loaded.classes), (-1, "(not labelled)")]
    for number, name in names:
        counts = [int(((loaded.labels == number) & (loaded.split == s)).sum()) for s in range(len(loaded.splits))]
        if number >= 0 or any(counts):
            table.add_row(name, *(f"{n:,}" for n in counts))
    out = console()
    out.print(
        f"{loaded.name}: {len(loaded):,} sequences, {len(loaded.tokens):,} words, "
        f"{len(loaded.vocabulary):,} of {len(loaded.lexicon):,} distinct words known, "
        f"{np.median(loaded.lengths) if len(loaded) else 0:.0f} words in the median sequence"
    )
    out.print(table)
