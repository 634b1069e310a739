"""The tables of a steering study: doses, confusions, word shifts, random directions, figures and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emospace.evaluation.estimates import (
    Estimate,
    agreement,
    dose_response,
    interval_of,
    mean_estimate,
    nan_median,
    over_draws,
    rate,
)
from emospace.evaluation.frontier import frontier_tables
from emospace.evaluation.scores import Scored, confusion, hits, is_judged, probability
from emospace.judges import BASIC, is_fit, weakness
from emospace.structure import category_ratings

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.evaluation.grid import Group, Judged
    from emospace.norms import WordNorms
    from emospace.specs import SteeringSpec

N_SAMPLES = 3
AFFECT = ("valence", "arousal")
SIGNIFICANT = 0.05


def study_tables(
    spec: SteeringSpec, judged: Judged, *, sets: ConceptSets, norms: WordNorms | None
) -> dict[str, pd.DataFrame]:
    """Return all tables of `emospace.evaluation.grid.Evaluation`."""
    groups, base = judged.groups, judged.base
    affect = affect_table(spec, groups, sets, norms)
    return {
        "cells": cell_table(groups),
        "dose_response": dose_table(groups, base, seed=spec.seed),
        "confusion": confusion_table(groups),
        "affect": affect,
        "random": random_table(groups, base, seed=spec.seed),
        "figures": figure_table(groups, base, affect, seed=spec.seed),
        "samples": sample_table(judged, seed=spec.seed),
        "answers": answer_table(judged),
        **frontier_tables(groups, base, seed=spec.seed),
    }


def cell_table(groups: Sequence[Group]) -> pd.DataFrame:
    """Return every figure of every target and dose, one row a group of draws."""
    return pd.DataFrame(
        [
            {"target": group.target, "way": group.cell.way, "n_draws": len(group.cells)}
            | group.cell.acting()
            | {"options": group.cell.options, "instruction": group.cell.instruction}
            | group.figures
            for group in groups
        ]
    )


def dose_table(groups: Sequence[Group], base: Scored, *, seed: int) -> pd.DataFrame:
    """Return slope (per unit of dose) and Spearman's rho of each target's rate and probability over its doses, 0 too."""
    curves: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        if group.cell.dose is not None and len(group.cells) == 1 and is_judged(base.judgement, group.target):
            curves.setdefault((group.target, group.cell.way), []).append(group)
    rows = []
    for (target, kind), members in curves.items():
        if len(members) < 2:
            continue
        doses = [0.0, *(float(group.cell.dose or 0.0) for group in members)]
        scores = [base.judgement, *(group.scored[0].judgement for group in members)]
        for outcome, read in (("rate", hits), ("probability", probability)):
            slope, monotonicity = dose_response(
                doses, [read(judgement, target) for judgement in scores], seed=seed
            )
            rows.append(
                {
                    **{"target": target, "kind": kind, "outcome": outcome, "n_doses": len(doses)},
                    **slope.named("slope"),
                    "n": slope.n,
                    **monotonicity.named("rho"),
                }
            )
    return pd.DataFrame(rows)


def confusion_table(groups: Sequence[Group]) -> pd.DataFrame:
    """Return target x judged for the basic six, for each kind at the calibrated dose, and for unsteered answers."""
    frames = []
    for kind, members in _calibrated(groups).items():
        basic = {group.target: group.scored[0].judgement for group in members if group.target in BASIC}
        if basic and kind not in ("none", "random"):
            frames.append(confusion(basic).assign(kind=kind))
    unsteered = next((group for group in groups if group.cell.kind == "none"), None)
    if unsteered is not None:
        frames.append(confusion({"(unsteered)": unsteered.scored[0].judgement}).assign(kind="none"))
    return pd.concat(frames, ignore_index=True)


def affect_table(
    spec: SteeringSpec, groups: Sequence[Group], sets: ConceptSets, norms: WordNorms | None
) -> pd.DataFrame:
    """Return the shift of the words at the calibrated dose beside people's rating of the target, both on -1..1."""
    targets = list(dict.fromkeys(group.target for group in groups))
    human = dict.fromkeys(AFFECT, np.full(len(targets), np.nan))
    if norms is not None:
        ratings = category_ratings(sets, norms, spec.language)
        human |= {name: ratings.values(name, targets) for name in AFFECT if name in ratings.targets}
    rows = []
    for kind, members in _calibrated(groups).items():
        for group in members if kind not in ("none", "random") else ():
            place = targets.index(group.target)
            row: dict[str, Any] = {"target": group.target, "kind": kind}
            for name in AFFECT:
                row |= {
                    f"{name}_{part}": group.figures[f"{name}_{part}"]
                    for part in ("shift", "shift_low", "shift_high")
                }
                row[f"human_{name}"] = float(human[name][place])
            rows.append(row)
    return pd.DataFrame(rows)


