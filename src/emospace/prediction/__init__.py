"""Ratings from features: nested ridge, draws of latents to compare with, and paired comparisons."""

from emospace.prediction.draws import (
    MatchedDraws,
    latent_profile,
    matched_draws,
    predict_draws,
    random_draws,
    top_firing,
)
from emospace.prediction.ratings import Predicted, Transferred, predict_ratings, transfer
from emospace.prediction.ridge import PENALTIES, assign_folds
from emospace.prediction.scores import AboveDraws, Comparison, Score, above_draws, compare, correlation, score

__all__ = [
    "PENALTIES",
    "AboveDraws",
    "Comparison",
    "MatchedDraws",
    "Predicted",
    "Score",
    "Transferred",
    "above_draws",
    "assign_folds",
    "compare",
    "correlation",
    "latent_profile",
    "matched_draws",
    "predict_draws",
    "predict_ratings",
    "random_draws",
    "score",
    "top_firing",
    "transfer",
]
