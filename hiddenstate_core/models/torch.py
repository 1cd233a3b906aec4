"""Weights from PyTorch: a state dict of `nn.Embedding`, `nn.LSTM`, `nn.GRU` or `nn.RNN`, and `nn.Linear`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.corpora.corpus import UNKNOWN_WORD, Vocabulary
from hiddenstate_core.errors import InputError, ModelError
from hiddenstate_core.models.cells import CELLS
from hiddenstate_core.models.model import Model
from hiddenstate_core.models.parameters import Params, input_width, places, top_width
from hiddenstate_core.models.spec import ModelSpec

__all__ = ["model_from_torch"]

_Arrays = dict[str, NDArray[np.float64]]


def model_from_torch(
    state_dict: Mapping[str, Any],
    spec: ModelSpec,
    *,
    vocabulary: Vocabulary | None = None,
    classes: Sequence[str] = (),
    tokenizer: str = "",
    embedding: str | None = None,
    recurrent: str | None = None,
    readout: str | None = None,
) -> Model:
    """Make a model of weights trained with PyTorch.

    The blocks of columns stand in the same order here and there (LSTM input, forget, candidate, output; GRU reset,
    update, candidate), and the equations are the same. Kernels are transposed; the two biases are added, but for a
    GRU's candidate, whose recurrent bias acts behind the reset gate and is kept as ``recurrent_bias``. Layers built
    without biases get zeros. PyTorch itself is not needed.

    Parameters
    ----------
    state_dict : mapping of str to array-like
        ``module.state_dict()``, or NumPy arrays under the same names.
    spec : ModelSpec
        Architecture. A module with ``bidirectional=True`` is "both"; one whose sequences are reversed before it reads
        them is "backward". `nn.RNN` must have been built with its default nonlinearity, tanh, which a state dict does
        not tell.
    vocabulary : Vocabulary, optional
        The words, by row of the embedding; row 0 must be the unknown word. Not needed where feature vectors are read.
    classes : sequence of str
        Class names, by row of the readout; none for a language model. A readout of one logit, as for a sigmoid, serves
        two classes: the logit is that of the second, and the first has logit 0.
    tokenizer : str
        JSON of the Hugging Face tokenizer that cuts texts, empty for cutting at white space.
    embedding, recurrent, readout : str, optional
        Prefixes of the names, such as ``"encoder.rnn"`` for ``encoder.rnn.weight_ih_l0``, or ``""`` for names without
        one. By default they are found: the one that has ``weight_ih_l0``, and matrices of the fitting shapes.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        Something that is no mapping, or no vocabulary for a model that reads words.
    ModelError
        A weight that is missing, of another shape than the architecture's, not finite, or left over; or several that
        could be meant.
    """
    if not isinstance(state_dict, Mapping):
        raise InputError(f"state_dict must map names to arrays, not be {type(state_dict).__name__}.")
    if vocabulary is None:
        if spec.inputs == "tokens":
            raise InputError("A model that reads words needs `vocabulary`: the words, by row of the embedding.")
        vocabulary = Vocabulary((UNKNOWN_WORD,))
    arrays = {name: _array(name, value) for name, value in state_dict.items()}
    outputs = len(vocabulary) if spec.task == "language_model" else len(classes)
    params: dict[str, NDArray[np.float64]] = {}
    prefix = _recurrent_prefix(arrays) if recurrent is None else recurrent
    # PyTorch gives every direction of every layer both biases, or (with bias=False) none of them any.
    biased = any(name.startswith((_join(prefix, "bias_ih_l"), _join(prefix, "bias_hh_l"))) for name in arrays)
    for layer, direction in places(spec):
        params |= _layer(arrays, prefix, spec, layer, direction, biased=biased)
    if readout is None:
        readout = _matrix_prefix(arrays, (outputs, top_width(spec)), "readout", one_row=outputs == 2)
    kernel, bias = _readout(arrays, readout, outputs, top_width(spec))
    params["readout.kernel"], params["readout.bias"] = kernel, bias
    if spec.inputs == "tokens":
        shape = (len(vocabulary), spec.embedding)
        if embedding is None:
            embedding = _matrix_prefix(arrays, shape, "embedding")
        params["embedding"] = _take(arrays, _join(embedding, "weight"), shape)
    if arrays:
        raise ModelError(
            f"The state dict has {next(iter(arrays))!r}, which has no place in {spec}; "
            "leave it out of the mapping if it plays no part in the prediction."
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite and is refused as such
        weights: Params = {name: jnp.asarray(array.astype(np.float32)) for name, array in params.items()}
    return Model(spec, vocabulary, tuple(classes), weights, tokenizer, {"source": "torch"})


def _array(name: str, value: Any) -> NDArray[np.float64]:
    if hasattr(value, "detach"):  # a tensor, perhaps on another device, perhaps of half precision
        value = value.detach().cpu().double().numpy()
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name!r} in the state dict is no array of numbers but {type(value).__name__}.") from error


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _take(arrays: _Arrays, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Take an array out of those that are left, checking that it is there and of the shape."""
    if name not in arrays:
        raise ModelError(f"The state dict lacks {name!r}, of shape {shape}; it has {_some(arrays)}.")
    array = arrays.pop(name)
    if array.shape != shape:
        raise ModelError(f"{name!r} in the state dict must have shape {shape} for this spec, not {array.shape}.")
    return array


