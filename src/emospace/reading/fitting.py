"""The second form of reading: ridge from the pooled features of labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import InvalidInput
from emospace.prediction.ratings import Problem

if TYPE_CHECKING:
    import pandas as pd

    from emospace.reading.reader import Reader

PENALTIES: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge: ``weights [n_features, n_targets]``, ``intercept [n_targets]``, the penalty of each target.

    A penalty is in units of the training texts: ``alpha = penalty * n`` on standardised features.
    """

    weights: np.ndarray
    intercept: np.ndarray
    penalty: np.ndarray

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return predictions, ``[n, n_features]`` to ``[n, n_targets]``."""
        return np.asarray(features @ self.weights + self.intercept)


def fit_ridge(
    features: np.ndarray,
    values: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = FOLDS,
    seed: int = 0,
) -> Ridge:
    """Fit ridge on all rows, each target's penalty chosen by cross-validated squared error.

    Parameters
    ----------
    features
        ``[n, n_features]``.
    values
        ``[n, n_targets]``, finite.
    penalties
        With one there is nothing to choose, and no cross-validation.

    Raises
    ------
    EmospaceError
        If values are not finite, or there are fewer than two rows a fold.
    """
    x, y = np.asarray(features, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not np.isfinite(y).all():
        raise InvalidInput(
            f"{int((~np.isfinite(y)).sum())} of {y.size} values", "they are no numbers", "Leave these out."
        )
    if len(x) < 2 * folds:
        raise InvalidInput(
            f"{len(x)} labelled rows", "they are too few to fit on", f"Give {2 * folds} or more."
        )
    fold = np.random.default_rng(seed).permutation(len(x)) % folds
    problem = Problem(x, y, fold, np.ones(len(x), dtype=bool))
    only = len(penalties) == 1
    penalty = np.full(y.shape[1], penalties[0]) if only else problem.choose(penalties)[1]
    return Ridge(*problem.coefficients(penalty), penalty)


@dataclass(frozen=True, eq=False)
class FittedReader:
    """A reader trained on labelled texts."""

    reader: Reader
    targets: tuple[str, ...]
    ridge: Ridge

    def predict(self, texts: Sequence[str]) -> pd.DataFrame:
        """Return one row a text and one column a target, on the scale of the training values."""
        import pandas as pd

        features = self.reader.pooled_features(texts)
        return pd.DataFrame(self.ridge.predict(features), columns=list(self.targets))
