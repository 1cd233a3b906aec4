"""What workers need to record portions, as files in the partial store: no pickle, and no worker sees it by accident."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.errors import StoreError
from hiddenstate_core.models.model import Model
from hiddenstate_core.traces.plan import Plan, make_plan
from hiddenstate_core.traces.record import Record
from hiddenstate_core.traces.writer import Writer

__all__ = ["begin_job", "close_job", "end_job", "is_open", "read_job"]

#: Beside the marks of the portions, so that it goes with them when the store is whole; only files named ``*.json`` are
#: marks.
_FOLDER, _PREFIX = ".done", "job-"
_ARRAYS = ("tokens", "surface", "offsets", "labels", "split", "features")
_STRINGS = ("classes", "lexicon", "splits", "ids")
#: Their results must agree to the bit.
_VERSIONS = ("hiddenstate", "jax", "zarr", "numpy")


def begin_job(writer: Writer, model: Model) -> Path:
    """Write a model and the corpus as it reads it to a folder of its own in the partial store; returns the folder.

    Folders of runs that were killed are removed, so that workers which still record for them stop.
    """
    marks = writer.partial.absolute() / _FOLDER
    for old in marks.glob(f"{_PREFIX}*"):
        shutil.rmtree(old, ignore_errors=True)
    folder = marks / f"{_PREFIX}{secrets.token_hex(8)}"
    plan, corpus = writer.plan, writer.plan.corpus
    model.save(folder)
    strings: dict[str, Any] = {name: getattr(corpus, name) for name in _STRINGS}
    strings |= {"name": corpus.name, "vocabulary": corpus.vocabulary.words}
    (folder / "corpus.json").write_text(json.dumps(strings), encoding="utf-8")
    for name in _ARRAYS:
        values = getattr(corpus, name)
        if values is not None:
            np.save(folder / f"corpus-{name}.npy", np.ascontiguousarray(values), allow_pickle=False)
    job = {"record": plan.record.to_dict(), "compressed": plan.compressed, "versions": _versions(plan)}
    (folder / "job.json").write_text(json.dumps({**job, "fingerprint": plan.attributes["fingerprint"]}))
    return folder


def close_job(folder: Path) -> None:
    """Have workers begin nothing more; what they have computed they may still write."""
    (folder / "job.json").unlink(missing_ok=True)


def end_job(folder: Path) -> None:
    """Have workers write nothing more, and remove what they were given."""
    shutil.rmtree(folder, ignore_errors=True)


def is_open(folder: Path) -> bool:
    """Whether portions are still wanted."""
    return (folder / "job.json").is_file()


def read_job(folder: Path, who: str) -> tuple[Plan, Model]:
    """The recording and its model, from the files of `begin_job`.

    Parameters
    ----------
    folder : Path
        From `begin_job`.
    who : str
        Who reads, for messages.

    Raises
    ------
    StoreError
        The folder is not seen from here, or other versions are installed here.
    """
    if not is_open(folder):
        raise StoreError(
            f"The {who} does not see {folder.parents[1]}; a store that a cluster records must lie on a file system "
            "that every worker shares, under the same path."
        )
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    strings = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    arrays: dict[str, Any] = {
        name: np.load(path, allow_pickle=False) for name in _ARRAYS if (path := folder / f"corpus-{name}.npy").is_file()
    }
    names: dict[str, Any] = {name: tuple(strings[name]) for name in _STRINGS}
    corpus = Corpus(name=strings["name"], vocabulary=Vocabulary(tuple(strings["vocabulary"])), **names, **arrays)
    model = Model.load(folder)
    plan = make_plan(model, corpus, Record.from_dict(job["record"]), compressed=job["compressed"])
    for name, version in _versions(plan).items():
        if version != job["versions"][name]:
            raise StoreError(
                f"The {who} has {name} {version}, the client {job['versions'][name]}; install the same version "
                "everywhere, so that every portion comes out the same."
            )
    if plan.attributes["fingerprint"] != job["fingerprint"]:
        raise StoreError(f"The {who} read another model or corpus from {folder} than the client wrote there.")
    return plan, model


def _versions(plan: Plan) -> dict[str, str]:
    return {name: str(plan.attributes["versions"].get(name)) for name in _VERSIONS}
