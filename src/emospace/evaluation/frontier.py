"""The frontier: how much tone each way of steering gives at what cost, read off its curve over doses.

A way is compared with another at equal cost, so a figure is interpolated along the curve of the doses tried, from
unsteered answers on, and never extrapolated: a curve that ends before it costs as much has what its last dose gives.
Intervals and tests resample prompts and factual questions, the same ones for all ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emospace import stats
from emospace.evaluation.estimates import Estimate, interval_of, nan_median, over_draws
from emospace.evaluation.scores import Scored, hits, is_judged
from emospace.judges import BASIC, weakness
from emospace.records import SummaryRecord

if TYPE_CHECKING:
    from emospace.evaluation.grid import Group

Floats = NDArray[np.float64]

RATIOS = (1.5, 2.0)
"""Perplexity ratios at which ways are compared."""
KEPT = 0.8
"""Share of the facts that a tone should leave right."""
LEAST_REACHED = 0.9
"""Share of the resamples whose curve must reach a cost for an interval or a test to be given there."""
N_RESAMPLES = 2000
FRONTIER = "frontier"
"""Value of ``among["group"]`` of the summary's records."""
OUTCOMES = ("target_rate", "target_rate_masked")
POINT_COLUMNS = (
    *("way", "emotion", "factor", "dosed", "n_emotions", "n_prompts", "n_facts"),
    *(
        f"{name}{end}"
        for name in (*OUTCOMES, "perplexity_ratio", "facts_kept")
        for end in ("", "_low", "_high")
    ),
)
FIGURE_COLUMNS = (
    *("way", "emotion", "at", "level", "figure", "value", "value_low", "value_high"),
    *("n_emotions", "n", "reached", "reason"),
)
TEST_COLUMNS = (
    *("way", "other", "at", "level", "figure", "difference", "difference_low", "difference_high"),
    *("p", "p_fdr", "n_emotions", "n", "reason"),
)


@dataclass(frozen=True, eq=False)
class Curve:
    """A way of steering over its doses, answer by answer; NaN is missing.

    Attributes
    ----------
    way
        `Cell.way`.
    emotions
        Targets, each tried at every dose.
    factors
        ``[n_points]``, ascending multiples of the calibrated dose; 0 is where the curve begins: unsteered answers, or
        those to an instruction that a vector is added to. A way without a dose is a single point.
    chosen, masked
        ``[n_points, n_emotions, n_prompts]``, 1 where the judge takes the answer for the target, else 0; the same with
        concept words masked.
    logs
        ``[n_points, n_emotions, n_prompts]``, log of the perplexity over that of the unsteered answer.
    facts, base_facts
        ``[n_points, n_emotions, n_questions]`` and ``[n_questions]``: share of the readings of a factual question that
        were right, and of the unsteered ones.
    """

    way: str
    emotions: tuple[str, ...]
    factors: tuple[float, ...]
    chosen: Floats
    masked: Floats
    logs: Floats
    facts: Floats
    base_facts: Floats

    @property
    def has_doses(self) -> bool:
        """Whether it can be interpolated."""
        return len(self.factors) > 1

    def of(self, emotions: Iterable[str]) -> Curve:
        """Return the curve of some of its emotions."""
        kept = tuple(emotion for emotion in self.emotions if emotion in set(emotions))
        rows = [self.emotions.index(emotion) for emotion in kept]
        parts = {name: getattr(self, name)[:, rows] for name in ("chosen", "masked", "logs", "facts")}
        return replace(self, emotions=kept, **parts)


class Trace(NamedTuple):
    """A curve in numbers, ``[n_draws, n_points]`` each: the first draw is the sample itself, the others resamples.

    Rates are means over emotions of their means over prompts, `logs` the medians over all their answers, `kept` the
    share of facts answered rightly over the unsteered share.
    """

    target_rate: Floats
    target_rate_masked: Floats
    logs: Floats
    kept: Floats

    @property
    def perplexity_ratio(self) -> Floats:
        """Steered over unsteered."""
        return np.asarray(np.exp(self.logs))


