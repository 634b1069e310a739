"""A study without an SAE: a category's feature is its dense mean-difference direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emospace.features import FeatureDictionary

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets


def dense_dictionary(sets: ConceptSets, language: str) -> FeatureDictionary:
    """Return a dictionary with one direction for each category, numbered in their order."""
    import pandas as pd

    categories = [category for category in sets.categories if sets.words(language, category)]
    table = pd.DataFrame(
        {
            "category": categories,
            "latent": range(len(categories)),
            "effect": float("nan"),
            "weight": 1.0,
            "rate_in": float("nan"),
            "rate_pool": float("nan"),
            "z": float("nan"),
            "p": float("nan"),
            "q": float("nan"),
            "p_max": float("nan"),
            "top_words": "",
        }
    )
    return FeatureDictionary(
        language, table, {"rule": "dense mean difference", "provenance": sets.provenance}
    )
