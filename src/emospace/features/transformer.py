"""The selection of features as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emospace.errors import InvalidInput
from emospace.features.pool import MatchedPool
from emospace.features.selection import latent_values, select_features
from emospace.specs import MAX_FEATURES, Rule

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets


class ConceptFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The latents that fire for the concepts of emotion categories and not for matched neutral words.

    `fit` is `select_features`. It looks at no rating, and at no word but those of the concept-sets and the pool; it
    has to have all of these, so fit it once on their codes and transform the codes of any words. In a pipeline whose
    `fit` sees rated words alone, put it fitted: ``make_pipeline(FrozenEstimator(features), RatingRegressor())``.

    Parameters
    ----------
    sets, pool
        The concept-sets, and the neutral words matched to those of `language` (`neutral_pool`).
    language
        ISO 639-1 code such as ``en``, one of ``sets.languages``.
    rule, q, max_features, n_permutations
        As `select_features` takes them.
    log1p
        Whether activations are compressed by log(1 + x), as the emotion space does.
    random_state
        Seed of the permutations, an int.

    Attributes
    ----------
    dictionary_
        The `FeatureDictionary`: latents, categories, tests and top words.
    latents_
        ``[n_features]`` columns chosen, ascending.
    n_features_in_
        Number of latents.
    """

    def __init__(
        self,
        sets: ConceptSets,
        pool: MatchedPool,
        language: str = "en",
        *,
        rule: Rule = "standardised",
        q: float = 0.05,
        max_features: int = MAX_FEATURES,
        n_permutations: int = 999,
        log1p: bool = True,
        random_state: int = 0,
    ) -> None:
        self.sets = sets
        self.pool = pool
        self.language = language
        self.rule = rule
        self.q = q
        self.max_features = max_features
        self.n_permutations = n_permutations
        self.log1p = log1p
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, words: Sequence[str]) -> Self:  # noqa: ARG002
        """Select the features.

        Parameters
        ----------
        X
            Codes ``[n_words, n_latents]``, csr.
        y
            Not used.
        words
            ``[n_words]``, the words of the rows, those of the concept-sets and the pool among them.

        Raises
        ------
        ValueError
            If a concept or pool word has no codes, or no latent passes.
        """
        from scipy.sparse import csr_matrix

        codes = csr_matrix(X)
        if codes.shape[0] != len(words):
            raise InvalidInput(
                f"codes of {codes.shape[0]} words",
                f"{len(words)} words are named",
                "Name the word of each row.",
            )
        self.dictionary_ = select_features(
            codes,
            words,
            self.sets,
            self.language,
            self.pool,
            rule=self.rule,
            q=self.q,
            max_features=self.max_features,
            n_permutations=self.n_permutations,
            seed=self.random_state,
        )
        self.latents_ = self.dictionary_.latents
        self.n_features_in_ = codes.shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the values ``[n_words, n_features]`` of the chosen latents of any words' codes, dense.

        Parameters
        ----------
        X
            Codes ``[n_words, n_latents]``, csr or dense, of the autoencoder that `fit` saw.

        Raises
        ------
        ValueError
            If the codes have another number of latents.
        """
        check_is_fitted(self)
        if X.shape[1] != self.n_features_in_:
            raise InvalidInput(
                f"codes of {X.shape[1]} latents",
                f"features were selected among {self.n_features_in_}",
                "Encode all words with one autoencoder.",
            )
        return latent_values(X, self.latents_, log1p=self.log1p)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Return ``[n_features]`` names: those given for the latents, or ``latent`` and its number.

        Parameters
        ----------
        input_features
            ``[n_latents]`` names of all latents; None numbers them.
        """
        check_is_fitted(self)
        names = [
            f"latent{latent}" if input_features is None else input_features[latent]
            for latent in self.latents_
        ]
        return np.asarray(names, dtype=object)