def random_table(groups: Sequence[Group], base: Scored, *, seed: int) -> pd.DataFrame:
    """Return, for each vector at its calibrated dose, the random directions whose perplexity ratio is nearest.

    `deviation` is the target rate of the random directions less that of unsteered answers.
    """
    rows = []
    for kind, members in _calibrated(groups).items():
        for group in members:
            near = _matched(group, groups)
            if near is None:
                continue
            deviation = mean_estimate(_deviations(near, base), seed=seed)
            rows.append(
                {
                    "target": group.target,
                    "kind": kind,
                    "perplexity_ratio": group.figures["perplexity_ratio"],
                    "random_dose": near.cell.dose,
                    "random_perplexity_ratio": near.figures["perplexity_ratio"],
                    "random_rate": near.figures["target_rate"],
                    "base_rate": near.figures["base_rate"],
                    **deviation.named("deviation"),
                    "n": deviation.n,
                }
            )
    return pd.DataFrame(rows)


def figure_table(groups: Sequence[Group], base: Scored, affect: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return the study in a few numbers for each kind of vector at its calibrated dose, intervals over prompts.

    Means are over the basic six, those of rates without emotions that the judge is too weak for (`weakness`);
    ``perplexity_ratio`` is the median over all their answers; ``above_random`` the
    share of the categories the judge is fit for with an adjusted p below .05; ``random_deviation`` the mean
    over the basic six of the target rate of random directions, at matched perplexity, less that of unsteered
    answers, ``random_deviation_worst`` the largest of them; of ``distinct2_ratio`` the bounds are the least and the
    greatest of the six.
    """
    rows: list[dict[str, Any]] = []

    def add(kind: str, figure: str, estimate: Estimate) -> None:
        rows.append({"kind": kind, "figure": figure, **estimate.named("value"), "n": estimate.n})

    for kind, members in _calibrated(groups).items():
        if kind in ("none", "random"):
            continue
        basic = [group for group in members if group.target in BASIC]
        if basic:
            judged = [
                group
                for group in basic
                if is_judged(base.judgement, group.target) and not weakness(group.figures["judge_auroc"])
            ]
            if judged:
                add(kind, "target_rate", _mean_rate(judged, False, seed))
                add(kind, "target_rate_masked", _mean_rate(judged, True, seed))
            add(kind, "perplexity_ratio", _pooled_ratio(basic, base, seed))
            distinct = [group.figures["distinct2_ratio"] for group in basic]
            add(
                kind,
                "distinct2_ratio",
                Estimate(float(np.mean(distinct)), min(distinct), max(distinct), len(basic)),
            )
        tested = [
            group.figures["p_fdr"]
            for group in members
            if is_fit(group.figures["judge_auroc"]) and np.isfinite(group.figures.get("p_fdr", np.nan))
        ]
        if tested:
            above = float(np.mean(np.array(tested) < SIGNIFICANT))
            add(kind, "above_random", Estimate(above, np.nan, np.nan, len(tested)))
        shifts = affect[affect["kind"] == kind]
        for name in AFFECT:
            add(kind, f"{name}_r", agreement(shifts[f"{name}_shift"], shifts[f"human_{name}"]))
        near = [random for group in basic if (random := _matched(group, groups)) is not None]
        if near:
            gaps = [over_draws(list(_deviations(random, base))) for random in near]
            add(kind, "random_deviation", mean_estimate(gaps, seed=seed))
            deviations = [deviation for gap in gaps if (deviation := mean_estimate(gap, seed=seed)).n]
            if deviations:
                worst = max(deviations, key=lambda deviation: abs(deviation.value))
                add(kind, "random_deviation_worst", worst)
    return pd.DataFrame(rows)


def sample_table(judged: Judged, *, seed: int) -> pd.DataFrame:
    """Return each cell's answers to the same three prompts, drawn by the seed and not by what was answered."""
    n_prompts = len(judged.prompts)
    drawn = np.random.default_rng(seed).choice(n_prompts, min(N_SAMPLES, n_prompts), replace=False)
    table = answer_table(judged)
    return table[table["place"].isin(drawn)].drop(columns=["way", "place"]).reset_index(drop=True)


def answer_table(judged: Judged) -> pd.DataFrame:
    """Return every answer: its way of steering, the place of its prompt among the prompts, and what it was judged as."""
    return pd.DataFrame(
        [
            {"way": cell.way, **cell.named(), "place": place}
            | {
                "prompt": prompt,
                "text": given.texts[place],
                "judged": str(choice),
                "perplexity": given.perplexity[place],
            }
            for cell, given, scores in zip(judged.cells, judged.answers, judged.scored, strict=True)
            for place, (prompt, choice) in enumerate(
                zip(judged.prompts, scores.judgement.choice, strict=True)
            )
        ]
    )


def _calibrated(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return, by way, what was tried at the calibrated dose or has none."""
    kinds: dict[str, list[Group]] = {}
    for group in groups:
        if group.cell.factor in (None, 1.0):
            kinds.setdefault(group.cell.way, []).append(group)
    return kinds


def _matched(group: Group, groups: Sequence[Group]) -> Group | None:
    """Return the random directions, read for the same target, whose perplexity ratio is nearest to a vector's."""
    wanted = group.figures["perplexity_ratio"]
    random = [
        other
        for other in groups
        if (other.cell.kind, other.target) == ("random", group.target)
        and other.figures["n_judged"]
        and other.figures["target_rate"] is not None
        and other.figures["perplexity_ratio"] > 0
    ]
    if group.cell.kind == "random" or group.cell.vector is None or not random or not wanted > 0:
        return None
    return min(random, key=lambda other: abs(float(np.log(other.figures["perplexity_ratio"] / wanted))))


def _deviations(random: Group, base: Scored) -> np.ndarray:
    before = hits(base.judgement, random.target)
    return np.stack([hits(scores.judgement, random.target) - before for scores in random.scored])


def _mean_rate(groups: Sequence[Group], masked: bool, seed: int) -> Estimate:
    return rate(
        [
            over_draws(
                [hits(scores.masked if masked else scores.judgement, group.target) for scores in group.scored]
            )
            for group in groups
        ],
        seed=seed,
    )


def _pooled_ratio(groups: Sequence[Group], base: Scored, seed: int) -> Estimate:
    ratios = np.stack([scores.perplexity / base.perplexity for group in groups for scores in group.scored])
    ratios = ratios[:, np.isfinite(ratios).any(axis=0)]
    n_prompts = ratios.shape[1]
    if not n_prompts:
        return Estimate(np.nan, np.nan, np.nan, 0)
    places = np.random.default_rng(seed).integers(0, n_prompts, (2000, n_prompts))
    draws = nan_median(np.moveaxis(ratios[:, places], 1, 0).reshape(len(places), -1))
    return interval_of(float(nan_median(ratios.ravel())), draws, n_prompts)
