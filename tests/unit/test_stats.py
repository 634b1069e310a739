"""The arithmetic of inference against slow, obvious, or library versions of itself."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats

from emospace import stats
from emospace.errors import EmospaceError


def random_rdm(rng, n, rounded=False):
    square = rng.random((n, n))
    square = (square + square.T) / 2
    np.fill_diagonal(square, 0)
    return np.round(square, 1) if rounded else square


def test_ranks_share_ties_like_scipy():
    values = np.random.default_rng(0).integers(0, 4, (5, 3, 17)).astype(float)
    assert np.array_equal(stats.rank_rows(values), scipy.stats.rankdata(values, axis=-1))


def test_correlations_match_scipy():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 9, 40), rng.normal(size=40)
    assert stats.pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert stats.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert np.isnan(stats.pearson(np.ones(40), y))


def test_fisher_interval_matches_scipy():
    rng = np.random.default_rng(2)
    x = rng.normal(size=30)
    y = x + rng.normal(size=30)
    result = scipy.stats.pearsonr(x, y)
    assert stats.pearson_interval(result.statistic, 30) == pytest.approx(tuple(result.confidence_interval()))
    assert np.isnan(stats.pearson_interval(0.3, 3)[0])


def test_disattenuation_divides_by_the_root_of_reliability():
    assert stats.disattenuate(0.6, 0.81) == pytest.approx(0.6 / 0.9)
    with pytest.raises(EmospaceError, match="reliability"):
        stats.disattenuate(0.6, 0)


def test_rating_ceiling_is_the_root_of_the_reliability():
    rng = np.random.default_rng(3)
    true = rng.normal(size=4000)
    observed = true + rng.normal(size=4000) * 2 / np.sqrt(8)
    expected = np.corrcoef(true, observed)[0, 1]
    ceiling = stats.rating_ceiling(observed, np.full(4000, 2.0), np.full(4000, 8), seed=0, n_simulations=50)
    assert ceiling == pytest.approx(expected, abs=0.01)
    assert ceiling == pytest.approx(np.sqrt(1 - 0.5 / observed.var()), abs=0.01)


def test_rating_ceiling_of_distances_falls_with_noise_and_skips_unknown_items():
    rng = np.random.default_rng(4)
    points, raters = rng.normal(size=(30, 2)), np.full((30, 2), 20.0)
    sharp, dull = (
        stats.rating_ceiling(
            points, np.full((30, 2), sd), raters, seed=0, n_simulations=50, between="distances"
        )
        for sd in (0.2, 2.0)
    )
    assert 0.98 < sharp <= 1
    assert dull < sharp - 0.05
    assert np.isnan(stats.rating_ceiling(points, np.full((30, 2), np.nan), raters, seed=0))


def test_fdr_matches_scipy_and_leaves_untested_entries_alone():
    p = np.random.default_rng(5).random((4, 25)) ** 3
    expected = scipy.stats.false_discovery_control(p.ravel()).reshape(p.shape)
    assert np.allclose(stats.fdr_bh(p), expected)
    with_gap = np.append(p.ravel(), np.nan)
    assert np.allclose(stats.fdr_bh(with_gap)[:-1], expected.ravel())
    assert np.isnan(stats.fdr_bh(with_gap)[-1])


def test_an_adjusted_p_is_never_smaller_than_its_own():
    p = np.full(3, 13 / 1001)
    assert (p * 3 / 3 < p).all(), "no last bit is lost here"
    assert (stats.fdr_bh(p) == p).all()


def test_max_t_counts_maxima():
    null = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    assert stats.max_t([2.0, 5.0], null) == pytest.approx([3 / 4, 1 / 4])
    assert stats.max_t([2.0, 5.0], null.max(axis=1)) == pytest.approx([3 / 4, 1 / 4])


def test_rdm_correlation_matches_scipy():
    rng = np.random.default_rng(6)
    a, b = random_rdm(rng, 12, rounded=True), random_rdm(rng, 12)
    upper = np.triu_indices(12, 1)
    expected = scipy.stats.spearmanr(a[upper], b[upper]).statistic
    assert stats.rdm_correlation(a, b) == pytest.approx(expected)
    expected = np.corrcoef(a[upper], b[upper])[0, 1]
    assert stats.rdm_correlation(a, b, statistic="pearson") == pytest.approx(expected)


def test_partial_correlation_is_that_of_residual_ranks():
    rng = np.random.default_rng(7)
    a, b, c, d = (random_rdm(rng, 14)[np.triu_indices(14, 1)] for _ in range(4))
    design = np.column_stack([np.ones_like(a), scipy.stats.rankdata(c), scipy.stats.rankdata(d)])
    residuals = []
    for values in (a, b):
        ranks = scipy.stats.rankdata(values)
        residuals.append(ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0])
    expected = np.corrcoef(*residuals)[0, 1]
    assert stats.rdm_correlation(a, b, partial=[c, d]) == pytest.approx(expected)
    assert np.isnan(stats.rdm_correlation(a, b, partial=[a]))


@pytest.mark.parametrize("statistic", ["spearman", "pearson"])
@pytest.mark.parametrize("controls", [0, 1])
def test_mantel_p_counts_relabellings_as_the_plain_loop_does(statistic, controls):
    rng = np.random.default_rng(8)
    a, b = random_rdm(rng, 7, rounded=True), random_rdm(rng, 7, rounded=True)
    b = b + 0.6 * a
    partial = [random_rdm(rng, 7) for _ in range(controls)]
    result = stats.mantel(a, b, seed=11, n_permutations=400, statistic=statistic, partial=partial)
    upper = np.triu_indices(7, 1)
    order = np.random.default_rng(11).permuted(np.tile(np.arange(7), (400, 1)), axis=1)
    rank = scipy.stats.rankdata if statistic == "spearman" else np.asarray
    design = np.column_stack([np.ones(21), *(rank(part[upper]) for part in partial)])

    def rest(values):
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    moved = np.zeros((7, 7))
    moved[upper] = rest(rank(a[upper]))
    moved += moved.T
    fixed = rest(rank(b[upper]))
    values = [np.corrcoef(rest(moved[np.ix_(o, o)][upper]), fixed)[0, 1] for o in order]
    reached = sum(value >= result.value - 1e-9 for value in values)
    assert result.p == pytest.approx((1 + reached) / 401)
    assert (result.n, result.n_permutations) == (7, 400)


def test_mantel_reads_square_and_condensed_alike_and_is_seeded():
    rng = np.random.default_rng(9)
    a, b = random_rdm(rng, 20), random_rdm(rng, 20)
    upper = np.triu_indices(20, 1)
    square = stats.mantel(a, b, seed=3, n_permutations=500)
    assert square == stats.mantel(a[upper], b[upper], seed=3, n_permutations=500)
    assert square.p != stats.mantel(a, b, seed=4, n_permutations=500).p


@pytest.mark.parametrize("controls", [0, 1])
def test_unknown_pairs_stay_with_the_second_rdm_while_the_first_is_relabelled(controls):
    rng = np.random.default_rng(12)
    a, b = random_rdm(rng, 8, rounded=True), random_rdm(rng, 8)
    b = b + 0.5 * a
    b[0, 3] = b[3, 0] = b[5, 6] = b[6, 5] = b[1, 7] = b[7, 1] = np.nan
    mask = np.isfinite(b)
    partial = [random_rdm(rng, 8) for _ in range(controls)]
    result = stats.mantel(a, b, seed=11, n_permutations=400, partial=partial, mask=mask)
    upper = np.triu_indices(8, 1)
    known = mask[upper]

    def rest(values, rows):
        design = np.column_stack([np.ones(rows.sum()), *(rank(part[upper][rows]) for part in partial)])
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    rank, everything = scipy.stats.rankdata, np.ones(28, dtype=bool)
    fixed = rest(rank(b[upper][known]), known)
    value = np.corrcoef(rest(rank(a[upper][known]), known), fixed)[0, 1]
    assert result.value == pytest.approx(value)
    assert stats.rdm_correlation(a, b, partial=partial, mask=mask[upper]) == pytest.approx(value)
    moved = np.zeros((8, 8))
    moved[upper] = rest(rank(a[upper]), everything)
    moved += moved.T
    order = np.random.default_rng(11).permuted(np.tile(np.arange(8), (400, 1)), axis=1)

    def statistic(o):
        values = moved[np.ix_(o, o)][upper][known]
        return np.corrcoef(rest(values if controls else rank(values), known), fixed)[0, 1]

    reached = sum(statistic(o) >= statistic(np.arange(8)) - 1e-9 for o in order)
    assert result.p == pytest.approx((1 + reached) / 401)
    assert result.n == 8


def test_a_mask_without_gaps_changes_nothing_and_the_bootstrap_ignores_what_it_hides():
    rng = np.random.default_rng(13)
    a, b = random_rdm(rng, 9), random_rdm(rng, 9)
    whole = np.ones((9, 9), dtype=bool)
    assert stats.mantel(a, b, seed=0, n_permutations=99, mask=whole) == stats.mantel(
        a, b, seed=0, n_permutations=99
    )
    b = b + a
    whole[2, 5] = whole[5, 2] = False
    spoilt, gap = b.copy(), b.copy()
    spoilt[2, 5], gap[2, 5] = 1e9, np.nan
    interval = stats.bootstrap_rdm(a, spoilt, seed=1, n=200, mask=whole)
    assert interval == stats.bootstrap_rdm(a, gap, seed=1, n=200, mask=whole)
    rows = np.random.default_rng(1).integers(0, 9, (200, 9))
    values = []
    for drawn in rows:
        i, j = (drawn[side] for side in np.triu_indices(9, 1))
        kept = (i != j) & whole[i, j]
        values.append(scipy.stats.spearmanr(a[i, j][kept], b[i, j][kept]).statistic)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.nanquantile(values, [0.025, 0.975])))
    with pytest.raises(ValueError, match="a mask of 3 pairs"):
        stats.mantel(a, b, seed=0, mask=[True, False, True])


def gapped(rng, n, *pairs, base=None):
    rdm = random_rdm(rng, n, rounded=True) + (0 if base is None else base)
    for i, j in pairs:
        rdm[i, j] = rdm[j, i] = np.nan
    return rdm


@pytest.mark.parametrize("controls", [0, 1])
def test_pairs_missing_on_either_side_are_left_out_in_each_relabelling_anew(controls):
    rng = np.random.default_rng(3)
    a = gapped(rng, 8, (0, 1), (2, 5))
    b = gapped(rng, 8, (0, 1), (3, 7), (4, 6), base=np.nan_to_num(a))
    partial = [gapped(rng, 8, (1, 6)) for _ in range(controls)]
    upper, rank = np.triu_indices(8, 1), scipy.stats.rankdata

    def rest(values, design):
        design = np.column_stack([np.ones(len(values)), *design])
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    rows = np.stack([part[upper] for part in (a, b, *partial)])
    known = np.isfinite(rows).all(axis=0)
    x, y, *held = (rank(row[known]) for row in rows)
    value = np.corrcoef(rest(x, held), rest(y, held))[0, 1]
    result = stats.mantel(a, b, seed=5, n_permutations=300, partial=partial)
    assert result.value == pytest.approx(value)
    assert stats.rdm_correlation(a, b, partial=partial) == pytest.approx(value)
    staying, moving = (
        np.isfinite(rows[1:]).all(axis=0),
        np.isfinite(rows[[0, *range(2, len(rows))]]).all(axis=0),
    )
    moved, fixed = np.full((8, 8), np.nan), np.full((2 + controls, 28), np.nan)
    ranks = [rank(part[moving]) for part in (rows[0], *rows[2:])]
    moved[tuple(side[moving] for side in upper)] = rest(ranks[0], ranks[1:]) if controls else ranks[0]
    moved = np.fmax(moved, moved.T)
    fixed[1:, staying] = [rank(row[staying]) for row in rows[1:]]

    def statistic(order):
        drawn = moved[np.ix_(order, order)][upper]
        both = np.isfinite(drawn) & staying
        sides = [drawn[both], *fixed[1:, both]]
        if not controls:
            sides = [rank(side) for side in sides]
        return np.corrcoef(rest(sides[0], sides[2:]), rest(sides[1], sides[2:]))[0, 1]

    orders = np.random.default_rng(5).permuted(np.tile(np.arange(8), (300, 1)), axis=1)
    reached = sum(statistic(order) >= statistic(np.arange(8)) - 1e-9 for order in orders)
    assert result.p == pytest.approx((1 + reached) / 301)


def test_gaps_give_what_rsatoolbox_does_with_them():
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rng = np.random.default_rng(4)
    a, b = gapped(rng, 9, (0, 4), (1, 2)), gapped(rng, 9, (0, 4), (5, 6), (7, 8))
    both = np.where(np.isfinite(a + b), 1, np.nan)
    # It wants the same gaps on both sides.
    pair = [rsatoolbox.rdm.RDMs((rdm * both)[np.triu_indices(9, 1)][None]) for rdm in (a, b)]
    for method, statistic in (("spearman", "spearman"), ("corr", "pearson")):
        theirs = rsatoolbox.rdm.compare(*pair, method=method).item()
        assert stats.rdm_correlation(a, b, statistic=statistic) == pytest.approx(theirs)
        assert stats.rdm_correlations([a, b, b], statistic=statistic)[0, 2] == pytest.approx(theirs)
    assert stats.left_out(a, b).startswith("4 of 36 pairs are left out")
    assert stats.left_out(np.nan_to_num(a)) is None
    interval = stats.bootstrap_rdm(a, b, seed=1, n=200)
    assert interval == stats.bootstrap_rdm(a, np.nan_to_num(b), seed=1, n=200, mask=np.isfinite(b))
    drawn = stats.bootstrap_rdm_correlations([a, b, a], seed=1, n=200)[:, 0, 1]
    assert np.nanquantile(drawn, [0.025, 0.975]) == pytest.approx((interval.low, interval.high))


def test_too_few_pairs_and_an_rdm_that_does_not_vary_have_no_figure():
    rng = np.random.default_rng(6)
    a, b = random_rdm(rng, 6), gapped(rng, 6, *[(i, j) for i in range(4) for j in range(i + 1, 6)])
    for figure in (
        stats.rdm_correlation,
        lambda *pair: stats.mantel(*pair, seed=0),
        lambda *pair: stats.bootstrap_rdm(*pair, seed=0),
    ):
        with pytest.raises(EmospaceError) as error:
            figure(a, b)
        assert "1 of their 15 pairs" in error.value.why
    constant = np.full((6, 6), 0.3)
    assert np.isnan(stats.rdm_correlation(random_rdm(rng, 6), constant))
    assert np.isnan(stats.mantel(random_rdm(rng, 6), constant, seed=0, n_permutations=9).p)
    assert stats.bootstrap_rdm(random_rdm(rng, 6), constant, seed=0, n=9).n == 0


def test_correlations_of_several_rdms_agree_with_those_of_pairs():
    rng = np.random.default_rng(14)
    rdms = [random_rdm(rng, 10, rounded=True) for _ in range(3)]
    rdms[2] = rdms[2] + rdms[0]
    correlations = stats.rdm_correlations(rdms)
    assert np.allclose(np.diag(correlations), 1)
    assert correlations[0, 2] == correlations[2, 0] == pytest.approx(stats.rdm_correlation(rdms[0], rdms[2]))
    draws = stats.bootstrap_rdm_correlations(rdms, seed=4, n=300)
    interval = stats.bootstrap_rdm(rdms[0], rdms[2], seed=4, n=300)
    assert np.quantile(draws[:, 0, 2], [0.025, 0.975]) == pytest.approx(interval[:2])
    assert np.isnan(stats.rdm_correlations([rdms[0], np.ones((10, 10))])[0, 1])


def test_pearson_resamples_are_exact_where_one_pair_outweighs_all_others():
    rng = np.random.default_rng(16)
    n = 8
    rdms = [random_rdm(rng, n) for _ in range(3)]
    for rdm in rdms:
        rdm[0, 1] = rdm[1, 0] = 1e6
    draws = stats.bootstrap_rdm_correlations(rdms, seed=2, n=80, statistic="pearson")
    rows = np.random.default_rng(2).integers(0, n, (80, n))
    for draw, correlations in zip(rows, draws, strict=True):
        i, j = (draw[side] for side in np.triu_indices(n, 1))
        kept = i != j
        assert np.allclose(correlations, np.corrcoef([rdm[i, j][kept] for rdm in rdms]), atol=1e-8)
    assert any(not {0, 1} <= set(draw) for draw in rows)


def test_procrustes_fit_finds_a_rotation_and_a_reflection():
    rng = np.random.default_rng(15)
    x = rng.normal(size=(20, 2))
    whitened = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0]
    angle = 0.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    fit = stats.procrustes_fit(whitened, 3 * whitened @ turn + 5, seed=0, n_permutations=199)
    assert fit.value == pytest.approx(1)
    assert fit.p == 1 / 200
    assert np.allclose(fit.turned, fit.target)
    assert np.allclose(fit.target, whitened @ turn)
    assert (fit.low, fit.high) == pytest.approx((1, 1))
    apart = stats.procrustes_fit(whitened, rng.normal(size=(20, 2)), seed=0, n_permutations=199)
    assert apart.p > 0.05
    assert apart.low < apart.value < 1
    assert stats.procrustes_fit(whitened, np.ones((20, 2)), seed=0) is None


def test_a_difference_of_rdm_correlations_is_that_of_the_two_in_the_same_resamples():
    rng = np.random.default_rng(3)
    a, other, b = (random_rdm(rng, 12) for _ in range(3))
    a, other = b + 0.5 * a, b + other
    difference = stats.rdm_difference(a, other, b, seed=4, n=300)
    assert difference.value == pytest.approx(stats.rdm_correlation(a, b) - stats.rdm_correlation(other, b))
    drawn = stats.bootstrap_rdm_correlations([a, other, b], seed=4, n=300)
    assert (difference.low, difference.high) == pytest.approx(
        np.quantile(drawn[:, 0, 2] - drawn[:, 1, 2], [0.025, 0.975])
    )
    turned = stats.rdm_difference(other, a, b, seed=4, n=300)
    assert (turned.value, turned.low, turned.p) == pytest.approx(
        (-difference.value, -difference.high, difference.p)
    )


def test_a_difference_of_rdm_correlations_is_over_the_pairs_that_all_three_have():
    rng = np.random.default_rng(5)
    a, other, b = (random_rdm(rng, 12) for _ in range(3))
    with_gap, mask = other.copy(), np.ones_like(b, dtype=bool)
    with_gap[0, 1] = with_gap[1, 0] = np.nan
    mask[0, 1] = mask[1, 0] = False
    difference = stats.rdm_difference(a, with_gap, b, seed=0, n=50)
    assert difference == stats.rdm_difference(a, other, b, seed=0, n=50, mask=mask)
    assert difference.value == pytest.approx(
        stats.rdm_correlation(a, b, mask=mask) - stats.rdm_correlation(other, b, mask=mask)
    )


def test_rdms_that_cannot_be_compared_are_refused():
    rng = np.random.default_rng(10)
    a = random_rdm(rng, 6)
    broken = a.copy()
    broken[0, 1] = np.inf
    with pytest.raises(EmospaceError, match="1 of its 15 entries"):
        stats.mantel(broken, a, seed=0)
    with pytest.raises(EmospaceError, match="3 categories"):
        stats.mantel(a[:3, :3], a[:3, :3], seed=0)
    with pytest.raises(ValueError, match="no RDM"):
        stats.condensed(np.zeros(7))
    with pytest.raises(ValueError, match="different sizes"):
        stats.mantel(a, random_rdm(rng, 7), seed=0)
    assert np.isnan(stats.mantel(np.ones((6, 6)), a, seed=0).p)


@pytest.mark.parametrize("partial", [False, True])
def test_bootstrap_of_rdms_equals_ranking_each_resample_anew(partial):
    rng = np.random.default_rng(12)
    a, b, c = (random_rdm(rng, 9, rounded=True) for _ in range(3))
    controls = [c] if partial else []
    interval = stats.bootstrap_rdm(a, b, seed=5, n=60, partial=controls)
    draws = np.random.default_rng(5).integers(0, 9, (60, 9))
    values = []
    for draw in draws:
        i, j = np.triu_indices(9, 1)
        kept = draw[i] != draw[j]
        at = (draw[i][kept], draw[j][kept])
        ranks = [scipy.stats.rankdata(rdm[at]) for rdm in (a, b, *controls)]
        if partial:
            design = np.column_stack([np.ones_like(ranks[2]), ranks[2]])
            ranks = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2]]
        values.append(np.corrcoef(ranks[0], ranks[1])[0, 1])
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert interval.n == 60


def test_best_component_is_found_whatever_its_sign():
    rng = np.random.default_rng(13)
    y = rng.normal(size=40)
    scores = rng.normal(size=(40, 5))
    scores[:, 3] = -y + 0.3 * rng.normal(size=40)
    best = stats.best_of_components(scores, y, seed=0, n_permutations=999)
    assert (best.component, best.sign) == (3, -1)
    assert best.r == pytest.approx(-np.corrcoef(scores[:, 3], y)[0, 1])
    assert best.low < best.r < best.high
    assert best.p == 1 / 1000


def test_p_of_the_best_component_exceeds_that_of_one():
    rng = np.random.default_rng(14)
    y, scores = rng.normal(size=30), rng.normal(size=(30, 5))
    best = stats.best_of_components(scores, y, seed=0, n_permutations=1999)
    alone = stats.best_of_components(scores[:, [best.component]], y, seed=0, n_permutations=1999)
    assert best.r == alone.r
    assert best.p > alone.p
    assert alone.p == pytest.approx(scipy.stats.pearsonr(scores[:, best.component], y).pvalue, abs=0.02)
    assert np.isnan(stats.best_of_components(scores, np.ones(30), seed=0).p)


def test_bootstrap_correlations_resample_whole_groups():
    rng = np.random.default_rng(15)
    y, x = rng.normal(size=50) + 100, rng.normal(size=(2, 50))
    groups = rng.integers(0, 20, 50)
    draws = stats.bootstrap_correlations(x, y, groups, seed=7, n=30)
    names = np.unique(groups)
    for draw, correlations in zip(
        np.random.default_rng(7).integers(0, len(names), (30, len(names))), draws, strict=True
    ):
        rows = np.concatenate([np.flatnonzero(groups == names[g]) for g in draw])
        assert correlations == pytest.approx([np.corrcoef(row[rows], y[rows])[0, 1] for row in x])


def test_equivalence_needs_the_whole_interval_inside_the_margin():
    rng = np.random.default_rng(16)
    y = rng.normal(size=4000)
    good = y + rng.normal(size=4000)
    same = good + 0.05 * rng.normal(size=4000)
    worse = y + 2 * rng.normal(size=4000)
    near = stats.paired_bootstrap(good, same, y, seed=0, n=500)
    far = stats.paired_bootstrap(good, worse, y, seed=0, n=500)
    few = stats.paired_bootstrap(good[:60], -good[:60][::-1], y[:60], seed=0, n=500)
    assert stats.equivalent(near)
    assert not stats.equivalent(far)
    assert not stats.equivalent(few)
    assert far.low <= far.low90 < far.value < far.high90 <= far.high
    assert far.p == pytest.approx(2 / 501)
    low, high = stats.bootstrap_r(good, y, seed=0, n=500)
    assert low < np.corrcoef(good, y)[0, 1] < high


def words_in_strata(rng, n_words=60, n_latents=12, n_strata=4, negative=False):
    values = rng.integers(0, 5, (n_words, n_latents)) * (rng.random((n_words, n_latents)) < 0.4)
    values = values - (2 if negative else 0) * (rng.random((n_words, n_latents)) < 0.2)
    labels = rng.random((3, n_words)) < 0.3
    return values.astype(float), labels, rng.integers(0, n_strata, n_words)


@pytest.mark.parametrize("negative", [False, True])
def test_stratified_rank_sum_is_van_elteren_with_exact_variance(negative):
    rng = np.random.default_rng(17)
    values, labels, strata = words_in_strata(rng, negative=negative)
    result = stats.stratified_rank_sum(values, labels, strata)
    sparse = stats.stratified_rank_sum(sp.csc_array(values), labels, strata)
    for row, label in enumerate(labels):
        for latent in range(values.shape[1]):
            total = variance = pairs = 0.0
            for stratum in np.unique(strata):
                inside = strata == stratum
                n, m = inside.sum(), (inside & label).sum()
                ranks = scipy.stats.rankdata(values[inside, latent])
                total += (ranks[label[inside]].sum() - m * (n + 1) / 2) / (n + 1)
                variance += m * (n - m) / n * ranks.var(ddof=1) / (n + 1) ** 2
                pairs += m * (n - m) / (n + 1)
            assert result.z[row, latent] == pytest.approx(total / np.sqrt(variance))
            assert result.auc[row, latent] == pytest.approx(0.5 + total / pairs)
    for dense, thin in zip(result, sparse, strict=True):
        assert np.allclose(dense, thin)


def test_one_stratum_rank_sum_agrees_with_mann_whitney():
    rng = np.random.default_rng(18)
    values = rng.normal(size=(80, 1))
    label = np.arange(80) < 40
    values[label] += 0.4
    result = stats.stratified_rank_sum(values, label, np.zeros(80))
    expected = scipy.stats.mannwhitneyu(
        values[label, 0], values[~label, 0], alternative="greater", use_continuity=False, method="asymptotic"
    )
    assert result.p[0] == pytest.approx(expected.pvalue, rel=1e-6)
    assert result.auc[0] == pytest.approx(expected.statistic / 1600)


def test_rank_sum_tail_is_right_for_latents_that_hardly_fire():
    """Two of three firing words in a set of 40 among 2,000: the normal tail would say 1e-20."""
    values = np.zeros((2000, 1))
    values[[0, 1, 1000]] = 1.0
    label = np.arange(2000) < 40
    result = stats.stratified_rank_sum(values, label, np.zeros(2000))
    exact = scipy.stats.hypergeom(2000, 3, 40).sf(1)
    assert exact / 3 < result.p[0] < exact * 3


def test_rank_sum_tail_follows_permutation():
    rng = np.random.default_rng(19)
    n = 400
    values = np.maximum(rng.normal(size=(n, 4)) - np.array([-1, 0, 0.8, 1.3]), 0)
    strata = np.arange(n) % 5
    label = rng.permutation(n) < 30
    values[label] *= 1.8
    values[label] += 0.3
    result = stats.stratified_rank_sum(values, label, strata)
    scores = np.empty_like(values)
    for stratum in range(5):
        inside = strata == stratum
        scores[inside] = (scipy.stats.rankdata(values[inside], axis=0) - (inside.sum() + 1) / 2) / (
            inside.sum() + 1
        )
    home = np.argsort(strata, kind="stable")
    draws = np.zeros((5000, n), dtype=bool)
    draws[:, home] = label[np.argsort(strata + rng.random((5000, n)), axis=1)]
    assert set(draws.sum(axis=1)) == {30}
    expected = (draws @ scores >= label @ scores - 1e-9).mean(axis=0)
    assert np.allclose(result.p, expected, rtol=0.3, atol=0.004)


def test_strata_without_both_kinds_of_word_say_nothing():
    values = np.arange(12.0)[:, None]
    label = np.array([True] * 6 + [False] * 6)
    strata = np.array([0] * 6 + [1] * 6)
    ranks = stats.stratified_rank_sum(values, label, strata)
    rates = stats.stratified_rate_test(values, label, strata)
    assert (ranks.z[0], ranks.p[0], ranks.auc[0]) == (0, 1, 0.5)
    assert (rates.z[0], rates.p[0], rates.difference[0]) == (0, 1, 0)


def test_rate_test_matches_cochran_mantel_haenszel():
    rng = np.random.default_rng(20)
    values, labels, strata = words_in_strata(rng, n_words=200)
    result = stats.stratified_rate_test(sp.csr_array(values), labels, strata)
    fires = values > 0
    for row, label in enumerate(labels):
        assert result.rate_in[row] == pytest.approx(fires[label].mean(axis=0))
        assert result.rate_out[row] == pytest.approx(fires[~label].mean(axis=0))
        excess = variance = weight = 0.0
        for cell in (strata == s for s in range(4)):
            n, m, f = cell.sum(), (cell & label).sum(), fires[cell].sum(axis=0)
            excess = excess + fires[cell & label].sum(axis=0) - m * f / n
            variance = variance + scipy.stats.hypergeom(n, f, m).var()
            weight += m * (n - m) / n
        assert result.z[row] == pytest.approx(excess / np.sqrt(variance))
        assert result.difference[row] == pytest.approx(excess / weight)


def test_strata_and_false_discoveries_are_those_of_statsmodels():
    from statsmodels.stats.contingency_tables import StratifiedTable
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(23)
    values, labels, strata = words_in_strata(rng, n_words=200)
    result = stats.stratified_rate_test(values, labels[0], strata)
    for latent, fires in enumerate((values > 0).T):
        tables = [
            np.array(
                [
                    [(fires & side)[strata == s].sum(), (~fires & side)[strata == s].sum()]
                    for side in (labels[0], ~labels[0])
                ]
            )
            for s in range(4)
        ]
        theirs = StratifiedTable(tables).test_null_odds(correction=False).statistic
        assert result.z[latent] ** 2 == pytest.approx(theirs)
    p = rng.random(60) ** 3
    assert stats.fdr_bh(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)


def test_rate_test_is_exact_in_one_stratum_and_over_several():
    values = np.zeros((50, 1))
    values[[0, 1, 2, 30, 45]] = 1
    label = np.arange(50) < 10
    law = scipy.stats.hypergeom(50, 5, 10)
    plain = stats.stratified_rate_test(values, label, np.zeros(50), mid_p=False)
    middle = stats.stratified_rate_test(values, label, np.zeros(50))
    assert plain.p[0] == pytest.approx(law.sf(2))
    assert middle.p[0] == pytest.approx(law.sf(3) + law.pmf(3) / 2)

    strata = np.arange(50) % 2
    both = stats.stratified_rate_test(values, label, strata, mid_p=False)
    laws = [scipy.stats.hypergeom(25, int(values[strata == s].sum()), 5).pmf(np.arange(6)) for s in (0, 1)]
    assert both.p[0] == pytest.approx(np.convolve(*laws)[3:].sum())


def test_large_sets_use_a_tail_close_to_the_exact_one():
    rng = np.random.default_rng(21)
    values = (rng.random((1500, 8)) < 0.1).astype(float)
    label, strata = rng.random(1500) < 0.2, rng.integers(0, 6, 1500)
    values[label] = np.maximum(values[label], rng.random((label.sum(), 8)) < 0.08)
    for mid_p in (True, False):
        exact = stats.stratified_rate_test(values, label, strata, mid_p=mid_p, exact_below=10_000).p
        near = stats.stratified_rate_test(values, label, strata, mid_p=mid_p, exact_below=0).p
        assert np.allclose(np.log10(near), np.log10(exact), atol=0.12)


def test_max_t_equals_a_plain_permutation_of_the_same_statistic():
    rng = np.random.default_rng(22)
    values, labels, strata = words_in_strata(rng, n_words=80, n_latents=5)
    values[labels[0], 0] += 3
    p = stats.max_t_strata(values, labels, strata, seed=9, n_permutations=150)
    assert p.shape == (3, 5)

    from emospace.stats.strata import _design, _moments, _normal_scale, _rank_scores, _standardise

    home = np.argsort(strata, kind="stable")
    order = np.random.default_rng(9)

    def largest(mixed):
        sets, cells, sizes = _design(mixed, strata)
        scores = _rank_scores(values, cells, sizes)
        return _normal_scale(*_standardise(*_moments(scores, sets, cells, sizes)))

    observed, maxima = largest(labels), []
    moved = np.empty((150, 80), dtype=int)
    moved[:, home] = np.argsort(strata + order.random((150, 80)), axis=1)
    for row in moved:
        mixed = np.zeros_like(labels)
        for s, label in enumerate(labels):
            mixed[s, row[np.flatnonzero(label)]] = True
        assert np.array_equal(
            [mixed[:, strata == s].sum(1) for s in range(4)],
            [labels[:, strata == s].sum(1) for s in range(4)],
        )
        maxima.append(largest(mixed).max())
    assert np.allclose(p, stats.max_t(observed.ravel(), np.array(maxima)).reshape(3, 5))
    assert p[0, 0] < 0.05


def test_labels_that_do_not_fit_the_words_are_refused():
    with pytest.raises(ValueError, match="5 labels for 6 words"):
        stats.stratified_rank_sum(np.ones((6, 2)), np.ones(5, dtype=bool), np.zeros(6))
    with pytest.raises(ValueError, match="7 rows of values for 6 words"):
        stats.stratified_rank_sum(np.ones((7, 2)), np.ones(6, dtype=bool), np.zeros(6))


# --- agreement of raters

MISSING = np.nan
KRIPPENDORFF = {
    # Krippendorff (2011), examples A to C.
    "A": ([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], 0.095),
    "B": ([[1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1], [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4]], 0.692),
    "C": (
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
            [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
        ],
        0.743,
    ),
}


@pytest.mark.parametrize("example", KRIPPENDORFF)
def test_nominal_alpha_is_that_of_krippendorffs_own_examples(example):
    ratings, published = KRIPPENDORFF[example]
    agreement = stats.nominal_alpha(ratings, seed=0)
    assert agreement.alpha == pytest.approx(published, abs=0.0006)
    assert agreement.low < agreement.alpha < agreement.high


def test_nominal_alpha_of_chance_is_about_zero_and_of_one_category_unknown():
    drawn = np.random.default_rng(0).integers(0, 4, (3, 1000)).astype(float)
    assert abs(stats.nominal_alpha(drawn, seed=0, n=10).alpha) < 0.05
    assert np.isnan(stats.nominal_alpha(np.ones((2, 5)), seed=0).alpha)
    assert stats.nominal_alpha(np.ones((1, 5)), seed=0).n_units == 0
