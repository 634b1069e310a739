"""`Reader`: a model, its autoencoder and the directions along which tokens are scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import read_as, read_tensors, write_tensors
from emospace.concepts import load_concepts
from emospace.errors import InvalidInput
from emospace.reading.fitting import PENALTIES, FittedReader, fit_ridge
from emospace.reading.scores import Reading, TokenScores
from emospace.reading.tokens import over_tokens, tokenise

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder

AFFECT = ("valence", "arousal")
N_FELT = 3
"""Words of each category, the most typical first, that say how far readings go."""


@dataclass(frozen=True, eq=False)
class ReaderWeights:
    """What turns the features of a token into scores; linear, so that a text can be read in one product.

    Attributes
    ----------
    categories
        Emotion categories.
    latents
        ``[n_features]`` latents of the emotion space, or None for dense states.
    directions
        ``[n_features, n_categories + n_affect]``: the category's row of the emotion space less the mean row, over
        each feature's standard deviation among words, and the ridge weights of valence and arousal (on -1..1) fitted on the words of human norms.
    centre, scale
        ``[n_categories + n_affect]``: mean of the projections over tokens of neutral reference text, and their
        standard deviation (1 for valence and arousal).
    text_centre, text_scale
        ``[n_categories]``: the same of the pooled category scores over reference texts.
    layer
        The layer whose states are read.
    affect
        Which of valence and arousal there are.
    card
        Concept-set and norms hashes, reference, seed and so on.
    """

    categories: tuple[str, ...]
    latents: np.ndarray | None
    directions: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    text_centre: np.ndarray
    text_scale: np.ndarray
    layer: int
    affect: tuple[str, ...] = AFFECT
    card: Mapping[str, Any] = field(default_factory=dict)

    def token_scores(self, features: np.ndarray) -> np.ndarray:
        """Return the scores of tokens: ``[n_tokens, n_features]`` to ``[n_tokens, n_categories + n_affect]``."""
        return np.asarray((features @ self.directions - self.centre) / self.scale, dtype=np.float32)

    def text_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Return the scores of a text from those of its tokens, ``[n_categories + n_affect]``."""
        pooled = pool_tokens(tokens, len(self.categories))
        n = len(self.categories)
        pooled[:n] = (pooled[:n] - self.text_centre) / self.text_scale
        return pooled

    def save(self, path: Path) -> None:
        """Write the weights as one safetensors file with its card in the metadata."""
        card = {
            "categories": self.categories,
            "layer": self.layer,
            "affect": self.affect,
            "card": dict(self.card),
        }
        names = ("directions", "centre", "scale", "text_centre", "text_scale")
        tensors = {name: np.asarray(getattr(self, name), dtype=np.float32) for name in names}
        if self.latents is not None:
            tensors["latents"] = self.latents.astype(np.int64)
        write_tensors(path, tensors, {"reader": json.dumps(card, ensure_ascii=False, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> ReaderWeights:
        """Read saved weights.

        Raises
        ------
        EmospaceError
            If the file is missing or holds no reader.
        """
        tensors, card = read_tensors(path, "reader", "reader")
        with read_as(path, "reader"):
            named = {"categories": tuple(card["categories"]), "affect": tuple(card["affect"])}
            return cls(latents=tensors.pop("latents", None), **tensors, **{**card, **named})


def pool_tokens(tokens: np.ndarray, n_categories: int) -> np.ndarray:
    """Return the pooled scores of one text: ``[n_tokens, n_categories + n_affect]`` to one value a column.

    Categories: the log of the mean exponential of the tokens' z, a soft maximum, since a few words carry an
    emotion and the others are silent. Valence and arousal: the mean.
    """
    z = tokens[:, :n_categories].astype(np.float64)
    highest = z.max(axis=0)
    soft = highest + np.log(np.exp(z - highest).mean(axis=0))
    return np.concatenate([soft, tokens[:, n_categories:].mean(axis=0, dtype=np.float64)])


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads texts with one model; made once, it reads any number of texts.

    No labelled text went into it. A token's score of a category is the projection of its emotion features on the
    category's vector in the emotion space, in standard deviations over neutral reference text; its valence and
    arousal are those a ridge fitted on human *word* norms gives for the same features.

    Attributes
    ----------
    model
        The model that reads.
    sae
        Its autoencoder, or None where dense states are read.
    weights
        Directions, units and the layer that is read, from `build_reader`.
    language
        ISO 639-1 code of the concepts and norms.
    """

    model: LanguageModel
    sae: SparseAutoencoder | None
    weights: ReaderWeights
    language: str = "en"

    @property
    def categories(self) -> tuple[str, ...]:
        """The emotion categories that are scored."""
        return self.weights.categories

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Category, valence, arousal -> lowest and highest reading of `N_FELT` words of each category where they are felt."""
        sets = load_concepts([self.language])
        carrier = sets.feeling_carriers.get(self.language, sets.carriers[self.language])[0]
        words = [word for name in sets.categories for word in sets.words(self.language, name)[:N_FELT]]
        reading = self.read([carrier.format(word=word) for word in dict.fromkeys(words)])
        columns = dict(zip(self.categories, reading.scores.T, strict=True))
        columns |= {name: getattr(reading, name) for name in self.weights.affect}
        return {name: (float(column.min()), float(column.max())) for name, column in columns.items()}

    def features(self, states: np.ndarray) -> np.ndarray:
        """Return the emotion features of states, ``[n, d_model]`` to ``[n, n_features]``.

        Parameters
        ----------
        states
            Raw states of the residual stream after ``weights.layer`` blocks.
        """
        return token_features(states, self.sae, self.weights.latents)

    def read(self, texts: Sequence[str], *, autocast: bool = False) -> Reading:
        """Return the scores of texts and of their tokens (see `Reading`).

        Parameters
        ----------
        texts
            A list of texts of any length, none empty; long ones are read in windows.
        autocast
            Whether to run in bfloat16 where that is faster: about 1% error, and the last digits depend on the batch.

        Raises
        ------
        EmospaceError
            If `texts` is one string, is empty, or holds a text without tokens.
        """
        check_texts(texts)
        tokens = tokenise(self.model, texts)
        scored = over_tokens(
            self.model,
            tokens,
            self.weights.layer,
            lambda states: self.weights.token_scores(self.features(states)),
            autocast=autocast,
        )
        pooled = np.stack([self.weights.text_scores(tokens) for tokens in scored])
        n = len(self.categories)

        def affect(values: np.ndarray, name: str) -> np.ndarray:
            if name not in self.weights.affect:
                return np.full(len(values), np.nan)
            return np.asarray(values[:, n + self.weights.affect.index(name)])

        return Reading(
            texts=tuple(texts),
            categories=self.categories,
            scores=pooled[:, :n],
            valence=affect(pooled, "valence"),
            arousal=affect(pooled, "arousal"),
            tokens=tuple(
                TokenScores(
                    tuple(text[low:high] for low, high in split.offsets),
                    split.offsets,
                    scores[:, :n],
                    affect(scores, "valence"),
                    affect(scores, "arousal"),
                )
                for text, split, scores in zip(texts, tokens, scored, strict=True)
            ),
            model=str(self.model.identity.get("name") or self.model.name),
            language=self.language,
        )

    def pooled_features(self, texts: Sequence[str], *, autocast: bool = False) -> np.ndarray:
        """Return the mean emotion features of texts, ``[n_texts, n_features]``; raises as `read` does.

        Parameters
        ----------
        texts, autocast
            As in `read`.
        """
        check_texts(texts)
        tokens = tokenise(self.model, texts)
        features = over_tokens(self.model, tokens, self.weights.layer, self.features, autocast=autocast)
        return np.stack([tokens.mean(axis=0) for tokens in features])

    def fit(
        self,
        texts: Sequence[str],
        values: np.ndarray,
        targets: Sequence[str],
        *,
        penalties: Sequence[float] = PENALTIES,
        seed: int = 0,
    ) -> FittedReader:
        """Return a reader trained on labelled texts: ridge on the mean emotion features.

        Parameters
        ----------
        texts
            As in `read`; ten or more.
        values
            ``[n_texts, n_targets]`` ratings, or 0 and 1 for categories.
        targets
            ``[n_targets]`` names.
        penalties
            Grid of penalties; each target's is chosen by five-fold cross-validation, a single one is taken as it is.
        seed
            Decides these folds.

        Raises
        ------
        EmospaceError
            If values do not fit texts and targets, or there are too few texts.
        """
        given = np.asarray(values, dtype=np.float64).reshape(len(texts), -1)
        if given.shape[1] != len(targets):
            raise InvalidInput(
                f"values of shape {np.shape(values)}",
                f"there are {len(texts)} texts and {len(targets)} targets",
                "Give one row a text and one column a target.",
            )
        ridge = fit_ridge(self.pooled_features(texts), given, penalties=penalties, seed=seed)
        return FittedReader(self, tuple(targets), ridge)


def token_features(
    states: np.ndarray, sae: SparseAutoencoder | None, latents: np.ndarray | None
) -> np.ndarray:
    """Return ``log(1 + activation)`` of the latents (all for None), or the states themselves without an SAE."""
    if sae is None:
        return np.asarray(states, dtype=np.float32)
    codes = sae.encode(states)
    chosen = codes if latents is None else codes.tocsc()[:, latents]
    return np.asarray(chosen.log1p().toarray(), dtype=np.float32)


def check_texts(texts: Sequence[str]) -> None:
    """Raise where texts are no list of at least one text."""
    if isinstance(texts, str):
        raise InvalidInput(
            f"text {texts[:40]!r}", "a list of texts is expected, and this is one string", "Write [text]."
        )
    if not len(texts):
        raise InvalidInput("texts", "the list is empty", "Give at least one text.")
