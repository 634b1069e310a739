"""The tables of steering across languages: every rate, source by output, how alike the vectors are, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace import stats
from emospace.evaluation.answer_language import in_language
from emospace.evaluation.scores import exceeds, hits, is_judged, median_ratio, probability, rate
from emospace.evaluation.tables import sample_table
from emospace.judges import BASIC

if TYPE_CHECKING:
    import pandas as pd

    from emospace.evaluation.cells import Cell
    from emospace.evaluation.grid import Group, Heard
    from emospace.steering.vector import SteeringVector

ALL = "all"
"""The source whose directions are the mean over all languages."""


def crossing_tables(
    cells: Sequence[Cell],
    heard: Mapping[str, Heard],
    prompts: Mapping[str, Sequence[str]],
    vectors: Mapping[str, Mapping[str, SteeringVector]],
    *,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Return ``rates``, ``means``, ``cosines`` and ``samples``; `heard` and `prompts` are by output language."""
    import pandas as pd

    stays = {
        language: [in_language(own.texts, language) for own in found.answers]
        for language, found in heard.items()
    }
    return {
        "rates": pd.concat(
            [rate_table(language, found, cells, stays[language]) for language, found in heard.items()],
            ignore_index=True,
        ),
        "means": mean_table(heard, cells, stays, seed=seed),
        "cosines": cosine_table(vectors),
        "samples": pd.concat(
            [_samples(cells, found, prompts[language], language, seed) for language, found in heard.items()],
            ignore_index=True,
        ),
    }


def rate_table(
    language: str, found: Heard, cells: Sequence[Cell], stays: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Return every figure of every source and emotion in one output language.

    `in_language` is the share of answers still in the output language.
    """
    import pandas as pd

    place = {id(cell): index for index, cell in enumerate(cells)}
    return pd.DataFrame(
        [
            {
                "source": one.source,
                "output": language,
                "emotion": one.target,
                "kind": one.cell.kind,
                "layers": ",".join(map(str, one.cell.layers)),
                "mode": one.cell.mode,
                "dose": one.cell.dose,
                "factor": one.cell.factor,
                "in_language": _known_mean([stays[place[id(cell)]] for cell in one.cells]),
                **one.figures,
            }
            for one in found.groups
        ]
    )


def mean_table(
    heard: Mapping[str, Heard],
    cells: Sequence[Cell],
    stays: Mapping[str, Sequence[np.ndarray]],
    *,
    seed: int,
) -> pd.DataFrame:
    """Return one row a source and output: means over the basic emotions the source has a vector for.

    `rate` is the target rate with a bootstrap over prompts, `base_rate` that of unsteered answers, `control_rate` that
    of random directions at the same doses and layers, and `others_rate` how often the target is heard when the same
    source steers towards the other emotions. `p` is one-sided that the mean probability of the targets exceeds that
    under random directions, permuting within prompts; `p_fdr` is over all rows. The perplexity ratio is the median
    over prompts of the geometric mean over emotions.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for language, found in heard.items():
        base = next(score for cell, score in zip(cells, found.scored, strict=True) if cell.kind == "none")
        place = {id(cell): index for index, cell in enumerate(cells)}
        judged = [
            one for one in found.groups if one.target in BASIC and is_judged(base.judgement, one.target)
        ]
        by_source: dict[str, list[Group]] = {}
        for one in judged:
            if one.source is not None:
                by_source.setdefault(one.source, []).append(one)
        for source, groups in by_source.items():
            scores = [one.scored[0] for one in groups]
            own = np.mean(
                [hits(s.judgement, one.target) for s, one in zip(scores, groups, strict=True)], axis=0
            )
            told = rate(own, seed=seed)
            ratio = median_ratio([score.perplexity for score in scores], base.perplexity, seed=seed)
            likely = [probability(s.judgement, one.target) for s, one in zip(scores, groups, strict=True)]
            rows.append(
                {
                    "source": source,
                    "output": language,
                    "n_emotions": len(groups),
                    "n_prompts": told.n,
                    "rate": told.value,
                    "rate_low": told.low,
                    "rate_high": told.high,
                    "rate_masked": _over(groups, "target_rate_masked"),
                    "base_rate": _over(groups, "base_rate"),
                    "control_rate": _over(groups, "control_rate"),
                    "others_rate": _others_rate(groups),
                    "p": exceeds(np.mean(likely, axis=0), _control_means(groups), seed=seed)
                    if all(one.controls for one in groups)
                    else np.nan,
                    "perplexity_ratio": ratio.value,
                    "perplexity_ratio_low": ratio.low,
                    "perplexity_ratio_high": ratio.high,
                    "distinct2_ratio": _over(groups, "distinct2_ratio"),
                    "in_language": _known_mean([stays[language][place[id(one.cell)]] for one in groups]),
                }
            )
    table = pd.DataFrame(rows)
    if len(table):
        table["p_fdr"] = stats.fdr_bh(table["p"].to_numpy(dtype=np.float64))
    return table


def cosine_table(vectors: Mapping[str, Mapping[str, SteeringVector]]) -> pd.DataFrame:
    """Return the cosine of two languages' vectors for each emotion and layer they share.

    `others` is the mean cosine with the other language's vectors of other emotions at that layer, both ways: how alike
    the two are whatever the emotion. The mean over all languages (source ``all``) is left out.
    """
    import pandas as pd

    rows = []
    for a, b in combinations([language for language in vectors if language != ALL], 2):
        for emotion, one in vectors[a].items():
            if emotion not in vectors[b]:
                continue
            other = vectors[b][emotion]
            for layer in one.layers:
                across = [
                    float(mine.directions[layer] @ theirs.directions[layer])
                    for mine, rest in ((one, vectors[b]), (other, vectors[a]))
                    for name, theirs in rest.items()
                    if name != emotion and layer in theirs.directions
                ]
                rows.append(
                    {
                        "a": a,
                        "b": b,
                        "emotion": emotion,
                        "layer": layer,
                        "cosine": float(one.directions[layer] @ other.directions[layer]),
                        "others": float(np.mean(across)) if across else np.nan,
                    }
                )
    return pd.DataFrame(rows, columns=["a", "b", "emotion", "layer", "cosine", "others"])


def _control_means(groups: Sequence[Group]) -> np.ndarray:
    """Return ``[n_draws, n_prompts]``: each random draw's probability of the targets, mean over the emotions."""
    n_draws = min(len(one.controls) for one in groups)
    draws = [
        [probability(control.judgement, one.target) for control in one.controls[:n_draws]] for one in groups
    ]
    return np.asarray(np.mean(draws, axis=0))


def _others_rate(groups: Sequence[Group]) -> float:
    """Return how often an emotion is heard in answers steered towards the other ones, mean over all pairs."""
    rates = [
        hits(other.scored[0].judgement, one.target).mean()
        for one in groups
        for other in groups
        if other is not one
    ]
    return float(np.mean(rates)) if rates else np.nan


def _over(groups: Sequence[Group], figure: str) -> float:
    return _known_mean([np.array([one.figures.get(figure, np.nan)], dtype=np.float64) for one in groups])


def _known_mean(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _samples(
    cells: Sequence[Cell], found: Heard, prompts: Sequence[str], language: str, seed: int
) -> pd.DataFrame:
    table = sample_table(cells, found.answers, found.scored, prompts, seed=seed)
    each = len(table) // len(cells)
    sources: list[Any] = [
        cell.vector and cell.vector.note.get("language") for cell in cells for _ in range(each)
    ]
    return table.assign(source=sources, output=language)
