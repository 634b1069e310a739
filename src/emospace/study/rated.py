"""`RatedWords`: the rated words of a language, and how every feature set is tested on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.lexicon import same_family, word_groups
from emospace.prediction import FittedRatings, Predicted, fit_ratings, predict_draws, predict_ratings
from emospace.records import NotComputed

if TYPE_CHECKING:
    from emospace.norms import WordNorms
    from emospace.study.concepts import LanguageConcepts
    from emospace.study.encoding import WordStates


@dataclass(frozen=True, eq=False)
class RatedWords:
    """The rated words of a language, and how every feature set is tested on them.

    Attributes
    ----------
    words
        Those rated on all targets that the model has tokens for.
    ratings
        ``[n_words, n_targets]``.
    groups
        ``[n_words]``: words of one group never part between folds.
    scored
        ``[n_words]``, False for concept words and their inflections.
    """

    concepts: LanguageConcepts
    words: WordStates
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
    def targets(self) -> tuple[str, ...]:
        """What is rated."""
        return self.norms.targets

    @property
    def named(self) -> dict[str, str]:
        """The language and the norms, as records and tables name them."""
        return {"language": self.language, "norms": self.norms.name}

    def predict(self, values: Any, **options: Any) -> tuple[Predicted, ...]:
        """Predict the ratings from features ``[n_words, d]`` or ``[n_words, n_layers, d]``."""
        given: dict[str, Any] = {
            "targets": self.targets,
            "scored": self.scored,
            "folds": self.folds,
            "seed": self.seed,
        }
        return predict_ratings(values, self.ratings, self.groups, **given, **options)

    def fit(self, values: Any, n_permutations: int) -> tuple[FittedRatings, ...]:
        """Fit ridge on all words, to read ratings in another language."""
        given: dict[str, Any] = {"targets": self.targets, "folds": self.folds, "seed": self.seed}
        return fit_ratings(values, self.ratings, self.groups, n_permutations=n_permutations, **given)

    def predict_draws(self, values: Any, draws: np.ndarray) -> np.ndarray:
        """Return r ``[n_draws, n_targets, 2]`` of draws of the columns of values ``[n_words, n_columns]``."""
        given: dict[str, Any] = {"scored": self.scored, "folds": self.folds, "seed": self.seed}
        return predict_draws(values, draws, self.ratings, self.groups, **given)

    def missing(self, what: str, why: str) -> NotComputed:
        """Return that something was not computed in this language, and why."""
        return NotComputed(what=what, why=why, language=self.language)


def rated_words(
    norms: WordNorms,
    concepts: LanguageConcepts,
    words: WordStates,
    *,
    folds: int,
    seed: int,
    unit: bool = False,
) -> RatedWords:
    """Return words with their ratings, on the scale of the norms or (`unit`) on -1..1."""
    listed, language = list(words.words), concepts.language
    rating = norms.unit if unit else norms.ratings
    ratings = np.stack([rating(target).loc[listed].to_numpy(np.float64) for target in norms.targets], axis=1)
    groups, scored = word_groups(listed, language), ~same_family(listed, concepts.concepts, language)
    return RatedWords(concepts, words, norms, ratings, groups, scored, folds, seed)
