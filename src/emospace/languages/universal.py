"""Latents that are emotion features in several languages, against latents that fire as often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emospace.errors import InvalidInput
from emospace.languages.language import Floats
from emospace.records import UniversalCount

if TYPE_CHECKING:
    from emospace.features import FeatureDictionary


def universal_counts(
    dictionaries: Mapping[str, FeatureDictionary],
    rates: Mapping[str, Floats],
    *,
    seed: int,
    n_draws: int = 1000,
) -> tuple[UniversalCount, ...]:
    """Count the latents that are features in at least k languages, for every k, and test each count.

    A latent that fires on most words is likely to be a feature anywhere. So each draw exchanges the features of
    every language, independently, for as many different latents of the same decile of that language's firing rates;
    latents that never fire on its words are in no decile. What is left beyond that is agreement on which latents.
    With k = 1 the count is that of all features, which agreement makes smaller, not larger.

    Parameters
    ----------
    dictionaries
        The features of each language.
    rates
        language -> [n_latents] share of the language's words each latent fires on.
    seed
        Decides the draws.
    n_draws
        Draws of exchanged latents behind each expected count; with 1,000 the smallest p is .001.

    Returns
    -------
    One count for each k from 1 to the number of languages.

    Raises
    ------
    EmospaceError
        If there is no language, one has no firing rates, or a feature never fires in its own language.
    ValueError
        If the languages' latents are not of one code book.
    """
    if not dictionaries:
        raise InvalidInput("universal features", "there is no language", "Give the features of two or more.")
    strata = {name: _strata(name, dictionary, rates) for name, dictionary in dictionaries.items()}
    sizes = {len(rates[name]) for name in dictionaries}
    if len(sizes) != 1:
        raise ValueError(f"code books of different sizes: {sorted(sizes)} latents")
    n_latents, n_languages = sizes.pop(), len(dictionaries)
    chosen = np.concatenate([dictionary.latents for dictionary in dictionaries.values()])
    observed = _at_least(chosen, n_latents, n_languages)
    rng = np.random.default_rng(seed)
    draws = np.empty((n_draws, n_languages))
    for draw in range(n_draws):
        drawn = [
            rng.choice(members, n, replace=False, shuffle=False)
            for parts in strata.values()
            for members, n in parts
        ]
        draws[draw] = _at_least(np.concatenate(drawn), n_latents, n_languages)
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    reached = (draws >= observed).sum(axis=0)
    return tuple(
        UniversalCount(
            n=n_languages,
            seed=seed,
            k=k + 1,
            n_latents=int(observed[k]),
            expected=draws[:, k].mean(),
            expected_low=low[k],
            expected_high=high[k],
            p=(1 + reached[k]) / (1 + n_draws),
        )
        for k in range(n_languages)
    )


def _strata(
    language: str, dictionary: FeatureDictionary, rates: Mapping[str, Floats]
) -> list[tuple[NDArray[np.int64], int]]:
    """Return, for each decile of the latents that fire, its latents and how many of them are features."""
    if language not in rates:
        raise InvalidInput(
            f"the features of '{language}'",
            "there are no firing rates of its words to match on",
            "Give the share of its words each latent fires on.",
        )
    rate = np.asarray(rates[language], dtype=np.float64)
    latents = dictionary.latents
    silent = latents[rate[latents] <= 0]
    if len(silent):
        raise InvalidInput(
            f"{len(silent)} features of '{language}', such as {silent[:3].tolist()}",
            "they fire on none of its words by the rates given",
            "Give the rates of the words the features were chosen on.",
        )
    alive = np.flatnonzero(rate > 0)
    edges = np.unique(np.quantile(rate[alive], np.arange(0.1, 1, 0.1)))
    decile = np.digitize(rate, edges)
    return [
        (alive[decile[alive] == part], int((decile[latents] == part).sum()))
        for part in np.unique(decile[latents])
    ]


def _at_least(latents: NDArray[np.int64], n_latents: int, n_languages: int) -> Floats:
    """Return [n_languages] how many latents occur at least 1, 2, .. times."""
    times = np.bincount(np.bincount(latents, minlength=n_latents), minlength=n_languages + 1)[1:]
    return times[::-1].cumsum()[::-1].astype(np.float64)
