"""Sets of latents to compare a space with: matched to it, random, or simply the most active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.display import progress
from emospace.engines import in_parallel
from emospace.errors import InvalidInput
from emospace.prediction.ratings import checked, out_of_fold
from emospace.prediction.ridge import PENALTIES, FoldSums, assign_folds, moments, nested_ridge
from emospace.prediction.scores import correlation

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = 10  # how many unused neighbours a matched draw chooses among
CALIPER = 0.2  # SD of the profile (Rosenbaum & Rubin, 1985)

_MOST_DRAWS, _MOST_NUMBERS = 32, 2**23
"""Draws fitted together, and numbers of the Gram matrices of one fold held by all threads: calls cost small draws most."""


@dataclass(frozen=True)
class MatchedDraws:
    """Draws of latents from outside a space, each matched to it one to one.

    `draws` `[n_draws, k]`: column i replaces latent i of the space. `imbalance` `[n_columns]` is the mean over
    draws of the standardised mean difference (draw - space, SD of the space) in each logged profile column;
    `beyond_caliper` the fraction of pairs farther apart than .2 SD in some column; `n_outside` the latents that
    could be drawn, `n_active` those of them that fire, `n_used` those that some draw holds. `scarce` says that
    fewer outside latents fire than the space has: the draws then hold silent ones, and beating them shows little.
    """

    draws: np.ndarray
    imbalance: np.ndarray
    beyond_caliper: float
    n_outside: int
    n_active: int
    n_used: int
    scarce: bool


def latent_profile(codes: Any) -> np.ndarray:
    """Return each latent's firing rate, mean activation and mean activation where it fires, `[n_latents, 3]`.

    `codes` are `[n_words, n_latents]`, dense or scipy sparse, and not negative.
    """
    n_words = codes.shape[0]
    fires = np.asarray((codes > 0).sum(axis=0), dtype=np.float64).ravel()
    total = np.asarray(codes.sum(axis=0), dtype=np.float64).ravel()
    return np.stack([fires / n_words, total / n_words, total / np.maximum(fires, 1)], axis=1)


def matched_draws(
    space_latents: np.ndarray,
    profile: np.ndarray,
    n_draws: int = 1000,
    *,
    exclude: Sequence[int] | np.ndarray = (),
    nearest: int = NEAREST,
    seed: int = 0,
) -> MatchedDraws:
    """Draw sets of latents from outside a space, matched to it on size and on every column of a profile.

    Greedy matching without replacement: columns are logged and standardised over the latents that fire; the
    space's latents are taken from the most active down, for whom the outside is scarcest, and each is replaced
    by one of its `nearest` nearest unused outside latents (Euclidean), chosen at random.

    Parameters
    ----------
    space_latents
        `[k]`, indices into the profile's rows.
    profile
        `[n_latents, n_columns]`, not negative; the first column is the firing rate (see `latent_profile`).
    exclude
        Latents that may not be drawn, besides the space's own.

    Raises
    ------
    EmospaceError
        If there are fewer latents outside than in the space.
    """
    space = np.asarray(space_latents, dtype=np.int64)
    profile = np.asarray(profile, dtype=np.float64)
    outside = np.setdiff1d(
        np.arange(len(profile)), np.concatenate([space, np.asarray(exclude, dtype=np.int64)])
    )
    k = len(space)
    _require(len(outside), k, "outside the space")
    active = profile[:, 0] > 0
    logged = _logged(profile, active)
    of_space, of_outside = logged[space], logged[outside]
    neighbours = _neighbours(of_space, of_outside, min(k + nearest - 1, len(outside)))
    rng = np.random.default_rng(seed)
    # Only neighbours of some latent can be drawn, however wide the autoencoder is.
    near, places = np.unique(neighbours, return_inverse=True)
    places = places.reshape(neighbours.shape)
    used = np.zeros((n_draws, len(near)), dtype=bool)
    rows = np.arange(n_draws)
    drawn = np.empty((n_draws, k), dtype=np.int64)
    for latent in np.argsort(-profile[space, 0], kind="stable"):
        ranked = places[latent]
        pick = _among_unused(used, ranked, nearest, rng)
        drawn[:, latent] = ranked[pick]
        used[rows, drawn[:, latent]] = True
    draws = near[drawn]
    distance = np.abs(of_outside[draws] - of_space)
    spread = of_space.std(axis=0)
    difference = of_outside[draws].mean(axis=(0, 1)) - of_space.mean(axis=0)
    n_active = int(active[outside].sum())
    return MatchedDraws(
        draws=outside[draws],
        imbalance=difference / np.where(spread > 0, spread, 1),
        beyond_caliper=float((distance > CALIPER).any(axis=2).mean()),
        n_outside=len(outside),
        n_active=n_active,
        n_used=int(used.any(axis=0).sum()),
        scarce=n_active < int(active[space].sum()),
    )


def random_draws(
    n_latents: int, k: int, n_draws: int = 1000, *, exclude: Sequence[int] | np.ndarray = (), seed: int = 0
) -> np.ndarray:
    """Return unmatched draws of `k` latents out of `n_latents` without those excluded, `[n_draws, k]`."""
    outside = np.setdiff1d(np.arange(n_latents), np.asarray(exclude, dtype=np.int64))
    _require(len(outside), k, "to draw from")
    rng = np.random.default_rng(seed)
    # One draw at a time: keys of all draws would take gigabytes in a wide autoencoder.
    chosen = [np.argpartition(rng.random(len(outside)), k - 1)[:k] for _ in range(n_draws)]
    return np.asarray(outside[np.array(chosen, dtype=np.int64).reshape(n_draws, k)])


def top_firing(profile: np.ndarray, k: int, *, exclude: Sequence[int] | np.ndarray = ()) -> np.ndarray:
    """Return the `k` latents of the highest firing rate (then mean activation), `[k]`."""
    allowed = np.setdiff1d(np.arange(len(profile)), np.asarray(exclude, dtype=np.int64))
    _require(len(allowed), k, "to choose from")
    order = np.lexsort((-profile[allowed, 1], -profile[allowed, 0]))
    return np.asarray(allowed[order[:k]])


def predict_draws(
    codes: Any,
    draws: np.ndarray,
    ratings: np.ndarray,
    groups: np.ndarray,
    *,
    scored: np.ndarray | None = None,
    train_mask: np.ndarray | None = None,
    folds: int = 5,
    penalties: Sequence[float] = PENALTIES,
    seed: int = 0,
    precision: str = "float32",
) -> np.ndarray:
    """Predict ratings from each draw of latents as `predict_ratings` does: same folds, grid and inner choice.

    A draw of fewer latents than training words has Gram matrices of its latents, another a Gram matrix of its words:
    memory does not grow with the autoencoder's width. Single precision moves r by less than .001 (a test holds it to
    that).

    Parameters
    ----------
    codes
        `[n_words, n_latents]`, dense or scipy sparse.
    draws
        `[n_draws, k]` indices of latents, none twice in a draw.
    precision
        ``float32`` or ``float64``, of the Gram matrices.

    Returns
    -------
    r within folds, `[n_draws, n_targets, 2]`: over all words, and over the scored words.
    """
    import torch
    from scipy.sparse import csc_array, diags_array

    # A set has no order, and a fit of the same columns is the same to the last digit.
    draws = np.sort(np.asarray(draws, dtype=np.int64), axis=1)
    codes, ratings, groups, scored, trains = checked(codes, ratings, groups, scored, train_mask)
    fold_of = assign_folds(groups, folds, seed)
    columns = csc_array(codes)
    mean, spread = moments(columns)
    scale = np.divide(1, spread, out=np.zeros(len(spread)), where=spread > 1e-7 * np.abs(mean))
    dtype = getattr(torch, precision)
    training = [np.flatnonzero((fold_of == fold) & trains) for fold in range(folds)]
    # Words of a fold stand in a row, so that its part of the features is a view.
    order, ends = np.concatenate(training), np.cumsum([len(rows) for rows in training])
    parts = [slice(end - len(rows), end) for end, rows in zip(ends, training, strict=True)]
    y = torch.from_numpy(ratings[order] - ratings.mean(axis=0)).to(dtype)
    scaled = csc_array(columns[order] @ diags_array(scale), dtype=precision)
    shift = (mean * scale).astype(precision)
    test_rows = [np.flatnonzero(fold_of == fold) for fold in range(folds)]
    grid = torch.as_tensor(penalties, dtype=dtype)
    n_training = sum(sorted(len(rows) for rows in training)[:-2])

    def in_primal(part: np.ndarray) -> np.ndarray:
        def features(latents: np.ndarray) -> Tensor:
            dense = scaled[:, latents].toarray(order="C")
            dense -= shift[latents]
            return torch.from_numpy(dense)

        sums = FoldSums.over((features(latents) for latents in part), part.shape, y, parts)
        nested = nested_ridge(sums.without, folds, grid)
        weights = nested.weights.double().numpy() * scale[part][..., None]
        intercepts = nested.intercepts.double().numpy() - np.einsum("bk,fbkt->fbt", mean[part], weights)
        predicted = np.empty((len(y), *intercepts.shape[1:]))
        for draw, latents in enumerate(part):
            drawn = columns[:, latents].tocsr()
            for fold, rows in enumerate(test_rows):
                predicted[rows, draw] = drawn[rows] @ weights[fold, draw] + intercepts[fold, draw]
        return predicted

    def in_dual(part: np.ndarray) -> np.ndarray:
        predicted = [
            out_of_fold(columns[:, latents].tocsr(), ratings, fold_of, trains, penalties)[0]
            for latents in part
        ]
        return np.stack(predicted, axis=1)

    def of_batch(part: np.ndarray) -> np.ndarray:
        predicted = (in_dual if part.shape[1] > n_training else in_primal)(part)
        everything = correlation(predicted, ratings[:, None, :], fold_of)
        kept = correlation(predicted[scored], ratings[scored, None, :], fold_of[scored])
        return np.stack([everything, kept], axis=2)

    together = max(1, min(_MOST_DRAWS, _MOST_NUMBERS // torch.get_num_threads() // draws.shape[1] ** 2))
    batches = [draws[start : start + together] for start in range(0, len(draws), together)]
    results = []
    with progress("Draws of latents", len(draws), "draws") as advance:
        for result in in_parallel(of_batch, batches):
            results.append(result)
            advance(len(result))
    return np.concatenate(results)


def _logged(profile: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Return log columns standardised over active latents; a silent latent counts as half the least active one."""
    least = np.where(profile > 0, profile, np.inf).min(axis=0)
    least = np.where(np.isfinite(least), least, 1.0)
    logged = np.log(np.maximum(profile, least / 2))
    reference = logged[active] if active.any() else logged
    spread = reference.std(axis=0)
    return np.asarray((logged - reference.mean(axis=0)) / np.where(spread > 0, spread, 1))


