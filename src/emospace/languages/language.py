"""`LanguageFeatures`: the concept words of one language as a model holds them, and the RDMs they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emospace.errors import InvalidInput, unknown

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LanguageFeatures:
    """What one language brings to the comparison of languages.

    Parameters
    ----------
    language
        ISO 639-1 code such as ``en``, of a language of `sets`.
    words
        [n_words] distinct words; concepts not among them are left out.
    features
        [n_words, n_features] from `space.standardise`, the mean category taken off.
    sets
        The concept-sets that say which words make which category.
    silent
        [n_words] words that no feature is active in: a category of such words alone has no place.
    """

    language: str
    words: tuple[str, ...]
    features: Floats
    sets: ConceptSets
    silent: NDArray[np.bool_] | None = None
    kept: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """What is computed once for all pairs this language is in."""

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories that have a word with features."""
        words = set(self.words)
        names = (name for name in self.sets.categories if name in self.sets.labels[self.language])
        return tuple(name for name in names if words & set(self.sets.words(self.language, name)))

    def rdm(self, categories: Sequence[str]) -> Floats:
        """Return the dissimilarities [n_categories, n_categories], 1 - Pearson r of the categories' mean features.

        Words both sets of a pair hold are left out of that pair (`space.disjoint_rdm`), and the mean of these
        categories is taken off, so that languages with other categories beside can be compared. A pair is missing
        (NaN) where one of the two has no word with features beside those of the other, or none that varies.

        Parameters
        ----------
        categories
            Some of `categories`, the rows and columns in this order; usually those that two languages share.

        Raises
        ------
        EmospaceError
            If a category is unknown, or has no dissimilarity to any other.
        """
        rdm: Floats = self.weighted_rdms(categories, np.ones((1, len(self.words))))[0]
        lost = np.flatnonzero((np.isfinite(rdm) | np.eye(len(rdm), dtype=bool)).sum(axis=1) == 1)
        if len(lost) and len(rdm) > 1:
            raise InvalidInput(
                f"category '{categories[lost[0]]}' in {self.language}",
                "it has no word with features beside those of each other category, or none that varies",
                "Give it words of its own, or leave it out.",
            )
        return rdm

    def weighted_rdms(self, categories: Sequence[str], counts: Floats) -> Floats:
        """Return the RDMs [n_draws, n_categories, n_categories] of reweighted words, NaN where no word is left.

        Parameters
        ----------
        categories
            As in `rdm`.
        counts
            [n_draws, n_words] how often each word counts, in all its sets at once.
        """
        names = tuple(categories)
        if ("members", names) not in self.kept:
            self.kept["members", names] = self._members(names)
        members: _Members = self.kept["members", names]
        active = np.ones(len(self.words)) if self.silent is None else 1.0 - self.silent
        points = np.column_stack([self.features, active, np.ones(len(self.words))])
        matrix = members.weights.copy()
        result = np.empty((len(counts), len(names), len(names)))
        for draw, count in enumerate(counts):
            matrix.data = members.weights.data * count[matrix.indices]
            result[draw] = _rdm(matrix @ points, len(names), members)
        return result

    def _members(self, names: tuple[str, ...]) -> _Members:
        from scipy.sparse import csr_matrix

        row = {word: index for index, word in enumerate(self.words)}
        sets, categories = [], self.categories
        for name in names:
            if name not in categories:
                raise unknown(f"category of {self.language}", name, categories)
            weights = self.sets.weights(self.language, name)
            listed = zip(self.sets.words(self.language, name), weights, strict=True)
            sets.append({row[word]: float(weight) for word, weight in listed if word in row})
        pairs = [
            (i, j)
            for i, first in enumerate(sets)
            for j, second in enumerate(sets)
            if i != j and first.keys() & second.keys()
        ]
        rows = sets + [{word: sets[i][word] for word in sets[i].keys() & sets[j].keys()} for i, j in pairs]
        entries = [
            (weight, index, word) for index, part in enumerate(rows) for word, weight in sorted(part.items())
        ]
        values, first, second = zip(*entries, strict=True)
        matrix = csr_matrix((values, (first, second)), shape=(len(rows), len(self.words)))
        reverse = np.array([pairs.index((j, i)) for i, j in pairs], dtype=np.intp)
        return _Members(matrix, np.array(pairs, dtype=np.intp).reshape(-1, 2), reverse)


class _Members(NamedTuple):
    """`weights` [n_categories + n_pairs, n_words]: of each set, then of what the first of a pair shares with the second.

    `pairs` [n_pairs, 2] holds every pair of sets with a common word, in both orders, and `reverse` [n_pairs] where its
    other order stands.
    """

    weights: csr_matrix
    pairs: NDArray[np.intp]
    reverse: NDArray[np.intp]


def _rdm(sums: Floats, n: int, members: _Members) -> Floats:
    """Return one RDM from sums [n + n_pairs, n_features + 2] of features, of weights of active words, and of all."""
    total, filled = sums[:n, -1:], sums[:n, -2] > 0
    centre = (sums[:n][filled] / total[filled]).mean(axis=0)
    rest = sums - sums[:, -1:] * centre
    unit = _unit(rest[:n, :-2], filled)
    result = 1 - unit @ unit.T
    if len(members.pairs):
        i, j = members.pairs.T
        left = sums[i, -2] - sums[n:, -2]
        exclusive = _unit(rest[i, :-2] - rest[n:, :-2], left > 1e-9 * np.maximum(total[i, 0], 1e-9))
        result[i, j] = 1 - (exclusive * exclusive[members.reverse]).sum(axis=1)
    np.fill_diagonal(result, 0)
    return np.asarray(result)


def _unit(rows: Floats, filled: NDArray[np.bool_]) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    size = np.linalg.norm(centred, axis=1)
    keep = filled & (size > 1e-12)
    return np.asarray(
        np.divide(centred, size[:, None], out=np.full_like(centred, np.nan), where=keep[:, None])
    )
