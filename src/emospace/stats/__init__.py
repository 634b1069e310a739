"""Arithmetic of inference: arrays in, named tuples out, a seed for everything that draws.

Ranks and correlations (`correlation`), agreement of raters (`agreement`), ROC curves (`auc`), representational
dissimilarity matrices (`rdm`), fits of configurations (`procrustes`), resampling of categories and word groups
(`resampling`), many tests at once (`multiple`), and tests of word sets within matching strata (`strata`).
"""

from emospace.stats.agreement import Agreement, nominal_alpha
from emospace.stats.auc import Auc, auc
from emospace.stats.correlation import (
    disattenuate,
    pearson,
    pearson_interval,
    rank_rows,
    rating_ceiling,
    spearman,
    spearman_known,
)
from emospace.stats.multiple import fdr_bh, max_t
from emospace.stats.procrustes import ProcrustesFit, procrustes_fit, unit_columns
from emospace.stats.rdm import (
    Interval,
    Test,
    bootstrap_rdm,
    bootstrap_rdm_correlations,
    condensed,
    left_out,
    mantel,
    mantel_of_highest,
    rdm_correlation,
    rdm_correlations,
    rdm_difference,
)
from emospace.stats.resampling import (
    BestComponent,
    Difference,
    best_of_components,
    bootstrap_correlations,
    bootstrap_r,
    difference_of,
    equivalent,
    paired_bootstrap,
    percentile_interval,
)
from emospace.stats.strata import (
    RankScores,
    RankSum,
    RateTest,
    max_t_strata,
    rank_scores,
    stratified_rank_sum,
    stratified_rate_test,
)

__all__ = [
    "Agreement",
    "Auc",
    "BestComponent",
    "Difference",
    "Interval",
    "ProcrustesFit",
    "RankScores",
    "RankSum",
    "RateTest",
    "Test",
    "auc",
    "best_of_components",
    "bootstrap_correlations",
    "bootstrap_r",
    "bootstrap_rdm",
    "bootstrap_rdm_correlations",
    "condensed",
    "difference_of",
    "disattenuate",
    "equivalent",
    "fdr_bh",
    "left_out",
    "mantel",
    "mantel_of_highest",
    "max_t",
    "max_t_strata",
    "nominal_alpha",
    "paired_bootstrap",
    "pearson",
    "pearson_interval",
    "percentile_interval",
    "procrustes_fit",
    "rank_rows",
    "rank_scores",
    "rating_ceiling",
    "rdm_correlation",
    "rdm_correlations",
    "rdm_difference",
    "spearman",
    "spearman_known",
    "stratified_rank_sum",
    "stratified_rate_test",
    "unit_columns",
]
