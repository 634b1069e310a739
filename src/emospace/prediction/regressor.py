"""Ridge of ratings as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.validation import check_is_fitted

from emospace.errors import InvalidInput
from emospace.prediction.ratings import Problem, checked
from emospace.prediction.ridge import PENALTIES, assign_folds


class RatingRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ratings of words from features of words: ridge, its penalty chosen by cross-validation within the training words.

    The fit is that of `fit_ratings`, so that `sklearn.model_selection.cross_val_predict` with it is nested
    cross-validation, as `predict_ratings` does it on folds of its own. Features are standardised on the training words.
    `score` is R2 (scikit-learn's), not Pearson's r.

    Parameters
    ----------
    folds
        Folds that choose the penalty, three or more.
    penalties
        Relative penalties, ascending: ``alpha / n_words`` of `sklearn.linear_model.Ridge` on standardised features.
    random_state
        Of the folds: an int, a `RandomState`, or None for other folds at each fit.

    Attributes
    ----------
    coef_
        ``[n_features]`` or ``[n_targets, n_features]``, in units of the features as they were given.
    intercept_
        A number or ``[n_targets]``.
    penalty_
        The relative penalty chosen: a number or ``[n_targets]``.
    n_features_in_
        Number of features.
    """

    def __init__(
        self,
        *,
        folds: int = 5,
        penalties: Sequence[float] = PENALTIES,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.folds = folds
        self.penalties = penalties
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose the penalty and fit.

        Parameters
        ----------
        X
            ``[n_words, n_features]``, dense or scipy sparse.
        y
            Ratings ``[n_words]`` or ``[n_words, n_targets]``.
        groups
            ``[n_words]``: words of one group (inflections, duplicates) never part between the folds that choose the
            penalty. None: each word for itself.

        Raises
        ------
        ValueError
            If shapes disagree, a value is not finite, or there are too few word groups for the folds.
        """
        features, ratings = check_X_y(X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
        state = self.random_state
        seed = (
            int(state)
            if isinstance(state, int | np.integer)
            else int(check_random_state(state).randint(2**31 - 1))
        )
        groups = np.arange(len(ratings)) if groups is None else np.asarray(groups)
        features, columns, groups, _, everything = checked(features, ratings, groups, None, None)
        problem = Problem(features, columns, assign_folds(groups, self.folds, seed), everything)
        _, penalty = problem.choose(self.penalties)
        weights, intercept = problem.coefficients(penalty)
        single = ratings.ndim == 1
        self.n_features_in_ = features.shape[1]
        self.coef_ = weights[:, 0] if single else weights.T
        self.intercept_ = intercept[0] if single else intercept
        self.penalty_ = penalty[0] if single else penalty
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions ``[n_words]``, or ``[n_words, n_targets]`` where `y` had columns.

        Parameters
        ----------
        X
            ``[n_words, n_features]``, dense or scipy sparse, in the units `fit` saw.

        Raises
        ------
        ValueError
            If there are other features than it was fitted on.
        """
        check_is_fitted(self)
        features = check_array(X, accept_sparse="csr")
        if features.shape[1] != self.n_features_in_:
            raise InvalidInput(
                f"{features.shape[1]} features",
                f"the regressor was fitted on {self.n_features_in_}",
                "Give the features it was fitted on.",
            )
        return np.asarray(features @ self.coef_.T + self.intercept_)
