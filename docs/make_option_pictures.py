"""Makes the pictures of t-SNE's options in docs/projection.md and docs/quality.md anew, and the table of errors.

    hiddenstate demo stdlib --no-serve --out hiddenstate-pictures/stdlib
    python docs/make_option_pictures.py

The pictures in the repository come from that store. Others can be made of any states:

    python docs/make_option_pictures.py --states STATES.npy --classes CLASSES.npy --out FOLDER

`--errors` makes no pictures; it prints the table of docs/tsne.md: how far the approximate gradients are off on a
finished map of the same states.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

import hiddenstate_core as hs
from hiddenstate_core.kernels.workers import Workers
from hiddenstate_core.projection import BarnesHut, Exact, Interpolation, Progress

Float = NDArray[np.float32]
STORE = Path("hiddenstate-pictures/stdlib/trace.zarr")
PICTURES = Path(__file__).parent / "pictures"
#: Okabe & Ito's colours, told apart with any kind of colour vision; neutral ink and greys.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
INK, MUTED, LINE, PALE = "#1b1f24", "#5b636d", "#dfe3e8", "#d5d9de"
STYLES: tuple[dict[str, Any], ...] = ({"size": 9.5, "weight": "bold", "color": INK}, {"size": 8.5, "color": MUTED})
#: Inches and dots an inch: pictures are as wide as a page; room above and below the panels, and for their frames.
WIDTH, DPI, HEAD, FOOT, EDGE = 7.8, 154, 0.48, 0.32, 0.01
PERPLEXITY = 30.0


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """States, and what colours them.

    Parameters
    ----------
    states : (n, d) float32
        What is mapped.
    classes : (n,) int or None
        Class of each state; for a store what the model would say at that word.
    certainty : (n,) float or None
        0 where all classes are equally probable, 1 where one is certain.
    names : tuple of str
        Of the classes.
    held_out : (n,) bool
        States that are placed as new ones: every fifth sequence, or the last fifth.
    """

    states: Float
    classes: NDArray[np.int64] | None
    certainty: NDArray[np.float64] | None
    names: tuple[str, ...]
    held_out: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path, classes: Path | None) -> Material:
        """From a .npy file or a trace store."""
        if path.suffix == ".npy":
            states = np.load(path)
            given = None if classes is None else np.load(classes).astype(np.int64)
            names = () if given is None else tuple(f"class {c}" for c in range(int(given.max()) + 1))
            return cls(states, given, None, names, np.arange(len(states)) >= 0.8 * len(states))
        if not path.exists():
            raise SystemExit(f"{path} is not there; run: hiddenstate demo stdlib --no-serve --out {path.parent}")
        trace = hs.open_trace(path)
        shares = np.asarray(trace.probabilities())
        even = 1 / shares.shape[1]
        sequence = np.repeat(np.arange(len(trace)), np.diff(trace.offsets))
        return cls(
            np.asarray(trace.hidden()),
            shares.argmax(axis=1),
            (shares.max(axis=1) - even) / (1 - even),
            tuple(trace.classes),
            sequence % 5 == 4,
        )

    @functools.cached_property
    def colours(self) -> NDArray[np.float64]:
        """(n, 3): the class's colour, mixed with pale grey where the model is not certain."""
        if self.classes is None:
            return np.tile(to_rgb(COLOURS[0]), (len(self.states), 1))
        colours = np.array([to_rgb(COLOURS[c % len(COLOURS)]) for c in range(len(self.names))])[self.classes]
        if self.certainty is None:
            return colours
        share = 0.15 + 0.85 * self.certainty[:, None]
        return np.asarray(share * colours + (1 - share) * np.array(to_rgb(PALE)))


