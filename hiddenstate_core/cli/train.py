"""`hiddenstate train`: train a classifier or a language model on a corpus, by its recipe unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hiddenstate_core.cli.common import is_own, no_topics, parse_topics, parse_units, say, tested
from hiddenstate_core.errors import InputError

__all__ = ["command"]


def command(
    corpus: Annotated[
        str, typer.Argument(help="stdlib, imdb or reuters; or a .csv, .tsv, .jsonl or .parquet file, or a folder.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder for the checkpoint; CORPUS-model by default.")] = None,
    cell: Annotated[str, typer.Option(help="lstm, gru or rnn.")] = "lstm",
    direction: Annotated[str, typer.Option(help="How the layers read: forward, backward or both.")] = "forward",
    hidden: Annotated[str | None, typer.Option(help="Units of each layer, such as 100 or 64,32.")] = None,
    language_model: Annotated[
        bool, typer.Option("--language-model", help="Predict the next word; the texts' labels play no part.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed; the recipe's by default.", min=0)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split, at most.", min=1)] = None,
    embedding: Annotated[int | None, typer.Option(help="Size of a word's vector.", min=1)] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Read only the last words, this many; a language model is trained on windows of it.", min=1),
    ] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Known words.", min=2)] = None,
    topics: Annotated[str | None, typer.Option(help="reuters: how many topics, or names separated by commas.")] = None,
    text: Annotated[str, typer.Option(help="Column of a file's texts.")] = "text",
    label: Annotated[str | None, typer.Option(help="Column of their labels; 'label' by default.")] = None,
) -> None:
    """Train a model, save its checkpoint, and print its seed and what it reaches on the test split."""
    from hiddenstate_core.corpora.files import read_corpus
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.models import train
    from hiddenstate_core.models.checkpoint import check_target
    from hiddenstate_core.models.recipes import language_recipe, recipe

    for name, given, allowed in (
        ("--cell", cell, ("lstm", "gru", "rnn")),
        ("--direction", direction, ("forward", "backward", "both")),
    ):
        if given not in allowed:
            raise InputError(f"{name} takes {', '.join(allowed[:-1])} or {allowed[-1]}, not {given!r}.")
    if language_model and direction != "forward":
        raise InputError("--language-model reads forward: backward, it would see the word that it is to predict.")
    own = is_own(corpus)
    made = (language_recipe if language_model else recipe)("own" if own else corpus)
    target = check_target(out if out is not None else Path(f"{Path(corpus).stem if own else corpus}-model"))
    changes: dict[str, Any] = {"hidden": parse_units(hidden), "embedding": embedding, "max_length": max_length}
    changes |= {"cell": cell, "direction": direction}
    spec = made.spec.replace(**{k: v for k, v in changes.items() if v is not None})
    changes = {"seed": seed, "epochs": epochs}
    options = made.options.replace(**{k: v for k, v in changes.items() if v is not None})
    words = vocabulary or made.vocabulary
    chosen = parse_topics(topics)
    if own:
        no_topics(chosen)
        loaded = read_corpus(corpus, text=text, label=label, vocabulary=words)
    else:
        loaded = load_corpus(corpus, vocabulary=words, topics=chosen)
    model = train(loaded, spec, options)
    model.save(target)
    found = model.metadata
    say(f"seed {found['seed']}, {found['epochs_run']} epochs, {found['seconds']:.0f} s")
    say(tested(found))
    say(f"saved in {target}")