def _neighbours(of_space: np.ndarray, of_outside: np.ndarray, n: int) -> np.ndarray:
    """Return the `n` nearest of the outside latents to each of the space, nearest first, `[k, n]`; ties by their order."""
    from scipy.spatial.distance import cdist

    nearest = np.empty((len(of_space), n), dtype=np.int64)
    for row, latent in enumerate(of_space):
        gaps = cdist(latent[None], of_outside, "sqeuclidean")[0]
        close = np.flatnonzero(gaps <= np.partition(gaps, n - 1)[n - 1])
        nearest[row] = close[np.argsort(gaps[close], kind="stable")[:n]]
    return nearest


def _among_unused(used: np.ndarray, ranked: np.ndarray, nearest: int, rng: np.random.Generator) -> np.ndarray:
    """Return for each draw the position in `ranked` of one of its first `nearest` unused latents, at random."""
    width = min(len(ranked), 16 * nearest)
    while True:
        free = ~used[:, ranked[:width]]
        count = np.cumsum(free, axis=1)
        if width == len(ranked) or bool((count[:, -1] >= nearest).all()):
            break
        width = min(len(ranked), 4 * width)
    wanted = 1 + (rng.random(len(used)) * np.minimum(count[:, -1], nearest)).astype(np.int64)
    return np.asarray((free & (count == wanted[:, None])).argmax(axis=1))


def _require(available: int, k: int, where: str) -> None:
    if available < k:
        raise InvalidInput(
            f"{k} latents",
            f"there are only {available} {where}",
            "Take a smaller space or a wider autoencoder.",
        )
