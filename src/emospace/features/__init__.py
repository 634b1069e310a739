"""Concept-set -> features: the latents that fire for a category's concepts and not for matched neutral words."""

from emospace.features.pool import MatchedPool, matched_pool, neutral_pool, usable
from emospace.features.selection import (
    EFFECTS,
    FeatureDictionary,
    dense_directions,
    latent_values,
    select_features,
    shared_latents,
    shuffled_sets,
    specific_latents,
)
from emospace.specs import MAX_FEATURES, Rule

__all__ = [
    "EFFECTS",
    "MAX_FEATURES",
    "FeatureDictionary",
    "MatchedPool",
    "Rule",
    "dense_directions",
    "latent_values",
    "matched_pool",
    "neutral_pool",
    "select_features",
    "shared_latents",
    "shuffled_sets",
    "specific_latents",
    "usable",
]
