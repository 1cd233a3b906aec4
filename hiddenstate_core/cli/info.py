"""`hiddenstate info`: what a trace store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["command", "describe"]


def command(
    store: Annotated[Path, typer.Argument(help="A trace store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a trace store holds and how it was made."""
    found = describe(store)
    if as_json:
        typer.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    for key, value in found.items():
        typer.echo(f"{key.replace('_', ' '):<14} {_text(key, value)}")


def describe(store: Path) -> dict[str, Any]:
    """What a store holds, as JSON values."""
    from hiddenstate_core.traces.schema import SCHEMA
    from hiddenstate_core.traces.trace import Trace

    trace = Trace(store)
    keys = ("method", "layer", "quantity", "kl_divergence", "options")
    projections = {}
    for name in trace.projections:
        attributes = trace.projection(name).attributes
        projections[name] = {key: attributes[key] for key in keys if key in attributes}
    return {
        "path": str(store),
        "schema": SCHEMA,
        "corpus": _name(trace.attributes.get("corpus")),
        "sequences": len(trace),
        "steps": trace.steps,
        "classes": list(trace.classes),
        "layers": list(trace.layers),
        "recorded": [*trace.recorded, "probabilities"],
        "projections": projections,
        "test_accuracy": trace.test_accuracy,
        "seed": trace.seed,
        "fingerprint": trace.fingerprint,
        "versions": trace.attributes.get("versions", {}),
    }


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
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and key in ("sequences", "steps") else str(value)
