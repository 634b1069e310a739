"""The card of an embedded judge: calibration from the dev splits, scores from the test splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.concepts import categories
from emospace.specs import BASIC
from judge_training import scoring
from judge_training.corpus import GOEMOTIONS, Corpus
from judge_training.training import Fit, class_weights, join

if TYPE_CHECKING:
    Score = Callable[[list[str]], np.ndarray]

SOURCES = ("goemotions", "brighter", "xed", "xed projected")
HEADS: dict[str, tuple[str, ...]] = {"fine": GOEMOTIONS, "basic": BASIC}


def calibrate(score: Score, dev: Corpus, fit: Fit, head: str) -> dict[str, Any]:
    """Return what turns the scores of one block into probabilities, fitted on the dev splits alone.

    Parameters
    ----------
    score
        Texts -> scores ``[n_texts, n_outputs]``.
    head
        ``fine`` or ``basic``: the marks this block's probabilities are of.

    Returns
    -------
    dict
        ``outputs``, ``labels``, ``platt`` (label -> language -> slope, intercept), ``threshold`` (label -> value)
        and ``balance`` (slope and shifts of the seven, over single texts and joined ones).
    """
    outputs = HEADS[head]
    scores, marks = score(list(dev.texts))[:, : len(outputs)], getattr(dev, head)
    platt, threshold = {}, {}
    for i, label in enumerate(outputs):
        marked = ~np.isnan(marks[:, i])
        fitted = scoring.platt(scores[marked, i], marks[marked, i], dev.language[marked])
        common = np.mean(list(fitted.values()), axis=0).tolist()
        platt[label] = {language: fitted.get(language, common) for language in sorted(set(dev.language))}
        values = probabilities(scores[marked, i], platt[label], dev.language[marked])
        threshold[label] = scoring.best_threshold(values, marks[marked, i])
    single = dev.where(dev.seven >= 0)
    rows = join(single, np.random.default_rng(fit.seed), 0.5).rows
    seven = score(joined(single.texts, rows))[:, fit.columns["seven"]]
    names = {category.name for category in categories()} | {"neutral"}
    return {
        "outputs": outputs,
        "labels": [label for label in outputs if label in names],
        "platt": platt,
        "threshold": threshold,
        "balance": scoring.balance(seven, single.seven, class_weights(single)),
    }


def joined(texts: np.ndarray, rows: np.ndarray) -> list[str]:
    """Return rows of texts ``[n_rows, n]`` (-1: none) as one text each."""
    return [" ".join(texts[i] for i in row if i >= 0) for row in rows]


def probabilities(
    scores: np.ndarray, platt: Mapping[str, Sequence[float]], language: np.ndarray
) -> np.ndarray:
    """Return the calibrated probabilities ``[n_texts]`` of one label."""
    slope, shift = np.array([platt[name] for name in language]).T
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * scores + shift, -30, 30))))


def held_out(score: Score, test: Corpus, block: Mapping[str, Any], fit: Fit, head: str) -> dict[str, Any]:
    """Return the scores of one block on the test splits, by language and source."""
    outputs = HEADS[head]
    scores, marks = score(list(test.texts)), getattr(test, head)
    probability = np.stack(
        [
            probabilities(scores[:, i], block["platt"][label], test.language)
            for i, label in enumerate(outputs)
        ],
        axis=1,
    )
    threshold = [block["threshold"][label] for label in outputs]

    def choose(values: np.ndarray) -> np.ndarray:
        slope, *shifts = block["balance"]
        return np.asarray((slope * values[:, fit.columns["seven"]] + np.array(shifts)).argmax(axis=1))

    chosen = choose(scores)
    long = join(test, np.random.default_rng(fit.seed), 1.0).rows
    chosen_long = choose(score(joined(test.texts, long)))
    measured: dict[str, Any] = {}
    for language in sorted(set(test.language)):
        for source in sorted(set(test.source[test.language == language])):
            here = (test.language == language) & (test.source == source)
            single = here & (test.seven >= 0)
            measured.setdefault(language, {})[source] = {
                **scoring.measure_labels(outputs, probability[here], marks[here], threshold),
                "seven": scoring.measure_seven(chosen[single], test.seven[single]),
                "seven_joined": scoring.measure_seven(chosen_long[single], test.seven[single]),
            }
    return measured


def summary(held_out: Mapping[str, Any]) -> dict[str, Any]:
    """Return the AUROC and recall that a judge states, language by language, and which are of projected labels.

    Both are of one source: GoEmotions for English, else BRIGHTER, else XED where people labelled it, else the
    projected XED. Labels with fewer than 5 texts have no AUROC, classes with fewer than 30 no recall.
    """
    areas: dict[str, dict[str, float]] = {}
    recalls: dict[str, dict[str, float]] = {}
    projected = []
    for language, sources in held_out.items():
        source = next(name for name in SOURCES if name in sources)
        rows, classes = sources[source]["labels"], sources[source]["seven"]["classes"]
        area = {label: row["auroc"] for label, row in rows.items() if row["auroc"] is not None}
        if not area:
            continue
        areas[language] = area
        recalls[language] = {
            name: row["recall"] for name, row in classes.items() if row["n"] >= scoring.FEWEST_OF_CLASS
        }
        if source == SOURCES[-1]:
            projected.append(language)
    return {"auroc": areas, "recall": recalls, "projected": projected}
