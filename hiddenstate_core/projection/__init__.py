"""Maps of the states in the plane: t-SNE and principal components."""

from hiddenstate_core.projection.affinities import Affinities, perplexity_affinities
from hiddenstate_core.projection.embedding import Embedding, pca
from hiddenstate_core.projection.gradients import BarnesHut, Exact, Repulsion, gradient, kl_divergence
from hiddenstate_core.projection.initialization import initial_positions, principal_components
from hiddenstate_core.projection.optimizer import Callback, OptimizerOptions, Progress, optimize
from hiddenstate_core.projection.tsne import TSNE

__all__ = [
    "TSNE",
    "Affinities",
    "BarnesHut",
    "Callback",
    "Embedding",
    "Exact",
    "OptimizerOptions",
    "Progress",
    "Repulsion",
    "gradient",
    "initial_positions",
    "kl_divergence",
    "optimize",
    "pca",
    "perplexity_affinities",
    "principal_components",
]
