"""Concept-sets: for each language and emotion category, the weighted words people think of with it.

A language is one TOML file (``data/concepts/<language>.toml``); the categories, their order and the lists of them
stand in ``data/concepts/categories.toml``. Bundled sets are ``curated``, those imported from word-association
norms are ``associations``; whatever shows them says which.
"""

from __future__ import annotations

from emospace.concepts.associations import import_associations
from emospace.concepts.category import CATEGORIES, LISTS, Category
from emospace.concepts.checks import FATAL, Tokenizer, check_concepts, overlap
from emospace.concepts.loading import (
    Selection,
    bundled_languages,
    categories,
    category_lists,
    load_concepts,
    unknown_category,
)
from emospace.concepts.sets import ConceptSets, Provenance

__all__ = [
    "CATEGORIES",
    "FATAL",
    "LISTS",
    "Category",
    "ConceptSets",
    "Provenance",
    "Selection",
    "Tokenizer",
    "bundled_languages",
    "categories",
    "category_lists",
    "check_concepts",
    "import_associations",
    "load_concepts",
    "overlap",
    "unknown_category",
]
