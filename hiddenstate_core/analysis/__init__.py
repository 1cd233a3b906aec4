"""Answers read off a trace."""

from hiddenstate_core.analysis.divergence import Divergence, divergence
from hiddenstate_core.analysis.flow import Flow, class_flow
from hiddenstate_core.analysis.impact import WordImpact, word_impact
from hiddenstate_core.analysis.map_quality import read_quality, store_quality
from hiddenstate_core.analysis.overview import DatasetOverview, confusion_matrix, dataset_overview
from hiddenstate_core.analysis.placer import SentencePlacer, place_text
from hiddenstate_core.analysis.prediction import PredictionEvolution, prediction_evolution
from hiddenstate_core.analysis.quantity import StateSource, recorded_states
from hiddenstate_core.analysis.query import Query
from hiddenstate_core.analysis.search import Matches, SearchIndex, find_sequences
from hiddenstate_core.analysis.sentence import TextReading, check_model, find_model, read_text
from hiddenstate_core.analysis.spatial import SpatialOrder, spatial_order, store_spatial_order
from hiddenstate_core.analysis.step_figure import StepValues
from hiddenstate_core.analysis.step_values import Choice, available, step_values

__all__ = [
    "Choice",
    "DatasetOverview",
    "Divergence",
    "Flow",
    "Matches",
    "PredictionEvolution",
    "Query",
    "SearchIndex",
    "SentencePlacer",
    "SpatialOrder",
    "StateSource",
    "StepValues",
    "TextReading",
    "WordImpact",
    "available",
    "check_model",
    "class_flow",
    "confusion_matrix",
    "dataset_overview",
    "divergence",
    "find_model",
    "find_sequences",
    "place_text",
    "prediction_evolution",
    "read_quality",
    "read_text",
    "recorded_states",
    "spatial_order",
    "step_values",
    "store_quality",
    "store_spatial_order",
    "word_impact",
]
