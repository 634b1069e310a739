"""Concept-set -> features: the latents that fire for a category's concepts and not for matched neutral words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from emospace.artefacts import read_as, read_object, read_parquet, write_json, write_parquet
from emospace.display import Pictured, progress
from emospace.engines import in_parallel
from emospace.errors import InvalidInput, unknown, warn_of_rename
from emospace.features.pool import MatchedPool
from emospace.specs import MAX_FEATURES, Rule
from emospace.stats import fdr_bh, max_t_strata, rank_scores, stratified_rank_sum, stratified_rate_test

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets

_TOP_WORDS = 8


@dataclass(frozen=True)
class FeatureDictionary(Pictured):
    """The features of one language: which latents, for which category, how strongly, and their top words.

    Attributes
    ----------
    language
        ISO 639-1 code of the concepts.
    table
        One row a category and latent: category, latent, effect (of the rule), weight (effects of a category
        scaled to sum to 1), rate_in and rate_pool (shares of words it fires on, pool words weighted to the set's strata), z, p (one-sided, exact
        moments), q (Benjamini-Hochberg over latents x categories), p_max (family-wise over the latents of the
        category, max-T), top_words.
    settings
        How they were selected: rule, q, bounds, seed, and what the pool was matched on.
    """

    language: str
    table: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that have at least one feature."""
        return tuple(dict.fromkeys(self.table.category))

    @property
    def latents(self) -> np.ndarray:
        """All latents chosen for any category, ascending: the emotion space's columns."""
        return np.unique(self.table.latent.to_numpy(dtype=np.int64))

    def for_category(self, category: str) -> np.ndarray:
        """Return the latents of one category, strongest first.

        Parameters
        ----------
        category
            One of `categories`; of another one there are none.
        """
        rows = self.table[self.table.category == category]
        return rows.sort_values("effect", ascending=False).latent.to_numpy(dtype=np.int64)

    def of(self, category: str) -> np.ndarray:
        """Do as `for_category`, the name it has now.

        Parameters
        ----------
        category
            As there.
        """
        warn_of_rename("FeatureDictionary.of", "FeatureDictionary.for_category")
        return self.for_category(category)

    def save(self, folder: Path) -> None:
        """Write ``features.parquet`` and its card ``features.json``.

        Parameters
        ----------
        folder
            Made where it is missing.
        """
        write_parquet(folder / "features.parquet", self.table)
        write_json(folder / "features.json", {"language": self.language, "settings": dict(self.settings)})

    @classmethod
    def load(cls, folder: Path) -> FeatureDictionary:
        """Read what `save` wrote.

        Parameters
        ----------
        folder
            As given to `save`.

        Raises
        ------
        EmospaceError
            If a file is missing or damaged.
        """
        table = read_parquet(folder / "features.parquet")
        file = folder / "features.json"
        card = read_object(file, hint="Give a folder that `save` wrote.")
        with read_as(file, "card of a feature dictionary"):
            return cls(card["language"], table, card["settings"])


