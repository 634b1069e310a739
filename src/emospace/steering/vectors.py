"""Make steering vectors of concept-sets: what concepts add to the residual stream where they are felt.

A category's vector is the mean state of its concepts in feeling carriers ("I feel {word}"), core concepts first,
less the mean state of neutral words in neutral carriers, less a part (`Recipe.contrast`) of what all categories
share. At the block of a sparse autoencoder the same difference is taken between codes, kept for the category's
features alone and decoded; at other blocks it is dense. Source ``features`` takes no states at all: the decoder
directions of the category's features, weighted by how well each tells its concepts from neutral words.

The residual stream of many models is mostly one constant direction and a few outlier dimensions, the same in every
text; a difference of means points along them by chance, and a push along them changes the text and not its tone.
`Recipe.cleaned` takes these common directions out of every vector, and counts the dose at each layer in what is left
of the residual stream without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from emospace.activations.capture import not_finite, token_figures
from emospace.errors import InvalidInput, unknown
from emospace.features import encode_words
from emospace.specs import VectorSource
from emospace.steering.vector import Kind, SteeringVector

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from emospace.concepts import ConceptSets
    from emospace.features import FeatureDictionary
    from emospace.models import LanguageModel
    from emospace.sae import SparseAutoencoder

COMMON_SHARE = 0.05
"""Share of the variance of running text from which on a principal component is common to all text."""

DEPTHS = (1 / 3, 0.47, 0.6)
"""Relative depths of the default layers; the SAE's block takes the place of the nearest."""

FEWEST_RATED = 4
"""Rated categories that axes take."""


