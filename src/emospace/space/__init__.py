"""The emotion space: categories x features (`matrix`) and its CEBRA embedding (`embedding`)."""

from emospace.space.embedding import (
    CebraDecoding as CebraDecoding,
    cebra_decoding as cebra_decoding,
    cebra_embedding as cebra_embedding,
)
from emospace.space.matrix import (
    EmotionSpace as EmotionSpace,
    build_space as build_space,
    disjoint_rdm as disjoint_rdm,
    dissimilarity as dissimilarity,
    kind_features as kind_features,
    overlap_rdm as overlap_rdm,
    standardise as standardise,
)
