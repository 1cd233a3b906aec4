"""`hiddenstate extract`: run a model over a corpus and record its states."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hiddenstate_core.cli.common import corpus_names, existing, say
from hiddenstate_core.errors import InputError

__all__ = ["command"]


def command(
    model: Annotated[Path, typer.Argument(help="A checkpoint, made by `hiddenstate train`.")],
    store: Annotated[Path, typer.Argument(help="Where the trace store is made.")],
    corpus: Annotated[str | None, typer.Option(help="What to read; the corpus trained on by default.")] = None,
    split: Annotated[str, typer.Option(help="Which split of it.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only the first sequences, this many.", min=1)] = None,
    record: Annotated[
        str, typer.Option(help="Some of hidden, cell, gates, separated by commas.")
    ] = "hidden,cell,gates",
    batch_size: Annotated[int, typer.Option(help="Sequences run at once.", min=1)] = 128,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another recording at STORE.")] = False,
) -> None:
    """Record hidden states, cell states, gates and predictions at every step into a Zarr store.

    A recording that was interrupted is finished by the same command.
    """
    from hiddenstate_core.corpora.load import load_corpus
    from hiddenstate_core.models import load_model
    from hiddenstate_core.traces.extract import ExtractOptions, extract

    loaded_model = load_model(existing(model, "model"))
    name = corpus or loaded_model.metadata.get("corpus", {}).get("name")
    if corpus is not None and corpus not in corpus_names:
        raise InputError(f"There is no corpus {corpus!r}; the known ones are {', '.join(corpus_names)}.")
    if name not in corpus_names:
        raise InputError(
            f"The model was trained on {name!r}, which is not a corpus known by name; "
            f"name one with --corpus ({', '.join(corpus_names)}), or call hiddenstate_core.extract."
        )
    choices: dict[str, Any] = {"topics": loaded_model.classes} if name == "reuters" else {}
    if name == "imdb" and split == "unsup":
        choices["splits"] = ("unsup",)
    chosen = load_corpus(name, vocabulary=len(loaded_model.vocabulary), **choices).take_split(split)
    if limit is not None:
        chosen = chosen.select(np.arange(min(limit, len(chosen))))
    trace = extract(
        loaded_model,
        chosen,
        store,
        record=[q.strip() for q in record.split(",") if q.strip()],
        options=ExtractOptions(batch_size=batch_size, overwrite=overwrite),
    )
    say(f"{trace.steps:,} states of {len(trace):,} sequences in {store}")