def select_features(
    codes: csr_matrix,
    words: Sequence[str],
    sets: ConceptSets,
    language: str,
    pool: MatchedPool,
    *,
    rule: Rule = "standardised",
    q: float = 0.05,
    max_features: int = MAX_FEATURES,
    n_permutations: int = 999,
    seed: int = 0,
) -> FeatureDictionary:
    """Choose the latents of each category by testing its concepts against the matched pool.

    A latent is a candidate where the stratified rank-sum test of its activations (labels exchangeable within
    matching strata) passes Benjamini-Hochberg over all latents and categories at `q`, and it fires more often
    on the concepts than on the pool. Candidates are ordered by the rule's effect; every category gives as many
    of its best as fit into `max_features` distinct latents in all.

    Parameters
    ----------
    codes
        ``[n_words, n_latents]``, rows as `words`; holds concept and pool words.
    words
        ``[n_words]``, the words of the rows, those of the concept-sets and the pool among them.
    sets
        Concept-sets that hold the language.
    language
        ISO 639-1 code such as ``en``, one of ``sets.languages``.
    pool
        The neutral words matched to the concepts of that language (`neutral_pool`), and the strata of both.
    rule
        The effect candidates are ordered by: ``rank`` (chance of exceeding a pool word of the stratum, minus
        one half), ``rate`` (Mantel-Haenszel difference of firing rates), ``standardised`` (difference of mean
        activations, pool words weighted to the set's strata, over the two groups' standard deviation).
    q
        False discovery rate of the tests (Benjamini & Hochberg 1995), 0 to 1.
    max_features
        Largest number of distinct latents over all categories.
    n_permutations
        Permutations within strata behind ``p_max``, which selects nothing; 0 leaves it out (then it is 1).
    seed
        Decides these permutations, and nothing else: p and q are from exact moments.

    Raises
    ------
    EmospaceError
        If no latent passes for any category, or a concept word has no codes.
    """
    if rule not in EFFECTS:
        raise unknown("selection rule", rule, list(EFFECTS))
    row_of = {word: index for index, word in enumerate(words)}
    concepts = sets.words(language)
    missing = [word for word in (*concepts, *pool.words) if word not in row_of]
    if missing:
        raise InvalidInput(
            f"{len(missing)} words, such as {missing[:3]}",
            "they have no codes",
            "Encode concept and pool words first.",
        )
    order = [*concepts, *pool.words]
    values = codes[[row_of[word] for word in order]].tocsr()
    strata = np.concatenate([pool.concept_strata, pool.pool_strata])
    categories = [category for category in sets.categories if sets.words(language, category)]
    position = {word: index for index, word in enumerate(concepts)}
    # Other categories' concepts are neither in the set nor neutral: they stay out of its test.
    is_pool = np.arange(len(order)) >= len(concepts)

    def test(category: str) -> _Test:
        members = np.zeros(len(order), dtype=bool)
        members[[position[word] for word in sets.words(language, category)]] = True
        rows = np.flatnonzero(members | is_pool)
        return _test(values[rows], members[rows], strata[rows], rule, n_permutations, seed)

    tests = []
    with progress(f"Features, {language}", len(categories), "categories") as advance:
        for tested in in_parallel(test, categories):
            tests.append(tested)
            advance()
    q_values = fdr_bh(np.stack([test.p for test in tests]))
    effect = np.stack([test.effect for test in tests])
    passes = (q_values <= q) & np.stack([test.rate_in > test.rate_pool for test in tests]) & (effect > 0)
    if not passes.any():
        raise InvalidInput(
            f"the concept-sets of '{language}'",
            f"no latent passes q <= {q} for any of the {len(categories)} categories",
            "Use more concepts, another layer, or an SAE trained on text in this language.",
        )
    chosen = _best_within(effect, passes, max_features)
    return FeatureDictionary(
        language,
        _dictionary_table(categories, tests, effect, q_values, chosen, values, order),
        {
            "rule": rule,
            "q": q,
            "max_features": max_features,
            "matched_on": pool.matched_on,
            "n_pool": len(pool.words),
            "n_unmatched": pool.n_unmatched,
            "n_permutations": n_permutations,
            "seed": seed,
            "provenance": sets.provenance,
        },
    )


def latent_values(codes: Any, latents: ArrayLike | None = None, *, log1p: bool = True) -> np.ndarray:
    """Return the values ``[n_words, n_features]`` of chosen latents (None: all) as a dense float64 array.

    `log1p` compresses by log(1 + x), mirrored below zero.
    """
    if latents is not None:
        codes = (codes.tocsc() if hasattr(codes, "tocsc") else np.asarray(codes))[:, np.asarray(latents)]
    values = np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes, dtype=np.float64)
    return np.asarray(np.sign(values) * np.log1p(np.abs(values))) if log1p else values


def shared_latents(dictionaries: Mapping[str, FeatureDictionary], at_least: int | None = None) -> np.ndarray:
    """Return the latents that are features in at least so many languages, ascending.

    Parameters
    ----------
    dictionaries
        Language -> its features, all in one autoencoder.
    at_least
        Least number of languages; None asks for every one.
    """
    if not dictionaries:
        return np.array([], dtype=np.int64)
    latents, counts = np.unique(
        np.concatenate([dictionary.latents for dictionary in dictionaries.values()]), return_counts=True
    )
    return latents[counts >= (len(dictionaries) if at_least is None else at_least)].astype(np.int64)


def specific_latents(dictionaries: Mapping[str, FeatureDictionary], language: str) -> np.ndarray:
    """Return the latents that are features in one language and in no other, ascending."""
    others = [other.latents for name, other in dictionaries.items() if name != language]
    return np.setdiff1d(dictionaries[language].latents, np.concatenate(others) if others else [])


