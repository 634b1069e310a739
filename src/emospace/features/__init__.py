"""Concept-set -> features: the latents that fire for a category's concepts and not for matched neutral words."""

from emospace.features.encoding import encode_words as encode_words
from emospace.features.pool import (
    MatchedPool as MatchedPool,
    matched_pool as matched_pool,
    neutral_pool as neutral_pool,
    usable as usable,
)
from emospace.features.selection import (
    EFFECTS as EFFECTS,
    FeatureDictionary as FeatureDictionary,
    dense_directions as dense_directions,
    latent_values as latent_values,
    select_features as select_features,
    shared_latents as shared_latents,
    shuffled_sets as shuffled_sets,
    specific_latents as specific_latents,
)
