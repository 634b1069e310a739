"""Tests of steering find what was planted, and nothing at its nominal rate where nothing was."""

from __future__ import annotations

import numpy as np
import pytest

from emospace.evaluation.estimates import dose_response, exceeds, paired_difference, rate, shift
from emospace.evaluation.frontier import Curve, paired_tests, resamples
from emospace.evaluation.scores import adjusted

N_PROMPTS, N_CONTROLS = 40, 5


def draw(rng, extra=0.0, size=()):
    """Return skewed probabilities with a part common to each prompt, as a judge gives them."""
    prompt = rng.normal(-2.5, 0.8, N_PROMPTS)
    return 1 / (1 + np.exp(-(prompt + rng.normal(0, 1, (*size, N_PROMPTS)) + extra)))


def p_values(seed, effects):
    rng = np.random.default_rng(seed)
    values = []
    for place, effect in enumerate(effects):
        prompts = draw(rng, size=(1 + N_CONTROLS,))
        if effect:
            prompts[0] = draw(rng, effect)
        values.append(exceeds(prompts[0], prompts[1:], seed=seed + place, n=999))
    return np.array(values)


def test_without_an_effect_p_is_uniform():
    p = p_values(1, np.zeros(600))
    for level in (0.05, 0.2, 0.5):
        share = (p <= level).mean()
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / len(p))


def test_with_one_control_p_is_uniform_too():
    rng = np.random.default_rng(2)
    p = np.array([exceeds(*draw(rng, size=(2,)), seed=place, n=999) for place in range(600)])
    assert abs((p <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 600)


def test_hits_are_never_tested_too_lightly():
    """Rates are discrete: their p may be careful, never careless."""
    rng = np.random.default_rng(3)
    p = [
        exceeds(*np.split(draw(rng, size=(1 + N_CONTROLS,)) > 0.3, [1]), seed=place, n=999)
        for place in range(600)
    ]
    assert (np.array(p) <= 0.05).mean() < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 600)


def test_planted_categories_are_found_at_the_nominal_false_discovery_rate():
    effects = np.repeat([1.2, 0.0], [14, 14])
    false, total, missed = 0, 0, 0
    for seed in range(20):
        chosen = adjusted(p_values(100 * seed, effects), [0.9] * len(effects)) < 0.05
        false += int(chosen[effects == 0].sum())
        total += int(chosen.sum())
        missed += int((~chosen[effects > 0]).sum())
    assert missed / (20 * 14) < 0.05
    assert false / total < 0.05


def test_intervals_cover_the_planted_rate_and_shift():
    rng = np.random.default_rng(4)
    covered_rate, covered_shift = 0, 0
    for seed in range(300):
        interval = rate(rng.random(N_PROMPTS) < 0.6, seed=seed, n=500)
        covered_rate += interval.low <= 0.6 <= interval.high
        base = rng.normal(0, 0.2, N_PROMPTS)
        moved = shift(base + rng.normal(0.1, 0.15, N_PROMPTS), base, seed=seed, n=500)
        covered_shift += moved.low <= 0.1 <= moved.high
    assert 0.90 < covered_rate / 300 < 0.99
    assert 0.90 < covered_shift / 300 < 0.99


def test_a_dose_that_does_nothing_has_no_slope():
    rng = np.random.default_rng(5)
    doses = np.arange(6) / 10
    crossed, risen = 0, 0
    for seed in range(200):
        flat = dose_response(doses, rng.random((6, N_PROMPTS)) < 0.3, seed=seed, n=300).slope
        crossed += flat.low <= 0 <= flat.high
        rates = (0.2 + doses)[:, None]
        risen += dose_response(doses, rng.random((6, N_PROMPTS)) < rates, seed=seed, n=300).slope.low > 0
    assert crossed / 200 > 0.88
    assert risen / 200 > 0.9


def test_intervals_of_rare_tones_cover_their_rate():
    """Resampled prompts without a hit have none: their interval was from 0 to 0, and covered 86% at a rate of .05."""
    rng = np.random.default_rng(6)
    for chance in (0.02, 0.05, 0.95):
        intervals = [rate(rng.random(N_PROMPTS) < chance, seed=seed, n=200) for seed in range(400)]
        assert np.mean([each.low <= chance <= each.high for each in intervals]) >= 0.93
    none = rate(np.zeros((2, N_PROMPTS)), seed=0)
    assert (none.value, none.low) == (0, 0)
    assert 0.05 < none.high < 0.12


