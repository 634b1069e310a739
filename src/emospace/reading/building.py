"""How a reader is made: concept words and normed words through the model, then reference text for the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import cache_dir, content_hash
from emospace.display import say
from emospace.errors import InvalidInput
from emospace.features import encode_words, neutral_pool, select_features, usable
from emospace.reading.fitting import fit_ridge
from emospace.reading.reader import AFFECT, Reader, ReaderWeights, pool_tokens, token_features
from emospace.reading.tokens import over_tokens, tokenise

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
    from emospace.reading.scores import Reading
    from emospace.sae import SparseAutoencoder

_BUNDLED = Path(__file__).parent.parent / "data" / "reading"
N_CARRIERS = 3
WORD_PENALTY = 1.0
"""Penalty of valence and arousal on words: of .01 to 10 the best on EmoBank's train split, by little."""

FORMAT = 1
"""Raised when the same inputs give another reader, so that kept ones are not taken for it."""

_REFERENCE_WORDS, _REFERENCE_TEXTS = 12, 300


def read_emotions(
    texts: Sequence[str],
    model: str | LanguageModel = "embedded",
    *,
    language: str = "en",
    categories: Sequence[str] | None = None,
    sae: str = "auto",
    concepts: Path | None = None,
) -> Reading:
    """Return category scores, valence and arousal of texts and of their tokens.

    For many calls make one reader with `load_reader` and use its `read`.

    Parameters
    ----------
    texts
        A list of texts of any length, none empty; long ones are read in windows.
    model
        As `load_model` takes it, or a loaded model.
    language
        ISO 639-1 code such as ``en``, of the texts. Its concept-sets, which have to exist (`load_concepts`), make the
        scores, its default norms valence and arousal; without norms these are NaN.
    categories
        Those wanted, in that order; None: all.
    sae
        ``auto`` (the shipped one, else none), ``none``, a SAELens folder or ``release:id``.
    concepts
        A TOML file or a folder of concept-sets of your own; None takes the bundled ones.

    Raises
    ------
    EmospaceError
        If a text has no tokens, or a name is unknown.
    """
    from emospace.reading.reader import check_texts

    check_texts(texts)
    reading = load_reader(model, language=language, sae=sae, concepts=concepts).read(texts)
    return reading if categories is None else reading.select(categories)


def load_reader(
    model: str | LanguageModel = "embedded",
    *,
    language: str = "en",
    sae: str = "auto",
    concepts: Path | None = None,
    revision: str | None = None,
) -> Reader:
    """Return a model's reader: the shipped one, else that of the cache, else one made now (minutes) and kept.

    Parameters
    ----------
    model, language, sae, concepts
        As in `read_emotions`.
    revision
        Commit, tag or branch of a model given by its hub id; None takes its main branch.

    Raises
    ------
    EmospaceError
        If a name is unknown, or the model or the autoencoder cannot be loaded.
    """
    from emospace.concepts import load_concepts
    from emospace.models import load_model
    from emospace.norms import norms_for
    from emospace.sae import automatic_sae, bundled_sae, sae_for

    sets = load_concepts([language], path=concepts)
    loaded = load_model(model, revision=revision) if isinstance(model, str) else model
    encoder = sae_for(loaded, sae)
    norms = norms_for(language)
    norms = norms and norms.without_senses()
    inputs = _inputs(loaded, encoder, sets, norms, language)
    shipped = _BUNDLED / f"{bundled_sae(loaded)}-{language}.safetensors"
    if shipped.is_file():
        weights = ReaderWeights.load(shipped)
        if weights.card.get("inputs") == inputs:
            return Reader(loaded, encoder, weights, language)
    kept = cache_dir() / "readers" / f"{content_hash(FORMAT, inputs, dict(loaded.identity))}.safetensors"
    if kept.is_file():
        return Reader(loaded, encoder, ReaderWeights.load(kept), language)
    if encoder is None:
        say(automatic_sae(loaded) if sae == "auto" else "Reading with dense directions.")
    say(f"Making the reader of '{loaded.name}' once: its concept and normed words are run through it.")
    reader = build_reader(loaded, encoder, sets, language, norms, store=cache_dir() / "activations")
    reader.weights.save(kept)
    return reader


