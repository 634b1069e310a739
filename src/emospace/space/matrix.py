"""`EmotionSpace`: one vector a category, the weighted mean of its concepts' features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emospace.artefacts import read_as, read_tensors, write_tensors
from emospace.display import Pictured
from emospace.errors import InvalidInput, unknown
from emospace.features import latent_values

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets

Floats = NDArray[np.float64]
Transform = Literal["log1p", "raw"]
Scale = Literal["pool", "categories", "none"]
_CARD = "emotion_space"

N_REMOVED = 3
"""Principal components of the neutral words taken off dense states and embeddings.

Chosen with the scale on concepts alone (`docs/results/settings.json`): of components, whitening and masked outlier
dimensions, it separates held-out concepts better than none and keeps spaces of random halves of the concepts alike.
"""


class PCA(NamedTuple):
    """Principal components of the categories.

    `scores` [n_categories, k]; `explained` [k] shares of the variance; `components` [k, n_features] unit
    directions. A component's sign is set so that its score furthest from zero is positive.
    """

    scores: Floats
    explained: Floats
    components: Floats


@dataclass(frozen=True)
class EmotionSpace(Pictured):
    """Categories x features of one language.

    Parameters
    ----------
    language
        ISO 639-1 code of the concepts.
    categories
        [n_categories] the categories, in the order of the concept-sets.
    latents
        [n_features] index of each feature in its code book (SAE latents; 0.. for dense directions).
    matrix
        [n_categories, n_features] standardised mean activations.
    kind
        What the features are: "sae", "dense" or "static".
    n_words
        [n_categories] concept words behind each row.
    missing
        Concept words that had no codes.
    dictionary
        Which autoencoder the latents are of (its content hash), where that is known.
    """

    language: str
    categories: tuple[str, ...]
    latents: NDArray[np.int64]
    matrix: Floats
    kind: str = "sae"
    n_words: tuple[int, ...] = ()
    missing: int = 0
    dictionary: str | None = None

    def n_shared(self, other: EmotionSpace) -> int | None:
        """Return how many latents both spaces hold, or None: no latents (dense, static), or of two autoencoders.

        Parameters
        ----------
        other
            A space of the same model, usually in another language.
        """
        if {self.kind, other.kind} != {"sae"} or self.dictionary != other.dictionary:
            return None
        return len(np.intersect1d(self.latents, other.latents))

    def rdm(self, *, centred: bool = True) -> Floats:
        """Return the dissimilarities [n_categories, n_categories] of the rows: 1 - Pearson r across features, 0..2.

        Rows are taken less their mean (`centred`): what all categories share, being emotion words at all, would
        make every pair alike. A category none of whose features is active has no place, before as after.

        Parameters
        ----------
        centred
            Whether the mean row is taken off first.
        """
        silent = ~self.matrix.any(axis=1, keepdims=True)
        rows = np.where(silent, 0, self.matrix - self.matrix.mean(axis=0)) if centred else self.matrix
        return dissimilarity(rows)

    def pca(self, n: int = 5) -> PCA:
        """Return the first principal components of the categories.

        Parameters
        ----------
        n
            How many; fewer where there are fewer features, or no more categories than that.
        """
        centred = self.matrix - self.matrix.mean(axis=0)
        left, size, right = np.linalg.svd(centred, full_matrices=False)
        n = min(n, len(self.categories) - 1, centred.shape[1])
        scores = left[:, :n] * size[:n]
        sign = np.sign(scores[np.abs(scores).argmax(axis=0), np.arange(n)])
        sign[sign == 0] = 1
        total = (size**2).sum()
        explained = size[:n] ** 2 / total if total > 0 else np.zeros(n)
        return PCA(scores * sign, explained, right[:n] * sign[:, None])

    def select(self, categories: Sequence[str]) -> EmotionSpace:
        """Return the space of some categories, in the order given.

        Parameters
        ----------
        categories
            Some of `categories`.

        Raises
        ------
        EmospaceError
            If a category is not in the space.
        """
        for name in categories:
            if name not in self.categories:
                raise unknown("category", name, self.categories)
        rows = [self.categories.index(name) for name in categories]
        n_words = tuple(self.n_words[row] for row in rows) if self.n_words else ()
        return replace(self, categories=tuple(categories), matrix=self.matrix[rows], n_words=n_words)

    def save(self, path: Path) -> None:
        """Write the space as one safetensors file with its card in the metadata.

        Parameters
        ----------
        path
            The file, with its ending.
        """
        card = {each.name: getattr(self, each.name) for each in fields(self)}
        tensors = {name: card.pop(name) for name in ("matrix", "latents")}
        write_tensors(path, tensors, {_CARD: json.dumps(card, ensure_ascii=False)})

    @classmethod
    def load(cls, path: Path) -> EmotionSpace:
        """Read a saved space.

        Parameters
        ----------
        path
            As given to `save`.

        Raises
        ------
        EmospaceError
            If the file is missing or is no emotion space.
        """
        tensors, card = read_tensors(path, _CARD, "emotion space")
        with read_as(path, "emotion space"):
            named = {"categories": tuple(card["categories"]), "n_words": tuple(card["n_words"])}
            return cls(**{**card, **named}, **tensors)


def dissimilarity(rows: ArrayLike) -> Floats:
    """Return 1 - Pearson r of all pairs of rows as a square matrix; a constant row has no r (NaN) with others.

    Parameters
    ----------
    rows
        [n, n_features].
    """
    points = _unit(np.asarray(rows, dtype=np.float64))
    result = 1 - np.clip(points @ points.T, -1, 1)
    np.fill_diagonal(result, 0)
    return np.asarray(result)


def _unit(points: Floats) -> Floats:
    """Return the rows about their mean and of length one, so that their products are Pearson's r."""
    points = points - points.mean(axis=1, keepdims=True)
    size = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(np.divide(points, size, out=np.full_like(points, np.nan), where=size > 1e-12))


