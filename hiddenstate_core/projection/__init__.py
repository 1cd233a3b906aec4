"""Maps of the states in the plane: t-SNE and principal components."""

from hiddenstate_core.projection.affinities import (
    Affinities,
    multiscale_affinities,
    perplexity_affinities,
    uniform_affinities,
)
from hiddenstate_core.projection.barnes_hut import BarnesHut
from hiddenstate_core.projection.checkpoint import Checkpoint
from hiddenstate_core.projection.embedding import Embedding, pca
from hiddenstate_core.projection.estimates import Estimate
from hiddenstate_core.projection.gradients import Exact, Repulsion, gradient, kl_divergence
from hiddenstate_core.projection.initialization import initial_positions, principal_components
from hiddenstate_core.projection.interpolation import Interpolation
from hiddenstate_core.projection.map_neighbors import map_neighbors
from hiddenstate_core.projection.optimizer import Callback, OptimizerOptions, Progress, optimize
from hiddenstate_core.projection.placement import Placement
from hiddenstate_core.projection.precomputed import precomputed_affinities
from hiddenstate_core.projection.quality import Quality, quality, sampled_kl_divergence
from hiddenstate_core.projection.tsne import TSNE

__all__ = [
    "TSNE",
    "Affinities",
    "BarnesHut",
    "Callback",
    "Checkpoint",
    "Embedding",
    "Estimate",
    "Exact",
    "Interpolation",
    "OptimizerOptions",
    "Placement",
    "Progress",
    "Quality",
    "Repulsion",
    "gradient",
    "initial_positions",
    "kl_divergence",
    "map_neighbors",
    "multiscale_affinities",
    "optimize",
    "pca",
    "perplexity_affinities",
    "precomputed_affinities",
    "principal_components",
    "quality",
    "sampled_kl_divergence",
    "uniform_affinities",
]
