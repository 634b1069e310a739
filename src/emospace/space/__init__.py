"""The emotion space: categories x features (`matrix`) and its CEBRA embedding (`embedding`)."""

from emospace.space.embedding import CebraDecoding, cebra_decoding, cebra_embedding
from emospace.space.matrix import (
    PCA,
    EmotionSpace,
    Metric,
    Transform,
    build_space,
    disjoint_rdm,
    dissimilarity,
    kind_features,
    overlap_rdm,
    standardise,
)

__all__ = [
    "PCA",
    "CebraDecoding",
    "EmotionSpace",
    "Metric",
    "Transform",
    "build_space",
    "cebra_decoding",
    "cebra_embedding",
    "disjoint_rdm",
    "dissimilarity",
    "kind_features",
    "overlap_rdm",
    "standardise",
]
