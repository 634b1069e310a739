"""scikit-learn: `RidgeCV` with five folds, and with its own leave-one-out."""

from __future__ import annotations

from typing import Any

import numpy as np

PACKAGES = ("scikit-learn", "numpy", "scipy")


def load(*_: Any) -> None:
    """Nothing to load."""


def ridge_cv5(_: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray, alphas: np.ndarray) -> dict[str, Any]:
    """`RidgeCV(cv=5)`, scored by squared error."""
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=alphas, cv=5, scoring="neg_mean_squared_error").fit(x, y)
    return {"alpha": fitted.alpha_, "predicted": fitted.predict(test)}


def ridge_loo(_: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray, alphas: np.ndarray) -> dict[str, Any]:
    """`RidgeCV()`: leave-one-out from one decomposition."""
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=alphas).fit(x, y)
    return {"alpha": fitted.alpha_, "predicted": fitted.predict(test)}