def shuffled_sets(
    sets: ConceptSets, language: str, pool: MatchedPool, seed: int
) -> tuple[ConceptSets, MatchedPool]:
    """Return concept-sets of random neutral words, and the pool that is left to test them against.

    The control for selection itself: features found for these are found by contrast alone.
    Each concept word gives way to one neutral word in all its sets, so overlaps stay; where the pool is less
    than twice the concepts, sizes shrink in proportion, so that half of the pool stays neutral.
    """
    from dataclasses import replace

    rng = np.random.default_rng(seed)
    concepts = sets.words(language)
    n_drawn = min(len(pool.words) // 2, len(concepts))
    order = rng.permutation(len(pool.words))
    left = np.sort(order[n_drawn:])
    kept = np.sort(rng.choice(len(concepts), n_drawn, replace=False))
    stand_in = {concepts[at]: pool.words[index] for at, index in zip(kept, order[:n_drawn], strict=True)}
    table = sets.rows(language)
    table = table[table["word"].isin(stand_in)]
    table = table.assign(word=table["word"].map(stand_in))
    shuffled = replace(sets, table=table.reset_index(drop=True))
    stratum = dict(zip(pool.words, pool.pool_strata, strict=True))
    return shuffled, replace(
        pool,
        words=tuple(pool.words[index] for index in left),
        concept_strata=np.array([stratum[word] for word in shuffled.words(language)]),
        pool_strata=pool.pool_strata[left],
    )


def dense_directions(
    states: np.ndarray,
    words: Sequence[str],
    sets: ConceptSets,
    language: str,
    pool: MatchedPool,
    kind: Literal["lda", "mean_difference"] = "lda",
) -> np.ndarray:
    """Return a unit direction for each category straight from the states, the baseline without an SAE.

    Parameters
    ----------
    states
        ``[n_words, d_model]`` of one layer, rows as `words`.
    words, sets, language, pool
        As in `select_features`.
    kind
        ``lda`` (weighted mean of the concepts minus mean of the pool, whitened by the pooled within-group covariance,
        Ledoit-Wolf shrunk, of dimensions in units of the pool's spread) or ``mean_difference`` (the difference
        itself). Where a few dimensions hold most of the variance a difference points along them: projections on it
        separate held-out concepts of Gemma 3 with an AUC of .70, whitened ones with .96 (`docs/results/settings-gemma.json`).

    Returns
    -------
    ndarray
        ``[n_categories, d_model]``, rows in the order of the categories that have concepts.
    """
    row_of = {word: index for index, word in enumerate(words)}
    pool_states = states[[row_of[word] for word in pool.words]].astype(np.float64)
    centre, spread = pool_states.mean(0), pool_states.std(0)
    categories = [category for category in sets.categories if sets.words(language, category)]
    members = [states[[row_of[word] for word in sets.words(language, category)]] for category in categories]
    means = np.stack(
        [
            np.average(rows, axis=0, weights=sets.weights(language, category))
            for rows, category in zip(members, categories, strict=True)
        ]
    )
    directions = means - centre
    if kind == "lda":
        from sklearn.covariance import ledoit_wolf

        scale = np.where(spread > 1e-9 * spread.max(initial=0), spread, np.inf)
        within = [rows - rows.mean(0) for rows in members]
        covariance, _ = ledoit_wolf(np.concatenate([pool_states - centre, *within]) / scale)
        directions = np.linalg.solve(covariance, (directions / scale).T).T / scale
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True), dtype=np.float32)


class _Test(NamedTuple):
    """Tests of one category, each field ``[n_latents]``."""

    effect: np.ndarray
    z: np.ndarray
    p: np.ndarray
    p_max: np.ndarray
    rate_in: np.ndarray
    rate_pool: np.ndarray


def _rank_effect(values: csr_matrix, members: np.ndarray, strata: np.ndarray) -> np.ndarray:
    return np.asarray(stratified_rank_sum(values, members, strata).auc) - 0.5


def _rate_effect(values: csr_matrix, members: np.ndarray, strata: np.ndarray) -> np.ndarray:
    return np.asarray(stratified_rate_test(values, members, strata).difference)


def _standardised_effect(values: csr_matrix, members: np.ndarray, strata: np.ndarray) -> np.ndarray:
    inside, outside = _matched_weights(members, strata)
    mean_in, variance_in = _moments(values, inside)
    mean_out, variance_out = _moments(values, outside)
    return np.asarray((mean_in - mean_out) / np.sqrt((variance_in + variance_out) / 2 + 1e-12))


