"""The human side of the geometry: how similar people treat the categories, and where each lies on valence-arousal."""

from __future__ import annotations

from emospace.structure.agreement import (
    FEWEST_CONCEPTS,
    PEOPLE,
    WANTED,
    ValenceAgreement,
    category_valence,
    valence_agreement,
)
from emospace.structure.ratings import FEWEST_RATED, CategoryRatings, category_ratings
from emospace.structure.similarity import (
    FEWEST_COMPARED,
    CategoryStructure,
    SplitHalf,
    list_structures,
    load_structure,
    phi,
    structures_for,
)

__all__ = [
    "FEWEST_COMPARED",
    "FEWEST_CONCEPTS",
    "FEWEST_RATED",
    "PEOPLE",
    "WANTED",
    "CategoryRatings",
    "CategoryStructure",
    "SplitHalf",
    "ValenceAgreement",
    "category_ratings",
    "category_valence",
    "list_structures",
    "load_structure",
    "phi",
    "structures_for",
    "valence_agreement",
]
