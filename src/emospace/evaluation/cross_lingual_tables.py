"""The tables of steering across languages: every rate, source by output, how alike the vectors are, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emospace import stats
from emospace.evaluation.estimates import exceeds, mean_of, median_ratio, rate, row_mean
from emospace.evaluation.scores import counts, hits, is_judged, probability
from emospace.evaluation.tables import sample_table
from emospace.judges import BASIC, weakness

if TYPE_CHECKING:
    from emospace.evaluation.grid import Group, Judged
    from emospace.evaluation.scores import Scored
    from emospace.steering.vector import SteeringVector

ALL = "all"
"""The source whose directions are the mean over all languages."""


def cross_lingual_tables(
    judged: Mapping[str, Judged], vectors: Mapping[str, Mapping[str, SteeringVector]], *, seed: int
) -> dict[str, pd.DataFrame]:
    """Return ``rates``, ``means``, ``cosines`` and ``samples``; `judged` is by output language, `vectors` by source."""
    rates = [rate_table(language, part) for language, part in judged.items()]
    samples = [_samples(language, part, seed) for language, part in judged.items()]
    return {
        "rates": pd.concat(rates, ignore_index=True),
        "means": mean_table(judged, seed=seed),
        "cosines": cosine_table(vectors),
        "samples": pd.concat(samples, ignore_index=True),
    }


def rate_table(language: str, judged: Judged) -> pd.DataFrame:
    """Return every figure of every source and emotion in one output language."""
    return pd.DataFrame(
        [
            {"source": group.source, "output": language, "emotion": group.target}
            | group.cell.acting()
            | group.figures
            for group in judged.groups
        ]
    )


def mean_table(judged: Mapping[str, Judged], *, seed: int) -> pd.DataFrame:
    """Return one row a source and output: means over the basic emotions the source has a vector for.

    Those that the judge is too weak for in that language (`weakness`) are left out.

    `rate` is the target rate over the `n_judged` answers that could be judged, with a bootstrap over prompts,
    `base_rate` that of unsteered answers, `control_rate` that of random directions at the same doses and layers, and
    `others_rate` how often the target is found when the same source steers towards the other emotions. `p` is one-sided that the mean probability of the targets exceeds that
    under random directions, permuting within each prompt and emotion (permuting whole prompts would be too bold: one
    random answer, read for all emotions, varies less than one answer an emotion); `p_fdr` is over all rows. The
    perplexity ratio is the median over prompts of the geometric mean over emotions. `in_language` is the share of
    answers still in the language of their prompt, `base_in_language` that of unsteered ones.
    """
    rows = []
    for language, part in judged.items():
        base = next(group.scored[0] for group in part.groups if group.cell.kind == "none")
        by_source: dict[str, list[Group]] = {}
        for group in part.groups:
            accepted = group.target in BASIC and not weakness(group.figures.get("judge_auroc"))
            if group.source is not None and accepted and is_judged(base.judgement, group.target):
                by_source.setdefault(group.source, []).append(group)
        rows += [
            {"source": source, "output": language, **_mean_row(groups, base, seed)}
            for source, groups in by_source.items()
        ]
    table = pd.DataFrame(rows)
    if len(table):
        table["p_fdr"] = stats.fdr_bh(table["p"].to_numpy(dtype=np.float64))
    return table


def _mean_row(groups: Sequence[Group], base: Scored, seed: int) -> dict[str, Any]:
    """Return the figures of one source in one output language; `groups` are its emotions."""
    pairs = [(group.scored[0], group.target) for group in groups]
    estimate = rate([hits(score.judgement, target) for score, target in pairs], seed=seed)
    ratio = median_ratio([score.perplexity for score, _ in pairs], base.perplexity, seed=seed)
    likely = np.concatenate([probability(score.judgement, target) for score, target in pairs])
    controlled = all(group.controls for group in groups)
    same = (
        *("base_rate", "control_rate", "distinct2_ratio", "in_language", "base_in_language"),
        *("judge_auroc", "judge_recall"),
    )
    return {
        "n_emotions": len(groups),
        "n_prompts": estimate.n,
        **counts([score.judgement for score, _ in pairs]),
        **estimate.named("rate"),
        "rate_masked": _over(groups, "target_rate_masked"),
        "others_rate": _others_rate(groups),
        "p": exceeds(likely, _controls(groups), seed=seed) if controlled else np.nan,
        **ratio.named("perplexity_ratio"),
        **{figure: _over(groups, figure) for figure in same},
    }


def cosine_table(vectors: Mapping[str, Mapping[str, SteeringVector]]) -> pd.DataFrame:
    """Return the cosine of two languages' vectors for each emotion and layer they share.

    `others` is the mean cosine with the other language's vectors of other emotions at that layer, both ways: how alike
    the two are whatever the emotion. The mean over all languages (source ``all``) is left out.
    """
    rows = []
    for a, b in combinations([language for language in vectors if language != ALL], 2):
        for emotion, first in vectors[a].items():
            if emotion not in vectors[b]:
                continue
            second = vectors[b][emotion]
            for layer in sorted(set(first.layers) & set(second.layers)):
                across = [
                    float(mine.directions[layer] @ theirs.directions[layer])
                    for mine, rest in ((first, vectors[b]), (second, vectors[a]))
                    for name, theirs in rest.items()
                    if name != emotion and layer in theirs.directions
                ]
                rows.append(
                    {
                        "a": a,
                        "b": b,
                        "emotion": emotion,
                        "layer": layer,
                        "cosine": float(first.directions[layer] @ second.directions[layer]),
                        "others": float(np.mean(across)) if across else np.nan,
                    }
                )
    return pd.DataFrame(rows, columns=["a", "b", "emotion", "layer", "cosine", "others"])


def _controls(groups: Sequence[Group]) -> np.ndarray:
    """Return ``[n_draws, n_emotions * n_prompts]``: the probability of each target under each random draw."""
    n_draws = min(len(group.controls) for group in groups)
    draws = [
        [probability(control.judgement, group.target) for control in group.controls[:n_draws]]
        for group in groups
    ]
    return np.concatenate([np.stack(parts) for parts in draws], axis=1)


def _others_rate(groups: Sequence[Group]) -> float:
    """Return how often an emotion is found in answers steered towards the other ones, mean over all pairs."""
    rates = [
        hits(another.scored[0].judgement, group.target)
        for group in groups
        for another in groups
        if another is not group
    ]
    return row_mean(rates) if rates else np.nan


def _over(groups: Sequence[Group], figure: str) -> float:
    return mean_of([group.figures.get(figure) for group in groups])


def _samples(language: str, judged: Judged, seed: int) -> pd.DataFrame:
    table = sample_table(judged, seed=seed)
    each = len(table) // len(judged.cells)
    sources: list[Any] = [cell.source for cell in judged.cells for _ in range(each)]
    return table.assign(source=sources, output=language)
