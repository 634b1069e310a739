"""`LanguageConcepts`: a language's concepts as the model has them, and the spaces they make."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from emospace.features import dense_directions
from emospace.languages import LanguageFeatures
from emospace.space import build_space, kind_features

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.features import MatchedPool
    from emospace.space import EmotionSpace
    from emospace.study.encoding import WordStates

Kind: TypeAlias = Literal["sae", "dense", "static"]


@dataclass(frozen=True, eq=False)
class LanguageConcepts:
    """A language's concepts, their features, and the neutral pool they are tested against.

    Attributes
    ----------
    sets
        Of this language alone.
    words
        Concepts and, below them, the pool.
    latents
        The features, ascending; None without an SAE.
    dictionary
        Hash of the autoencoder the latents are of.
    """

    language: str
    sets: ConceptSets
    pool: MatchedPool
    words: WordStates
    latents: np.ndarray | None
    dictionary: str | None
    _made: dict[tuple[str, Kind], Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def kind(self) -> Kind:
        """The kind of the study's main space."""
        return "dense" if self.latents is None else "sae"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The main space and those it is compared with."""
        return tuple(dict.fromkeys((self.kind, "dense", "static")))

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts, without the pool."""
        return self.sets.words(self.language)

    def space(self, kind: Kind, without: Collection[str] = ()) -> EmotionSpace:
        """Return the emotion space of a kind.

        Parameters
        ----------
        without
            Concepts to leave out.

        Raises
        ------
        EmospaceError
            If a category has no other concept.
        """
        if without:
            return self._build(kind, without)
        if ("space", kind) not in self._made:
            self._made["space", kind] = self._build(kind)
        space: EmotionSpace = self._made["space", kind]
        return space

    def features(self, kind: Kind) -> LanguageFeatures:
        """Return the features of the concepts, less the mean category.

        What all categories share, being an emotion word at all, would make every pair alike.
        """
        n, (values, latents) = len(self.concepts), self._values(kind)
        features = kind_features(values[:n], latents, kind, values[n:])
        silent = np.asarray(~features.any(axis=1))
        features -= self.space(kind).matrix.mean(axis=0)
        return LanguageFeatures(self.language, self.concepts, features, self.sets, silent)

    def directions(self, kind: Literal["dense", "static"] = "dense") -> np.ndarray:
        """Return the direction of each category in dense states or input embeddings, ``[n_categories, d_model]``."""
        if ("directions", kind) not in self._made:
            values, _ = self._values(kind)
            directions = dense_directions(values, self.words.words, self.sets, self.language, self.pool)
            self._made["directions", kind] = directions
        return np.asarray(self._made["directions", kind])

    def _build(self, kind: Kind, without: Collection[str] = ()) -> EmotionSpace:
        n, (values, latents) = len(self.concepts), self._values(kind)
        kept = [row for row, word in enumerate(self.concepts) if word not in without]
        return build_space(
            values[kept],
            [self.concepts[row] for row in kept],
            self.sets,
            self.language,
            latents,
            pool=values[n:],
            kind=kind,
            dictionary=self.dictionary if kind == "sae" else None,
        )

    def _values(self, kind: Kind) -> tuple[Any, np.ndarray | None]:
        """Return the values ``[n_words, n_values]`` of a kind, and the columns taken."""
        if kind == "sae":
            return self.words.codes, self.latents
        return (self.words.static if kind == "static" else self.words.states), None
