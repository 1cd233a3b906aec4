"""Command line of the benchmarks: ``python -m benchmarks COMMAND``; see ``--help``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks import (
    distances,
    extraction,
    extraction_plot,
    machine,
    plot,
    reading,
    report,
    reviews,
    runner,
    stages,
    tables,
    viewer,
    whole,
)
from benchmarks.catalogue import BENCHMARKS
from benchmarks.systems import SYSTEMS
from hiddenstate_core.corpora.archives import cache_folder
from hiddenstate_core.errors import HiddenStateError, InputError
from hiddenstate_core.projection import TSNE


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark, or insert results into the documentation.

    Returns
    -------
    int
        0; 1 where a system failed; 2 for a request that cannot be met, with one line on stderr; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "report":
            for path in report.insert(options.results, options.docs):
                print(path)
            return 0
        if options.command == "whole":
            whole.run(_whole(options))
            return 0
        if options.command == "stages":
            cache = options.cache or options.states[0].resolve().parent / ".hiddenstate-benchmarks"
            threads = machine.cores() if options.threads is None else options.threads
            told = stages.run(tuple(options.states), options.n, cache, threads, options.json)
            print(stages.section(told))
            return 0
        if options.command == "reading":
            print(reading.section(reading.run(options.store, options.n, options.seed, options.repeats, options.json)))
            return 0
        if options.command == "reviews":
            print(reviews.section(reviews.run(options.model, options.store, options.json)))
            return 0
        if options.command == "extraction":
            told = extraction.run(_extraction(options), options.json)
            print(extraction.section(told))
            if options.plot is not None:
                extraction_plot.draw(told, options.plot)
            return 0
        if options.command == "viewer":
            print(viewer.section(viewer.run(_viewer(options), options.json)))
            return 0
        if options.command == "distances":
            print(distances.section(distances.run(_distances(options), options.json)))
            return 0
        return _measure(options)
    except HiddenStateError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        rest = "; --resume goes on with a --json file" if hasattr(options, "resume") else ""
        print(f"benchmarks: interrupted{rest}", file=sys.stderr)
        return 130


def _measure(options: argparse.Namespace) -> int:
    benchmark = BENCHMARKS[options.command]
    plan = _plan(options)
    if options.plot is not None and options.plot.suffix not in (".png", ".svg"):
        raise InputError(f"--plot must be a .png or .svg file, not {options.plot.name}.")
    results = runner.run(benchmark, plan, options.json)
    rows = results.rows
    told = ", ".join(f"{k} {v}" for k, v in plan.settings.items() if v)
    tables.show(
        benchmark.name, f"{benchmark.title}: {results.states}, {told}; {plan.threads} threads, median of runs", rows
    )
    if options.plot is not None and any("error" not in row for row in rows):
        plot.draw(benchmark.name, rows, options.plot)
    return 1 if any("error" in row for row in rows) else 0


def _plan(options: argparse.Namespace) -> runner.Plan:
    settings: dict[str, Any] = {}
    if options.command == "neighbors":
        settings["k"] = options.k
        if not 1 <= options.k < min(options.n):
            raise InputError(f"--k must lie in 1..{min(options.n) - 1} for {min(options.n)} states, not {options.k}.")
    else:
        settings["perplexity"] = options.perplexity
        if not 1 <= options.perplexity < min(options.n):
            raise InputError(f"--perplexity must lie in 1..{min(options.n) - 1}, not {options.perplexity:g}.")
    if options.command == "tsne":
        settings["options"] = dict(_option(text) for text in options.options)
        TSNE().set_params(**settings["options"])
        if taken := settings["options"].keys() & {"perplexity", "n_jobs"}:
            raise InputError(f"--options cannot set {' and '.join(sorted(taken))}; use --perplexity and --threads.")
    if options.command == "placement":
        settings["batches"] = sorted(set(options.new))
        if min(options.new) < 1:
            raise InputError(f"--new must be at least 1, not {min(options.new)}.")
    possible = sorted(name for name, s in SYSTEMS.items() if options.command in s.jobs and name != "hiddenstate")
    installed = [name for name in possible if machine.version(SYSTEMS[name].distribution) is not None]
    peers = installed if options.peers == ["all"] else options.peers
    for name in peers:
        if name not in possible:
            raise InputError(f"--peers of {options.command} are {', '.join(possible)} or all, not {name}.")
    if options.resume and options.json is None:
        raise InputError("--resume needs --json FILE, the file of the run to go on with.")
    sources = tuple(options.states or ())
    beside = sources[0].resolve().parent / ".hiddenstate-benchmarks" if sources else cache_folder() / "benchmarks"
    return runner.Plan(
        sizes=tuple(dict.fromkeys(options.n)),
        sources=sources,
        peers=tuple(dict.fromkeys(peers)),
        settings=settings,
        repeats=options.repeats,
        threads=machine.cores() if options.threads is None else options.threads,
        cold=options.cold,
        cache=(options.cache or beside).resolve(),
        resume=options.resume,
        limit=options.limit,
    )


def _whole(options: argparse.Namespace) -> whole.Plan:
    return whole.Plan(
        sources=tuple(options.states),
        out=options.out,
        neighbours=options.k,
        iterations=options.iterations,
        recall=options.recall,
        sample=options.sample,
        limit=options.limit,
    )


def _extraction(options: argparse.Namespace) -> extraction.Plan:
    return extraction.Plan(
        units=tuple(dict.fromkeys(options.units)),
        steps=options.steps,
        peers=not options.no_peers,
        repeats=options.repeats,
        threads=machine.cores() if options.threads is None else options.threads,
        folder=options.folder,
    )


def _distances(options: argparse.Namespace) -> distances.Plan:
    sources = tuple(options.states or ())
    beside = sources[0].resolve().parent / ".hiddenstate-benchmarks" if sources else cache_folder() / "benchmarks"
    installed = [name for name, holder in distances.PEERS.items() if machine.version(holder) is not None]
    return distances.Plan(
        sources=sources,
        sizes=tuple(options.n),
        most=options.most,
        metric=options.metric,
        bins=options.bins,
        peers=tuple(installed if options.peers == ["all"] else dict.fromkeys(options.peers)),
        repeats=options.repeats,
        threads=machine.cores() if options.threads is None else options.threads,
        cache=(options.cache or beside).resolve(),
    )


def _viewer(options: argparse.Namespace) -> viewer.Plan:
    return viewer.Plan(
        sizes=tuple(dict.fromkeys(options.n)),
        stores=tuple(options.store or ()),
        moves=options.moves,
        sessions=options.sessions,
        opens=options.opens,
        folder=(options.cache or cache_folder() / "benchmarks").resolve(),
    )


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--options takes NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> Any:
        """Exit with status 2."""
        self.exit(2, f"benchmarks: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m benchmarks", description="Times, quality and memory beside peers.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    told = {
        "tsne": "t-SNE maps, judged by one KL divergence",
        "neighbors": "neighbour graphs, judged by recall",
        "placement": "new states placed in a finished map, judged by their neighbourhoods",
    }
    for name, text in told.items():
        command = commands.add_parser(name, help=text, description=text)
        _common(command)
        if name == "neighbors":
            command.add_argument("--k", type=int, default=90, help="neighbours of a state (default 90)")
        else:
            command.add_argument("--perplexity", type=float, default=30.0, help="of every map (default 30)")
        if name == "tsne":
            command.add_argument(
                "--options", nargs="+", default=[], metavar="NAME=VALUE", help="options of hiddenstate's TSNE"
            )
        if name == "placement":
            command.add_argument(
                "--new", type=int, nargs="+", default=[200, 10_000], help="new states a batch (default 200 10000)"
            )
    text = "one map of every state there is, with uniform affinities"
    command = commands.add_parser("whole", help=text, description=text)
    add = command.add_argument
    add("--states", type=Path, nargs="+", required=True, help="FILE.npy or trace STORE.zarr, several in a row")
    add("--out", type=Path, required=True, help="folder for figures, map and picture; a second run goes on from there")
    add("--k", type=int, default=15, help="neighbours of a state, of equal weight (default 15)")
    add("--iterations", type=int, default=750, help="steps of the optimiser (default 750)")
    add("--recall", type=float, default=0.9, help="share of the true neighbours to find (default 0.9)")
    add("--sample", type=int, default=1000, help="states on which quality is measured (default 1000)")
    add("--limit", type=int, help="only the first states, this many")
    text = "each stage of a map beside its floor on this machine"
    command = commands.add_parser("stages", help=text, description=text)
    add = command.add_argument
    add("--states", type=Path, nargs="+", required=True, help="FILE.npy or trace STORE.zarr, several in a row")
    add("--n", type=int, default=100_000, help="number of states (default 100000)")
    add("--threads", type=int, help="threads (default: all cores)")
    add("--cache", type=Path, metavar="FOLDER", help="keep the states here (default: beside them)")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    text = "opening a trace store and reading it, beside zarr-python and memory maps"
    command = commands.add_parser("reading", help=text, description=text)
    add = command.add_argument
    add("store", type=Path, metavar="STORE.zarr", help="a trace store with hidden states")
    add("--n", type=int, default=1000, help="sequences read at random (default 1000)")
    add("--seed", type=int, default=0, help="of their choice (default 0)")
    add("--repeats", type=int, default=3, help="how often it is opened and read as a whole (default 3)")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    text = "recording hidden states, beside PyTorch and the raw speed of the disk"
    command = commands.add_parser("extraction", help=text, description=text)
    add = command.add_argument
    add("--units", type=int, nargs="+", default=[20, 100, 256, 1024], help="hidden units (default 20 100 256 1024)")
    add("--steps", type=int, help="steps run (default: some seconds of work)")
    add("--no-peers", action="store_true", help="without PyTorch")
    add("--repeats", type=int, default=3, help="runs of each; the median counts (default 3)")
    add("--threads", type=int, help="threads and cores of every system (default: all cores)")
    add("--folder", type=Path, default=Path(), help="where stores are written, then removed (default: here)")
    add("--plot", type=Path, metavar="FILE", help="draw the figures into a .png or .svg file")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    text = "recording all 100,000 reviews of IMDB at full length: time, memory, disk"
    command = commands.add_parser("reviews", help=text, description=text)
    add = command.add_argument
    add("model", type=Path, help="a checkpoint of `hiddenstate train imdb`")
    add("store", type=Path, metavar="STORE.zarr", help="where the store is made, some 9.5 GB")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    text = "histograms of all pairwise distances, beside SciPy and scikit-learn"
    command = commands.add_parser("distances", help=text, description=text)
    add = command.add_argument
    add("--n", type=int, nargs="+", default=[10_000], help="numbers of states (default 10000)")
    add("--most", type=int, default=10_000, help="most states that a peer is given (default 10000)")
    add("--peers", nargs="*", default=["scipy"], metavar="PEER", help="scipy (default), sklearn, or all")
    add("--states", type=Path, nargs="+", help="FILE.npy or trace STORE.zarr, several in a row; else a stand-in")
    add("--metric", choices=("euclidean", "sqeuclidean", "cosine", "manhattan"), default="euclidean")
    add("--bins", type=int, default=100, help="bins (default 100)")
    add("--repeats", type=int, default=3, help="runs of each system; the median counts (default 3)")
    add("--threads", type=int, help="threads and cores of every system (default: all cores)")
    add("--cache", type=Path, metavar="FOLDER", help="keep states and kernels here (default: beside the states)")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    text = "the viewer in a real browser: first paint, pan and zoom, selecting, the server's memory"
    command = commands.add_parser("viewer", help=text, description=text)
    add = command.add_argument
    add("--n", type=int, nargs="+", default=[1_000_000, 10_000_000], help="numbers of states (default 1 M and 10 M)")
    add("--store", type=Path, nargs="+", metavar="STORE.zarr", help="measure these stores with projections instead")
    add("--moves", type=int, default=48, help="pans and zooms (default 48)")
    add("--sessions", type=int, default=20, help="pages open at once (default 20; 0 leaves it out)")
    add("--opens", type=int, default=500, help="pages opened and closed (default 500; 0 leaves it out)")
    add("--cache", type=Path, metavar="FOLDER", help="keep the stores here (default: the user's cache)")
    add("--json", type=Path, metavar="FILE", help="write every figure here")
    command = commands.add_parser("report", help="insert results into the documentation")
    command.add_argument("results", type=Path, nargs="+", metavar="RESULTS.json")
    command.add_argument("--docs", type=Path, default=Path("docs/performance.md"), help="page with markers")
    return parser


def _common(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--n", type=int, nargs="+", default=[10_000], help="numbers of states (default 10000)")
    add("--peers", nargs="*", default=[], metavar="PEER", help="systems to run beside ours, or all that are installed")
    add("--states", type=Path, nargs="+", help="FILE.npy or trace STORE.zarr, several in a row; else a stand-in")
    add("--repeats", type=int, default=3, help="runs of each system; the median counts (default 3)")
    add("--threads", type=int, help="threads and cores of every system (default: all cores)")
    add("--cold", action="store_true", help="start without compiled kernels")
    add("--limit", type=float, metavar="SECONDS", help="stop a run after so long")
    add("--json", type=Path, metavar="FILE", help="write every figure here, row by row")
    add("--resume", action="store_true", help="skip what the --json file already holds")
    add("--plot", type=Path, metavar="FILE", help="draw the figures into a .png or .svg file")
    add(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="keep states, affinities and kernels here (default: beside the states)",
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no run outlives its parent
    sys.exit(main())