class Resamples(NamedTuple):
    """Places of prompts and of questions, ``[n_draws, n]``; the first draw is the sample itself."""

    prompts: NDArray[np.int64]
    questions: NDArray[np.int64]


def resamples(n_prompts: int, n_questions: int, *, seed: int, n: int = N_RESAMPLES) -> Resamples:
    """Return draws of prompts and, apart from them, of questions, with replacement."""
    rng = np.random.default_rng(seed)
    prompts, questions = (
        np.vstack([np.arange(size), rng.integers(0, max(size, 1), (n, size))])
        for size in (n_prompts, n_questions)
    )
    return Resamples(prompts, questions)


def curves_of(groups: Sequence[Group], base: Scored) -> tuple[Curve, ...]:
    """Return the curve of each way of steering over the basic emotions, in the order in which ways first come.

    Emotions without a judgement, or whose judge is too weak, are left out; so is a dose that an emotion of the way was
    not tried at. Draws of one thing (random directions, shuffled sets) are averaged prompt by prompt.

    Parameters
    ----------
    groups
        As from `emospace.evaluation.grid.group_cells`.
    base
        The unsteered answers.
    """
    targets: dict[str, dict[float | None, dict[str, Group]]] = {}
    for group in groups:
        usable = is_judged(base.judgement, group.target) and not weakness(group.figures["judge_auroc"])
        if group.cell.kind != "none" and group.target in BASIC and usable:
            doses = targets.setdefault(group.cell.way, {})
            doses.setdefault(group.cell.factor, {})[group.target] = group
    curves = []
    for way, doses in targets.items():
        emotions = tuple(dict.fromkeys(target for tried in doses.values() for target in tried))
        whole = {factor: tried for factor, tried in doses.items() if len(tried) == len(emotions)}
        if not whole:
            continue
        prompt = targets.get("prompt", {}).get(None, {})
        kind = next(iter(next(iter(whole.values())).values())).cell.kind
        points: list[tuple[float, list[list[Scored]]]] = [
            (factor or 0.0, [list(tried[emotion].scored) for emotion in emotions])
            for factor, tried in sorted(whole.items(), key=lambda item: item[0] or 0.0)
        ]
        if kind == "prompted" and set(emotions) <= set(prompt):
            points.insert(0, (0.0, [list(prompt[emotion].scored) for emotion in emotions]))
        elif kind not in ("prompt", "prompted"):
            points.insert(0, (0.0, [[base] for _ in emotions]))
        curves.append(_curve(way, emotions, points, base))
    return tuple(curves)


def _curve(
    way: str, emotions: tuple[str, ...], points: Sequence[tuple[float, list[list[Scored]]]], base: Scored
) -> Curve:
    base_facts = np.zeros(0) if base.facts is None else base.facts.mean(axis=0)

    def facts(draws: Sequence[Scored]) -> Floats:
        asked = [scored.facts for scored in draws if scored.facts is not None]
        return np.mean(asked, axis=(0, 1)) if asked else np.full(len(base_facts), np.nan)

    def table(value: Any) -> Floats:
        return np.array(
            [
                [value(draws, emotion) for emotion, draws in zip(emotions, rows, strict=True)]
                for _, rows in points
            ],
            dtype=np.float64,
        )

    return Curve(
        way,
        emotions,
        tuple(factor for factor, _ in points),
        table(lambda draws, emotion: over_draws([hits(scored.judgement, emotion) for scored in draws])),
        table(lambda draws, emotion: over_draws([hits(scored.masked, emotion) for scored in draws])),
        table(
            lambda draws, _: np.mean(
                [np.log(scored.perplexity / base.perplexity) for scored in draws], axis=0
            )
        ),
        table(lambda draws, _: facts(draws)),
        base_facts,
    )


