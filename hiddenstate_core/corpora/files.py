"""`read_corpus`: texts of one's own from a CSV, TSV, JSON Lines or Parquet file, or from a folder of text files."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hiddenstate_core.corpora.corpus import Corpus, Vocabulary
from hiddenstate_core.corpora.texts import corpus_from_texts
from hiddenstate_core.errors import CorpusError, InputError, MissingExtraError

__all__ = ["FORMATS", "read_corpus"]

#: A row: where it stands, for messages and ids, and its values by column.
Row = tuple[str, dict[str, Any]]

#: Columns of text, label, split and id where no other name is given; all but the first need not be there.
_DEFAULTS = ("text", "label", "split", "id")
#: Folders that are splits and not classes, where every folder beside them is one too.
_SPLITS = ("train", "test", "validation", "valid", "val", "dev")
#: Characters of a field of a CSV file: a long text, but not a whole file behind a quote that is never closed.
_LONGEST_FIELD = 2**24
_PARTS = 10_000


def read_corpus(
    path: str | os.PathLike[str],
    *,
    text: str = "text",
    label: str | None = None,
    split: str | None = None,
    id: str | None = None,
    classes: Sequence[str] | None = None,
    test: float = 0.2,
    vocabulary: int | Vocabulary = 10_000,
    tokenizer: str | None = None,
) -> Corpus:
    """Read a corpus from files of your own.

    Parameters
    ----------
    path : path-like
        A file ``.csv``, ``.tsv`` (the first line names the columns), ``.jsonl`` or ``.ndjson`` (an object a line), or
        ``.parquet``; or a folder of ``.txt`` files: ``CLASS/NAME.txt``, ``SPLIT/CLASS/NAME.txt`` (splits are folders
        named train, test, validation, valid, val or dev), or ``NAME.txt`` where no class is known. Text is UTF-8.
    text, label, split, id : str
        Columns of a file. By default "text", and "label", "split" and "id" where the file has them. An empty label is
        one that is not known. Ids are "row 1" and so on where there are none, and paths in a folder.
    classes : sequence of str, optional
        Class names, such as ``model.classes``; by default those found, in order of number where all are numbers, else
        of the alphabet.
    test : float
        Share of the texts that become the "test" split where nothing else says which are: those whose id has the least
        SHA-256, so that a text stays where it is when others are added. 0 for none.
    vocabulary : int or Vocabulary
        As for `corpus_from_texts`.
    tokenizer : str, optional
        As for `corpus_from_texts`.

    Returns
    -------
    Corpus
        In the order of the file, or of the paths in a folder. Named after the file.

    Raises
    ------
    InputError
        Nothing at `path`, a format or an option that is not known, or a column that is not there.
    CorpusError
        A file that is damaged or not UTF-8, or a row that cannot be read, by its line.
    MissingExtraError
        A Parquet file without pyarrow installed.

    Notes
    -----
    O(characters); the whole text is held in memory. Nothing outside a folder is read: links in it are passed over.
    """
    source = Path(path)
    if isinstance(test, bool) or not isinstance(test, (int, float)) or not 0 <= test < 1:
        raise InputError(f"test must be a share of the texts from 0 to below 1, not {test!r}.")
    if not source.exists():
        raise InputError(f"There is no file or folder {source} to read a corpus from.")
    wanted = {"text": text, "label": label, "split": split, "id": id}
    if source.is_dir():
        given = [name for name in ("label", "split", "id") if wanted[name] is not None] + ["text"] * (text != "text")
        if given:
            raise InputError(f"{source} is a folder, which has no columns; leave out {', '.join(given)}.")
        columns = _folder(source)
    else:
        columns = _columns(source, wanted)
    texts, labels, splits, ids = columns
    if not texts:
        raise CorpusError(f"{source} holds no texts.")
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise CorpusError(f"{source} has the id {twice!r} more than once; each text needs one of its own.")
    named = labels if any(value is not None for value in labels) or classes else None
    if named is not None and classes is None:
        classes = _ordered({value for value in named if value is not None})
    return corpus_from_texts(
        texts,
        named,
        classes,
        vocabulary=vocabulary,
        split=splits or _shared_out(ids, float(test)),
        ids=ids,
        name=source.stem or "texts",
        tokenizer=tokenizer,
    )


#: Texts, labels, splits (empty where nothing names them) and ids.
_Columns = tuple[list[str], list[str | None], list[str], list[str]]


def _columns(source: Path, wanted: dict[str, str | None]) -> _Columns:
    kind = source.suffix.lower()
    if kind not in FORMATS:
        raise InputError(
            f"{source.name} is none of the files that a corpus is read from: {', '.join(FORMATS)}, or a folder of "
            ".txt files."
        )
    names = {what: given or default for (what, given), default in zip(wanted.items(), _DEFAULTS, strict=True)}
    # Only these four are kept of a row, which may have many more.
    rows: list[tuple[str, list[Any]]] = []
    seen: dict[str, None] = {}
    for where, row in FORMATS[kind](source):
        seen |= dict.fromkeys(row)
        rows.append((where, [row.get(name) for name in names.values()]))
    for what, name in names.items():
        if rows and name not in seen and (what == "text" or wanted[what] is not None):
            raise InputError(
                f"{source} has no column {name!r} for the {what}; its columns are "
                f"{', '.join(map(repr, list(seen)[:20])) or '(none)'}. Say which one it is with {what}."
            )
    texts: list[str] = []
    labels: list[str | None] = []
    splits: list[str] = []
    ids: list[str] = []
    for number, (where, (text, label, split, id)) in enumerate(rows, 1):
        if not isinstance(text, str):
            raise CorpusError(f"{source}, {where}: the text must be text, not {_shown(text)}.")
        texts.append(text)
        labels.append(_label(source, where, label))
        if names["split"] in seen:
            if not isinstance(split, str) or not split.strip():
                raise CorpusError(f"{source}, {where}: the split must be a name such as train, not {_shown(split)}.")
            splits.append(split.strip())
        ids.append(_id(source, where, id) if names["id"] in seen else f"row {number}")
    return texts, labels, splits, ids


def _label(source: Path, where: str, value: Any) -> str | None:
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise CorpusError(f"{source}, {where}: the label must be a name or a whole number, not {_shown(value)}.")
    return str(value).strip() or None


def _id(source: Path, where: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise CorpusError(f"{source}, {where}: the id must be a name or a whole number, not {_shown(value)}.")
    return str(value)


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.40}"


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Class names in order: of number where all are, else of the alphabet."""
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _shared_out(ids: list[str], test: float) -> list[str]:
    order = sorted(range(len(ids)), key=lambda at: hashlib.sha256(ids[at].encode("utf-8", "replace")).digest())
    chosen = set(order[: round(test * len(ids))])
    return ["test" if at in chosen else "train" for at in range(len(ids))]


