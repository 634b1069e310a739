"""Categories that sit differently among the others in two languages, beyond the noise of the concept-sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emospace.languages.language import Floats, LanguageFeatures
from emospace.records import CategoryShift
from emospace.stats import rank_rows, spearman_known
from emospace.structure import FEWEST_RATED

N_HALVES = 50


class Placement(NamedTuple):
    """Where a language's categories stand among one another.

    `rows` [1 + n_bootstrap, n_categories, n_categories - 1]: each one's dissimilarities to the others, as they are
    and of resampled words, NaN where there is none. `place` [n_categories, n_categories - 1]: ranks of each one's dissimilarities to the others, centred and of unit
    length, so that Spearman's rho is their product; `drawn` [n_bootstrap, n_categories, n_categories - 1] the same
    of resampled words; `halves` [n_categories] mean rho between random halves of the words.
    """

    rows: Floats
    place: Floats
    drawn: Floats
    halves: Floats

    @property
    def reliability(self) -> Floats:
        """Of the ranks, 0..1: rho between halves stepped up to whole sets (Spearman-Brown)."""
        return np.asarray(np.clip(2 * self.halves / (1 + np.maximum(self.halves, 0)), 0, 1))


def category_shifts(
    a: LanguageFeatures, b: LanguageFeatures, *, seed: int, n_bootstrap: int = 500
) -> tuple[CategoryShift, ...]:
    """Rank the categories of two languages by how differently they sit among the others.

    The value is 1 - Spearman's rho of a category's dissimilarities to the other shared categories in the two
    languages. The noise is what sets of these sizes would give if both languages agreed, 1 - sqrt(r_a r_b): r is
    the mean rho between random halves of a language's words over 50 splits, stepped up to whole sets by
    Spearman-Brown, 2r / (1 + r), since halves are noisier than the sets the value is of; a value between languages
    is attenuated by the root of the product (Spearman, 1904). In noisy sets the noise is overestimated, so that the
    excess is conservative. A category whose halves agree no better than chance (rho at most 1.645 / sqrt(n - 1), its
    one-sided 5% point for n unrelated entries) in a language has no place there to have moved from: `shifted` is None
    and the reason says so.

    The 95% interval of the excess, value - noise, is a Bayesian bootstrap of the words (Rubin, 1981): exponential
    weights, one a word and draw, the same in all sets the word stands in, independent between the languages. Within a
    set these are uniform Dirichlet weights, with the mean and spread of drawing with replacement, and no set is ever
    empty. Resampled sets are noisier than the sets themselves, so the draws lie too high; their mean is moved back to
    the observed value. `shifted` says that the interval lies above zero: without any difference at most about one
    category in forty does. Where sets are precise, a category that moved far shifts others a little, since it is
    among what they are placed by: read the size of the excess, too.

    Draws are made once a language (and set of shared categories) and kept, so all pairs of many languages are cheap.

    Parameters
    ----------
    a, b
        Two languages in one model and one space; fewer than 15 common categories give no value.
    seed
        Decides the halves and the weights, together with the language's code.
    n_bootstrap
        Draws of weights behind the interval.

    Returns
    -------
    The shared categories by falling excess, those without a value last, with the reason.
    """
    names = tuple(name for name in a.categories if name in b.categories)
    n = len(names) - 1

    def shift_of(category: str, **figures: Any) -> CategoryShift:
        fields = {**dict.fromkeys(("value", "noise", "excess", "ci_low", "ci_high")), **figures}
        return CategoryShift(a=a.language, b=b.language, category=category, n=n, seed=seed, **fields)

    if len(names) < FEWEST_RATED:
        reason = f"the languages share {len(names)} categories; at least {FEWEST_RATED} are needed"
        return tuple(shift_of(name, reason=reason) for name in names)
    first, second = (_placement(side, names, seed, n_bootstrap) for side in (a, b))
    rho = _agreement(first, second)
    value = 1 - rho[0]
    noise = 1 - np.sqrt(first.reliability * second.reliability)
    drawn = 1 - rho[1:]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0) - drawn.mean(axis=0) + value - noise
    excess = value - noise
    chance = 1.645 / np.sqrt(n - 1)
    shifts = []
    for at in np.argsort(-excess, kind="stable"):
        if not np.isfinite([excess[at], low[at]]).all():
            reason = "its concept words, or halves of them, are too few of its own or do not vary"
            shifts.append(shift_of(names[at], reason=reason))
            continue
        unreliable = [
            side.language for side, placement in ((a, first), (b, second)) if placement.halves[at] <= chance
        ]
        why = f"halves of its words do not agree on its place in {' and '.join(unreliable)}"
        shifts.append(
            shift_of(
                names[at],
                value=value[at],
                noise=noise[at],
                excess=excess[at],
                ci_low=low[at],
                ci_high=high[at],
                shifted=None if unreliable else low[at] > 0,
                reason=why if unreliable else None,
            )
        )
    return tuple(shifts)


def _agreement(first: Placement, second: Placement) -> Floats:
    """Return rho [1 + n_bootstrap, n_categories] of two languages' dissimilarities, over the pairs both have."""
    rho = np.concatenate(
        [(first.place * second.place).sum(axis=-1)[None], (first.drawn * second.drawn).sum(axis=-1)]
    )
    gaps = np.isnan(first.rows + second.rows).any(axis=-1)
    rho[gaps] = spearman_known(first.rows[gaps], second.rows[gaps])
    return rho


