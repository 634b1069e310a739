"""Figures of steering from hand-made judgements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.evaluation.estimates import (
    agreement,
    dose_response,
    exceeds,
    median_ratio,
    nan_median,
    rate,
    row_mean,
    shift,
)
from emospace.evaluation.scores import Scored, adjusted, confusion, hits, is_judged, measure, probability
from emospace.judges import BASIC_SEVEN, Judgement, is_fit, weakness


def test_a_median_leaves_out_what_is_missing():
    rows = np.random.default_rng(0).normal(size=(5, 4, 7))
    np.testing.assert_array_equal(nan_median(rows), np.median(rows, axis=-1))
    rows[np.random.default_rng(1).random(rows.shape) < 0.4] = np.nan
    rows[1, 2] = np.nan
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(RuntimeWarning)
        np.testing.assert_array_equal(nan_median(rows), np.nanmedian(rows, axis=-1))
    assert np.isnan(nan_median(rows)[1, 2])


LABELS = ("joy", "neutral", "pride", "relief")


def judgement(choices, rows=None) -> Judgement:
    """Return a judgement with these choices among the seven and probabilities of `LABELS`."""
    seven = np.full((len(choices), 7), 0.05)
    seven[np.arange(len(choices)), [BASIC_SEVEN.index(choice) for choice in choices]] = 0.7
    table = np.tile([0.1, 0.5, 0.1, 0.1], (len(choices), 1)) if rows is None else np.array(rows)
    return Judgement(LABELS, table, seven)


def scored(choices, *, perplexity=10.0, masked=None, **given) -> Scored:
    n = len(choices)
    settings = {
        "judgement": judgement(choices),
        "masked": judgement(masked or choices),
        "perplexity": np.broadcast_to(perplexity, n),
        "valence": np.zeros(n),
        "arousal": np.zeros(n),
        "repetition": np.zeros(n),
        "similarity": np.ones(n),
        "stopped": np.zeros(n, dtype=bool),
        "distinct2": 0.8,
    }
    return Scored(**settings | given)


def test_a_basic_target_is_hit_by_the_choice_among_seven():
    heard = judgement(["joy", "neutral", "joy", "fear"])
    assert hits(heard, "joy").tolist() == [True, False, True, False]
    assert hits(heard, "fear").tolist() == [False, False, False, True]


def test_another_target_is_hit_where_it_leads_the_labels_neutral_apart():
    rows = [[0.1, 0.9, 0.2, 0.1], [0.3, 0.0, 0.2, 0.1], [0.1, 0.4, 0.1, 0.8]]
    heard = judgement(["neutral"] * 3, rows)
    assert hits(heard, "pride").tolist() == [True, False, False]
    assert hits(heard, "relief").tolist() == [False, False, True]


def test_a_label_the_judge_lacks_is_said():
    heard = judgement(["joy"])
    assert is_judged(heard, "anger")
    assert not is_judged(heard, "awe")
    with pytest.raises(EmospaceError, match="awe"):
        hits(heard, "awe")
    assert probability(heard, "anger").tolist() == pytest.approx(
        [0.05]
    )  # no label of its own: that of the choice
    assert probability(heard, "joy").tolist() == pytest.approx([0.1])


def test_rate_is_the_mean_with_an_interval_over_prompts():
    estimate = rate([1, 0] * 50, seed=0)
    assert estimate.value == 0.5
    assert estimate.low == pytest.approx(0.40, abs=0.03)
    assert estimate.high == pytest.approx(0.60, abs=0.03)
    assert estimate.n == 100
    draws = np.stack([np.ones(20), np.zeros(20)])
    assert rate(draws, seed=0) == (0.5, 0.5, 0.5, 20)


def test_shift_is_over_the_prompts_both_sides_know():
    base = np.array([0.0, 0.1, np.nan, 0.3])
    steered = np.array([0.5, np.nan, 0.9, 0.6])
    estimate = shift(steered, base, seed=0)
    assert estimate.value == pytest.approx(0.4)
    assert estimate.n == 2
    assert shift([steered, steered + 0.2], base, seed=0).value == pytest.approx(0.5)
    nothing = shift(np.full(4, np.nan), base, seed=0)
    assert nothing.n == 0
    assert np.isnan(nothing.value)


def test_median_ratio_is_of_pairs_and_leaves_out_empty_answers():
    base = np.array([10.0, 20.0, 40.0, 10.0])
    steered = np.array([20.0, 20.0, 160.0, np.nan])
    estimate = median_ratio(steered, base, seed=0)
    assert estimate.value == pytest.approx(2.0)
    assert estimate.n == 3
    assert estimate.low == pytest.approx(1.0)
    assert estimate.high == pytest.approx(4.0)


def test_exceeds_is_the_exact_share_of_permutations():
    # One control, four prompts, all differences positive: the identity alone reaches the sum, 1 of 16.
    assert exceeds(np.ones(4), np.zeros(4), seed=0) == pytest.approx(1 / 16, abs=0.01)
    # Five controls and one prompt: the cell is the largest of six.
    assert exceeds([3.0], [[0.0], [1.0], [2.0], [0.5], [0.1]], seed=0) == pytest.approx(1 / 6, abs=0.015)
    assert exceeds(np.zeros(4), np.ones(4), seed=0) == 1.0
    assert np.isnan(exceeds(np.ones(4), np.empty((0, 4)), seed=0))


def test_only_categories_the_judge_is_fit_for_are_adjusted_together():
    values = adjusted([0.01, 0.04, 0.03, 0.001], [0.9, 0.76, 0.74, None])
    assert values[:2] == pytest.approx([0.02, 0.04])
    assert np.isnan(values[2:]).all()
    assert is_fit(0.75)
    assert not is_fit(0.74)
    assert not is_fit(None)


def test_a_judge_is_too_weak_where_its_auroc_is_known_and_low():
    assert weakness(0.66) == "judge AUROC .66: too weak to say"
    assert weakness(0.7487) == "judge AUROC .749: too weak to say"
    assert weakness(0.75) is weakness(None) is None


def test_dose_response_of_a_rising_and_a_flat_rate():
    doses = [0.0, 0.1, 0.2, 0.3]
    steps = np.arange(100) / 100
    rising = np.array([steps < dose * 2 for dose in doses])
    curve = dose_response(doses, rising, seed=0)
    assert curve.slope.value == pytest.approx(2.0)
    assert curve.slope.low < 2.0 < curve.slope.high
    assert curve.monotonicity.value == pytest.approx(1.0)
    falling = dose_response(doses, ~rising, seed=0)
    assert falling.slope.value == pytest.approx(-2.0)
    assert falling.monotonicity.value == pytest.approx(-1.0)
    flat = dose_response(doses, np.zeros((4, 100)), seed=0)
    assert flat.slope.value == 0
    assert np.isnan(flat.monotonicity.value)
    assert np.isnan(dose_response([0.1, 0.1], rising[:2], seed=0).slope.value)


def test_confusion_holds_shares_of_the_seven():
    table = confusion({"joy": judgement(["joy", "joy", "neutral", "anger"]), "fear": judgement(["fear"])})
    assert table["target"].tolist() == ["joy", "fear"]
    assert table.loc[0, ["joy", "neutral", "anger", "fear"]].tolist() == [0.5, 0.25, 0.25, 0.0]
    assert table[list(BASIC_SEVEN)].sum(axis=1).tolist() == pytest.approx([1, 1])


def test_agreement_leaves_out_unrated_categories():
    estimate = agreement([0.1, 0.2, 0.3, np.nan, 0.5], [0.2, 0.4, 0.6, 0.1, 1.0])
    assert estimate.value == pytest.approx(1.0)
    assert estimate.n == 4
    assert np.isnan(agreement([0.1, 0.2], [0.1, 0.2]).value)


def test_measure_sets_a_cell_beside_base_and_controls():
    base = scored(["neutral"] * 9 + ["joy"], distinct2=0.8, facts=np.ones((2, 2)), valence=np.full(10, 0.1))
    cell = scored(
        ["joy"] * 8 + ["neutral"] * 2,
        masked=["joy"] * 5 + ["neutral"] * 5,
        perplexity=15.0,
        distinct2=0.6,
        facts=np.array([[True, False], [True, True]]),
        valence=np.full(10, 0.4),
        applications=700,
        stopped=np.array([True] + [False] * 9),
    )
    figures = measure([cell], base, "joy", [base] * 5, seed=0)
    assert figures["target_rate"] == 0.8
    assert figures["target_rate_masked"] == 0.5
    assert figures["base_rate"] == figures["control_rate"] == 0.1
    assert figures["perplexity_ratio"] == pytest.approx(1.5)
    assert figures["distinct2_ratio"] == pytest.approx(0.75)
    assert figures["valence_shift"] == pytest.approx(0.3)
    assert figures["early_stop"] == 0.1
    assert (figures["answered"], figures["answered_sampled"], figures["base_answered"]) == (0.5, 1.0, 1.0)
    assert (figures["facts_kept"], figures["n_facts"]) == (0.75, 2)
    assert (figures["n"], figures["n_prompts"], figures["applications"]) == (10, 10, 700)
    assert figures["p_rate"] < 0.001
    assert figures["p"] == 1.0  # its probabilities are those of the controls


def test_measure_averages_draws_and_gives_them_no_p():
    base = scored(["neutral"] * 4)
    draws = [scored(["joy"] * 4, perplexity=20.0), scored(["neutral"] * 4, perplexity=5.0)]
    figures = measure(draws, base, "joy", [base], seed=0)
    assert figures["target_rate"] == 0.5
    assert figures["perplexity_ratio"] == pytest.approx(1.0)
    assert figures["n"] == 8
    assert "p" not in figures


def test_measure_without_the_judges_label_has_all_but_rates():
    figures = measure([scored(["joy"] * 3, perplexity=20.0)], scored(["neutral"] * 3), "awe", [], seed=0)
    assert figures["target_rate"] is None
    assert "awe" in figures["reason"]
    assert figures["perplexity_ratio"] == pytest.approx(2.0)


def test_the_share_in_the_language_of_the_prompts_leaves_out_answers_without_a_word():
    cell = scored(["joy"] * 3, in_language=np.array([1.0, 0.0, np.nan]))
    base = scored(["joy"] * 3, in_language=np.ones(3))
    figures = measure([cell, cell], base, "joy", seed=0)
    assert (figures["in_language"], figures["base_in_language"]) == (0.5, 1.0)
    assert np.isnan(measure([scored(["joy"] * 3)], scored(["joy"] * 3), "joy", seed=0)["in_language"])


def test_empty_answers_are_counted():
    base = scored(["neutral"] * 3, perplexity=np.array([1.0, np.nan, 2.0]))
    figures = measure([scored(["joy"] * 3, perplexity=np.array([2.0, 2.0, np.nan]))], base, "joy", seed=0)
    assert figures["n_without_perplexity"] == 2
    assert figures["perplexity_ratio"] == pytest.approx(2.0)


def test_a_basic_emotion_a_classifier_does_not_know_has_no_rate():
    known = [label != "fear" for label in BASIC_SEVEN]
    seven = np.where(known, 1 / 6, 0.0) * np.ones((3, 1))
    heard = Judgement(("joy", "neutral"), np.full((3, 2), 0.5), seven)
    assert not is_judged(heard, "fear")
    assert is_judged(heard, "anger")
    cell = replace(scored(["joy"] * 3), judgement=heard, masked=heard)
    figures = measure([cell], cell, "fear", [cell], seed=0)
    assert figures["target_rate"] is None
    assert "no label 'fear'" in figures["reason"]


# --- answers that could not be judged


def test_an_unjudged_text_is_no_emotion():
    rows = [[0.1, 0.5, 0.3, 0.1], [0.1, 0.5, 0.1, 0.3], [0.1, 0.5, 0.3, 0.1]]
    heard = judgement(["joy", "anger", "fear"], rows).without(np.array([False, False, True]))
    assert heard.choice.tolist() == ["joy", "anger", "unjudged"]
    np.testing.assert_array_equal(hits(heard, "anger"), [0, 1, np.nan])
    np.testing.assert_array_equal(hits(heard, "pride"), [1, 0, np.nan])
    assert np.isnan(probability(heard, "joy")[2])
    assert heard.rows(slice(1, 3)).choice.tolist() == ["anger", "unjudged"]


@pytest.mark.parametrize("field", ["probability", "seven"])
def test_a_text_with_a_value_missing_anywhere_is_unjudged_everywhere(field):
    table = {"probability": np.full((2, 4), 0.2), "seven": np.full((2, 7), 1 / 7)}
    table[field][0, 2] = np.nan
    heard = Judgement(LABELS, **table)
    assert heard.unjudged.tolist() == [True, False]
    assert np.isnan(heard.probability[0]).all()
    assert np.isnan(heard.seven[0]).all()


def test_rates_are_over_the_judged_answers():
    base = scored(["neutral"] * 4)
    whole = scored(["joy", "joy", "neutral", "joy"])
    gone = np.array([False, False, False, True])
    cell = replace(whole, judgement=whole.judgement.without(gone), masked=whole.masked.without(gone))
    figures = measure([cell], base, "joy", [base], seed=0)
    assert figures["target_rate"] == pytest.approx(2 / 3)
    assert (figures["n"], figures["n_judged"], figures["n_unjudged"], figures["n_tested"]) == (4, 3, 1, 3)
    assert measure([base], cell, "joy", [], seed=0)["base_rate"] == pytest.approx(2 / 3)
    table = confusion({"joy": cell.judgement})
    assert table.loc[0, ["joy", "neutral", "anger"]].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert table.loc[0, ["n_judged", "n_unjudged"]].tolist() == [3, 1]


def test_a_rate_of_several_rows_is_the_mean_of_their_rates():
    rows = [[1, 0, np.nan, np.nan], [1, 1, 1, 0]]
    estimate = rate(rows, seed=0)
    assert estimate.value == row_mean(rows) == pytest.approx((0.5 + 0.75) / 2)
    assert estimate.n == 4
    assert estimate.low <= estimate.value <= estimate.high
    assert np.isnan(rate(np.full((2, 3), np.nan), seed=0).value)


def test_a_dose_curve_is_of_prompts_judged_at_every_dose():
    outcomes = np.array([[0, 0, 0, 1], [1, 1, 0, np.nan]], dtype=float)
    curve = dose_response([0.0, 1.0], outcomes, seed=0)
    assert curve.slope.value == pytest.approx(2 / 3)
    assert curve.slope.n == 3
    assert np.isnan(dose_response([0.0, 1.0], np.full((2, 3), np.nan), seed=0).slope.value)