# -- formats -----------------------------------------------------------------------------------------------------------


def _csv(source: Path, delimiter: str = ",") -> Iterator[Row]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, None)
            if header is None:
                return
            if len(set(header)) < len(header):
                raise CorpusError(f"{source} names a column twice: {', '.join(header[:20])}.")
            for values in reader:
                if not values:
                    continue
                where = f"line {reader.line_num}"
                if len(values) != len(header):
                    raise CorpusError(
                        f"{source}, {where}: {len(values)} values, but the first line names {len(header)} columns; "
                        "put texts that hold the delimiter in quotes."
                    )
                yield where, dict(zip(header, values, strict=True))
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from error
    except csv.Error as error:
        raise CorpusError(f"{source} is damaged at line {reader.line_num} ({error}).") from error
    finally:
        csv.field_size_limit(before)


def _tsv(source: Path) -> Iterator[Row]:
    return _csv(source, "\t")


def _json_lines(source: Path) -> Iterator[Row]:
    try:
        with source.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (json.JSONDecodeError, RecursionError) as error:
                    raise CorpusError(f"{source}, line {number}: this is no JSON ({error}).") from error
                if not isinstance(row, dict):
                    raise CorpusError(f'{source}, line {number}: expected an object such as {{"text": ...}}.')
                yield f"line {number}", row
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from error


def _parquet(source: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow: python -m pip install 'hiddenstate[parquet]'") from error
    try:
        with pq.ParquetFile(source) as file:
            number = 0
            for batch in file.iter_batches(_PARTS):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{source} is damaged or no Parquet file ({str(error)[:120]}).") from error


#: How the rows of a file are read, by the end of its name.
FORMATS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}


def _folder(source: Path) -> _Columns:
    texts: list[str] = []
    labels: list[str | None] = []
    splits: list[str] = []
    ids: list[str] = []
    first = sorted(entry.name for entry in source.iterdir() if entry.is_dir() and not entry.is_symlink())
    by_split = bool(first) and all(name in _SPLITS for name in first)
    for file in sorted(_text_files(source)):
        parts = file.relative_to(source).parts
        folders = parts[:-1]
        if by_split and not folders:
            raise CorpusError(f"{file} lies beside the folders {', '.join(first)}; put it into one of them.")
        if len(folders) > 1 + by_split:
            raise CorpusError(
                f"{file} lies too deep: texts are looked for as CLASS/NAME.txt or SPLIT/CLASS/NAME.txt in {source}."
            )
        if by_split:
            splits.append(folders[0])
        labels.append(folders[by_split] if len(folders) > by_split else None)
        ids.append("/".join(parts).removesuffix(".txt"))
        try:
            texts.append(file.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            raise _not_utf8(file, error) from error
        except OSError as error:
            raise CorpusError(f"{file} cannot be read: {error.strerror or error}.") from error
    return texts, labels, splits, ids


def _text_files(folder: Path) -> Iterator[Path]:
    """Text files below a folder; links are passed over, so that nothing outside is read."""
    for entry in folder.iterdir():
        if entry.is_symlink() or entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _text_files(entry)
        elif entry.suffix.lower() == ".txt":
            yield entry


def _not_utf8(source: Path, error: UnicodeDecodeError) -> CorpusError:
    return CorpusError(f"{source} is not UTF-8 ({error.reason} at byte {error.start}); save it in that encoding.")
