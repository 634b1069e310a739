"""Which languages' spaces are alike: a tree with support, and families against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.errors import InvalidInput
from emospace.languages.language import Floats
from emospace.records import FamilyContrast
from emospace.stats import bootstrap_rdm_correlations, condensed, pearson, rdm_correlations


class Merge(NamedTuple):
    """One clade of a tree: its languages, the height they meet at (1 - RSA) and the share of resampled trees with it."""

    members: tuple[str, ...]
    height: float
    support: float


@dataclass(frozen=True, eq=False)
class LanguageTree:
    """Average linkage of languages by the likeness of their spaces.

    Parameters
    ----------
    similarity
        [n_languages, n_languages] RSA (Spearman).
    linkage
        [n_languages - 1, 4] as `scipy.cluster.hierarchy.linkage` has it, heights 1 - RSA.
    support
        [n_languages - 1] share of the trees of resampled categories that have each clade; the whole is in all.
    cophenetic
        Pearson r between the heights at which pairs meet and their 1 - RSA.
    n
        Categories.
    """

    languages: tuple[str, ...]
    similarity: Floats
    linkage: Floats
    support: Floats
    cophenetic: float | None
    n: int
    n_bootstrap: int
    seed: int

    def merges(self) -> tuple[Merge, ...]:
        """Return the clades from the closest to the whole."""
        return tuple(
            Merge(tuple(self.languages[at] for at in sorted(clade)), float(height), float(support))
            for clade, height, support in zip(
                clades(self.linkage), self.linkage[:, 2], self.support, strict=True
            )
        )


def language_tree(rdms: Mapping[str, ArrayLike], *, seed: int, n_bootstrap: int = 1000) -> LanguageTree:
    """Cluster languages by 1 - RSA of their RDMs with average linkage (UPGMA).

    The support of a clade is the share of trees, each of categories drawn with replacement (pairs of a category with
    itself out), in which its languages and no others form a clade (Felsenstein, 1985).

    Parameters
    ----------
    rdms
        language -> RDM over the categories all languages share, in one order; pairs one of two languages lacks (NaN)
        are left out of both.
    seed
        Decides the resamples.
    n_bootstrap
        Resamples of the categories behind the support.

    Raises
    ------
    EmospaceError
        If there are fewer than three languages, the RDM of one does not vary, or two share too few pairs.
    """
    languages = tuple(rdms)
    if len(languages) < 3:
        raise InvalidInput(
            f"a tree of {len(languages)} languages",
            "two are always closest to one another",
            "Compare three or more.",
        )
    similarity = rdm_correlations(list(rdms.values()))
    if not np.isfinite(similarity).all():
        flat = [name for name, value in zip(languages, np.diag(similarity), strict=True) if np.isnan(value)]
        few = [name for name, row in zip(languages, similarity, strict=True) if np.isnan(row).any()]
        why = "they do not vary" if flat else "they share too few pairs of categories with one another"
        raise InvalidInput(f"the dissimilarities of {', '.join(flat or few)}", why, "Leave the language out.")
    linkage = _linkage(similarity)
    groups = clades(linkage)
    drawn = [
        r
        for r in bootstrap_rdm_correlations(list(rdms.values()), seed=seed, n=n_bootstrap)
        if np.isfinite(r).all()
    ]
    seen = [set(clades(_linkage(r))) for r in drawn]
    support = np.array([np.mean([clade in tree for tree in seen]) for clade in groups])
    n_pairs = len(condensed(next(iter(rdms.values()))))
    return LanguageTree(
        languages,
        similarity,
        linkage,
        support,
        _cophenetic(linkage, similarity),
        (1 + isqrt(1 + 8 * n_pairs)) // 2,
        len(drawn),
        seed,
    )


def clades(linkage: Floats) -> list[frozenset[int]]:
    """Return the leaves below each merge of a linkage matrix."""
    n = len(linkage) + 1
    below = [frozenset([leaf]) for leaf in range(n)]
    for first, second in linkage[:, :2].astype(int):
        below.append(below[first] | below[second])
    return below[n:]


def _distance(similarity: Floats) -> Floats:
    return np.asarray(1 - similarity[np.triu_indices(len(similarity), 1)])


def _linkage(similarity: Floats) -> Floats:
    from scipy.cluster.hierarchy import linkage

    return np.asarray(linkage(np.maximum(_distance(similarity), 0), method="average"))


def _cophenetic(linkage: Floats, similarity: Floats) -> float | None:
    from scipy.cluster.hierarchy import cophenet

    r = pearson(cophenet(linkage), _distance(similarity))
    return float(r) if np.isfinite(r) else None


def family_contrast(
    similarity: Floats, families: Sequence[str], *, seed: int, n_permutations: int = 9999
) -> FamilyContrast:
    """Test whether languages of one family have more alike spaces than those of different families.

    p is one-sided, from relabelling the languages; a language alone in its family counts between families only.

    Parameters
    ----------
    similarity
        [n_languages, n_languages] RSA; its diagonal is not read. Missing pairs (NaN) count on neither side.
    families
        [n_languages] family of each language, such as `ConceptSets.families` has it.
    seed
        Decides the relabellings.
    n_permutations
        Relabellings of the languages behind p; with 9,999 the smallest p is .0001.

    Returns
    -------
    The contrast, without a value and with the reason where there is no pair within a family or none between.

    Raises
    ------
    ValueError
        If there are more or fewer families than rows of `similarity`.
    """
    names = np.asarray(families)
    n = len(names)
    if np.shape(similarity) != (n, n):
        raise ValueError(f"{n} families for a similarity of shape {np.shape(similarity)}")
    upper = np.triu_indices(n, 1)
    r = np.asarray(similarity, dtype=np.float64)
    finite = np.isfinite(r[upper])
    same = names[:, None] == names[None]
    within = same[upper] & finite

    def result(value: float | None, **more: Any) -> FamilyContrast:
        counts = {"n_within": int(within.sum()), "n_families": len(set(families))}
        return FamilyContrast(value=value, n=n, seed=seed, n_permutations=n_permutations, **counts, **more)

    if not within.any():
        return result(None, reason="no family has two languages")
    if not (finite & ~within).any():
        return result(None, reason="all languages are of one family")
    values = np.where(finite, r[upper], 0)

    def contrast(inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        outside = finite & ~inside
        return (values * inside).sum(-1) / np.maximum(inside.sum(-1), 1), (values * outside).sum(
            -1
        ) / np.maximum(outside.sum(-1), 1)

    inner, outer = contrast(within)
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)
    drawn = contrast(same[order[:, upper[0]], order[:, upper[1]]] & finite)
    reached = int((drawn[0] - drawn[1] >= inner - outer - 1e-12).sum())
    return result(float(inner - outer), within=inner, between=outer, p=(1 + reached) / (1 + n_permutations))
