"""Answers read off a trace."""

from hiddenstate_core.analysis.overview import DatasetOverview, confusion_matrix, dataset_overview
from hiddenstate_core.analysis.prediction import PredictionEvolution, prediction_evolution

__all__ = ["DatasetOverview", "PredictionEvolution", "confusion_matrix", "dataset_overview", "prediction_evolution"]
