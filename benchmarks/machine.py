"""What a measurement was made on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ["cores", "describe", "load", "peak_megabytes", "source_of_hiddenstate", "version"]

_DISTRIBUTIONS = (
    "hiddenstate",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
    "scikit-learn-intelex",
    "openTSNE",
    "pynndescent",
    "faiss-cpu",
)


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def load() -> float | None:
    """Mean number of busy processes over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def version(distribution: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def describe() -> dict[str, Any]:
    """Processor, cores, memory, system, Python and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gigabytes": _memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in _DISTRIBUTIONS if (found := version(name)) is not None},
    }


def source_of_hiddenstate() -> str:
    """Digest of the package's source, which tells states of the code with one version number apart."""
    import hiddenstate_core

    folder = Path(hiddenstate_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def peak_megabytes() -> float:
    """Largest resident memory of this process or of a child it waited for, in MiB.

    Linux carries the parent's peak over into ``ru_maxrss`` of a new process; VmHWM starts afresh.
    """
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    own: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        own = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), own)
    return float(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / unit)


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
