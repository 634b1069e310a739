"""`Study`: what a specification names, each thing found or computed when first asked for, and kept."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.activations.capture import check_layers
from emospace.artefacts import content_hash, file_hash
from emospace.display import say
from emospace.engines import current
from emospace.errors import EmospaceError
from emospace.features import (
    FeatureDictionary,
    MatchedPool,
    neutral_pool,
    select_features,
    shared_latents,
    usable,
)
from emospace.lexicon import table_hash
from emospace.profiling import timed
from emospace.records import NotComputed
from emospace.study.cache import FORMAT
from emospace.study.encoding import Encoded, encode_words
from emospace.study.spec import StudySpec

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.languages import LanguageFeatures
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
    from emospace.sae import SparseAutoencoder
    from emospace.space import EmotionSpace
    from emospace.study.steering import Illustration

log = logging.getLogger(__name__)


@dataclass
class Study:
    """The material of one study: model, autoencoder, human side, states, features and spaces.

    Attributes
    ----------
    spec
        What is asked.
    out
        Run folder: ``results.json``, ``tables/``, and ``stages/`` to resume from.
    command
        The command that runs this study again, for the manifest.
    languages
        Those of the specification that have a space; one in which no latent is a feature has none.
    """

    spec: StudySpec
    out: Path
    command: str = "emospace study"
    languages: tuple[str, ...] = field(default=(), init=False)
    _encoded: dict[str, Encoded] = field(default_factory=dict, repr=False)
    _pools: dict[str, MatchedPool] = field(default_factory=dict, repr=False)
    _dictionaries: dict[str, FeatureDictionary] = field(default_factory=dict, repr=False)
    _spaces: dict[tuple[str, str | None], EmotionSpace] = field(default_factory=dict, repr=False)

    @cached_property
    def model(self) -> LanguageModel:
        """The language model."""
        from emospace.models import load_model

        return load_model(
            self.spec.model,
            dtype=self.spec.dtype,
            # Where an engine's workers run the model, the devices are theirs.
            device="cpu" if current().device else self.spec.device,
            revision=self.spec.revision,
            trust_remote_code=self.spec.trust_remote_code,
        )

    @property
    def name(self) -> str:
        """The model's name, without where it was loaded from."""
        return str(self.model.identity.get("name"))

    @cached_property
    def sae(self) -> SparseAutoencoder | None:
        """The autoencoder, or None for dense directions."""
        from emospace.sae import sae_for

        if self.spec.sae == "train":
            return self._train_sae()
        sae = sae_for(self.model, self.spec.sae)
        if sae is None and self.spec.sae == "auto":
            say(f"No SAE ships for '{self.spec.model}': using dense directions (--sae train makes one).")
        return sae

    @cached_property
    def layer(self) -> int:
        """The layer of the space: the SAE's, else the one asked for, else two thirds of the depth."""
        if self.sae is not None:
            if self.spec.layer not in (None, self.sae.layer):
                raise EmospaceError(
                    f"layer {self.spec.layer}",
                    f"the autoencoder reads layer {self.sae.layer}",
                    "Leave --layer out, or add --sae none for dense directions at your layer.",
                )
            return self.sae.layer
        if self.spec.layer is None:
            return round(self.model.n_blocks * 2 / 3)
        return check_layers(self.model, [self.spec.layer])[0]

    @cached_property
    def sets(self) -> ConceptSets:
        """The concept-sets of the study's languages and categories, of words the model has tokens for."""
        from dataclasses import replace

        sets = self.asked_sets
        known = usable(self.model, sets.table.word.tolist())
        if not known.all():
            say(
                f"{int((~known).sum())} concept words have no tokens in the model's vocabulary and are left out."
            )
        return replace(sets, table=sets.table[known].reset_index(drop=True))

    @cached_property
    def asked_sets(self) -> ConceptSets:
        from emospace.concepts import load_concepts

        return load_concepts(self.spec.languages, self.spec.categories, path=self.spec.concepts)

    @cached_property
    def norms(self) -> Mapping[str, Sequence[WordNorms]]:
        """Norms of each language, those named or else its default set, sense-marked entries left out."""
        from emospace.concepts import bundled_languages, load_concepts
        from emospace.norms import anchor_words, default_norms, load_norms

        def anchors(language: str) -> Any:
            # A scale that runs the other way is told by words of plain feeling, bundled ones for own sets too.
            if language not in bundled_languages():
                return None
            return anchor_words(load_concepts([language]), language)

        by_language: dict[str, list[WordNorms]] = {language: [] for language in self.spec.languages}
        for name in self.spec.norms:
            norms = load_norms(name, anchors=anchors).without_senses()
            if norms.language not in by_language:
                raise EmospaceError(
                    f"norms '{name}'",
                    f"they rate words in '{norms.language}', which the study does not include",
                    f"Add --languages {','.join((*self.spec.languages, norms.language))}, or leave them out.",
                )
            by_language[norms.language].append(norms)
        for language, given in by_language.items():
            if not given:
                given += [load_norms(name).without_senses() for name in default_norms(language)[:1]]
        return by_language

    @cached_property
    def illustration(self) -> Illustration | NotComputed:
        """What steering is tried on at the end, or why it cannot be."""
        from emospace.study.steering import prepare

        return prepare(self)

    @property
    def at_least(self) -> int:
        """In how many languages a latent is a feature that they share: in both of two, in most of more."""
        return self.spec.universal or len(self.languages) // 2 + 1

    @property
    def universal(self) -> np.ndarray:
        """The latents that are features in `at_least` languages."""
        return shared_latents({name: self.dictionary(name) for name in self.languages}, self.at_least)

    def carriers(self, language: str) -> tuple[str, ...]:
        """Return the carrier sentences words of a language are run in."""
        return tuple(self.sets.carriers[language][: self.spec.n_carriers])

    def pool(self, language: str) -> MatchedPool:
        """Return the neutral words matched to a language's concepts."""
        if language not in self._pools:
            with timed("neutral pool"):
                self._pools[language] = neutral_pool(self.model, self.sets, language, self.spec.seed)
        return self._pools[language]

    def encoded(self, language: str) -> Encoded:
        """Return states and codes of a language's concept, pool and normed words."""
        if language not in self._encoded:
            normed = dict.fromkeys(word for norms in self.norms[language] for word in norms.words)
            self._encoded[language] = encode_words(
                self.model,
                self.sae,
                [word for word, good in zip(normed, usable(self.model, list(normed)), strict=True) if good],
                self.sets.words(language),
                self.pool(language).words,
                self.carriers(language),
                self.layer,
                self.store,
                language,
                self.spec.pooling,
            )
        return self._encoded[language]

    @property
    def store(self) -> Path:
        """Folder of the activation store."""
        return self.out / "activations"

    def dictionary(self, language: str) -> FeatureDictionary:
        """Return a language's feature dictionary."""
        if language not in self._dictionaries:
            folder = (
                self.out
                / "stages"
                / f"dictionary-{language}-{content_hash(FORMAT, *self.feature_inputs(language))}"
            )
            if (folder / "features.json").is_file():
                self._dictionaries[language] = FeatureDictionary.load(folder)
            else:
                found = self._select(language)
                found.save(folder)
                self._dictionaries[language] = found
        return self._dictionaries[language]

    def space(self, language: str, kind: str | None = None, without: Collection[str] = ()) -> EmotionSpace:
        """Return a language's emotion space.

        Parameters
        ----------
        kind
            ``sae``, ``dense`` or ``static`` (input embeddings); the study's own unless named.
        without
            Concepts to leave out.

        Raises
        ------
        EmospaceError
            If a category has no other concept.
        """
        from emospace.space import build_space

        key = language, kind
        if not without and key in self._spaces:
            return self._spaces[key]
        values, latents, concepts, pool, kind = self._source(language, kind)
        concepts = [word for word in concepts if word not in without]
        rows, pool_rows = self.encoded(language).rows(concepts), self.encoded(language).rows(pool)
        space = build_space(
            values[rows],
            concepts,
            self.sets,
            language,
            latents,
            pool=values[pool_rows],
            kind=kind,
            dictionary=self.sae.content_hash if self.sae and kind == "sae" else None,
        )
        if not without:
            self._spaces[key] = space
        return space

    def features(self, language: str, kind: str | None = None) -> LanguageFeatures:
        """Return the features of a language's concepts, less the mean category.

        What all categories share, being an emotion word at all, would make every pair alike.
        """
        from emospace.languages import LanguageFeatures
        from emospace.space import Transform, standardise

        values, latents, concepts, pool, kind = self._source(language, kind)
        rows, pool_rows = self.encoded(language).rows(concepts), self.encoded(language).rows(pool)
        transform: Transform = "log1p" if kind == "sae" else "raw"
        found = standardise(values[rows], latents, pool=values[pool_rows], transform=transform)
        found -= self.space(language, kind).matrix.mean(axis=0)
        return LanguageFeatures(language, tuple(concepts), found, self.sets)

    def _source(
        self, language: str, kind: str | None
    ) -> tuple[Any, np.ndarray | None, Sequence[str], Sequence[str], str]:
        """Return the values [n_words, n_values] of a kind, the columns taken, concepts, pool words, and the kind."""
        from emospace.baselines import input_embeddings

        encoded = self.encoded(language)
        kind = kind or ("dense" if encoded.codes is None else "sae")
        values: Any = encoded.codes if kind == "sae" else encoded.states
        if kind == "static":
            values = input_embeddings(self.model, encoded.words)
        latents = self.dictionary(language).latents if kind == "sae" else None
        return values, latents, list(self.sets.words(language)), self.pool(language).words, kind

    def _identity(self) -> list[Any]:
        sae = self.sae.content_hash if self.sae else None
        return [self.model.content_hash, sae, self.layer, self.spec.seed]

    def feature_inputs(self, language: str) -> list[Any]:
        spec = self.spec
        sets = self.sets.select([language])
        return [
            *self._identity(),
            sets.content_hash,
            table_hash(language),
            self.carriers(language),
            spec.pooling,
            spec.rule,
            spec.q,
            spec.max_features,
        ]

    def _select(self, language: str) -> FeatureDictionary:
        encoded, pool = self.encoded(language), self.pool(language)
        if encoded.codes is None:
            from emospace.study.dense import dense_dictionary

            return dense_dictionary(self.sets, language)
        with timed("selection"):
            return select_features(
                encoded.codes,
                encoded.words,
                self.sets,
                language,
                pool,
                rule=self.spec.rule,
                q=self.spec.q,
                max_features=self.spec.max_features,
                seed=self.spec.seed,
            )

    def _train_sae(self) -> SparseAutoencoder:
        from emospace.sae import Corpus, SaeSpec, load_sae, read_texts, train_sae

        if not self.spec.sae_corpus:
            raise EmospaceError(
                "--sae train", "there is no text to train on", "Name text files with --sae-corpus FILE."
            )
        layer = self.spec.layer if self.spec.layer is not None else round(self.model.n_blocks * 0.6)
        spec = SaeSpec(
            layer=layer,
            n_latents=8 * self.model.d_model,
            n_tokens=self.spec.sae_tokens,
            seed=self.spec.seed,
        )
        corpora = [Corpus(path.name, read_texts(path)) for path in self.spec.sae_corpus]
        key = content_hash(self.model.content_hash, spec.model_dump(), file_hash(self.spec.sae_corpus))
        folder = self.out / "sae" / key
        if (folder / "cfg.json").is_file():
            return load_sae(folder, self.model)
        return train_sae(self.model, corpora, spec, folder, command=self.command)
