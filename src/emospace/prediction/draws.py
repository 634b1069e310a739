"""Sets of latents to hold a space against: matched to it, random, or merely the most active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.display import progress
from emospace.engines import in_parallel
from emospace.errors import EmospaceError
from emospace.prediction.ratings import checked
from emospace.prediction.ridge import PENALTIES, FoldSums, assign_folds, nested_ridge
from emospace.prediction.scores import correlation

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = 10  # how many unused neighbours a matched draw chooses among
CALIPER = 0.2  # SD of the profile (Rosenbaum & Rubin, 1985)

_MOST_DRAWS, _MOST_NUMBERS = 32, 2**22
"""Draws that are fitted together, and numbers of their Gram matrices of one fold: calls cost small draws the most."""


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
    gaps = ((of_space[:, None, :] - of_outside[None, :, :]) ** 2).sum(axis=2)
    neighbours = np.argsort(gaps, axis=1, kind="stable")
    rng = np.random.default_rng(seed)
    used = np.zeros((n_draws, len(outside)), dtype=bool)
    rows = np.arange(n_draws)
    draws = np.empty((n_draws, k), dtype=np.int64)
    for latent in np.argsort(-profile[space, 0], kind="stable"):
        ranked = neighbours[latent]
        pick = _among_unused(used, ranked, nearest, rng)
        draws[:, latent] = ranked[pick]
        used[rows, draws[:, latent]] = True
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
    keys = np.random.default_rng(seed).random((n_draws, len(outside)))
    return np.asarray(outside[np.argpartition(keys, k - 1, axis=1)[:, :k]])


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

    Gram blocks of all latents drawn are computed once; each draw takes its sub-blocks. Single precision moves r
    by less than .001 (a test holds it to that).

    Parameters
    ----------
    codes
        `[n_words, n_latents]`, dense or scipy sparse.
    draws
        `[n_draws, k]` indices of latents, none twice in a draw.
    precision
        ``float32`` or ``float64``; memory is `folds * n_drawn^2` such numbers.

    Returns
    -------
    r within folds, `[n_draws, n_targets, 2]`: over all words, and over the scored words.
    """
    import torch

    draws = np.asarray(draws, dtype=np.int64)
    latents, compact = np.unique(draws, return_inverse=True)
    # A set has no order, and sums of ascending indices are read faster.
    compact = torch.from_numpy(np.sort(compact.reshape(draws.shape), axis=1))
    features, ratings, groups, scored, trains = checked(
        codes[:, latents], ratings, groups, scored, train_mask
    )
    fold_of = assign_folds(groups, folds, seed)
    dtype = getattr(torch, precision)
    x, y = _unit_scale(features).to(dtype), torch.from_numpy(ratings - ratings.mean(axis=0)).to(dtype)
    train_rows = [torch.from_numpy(np.flatnonzero((fold_of == fold) & trains)) for fold in range(folds)]
    test_rows = [torch.from_numpy(np.flatnonzero(fold_of == fold)) for fold in range(folds)]
    tested = [x[rows] for rows in test_rows]
    sums = FoldSums.of(x, y, train_rows)
    grid = torch.as_tensor(penalties, dtype=dtype)

    def of_batch(index: Tensor) -> np.ndarray:
        subsets = sums.subsets(index)
        nested = nested_ridge(subsets.without, folds, grid)
        predicted = np.empty((len(x), len(index), y.shape[1]))
        for fold, rows in enumerate(test_rows):
            weights = torch.zeros(len(index), x.shape[1], y.shape[1], dtype=dtype)
            weights.scatter_(1, index[:, :, None].expand(-1, -1, y.shape[1]), nested.weights[fold])
            at = tested[fold] @ weights.permute(1, 0, 2).reshape(x.shape[1], -1)
            predicted[rows] = at.view(len(rows), len(index), -1) + nested.intercepts[fold]
        everything = correlation(predicted, ratings[:, None, :], fold_of)
        kept = correlation(predicted[scored], ratings[scored, None, :], fold_of[scored])
        return np.stack([everything, kept], axis=2)

    together = max(1, min(_MOST_DRAWS, _MOST_NUMBERS // draws.shape[1] ** 2))
    results = []
    with progress("Draws of latents", len(draws), "draws") as advance:
        for result in in_parallel(of_batch, compact.split(together)):
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


def _unit_scale(features: np.ndarray) -> Tensor:
    """Return features shifted and scaled to mean 0 and SD 1 over all words, constant ones 0: for exact sums only."""
    import torch

    mean, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    varies = spread > 1e-7 * np.abs(mean)
    scale = np.divide(1, spread, out=np.zeros(len(spread)), where=varies)
    return torch.from_numpy((features - mean) * scale)


def _require(available: int, k: int, where: str) -> None:
    if available < k:
        raise EmospaceError(
            f"{k} latents",
            f"there are only {available} {where}",
            "Take a smaller space or a wider autoencoder.",
        )