def _layer(arrays: _Arrays, prefix: str, spec: ModelSpec, layer: int, direction: str, *, biased: bool) -> _Arrays:
    """Weights of one direction of a layer under the names that they have here."""
    cell, units = CELLS[spec.cell], spec.hidden[layer]
    columns = cell.blocks * units
    behind = f"l{layer}_reverse" if spec.direction == "both" and direction == "backward" else f"l{layer}"

    def name(kind: str) -> str:
        return _join(prefix, f"{kind}_{behind}")

    if name("weight_hr") in arrays:
        raise ModelError(f"The state dict has {name('weight_hr')!r}: an LSTM with projections cannot be imported.")
    here = f"layers.{layer}.{direction}."
    found = {
        here + "input_kernel": _take(arrays, name("weight_ih"), (columns, input_width(spec, layer))).T,
        here + "recurrent_kernel": _take(arrays, name("weight_hh"), (columns, units)).T,
    }
    bias, recurrent_bias = (
        _take(arrays, name(kind), (columns,)) if biased else np.zeros(columns) for kind in ("bias_ih", "bias_hh")
    )
    if cell.recurrent_bias:
        found[here + "recurrent_bias"] = recurrent_bias[-units:]
        recurrent_bias = np.concatenate([recurrent_bias[:-units], np.zeros(units)])
    found[here + "bias"] = bias + recurrent_bias
    return found


def _readout(arrays: _Arrays, prefix: str, outputs: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel (D, C) and bias (C,) of the readout."""
    weight = _join(prefix, "weight")
    single = outputs == 2 and weight in arrays and arrays[weight].shape == (1, width)
    rows = 1 if single else outputs
    kernel = _take(arrays, weight, (rows, width)).T
    name = _join(prefix, "bias")
    bias = _take(arrays, name, (rows,)) if name in arrays else np.zeros(rows)
    if single:
        return np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros(1), bias])
    return kernel, bias


def _recurrent_prefix(arrays: _Arrays) -> str:
    found = [name.removesuffix("weight_ih_l0") for name in arrays if name.split(".")[-1] == "weight_ih_l0"]
    if len(found) != 1:
        raise ModelError(
            f"{len(found) or 'No'} recurrent modules are in the state dict (names that end in 'weight_ih_l0'), where "
            f"one is expected; it has {_some(arrays)}. Name the prefix with `recurrent`."
        )
    return found[0].removesuffix(".")


def _matrix_prefix(arrays: _Arrays, shape: tuple[int, int], what: str, *, one_row: bool = False) -> str:
    """Prefix of the one module whose weight has the shape; with a bias for a readout, none for an embedding."""
    shapes = {shape, (1, shape[1])} if one_row else {shape}
    prefixes = [
        name.removesuffix("weight").removesuffix(".")
        for name, array in arrays.items()
        if name.split(".")[-1] == "weight" and array.shape in shapes
    ]
    biased = {p for p in prefixes if _join(p, "bias") in arrays}
    wanted = [p for p in prefixes if (p in biased) == (what == "readout")]
    found = wanted or (prefixes if what == "readout" else [])
    if len(found) != 1:
        raise ModelError(
            f"{len(found) or 'No'} matrices in the state dict could be the {what}, of shape {shape}; it has "
            f"{_some(arrays)}. Name its prefix with `{what}`."
        )
    return found[0]


def _some(arrays: _Arrays) -> str:
    names = [f"{name} {array.shape}" for name, array in list(arrays.items())[:8]]
    return ", ".join(names) + (", ..." if len(arrays) > 8 else "") if names else "no arrays left"