def _placement(language: LanguageFeatures, names: tuple[str, ...], seed: int, n_bootstrap: int) -> Placement:
    key = ("placement", names, seed, n_bootstrap)
    if key not in language.kept:
        # Two languages must not share their draws, whatever the seed.
        rng = np.random.default_rng([seed, *language.language.encode()])
        weights = rng.exponential(size=(n_bootstrap, len(language.words)))
        rdms = np.concatenate([language.rdm(names)[None], language.weighted_rdms(names, weights)])
        rows = rdms[:, ~np.eye(len(names), dtype=bool)].reshape(len(rdms), len(names), -1)
        place = places(rdms)
        halves = _halves(language, names, rng)
        first, second = (places(language.weighted_rdms(names, half)) for half in (halves, 1 - halves))
        agreement = _mean((first * second).sum(axis=-1))
        language.kept[key] = Placement(rows, place[0], place[1:], agreement)
    placement: Placement = language.kept[key]
    return placement


def places(rdms: Floats) -> Floats:
    """Return standardised ranks [n, n_categories, n_categories - 1] of the rows of RDMs, less their diagonal.

    A missing entry takes the mean rank of its row, so that it says nothing; a row with fewer than three entries, or
    without variation, is NaN.
    """
    n = rdms.shape[1]
    others = rdms[:, ~np.eye(n, dtype=bool)].reshape(len(rdms), n, n - 1)
    finite = np.isfinite(others)
    ranks = rank_rows(np.where(finite, others, np.inf))
    count = finite.sum(axis=-1, keepdims=True)
    ranks = np.where(finite, ranks - (count + 1) / 2, 0)
    size = np.linalg.norm(ranks, axis=-1, keepdims=True)
    usable = (count >= 3) & (size > 1e-12)
    return np.asarray(np.divide(ranks, size, out=np.full_like(ranks, np.nan), where=usable))


def _mean(halves: Floats) -> Floats:
    """Return the mean [n_categories] of correlations [n_halves, n_categories] over the splits that have one."""
    count = np.isfinite(halves).sum(axis=0)
    empty = np.full(halves.shape[1], np.nan)
    return np.asarray(np.divide(np.nansum(halves, axis=0), count, out=empty, where=count > 0))


def _halves(language: LanguageFeatures, names: tuple[str, ...], rng: np.random.Generator) -> Floats:
    """Return random halves [n_halves, n_words] of 0 and 1; a word of several sets is halved with its first."""
    row = {word: index for index, word in enumerate(language.words)}
    first = np.full(len(row), len(names))
    for at, name in reversed(list(enumerate(names))):
        words = language.sets.words(language.language, name)
        first[[row[word] for word in words if word in row]] = at
    order = np.argsort(first + rng.random((N_HALVES, len(first))), axis=1)
    halves = np.empty(order.shape)
    np.put_along_axis(halves, order, np.arange(len(first)) % 2.0 + np.zeros(order.shape), axis=1)
    return halves
