"""Tiny archives in the official formats, made up word by word."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDERS = ("train/neg", "train/pos", "test/neg", "test/pos", "train/unsup")


def write_tar(path: Path, members: Mapping[str, bytes] | Iterable[tarfile.TarInfo | tuple[str, bytes]]) -> Path:
    """A ``.tar.gz`` of these files (or bare headers)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = members.items() if isinstance(members, Mapping) else members
    with tarfile.open(path, "w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
                continue
            name, content = entry
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def reviews(each: int = 3, unsup: int = 6) -> dict[str, bytes]:
    """Members of an IMDB archive with `each` reviews a labelled folder."""
    members: dict[str, bytes] = {"aclImdb/README": b"read me", "aclImdb/train/labeledBow.feat": b"9 0:1"}
    for folder in FOLDERS:
        for number in range(unsup if folder.endswith("unsup") else each):
            mood = {"neg": "dull", "pos": "fine"}.get(folder[-3:], "some")
            text = f"A {mood} film.<br /><br />Number {number}, isn't it? Caf\u00e9!"
            members[f"aclImdb/{folder}/{number}_{number % 10}.txt"] = text.encode()
    return members


def newswire(number: int, split: str, topics: Iterable[str], text: str, *, marked: str = "YES", kind: str = "") -> str:
    """One newswire in the official SGML."""
    marks = "".join(f"<D>{topic}</D>" for topic in topics)
    opening = f'<TEXT TYPE="{kind}">' if kind else "<TEXT>"
    return (
        f'<REUTERS TOPICS="{marked}" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="1" NEWID="{number}">\n'
        f"<DATE>26-FEB-1987</DATE>\n<TOPICS>{marks}</TOPICS>\n<PLACES><D>usa</D></PLACES>\n"
        f"<UNKNOWN> \n&#5;&#5;&#5;C T\n</UNKNOWN>\n{opening}&#2;\n{text}\n</TEXT>\n</REUTERS>\n"
    )


def body(title: str, words: str) -> str:
    """Text element of a whole newswire."""
    return f"<TITLE>{title}</TITLE>\n<DATELINE>    CHICAGO, Feb 26 - </DATELINE><BODY>{words}\n Reuter\n&#3;</BODY>"


def newswires() -> dict[str, bytes]:
    """Members of a Reuters archive: ten newswires in two files, with what makes the real ones hard to read."""
    head = '<!DOCTYPE lewis SYSTEM "lewis.dtd">\n'
    first = [
        newswire(1, "TRAIN", ["earn"], body("ACME &lt;ACM.O> NET", "Profit was 5 mln dlrs &amp; rising\x07.")),
        newswire(2, "TRAIN", ["acq", "gold"], body("TAKEOVER", "A firm buys a mine.")),
        newswire(3, "TRAIN", ["earn", "acq"], body("BOTH", "Two of the wanted topics.")),
        newswire(4, "TRAIN", ["earn"], "<TITLE>ONLY A TITLE</TITLE>", kind="BRIEF"),
        newswire(5, "TRAIN", ["earn"], "<TITLE>RAW</TITLE>\nprofit soars\n<AUTHOR> by someone</AUTHOR>", kind="UNPROC"),
    ]
    second = [
        newswire(6, "TEST", ["earn"], body("QUARTER", "Soci\xe9t\xe9 reports a profit.")),
        newswire(7, "TEST", ["acq"], body("BUYOUT", "Shares bought.")),
        newswire(8, "TEST", ["acq"], body("NOT MARKED", "Left out."), marked="NO"),
        newswire(9, "NOT-USED", ["acq"], body("NOT USED", "Left out.")),
        newswire(10, "TRAIN", ["acq"], body("", " ")),
    ]
    return {
        "reut2-001.sgm": (head + "".join(second)).encode("latin-1"),
        "reut2-000.sgm": (head + "".join(first)).encode("latin-1"),
        "README.txt": b"read me",
    }
