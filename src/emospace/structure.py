"""The human side of the geometry: how similar people treat the categories, and where each lies on valence-arousal."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from emospace.artefacts import content_hash
from emospace.errors import EmospaceError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from emospace.concepts import ConceptSets
    from emospace.norms import WordNorms

FEWEST_RATED = 15
FEWEST_COMPARED = 5
"""Categories that a comparison with a structure needs: three cannot reach p < .05, four only by the one best relabelling."""


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
        ``goemotions``, ``kote``, ``clics``, ``clics/<family>``, ``childfer/<group>-<task>``.
    categories
        Our names where they coincide, else the source's own.
    similarity
        ``[n_categories, n_categories]``, 1 on the diagonal; NaN where people said nothing of a pair.
    kind
        ``co-annotation`` (phi of label indicators over texts, -1..1), ``colexification`` (share, 0..1) or
        ``rated similarity``.
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
        """Return the split-half reliability of the RDM over texts, or None without texts or below 3 categories.

        Spearman between the upper triangles of the two halves, stepped up by Spearman-Brown, ``2r / (1 + r)``. It
        says how far the sample of texts fixes the RDM; raters agree less, so it is no noise ceiling.
        """
        if self.halves is None or len(self.categories) < 3:
            return None
        from scipy.stats import spearmanr

        upper = np.triu_indices(len(self.categories), 1)
        r = np.array([spearmanr(a[upper], b[upper]).statistic for a, b in self.halves])
        corrected = 2 * r / (1 + r)
        low, high = np.percentile(corrected, [2.5, 97.5])
        return SplitHalf(float(corrected.mean()), float(low), float(high), len(r))

    @property
    def content_hash(self) -> str:
        """16 hex digits that change with the categories or any similarity."""
        return content_hash(self.name, list(self.categories), self.similarity)


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
    def n_label(self) -> int:
        """How many categories have a rating of their own, of the label or a listed lemma."""
        return int((self.table["source"] != "derived").sum())

    @property
    def n_lemma(self) -> int:
        """How many of these are rated by a listed lemma and not the label."""
        return int((self.table["source"] == "lemma").sum())

    @property
    def n_derived(self) -> int:
        """How many categories have the mean of their rated concepts."""
        return int((self.table["source"] == "derived").sum())

    @property
    def no_axes(self) -> str:
        """Why no figure about axes can be given, or an empty string if it can."""
        n = len(self.table)
        if n >= FEWEST_RATED:
            return ""
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


def list_structures() -> pd.DataFrame:
    """Return the bundled structures: ``[name, language, kind, categories, licence, citation, note]``."""
    import pandas as pd

    rows = [
        {
            "name": called,
            "language": entry["language"],
            "kind": entry["kind"],
            "categories": len(entry["categories"]),
            "licence": entry["licence"],
            "citation": entry["citation"],
            "note": entry["note"],
        }
        for name, entry in _index().items()
        for called in (name, *(f"{name}/{variant}" for variant in entry.get("variants", ())))
    ]
    return pd.DataFrame(rows)


def load_structure(name: str) -> CategoryStructure:
    """Return a bundled structure by its name (see `list_structures`).

    Raises
    ------
    EmospaceError
        If there is no such structure.
    """
    import pandas as pd

    index = _index()
    root, _, variant = name.partition("/")
    if root not in index or (variant and variant not in index[root].get("variants", ())):
        raise unknown("category structure", name, list_structures()["name"].tolist())
    entry = index[root]
    with (files("emospace") / "data" / "structure" / f"{root}.parquet").open("rb") as file:
        table = pd.read_parquet(file)
    variant = variant or entry.get("default", "")
    parts = READERS[entry["kind"]](table, entry, variant)
    categories = tuple(entry["categories"])
    if variant:
        seen = set(table.loc[table["variant"] == variant, ["a", "b"]].to_numpy().ravel())
        known = tuple(category for category in categories if category in seen)
    else:
        known = categories
    return CategoryStructure(
        name=f"{root}/{variant}" if variant else root,
        language=entry["language"],
        categories=categories,
        kind=entry["kind"],
        licence=entry["licence"],
        citation=entry["citation"],
        note=entry["note"],
        **parts,
    ).select(known)


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


def _co_annotation(table: pd.DataFrame, entry: Mapping[str, Any], _: str) -> dict[str, Any]:
    categories, n_items = entry["categories"], entry["n_items"]
    counts = _square(table, categories, "count").astype(int)
    halves = []
    for i, n_half in enumerate(entry["half_items"]):
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


def category_ratings(sets: ConceptSets, norms: WordNorms, language: str) -> CategoryRatings:
    """Return people's ratings of the categories of one language, from word norms of that language.

    A category's rating is that of its label; else of the first listed lemma that is rated; else the mean of its
    rated concepts by their weights. Words match exactly, else without regard to case.

    Raises
    ------
    EmospaceError
        If the norms or the sets are not of that language.
    """
    import pandas as pd

    if norms.language != language:
        raise EmospaceError(
            f"norms '{norms.name}'",
            f"they rate words of '{norms.language}', not '{language}'",
            f"Give norms of '{language}'.",
        )
    if language not in sets.languages:
        raise unknown("language of the concept-sets", language, sets.languages)
    ratings = _Ratings.of(norms)
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


class _Ratings(NamedTuple):
    """Word norms on -1..1, found by word."""

    table: Mapping[str, np.ndarray]
    exact: Mapping[str, int]
    folded: Mapping[str, int]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, norms: WordNorms) -> _Ratings:
        table = {}
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
