"""Answers read off a trace."""

from hiddenstate_core.analysis.overview import DatasetOverview, confusion_matrix, dataset_overview
from hiddenstate_core.analysis.prediction import PredictionEvolution, prediction_evolution
from hiddenstate_core.analysis.query import Query
from hiddenstate_core.analysis.search import Matches, SearchIndex, find_sequences

__all__ = [
    "DatasetOverview",
    "Matches",
    "PredictionEvolution",
    "Query",
    "SearchIndex",
    "confusion_matrix",
    "dataset_overview",
    "find_sequences",
    "prediction_evolution",
]
