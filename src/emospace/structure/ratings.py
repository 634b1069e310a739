"""Where people put the categories of one language on valence and arousal, from word norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.errors import InvalidInput, unknown

if TYPE_CHECKING:
    import pandas as pd

    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms

FEWEST_RATED = 15


@dataclass(frozen=True, eq=False)
class CategoryRatings:
    """Where people put the categories of one language on valence and arousal.

    Parameters
    ----------
    norms
        Name of the word norms they come from.
    table
        One row a rated category: ``category``; for each target the rating on a -1..1 scale and, where known,
        ``<target>_sd`` and ``<target>_n``; ``source`` (``label``: the rating of the category's label, ``lemma``: of
        the first listed lemma that is rated, ``derived``: the weighted mean of its rated concepts); ``word`` (the
        label or lemma, empty if derived); ``n_words`` behind the rating. The SD of a derived category is the one
        whose standard error, SD over the root of n, is that of the weighted mean over raters.
    unrated
        Categories of the sets without any rated word.
    note
        What is to be known of the norms, e.g. that they hold idioms only.
    """

    language: str
    norms: str
    table: pd.DataFrame
    targets: tuple[str, ...]
    unrated: tuple[str, ...] = ()
    note: str = ""

    @property
    def categories(self) -> tuple[str, ...]:
        """The rated categories, in the order of the sets."""
        return tuple(self.table["category"])

    @property
    def no_axes(self) -> str:
        """Why no figure about axes can be given, or an empty string if it can."""
        n = len(self.table)
        if n >= FEWEST_RATED:
            return ""
        if not self.unrated:
            return f"{n} categories are too few: axes need {FEWEST_RATED} rated ones"
        return (
            f"only {n} of {n + len(self.unrated)} categories in '{self.language}' are rated by the norms "
            f"'{self.norms}', and axes need {FEWEST_RATED}"
        )

    def values(self, target: str, categories: Sequence[str] | None = None) -> np.ndarray:
        """Return the ratings ``[n_categories]`` on -1..1, NaN for a category that has none."""
        if target not in self.targets:
            raise unknown("target", target, self.targets)
        column = self.table.set_index("category")[target]
        return np.asarray(column.reindex(list(categories or self.categories)).to_numpy(float))

    def rdm(self, categories: Sequence[str] | None = None) -> np.ndarray:
        """Return the valence-arousal distances ``[n_categories, n_categories]`` (Euclidean, on -1..1)."""
        points = np.stack([self.values(target, categories) for target in ("valence", "arousal")], axis=1)
        return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=2))


def category_ratings(sets: ConceptSets, norms: WordNorms, language: str) -> CategoryRatings:
    """Return people's ratings of the categories of one language, from word norms of that language.

    A category's rating is that of its label; else of the first listed lemma that is rated; else the mean of its
    rated concepts by their weights. Words match exactly, else without regard to case.

    Parameters
    ----------
    sets
        Concept-sets that hold the language: their labels, lemmas and weighted words.
    norms
        Word norms of that language; the ratings returned are mapped from the published scale to -1..1.
    language
        ISO 639-1 code such as ``en``, one of ``sets.languages``.

    Raises
    ------
    EmospaceError
        If the norms or the sets are not of that language.
    """
    import pandas as pd

    check_language(norms, language)
    if language not in sets.languages:
        raise unknown("language of the concept-sets", language, sets.languages)
    ratings = Ratings.from_norms(norms)
    rows, unrated = [], []
    for category in sets.categories:
        lemmas = sets.labels.get(language, {}).get(category, ())
        rated = next(((i, lemma) for i, lemma in enumerate(lemmas) if ratings.find(lemma) is not None), None)
        if rated is not None:
            i, lemma = rated
            row: dict[str, Any] = {"source": "lemma" if i else "label", "word": lemma, "n_words": 1}
            row |= ratings.mean([lemma], np.ones(1))
        else:
            words, weights = sets.words(language, category), sets.weights(language, category)
            kept = [k for k, word in enumerate(words) if ratings.find(word) is not None]
            if not kept:
                unrated.append(category)
                continue
            row = {"source": "derived", "word": "", "n_words": len(kept)}
            row |= ratings.mean([words[k] for k in kept], np.asarray(weights, float)[kept])
        rows.append({"category": category, **row})
    columns = [t + suffix for t in norms.targets for suffix in ("", "_sd", "_n") if t + suffix in norms.table]
    table = pd.DataFrame(rows, columns=["category", *columns, "source", "word", "n_words"])
    return CategoryRatings(language, norms.name, table, norms.targets, tuple(unrated), norms.note)


def check_language(norms: WordNorms, language: str) -> None:
    """Raise where norms rate the words of another language."""
    if norms.language != language:
        raise InvalidInput(
            f"norms '{norms.name}'",
            f"they rate words of '{norms.language}', not '{language}'",
            f"Give norms of '{language}'.",
        )


class Ratings(NamedTuple):
    """Word norms on -1..1, found by word: the words rated on every target."""

    table: Mapping[str, np.ndarray]
    exact: Mapping[str, int]
    folded: Mapping[str, int]
    targets: tuple[str, ...]

    @classmethod
    def from_norms(cls, norms: WordNorms) -> Ratings:
        norms, table = norms.complete(), {}
        for target in norms.targets:
            low, high = norms.scales[target]
            table[target] = norms.unit(target).to_numpy(float)
            if f"{target}_sd" in norms.table:
                table[f"{target}_sd"] = norms.table[f"{target}_sd"].to_numpy(float) * 2 / (high - low)
            if f"{target}_n" in norms.table:
                table[f"{target}_n"] = norms.table[f"{target}_n"].to_numpy(float)
        exact = {word: i for i, word in enumerate(norms.words)}
        folded: dict[str, int] = {}
        for word, i in exact.items():
            folded.setdefault(word.casefold(), i)
        return cls(table, exact, folded, norms.targets)

    def find(self, word: str) -> int | None:
        return self.exact.get(word, self.folded.get(word.casefold()))

    def mean(self, words: Sequence[str], weights: np.ndarray) -> dict[str, float]:
        """Return the weighted mean of each target, with the SD and n of its standard error where all are known."""
        at = np.array([self.find(word) for word in words], dtype=int)
        share = weights / weights.sum()
        row = {}
        for target in self.targets:
            row[target] = float(share @ self.table[target][at])
            sd, n = (self.table.get(f"{target}_{what}") for what in ("sd", "n"))
            if n is not None:
                row[f"{target}_n"] = float(n[at].sum())
            if sd is not None and len(at) == 1:
                row[f"{target}_sd"] = float(sd[at[0]])
            elif sd is not None and n is not None:
                row[f"{target}_sd"] = float(np.sqrt(np.sum(share**2 * sd[at] ** 2 / n[at]) * n[at].sum()))
        return row
