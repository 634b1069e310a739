"""Ratings from features: nested ridge, draws of latents to compare with, and paired comparisons."""

from emospace.prediction.categories import Told, tell_categories
from emospace.prediction.draws import (
    MatchedDraws,
    latent_profile,
    matched_draws,
    predict_draws,
    random_draws,
    top_firing,
)
from emospace.prediction.ratings import Predicted, predict_beside, predict_ratings
from emospace.prediction.ridge import PENALTIES, assign_folds
from emospace.prediction.scores import (
    AboveDraws,
    Comparison,
    Score,
    above_draws,
    compare_predictions,
    correlation,
    score,
)
from emospace.prediction.transfer import FittedRatings, Transferred, fit_ratings, read_ratings, transfer

__all__ = [
    "PENALTIES",
    "AboveDraws",
    "Comparison",
    "FittedRatings",
    "MatchedDraws",
    "Predicted",
    "Score",
    "Told",
    "Transferred",
    "above_draws",
    "assign_folds",
    "compare_predictions",
    "correlation",
    "fit_ratings",
    "latent_profile",
    "matched_draws",
    "predict_beside",
    "predict_draws",
    "predict_ratings",
    "random_draws",
    "read_ratings",
    "score",
    "tell_categories",
    "top_firing",
    "transfer",
]