def test_intervals_of_a_rate_over_vectors_know_that_prompts_repeat():
    rng = np.random.default_rng(7)
    covered = 0
    for seed in range(400):
        prompts = rng.random(N_PROMPTS) < 0.3
        rows = np.where(rng.random((4, N_PROMPTS)) < 0.8, prompts, rng.random((4, N_PROMPTS)) < 0.3)
        interval = rate(rows, seed=seed, n=300)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.93 <= covered / 400 <= 0.98


# --- ways at equal cost


def way(rng, name, slope):
    """Return a way whose rate grows with the log of its perplexity ratio, by a slope, with a part common to a prompt."""
    ratios = np.array([1.0, 1.3, 1.8, 2.6])
    common = rng.normal(0, 0.1, N_PROMPTS)
    likely = np.clip(0.15 + slope * np.log(ratios)[:, None] + common, 0, 1)
    chosen = (rng.random((len(ratios), N_PROMPTS)) < likely).astype(float)[:, None]
    logs = np.log(ratios)[:, None] + rng.normal(0, 0.15, (len(ratios), N_PROMPTS))
    logs[0] = 0.0
    none = np.full((len(ratios), 1, 0), np.nan)
    return Curve(name, ("joy",), (0.0, 0.5, 1.0, 1.5), chosen, chosen, logs[:, None], none, np.zeros(0))


def compared(seed, slopes):
    rng = np.random.default_rng(seed)
    curves = [way(rng, f"way {place}", slope) for place, slope in enumerate(slopes)]
    return paired_tests(curves, resamples(N_PROMPTS, 0, seed=seed, n=300))


def test_ways_that_are_alike_are_told_apart_no_more_often_than_the_level_says():
    p = np.concatenate([compared(seed, (0.5, 0.5))["p"].iloc[:1] for seed in range(300)])
    assert np.isfinite(p).mean() > 0.9
    assert np.nanmean(p <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


def test_a_way_with_more_tone_at_equal_cost_is_found_and_its_gain_covered():
    tables = [compared(seed, (0.9, 0.3)) for seed in range(60)]
    at = [table[table["figure"] == "target_rate"].iloc[1] for table in tables]  # at ratio 2
    gain = (0.9 - 0.3) * np.log(2)
    assert np.mean([row["p_fdr"] < 0.05 for row in at]) > 0.8
    covered = np.mean([row["difference_low"] <= gain <= row["difference_high"] for row in at])
    assert covered > 0.85


def paired_shares(rng, base, change, n=24):
    """Return 0 and 1 of the same prompts, unsteered and with a change of the share, two thirds of them alike."""
    uniform = rng.random(n)
    other = np.where(rng.random(n) < 2 / 3, uniform, rng.random(n))
    return (other < base + change).astype(float), (uniform < base).astype(float)


@pytest.mark.parametrize(("base", "change"), [(0.1, 0.0), (0.5, 0.0), (0.3, 0.3), (0.0, 0.0)])
def test_the_interval_of_a_paired_difference_holds_the_truth(base, change):
    rng = np.random.default_rng(5)
    estimates = [paired_difference(*paired_shares(rng, base, change)) for _ in range(600)]
    held = np.mean([estimate.low - 1e-9 <= change <= estimate.high + 1e-9 for estimate in estimates])
    assert held >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / 600)
    assert np.mean([estimate.value for estimate in estimates]) == pytest.approx(change, abs=0.03)


def test_a_planted_difference_of_shares_is_found_and_none_where_there_is_none():
    rng = np.random.default_rng(6)
    planted = [paired_difference(*paired_shares(rng, 0.2, 0.5)) for _ in range(200)]
    assert np.mean([estimate.low > 0 for estimate in planted]) > 0.9
    none = [paired_difference(*paired_shares(rng, 0.2, 0.0)) for _ in range(400)]
    assert np.mean([estimate.low > 0 or estimate.high < 0 for estimate in none]) < 0.08


def test_a_paired_difference_without_any_change_has_a_width():
    nothing = paired_difference(np.zeros(24), np.zeros(24))
    assert nothing.value == 0
    assert -0.15 < nothing.low < -0.1
    assert nothing.high == pytest.approx(-nothing.low)
    assert paired_difference([np.nan, 1.0], [1.0, 0.0]).n == 1
    assert np.isnan(paired_difference([np.nan], [1.0]).value)