EFFECTS: Mapping[str, Callable[[csr_matrix, np.ndarray, np.ndarray], np.ndarray]] = {
    "rank": _rank_effect,
    "rate": _rate_effect,
    "standardised": _standardised_effect,
}
"""Selection rules: what candidates are ordered by, from codes, set membership and strata to ``[n_latents]``."""


def _test(
    values: csr_matrix, members: np.ndarray, strata: np.ndarray, rule: Rule, n_permutations: int, seed: int
) -> _Test:
    scores = rank_scores(values, strata)
    ranks = stratified_rank_sum(scores, members, strata)
    fires = (values > 0).astype(np.float64)
    inside, outside = _matched_weights(members, strata)
    return _Test(
        EFFECTS[rule](values, members, strata),
        ranks.z,
        ranks.p,
        max_t_strata(scores, members, strata, seed=seed, n_permutations=n_permutations)
        if n_permutations
        else np.ones_like(ranks.p),
        np.asarray(fires.T @ inside),
        np.asarray(fires.T @ outside),
    )


def _matched_weights(members: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights ``[n_words]`` of the set and of the pool, either summing to 1, with equal sums in each stratum.

    Words of a stratum that lacks the other kind weigh nothing: there is nothing to compare them with.
    """
    _, cell = np.unique(strata, return_inverse=True)
    n_in, n_out = (
        np.bincount(cell[members], minlength=cell.max() + 1),
        np.bincount(cell[~members], minlength=cell.max() + 1),
    )
    both = (n_in > 0) & (n_out > 0)
    total = max(int(n_in[both].sum()), 1)
    inside = np.where(members, both[cell], False) / total
    outside = np.where(members, 0.0, (both * n_in / np.maximum(n_out, 1))[cell]) / total
    return inside, outside


def _moments(values: csr_matrix, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exact = values.astype(np.float64)
    mean = np.asarray(exact.T @ weights)
    return mean, np.maximum(np.asarray(exact.multiply(exact).T @ weights) - mean**2, 0)


def _best_within(effect: np.ndarray, passes: np.ndarray, max_features: int) -> np.ndarray:
    """Return which candidates are kept: each category's best, as deep as `max_features` distinct latents allow.

    Where not even the best of each fit, the strongest of them are kept.
    """
    ranked = np.where(passes, effect, -np.inf)
    depth_of = np.argsort(np.argsort(-ranked, axis=1), axis=1)
    best = passes & (depth_of == 0)
    strongest = np.argsort(-np.where(best, effect, 0).max(0), kind="stable")[:max_features]
    kept = best & np.isin(np.arange(passes.shape[1]), strongest)
    for depth in range(int(passes.sum(1).max())):
        grown = passes & (depth_of <= depth)
        if grown.any(0).sum() > max_features:
            break
        kept = grown
    return np.asarray(kept)


def _dictionary_table(
    categories: Sequence[str],
    tests: Sequence[_Test],
    effect: np.ndarray,
    q_values: np.ndarray,
    chosen: np.ndarray,
    values: csr_matrix,
    words: Sequence[str],
) -> pd.DataFrame:
    import pandas as pd

    columns = values.tocsc()
    top_words: dict[int, str] = {}
    for latent in np.flatnonzero(chosen.any(0)):
        column = columns[:, latent]
        best = column.indices[np.argsort(-column.data, kind="stable")[:_TOP_WORDS]]
        top_words[int(latent)] = ", ".join(words[index] for index in best)
    rows = [
        {
            "category": category,
            "latent": int(latent),
            "effect": float(effect[index, latent]),
            "weight": float(effect[index, latent] / effect[index, chosen[index]].sum()),
            "rate_in": float(test.rate_in[latent]),
            "rate_pool": float(test.rate_pool[latent]),
            "z": float(test.z[latent]),
            "p": float(test.p[latent]),
            "q": float(q_values[index, latent]),
            "p_max": float(test.p_max[latent]),
            "top_words": top_words[int(latent)],
        }
        for index, (category, test) in enumerate(zip(categories, tests, strict=True))
        for latent in sorted(np.flatnonzero(chosen[index]), key=lambda latent: -effect[index, latent])
    ]
    return pd.DataFrame(rows)
