"""What steering vectors are made of: concepts, neutral words, features, and shuffled sets in the concepts' place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emospace.artefacts import cache_dir
from emospace.concepts import ConceptSets, load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation.prompts import load_prompts, prompt_kind
from emospace.features import (
    FeatureDictionary,
    MatchedPool,
    encode_words,
    neutral_pool,
    select_features,
    shuffled_sets,
)
from emospace.norms import norms_for
from emospace.sae import SparseAutoencoder, sae_for
from emospace.specs import CalibrationSpec, Mode
from emospace.steering.bank import VectorBank
from emospace.steering.vector import SteeringVector
from emospace.steering.vectors import (
    ConceptStates,
    Recipe,
    category_vectors,
    concept_states,
    default_layers,
)
from emospace.structure import category_ratings

if TYPE_CHECKING:
    from emospace.models import LanguageModel

STORE = "activations"
"""Where in the cache the states of words lie."""


class Materials(NamedTuple):
    """What vectors are made of, once for a model and language."""

    sets: ConceptSets
    states: ConceptStates
    sae: SparseAutoencoder | None
    features: FeatureDictionary | None
    layers: tuple[int, ...]
    positions: dict[str, tuple[float, float]]
    pool: MatchedPool
    texts: tuple[str, ...]


def materials(model: LanguageModel, spec: CalibrationSpec) -> Materials:
    """Run what vectors are made of: concepts, neutral words, features, people's ratings of the categories."""
    sets = load_concepts([spec.language], path=spec.concepts)
    sae = sae_for(model, spec.sae)
    layers = spec.layers or default_layers(model, sae)
    if spec.source in ("sae", "features") and sae is not None:
        layers = (sae.layer,)
    pool = neutral_pool(model, sets, spec.language, spec.seed)
    kind = prompt_kind(model, spec.prompts)
    prompts = load_prompts(spec.language, "calibration", spec.prompts, kind)
    texts = [model.render_chat(prompt) for prompt in prompts]
    states = kept_states(model, sets, spec.language, pool, texts, layers, sae)
    features = None
    if sae is not None and spec.source != "dense":
        features = features_of(model, sae, sets, spec.language, pool, spec.seed)
    positions: dict[str, tuple[float, float]] = {}
    norms = norms_for(spec.language, spec.norms)
    if norms is not None:
        ratings = category_ratings(sets, norms, spec.language)
        if {"valence", "arousal"} <= set(ratings.targets):
            rated = ratings.table.dropna(subset=["valence", "arousal"])
            values = rated[["valence", "arousal"]].to_numpy(dtype=float).tolist()
            positions = {str(name): (v, a) for name, (v, a) in zip(rated["category"], values, strict=True)}
    return Materials(sets, states, sae, features, layers, positions, pool, tuple(texts))


def kept_states(
    model: LanguageModel,
    sets: ConceptSets,
    language: str,
    pool: MatchedPool,
    texts: Sequence[str],
    layers: Sequence[int],
    sae: SparseAutoencoder | None,
) -> ConceptStates:
    """Return the states of a language's concepts and of neutral words, those of words kept in the cache."""
    store = cache_dir() / STORE
    return concept_states(model, sets, language, pool.words, texts, layers=layers, sae=sae, store=store)


def features_of(
    model: LanguageModel,
    sae: SparseAutoencoder,
    sets: ConceptSets,
    language: str,
    pool: MatchedPool,
    seed: int,
    **settings: Any,
) -> FeatureDictionary:
    """Return the features of each category, from concepts and pool words in the first neutral carrier.

    `settings` are those of `select_features`.
    """
    words = list(dict.fromkeys([*sets.words(language), *pool.words]))
    carriers, store = sets.carriers[language][:1], cache_dir() / STORE
    _, codes = encode_words(model, sae, words, carriers, [sae.layer], store=store, title="Neutral carrier")
    assert codes is not None
    return select_features(codes, words, sets, language, pool, seed=seed, **settings)


def shuffled_banks(
    model: LanguageModel, bank: VectorBank, n: int, *, mode: Mode = "relative", seed: int = 0
) -> list[VectorBank]:
    """Return banks whose vectors are made of neutral words just as the bank's are of concepts.

    Each concept gives way to a neutral word in all its sets. No test is asked of features, since none would pass:
    each set takes those that tell it best from the neutral words left, of all sets as many as the concepts have.
    Vectors act like the bank's own (operation, window), have no calibrated dose, and are missing for an emotion for
    which nothing is selected.

    Raises
    ------
    EmospaceError
        If the bank does not say how it was made.
    """
    if n == 0:
        return []
    if "spec" not in bank.note:
        raise EmospaceError(
            "shuffled concept-sets", "the vectors do not say how they were made", "Calibrate them again."
        )
    stored = {name: value for name, value in bank.note["spec"].items() if name != "concepts"}
    concepts = bank.note["spec"].get("concepts")
    spec = CalibrationSpec(**stored, concepts=Path(concepts) if concepts else None)
    made = materials(model, spec)
    banks = []
    for draw in range(n):
        sets, left = shuffled_sets(made.sets, spec.language, made.pool, seed + draw)
        features = None
        if made.sae is not None and made.features is not None:
            most = len(made.features.latents)
            features = features_of(
                model, made.sae, sets, spec.language, left, seed, q=1.0, max_features=most, n_permutations=0
            )
        states = kept_states(model, sets, spec.language, left, made.texts, made.layers, made.sae)
        vectors: dict[tuple[str, Mode], SteeringVector] = {}
        for name in bank.names:
            vector = bank.vector(name, mode)
            recipe = Recipe(**vector.note["recipe"])
            drawn = category_vectors(
                states, sets, recipe, sae=made.sae, features=features, layers=made.layers
            ).get(name)
            if drawn is not None:
                vectors[name, mode] = replace(
                    drawn,
                    kind="shuffled",
                    mode=vector.mode,
                    op=vector.op,
                    scope=vector.scope,
                    window=vector.window,
                    guidance=vector.guidance,
                )
        banks.append(VectorBank(vectors, note={"seed": seed + draw}))
    return banks
