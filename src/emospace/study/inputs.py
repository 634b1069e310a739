"""`Inputs`: all that a specification names, loaded; stages take parts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.activations.capture import check_layers
from emospace.artefacts import content_hash, file_hash
from emospace.display import say
from emospace.engines import current
from emospace.errors import EmospaceError
from emospace.features import neutral_pool, usable
from emospace.profiling import timed
from emospace.records import NotComputed
from emospace.structure import load_structure, structures_for
from emospace.study.encoding import Encoder
from emospace.study.selecting import NOTHING

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.features import MatchedPool
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
    from emospace.sae import SparseAutoencoder
    from emospace.specs import StudySpec
    from emospace.structure import CategoryStructure


@dataclass(frozen=True, eq=False)
class Inputs:
    """The model, the autoencoder and the human side of one study.

    Attributes
    ----------
    sae
        None for dense directions.
    layer
        That of the space: the SAE's, else the one asked for, else two thirds of the depth.
    sets
        Concept-sets of the study's languages and categories, of words the model has tokens for.
    norms
        Language -> norms, those named or else its default set, sense-marked entries left out.
    pools
        Language -> neutral words matched to its concepts; a language without any is in `missing` and has no figures.
    store
        Folder of the activation store.
    """

    spec: StudySpec
    model: LanguageModel
    sae: SparseAutoencoder | None
    layer: int
    sets: ConceptSets
    norms: Mapping[str, Sequence[WordNorms]]
    pools: Mapping[str, MatchedPool]
    missing: tuple[NotComputed, ...]
    store: Path

    @property
    def name(self) -> str:
        """The model's name, without where it was loaded from."""
        return str(self.model.identity.get("name"))

    @cached_property
    def sae_hash(self) -> str | None:
        """The autoencoder's content hash."""
        return self.sae.content_hash if self.sae else None

    @cached_property
    def languages(self) -> Mapping[str, LanguageInputs]:
        """The languages that have a neutral pool."""
        return {language: self._language(language) for language in self.pools}

    def _language(self, language: str) -> LanguageInputs:
        sets, norms = figure_sets(self.sets, language), tuple(map(figure_norms, self.norms[language]))
        carriers = tuple(self.sets.carriers[language][: self.spec.n_carriers])
        pool = self.pools[language]
        return LanguageInputs(
            sets,
            norms,
            pool,
            carriers,
            tuple(map(load_structure, structures_for(language, self.sets.families.get(language)))),
            Encoder(
                self.model,
                self.sae,
                self.sae_hash,
                language,
                tuple(dict.fromkeys(word for given in norms for word in given.words)),
                sets.words(language),
                pool.words,
                carriers,
                self.layer,
                self.spec.pooling,
                self.store,
            ),
        )


@dataclass(frozen=True, eq=False)
class LanguageInputs:
    """The human side of one language, without what no figure hangs on, and its words in the model.

    Attributes
    ----------
    carriers
        The sentences words are run in.
    structures
        Those its categories are compared with.
    """

    sets: ConceptSets
    norms: tuple[WordNorms, ...]
    pool: MatchedPool
    carriers: tuple[str, ...]
    structures: tuple[CategoryStructure, ...]
    words: Encoder


def load_inputs(spec: StudySpec, out: Path, *, command: str = "emospace study") -> Inputs:
    """Load all that a study names.

    Parameters
    ----------
    out
        Run folder, in which states and an autoencoder trained here are kept.

    Raises
    ------
    EmospaceError
        If anything is missing or does not fit.
    """
    # Report a typo now, not after the model is loaded.
    asked, norms = load_sets(spec), _load_norms(spec)
    model = open_model(spec)
    sae = _load_sae(spec, model, out, command)
    layer = _layer(spec, model, sae)
    known = usable(model, asked.table.word.tolist())
    if not known.all():
        say(f"{int((~known).sum())} concept words have no tokens in the model's vocabulary and are left out.")
    sets = replace(asked, table=asked.table[known].reset_index(drop=True))
    pools: dict[str, MatchedPool] = {}
    missing = []
    for language in spec.languages:
        try:
            with timed("neutral pool"):
                pools[language] = neutral_pool(model, sets, language, spec.seed)
        except EmospaceError as error:
            if len(spec.languages) == 1:
                raise
            missing.append(NotComputed(what=NOTHING, why=str(error), language=language))
    return Inputs(spec, model, sae, layer, sets, norms, pools, tuple(missing), out / "activations")


