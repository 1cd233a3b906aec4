"""Archives: where they are looked for, how they are fetched, and which are refused."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiddenstate_core.corpora import archives
from hiddenstate_core.corpora.archives import Archive, cache_folder, find_archive, read_members
from hiddenstate_core.errors import ArchiveError, DownloadError
from tests.corpora import tiny

CONTENT = bytes(range(256)) * 1000
ANY = re.compile(r".*\.txt")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT: whole, cut short, altered, or stuck in the middle."""

    def do_GET(self) -> None:
        if self.path == "/none":
            self.send_error(404)
            return
        body = {"/altered": CONTENT[::-1]}.get(self.path, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path in ("/short", "/stuck"):
            self.wfile.write(body[:1000])
            self.wfile.flush()
            if self.path == "/stuck":
                time.sleep(30)
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.block_on_close = False
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def archive(*addresses: str) -> Archive:
    return Archive("A test archive", "test.tar.gz", addresses, hashlib.sha256(CONTENT).hexdigest())


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file()]


def test_users_folder_comes_first_whatever_its_checksum(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test.tar.gz").write_bytes(b"packed again")
    monkeypatch.setenv("HIDDENSTATE_DATA", str(tmp_path / "mine"))
    assert find_archive(archive()) == tmp_path / "mine" / "test.tar.gz"


def test_download_lands_in_the_cache_and_is_not_repeated(cache: Path, server: str) -> None:
    path = find_archive(archive(f"{server}/whole"), progress=False)
    assert path == cache / "archives" / "test.tar.gz"
    assert path.read_bytes() == CONTENT
    assert find_archive(archive("http://127.0.0.1:9/never"), progress=False) == path


def test_progress_is_told_to_the_end(cache: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    told: list[float] = []

    @contextlib.contextmanager
    def bar(title: str, total: float | None, *, show: bool) -> Iterator[object]:
        assert (title, total, show) == ("Downloading test.tar.gz", 1.0, True)
        yield told.append

    monkeypatch.setattr(archives, "progress_bar", bar)
    find_archive(archive(f"{server}/whole"))
    assert sum(told) == pytest.approx(1.0)


def test_damaged_file_in_the_cache_is_fetched_again(cache: Path, server: str) -> None:
    kept = cache / "archives" / "test.tar.gz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(CONTENT[:-1])
    assert find_archive(archive(f"{server}/whole"), progress=False).read_bytes() == CONTENT


def test_second_address_helps_out(cache: Path, server: str) -> None:
    found = find_archive(archive(f"{server}/none", f"{server}/whole"), progress=False)
    assert found.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/altered", "SHA-256 .* instead of"),
        ("/short", "could not be fetched|SHA-256 .* instead of"),
        ("/none", "server answered 404"),
    ],
)
def test_bad_download_leaves_nothing(cache: Path, server: str, path: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message) as caught:
        find_archive(archive(server + path), progress=False)
    assert "put test.tar.gz into a folder and set HIDDENSTATE_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert leftovers(cache) == []


def test_no_network_is_one_clear_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HIDDENSTATE_DATA", str(tmp_path))
    with pytest.raises(DownloadError, match=r"no connection.*HIDDENSTATE_DATA to it \(now .*where it is not\)"):
        find_archive(archive("http://127.0.0.1:9/x"), progress=False)
    assert leftovers(cache) == []


