"""Write aside, then rename: files and folders that are either whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from hiddenstate_core.errors import OutputError

__all__ = ["atomic_directory", "atomic_path", "write_text"]


_mask_lock = threading.Lock()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file path beside `target`; on a clean exit it replaces `target`, on an error it goes away.

    What a killed process left beside the same target is swept first, as in `atomic_directory`.
    """
    target = _prepared(target)
    if target.is_dir():
        raise OutputError(f"{target} is a folder; a file is to be written there.")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _fsync(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty temporary folder beside `target`; on a clean exit it takes the place of `target`.

    Folders left behind by a killed process (same target, no living owner) are swept first.
    """
    target = _prepared(target)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".tmp", dir=target.parent))
    temporary.chmod(0o777 & ~_umask())
    try:
        yield temporary
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".tmp", dir=target.parent))
            target.replace(old / "old")
            temporary.replace(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _prepared(target: str | os.PathLike[str]) -> Path:
    """The path with its folder made and swept, or an error that says why nothing can be written there."""
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{path} cannot be written: a file is in the way; choose another folder.") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: its folder is read-only.")
    _sweep(path)
    return path


def _umask() -> int:
    with _mask_lock:  # reading it means setting it, for every thread
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _sweep(target: Path) -> None:
    prefix = f".{target.name}."
    for path in target.parent.glob(f"{prefix}*.tmp"):
        owner = path.name[len(prefix) :].split(".", 1)[0]
        if not owner.isdigit() or _alive(int(owner)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
