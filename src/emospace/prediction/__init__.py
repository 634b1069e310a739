"""Ratings from features: nested ridge, draws of latents to compare with, and paired comparisons."""

from emospace.prediction.draws import (
    latent_profile as latent_profile,
    matched_draws as matched_draws,
    predict_draws as predict_draws,
    random_draws as random_draws,
    top_firing as top_firing,
)
from emospace.prediction.ratings import (
    Predicted as Predicted,
    membership_aucs as membership_aucs,
    predict_beside as predict_beside,
    predict_ratings as predict_ratings,
)
from emospace.prediction.ridge import assign_folds as assign_folds
from emospace.prediction.scores import (
    Comparison as Comparison,
    Score as Score,
    above_draws as above_draws,
    compare_predictions as compare_predictions,
    correlation as correlation,
    score as score,
)
from emospace.prediction.transfer import (
    FittedRatings as FittedRatings,
    Transferred as Transferred,
    fit_ratings as fit_ratings,
    read_ratings as read_ratings,
    transfer as transfer,
)