def load_sets(spec: StudySpec) -> ConceptSets:
    """Load the concept-sets of a study's languages and categories."""
    from emospace.concepts import load_concepts

    return load_concepts(spec.languages, spec.categories, path=spec.concepts)


def open_model(spec: StudySpec) -> LanguageModel:
    """Load a study's language model."""
    from emospace.models import load_model

    return load_model(
        spec.model,
        dtype=spec.dtype,
        # Where an engine's workers run the model, the devices are theirs.
        device="cpu" if current().device else spec.device,
        revision=spec.revision,
        trust_remote_code=spec.trust_remote_code,
        template_args=spec.template_args,
    )


def figure_sets(sets: ConceptSets, language: str) -> ConceptSets:
    """Return one language's concepts without what no figure hangs on; carriers are those words are run in."""
    return replace(
        sets.select([language]),
        carriers={language: ()},
        names={},
        notes=(),
        feeling_carriers={},
        families={},
        specific={},
    )


def figure_norms(norms: WordNorms) -> WordNorms:
    """Return norms without what no figure hangs on: where they come from and how they were read."""
    from emospace.norms import WordNorms

    return WordNorms(norms.name, norms.language, norms.table, norms.scales, norms.targets)


def _load_norms(spec: StudySpec) -> Mapping[str, Sequence[WordNorms]]:
    from emospace.concepts import bundled_languages, load_concepts
    from emospace.norms import anchor_words, default_norms, load_norms

    def anchors(language: str) -> Any:
        # Words of plain feeling reveal a reversed scale; own concept-sets use the bundled ones too.
        if language not in bundled_languages():
            return None
        return anchor_words(load_concepts([language]), language)

    by_language: dict[str, list[WordNorms]] = {language: [] for language in spec.languages}
    for name in spec.norms:
        norms = load_norms(name, anchors=anchors).without_senses()
        if norms.language not in by_language:
            raise EmospaceError(
                f"norms '{name}'",
                f"they rate words in '{norms.language}', which the study does not include",
                f"Add --languages {','.join((*spec.languages, norms.language))}, or leave them out.",
            )
        by_language[norms.language].append(norms)
    for language, given in by_language.items():
        if not given:
            given += [load_norms(name).without_senses() for name in default_norms(language)[:1]]
    return by_language


def _load_sae(spec: StudySpec, model: LanguageModel, out: Path, command: str) -> SparseAutoencoder | None:
    from emospace.sae import automatic_sae, sae_for

    if spec.sae == "train":
        return _train_sae(spec, model, out, command)
    if spec.sae == "auto":
        say(automatic_sae(model))
    return sae_for(model, spec.sae)


def _train_sae(spec: StudySpec, model: LanguageModel, out: Path, command: str) -> SparseAutoencoder:
    from emospace.sae import Corpus, load_sae, read_texts, train_sae
    from emospace.specs import SaeSpec

    if not spec.sae_corpus:
        raise EmospaceError(
            "--sae train", "there is no text to train on", "Name text files with --sae-corpus FILE."
        )
    training = SaeSpec(
        layer=spec.layer if spec.layer is not None else round(model.n_blocks * 0.6),
        n_latents=8 * model.d_model,
        n_tokens=spec.sae_tokens,
        batch=1024,
        learning_rate=8e-4,
        seed=spec.seed,
    )
    corpora = [Corpus(path.name, read_texts(path)) for path in spec.sae_corpus]
    key = content_hash(model.content_hash, training.model_dump(), file_hash(spec.sae_corpus))
    folder = out / "sae" / key
    if (folder / "cfg.json").is_file():
        return load_sae(folder, model)
    return train_sae(model, corpora, training, folder, command=command)


def _layer(spec: StudySpec, model: LanguageModel, sae: SparseAutoencoder | None) -> int:
    if sae is not None:
        if spec.layer not in (None, sae.layer):
            raise EmospaceError(
                f"layer {spec.layer}",
                f"the autoencoder reads layer {sae.layer}",
                "Leave --layer out, or add --sae none for dense directions at your layer.",
            )
        return sae.layer
    if spec.layer is None:
        return round(model.n_blocks * 2 / 3)
    return check_layers(model, [spec.layer])[0]
