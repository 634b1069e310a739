"""How similar people treat emotion categories: co-annotation, colexification and rated similarity, bundled."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.artefacts import content_hash
from emospace.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

FEWEST_COMPARED = 5
"""Four categories have 24 relabellings: below five a permutation test can hardly reach p < .05, whatever is true."""


class SplitHalf(NamedTuple):
    """Split-half over texts: mean over splits of the corrected correlation, and its 2.5 and 97.5 percentiles."""

    value: float
    low: float
    high: float
    n_splits: int


@dataclass(frozen=True, eq=False)
class CategoryStructure:
    """How similar people treat emotion categories.

    Parameters
    ----------
    name
        ``goemotions``, ``kote``, ``brighter/<language>``, ``clics``, ``clics/<family>``,
        ``childfer/<group>-<task>``.
    language
        ISO 639-1 code of the texts or raters; ``multi`` for colexification over many languages.
    categories
        Our names where they coincide, else the source's own.
    similarity
        ``[n_categories, n_categories]``, 1 on the diagonal; NaN where people said nothing of a pair.
    kind
        ``co-annotation`` (phi of label indicators over texts, -1..1), ``colexification`` (share, 0..1) or
        ``rated similarity``.
    licence, citation, note
        The source's licence, the paper to cite, and what a reader of results should know.
    counts
        ``[n_categories, n_categories]`` texts that carry both labels (the diagonal: that carry one), or None.
    halves
        ``[n_splits, 2, n_categories, n_categories]`` similarity over random halves of the texts, or None.
    n_items
        Texts the counts are over.
    """

    name: str
    language: str
    categories: tuple[str, ...]
    similarity: np.ndarray
    kind: str
    licence: str = ""
    citation: str = ""
    note: str = ""
    counts: np.ndarray | None = None
    halves: np.ndarray | None = None
    n_items: int | None = None

    def rdm(self) -> np.ndarray:
        """Return ``1 - similarity`` ``[n_categories, n_categories]``."""
        return np.asarray(1 - self.similarity)

    def select(self, categories: Sequence[str]) -> CategoryStructure:
        """Return the structure of these categories alone, in the order given.

        Parameters
        ----------
        categories
            Some of `categories`.

        Raises
        ------
        EmospaceError
            If one of them is not in the structure.
        """
        for category in categories:
            if category not in self.categories:
                raise unknown(f"category of the structure '{self.name}'", category, self.categories)
        at = np.array([self.categories.index(category) for category in categories], dtype=int)
        square = np.ix_(at, at)
        return replace(
            self,
            categories=tuple(categories),
            similarity=self.similarity[square],
            counts=None if self.counts is None else self.counts[square],
            halves=None if self.halves is None else self.halves[:, :, at][:, :, :, at],
        )

    def split_half(self) -> SplitHalf | None:
        """Return the split-half reliability of the RDM over texts, or None without texts or below 4 categories.

        Pairs that one half says nothing of are left out of both; a split with too few pairs, or without variation, is
        not counted in `n`. Spearman between the upper triangles of the two halves, stepped up by Spearman-Brown, ``2r / (1 + r)``. It
        says how far the sample of texts fixes the RDM; raters agree less, so it is no noise ceiling.
        """
        if self.halves is None or len(self.categories) < 4:
            return None
        r = np.array([_agreement(*pair) for pair in self.halves])
        r = r[np.isfinite(r)]
        if not len(r):
            return None
        corrected = 2 * r / (1 + r)
        low, high = np.percentile(corrected, [2.5, 97.5])
        return SplitHalf(float(corrected.mean()), float(low), float(high), len(r))

    @property
    def content_hash(self) -> str:
        """16 hex digits that change with the categories or any similarity."""
        return content_hash(self.name, list(self.categories), self.similarity)


def _agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rho of two similarities ``[n, n]`` over the pairs both have; NaN below six, or of a constant."""
    from scipy.stats import spearmanr

    x, y = (half[np.triu_indices(len(half), 1)] for half in (a, b))
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 6 or not min(np.ptp(x[both]), np.ptp(y[both])) > 0:
        return float("nan")
    return float(spearmanr(x[both], y[both]).statistic)


def list_structures() -> pd.DataFrame:
    """Return the bundled structures: ``[name, language, kind, categories, licence, citation, note]``."""
    import pandas as pd

    rows = [
        {
            "name": called,
            "language": _language(entry, variant),
            "kind": entry["kind"],
            "categories": len(entry["categories"]),
            "licence": entry["licence"],
            "citation": entry["citation"],
            "note": entry["note"],
        }
        for name, entry in _index().items()
        for variant in _variants(entry)
        for called in [f"{name}/{variant}" if variant else name]
    ]
    return pd.DataFrame(rows)