def standardise(
    codes: Any,
    latents: ArrayLike | None = None,
    *,
    pool: Any = None,
    transform: Transform = "log1p",
    scale: Scale = "none",
    n_removed: int = 0,
) -> Floats:
    """Return the features of words: chosen latents, compressed, in units of their spread.

    Parameters
    ----------
    codes
        [n_words, n_latents] activations, dense or scipy sparse.
    latents
        [n_features] columns to keep (None: all).
    pool
        [n_pool, n_latents] codes of the matched neutral words, needed for `scale="pool"`.
    transform
        "log1p" compresses by log(1 + x), mirrored below zero; "raw" keeps activations.
    scale
        "none": activations as they are, in units of the residual stream (decoder rows have unit norm), so that
        a latent counts as much as it writes; "pool": (x - pool mean) / s, with s the root mean of the two groups' variances (the standardised
        difference of Austin, 2009), since a good emotion latent is silent on the pool and has no spread
        there; "categories" is for `build_space` and changes nothing here. A latent that never varies becomes
        zero.
    n_removed
        First principal components of the pool, standardised likewise, that are projected out (Mu & Viswanath, 2018,
        "All-but-the-top"): what words differ in most whatever they mean; needs `scale="pool"`.

    Returns
    -------
    [n_words, n_features] float64.
    """
    words = latent_values(codes, latents, log1p=transform == "log1p")
    if scale != "pool":
        return words
    if pool is None:
        raise InvalidInput(
            "the matched pool",
            "standardising against it needs its codes",
            "Give pool=, or choose scale='categories' or 'none'.",
        )
    neutral = latent_values(pool, latents, log1p=transform == "log1p")
    mean, spread = neutral.mean(axis=0), np.sqrt((words.var(axis=0) + neutral.var(axis=0)) / 2)

    def scaled(values: Floats) -> Floats:
        return np.asarray(np.divide(values - mean, spread, out=np.zeros_like(values), where=spread > 1e-9))

    standardised = scaled(words)
    if n_removed:
        _, _, components = np.linalg.svd(scaled(neutral), full_matrices=False)
        standardised -= standardised @ components[:n_removed].T @ components[:n_removed]
    return standardised


def kind_features(codes: Any, latents: ArrayLike | None, kind: str, pool: Any = None) -> Floats:
    """Return the features of words as their kind is compared, ``[n_words, n_features]``.

    SAE codes are compressed and otherwise as they are. In dense states and embeddings a few dimensions may hold most
    of the variance, so each is taken in units of its spread about the pool, less the pool's first `N_REMOVED`
    components; without a pool, in units of the words' own spread.

    Parameters
    ----------
    codes, latents, pool
        As `standardise` takes them.
    kind
        "sae", "dense" or "static".
    """
    if kind == "sae":
        return standardise(codes, latents)
    if pool is None:
        return standardise(codes, latents, pool=codes, transform="raw", scale="pool")
    return standardise(codes, latents, pool=pool, transform="raw", scale="pool", n_removed=N_REMOVED)


