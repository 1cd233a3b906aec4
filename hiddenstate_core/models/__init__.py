"""Models: recurrent classifiers on Flax NNX, their training and their checkpoints."""

from hiddenstate_core.models.model import Evaluation, Model, load_model
from hiddenstate_core.models.spec import ModelSpec, TrainOptions
from hiddenstate_core.models.training import train

__all__ = ["Evaluation", "Model", "ModelSpec", "TrainOptions", "load_model", "train"]
