"""How good a judge is on held-out texts, and the calibration fitted on the dev splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score

from emospace.judges.judgement import BASIC_SEVEN
from emospace.stats import auc

FEWEST_MARKED = 5
FEWEST_OF_CLASS = 30
BINS = 15


def auroc(scores: np.ndarray, marks: np.ndarray) -> float | None:
    """Return the area under the ROC curve, None with fewer than `FEWEST_MARKED` texts on either side."""
    n = int(marks.sum())
    if n < FEWEST_MARKED or len(marks) - n < FEWEST_MARKED:
        return None
    return auc(scores, marks.astype(bool)).value


def calibration_error(probability: np.ndarray, marks: np.ndarray) -> float:
    """Return the expected calibration error over `BINS` equal bins of probability, 0..1 (Guo et al. 2017)."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    gap = np.bincount(bins, weights=probability - marks, minlength=BINS)
    return float(np.abs(gap).sum() / len(marks))


def best_threshold(probability: np.ndarray, marks: np.ndarray) -> float:
    """Return the probability above which F1 is highest."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(marks[order])
    f1 = 2 * hits / (np.arange(1, len(marks) + 1) + max(marks.sum(), 1))
    return float(probability[order[int(f1.argmax())]])


def platt(scores: np.ndarray, marks: np.ndarray, language: np.ndarray) -> dict[str, list[float]]:
    """Fit ``sigmoid(slope * score + intercept)``: one slope, an intercept a language drawn to the common one.

    Parameters
    ----------
    scores, marks, language
        ``[n_texts]`` of the dev splits.

    Returns
    -------
    dict
        Language -> slope and intercept.
    """
    languages = sorted(set(language))
    if marks.min() == marks.max():
        base = float(np.log((marks.sum() + 0.5) / (len(marks) - marks.sum() + 0.5)))
        return {name: [0.0, base] for name in languages}
    is_in = np.stack([language == name for name in languages], axis=1)
    model = LogisticRegression(C=10.0, max_iter=1000).fit(np.column_stack([scores, is_in]), marks)
    slope, *shifts = model.coef_[0]
    return {
        name: [float(slope), float(model.intercept_[0] + shift)]
        for name, shift in zip(languages, shifts, strict=True)
    }


def balance(scores: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> list[float]:
    """Fit the slope and the seven shifts of ``softmax(slope * scores + shifts)`` at equal priors.

    Parameters
    ----------
    scores
        ``[n_texts, 7]``.
    classes, weights
        ``[n_texts]``.

    Returns
    -------
    list of float
        The slope, then a shift for each of `BASIC_SEVEN`.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        moved = values[0] * scores + values[1:]
        log = moved - logsumexp(moved, axis=1, keepdims=True)
        off = np.exp(log) * weights[:, None]
        off[np.arange(len(classes)), classes] -= weights
        gradient = np.concatenate([[(off * scores).sum()], off.sum(axis=0)])
        chosen = -log[np.arange(len(classes)), classes] @ weights
        return float(chosen + 0.5 * (values[1:] @ values[1:])), gradient + np.concatenate([[0.0], values[1:]])

    start = np.concatenate([[1.0], np.zeros(len(BASIC_SEVEN))])
    return [float(value) for value in minimize(loss, start, jac=True, method="L-BFGS-B").x]


def measure_labels(
    labels: Sequence[str], probability: np.ndarray, marks: np.ndarray, thresholds: Sequence[float]
) -> dict[str, Any]:
    """Return AUROC and F1 of each label with its number of texts, macro-F1 and the mean calibration error.

    Labels whose marks are unknown (NaN) are left out; F1 is at the thresholds chosen on the dev splits.
    """
    table, f1, errors = {}, [], []
    for i, label in enumerate(labels):
        marked = ~np.isnan(marks[:, i])
        if not marked.any():
            continue
        p, y = probability[marked, i], marks[marked, i]
        errors.append(calibration_error(p, y))
        f1.append(float(f1_score(y, p >= thresholds[i], zero_division=0)))
        area = auroc(p, y)
        table[label] = {
            "n": int(y.sum()), "auroc": None if area is None else round(area, 4), "f1": round(f1[-1], 4),
            "ece": round(errors[-1], 4),
        }  # fmt: skip
    return {
        "n_texts": len(marks),
        "macro_f1": round(float(np.mean(f1)), 4) if f1 else None,
        "ece": round(float(np.mean(errors)), 4) if errors else None,
        "labels": table,
    }


def measure_seven(chosen: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Return the recall of each class with its number of texts, and the confusion (rows: true, columns: chosen)."""
    confusion = confusion_matrix(classes, chosen, labels=np.arange(7))
    size = confusion.sum(axis=1)
    return {
        "classes": {
            name: {"n": int(size[k]), "recall": round(float(confusion[k, k] / size[k]), 4)}
            for k, name in enumerate(BASIC_SEVEN)
            if size[k]
        },
        "confusion": confusion.tolist(),
    }