class Maps:
    """Maps of one set of states; each is made once and kept in a folder."""

    def __init__(self, material: Material, folder: Path) -> None:
        self.material, self.folder = material, folder
        folder.mkdir(parents=True, exist_ok=True)

    def fit(self, states: Float | None = None, **options: Any) -> tuple[Float, float]:
        """Coordinates and KL divergence of a map with these options."""
        return self.course(states, **options)[-1][1:]

    def course(self, states: Float | None = None, **options: Any) -> list[tuple[int, Float, float]]:
        """Iteration, coordinates and KL divergence, every 50 iterations."""
        states = self.material.states if states is None else states
        options = {"perplexity": PERPLEXITY, "n_iter_without_progress": None, **options}
        text = json.dumps(options, sort_keys=True) + hashlib.sha256(states.tobytes()).hexdigest() + hs.__version__
        file = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
        if not file.exists():
            told: list[Progress] = []
            tsne = hs.TSNE(callback=told.append, **options).fit(states)
            kls = [p.kl_divergence for p in told[:-1]] + [tsne.kl_divergence_]
            maps = [p.positions for p in told[:-1]] + [tsne.embedding_]
            np.savez(file, iterations=[p.iteration for p in told], kls=kls, maps=maps)
            print(f"  {options}: {tsne._seconds:.1f} s, KL {tsne.kl_divergence_:.3f}")
        with np.load(file) as saved:
            return list(zip(saved["iterations"].tolist(), saved["maps"], saved["kls"].tolist(), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One map of a picture: its title, a line under it, and where its points stand."""

    title: str
    note: str
    positions: Float
    colours: Any = None
    over: tuple[Float, Any] | None = None


# -- what each picture shows --------------------------------------------------------------------------------------------


def perplexity(maps: Maps) -> list[Panel]:
    """Few neighbours, more, many, and several sizes at once."""
    shown = (5.0, 30.0, 100.0, (5.0, 30.0, 100.0))
    return [
        Panel(f"perplexity {value!r}".replace(".0", ""), f"{3 * np.max(value):g} neighbours", positions)
        for value in shown
        for positions, _ in [maps.fit(perplexity=value)]
    ]


def early_exaggeration(maps: Maps) -> list[Panel]:
    """The factor of the first 250 iterations, from a random start, where it matters most."""
    return [
        Panel(f"early_exaggeration {factor:g}", _kl(kl), positions)
        for factor in (1.0, 4.0, 12.0, 30.0)
        for positions, kl in [maps.fit(early_exaggeration=factor, init="random")]
    ]


def late_exaggeration(maps: Maps) -> list[Panel]:
    """The factor of the last 250 iterations."""
    return [
        Panel(f"late_exaggeration {factor:g}", _kl(kl), positions)
        for factor in (1.0, 2.0, 4.0)
        for positions, kl in [maps.fit(late_exaggeration=factor)]
    ]


def learning_rate(maps: Maps) -> list[Panel]:
    """Steps that are too short, right, and too long."""
    n = len(maps.material.states)
    auto = f'"auto": {n / 12:,.0f}, then {n:,}'
    shown = ((20.0, "too small: 20"), ("auto", auto), (100.0 * n, f"too large: {100 * n:,}"))
    return [Panel(title, _kl(kl), p) for rate, title in shown for p, kl in [maps.fit(learning_rate=rate)]]


def iterations(maps: Maps) -> list[Panel]:
    """One map on its way."""
    return [
        Panel(f"{done} iterations", _kl(kl), positions)
        for done, positions, kl in maps.course(max_iter=750)
        if done in (50, 250, 400, 750)
    ]


def init(maps: Maps) -> list[Panel]:
    """Principal components and two random starts."""
    shown = (("pca", 0, '"pca"'), ("random", 0, '"random", seed 0'), ("random", 1, '"random", seed 1'))
    return [Panel(t, _kl(kl), p) for i, seed, t in shown for p, kl in [maps.fit(init=i, random_state=seed)]]


def affinity(maps: Maps) -> list[Panel]:
    """Gaussian weights against equal ones."""
    shown = (
        ("gaussian", 30.0, "gaussian, perplexity 30", "90 neighbours, weighted"),
        ("uniform", 30.0, "uniform, 30 neighbours", "weighed alike"),
        ("uniform", 15.0, "uniform, 15 neighbours", "weighed alike"),
    )
    return [Panel(title, note, maps.fit(affinity=a, perplexity=p)[0]) for a, p, title, note in shown]


def method(maps: Maps) -> list[Panel]:
    """The three gradients; they find as good maps."""
    return [
        Panel(name, _kl(kl), positions)
        for name in ("exact", "barnes_hut", "interpolation")
        for positions, kl in [maps.fit(method=name)]
    ]


def new_states(maps: Maps) -> list[Panel]:
    """States of other sequences, placed in a map that was made without them."""
    m = maps.material
    fixed, _ = maps.fit(np.ascontiguousarray(m.states[~m.held_out]))
    placed = hs.Placement(m.states[~m.held_out], fixed, perplexity=PERPLEXITY).place(m.states[m.held_out])
    counts = f"{(~m.held_out).sum():,} states", f"{m.held_out.sum():,} states of other sequences"
    return [
        Panel("the map", counts[0], fixed, m.colours[~m.held_out]),
        Panel("new states in it", counts[1], fixed, PALE, (placed, m.colours[m.held_out])),
    ]


def quality(maps: Maps) -> list[Panel]:
    """Classes beside the recall of each point."""
    m = maps.material
    positions, _ = maps.fit()
    judged = hs.quality(m.states, positions, sample=len(m.states))
    ramp = mpl.colormaps["cividis"]
    recall = f"of 10 neighbours; mean {judged.recall.value:.2f}"
    return [
        Panel("class at each state", "what the model would say", positions),
        Panel("recall of each state", recall, positions, ramp(judged.point_recall)[:, :3]),
    ]


SHOWN: dict[str, Callable[[Maps], list[Panel]]] = {
    "perplexity": perplexity,
    "early-exaggeration": early_exaggeration,
    "late-exaggeration": late_exaggeration,
    "learning-rate": learning_rate,
    "iterations": iterations,
    "init": init,
    "affinity": affinity,
    "method": method,
    "new-states": new_states,
    "quality": quality,
}


def _kl(value: float) -> str:
    return f"KL {value:.3f}"


# -- drawing ------------------------------------------------------------------------------------------------------------


def draw(panels: list[Panel], material: Material, *, ramp: bool = False) -> Figure:
    """Panels side by side, each with its title, the same frame and a bar that shows its scale."""
    count = len(panels)
    gap = 0.14
    width = WIDTH if count > 2 else 0.76 * WIDTH
    side = (width - 2 * EDGE - gap * (count - 1)) / count
    height = HEAD + side + FOOT
    figure = Figure((width, height), dpi=DPI, facecolor="white")
    for i, panel in enumerate(panels):
        left = EDGE + i * (side + gap)
        axes = figure.add_axes((left / width, FOOT / height, side / width, side / height))
        _points(axes, panel, material, side)
        for below, text, style in zip((0.03, 0.26), (panel.title, panel.note), STYLES, strict=True):
            figure.text(left / width, 1 - below / height, text, va="top", **style)
    _legend(figure, material)
    if ramp:
        _ramp(figure, width, height)
    return figure


def _points(axes: Any, panel: Panel, material: Material, side: float) -> None:
    order = np.random.default_rng(0).permutation(len(panel.positions))  # so that no class lies above the others
    colours = material.colours if panel.colours is None else panel.colours
    size = (side * 72) ** 2 / max(len(order), 4000) / 9
    axes.scatter(
        *panel.positions[order].T, s=size, c=colours if isinstance(colours, str) else colours[order], linewidths=0
    )
    if panel.over is not None:
        places, shades = panel.over
        axes.scatter(*places.T, s=1.6 * size, c=shades, linewidths=0)
    centre = (panel.positions.max(axis=0) + panel.positions.min(axis=0)) / 2
    extent = float(np.ptp(panel.positions, axis=0).max())
    half = 0.56 * extent
    axes.set(xlim=centre[0] + half * np.array([-1, 1]), ylim=centre[1] + half * np.array([-1, 1]), xticks=[], yticks=[])
    axes.spines[:].set(color=LINE, linewidth=0.8)
    length = _round(extent / 5)
    x, y = centre[0] - 0.95 * half, centre[1] - 0.93 * half
    axes.plot([x, x + length], [y, y], color=MUTED, linewidth=1.2, solid_capstyle="butt")
    axes.text(x, y + 0.03 * half, f"{length:g}", size=7.5, color=MUTED, va="bottom")


def _round(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not larger."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(m * power for m in (1, 2, 5) if m * power <= value * (1 + 1e-9)))


def _legend(figure: Figure, material: Material) -> None:
    if not material.names:
        return
    shown = [(COLOURS[i % len(COLOURS)], name) for i, name in enumerate(material.names)]
    if material.certainty is not None:
        shown.append((PALE, "paler: less certain"))
    marks = [Line2D([], [], linestyle="", marker="o", markersize=5, color=c, label=name) for c, name in shown]
    figure.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(0.0, 0.0), ncols=len(marks), frameon=False, fontsize=8,
        labelcolor=MUTED, handletextpad=0.4, handlelength=0.7, columnspacing=1.3, borderaxespad=0.0, borderpad=0.3,
    )  # fmt: skip


def _ramp(figure: Figure, width: float, height: float) -> None:
    """Legend of the recall, in the last panel's head."""
    bar = figure.add_axes((1 - 0.78 / width, 1 - 0.38 / height, 0.6 / width, 0.09 / height))
    bar.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap="cividis")
    bar.set(xticks=[], yticks=[])
    bar.spines[:].set_visible(False)
    for x, side in ((-12, "right"), (268, "left")):
        bar.text(x, 0, "01"[x > 0], size=8, color=MUTED, ha=side, va="center")


def save(figure: Figure, path: Path) -> None:
    """As a PNG of 256 colours, packed as tightly as it goes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    picture = Image.open(stream).convert("RGB")
    picture = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(f"{path} {picture.size[0]} x {picture.size[1]}, {path.stat().st_size / 1000:.0f} kB")


# -- the table ----------------------------------------------------------------------------------------------------------


def errors(maps: Maps) -> None:
    """Print how far forces and normalisation are off on a finished map, against every pair in float64."""
    positions, _ = maps.fit()
    wanted, z = _every_pair(positions.astype(np.float64))
    norm = float(np.sqrt((wanted**2).sum()))
    sizes = np.sqrt((wanted**2).sum(axis=1))
    methods: list[tuple[str, Any]] = [("exact", Exact())]
    methods += [(f"Barnes-Hut, angle {a}", BarnesHut(a)) for a in (0.2, 0.5, 0.8)]
    methods += [(f"interpolation, spacing {h}", Interpolation(spacing=h, intervals=1)) for h in (0.25, 0.4, 0.5)]
    print(f"{len(positions):,} states, map {np.ptp(positions, axis=0).max():.0f} wide")
    print("\n| gradient | forces | 95 % of the points below | Z |\n|---|---:|---:|---:|")
    with Workers() as workers:
        for name, repulsion in methods:
            force, total = repulsion(positions, workers)
            off = force - wanted
            worst = float(np.quantile(np.sqrt((off**2).sum(axis=1)) / sizes, 0.95))
            print(f"| {name} | {np.sqrt((off**2).sum()) / norm:.1e} | {worst:.1e} | {abs(total / z - 1):.1e} |")


def _every_pair(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    force, total = np.empty_like(y), 0.0
    for start in range(0, len(y), 256):
        apart = y[start : start + 256, None] - y
        w = 1 / (1 + (apart**2).sum(axis=2))
        force[start : start + 256] = (w[:, :, None] ** 2 * apart).sum(axis=1)
        total += float(w.sum())
    return force, total - len(y)


def main() -> None:
    """Make every picture, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=Path, default=STORE, help="a .npy file or a trace store")
    parser.add_argument("--classes", type=Path, help="a .npy file of class numbers, for states from a .npy file")
    parser.add_argument("--work", type=Path, default=Path("hiddenstate-pictures/maps"), help="where maps are kept")
    parser.add_argument("--out", type=Path, default=PICTURES, help="where the pictures go")
    parser.add_argument("--only", choices=tuple(SHOWN), help="one picture only")
    parser.add_argument("--errors", action="store_true", help="print the table of errors instead")
    arguments = parser.parse_args()
    maps = Maps(Material.read(arguments.states, arguments.classes), arguments.work)
    if arguments.errors:
        errors(maps)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["font.family"] = "DejaVu Sans"  # comes with matplotlib, so that pictures agree between machines
    for name, make in SHOWN.items():
        if arguments.only in (None, name):
            save(draw(make(maps), maps.material, ramp=name == "quality"), arguments.out / f"tsne-{name}.png")


if __name__ == "__main__":
    main()
