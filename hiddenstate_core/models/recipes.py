"""How the models of the built-in corpora are made: architecture, vocabulary and training options."""

from __future__ import annotations

import dataclasses

from hiddenstate_core.errors import InputError
from hiddenstate_core.models.spec import ModelSpec, TrainOptions

__all__ = ["OWN", "RECIPES", "Recipe", "language_recipe", "recipe"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What ``hiddenstate train`` and ``hiddenstate demo`` use for a corpus.

    Parameters
    ----------
    corpus : str
        Name of the corpus, as `hiddenstate_core.load_corpus` knows it.
    vocabulary : int
        Number of words that have a vector of their own, to be given to `load_corpus`.
    spec : ModelSpec
        Architecture.
    options : TrainOptions
        How to train.
    """

    corpus: str
    vocabulary: int
    spec: ModelSpec
    options: TrainOptions


#: Recipe by corpus. The architectures of "imdb" and "reuters" are those of Garcia, Munz & Weiskopf (2021).
RECIPES = {
    "imdb": Recipe(
        "imdb",
        12_000,
        ModelSpec(hidden=(100,), embedding=32, dropout=0.5, max_length=100),
        TrainOptions(
            epochs=7,
            batch_size=64,
            learning_rate=5e-3,
            word_dropout=0.3,
            variational_dropout=0.25,
            crop=0.5,
            average=0.998,
            validation=0.1,
        ),
    ),
    "reuters": Recipe(
        "reuters",
        4_000,
        ModelSpec(hidden=(20,), embedding=32, dropout=0.5, max_length=100),
        TrainOptions(
            epochs=20,
            batch_size=64,
            learning_rate=2e-2,
            word_dropout=0.3,
            variational_dropout=0.2,
            crop=0.5,
            label_smoothing=0.05,
            average=0.99,
            validation=0.1,
        ),
    ),
    "stdlib": Recipe(
        "stdlib",
        3_000,
        ModelSpec(hidden=(48,), embedding=32, dropout=0.5, max_length=80),
        TrainOptions(
            epochs=12,
            batch_size=64,
            learning_rate=2e-2,
            word_dropout=0.3,
            variational_dropout=0.2,
            average=0.98,
            validation=0.1,
        ),
    ),
}


#: For texts of one's own, of which nothing is known: a middling network, and training that stops by itself.
OWN = Recipe(
    "own",
    10_000,
    ModelSpec(hidden=(64,), embedding=32, dropout=0.5, max_length=200),
    TrainOptions(
        epochs=12,
        batch_size=32,
        learning_rate=1e-2,
        word_dropout=0.2,
        variational_dropout=0.2,
        average=0.98,
        validation=0.1,
    ),
)


def recipe(corpus: str) -> Recipe:
    """Recipe of a built-in corpus, or, named "own", of texts of one's own.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if corpus == OWN.corpus:
        return OWN
    if corpus not in RECIPES:
        raise InputError(
            f"There is no recipe for corpus {corpus!r}; there is one for {', '.join(sorted(RECIPES))}, and one named "
            f"{OWN.corpus!r} for texts of your own."
        )
    return RECIPES[corpus]


def language_recipe(corpus: str) -> Recipe:
    """Recipe of a language model on a built-in corpus: its classifier's, but for what suits the other task.

    Words are not dropped and windows not moved (every word is predicted anyway), the target is not smoothed (that
    raises the perplexity), less is silenced in front of the readout, and the two small corpora get smaller batches:
    more steps.

    Raises
    ------
    InputError
        There is none of that name.
    """
    made = recipe(corpus)
    options = made.options.replace(
        batch_size=64 if corpus == "imdb" else 16,
        learning_rate=min(made.options.learning_rate, 1e-2),
        word_dropout=0.0,
        variational_dropout=0.1,
        crop=0.0,
        label_smoothing=0.0,
    )
    return dataclasses.replace(made, spec=made.spec.replace(task="language_model", dropout=0.2), options=options)