def test_unwritable_cache_is_an_error_not_a_crash(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.delenv("HIDDENSTATE_DATA", raising=False)
    monkeypatch.setenv("HIDDENSTATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="could not be written"):
        find_archive(archive(f"{server}/whole"), progress=False)


def test_killed_download_is_swept_and_repeated(cache: Path, server: str) -> None:
    program = (
        "import sys; from hiddenstate_core.corpora.archives import Archive, find_archive; "
        "find_archive(Archive('t', 'test.tar.gz', (sys.argv[1],), '0' * 64), progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, f"{server}/stuck"], env=dict(os.environ))
    deadline = time.monotonic() + 60
    while not leftovers(cache) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [name.endswith(".tmp") for name in leftovers(cache)] == [True]
    find_archive(archive(f"{server}/whole"), progress=False)
    assert leftovers(cache) == ["test.tar.gz"]


def test_platform_cache_folder_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIDDENSTATE_CACHE", raising=False)
    assert cache_folder().name.lower() == "hiddenstate" or "hiddenstate" in cache_folder().parts


def test_members_are_read_in_order(tmp_path: Path) -> None:
    path = tiny.write_tar(tmp_path / "a.tar.gz", {"./b.txt": b"b", "a.txt": b"a", "c.bin": b"c"})
    told: list[float] = []
    assert list(read_members(path, ANY, note=told.append)) == [("b.txt", b"b"), ("a.txt", b"a")]
    assert 0 < sum(told) <= path.stat().st_size


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../evil.txt", b"x"),
        ("/etc/evil.txt", b"x"),
        ("a/../../evil.txt", b"x"),
        ("C:\\evil.txt", b"x"),
        ("..\\evil.txt", b"x"),
        link("a.txt", tarfile.SYMTYPE, "/etc/passwd"),
        link("a.txt", tarfile.LNKTYPE, "../a.txt"),
        link("a.txt", tarfile.FIFOTYPE, ""),
        link("a.txt", tarfile.CHRTYPE, ""),
    ],
    ids=["above", "absolute", "through", "drive", "backslashes", "symlink", "hardlink", "fifo", "device"],
)
def test_unsafe_members_are_refused(tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes]) -> None:
    path = tiny.write_tar(tmp_path / "in" / "a.tar.gz", [member])
    with pytest.raises(ArchiveError, match="is refused"):
        list(read_members(path, ANY))
    assert leftovers(tmp_path) == ["a.tar.gz"]


def test_absurd_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.write_tar(tmp_path / "a.tar.gz", {"a.txt": b"\0" * 100_000})
    monkeypatch.setattr(archives, "MOST_MEMBER", 99_999)
    with pytest.raises(ArchiveError, match="would unpack to 100,000 bytes"):
        list(read_members(path, ANY))
    monkeypatch.setattr(archives, "MOST_UNPACKED", 50_000)
    with pytest.raises(ArchiveError, match="absurdly many bytes"):
        list(read_members(path, re.compile("none")))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    import random

    noise = random.Random(0).randbytes(30_000)
    whole = tiny.write_tar(tmp_path / "whole.tar.gz", {"a.txt": noise, "b.txt": noise[::-1]}).read_bytes()
    path = tmp_path / "cut.tar.gz"
    for size in [0, 1, 9, 10, 18, 100, 600, len(whole) // 2, len(whole) - 9, len(whole) - 8, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ArchiveError, match=r"damaged or truncated|is truncated within"):
            list(read_members(path, ANY))


def test_altered_bytes_are_noticed(tmp_path: Path) -> None:
    import random

    noise = random.Random(1).randbytes(5_000)
    whole = bytearray(tiny.write_tar(tmp_path / "whole.tar.gz", {"a.txt": noise}).read_bytes())
    path = tmp_path / "altered.tar.gz"
    for place in range(20, len(whole), 397):
        altered = bytearray(whole)
        altered[place] ^= 0x40
        path.write_bytes(altered)
        with pytest.raises(ArchiveError):
            list(read_members(path, ANY))


@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", gzip.compress(b"no tar at all" * 100)], ids=["empty", "text", "gzip"]
)
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged or truncated"):
        list(read_members(path, ANY))


def test_unreadable_file_is_an_archive_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(read_members(tmp_path, ANY))
    with pytest.raises(ArchiveError, match="cannot be read"):
        archives.file_digest(tmp_path / "none")


def test_archives_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        archive().title = "other"  # type: ignore[misc]