def build_space(
    codes: Any,
    words: Sequence[str],
    sets: ConceptSets,
    language: str,
    latents: ArrayLike | None = None,
    *,
    pool: Any = None,
    kind: str = "sae",
    transform: Transform | None = None,
    scale: Scale | None = None,
    dictionary: str | None = None,
) -> EmotionSpace:
    """Build the space: each category the weighted mean of its concepts' standardised features.

    Parameters
    ----------
    codes
        [n_words, n_latents] activations of `words`, dense or scipy sparse.
    words
        [n_words] distinct words; concepts not among them are counted in `missing`.
    sets
        Concept-sets that hold the language; their weights are those of the mean.
    language
        ISO 639-1 code such as ``en``, one of ``sets.languages``.
    latents
        [n_features] columns of `codes` to keep (None: all).
    pool
        [n_pool, n_latents] codes of the matched neutral words; None: dense features are in units of the words' spread.
    kind
        What `codes` are: "sae" (activations), "dense" (states of the residual stream) or "static" (embeddings).
    transform
        See `standardise`; None is "log1p" for SAE codes and "raw" otherwise.
    scale
        "none", "pool" (see `standardise`) or "categories" (z over the category rows); None takes the features of the
        kind (see `kind_features`), chosen on concepts alone (`docs/results/settings.json`).
    dictionary
        Which autoencoder the codes are of, such as its content hash; kept with the space.

    Raises
    ------
    EmospaceError
        If a category has no word with codes, or the pool is needed and missing.
    """
    if transform is None and scale is None:
        features = kind_features(codes, latents, kind, pool)
    else:
        compress = transform or ("log1p" if kind == "sae" else "raw")
        features = standardise(codes, latents, pool=pool, transform=compress, scale=scale or "none")
    members = _members(words, sets, language)
    rows = np.stack([weights @ features[index] / weights.sum() for index, weights in members.values()])
    if scale == "categories":
        spread = rows.std(axis=0)
        rows = np.divide(rows - rows.mean(axis=0), spread, out=np.zeros_like(rows), where=spread > 1e-9)
    chosen = np.arange(rows.shape[1]) if latents is None else np.asarray(latents)
    return EmotionSpace(
        language,
        tuple(members),
        chosen.astype(np.int64),
        rows,
        kind,
        tuple(len(index) for index, _ in members.values()),
        len(set(sets.words(language)) - set(words)),
        dictionary,
    )


def _members(
    words: Sequence[str], sets: ConceptSets, language: str
) -> dict[str, tuple[NDArray[np.intp], Floats]]:
    """Return category -> (rows of `words`, weights) for the concepts that have codes."""
    row = {word: index for index, word in enumerate(words)}
    members = {}
    for category in _categories(sets, language):
        concepts = sets.words(language, category)
        weights = np.asarray(sets.weights(language, category), dtype=np.float64)
        rows = [(row[word], weight) for word, weight in zip(concepts, weights, strict=True) if word in row]
        if not rows:
            raise InvalidInput(
                f"category '{category}' in {language}",
                f"none of its {len(concepts)} concept words is left to build its vector from",
                "Add concept words of its own to the set, or leave the category out.",
            )
        members[category] = (
            np.array([index for index, _ in rows], dtype=np.intp),
            np.array([weight for _, weight in rows], dtype=np.float64),
        )
    return members


def _categories(sets: ConceptSets, language: str) -> list[str]:
    """Return the categories that have a set in this language (other languages may have more)."""
    return [name for name in sets.categories if name in sets.labels[language]]


def overlap_rdm(sets: ConceptSets, language: str) -> Floats:
    """Return 1 - weighted Jaccard overlap of the concept-sets [n_categories, n_categories].

    Weights are normalised within a set, so that the overlap sum(min)/sum(max) is of shares; a control for RSA.
    """
    shares: list[Mapping[str, float]] = []
    for category in _categories(sets, language):
        weights = np.asarray(sets.weights(language, category), dtype=np.float64)
        shares.append(dict(zip(sets.words(language, category), weights / weights.sum(), strict=True)))
    n = len(shares)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            common = sum(
                min(shares[i][word], shares[j][word]) for word in shares[i].keys() & shares[j].keys()
            )
            result[i, j] = result[j, i] = 1 - common / (2 - common)
    return result


def disjoint_rdm(
    features: Floats,
    words: Sequence[str],
    sets: ConceptSets,
    language: str,
    *,
    silent: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the RDM in which each pair of categories is compared without the words both sets hold.

    Dropping the shared words pair by pair keeps far more of the sets than dropping every shared word
    everywhere, and still no word makes two categories alike by standing in both.

    Parameters
    ----------
    features
        [n_words, n_features] from `standardise`.
    silent
        [n_words] words that no feature is active in, where a centre was taken off since. A pair in which a category
        has no other words is missing (NaN): it has no place among the others.

    Raises
    ------
    EmospaceError
        If one set holds no word of its own against another.
    """
    members = _members(words, sets, language)
    names = list(members)
    weights = np.zeros((len(names), len(features)))
    for row, (index, given) in zip(weights, members.values(), strict=True):
        row[index] = given
    holds = weights > 0
    i, j = np.tril_indices(len(names), -1)
    pair = []
    active = np.ones(len(features)) if silent is None else 1.0 - silent
    placed = np.ones(len(i), dtype=bool)
    for first, second in ((i, j), (j, i)):
        exclusive = weights[first] * ~holds[second]
        total = exclusive.sum(axis=1, keepdims=True)
        if not total.all():
            empty = int(np.flatnonzero(total == 0)[0])
            name, against = names[first[empty]], names[second[empty]]
            raise InvalidInput(
                f"category '{name}' in {language}",
                f"each of its {len(members[name][0])} concept words is also in '{against}'",
                "Give it words of its own, or leave one of the two out.",
            )
        pair.append(exclusive @ features / total)
        placed &= exclusive @ active > 0
    result = np.zeros((len(names), len(names)))
    r = np.clip((_unit(pair[0]) * _unit(pair[1])).sum(axis=1), -1, 1)
    result[i, j] = result[j, i] = np.where(placed, 1 - r, np.nan)
    return result
