"""From the judgements of answers to the figures of a cell: rates, fluency, content and what is due to the vector alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from emospace import stats
from emospace.evaluation.estimates import (
    NAN,
    Floats,
    exceeds,
    facts_kept,
    mean_of,
    median_ratio,
    rate,
    row_mean,
    shift,
)
from emospace.judges import BASIC, BASIC_SEVEN, is_fit

if TYPE_CHECKING:
    from emospace.judges import Judgement


@dataclass(frozen=True, eq=False)
class Scored:
    """The answers of one cell as they were judged, one entry a prompt.

    Parameters
    ----------
    judgement, masked
        Of the answers, and of the answers with the words of all concept-sets masked.
    perplexity
        ``[n_prompts]`` under the unsteered model; NaN for an answer without a token.
    valence, arousal
        ``[n_prompts]`` mean human rating (-1..1) of the words used; NaN where none is rated.
    repetition, similarity
        ``[n_prompts]``: repetition within an answer, and likeness to the unsteered answer.
    stopped
        ``[n_prompts]`` whether the answer ended by itself.
    distinct2
        Distinct bigrams over all bigrams of all answers.
    facts
        ``[2, n_questions]`` whether each factual prompt was answered rightly, by the likeliest tokens and sampled; None
        where none was asked.
    applications
        Token positions times layers changed.
    in_language
        ``[n_prompts]`` whether an answer is in the language of its prompt, NaN for one without a word; None where it was
        not looked at.
    """

    judgement: Judgement
    masked: Judgement
    perplexity: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray
    repetition: np.ndarray
    similarity: np.ndarray
    stopped: np.ndarray
    distinct2: float
    facts: np.ndarray | None = None
    applications: int = 0
    in_language: np.ndarray | None = None


def is_judged(judgement: Judgement, target: str) -> bool:
    """Say whether a judge has a word on a category: a label, or a share among the seven that is not always zero."""
    if target in judgement.labels or target not in BASIC:
        return target in judgement.labels
    return not (judgement.seven[:, BASIC_SEVEN.index(target)] == 0).all()


def hits(judgement: Judgement, target: str) -> Floats:
    """Return for each text whether it is taken for the target ``[n_texts]``: 1 or 0, NaN for an unjudged text.

    For the basic six: the choice among these and neutral at equal priors. For any other category: its probability
    is the highest among all labels of the judge but neutral.

    Raises
    ------
    EmospaceError
        If the judge has no such label.
    """
    if target in BASIC:
        return _chosen(judgement, target)
    others = [judgement.for_category(label) for label in judgement.labels if label != "neutral"]
    return np.where(judgement.unjudged, NAN, judgement.for_category(target) >= np.max(others, axis=0))


def counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """Return how many answers were judged, `n_judged`, and how many could not be, `n_unjudged`."""
    unjudged = np.concatenate([judgement.unjudged for judgement in judgements])
    return {"n_judged": int((~unjudged).sum()), "n_unjudged": int(unjudged.sum())}


def probability(judgement: Judgement, target: str) -> Floats:
    """Return the calibrated probability of the target ``[n_texts]``, for a basic one without it that of the choice.

    NaN for an unjudged text.
    """
    if target in BASIC and target not in judgement.labels:
        return np.asarray(judgement.seven[:, BASIC_SEVEN.index(target)], dtype=np.float64)
    return np.asarray(judgement.for_category(target), dtype=np.float64)


def adjusted(p: ArrayLike, auroc: Sequence[float | None]) -> Floats:
    """Return p-values adjusted for the false discovery rate over the categories the judge is fit for, NaN elsewhere."""
    fit = np.array([is_fit(value) for value in auroc], dtype=bool)
    return stats.fdr_bh(np.where(fit, np.asarray(p, dtype=np.float64), np.nan))


def confusion(judged: dict[str, Judgement]) -> pd.DataFrame:
    """Return target x judged: the share of each target's judged answers chosen as each of the seven, rows summing to 1.

    `n_judged` and `n_unjudged` count the answers; a row without a judged one is NaN.
    """
    rows = [
        {"target": target}
        | {label: mean_of([_chosen(judgement, label)]) for label in BASIC_SEVEN}
        | counts([judgement])
        for target, judgement in judged.items()
    ]
    return pd.DataFrame(rows, columns=["target", *BASIC_SEVEN, "n_judged", "n_unjudged"])


def measure(
    cells: Sequence[Scored], base: Scored, target: str, controls: Sequence[Scored] = (), *, seed: int
) -> dict[str, Any]:
    """Return every figure of one target under one vector and dose, named as in `SteeringRecord` where it is there.

    Rates are of the answers the judge could judge, `n_judged`; `n_tested` counts the prompts whose answers,
    the controls' too, were all judged: `p` is of these.

    Parameters
    ----------
    cells
        One, or several draws that stand for one thing (random directions, shuffled sets), which are averaged.
    base
        The unsteered answers.
    controls
        Answers under random directions; with them `p` (probability of the target), `p_rate` and `p_masked` (hits).
    """
    ratio = median_ratio([cell.perplexity for cell in cells], base.perplexity, seed=seed)
    n_prompts = len(base.perplexity)
    return _rates(cells, base, target, controls, seed) | {
        "n": n_prompts * len(cells),
        "n_prompts": n_prompts,
        **ratio.named("perplexity_ratio"),
        "n_without_perplexity": n_prompts - ratio.n,
        "distinct2_ratio": mean_of([cell.distinct2 for cell in cells]) / base.distinct2
        if base.distinct2
        else NAN,
        "repetition": mean_of([cell.repetition for cell in cells]),
        "base_repetition": mean_of([base.repetition]),
        "early_stop": mean_of([cell.stopped for cell in cells]),
        "base_early_stop": mean_of([base.stopped]),
        "similarity": mean_of([cell.similarity for cell in cells]),
        "in_language": mean_of([cell.in_language for cell in cells if cell.in_language is not None]),
        "base_in_language": mean_of([] if base.in_language is None else [base.in_language]),
        **_facts(cells, base, seed),
        "applications": sum(cell.applications for cell in cells),
        **_shifts("valence", [cell.valence for cell in cells], base.valence, seed),
        **_shifts("arousal", [cell.arousal for cell in cells], base.arousal, seed),
    }


def _rates(
    cells: Sequence[Scored], base: Scored, target: str, controls: Sequence[Scored], seed: int
) -> dict[str, Any]:
    figures: dict[str, Any] = counts([cell.judgement for cell in cells])
    if not is_judged(base.judgement, target):
        return figures | {"target_rate": None, "reason": f"the judge has no label '{target}'"}
    chosen = [hits(cell.judgement, target) for cell in cells]
    masked = [hits(cell.masked, target) for cell in cells]
    likely = [probability(cell.judgement, target) for cell in cells]
    estimate = rate(chosen, seed=seed)
    if not figures["n_judged"]:
        figures["reason"] = f"none of the {figures['n_unjudged']} answers could be judged"
    figures |= {
        "target_rate": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "target_rate_masked": row_mean(masked),
        "target_probability": row_mean(likely),
        "base_rate": row_mean(hits(base.judgement, target)),
        "base_rate_masked": row_mean(hits(base.masked, target)),
        "base_probability": row_mean(probability(base.judgement, target)),
    }
    if len(cells) > 1 or not controls:
        return figures
    random = [hits(control.judgement, target) for control in controls]
    return figures | {
        "control_rate": row_mean(random),
        "n_tested": int(np.isfinite([likely[0], *random]).all(axis=0).sum()),
        "p": exceeds(likely[0], [probability(control.judgement, target) for control in controls], seed=seed),
        "p_rate": exceeds(chosen[0], random, seed=seed),
        "p_masked": exceeds(masked[0], [hits(control.masked, target) for control in controls], seed=seed),
        "p_unsteered": exceeds(likely[0], [probability(base.judgement, target)], seed=seed),
    }


def _facts(cells: Sequence[Scored], base: Scored, seed: int) -> dict[str, Any]:
    """Return the shares of facts answered rightly, greedy and sampled, and what is kept of the unsteered shares."""
    asked = [cell.facts for cell in cells if cell.facts is not None]
    if not asked or base.facts is None:
        return {"answered": NAN, "answered_sampled": NAN, "n_facts": 0}
    greedy, sampled = np.mean(asked, axis=(0, 2))
    kept = facts_kept(np.mean(asked, axis=(0, 1)), base.facts.mean(axis=0), seed=seed)
    return {
        "answered": float(greedy),
        "answered_sampled": float(sampled),
        "base_answered": float(base.facts[0].mean()),
        "base_answered_sampled": float(base.facts[1].mean()),
        **kept.named("facts_kept"),
        "n_facts": kept.n,
    }


def _chosen(judgement: Judgement, label: str) -> Floats:
    """Return for each text whether a label is the choice of seven: 1 or 0, NaN for an unjudged text."""
    return np.where(judgement.unjudged, NAN, judgement.choice == label)


def _shifts(name: str, cells: Sequence[np.ndarray], base: np.ndarray, seed: int) -> dict[str, Any]:
    moved = shift(cells, base, seed=seed)
    return {**moved.named(f"{name}_shift"), f"n_{name}": moved.n}