def trace(curve: Curve, drawn: Resamples) -> Trace:
    """Return the points of a curve in each resample."""

    def rate(table: Floats) -> Floats:
        means = _mean(table[..., drawn.prompts], axis=-1)
        return _mean(means, axis=1).T

    def median(table: Floats) -> Floats:
        # [n_points, n_emotions, n_draws, n_prompts] -> a row of all answers for each point and draw
        rows = np.moveaxis(table[..., drawn.prompts], 1, 2)
        return nan_median(rows.reshape(*rows.shape[:2], -1)).T

    base = curve.base_facts[drawn.questions].mean(axis=-1) if len(curve.base_facts) else np.zeros(1)
    right = (
        curve.facts[..., drawn.questions].mean(axis=(1, 3)).T
        if len(curve.base_facts)
        else np.full((len(drawn.prompts), len(curve.factors)), np.nan)
    )
    kept = np.divide(right, base[:, None], out=np.full_like(right, np.nan), where=base[:, None] > 0)
    return Trace(rate(curve.chosen), rate(curve.masked), median(curve.logs), kept)


def at_cost(outcome: Floats, cost: Floats, level: float | Floats, *, or_end: bool = False) -> Floats:
    """Return the outcome ``[n_draws]`` where a curve first meets a cost, linear between two doses.

    Parameters
    ----------
    outcome, cost
        ``[n_draws, n_points]`` in the order of doses; a point whose cost is NaN in the first draw was not measured.
    level
        The cost, one for all draws or ``[n_draws]``.
    or_end
        Whether a curve all of which costs less than `level` gives what its last dose does.

    Returns
    -------
    ``[n_draws]``, NaN where the curve does not meet the level, nor ends below it: nothing is extrapolated.
    """
    measured = np.isfinite(cost[0])
    outcome, cost = outcome[:, measured], cost[:, measured]
    if cost.shape[1] < 2:
        return np.full(len(cost), np.nan)
    wanted = np.broadcast_to(np.asarray(level, dtype=np.float64), len(cost))[:, None]
    before, after = cost[:, :-1], cost[:, 1:]
    meets = (before - wanted) * (after - wanted) <= 0
    rows, first = np.arange(len(cost)), meets.argmax(axis=1)
    start, stop = before[rows, first], after[rows, first]
    step = np.divide(wanted[:, 0] - start, stop - start, out=np.zeros(len(cost)), where=stop != start)
    low, high = outcome[rows, first], outcome[rows, first + 1]
    cheaper = or_end & (cost < wanted).all(axis=1)
    return np.where(meets.any(axis=1), low + step * (high - low), np.where(cheaper, outcome[:, -1], np.nan))


def point_table(curves: Sequence[Curve], drawn: Resamples) -> pd.DataFrame:
    """Return every point of every curve with intervals over prompts (of facts over questions).

    A row without an emotion is the mean of the way's emotions.
    """
    rows = []
    for curve, emotion, traced in _traced(curves, drawn):
        measures = {
            "target_rate": traced.target_rate,
            "target_rate_masked": traced.target_rate_masked,
            "perplexity_ratio": traced.perplexity_ratio,
            "facts_kept": traced.kept,
        }
        for place, factor in enumerate(curve.factors):
            estimates = {
                name: _estimate(values[:, place], curve.chosen.shape[2]) for name, values in measures.items()
            }
            rows.append(
                {
                    "way": curve.way,
                    "emotion": emotion,
                    "factor": factor,
                    "dosed": curve.has_doses,
                    "n_emotions": len(curve.emotions),
                    "n_prompts": curve.chosen.shape[2],
                    "n_facts": curve.facts.shape[2],
                    **{
                        key: v
                        for name, estimate in estimates.items()
                        for key, v in estimate.named(name).items()
                    },
                }
            )
    return pd.DataFrame(rows, columns=POINT_COLUMNS)


def figure_table(curves: Sequence[Curve], drawn: Resamples) -> pd.DataFrame:
    """Return what each way gives at `RATIOS` and where `KEPT` of the facts are kept, or the reason why it is not known.

    A way that costs less at all its doses has what the last of them gives, with that as its reason. A row without an
    emotion is the mean of the way's emotions: one multiple of their calibrated doses for all.
    """
    rows = [
        {"way": curve.way, "emotion": emotion, "n_emotions": len(curve.emotions), **figure}
        for curve, emotion, traced in _traced(curves, drawn)
        for figure in _figures(traced, curve.chosen.shape[2])
    ]
    return pd.DataFrame(rows, columns=FIGURE_COLUMNS)


