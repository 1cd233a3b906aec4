"""Command line of the benchmarks: ``python -m benchmarks tsne [--n ...] [--peers ...] [--json FILE]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import tsne
from hiddenstate_core import HiddenStateError


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times, quality and memory beside peers.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("tsne", help="t-SNE maps of recurrent states")
    command.add_argument("--n", type=int, nargs="+", default=[10_000], help="numbers of states (default 10000)")
    command.add_argument("--perplexity", type=float, default=30.0)
    command.add_argument("--states", type=Path, help="FILE.npy or trace STORE.zarr; a built-in stand-in otherwise")
    command.add_argument(
        "--peers", nargs="*", default=[], choices=sorted(tsne.PEERS), help="systems to run beside ours"
    )
    command.add_argument("--repeats", type=int, default=3)
    command.add_argument("--threads", type=int, help="threads of every system (default: all cores)")
    command.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args(arguments)
    try:
        tsne.run(
            tsne.Plan(
                sizes=tuple(options.n),
                perplexity=options.perplexity,
                states=options.states,
                systems=("hiddenstate", *options.peers),
                repeats=options.repeats,
                threads=options.threads,
            ),
            options.json,
        )
    except HiddenStateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