def build_reader(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    sets: ConceptSets,
    language: str,
    norms: WordNorms | None = None,
    *,
    reference: Sequence[str] | None = None,
    layer: int | None = None,
    store: Path | None = None,
    seed: int = 0,
) -> Reader:
    """Make a reader from concept-sets and word norms.

    Parameters
    ----------
    model
        A loaded model, from `load_model` or `wrap_model`.
    sae
        The autoencoder whose latents are the features; None takes dense states.
    sets
        Concept-sets that have the language.
    language
        ISO 639-1 code such as ``en``; it needs a frequency table (`frequency_table`) for the neutral words.
    norms
        Rated words for valence and arousal; None leaves these out.
    reference
        Neutral texts that give scores their unit; None: lists of words from the neutral pool, drawn by `seed`.
    layer
        Layer of dense directions: the residual stream after `layer` blocks (SAELens'
        ``blocks.{layer-1}.hook_resid_post``). None: two thirds of the depth. With an SAE it is the SAE's, and no other may be named.
    store
        As in `extract_words`.
    seed
        Decides the neutral words, and the lists of them that stand in for `reference`.

    Raises
    ------
    InvalidInput
        If `layer` is another one than the SAE reads.
    EmospaceError
        If the language lacks concept-sets or a frequency table, or no latent is a feature of it.
    """
    from emospace.space import build_space

    if sae is not None and layer not in (None, sae.layer):
        raise InvalidInput(
            f"layer {layer}",
            f"the SAE reads layer {sae.layer}",
            "Leave it out, or give sae=None or an SAE of that layer.",
        )
    at = sae.layer if sae else round(model.n_blocks * 2 / 3) if layer is None else layer
    inputs = _inputs(model, sae, sets, norms, language)
    kept = usable(model, sets.table["word"].tolist())
    sets = replace(sets, table=sets.table[kept].reset_index(drop=True)).select([language])
    pool = neutral_pool(model, sets, language, seed)
    rated = _rated(model, norms)
    words = list(dict.fromkeys([*sets.words(language), *pool.words, *rated]))
    layers, codes = encode_words(model, sae, words, sets.carriers[language][:N_CARRIERS], [at], store=store)
    states = layers[:, 0]
    latents = None
    if codes is not None:
        chosen = select_features(codes, words, sets, language, pool, n_permutations=0, seed=seed)
        latents = chosen.latents
    row = {word: index for index, word in enumerate(words)}
    concepts = list(sets.words(language))
    values: Any = states if codes is None else codes
    space = build_space(
        values[[row[word] for word in concepts]],
        concepts,
        sets,
        language,
        latents,
        kind="dense" if codes is None else "sae",
        scale="none",
    )
    features = states if codes is None else codes.tocsc()[:, latents].log1p().toarray()
    spread = np.maximum(features.std(axis=0), 1e-3)
    directions = [((space.matrix - space.matrix.mean(axis=0)) / spread).T]
    affect: tuple[str, ...] = ()
    if norms is not None:
        affect = tuple(target for target in AFFECT if target in norms.targets)
        ratings = np.stack([norms.unit(target)[list(rated)].to_numpy() for target in affect], axis=1)
        of_rated = features[[row[word] for word in rated]]
        directions.append(fit_ridge(of_rated, ratings, penalties=(WORD_PENALTY,)).weights)
    n = len(space.categories)
    columns = np.concatenate(directions, axis=1)
    blank = ReaderWeights(
        categories=space.categories,
        latents=latents,
        directions=columns,
        centre=np.zeros(columns.shape[1]),
        scale=np.ones(columns.shape[1]),
        text_centre=np.zeros(n),
        text_scale=np.ones(n),
        layer=at,
        affect=affect,
        card={
            "inputs": inputs,
            "language": language,
            "concepts": sets.provenance,
            "norms": norms.name if norms else None,
            "n_rated_words": len(rated),
            "n_concept_words": len(concepts),
            "carriers": list(sets.carriers[language][:N_CARRIERS]),
            "reference": "given texts" if reference is not None else "word lists of the neutral pool",
            "seed": seed,
        },
    )
    given = list(reference) if reference is not None else _word_lists(pool.words, language, seed)
    return Reader(model, sae, _in_units(blank, model, sae, given), language)


def _in_units(
    weights: ReaderWeights, model: LanguageModel, sae: SparseAutoencoder | None, texts: Sequence[str]
) -> ReaderWeights:
    """Return the weights with the centre and scale of their scores over reference texts."""
    scored = over_tokens(
        model,
        tokenise(model, texts),
        weights.layer,
        lambda states: weights.token_scores(token_features(states, sae, weights.latents)),
        title="Reference text",
    )
    every = np.concatenate(scored).astype(np.float64)
    n = len(weights.categories)
    scale = np.ones(every.shape[1])
    scale[:n] = np.maximum(every[:, :n].std(axis=0), 1e-6)
    scaled = replace(weights, centre=every.mean(axis=0), scale=scale)
    pooled = np.stack([pool_tokens((tokens - scaled.centre) / scaled.scale, n)[:n] for tokens in scored])
    return replace(
        scaled,
        text_centre=pooled.mean(axis=0),
        text_scale=np.maximum(pooled.std(axis=0), 1e-6),
        card={**weights.card, "n_reference_texts": len(texts), "n_reference_tokens": len(every)},
    )


def _word_lists(words: Sequence[str], language: str, seed: int) -> list[str]:
    joint = "" if language.startswith(("zh", "ja")) else " "
    rng = np.random.default_rng(seed)
    n = min(_REFERENCE_WORDS, len(words))
    return [joint.join(rng.choice(words, n, replace=False)) for _ in range(_REFERENCE_TEXTS)]


def _rated(model: LanguageModel, norms: WordNorms | None) -> tuple[str, ...]:
    """Return the rated words the model has tokens for, each rated on valence and arousal."""
    if norms is None:
        return ()
    targets = [target for target in AFFECT if target in norms.targets]
    words = np.array(norms.words, dtype=object)[norms.table[targets].notna().all(axis=1).to_numpy()]
    return tuple(dict.fromkeys(words[usable(model, list(words))]))


def _inputs(
    model: LanguageModel,
    sae: SparseAutoencoder | None,
    sets: ConceptSets,
    norms: WordNorms | None,
    language: str,
) -> str:
    """Return a hash of all that a reader is made of; the precision of the model is no part of it."""
    return content_hash(
        model.identity.get("sha256"),
        sae.content_hash if sae else None,
        sets.content_hash,
        list(sets.carriers[language][:N_CARRIERS]),
        norms.content_hash if norms else None,
    )
