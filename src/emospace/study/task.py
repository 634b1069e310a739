"""`RatingTask`: what every feature set of one set of norms is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.prediction import Predicted, predict_ratings
from emospace.records import NotComputed

if TYPE_CHECKING:
    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts


@dataclass(frozen=True, eq=False)
class RatingTask:
    """What every feature set of one set of norms is asked."""

    model: str
    layer: int
    concepts: LanguageConcepts
    norms: WordNorms
    ratings: np.ndarray
    groups: np.ndarray
    scored: np.ndarray
    folds: int
    seed: int

    @property
    def language(self) -> str:
        """The language of the norms."""
        return self.concepts.language

    @property
    def latents(self) -> np.ndarray:
        """The latents of the space."""
        assert self.concepts.latents is not None
        return self.concepts.latents

    @property
    def options(self) -> dict[str, Any]:
        """How every feature set is tested: words scored, folds, seed."""
        return {"scored": self.scored, "folds": self.folds, "seed": self.seed}

    @property
    def common(self) -> dict[str, Any]:
        """Fields of every record."""
        return {
            "model": self.model,
            "seed": self.seed,
            "language": self.language,
            "norms": self.norms.name,
        }

    def missing(self, what: str, why: str) -> NotComputed:
        """Return that something was not computed in this language, and why."""
        return NotComputed(what=what, why=why, language=self.language)

    def predict(self, values: Any, **options: Any) -> tuple[Predicted, ...]:
        """Predict the ratings from features ``[n_words, d]`` or ``[n_words, n_layers, d]``."""
        return predict_ratings(
            values, self.ratings, self.groups, targets=self.norms.targets, **self.options, **options
        )