class Recipe(BaseModel):
    """How vectors are made of concept states.

    Attributes
    ----------
    source
        ``features`` (features weighted by their effect, at the SAE's block), ``sae`` (features weighted by what felt
        concepts add, there too), ``dense`` (no SAE) or ``mix`` (``sae`` at its block, dense elsewhere).
    contrast
        Part (0 to 1) of the mean over categories that is taken out: what all emotions share.
    power
        Power of the concepts' weights, so that "furious" counts for more than "insult"; 0 weighs all alike.
    cleaned
        Whether the directions common to all running text are taken out; off by default, as in vectors made before there
        was a choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: VectorSource = "mix"
    contrast: float = Field(default=0.5, ge=0, le=1)
    power: float = Field(default=4.0, ge=0)
    cleaned: bool = False


class TextStates(NamedTuple):
    """What states of running text have in common at a layer, first positions left out.

    Attributes
    ----------
    median
        Median norm of a state.
    common
        ``[d_model, n]``, orthonormal: the mean state, and the principal components that each hold at least
        `COMMON_SHARE` of the variance around it.
    rest
        Root mean square norm of a state without its part along `common`.
    """

    median: float
    common: np.ndarray
    rest: float


@dataclass(frozen=True, eq=False)
class ConceptStates:
    """States of a language's concepts where they are felt, and of neutral words.

    Attributes
    ----------
    words
        The concepts.
    layers
        Layers of the states, ascending.
    felt
        float32 ``[n_words, n_layers, d_model]``, mean over feeling carriers.
    neutral
        float32 ``[n_layers, d_model]``, mean over pool words and neutral carriers.
    felt_codes, neutral_code
        ``[n_words, n_latents]`` and ``[n_latents]`` at the SAE's layer; None without an SAE.
    texts
        Layer -> what states of running text have in common there.
    """

    model: str
    model_hash: str
    language: str
    words: tuple[str, ...]
    layers: tuple[int, ...]
    felt: np.ndarray
    neutral: np.ndarray
    felt_codes: csr_matrix | None
    neutral_code: np.ndarray | None
    texts: Mapping[int, TextStates]

    @property
    def medians(self) -> dict[int, float]:
        """Layer -> median norm of the residual stream over running text."""
        return {layer: text.median for layer, text in self.texts.items()}


def default_layers(model: LanguageModel, sae: SparseAutoencoder | None) -> tuple[int, ...]:
    """Return the blocks that are steered unless others are named."""
    layers = [min(max(round(depth * model.n_blocks), 1), model.n_blocks) for depth in DEPTHS]
    if sae is not None:
        nearest = min(range(len(layers)), key=lambda place: abs(layers[place] - sae.layer))
        layers[nearest] = sae.layer
    return tuple(sorted(set(layers)))


def concept_states(
    model: LanguageModel,
    sets: ConceptSets,
    language: str,
    neutral: Sequence[str],
    texts: Sequence[str],
    *,
    layers: Sequence[int],
    sae: SparseAutoencoder | None = None,
    n_carriers: int = 2,
    store: Path | None = None,
) -> ConceptStates:
    """Run concepts through their feeling carriers and neutral words through neutral ones.

    Parameters
    ----------
    model
        A loaded model, from `load_model` or `wrap_model`.
    sets
        Concept-sets that hold the language: its words and both kinds of carriers.
    language
        ISO 639-1 code such as ``en``, one of ``sets.languages``.
    neutral
        Words without emotion, such as those of `neutral_pool`.
    texts
        Running text, as it is given to the model, in which norms and common directions are measured.
    layers
        Layers to capture, 0 to ``model.n_blocks``: the residual stream after so many blocks; layer `l` is SAELens'
        ``blocks.{l-1}.hook_resid_post``. The SAE's layer is added.
    sae
        Encodes the states of its layer, for vectors of source ``mix``, ``sae`` or ``features``; None leaves codes out.
    n_carriers
        Neutral carriers to average over, the first of the language; all feeling carriers are taken.
    store
        As in `extract_words`.

    Raises
    ------
    EmospaceError
        If the language has no concept-sets.
    """
    words = sets.words(language)
    if not words:
        raise unknown("language of the concept-sets", language, sets.languages)
    layers = tuple(sorted({*layers, *([sae.layer] if sae is not None else [])}))
    felt_in = sets.feeling_carriers.get(language, sets.carriers[language])
    felt, codes = encode_words(
        model, sae, words, felt_in, layers, store=store, title="Concepts where they are felt"
    )
    carriers = sets.carriers[language][:n_carriers]
    plain = np.zeros((len(layers), model.d_model), dtype=np.float32)
    code = None if sae is None else np.zeros(sae.n_latents, dtype=np.float32)
    # Means over words are taken in each carrier: the order of sums is that of vectors already calibrated.
    for carrier in carriers:
        states, here = encode_words(
            model, sae, neutral, [carrier], layers, store=store, title="Neutral words"
        )
        plain += states.mean(0) / len(carriers)
        if code is not None and here is not None:
            code += here.mean(0).A1 / len(carriers)
    return ConceptStates(
        model=model.name,
        model_hash=model.weights_hash,
        language=language,
        words=tuple(words),
        layers=layers,
        felt=felt,
        neutral=plain,
        felt_codes=codes,
        neutral_code=code,
        texts=text_states(model, texts, layers),
    )


def text_states(model: LanguageModel, texts: Sequence[str], layers: Sequence[int]) -> dict[int, TextStates]:
    """Return layer -> norms and common directions of the residual stream over texts, first positions left out.

    Raises
    ------
    EmospaceError
        If a state is not finite.
    """
    rows = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    rows = [row if len(row) > 1 else [*model.start_ids(), *row] for row in rows]
    states = token_figures(model, rows, layers, lambda hidden: hidden)
    for layer, parts in states.items():
        for row, part in zip(rows, parts, strict=True):
            if not np.isfinite(part[1:]).all():
                raise not_finite(model, layer, row)
    return {
        layer: common_directions(np.concatenate([part[1:] for part in parts]))
        for layer, parts in states.items()
    }


def common_directions(states: np.ndarray) -> TextStates:
    """Return what states ``[n_tokens, d_model]`` of running text have in common."""
    median = float(np.median(np.linalg.norm(states, axis=1)))
    mean = states.mean(0, dtype=np.float64)
    centred = states - mean
    _, sizes, components = np.linalg.svd(centred, full_matrices=False)
    variance = sizes**2
    large = variance >= COMMON_SHARE * max(variance.sum(), np.finfo(float).tiny)
    common = np.linalg.qr(np.vstack([mean, components[large]]).T)[0]
    rest = centred - centred @ common @ common.T
    return TextStates(median, common, float(np.sqrt((rest**2).sum(1).mean())))


def category_vectors(
    states: ConceptStates,
    sets: ConceptSets,
    recipe: Recipe | None = None,
    *,
    sae: SparseAutoencoder | None = None,
    features: FeatureDictionary | None = None,
    layers: Sequence[int] | None = None,
) -> dict[str, SteeringVector]:
    """Return a vector for each category that has concepts (and features, where an SAE takes part).

    Parameters
    ----------
    states
        What `concept_states` returned.
    sets
        The concept-sets they were made with; a category's weights decide how much each of its concepts counts.
    recipe
        How they are made; None takes the defaults of `Recipe`.
    sae
        The autoencoder of the states' codes; needed for any source but ``dense``.
    features
        The categories' features in it, from `select_features`; needed where the SAE is.
    layers
        Where they act (the residual stream after so many blocks); all layers of the states unless named. The SAE takes
        part where its layer is among them.

    Raises
    ------
    EmospaceError
        If the recipe asks for an SAE and there is none.
    """
    recipe = recipe or Recipe()
    if recipe.source != "dense" and (sae is None or features is None or states.felt_codes is None):
        raise InvalidInput(
            f"vectors of source {recipe.source!r}",
            "the model has no sparse autoencoder",
            "Give one (--sae), or make dense vectors.",
        )
    names = [name for name in sets.categories if sets.words(states.language, name)]
    means = _means(states, sets, names, recipe)
    directions: dict[str, dict[int, np.ndarray]] = {name: {} for name in names}
    for layer in layers or states.layers:
        if sae is not None and layer == sae.layer and recipe.source != "dense":
            rows = _decoded(states, sets, names, recipe, sae, features)
        elif recipe.source in ("mix", "dense"):
            rows = dict(zip(names, means[:, states.layers.index(layer)], strict=True))
        else:
            continue
        for name, row in rows.items():
            directions[name][layer] = _cleaned(row, states.texts[layer]) if recipe.cleaned else row
    kind: Kind = "sae" if recipe.source == "features" else recipe.source
    return {
        name: SteeringVector(
            name=name,
            kind=kind,
            directions=by_layer,
            medians=states.medians,
            shares=_shares(states, by_layer, recipe),
            model=states.model,
            model_hash=states.model_hash,
            note={
                "recipe": recipe.model_dump(),
                "language": states.language,
                "concepts": sets.content_hash,
                "sae_layer": sae.layer if sae is not None and recipe.source != "dense" else None,
            },
        )
        for name, by_layer in directions.items()
        if by_layer
    }


def affect_axes(
    states: ConceptStates, sets: ConceptSets, ratings: Mapping[str, tuple[float, float]], recipe: Recipe
) -> dict[str, SteeringVector]:
    """Return the axes ``valence`` and ``arousal``: what a unit of each adds to a category's state.

    The states of the rated categories are regressed on both ratings (-1..1) at once, so that either axis holds the
    other constant; any point of the circumplex is a weighted sum of the two.

    Raises
    ------
    EmospaceError
        For fewer than four rated categories.
    """
    names = [name for name in sets.categories if name in ratings and sets.words(states.language, name)]
    if len(names) < FEWEST_RATED:
        raise InvalidInput(
            f"axes from {len(names)} rated categories",
            f"valence and arousal take at least {FEWEST_RATED}",
            "Give word norms that rate the categories' labels or concepts.",
        )
    plain = recipe.model_copy(update={"contrast": 0.0})
    means = _means(states, sets, names, plain)
    design = np.column_stack([np.ones(len(names)), np.array([ratings[name] for name in names])])
    axes = {}
    for number, name in ((1, "valence"), (2, "arousal")):
        directions, lengths = {}, {}
        for place, layer in enumerate(states.layers):
            slope = np.linalg.lstsq(design, means[:, place], rcond=None)[0][number]
            directions[layer] = _cleaned(slope, states.texts[layer]) if recipe.cleaned else slope
            lengths[layer] = float(np.linalg.norm(directions[layer]) / states.medians[layer])
        axes[name] = SteeringVector(
            name=name,
            kind="axis",
            directions=directions,
            medians=states.medians,
            shares=_shares(states, directions, recipe),
            model=states.model,
            model_hash=states.model_hash,
            note={"n_categories": len(names), "language": states.language, "relative_length": lengths},
        )
    return axes


def _cleaned(row: np.ndarray, text: TextStates) -> np.ndarray:
    """Return a direction without its part along what running text has in common."""
    return np.asarray(row - text.common @ (text.common.T @ row))


def _shares(states: ConceptStates, layers: Iterable[int], recipe: Recipe) -> dict[int, float]:
    """Return layer -> share of the dose: alike for all, in units of the norm or, cleaned, of what is left of it."""
    layers = list(layers)
    sizes = {layer: states.texts[layer].rest / states.texts[layer].median for layer in layers}
    return {layer: (sizes[layer] if recipe.cleaned else 1.0) / len(layers) for layer in layers}


def _means(states: ConceptStates, sets: ConceptSets, names: Sequence[str], recipe: Recipe) -> np.ndarray:
    """Return ``[n_categories, n_layers, d_model]``: concepts less neutral words less the shared part."""
    flat = states.felt.reshape(len(states.words), -1)
    means = _weights(states, sets, names, recipe) @ flat - states.neutral.reshape(-1)
    means = means - recipe.contrast * means.mean(0)
    return np.asarray(means.reshape(len(names), *states.felt.shape[1:]))


def _decoded(
    states: ConceptStates,
    sets: ConceptSets,
    names: Sequence[str],
    recipe: Recipe,
    sae: SparseAutoencoder,
    features: FeatureDictionary | None,
) -> dict[str, np.ndarray]:
    """Return category -> the decoded part of its codes' difference that lies in its own features."""
    assert features is not None
    assert states.felt_codes is not None
    decoder = sae.w_dec.float().cpu().numpy()
    if recipe.source == "features":
        table = features.table[features.table["category"].isin(names)]
        return {
            str(name): rows["weight"].to_numpy() @ decoder[rows["latent"].to_numpy()]
            for name, rows in table.groupby("category", sort=False)
        }
    codes = np.asarray(_weights(states, sets, names, recipe) @ states.felt_codes) - states.neutral_code
    codes = codes - recipe.contrast * codes.mean(0)
    rows = {}
    for name, row in zip(names, codes, strict=True):
        latents = features.for_category(name) if name in features.categories else np.empty(0, dtype=np.int64)
        weights = np.maximum(row[latents], 0)
        if weights.any():
            rows[name] = weights @ decoder[latents]
    return rows


def _weights(states: ConceptStates, sets: ConceptSets, names: Sequence[str], recipe: Recipe) -> np.ndarray:
    """Return ``[n_categories, n_words]``, rows summing to 1."""
    row_of = {word: index for index, word in enumerate(states.words)}
    weights = np.zeros((len(names), len(states.words)))
    for place, name in enumerate(names):
        rows = [row_of[word] for word in sets.words(states.language, name)]
        weights[place, rows] = sets.weights(states.language, name) ** recipe.power
    return np.asarray(weights / weights.sum(1, keepdims=True))
