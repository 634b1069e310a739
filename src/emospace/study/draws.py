"""Draws beside the space: matched and random latents from outside it, and the spaces of shuffled concept-sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.display import track
from emospace.errors import EmospaceError
from emospace.features import MatchedPool, dense_directions, select_features, shuffled_sets
from emospace.prediction import latent_profile, matched_draws, random_draws
from emospace.profiling import timed
from emospace.records import NotComputed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets
    from emospace.study.predicting import Latents
    from emospace.study.rated import RatedWords

_TOGETHER = 20
"""Shuffled spaces whose features are in memory at once."""


@timed("draws and shuffled sets")
def draws_of_latents(
    rated: RatedWords, latents: Latents, values: csr_matrix, n_shuffled: int, missing: list[NotComputed]
) -> dict[str, np.ndarray]:
    """Return r of each kind of draw, ``[n_draws, n_targets, 2]`` (all words, concept words left out).

    Parameters
    ----------
    values
        ``[n_words, n_latents]`` log activations of the rated words.
    missing
        Gains what could not be drawn, and why.
    """
    space, seed = rated.concepts.latents, rated.seed
    assert space is not None
    sizes = latent_profile(values)
    r: dict[str, np.ndarray] = {}

    def drawn(name: str, draws: np.ndarray) -> None:
        with timed(f"from {name}"):
            r[name] = rated.predict_draws(values, draws)

    if n_draws := latents.n_draws:
        outside: dict[str, Any] = {"seed": seed, "exclude": latents.everywhere}
        try:
            matched = matched_draws(space, sizes, n_draws, **outside)
            random = random_draws(len(sizes), len(space), min(200, n_draws), **outside)
        except EmospaceError as error:
            missing.append(rated.missing("outside controls", str(error)))
        else:
            if matched.scarce:
                why = f"only {matched.n_active} latents outside fire on these words; beating such draws shows little"
                missing.append(rated.missing("a matched control of full strength", why))
            drawn("outside", matched.draws)
            drawn("outside_random", random)
            if latents.shared is not None and len(latents.shared):
                drawn("outside_shared", matched_draws(latents.shared, sizes, n_draws, **outside).draws)
    shuffled = [
        rated.predict(values[:, chosen], n_bootstrap=10)
        for chosen in _shuffled_latents(rated, latents, n_shuffled)
    ]
    if shuffled:
        r["shuffled"] = np.array(
            [[(each.all_words.r, each.without_concepts.r) for each in targets] for targets in shuffled]
        )
    elif n_shuffled:
        why = "selection finds no latent at all for random neutral words"
        missing.append(rated.missing("shuffled control", why))
    return r


@timed("shuffled sets")
def shuffled_directions(rated: RatedWords, n_shuffled: int) -> dict[str, np.ndarray]:
    """Return r of the dense directions that concept-sets of random neutral words have, as `draws_of_latents` does."""
    words = rated.concepts.words
    by_size: dict[int, list[np.ndarray]] = {}
    for sets, pool in _shuffled(rated, n_shuffled):
        directions = dense_directions(words.states, words.words, sets, rated.language, pool)
        # A category whose words are all left out of a smaller set has no direction.
        by_size.setdefault(len(directions), []).append(directions)
    r = []
    for size, spaces in by_size.items():
        for start in range(0, len(spaces), _TOGETHER):
            part = np.concatenate(spaces[start : start + _TOGETHER])
            draws = np.arange(len(part)).reshape(-1, size)
            r.append(rated.predict_draws(rated.words.states @ part.T, draws))
    return {"shuffled": np.concatenate(r)} if r else {}


def _shuffled(rated: RatedWords, n: int) -> Iterator[tuple[ConceptSets, MatchedPool]]:
    """Yield concept-sets of random neutral words, each with the pool that is left beside it."""
    for draw in track(range(n), f"Shuffled sets, {rated.language}", "draws"):
        yield shuffled_sets(rated.concepts.sets, rated.language, rated.concepts.pool, seed=rated.seed + draw)


@timed("shuffled selection")
def _shuffled_latents(rated: RatedWords, latents: Latents, n: int) -> list[np.ndarray]:
    """Return the latents that the same selection finds for concept-sets of random neutral words."""
    words, space = rated.concepts.words, rated.concepts.latents
    assert words.codes is not None and space is not None
    selected = []
    for sets, pool in _shuffled(rated, n):
        try:
            chosen = select_features(
                words.codes,
                words.words,
                sets,
                rated.language,
                pool,
                rule=latents.rule,
                q=1.0,
                max_features=len(space),
                n_permutations=0,
            )
        except EmospaceError:
            continue
        selected.append(chosen.latents)
    return selected