def _figures(traced: Trace, n_prompts: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of one curve."""
    rates = {name: getattr(traced, name) for name in OUTCOMES}
    with_facts = {**rates, "facts_kept": traced.kept}
    with_ratio = {**rates, "perplexity_ratio": traced.perplexity_ratio}
    places = [("perplexity_ratio", ratio, traced.logs, np.log(ratio), with_facts) for ratio in RATIOS]
    # Facts lost are a cost, facts kept are not.
    for at, level, cost, met, outcomes in (*places, ("facts_kept", KEPT, -traced.kept, -KEPT, with_ratio)):
        for name, outcome in outcomes.items():
            estimate, reached, reason = _at_level(at_cost(outcome, cost, met, or_end=True), n_prompts)
            if not np.isfinite(estimate.value):
                reason = _unreached(traced, at, level, outcome if name == "facts_kept" else None)
            elif reason is None:
                reason = _ended(traced, at, cost[0], met)
            place = {"at": at, "level": level, "figure": name}
            yield {**place, **estimate.named("value"), "n": estimate.n, "reached": reached, "reason": reason}


def _at_level(values: Floats, n: int) -> tuple[Estimate, float, str | None]:
    """Return the estimate at a cost, the share of the resamples that reach it, and why there is no interval."""
    estimate, reached = _estimate(values, n), float(np.isfinite(values[1:]).mean())
    if reached >= LEAST_REACHED:
        return estimate, reached, None
    return Estimate(estimate.value, np.nan, np.nan, n), reached, f"{reached:.0%} of the resamples reach it"


def paired_tests(curves: Sequence[Curve], drawn: Resamples) -> pd.DataFrame:
    """Return the first way against each other one at equal perplexity, paired by prompt.

    Ways with doses are compared at `RATIOS`; one without a dose at the ratio it has, anew in each resample. Where all
    doses of the first way cost less, its last one is compared, with that as the reason. `difference`
    is the first way's mean rate less the other's, over the emotions of both; `p` is two-sided, twice the share of the
    resamples beyond zero with one added to both counts, and `p_fdr` over all tests of one figure.
    """
    rows: list[dict[str, Any]] = []
    for other in curves[1:]:
        shared = set(curves[0].emotions) & set(other.emotions)
        if not shared:
            continue
        main, beside = (trace(curve.of(shared), drawn) for curve in (curves[0], other))
        levels: list[float | None] = [*RATIOS] if other.has_doses else [None]
        for ratio in levels:
            level = beside.logs[:, 0] if ratio is None else np.full(len(main.logs), np.log(ratio))
            for name in OUTCOMES:
                ours = at_cost(getattr(main, name), main.logs, level, or_end=True)
                theirs = getattr(beside, name)
                theirs = theirs[:, 0] if ratio is None else at_cost(theirs, beside.logs, level)
                estimate, _, reason = _at_level(ours - theirs, other.chosen.shape[2])
                if not np.isfinite(estimate.value):
                    part, way = (beside, other.way) if np.isfinite(ours[0]) else (main, curves[0].way)
                    reason = f"{way}: {_unreached(part, 'perplexity_ratio', float(np.exp(level[0])))}"
                p = _two_sided((ours - theirs)[1:]) if reason is None else np.nan
                if reason is None and (ended := _ended(main, "perplexity_ratio", main.logs[0], level[0])):
                    reason = f"{curves[0].way}: {ended}"
                rows.append(
                    {
                        "way": curves[0].way,
                        "other": other.way,
                        "at": "perplexity_ratio",
                        "level": float(np.exp(level[0])),
                        "figure": name,
                        **estimate.named("difference"),
                        "p": p,
                        "n_emotions": len(shared),
                        "n": estimate.n,
                        "reason": reason,
                    }
                )
    table = pd.DataFrame(rows, columns=TEST_COLUMNS)
    for name in OUTCOMES:
        of = table["figure"] == name
        table.loc[of, "p_fdr"] = stats.fdr_bh(table.loc[of, "p"].to_numpy(dtype=np.float64))
    return table


def frontier_tables(groups: Sequence[Group], base: Scored, *, seed: int) -> dict[str, pd.DataFrame]:
    """Return the tables ``frontier`` (points), ``frontier_figures`` and ``frontier_tests`` of a steering study."""
    curves = curves_of(groups, base)
    n_questions = 0 if base.facts is None else base.facts.shape[1]
    drawn = resamples(len(base.perplexity), n_questions, seed=seed)
    return {
        "frontier": point_table(curves, drawn),
        "frontier_figures": figure_table(curves, drawn),
        "frontier_tests": paired_tests(curves, drawn),
    }


def frontier_summary(figures: pd.DataFrame) -> tuple[SummaryRecord, ...]:
    """Return the records of the means over emotions in the table ``frontier_figures``, those not known with their reason."""
    means = figures[figures["emotion"].isna()]
    rows: list[Any] = means.to_dict("records")
    return tuple(
        SummaryRecord(
            statistic="median" if row["figure"] == "perplexity_ratio" else "mean",
            of="steering",
            figure=row["figure"],
            among={"group": FRONTIER, "way": row["way"], "at": row["at"], "level": f"{row['level']:g}"},
            value=row["value"],
            ci_low=row["value_low"],
            ci_high=row["value_high"],
            n=row["n_emotions"],
            reason=row["reason"],
        )
        for row in rows
    )


def _traced(curves: Sequence[Curve], drawn: Resamples) -> Iterator[tuple[Curve, str | None, Trace]]:
    """Yield each curve with its trace, the mean of its emotions first."""
    for curve in curves:
        yield curve, None, trace(curve, drawn)
        for emotion in curve.emotions:
            part = curve.of([emotion])
            yield part, emotion, trace(part, drawn)


def _unreached(traced: Trace, at: str, level: float, outcome: Floats | None = None) -> str:
    """Return why a curve has no value at a cost, with the costs that it has."""
    costs, name = _costs(traced, at)
    known = costs[np.isfinite(costs)]
    if not len(known) or (outcome is not None and not np.isfinite(outcome[0]).any()):
        return "no facts were asked, or the unsteered model knows none"
    if len(known) == 1:
        return f"it has no dose and is at {name} {known[0]:.2f}"
    if known.min() <= level <= known.max():
        return f"it was not measured at all doses around {name} {level:g}"
    return f"its doses are at {name} {known.min():.2f} to {known.max():.2f}"


def _ended(traced: Trace, at: str, cost: Floats, level: float) -> str | None:
    """Return at which cost the doses of a curve end, None where they reach the level."""
    if (cost[np.isfinite(cost)] >= level).any():
        return None
    costs, name = _costs(traced, at)
    return f"its doses end at {name} {costs[np.isfinite(costs)][-1]:.2f}"


def _costs(traced: Trace, at: str) -> tuple[Floats, str]:
    """Return the costs of the points of the sample's curve, and what they are called."""
    if at == "perplexity_ratio":
        return traced.perplexity_ratio[0], "perplexity ratio"
    return traced.kept[0], "share of facts kept"


def _two_sided(draws: Floats) -> float:
    finite = draws[np.isfinite(draws)]
    tail = min((finite <= 0).sum(), (finite >= 0).sum())
    return float(min(1.0, 2 * (1 + tail) / (1 + len(finite))))


def _estimate(values: Floats, n: int) -> Estimate:
    return interval_of(float(values[0]), values[1:], n)


def _mean(values: Floats, axis: int) -> Floats:
    """Return the mean over an axis of what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    n = finite.sum(axis=axis)
    sums = np.where(finite, values, 0.0).sum(axis=axis)
    mean: Floats = np.divide(sums, n, out=np.full(sums.shape, np.nan), where=n > 0)
    return mean
