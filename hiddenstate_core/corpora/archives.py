"""Official archives: found where the user keeps them, in the cache, or downloaded; read as a stream, never unpacked."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hiddenstate_core.atomic import atomic_path
from hiddenstate_core.errors import ArchiveError, DownloadError, HiddenStateError
from hiddenstate_core.progress import Advance, progress_bar

__all__ = ["Archive", "cache_folder", "file_digest", "find_archive", "read_members"]

#: Most bytes that an archive may unpack to, and that one wanted member may have; both far above the official ones.
MOST_UNPACKED = 4 << 30
MOST_MEMBER = 64 << 20
#: Seconds without a byte after which a download is given up.
PATIENCE = 30


@dataclasses.dataclass(frozen=True)
class Archive:
    """An official archive.

    Parameters
    ----------
    title : str
        What it is, for messages.
    filename : str
        Its official file name.
    addresses : tuple of str
        Where it is published, tried in order.
    sha256 : str
        Published checksum, hexadecimal. Downloads must have it; a file that the user gives is judged by its content.
    """

    title: str
    filename: str
    addresses: tuple[str, ...]
    sha256: str


def cache_folder() -> Path:
    """Folder of downloads and cut texts: ``$HIDDENSTATE_CACHE``, else the platform's cache folder for hiddenstate."""
    chosen = os.environ.get("HIDDENSTATE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("hiddenstate", appauthor=False))


def find_archive(archive: Archive, *, progress: bool = True) -> Path:
    """Path of the archive: in ``$HIDDENSTATE_DATA``, else in the cache, else downloaded into the cache.

    A download is written aside, checked and renamed; a cached file of another checksum is fetched again.

    Raises
    ------
    DownloadError
        It is nowhere, and it could not be fetched, or what came has another checksum.
    ArchiveError
        The file is there and cannot be read.
    """
    folder = os.environ.get("HIDDENSTATE_DATA")
    if folder:
        given = Path(folder).expanduser() / archive.filename
        if _is_file(given):
            return given
    kept = cache_folder() / "archives" / archive.filename
    if _is_file(kept) and file_digest(kept) == archive.sha256:
        return kept
    problems = []
    for address in archive.addresses:
        try:
            _download(archive, address, kept, progress)
        except DownloadError as error:
            problems.append(error)
        else:
            return kept
    raise DownloadError(
        f"{archive.title} is needed: {problems[-1]} Check the network, or put {archive.filename} into a folder and set "
        f"HIDDENSTATE_DATA to it{f' (now {folder}, where it is not)' if folder else ''}."
    ) from problems[-1]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a folder that may not be entered
        raise ArchiveError(f"{path} cannot be reached ({error.strerror}); check the permissions.") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; raises `ArchiveError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


def read_members(path: Path, wanted: re.Pattern[str], *, note: Advance | None = None) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in a ``.tar.gz`` whose name matches `wanted` in full, in the archive's order.

    Nothing is written to disk. The whole archive is read, its checksums and every member's name and kind included.

    Parameters
    ----------
    path : Path
        The archive.
    wanted : re.Pattern
        Names of the files whose content is given; a leading ``./`` is taken off first.
    note : callable, optional
        Called with the number of compressed bytes read, as the reading goes on.

    Raises
    ------
    ArchiveError
        Not a gzipped tar, truncated or altered, absurdly large, or with a member that is a link or a device or
        whose path leaves the archive's folder.
    """
    try:
        with path.open("rb") as raw:
            told = 0
            stream = _Limited(gzip.GzipFile(fileobj=raw), MOST_UNPACKED, path)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = _safe_name(member, path)
                    if member.isfile() and wanted.fullmatch(name):
                        yield name, _content(tar, member, path)
                    if note is not None:
                        note(raw.tell() - told)
                        told = raw.tell()
            while stream.read(1 << 20):  # to the end, where gzip's checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(
            f"{path} is damaged or truncated ({error}); delete it and fetch the official archive again."
        ) from error
    except HiddenStateError:
        raise
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror or error}); check the file.") from error


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.size > MOST_MEMBER:
        raise ArchiveError(
            f"{path} is not the official archive: {member.name} would unpack to {member.size:,} bytes; fetch it again."
        )
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise ArchiveError(f"{path} is truncated within {member.name}; delete it and fetch the official archive again.")
    return content


def _safe_name(member: tarfile.TarInfo, path: Path) -> str:
    """The member's path without a leading ``./``; refuses what an honest archive of texts never holds."""
    name = member.name
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise ArchiveError(
            f"{path} is refused: the path of its member {name!r} leaves the folder; use another archive."
        )
    if not (member.isfile() or member.isdir()):
        raise ArchiveError(f"{path} is refused: its member {name!r} is a link or a device; use another archive.")
    return name.removeprefix("./")


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than `most` bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, most: int, path: Path) -> None:
        self._stream, self._left, self._path = stream, most, path

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if size >= 0 else 1 << 20)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"{self._path} unpacks to absurdly many bytes; it is not the official archive.")
        return data


class _Bar:
    """The progress object that pooch expects, on one of our bars."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._done = 0
        self.total = 0

    def update(self, amount: int) -> None:
        amount = min(amount, self.total - self._done)  # pooch counts the last, shorter block as a whole one
        if amount > 0:
            self._done += amount
            self._advance(amount / self.total)

    def reset(self) -> None:
        """Nothing: pooch empties its bar at the end only to fill it again."""

    def close(self) -> None:
        return None


def _download(archive: Archive, address: str, target: Path, progress: bool) -> None:
    """Fetch `address`; `target` appears only with the right checksum."""
    import pooch
    import requests

    title = f"Downloading {archive.filename}"
    opened: list[Any] = []
    try:
        with atomic_path(target) as temporary, progress_bar(title, 1.0, show=progress) as advance:
            bar: Any = _Bar(advance)
            fetch = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=1 << 16,
                timeout=PATIENCE,
                headers={"Accept-Encoding": "identity"},  # the bytes as they are, or the checksum would not fit
                hooks={"response": lambda response, *_, **__: opened.append(response)},
            )
            fetch(address, str(temporary), None)
            found = file_digest(temporary)
            if found != archive.sha256:
                raise DownloadError(
                    f"what {address} sent has the SHA-256 {found[:16]}... instead of {archive.sha256[:16]}... "
                    "(cut short, or altered)."
                )
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"{address} could not be fetched ({_reason(error)}).") from error
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"{target} could not be written ({error.strerror or error}).") from error
    finally:
        for response in opened:  # pooch leaves the connection of a failed request open
            response.close()


def _reason(error: Exception) -> str:
    """The innermost cause of a failed request, in a few words."""
    import requests

    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {PATIENCE} s"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return type(error).__name__
