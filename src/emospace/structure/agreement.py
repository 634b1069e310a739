"""Whether the categories of a language lie where those of another do, by people's ratings of their concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emospace.errors import InvalidInput, unknown
from emospace.stats import pearson, percentile_interval
from emospace.structure.ratings import FEWEST_RATED, Ratings, check_language

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms

FEWEST_CONCEPTS = 5
WANTED, PEOPLE = 0.75, 0.82
"""The r that concept-sets should reach, and that of people's ratings of the same 930 concepts in English (Warriner et al. 2013)
and Chinese (Yi et al. 2025)."""


@dataclass(frozen=True)
class CategoryPair:
    """The valence of one category in a language and in the reference (-1..1), each over so many rated concepts."""

    category: str
    value: float
    reference: float
    n_words: int
    n_words_reference: int

    @property
    def difference(self) -> float:
        """The language less the reference."""
        return self.value - self.reference


@dataclass(frozen=True)
class ValenceAgreement:
    """How well the categories of one language agree in valence with the reference language's.

    Parameters
    ----------
    norms, reference_norms
        Names of the word norms; empty where the language has none.
    pairs
        The categories with `FEWEST_CONCEPTS` rated concepts in both languages, those that differ most first.
    r, ci_low, ci_high
        Pearson r over `pairs` and its 95% bootstrap interval over categories; None where `reason` says why.
    reason
        Why there is no r, or nothing to be said about `WANTED`.
    """

    language: str
    norms: str
    reference: str
    reference_norms: str
    pairs: tuple[CategoryPair, ...] = ()
    r: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str = ""

    @property
    def n(self) -> int:
        """How many categories `r` is over."""
        return len(self.pairs)

    @property
    def reached(self) -> bool | None:
        """Whether r is at least `WANTED`; None with fewer than `FEWEST_RATED` categories."""
        return None if self.r is None or self.n < FEWEST_RATED else self.r >= WANTED


def category_valence(sets: ConceptSets, norms: WordNorms, language: str) -> dict[str, tuple[float, int]]:
    """Return category -> (mean valence of its rated concepts by their weights, on -1..1; how many are rated).

    Words match exactly, else without regard to case. Categories with fewer than `FEWEST_CONCEPTS` rated concepts
    are left out. Other than in `category_ratings`, the label's own rating has no precedence.
    """
    ratings = Ratings.from_norms(norms.only(("valence",)))
    valence = {}
    for category in sets.labels[language]:
        words, weights = sets.words(language, category), sets.weights(language, category)
        rated = [k for k, word in enumerate(words) if ratings.find(word) is not None]
        if len(rated) >= FEWEST_CONCEPTS:
            mean = ratings.mean([words[k] for k in rated], weights[rated])["valence"]
            valence[category] = (mean, len(rated))
    return valence


def valence_agreement(
    sets: ConceptSets,
    norms_by_language: Mapping[str, Sequence[WordNorms]],
    reference: str = "en",
    *,
    reference_sets: ConceptSets | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> tuple[ValenceAgreement, ...]:
    """Compare the valence of each language's categories with the reference language's, by people's ratings.

    One figure for each language and norms of it; a language without norms has one that says so. Nothing is chosen
    by these figures.

    Parameters
    ----------
    sets
        Concept-sets of the languages that are compared.
    norms_by_language
        Language -> its norms. The first of the reference language's are the reference.
    reference
        ISO 639-1 code of the language that the others are compared with; English, which has the most norms.
    reference_sets
        Where the reference language's sets are; None where they are in `sets`.
    n_bootstrap
        Resamples of the categories behind the 95% interval of r.
    seed
        Decides these resamples.

    Raises
    ------
    EmospaceError
        If norms are of a language without concept-sets, hold no valence, or the reference has no norms or sets.
    """
    of_reference = sets if reference_sets is None else reference_sets
    if reference not in of_reference.languages:
        raise unknown("reference language of the concept-sets", reference, of_reference.languages)
    if not norms_by_language.get(reference):
        raise InvalidInput(
            f"reference language '{reference}'", "it has no word norms", f"Give norms of '{reference}'."
        )
    for language, several in norms_by_language.items():
        if language not in (*sets.languages, reference):
            raise InvalidInput(
                f"norms '{several[0].name}'" if several else f"norms of '{language}'",
                f"there are no concept-sets of '{language}' (there are: {', '.join(sets.languages)})",
                f"Give a TOML file with sets of '{language}', in the format of en.toml, or leave the norms out.",
            )
        for norms in several:
            check_language(norms, language)
    standard = norms_by_language[reference][0]
    theirs = category_valence(of_reference, standard, reference)
    agreements = []
    for language in sets.languages:
        if language == reference:
            continue
        if not norms_by_language.get(language):
            reason = f"no word norms of '{language}' are bundled or given"
            agreements.append(ValenceAgreement(language, "", reference, standard.name, reason=reason))
        for norms in norms_by_language.get(language, ()):
            ours = category_valence(sets, norms, language)
            pairs = [
                CategoryPair(category, value, theirs[category][0], n, theirs[category][1])
                for category, (value, n) in ours.items()
                if category in theirs
            ]
            pairs.sort(key=lambda pair: -abs(pair.difference))
            r, low, high, reason = _agreement(pairs, n_bootstrap, seed)
            agreements.append(
                ValenceAgreement(
                    language, norms.name, reference, standard.name, tuple(pairs), r, low, high, reason
                )
            )
    return tuple(agreements)


def _agreement(
    pairs: Sequence[CategoryPair], n_bootstrap: int, seed: int
) -> tuple[float | None, float | None, float | None, str]:
    few = f"{len(pairs)} categories have {FEWEST_CONCEPTS} rated concepts in both, fewer than "
    if len(pairs) < 3:
        return None, None, None, few + "3"
    # The order of the categories must not matter to the interval.
    ordered = sorted(pairs, key=lambda pair: pair.category)
    points = np.array([(pair.value, pair.reference) for pair in ordered])
    if (np.ptp(points, axis=0) == 0).any():
        return None, None, None, "all categories have the same valence"
    drawn = points[np.random.default_rng(seed).integers(len(points), size=(n_bootstrap, len(points)))]
    low, high = percentile_interval(pearson(drawn[..., 0], drawn[..., 1]), len(points))
    r = pearson(*points.T)
    return r, low, high, "" if len(pairs) >= FEWEST_RATED else few + str(FEWEST_RATED)
