"""`hiddenstate extract`: run a model over a corpus and record its states."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from hiddenstate_core.cli.common import corpus_names, existing, is_own, say
from hiddenstate_core.errors import InputError

if TYPE_CHECKING:
    from hiddenstate_core.corpora.corpus import Corpus
    from hiddenstate_core.models import Model

__all__ = ["command"]


def command(
    model: Annotated[Path, typer.Argument(help="A checkpoint, made by `hiddenstate train`.")],
    store: Annotated[Path, typer.Argument(help="Where the trace store is made.")],
    corpus: Annotated[
        str | None,
        typer.Option(help="What to read: a corpus by name, or a file or folder; what was trained on by default."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which split of it.")] = "test",
    text: Annotated[str, typer.Option(help="Column of the texts, where the corpus is a file.")] = "text",
    label: Annotated[str | None, typer.Option(help="Column of their labels; 'label' by default.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first sequences, this many.", min=1)] = None,
    record: Annotated[
        str, typer.Option(help="Some of hidden, cell, gates, or single gates, separated by commas; 'all' that it has.")
    ] = "all",
    layers: Annotated[
        str, typer.Option(help="Layers to keep, separated by commas; -1 is the last. All by default.")
    ] = "",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16: how states are stored.")] = "float32",
    every: Annotated[int, typer.Option(help="Keep every n-th step, and each sequence's last.", min=1)] = 1,
    top: Annotated[int, typer.Option(help="Next words kept of a language model.", min=1)] = 10,
    probabilities: Annotated[bool, typer.Option(help="Whether the readout is applied at every step.")] = True,
    compress: Annotated[
        bool, typer.Option("--compress", help="Compress states with Zstandard (8 %, and slower).")
    ] = False,
    memory: Annotated[
        int | None,
        typer.Option(help="MiB for states on their way to the disk; 130 for 100 hidden units, at most 1024.", min=1),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; one a core by default.", min=1)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another recording at STORE, or a damaged one.")
    ] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="Record on a Dask cluster: its scheduler's address, such as tcp://10.0.0.5:8786.")
    ] = None,
) -> None:
    """Record hidden states, cell states, gates and predictions at every step into a Zarr store.

    A recording that was interrupted is finished by the same command. The workers of a cluster write into STORE
    themselves, so it must lie on a file system that all of them share.
    """
    from hiddenstate_core.cluster import connect, extract
    from hiddenstate_core.models import load_model
    from hiddenstate_core.traces.extract import ExtractOptions
    from hiddenstate_core.traces.record import Record, as_record

    options = ExtractOptions(
        memory=None if memory is None else memory * 2**20,
        threads=threads,
        compression="zstd" if compress else "none",
        overwrite=overwrite,
    )
    with contextlib.ExitStack() as stack:
        # First, so that a wrong address is told before anything is loaded.
        client = None if scheduler is None else stack.enter_context(connect(scheduler))
        loaded_model = load_model(existing(model, "model"))
        wanted = None if record == "all" else [name.strip() for name in record.split(",") if name.strip()]
        kept = as_record(wanted, loaded_model.spec.cell).to_dict()
        kept |= {"layers": _layers(layers), "dtype": dtype, "every": every, "top": top, "probabilities": probabilities}
        spec = loaded_model.spec
        # Checked before the corpus is loaded, which may mean a download.
        resolved = Record.from_dict(kept).resolve(spec.cell, len(spec.hidden))
        chosen = _corpus(loaded_model, corpus, split, limit, (text, label))
        trace = extract(loaded_model, chosen, store, record=resolved, options=options, client=client)
    say(f"{trace.steps:,} states of {len(trace):,} sequences in {store}")


def _corpus(model: Model, corpus: str | None, split: str, limit: int | None, columns: tuple[str, str | None]) -> Corpus:
    """What is read: the corpus named, or the one that the model was trained on."""
    from hiddenstate_core.corpora.files import read_corpus
    from hiddenstate_core.corpora.load import load_corpus

    name = corpus or model.metadata.get("corpus", {}).get("name")
    if corpus is not None and is_own(corpus):
        text, label = columns
        classes, cut = model.classes or None, model.tokenizer or None
        read = read_corpus(
            corpus, text=text, label=label, classes=classes, vocabulary=model.vocabulary, tokenizer=cut
        ).take_split(split)
        return read if limit is None else read.select(np.arange(min(limit, len(read))))
    if name not in corpus_names:
        raise InputError(
            f"The model was trained on {name!r}, which is not a corpus known by name; say with --corpus what to read: "
            f"{', '.join(corpus_names)}, or the file or folder of your texts."
        )
    choices: dict[str, Any] = {"topics": model.classes} if name == "reuters" and model.classes else {}
    if name == "imdb" and split == "unsup":
        choices["splits"] = ("unsup",)
    chosen = load_corpus(name, vocabulary=len(model.vocabulary), **choices).take_split(split)
    return chosen if limit is None else chosen.select(np.arange(min(limit, len(chosen))))


def _layers(text: str) -> list[int] | None:
    """Layers as typed, such as ``0,-1``; None for all."""
    if not text.strip():
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--layers takes whole numbers separated by commas, such as 0,-1; not {text!r}.") from None
