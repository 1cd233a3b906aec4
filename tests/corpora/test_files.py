"""Corpora from files of one's own: what is read, in which order, and how what cannot be read is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiddenstate_core.corpora import read_corpus
from hiddenstate_core.corpora.corpus import Corpus
from hiddenstate_core.errors import CorpusError, HiddenStateError, InputError

ROWS: list[dict[str, Any]] = [
    {"text": 'A moving, "powerful" film', "label": "pos", "split": "train", "id": "a"},
    {"text": "dull\nfrom start to end", "label": "neg", "split": "train", "id": "b"},
    {"text": "ünübersehbar 好 film", "label": None, "split": "test", "id": "c"},
]


def quoted(value: object) -> str:
    return '"' + ("" if value is None else str(value)).replace('"', '""') + '"'


def table(rows: list[dict[str, Any]], delimiter: str) -> str:
    lines = [delimiter.join(rows[0]), *(delimiter.join(map(quoted, row.values())) for row in rows)]
    return "\r\n".join(lines) + "\r\n"


def save(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix in (".csv", ".tsv"):
        path.write_bytes(b"\xef\xbb\xbf" + table(rows, "," if path.suffix == ".csv" else "\t").encode())
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", "utf-8")
    return path


def check(corpus: Corpus) -> None:
    assert corpus.classes == ("neg", "pos")
    assert corpus.labels.tolist() == [1, 0, -1]
    assert corpus.ids == ("a", "b", "c")
    assert [corpus.splits[s] for s in corpus.split] == ["train", "train", "test"]
    assert corpus.text(0) == ["a", "moving", "powerful", "film"]
    assert corpus.text(1) == ["dull", "from", "start", "to", "end"]
    assert corpus.text(2) == ["ünübersehbar", "好", "film"]
    assert corpus.name == "reviews"
    assert corpus.tokens[-1] == corpus.vocabulary.encode(["film"])[0]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_every_format_gives_the_same(tmp_path: Path, ending: str) -> None:
    check(read_corpus(save(tmp_path / f"reviews.{ending}", ROWS)))


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_columns_of_other_names(tmp_path: Path, ending: str) -> None:
    names = {"text": "body", "label": "stars", "split": "part", "id": "key"}
    rows = [{"more": 7} | {names[key]: value for key, value in row.items()} for row in ROWS]
    path = save(tmp_path / f"reviews.{ending}", rows)
    check(read_corpus(path, text="body", label="stars", split="part", id="key"))
    with pytest.raises(InputError, match=r"no column 'text' for the text; its columns are 'more', 'body', 'stars'"):
        read_corpus(path)
    with pytest.raises(InputError, match="no column 'x' for the label"):
        read_corpus(path, text="body", label="x")


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    for row in ROWS[:2]:
        file = folder / "train" / row["label"] / f"{row['id']}.txt"
        file.parent.mkdir(parents=True)
        file.write_text(row["text"], "utf-8")
    (folder / "test").mkdir()
    (folder / "test" / "c.txt").write_text(ROWS[2]["text"], "utf-8")
    (folder / "train" / "notes.md").write_text("not read")
    (folder / "train" / "pos" / ".hidden.txt").write_text("not read")
    (tmp_path / "outside.txt").write_text("not read")
    (folder / "train" / "pos" / "link.txt").symlink_to(tmp_path / "outside.txt")
    corpus = read_corpus(folder)
    assert corpus.ids == ("test/c", "train/neg/b", "train/pos/a")
    assert corpus.labels.tolist() == [-1, 0, 1]
    assert [corpus.splits[s] for s in corpus.split] == ["test", "train", "train"]
    assert corpus.text(2) == ["a", "moving", "powerful", "film"]
    plain = read_corpus(folder / "train", test=0)
    assert (plain.ids, plain.classes, plain.splits) == (("neg/b", "pos/a"), ("neg", "pos"), ("train",))
    assert read_corpus(folder / "train" / "pos").classes == ()
    with pytest.raises(InputError, match="is a folder, which has no columns; leave out label"):
        read_corpus(folder, label="x")
    (folder / "train" / "pos" / "deep").mkdir()
    (folder / "train" / "pos" / "deep" / "d.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"d\.txt lies too deep"):
        read_corpus(folder)


@given(count=st.integers(1, 60), more=st.integers(0, 20), share=st.sampled_from([0.0, 0.2, 0.5]))
@settings(max_examples=20, deadline=None)
def test_what_is_a_test_text_stays_one(
    tmp_path_factory: pytest.TempPathFactory, count: int, more: int, share: float
) -> None:
    folder = tmp_path_factory.mktemp("shares")

    def tested(number: int) -> list[str]:
        rows = [{"text": f"word {k}", "label": str(k % 11)} for k in range(number)]
        corpus = read_corpus(save(folder / "t.jsonl", rows), test=share)
        if number >= 11:  # classes that are numbers are in the order of numbers
            assert corpus.classes == tuple(map(str, range(11)))
        return [name for name, split in zip(corpus.ids, corpus.split, strict=True) if corpus.splits[split] == "test"]

    few, many = tested(count), tested(count + more)
    assert len(few) == round(share * count)
    # Of the texts there were, no more are tested than before but for the share of those that came.
    assert len(set(few) - set(many)) <= more


def text(content: str | bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


BROKEN: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "too many values": ("t.csv", text("text,label\na,b\nc,d,e\n"), r"line 3: 3 values, but the first line names 2"),
    "a column twice": ("t.csv", text("text,text\na,b\n"), "names a column twice"),
    "not UTF-8": ("t.csv", text(b"text\nna\xefve\n"), r"not UTF-8 .* at byte"),
    "UTF-16": ("t.jsonl", text('{"text": "a"}'.encode("utf-16")), "not UTF-8"),
    "no JSON": ("t.jsonl", text('{"text": "a"}\n{"text": \n'), "line 2: this is no JSON"),
    "a list": ("t.jsonl", text('["a"]\n'), "line 1: expected an object"),
    "a deep list": ("t.jsonl", text("[" * 100_000), "no JSON"),
    "a number for a text": ("t.jsonl", text('{"text": "a"}\n{"text": 3}\n'), "line 2: the text must be text, not 3"),
    "no text in a row": ("t.jsonl", text('{"text": "a"}\n{"label": "b"}\n'), "line 2: the text must be text, not noth"),
    "a label that is none": (
        "t.jsonl",
        text('{"text": "a", "label": [1]}\n'),
        "label must be a name or a whole number",
    ),
    "no split in a row": ("t.jsonl", text('{"text": "a", "split": "x"}\n{"text": "b"}\n'), "line 2: the split must be"),
    "no id in a row": ("t.jsonl", text('{"text": "a", "id": 1}\n{"text": "b"}\n'), "line 2: the id must be"),
    "an id twice": ("t.jsonl", text('{"text": "a", "id": 1}\n' * 2), "has the id '1' more than once"),
    "no words": ("t.jsonl", text('{"text": "a"}\n{"text": "..."}\n'), "1 of 2 texts has no words"),
    "nothing": ("t.csv", text(""), "holds no texts"),
    "only a header": ("t.csv", text("text,label\n"), "holds no texts"),
    "no Parquet": ("t.parquet", text("PAR1 but no more"), "damaged or no Parquet file"),
    "another ending": ("t.xlsx", text("x"), r"is none of the files that a corpus is read from: \.csv"),
    "no ending": ("t", text("x"), "is none of the files"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    name, write, message = BROKEN[kind]
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    write(tmp_path / name)
    with pytest.raises(HiddenStateError, match=message) as caught:
        read_corpus(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_nothing_there_and_odd_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        read_corpus(tmp_path / "t.csv")
    path = save(tmp_path / "t.csv", ROWS)
    for share in (1.0, -0.1, "a", True, float("nan")):
        with pytest.raises(InputError, match="test must be a share"):
            read_corpus(path, test=share)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="'pos' is not among the classes good"):
        read_corpus(path, classes=("good",))


def test_a_very_long_text_and_the_limit_of_others(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    long = "word " * 60_000
    corpus = read_corpus(save(tmp_path / "t.csv", [{"text": long, "label": "x"}]), test=0)
    assert corpus.lengths.tolist() == [60_000]
    assert csv.field_size_limit() == before


def test_new_texts_are_read_as_a_model_reads_them(tmp_path: Path) -> None:
    corpus = read_corpus(save(tmp_path / "reviews.csv", ROWS))
    other = read_corpus(
        save(tmp_path / "new.jsonl", [{"text": "dull or POWERFUL"}]), classes=corpus.classes,
        vocabulary=corpus.vocabulary, tokenizer=corpus.tokenizer,
    )  # fmt: skip
    assert other.classes == corpus.classes
    assert other.labels.tolist() == [-1]
    np.testing.assert_array_equal(other.tokens, corpus.vocabulary.encode(["dull", "or", "powerful"]))
