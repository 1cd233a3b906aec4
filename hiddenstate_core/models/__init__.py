"""Models: recurrent classifiers and language models on Flax NNX, their training and their checkpoints."""

from hiddenstate_core.models.model import Evaluation, Model, load_model
from hiddenstate_core.models.recipes import RECIPES, Recipe, recipe
from hiddenstate_core.models.spec import ModelSpec, TrainOptions
from hiddenstate_core.models.torch import model_from_torch
from hiddenstate_core.models.training import train

__all__ = [
    "RECIPES",
    "Evaluation",
    "Model",
    "ModelSpec",
    "Recipe",
    "TrainOptions",
    "load_model",
    "model_from_torch",
    "recipe",
    "train",
]
