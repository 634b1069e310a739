"""Tone at a cost: curves over doses, read between two doses and never beyond them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from emospace.evaluation.cells import Cell
from emospace.evaluation.frontier import (
    KEPT,
    RATIOS,
    Curve,
    at_cost,
    curves_of,
    figure_table,
    frontier_summary,
    frontier_tables,
    paired_tests,
    point_table,
    resamples,
    trace,
)
from emospace.evaluation.scores import Scored
from emospace.judges import BASIC_SEVEN, Judgement

N, N_FACTS = 20, 10


def planted(way="mix", rates=(0.1, 0.5, 0.9), ratios=(1.0, 1.5, 3.0), kept=(10, 9, 7), factors=None, n=N):
    """Return a curve of one emotion in which rates, ratios and facts right are these at each dose."""
    points = len(rates)
    chosen = np.array([[np.arange(n) < round(rate * n)] for rate in rates], dtype=float)
    logs = np.tile(np.log(np.array(ratios))[:, None, None], (1, 1, n))
    facts = np.array(
        [[np.arange(N_FACTS) < right] if right is not None else [[np.nan] * N_FACTS] for right in kept]
    )
    facts = facts.astype(float).reshape(points, 1, N_FACTS)
    factors = factors or tuple(float(place) for place in range(points))
    return Curve(way, ("joy",), factors, chosen, chosen * 0.5, logs, facts, np.ones(N_FACTS))


DRAWN = resamples(N, N_FACTS, seed=0, n=200)


def value(table, at, level, figure, emotion=None):
    of = (table["at"] == at) & np.isclose(table["level"], level) & (table["figure"] == figure)
    of &= table["emotion"].isna() if emotion is None else table["emotion"] == emotion
    (row,) = table[of].to_dict("records")
    return row


# --- reading a curve at a cost


@pytest.mark.parametrize(
    ("cost", "level", "outcome"),
    [
        ([0.0, 1.0, 2.0], 0.5, 5.0),
        ([0.0, 1.0, 2.0], 1.0, 10.0),
        ([0.0, 1.0, 2.0], 2.0, 30.0),
        # Met twice: at the lower dose.
        ([0.0, 2.0, 1.0], 1.5, 7.5),
        # Downwards, as facts kept.
        ([1.0, 0.9, 0.4], 0.65, 20.0),
        # Never extrapolated.
        ([0.0, 1.0, 2.0], 2.1, np.nan),
        ([0.5, 1.0, 2.0], 0.4, np.nan),
        # A dose whose cost is not known is passed over.
        ([0.0, np.nan, 2.0], 1.0, 15.0),
        ([0.0, 1.0, np.nan], 1.5, np.nan),
        ([np.nan, np.nan, 1.0], 1.0, np.nan),
        # A plateau at the level.
        ([0.0, 0.0, 2.0], 0.0, 0.0),
    ],
)
def test_an_outcome_is_read_where_its_curve_first_meets_the_cost(cost, level, outcome):
    read = at_cost(np.array([[0.0, 10.0, 30.0]]), np.array([cost]), level)
    assert read == pytest.approx([outcome], nan_ok=True)


def test_a_curve_that_ends_below_the_cost_gives_its_end_where_that_is_asked():
    outcome = np.array([[0.0, 10.0, 30.0]] * 3)
    cost = np.array([[0.0, 1.0, 0.5], [0.0, 1.0, 2.0], [1.6, 1.7, 1.8]])
    assert at_cost(outcome, cost, 1.5, or_end=True) == pytest.approx([30.0, 20.0, np.nan], nan_ok=True)
    assert np.isnan(at_cost(outcome, cost, 1.5)[[0, 2]]).all()


def test_each_resample_has_its_own_curve_and_level():
    outcome, cost = np.array([[0.0, 1.0]] * 3), np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 0.1]])
    assert at_cost(outcome, cost, 0.5) == pytest.approx([0.5, 0.25, np.nan], nan_ok=True)
    assert at_cost(outcome, cost, np.array([0.5, 1.0, 0.05])) == pytest.approx([0.5, 0.5, 0.5])


# --- curves in numbers


def test_a_trace_holds_the_means_of_the_sample_and_of_its_resamples():
    drawn, curve = trace(planted(), DRAWN), planted()
    assert drawn.target_rate[0] == pytest.approx([0.1, 0.5, 0.9])
    assert drawn.target_rate_masked[0] == pytest.approx([0.05, 0.25, 0.45])
    assert drawn.perplexity_ratio[0] == pytest.approx([1.0, 1.5, 3.0])
    assert drawn.kept[0] == pytest.approx([1.0, 0.9, 0.7])
    places = DRAWN.prompts[7]
    assert drawn.target_rate[7] == pytest.approx(curve.chosen[:, 0, places].mean(axis=1))
    assert drawn.kept[7] == pytest.approx(curve.facts[:, 0, DRAWN.questions[7]].mean(axis=1))


def test_emotions_count_alike_and_missing_answers_do_not():
    curve = planted()
    quiet = np.zeros_like(curve.chosen)
    quiet[:, :, 5:] = np.nan
    logs = curve.logs.copy()
    logs[:, :, 3:] = np.nan
    both = Curve(
        "mix",
        ("joy", "fear"),
        curve.factors,
        np.concatenate([curve.chosen, quiet], axis=1),
        np.concatenate([curve.masked, quiet], axis=1),
        np.concatenate([curve.logs, logs + np.log(2)], axis=1),
        np.concatenate([curve.facts, curve.facts * 0], axis=1),
        curve.base_facts,
    )
    drawn = trace(both, DRAWN)
    assert drawn.target_rate[0] == pytest.approx([0.05, 0.25, 0.45])
    # The median of twenty answers at the ratio and three at twice as much.
    assert drawn.perplexity_ratio[0] == pytest.approx([1.0, 1.5, 3.0])
    assert drawn.kept[0] == pytest.approx([0.5, 0.45, 0.35])
    assert np.isfinite(drawn.target_rate).all()
    assert trace(both.of(["fear"]), DRAWN).target_rate[0] == pytest.approx([0, 0, 0])


def test_facts_that_the_unsteered_model_does_not_know_cannot_be_kept():
    curve = planted()
    ignorant = Curve(
        *(curve.way, curve.emotions, curve.factors, curve.chosen, curve.masked, curve.logs, curve.facts),
        np.zeros(N_FACTS),
    )
    assert np.isnan(trace(ignorant, DRAWN).kept).all()
    row = value(figure_table([ignorant], DRAWN), "facts_kept", KEPT, "target_rate")
    assert np.isnan(row["value"])
    assert "knows none" in row["reason"]


# --- figures


def test_figures_are_read_between_doses():
    table = figure_table([planted()], DRAWN)
    at = value(table, "perplexity_ratio", 1.5, "target_rate")
    assert at["value"] == pytest.approx(0.5)
    assert at["value_low"] < 0.5 < at["value_high"]
    assert (at["reached"], at["n"], at["n_emotions"]) == (1.0, N, 1)
    assert pd.isna(at["reason"])
    step = np.log(2 / 1.5) / np.log(3 / 1.5)
    assert value(table, "perplexity_ratio", 2.0, "target_rate")["value"] == pytest.approx(0.5 + 0.4 * step)
    assert value(table, "perplexity_ratio", 2.0, "target_rate_masked")["value"] == pytest.approx(
        0.25 + 0.2 * step
    )
    assert value(table, "perplexity_ratio", 2.0, "facts_kept")["value"] == pytest.approx(0.9 - 0.2 * step)
    kept = value(table, "facts_kept", KEPT, "target_rate")
    assert kept["value"] == pytest.approx(0.7)
    assert value(table, "facts_kept", KEPT, "perplexity_ratio")["value"] == pytest.approx(2.25, abs=0.2)
    assert value(table, "perplexity_ratio", 1.5, "target_rate", "joy")["value"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("curve", "at", "level", "why"),
    [
        (planted(ratios=(1.7, 1.8, 1.9)), "perplexity_ratio", 1.5, "1.70 to 1.90"),
        (planted(kept=(7, 6, 5)), "facts_kept", KEPT, "0.50 to 0.70"),
        (planted(kept=(None, None, None)), "facts_kept", KEPT, "no facts were asked"),
        (
            planted("prompt", rates=(0.3,), ratios=(1.65,), kept=(8,)),
            "perplexity_ratio",
            1.5,
            "no dose and is at perplexity ratio 1.65",
        ),
    ],
)
def test_what_a_curve_does_not_reach_has_the_reason(curve, at, level, why):
    row = value(figure_table([curve], DRAWN), at, level, "target_rate")
    assert np.isnan(row["value"])
    assert np.isnan(row["value_low"])
    assert why in row["reason"]


@pytest.mark.parametrize(
    ("curve", "at", "level", "why"),
    [
        (planted(ratios=(1.0, 1.2, 1.4)), "perplexity_ratio", 1.5, "doses end at perplexity ratio 1.40"),
        (planted(ratios=(1.0, 0.9, 0.8)), "perplexity_ratio", 1.5, "doses end at perplexity ratio 0.80"),
        (planted(kept=(10, 10, 9)), "facts_kept", KEPT, "doses end at share of facts kept 0.90"),
    ],
)
def test_a_way_that_costs_less_has_what_its_last_dose_gives(curve, at, level, why):
    row = value(figure_table([curve], DRAWN), at, level, "target_rate")
    assert row["value"] == pytest.approx(0.9)
    assert row["value_low"] <= 0.9 <= row["value_high"]
    assert row["reached"] == 1.0
    assert why in row["reason"]


def test_no_interval_where_too_few_resamples_reach_the_cost():
    curve = planted(ratios=(1.4, 1.8, 3.0))
    logs = curve.logs.copy()
    # Half of the answers at its first dose are above the cost, so the median of many resamples is too.
    logs[0, :, : N // 2 - 1] = np.log(1.7)
    wavering = Curve(
        curve.way,
        curve.emotions,
        curve.factors,
        curve.chosen,
        curve.masked,
        logs,
        curve.facts,
        curve.base_facts,
    )
    row = value(figure_table([wavering], DRAWN), "perplexity_ratio", 1.5, "target_rate")
    assert np.isfinite(row["value"])
    assert np.isnan(row["value_low"])
    assert 0.3 < row["reached"] < 0.9
    assert "of the resamples reach it" in row["reason"]


def test_points_have_intervals_of_their_own():
    table = point_table([planted(), planted("prompt", (0.3,), (1.65,), (8,))], DRAWN)
    means = table[table["emotion"].isna()]
    assert list(means["way"]) == ["mix"] * 3 + ["prompt"]
    assert list(means["dosed"]) == [True] * 3 + [False]
    last = means.iloc[2]
    assert (last["target_rate"], last["facts_kept"]) == pytest.approx((0.9, 0.7))
    assert last["target_rate_low"] < 0.9 < last["target_rate_high"]
    assert last["perplexity_ratio_low"] == last["perplexity_ratio_high"] == pytest.approx(3.0)


def test_the_summary_holds_the_means_with_intervals_or_reasons():
    records = frontier_summary(figure_table([planted(ratios=(1.0, 1.5, 1.8))], DRAWN))
    of = {"group": "frontier", "way": "mix", "at": "perplexity_ratio"}
    by = {(record.figure, record.among["at"], record.among["level"]): record for record in records}
    assert len(by) == len(records) == 9
    met = by["target_rate", "perplexity_ratio", "1.5"]
    assert met.among == {**of, "level": "1.5"}
    assert met.value == pytest.approx(0.5)
    assert met.ci_low < 0.5 < met.ci_high
    beyond = by["target_rate", "perplexity_ratio", "2"]
    assert beyond.value == pytest.approx(0.9)
    assert "end at perplexity ratio 1.80" in beyond.reason


# --- ways beside each other


def test_ways_are_compared_at_equal_cost():
    worse = planted("dense", rates=(0.1, 0.3, 0.4))
    table = paired_tests([planted(), worse, planted("copy")], DRAWN).set_index(["other", "figure", "level"])
    first = table.loc[("dense", "target_rate", 1.5)]
    assert first["difference"] == pytest.approx(0.2)
    assert 0 < first["difference_low"] < 0.2 < first["difference_high"]
    assert first["p"] < 0.05
    assert first["p_fdr"] >= first["p"]
    same = table.loc[("copy", "target_rate", 1.5)]
    assert (same["difference"], same["p"]) == (0.0, 1.0)
    assert set(table.index.get_level_values("level")) == set(RATIOS)


def test_a_way_without_a_dose_is_compared_at_its_own_cost():
    prompt = planted("prompt", rates=(0.2,), ratios=(1.5,), kept=(9,))
    costly = planted("random", rates=(0.2,), ratios=(4.0,), kept=(9,))
    table = paired_tests([planted(), prompt, costly], DRAWN).set_index(["other", "figure"])
    first = table.loc[("prompt", "target_rate")]
    assert first["level"] == pytest.approx(1.5)
    assert first["difference"] == pytest.approx(0.3)
    beyond = table.loc[("random", "target_rate")]
    assert beyond["difference"] == pytest.approx(0.7)
    assert beyond["p"] < 0.05
    assert beyond["reason"] == "mix: its doses end at perplexity ratio 3.00"


def test_a_way_that_ends_below_the_cost_is_not_held_against_the_first():
    table = paired_tests([planted(), planted("dense", ratios=(1.0, 1.2, 1.4))], DRAWN)
    row = table.set_index(["figure", "level"]).loc[("target_rate", 1.5)]
    assert np.isnan(row["p"])
    assert row["reason"] == "dense: its doses are at perplexity ratio 1.00 to 1.40"


def test_only_emotions_that_both_ways_have_are_compared():
    two = planted()
    both = Curve(
        *("mix", ("joy", "fear"), two.factors),
        *(np.concatenate([table, table * 0], axis=1) for table in (two.chosen, two.masked)),
        *(np.concatenate([table, table], axis=1) for table in (two.logs, two.facts)),
        two.base_facts,
    )
    table = paired_tests(
        [
            both,
            planted("sae"),
            Curve(
                "axis",
                ("awe",),
                *[getattr(two, n) for n in ("factors", "chosen", "masked", "logs", "facts", "base_facts")],
            ),
        ],
        DRAWN,
    )
    assert set(table["other"]) == {"sae"}
    assert (table["difference"] == 0).all()
    assert set(table["n_emotions"]) == {1}


# --- from the cells of a study


def answers(target, share, ratio=1.0, right=N_FACTS):
    choices = [target if place < round(share * N) else "neutral" for place in range(N)]
    seven = np.full((N, 7), 0.05)
    seven[np.arange(N), [BASIC_SEVEN.index(choice) for choice in choices]] = 0.7
    judgement = Judgement(BASIC_SEVEN, seven, seven)
    zeros = np.zeros(N)
    facts = None if right is None else np.tile(np.arange(N_FACTS) < right, (2, 1))
    return Scored(
        judgement, judgement, np.full(N, 10.0 * ratio), zeros, zeros, zeros, zeros, zeros > 0, 0.5, facts
    )


def group(target, cell, *scored, auroc=0.9):
    return SimpleNamespace(target=target, cell=cell, scored=scored, figures={"judge_auroc": auroc})


@pytest.fixture
def study():
    base = answers("joy", 0.1)
    groups = [
        group("joy", Cell(None, "none"), base),
        *(group("joy", Cell("joy", "mix", factor=f), answers("joy", f / 2, 1 + f)) for f in (1.0, 0.5)),
        group("fear", Cell("fear", "mix", factor=1.0), answers("fear", 0.3, 2.0)),
        group("fear", Cell("fear", "mix", factor=2.0), answers("fear", 0.4, 4.0)),
        group("disgust", Cell("disgust", "mix", factor=0.5), answers("disgust", 0.9), auroc=0.6),
        group("pride", Cell("pride", "mix", factor=1.0), answers("joy", 0.9)),
        *(
            group(name, Cell(None, "random", factor=1.0), answers("joy", 0.2, 4.0), answers("joy", 0.4, 1.0))
            for name in ("joy", "fear")
        ),
        group("joy", Cell("joy", "prompt", instruction="Be glad."), answers("joy", 0.2, 1.1, 8)),
        group(
            "joy", Cell("joy", "prompted", factor=0.5, instruction="Be glad."), answers("joy", 0.6, 1.4, None)
        ),
        group(
            "joy", Cell("joy", "mix", factor=1.0, settings={"scope": "response"}), answers("joy", 0.9, 1.6)
        ),
    ]
    return groups, base


def test_curves_are_made_of_the_cells_of_each_way(study):
    groups, base = study
    curves = {curve.way: curve for curve in curves_of(groups, base)}
    assert list(curves) == ["mix", "random", "prompt", "prompted", "mix scope=response"]
    mix = curves["mix"]
    # Disgust has too weak a judge, pride is not basic; only at 1 were both others tried.
    assert (mix.emotions, mix.factors) == (("joy", "fear"), (0.0, 1.0))
    drawn = trace(mix, DRAWN)
    assert drawn.target_rate[0] == pytest.approx([0.05, 0.4])
    assert drawn.perplexity_ratio[0] == pytest.approx([1.0, 2.0])
    random = trace(curves["random"], DRAWN)
    # Two draws: the mean of their rates, the geometric mean of their ratios.
    assert random.target_rate[0] == pytest.approx([0.05, 0.15])
    assert random.perplexity_ratio[0] == pytest.approx([1.0, 2.0])
    assert (curves["prompt"].factors, curves["prompt"].has_doses) == ((0.0,), False)
    # Its curve begins with the instruction alone; facts not asked are not known.
    prompted = trace(curves["prompted"], DRAWN)
    assert curves["prompted"].factors == (0.0, 0.5)
    assert prompted.target_rate[0] == pytest.approx([0.2, 0.6])
    assert prompted.kept[0] == pytest.approx([0.8, np.nan], nan_ok=True)


def test_the_tables_are_those_of_the_study(study):
    tables = frontier_tables(*study, seed=0)
    assert list(tables) == ["frontier", "frontier_figures", "frontier_tests"]
    assert set(tables["frontier_tests"]["other"]) == {"random", "prompt", "prompted", "mix scope=response"}
    again = frontier_tables(*study, seed=0)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_a_study_without_basic_emotions_has_empty_tables():
    base = answers("joy", 0.1, right=None)
    tables = frontier_tables([group("pride", Cell("pride", "mix", factor=1.0), base)], base, seed=0)
    assert all(table.empty for table in tables.values())
    assert frontier_summary(tables["frontier_figures"]) == ()