def structures_for(language: str, family: str | None = None) -> tuple[str, ...]:
    """Return the names of the bundled structures that the categories of a language can be compared with.

    Co-annotations of texts in that language; colexification over all families, and within its family where the source
    has it. Structures of fewer than five categories are left out: no permutation test can say anything of them.

    Parameters
    ----------
    language
        ISO 639-1 code such as ``en``; one without structures of its own has those over many languages.
    family
        The language's family by its name in Glottolog, in lower case with hyphens (``indo-european``), as
        `ConceptSets.families` has it; None leaves out colexification within a family.
    """
    return tuple(
        f"{name}/{variant}" if variant else name
        for name, entry in _index().items()
        for variant in _variants(entry)
        if len(entry["categories"]) >= FEWEST_COMPARED
        and _language(entry, variant) in (language, "multi")
        and (entry.get("variants_are") != "families" or variant in ("", family))
    )


def _variants(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variants of a structure, the empty name for the whole; languages apart have no whole."""
    apart = entry.get("variants_are") == "languages"
    return (*(() if apart else ("",)), *entry.get("variants", ()))


def _language(entry: Mapping[str, Any], variant: str) -> str:
    return variant if entry.get("variants_are") == "languages" else str(entry["language"])


@cache
def load_structure(name: str) -> CategoryStructure:
    """Return a bundled structure by its name; it is shared, so not to be changed.

    Parameters
    ----------
    name
        As `list_structures` has it, such as ``goemotions`` or ``clics/indo-european``.

    Raises
    ------
    EmospaceError
        If there is no such structure.
    """
    import pandas as pd

    index = _index()
    root, _, variant = name.partition("/")
    if root not in index or variant not in _variants(index[root]):
        raise unknown("category structure", name, list_structures()["name"].tolist())
    entry = index[root]
    with (files("emospace") / "data" / "structure" / f"{root}.parquet").open("rb") as file:
        table = pd.read_parquet(file)
    variant = variant or entry.get("default", "")
    parts = READERS[entry["kind"]](table, entry, variant)
    categories = tuple(entry["categories"])
    if variant:
        seen = set(table.loc[table["variant"] == variant, ["a", "b"]].to_numpy().ravel())
        rated = tuple(category for category in categories if category in seen)
    else:
        rated = categories
    return CategoryStructure(
        name=f"{root}/{variant}" if variant else root,
        language=_language(entry, variant),
        categories=categories,
        kind=entry["kind"],
        licence=entry["licence"],
        citation=entry["citation"],
        note=entry["note"],
        **parts,
    ).select(rated)


def _index() -> dict[str, Any]:
    return tomllib.loads(
        (files("emospace") / "data" / "structure" / "index.toml").read_text(encoding="utf-8")
    )


def phi(counts: np.ndarray, n_items: int) -> np.ndarray:
    """Return the phi coefficients ``[n, n]`` of indicators from their co-occurrence counts ``[n, n]``.

    ``counts[i, i]`` is how often i occurs among `n_items`. The Pearson correlation of the 0/1 indicators.
    """
    both, once = counts.astype(float), np.diag(counts).astype(float)
    spread = np.sqrt(once * (n_items - once))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((n_items * both - np.outer(once, once)) / np.outer(spread, spread))


def _co_annotation(table: pd.DataFrame, entry: Mapping[str, Any], language: str) -> dict[str, Any]:
    categories, n_items, half_items = entry["categories"], entry["n_items"], entry["half_items"]
    if language:
        table = table[table["variant"] == language]
        n_items, half_items = n_items[language], half_items[language]
    counts = _square(table, categories, "count").astype(int)
    halves = []
    for i, n_half in enumerate(half_items):
        half = _square(table, categories, f"half_{i:02d}")
        halves.append([phi(half, n_half), phi(counts - half, n_items - n_half)])
    return {
        "similarity": phi(counts, n_items),
        "counts": counts,
        "halves": np.array(halves),
        "n_items": n_items,
    }


def _colexification(table: pd.DataFrame, entry: Mapping[str, Any], family: str) -> dict[str, Any]:
    if family:
        table = table[table["variant"] == family]
        share = table["both"] / table[["varieties_a", "varieties_b"]].min(axis=1)
        table = table.assign(share=share.clip(upper=1))
    else:
        shares = table.assign(share=table["both"] > 0).groupby(["a", "b"])["share"].mean()
        table = shares.reset_index()
    similarity = _square(table, entry["categories"], "share", missing=np.nan)
    np.fill_diagonal(similarity, 1)
    return {"similarity": similarity}


def _rated(table: pd.DataFrame, entry: Mapping[str, Any], variant: str) -> dict[str, Any]:
    similarity = _square(
        table[table["variant"] == variant], entry["categories"], "similarity", missing=np.nan
    )
    np.fill_diagonal(similarity, 1)
    return {"similarity": similarity}


READERS = {"co-annotation": _co_annotation, "colexification": _colexification, "rated similarity": _rated}


def _square(table: pd.DataFrame, categories: Sequence[str], column: str, missing: float = 0.0) -> np.ndarray:
    """Return the values of pairs ``a``, ``b`` as a symmetric matrix."""
    at = {category: i for i, category in enumerate(categories)}
    a, b = (np.array([at[name] for name in table[side]], dtype=int) for side in ("a", "b"))
    matrix = np.full((len(categories), len(categories)), missing)
    matrix[a, b] = matrix[b, a] = table[column].to_numpy(float)
    return matrix
