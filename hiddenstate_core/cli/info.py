"""`hiddenstate info`: what a trace store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hiddenstate_core.cli.common import size_of

if TYPE_CHECKING:
    from hiddenstate_core.traces.trace import Trace

__all__ = ["command", "describe"]

#: What is printed for a key that would be read wrongly.
_TITLES = {"layers": "units by layer", "recorded_layers": "layers recorded"}


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a trace store holds and how it was made."""
    found = describe(store)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    # Of a language model the figure is a share of words, not of sequences.
    titles = _TITLES | ({"test_accuracy": "next words right"} if found["task"] == "language_model" else {})
    for key, value in found.items():
        typer.echo(f"{titles.get(key, key.replace('_', ' ')):<16} {_text(key, value)}")


def describe(store: Path) -> dict[str, Any]:
    """What a store holds, as JSON values."""
    from hiddenstate_core.traces.trace import Trace

    trace = Trace(store)
    facts = trace.facts
    keys = ("method", "layer", "quantity", "kl_divergence", "options")
    projections = {}
    for name in trace.projections:
        attributes = trace.projection(name).attributes
        projections[name] = {key: attributes[key] for key in keys if key in attributes}
    return {
        "path": str(store),
        "schema": facts.schema,
        "corpus": _name(trace.attributes.get("corpus")),
        "sequences": len(trace),
        "steps": trace.steps,
        "words": int(trace.lengths.sum()),
        "every": facts.every,
        "classes": list(trace.classes),
        "task": facts.task,
        "cell": facts.cell,
        "direction": facts.direction,
        "layers": list(trace.layers),
        "recorded": [*trace.recorded, *_readout(trace)],
        "recorded_layers": list(facts.layers) if trace.recorded else [],
        "gates": list(trace.gates),
        "dtype": facts.dtype,
        "bytes": sum(path.stat().st_size for path in store.rglob("*") if path.is_file()),
        "projections": projections,
        "test_accuracy": trace.test_accuracy,
        "seed": trace.seed,
        "fingerprint": trace.fingerprint,
        "versions": trace.attributes.get("versions", {}),
    }


def _readout(trace: Trace) -> list[str]:
    if not trace.facts.probabilities:
        return []
    language = ("top_tokens", "top_probabilities", "target_probability")
    return list(language) if trace.task == "language_model" else ["probabilities"]


def _name(corpus: Any) -> str | None:
    # A store by another writer need not say what it was made from.
    return corpus.get("name") if isinstance(corpus, dict) else None


def _text(key: str, value: Any) -> str:
    if value is None:
        return "not known"
    if key == "test_accuracy":
        return f"{value:.2%}"
    if key == "projections":
        return "; ".join(
            f"{name} (KL {p['kl_divergence']:.3f})" if isinstance(p.get("kl_divergence"), float) else name
            for name, p in value.items()
        ) or "none yet: make one with `hiddenstate project`"  # fmt: skip
    if key == "bytes":
        return size_of(value)
    if key == "every":
        return "each step has a row" if value == 1 else f"every {value} steps have a row, and each sequence's last one"
    if isinstance(value, list) and not value:
        return "none"
    if key == "recorded_layers":
        return ", ".join(f"no. {number}" for number in value) + " (counted from 0)"
    if key == "classes" and any("," in name for name in value):
        return ", ".join(json.dumps(name, ensure_ascii=False) for name in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and key in ("sequences", "steps", "words") else str(value)
