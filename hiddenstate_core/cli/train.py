"""`hiddenstate train`: train a classifier on a corpus, by its recipe unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hiddenstate_core.cli.common import parse_topics, parse_units, say

__all__ = ["command"]


def command(
    corpus: Annotated[str, typer.Argument(help="stdlib, imdb or reuters.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the checkpoint; CORPUS-model by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; the recipe's by default.", min=0)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split, at most.", min=1)] = None,
    hidden: Annotated[str | None, typer.Option(help="Units of each LSTM layer, such as 100 or 64,32.")] = None,
    embedding: Annotated[int | None, typer.Option(help="Size of a word's vector.", min=1)] = None,
    max_length: Annotated[int | None, typer.Option(help="Read only the last words, this many.", min=1)] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Known words.", min=2)] = None,
    topics: Annotated[str | None, typer.Option(help="reuters: how many topics, or names separated by commas.")] = None,
) -> None:
    """Train a classifier, save its checkpoint, and print its seed and accuracy on the test split."""
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.models import train
    from hiddenstate_core.models.checkpoint import check_target
    from hiddenstate_core.models.recipes import recipe

    made = recipe(corpus)
    target = check_target(out if out is not None else Path(f"{corpus}-model"))
    changes: dict[str, Any] = {"hidden": parse_units(hidden), "embedding": embedding, "max_length": max_length}
    spec = made.spec.replace(**{k: v for k, v in changes.items() if v is not None})
    changes = {"seed": seed, "epochs": epochs}
    options = made.options.replace(**{k: v for k, v in changes.items() if v is not None})
    loaded = load_corpus(corpus, vocabulary=vocabulary or made.vocabulary, topics=parse_topics(topics))
    model = train(loaded, spec, options)
    model.save(target)
    found = model.metadata
    say(f"seed {found['seed']}, {found['epochs_run']} epochs, {found['seconds']:.0f} s")
    say(f"test accuracy {found['test_accuracy']:.2%} on {found['test_sequences']:,} test sequences")
    say(f"saved in {target}")
