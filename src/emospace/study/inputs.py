"""`Inputs`: all that a specification names, loaded; stages take parts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.activations.capture import check_layers
from emospace.artefacts import content_hash, file_hash
from emospace.concepts import bundled_languages, load_concepts
from emospace.display import say
from emospace.engines import current
from emospace.errors import EmospaceError, InvalidInput
from emospace.features import neutral_pool, usable
from emospace.profiling import timed
from emospace.records import NotComputed
from emospace.structure import list_structures, load_structure, structures_for
from emospace.study.concepts import LanguageConcepts
from emospace.study.encoding import Encoder
from emospace.study.stage import Deferred, deferred

if TYPE_CHECKING:
    import numpy as np

    from emospace.concepts import ConceptSets
    from emospace.features import MatchedPool
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms
    from emospace.sae import SparseAutoencoder
    from emospace.specs import StudySpec
    from emospace.structure import CategoryStructure


NOTHING = "every figure"
"""What a language without a neutral pool, or without features, lacks."""


@dataclass(frozen=True, eq=False)
class LanguageInputs:
    """The human side of one language, reduced to what affects figures, and its words in the model.

    Attributes
    ----------
    norms
        Those named, or else its default set, sense-marked entries left out.
    pool
        Neutral words matched to its concepts.
    structures
        Those its categories are compared with.
    """

    sets: ConceptSets
    norms: tuple[WordNorms, ...]
    pool: MatchedPool
    structures: tuple[CategoryStructure, ...]
    words: Encoder

    def concepts(self, latents: np.ndarray) -> Deferred[LanguageConcepts]:
        """Return its concepts as the model has them, in the space of some latents (of dense states without an SAE)."""
        return deferred(
            LanguageConcepts,
            language=self.words.language,
            sets=self.sets,
            pool=self.pool,
            words=self.words.concept_words,
            latents=None if self.words.sae is None else latents,
            dictionary=self.words.sae_hash,
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """The model, the autoencoder and the human side of one study.

    Attributes
    ----------
    sae
        None for dense directions.
    layer
        That of the space: the SAE's, else the one in the specification, else two thirds of the depth.
    sets
        Concept-sets of the study's languages and categories, of words the model has tokens for.
    norms
        Language -> norms as they were read.
    languages
        Those that have a neutral pool; one without any is in `missing` and has no figures.
    """

    spec: StudySpec
    model: LanguageModel
    sae: SparseAutoencoder | None
    sae_hash: str | None
    layer: int
    sets: ConceptSets
    norms: Mapping[str, Sequence[WordNorms]]
    languages: Mapping[str, LanguageInputs]
    missing: tuple[NotComputed, ...]

    @property
    def name(self) -> str:
        """The model's name, without where it was loaded from."""
        return str(self.model.identity.get("name"))


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
    sets, norms = load_concepts(spec.languages, spec.categories, path=spec.concepts), _load_norms(spec)
    given = _load_structures(spec, sets)
    model = open_model(spec)
    sae = _load_sae(spec, model, out, command)
    sae_hash, layer = sae.content_hash if sae else None, _layer(spec, model, sae)
    kept = usable(model, sets.table.word.tolist())
    if not kept.all():
        say(f"{int((~kept).sum())} concept words have no tokens in the model's vocabulary and are left out.")
    sets = replace(sets, table=sets.table[kept].reset_index(drop=True))
    languages: dict[str, LanguageInputs] = {}
    missing = []
    for language in spec.languages:
        try:
            with timed("neutral pool"):
                pool = neutral_pool(model, sets, language, spec.seed)
        except EmospaceError as error:
            if len(spec.languages) == 1:
                raise
            missing.append(NotComputed(what=NOTHING, why=str(error), language=language))
            continue
        of_figures = figure_sets(sets, language)
        carriers = tuple(sets.carriers[language][: spec.n_carriers])
        if len(carriers) < spec.n_carriers:
            why = (
                f"the concept-sets of '{language}' have {len(carriers)} carriers, and all of them were taken"
            )
            missing.append(
                NotComputed(what=f"means over {spec.n_carriers} carriers", why=why, language=language)
            )
        words = Encoder(
            model=model,
            sae=sae,
            sae_hash=sae_hash,
            language=language,
            normed=tuple(dict.fromkeys(word for rated in norms[language] for word in rated.words)),
            concepts=of_figures.words(language),
            pool=pool.words,
            carriers=carriers,
            layer=layer,
            pooling=spec.pooling,
            store=out / "activations",
        )
        bundled = map(load_structure, structures_for(language, sets.families.get(language)))
        structures = (*bundled, *(of for of in given if of.language in (language, "multi")))
        languages[language] = LanguageInputs(
            of_figures, tuple(map(figure_norms, norms[language])), pool, structures, words
        )
    return Inputs(spec, model, sae, sae_hash, layer, sets, norms, languages, tuple(missing))


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
    """Return one language's concepts without what affects no figure; the carriers that do are arguments of their own."""
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
    """Return norms without what affects no figure: where they come from and how they were read."""
    from emospace.norms import WordNorms

    return WordNorms(norms.name, norms.language, norms.table, norms.scales, norms.targets)


def _load_norms(spec: StudySpec) -> Mapping[str, Sequence[WordNorms]]:
    from emospace.norms import anchor_words, load_norms, norms_for

    def anchors(language: str) -> Any:
        # Words of plain feeling reveal a reversed scale. The bundled ones serve custom concept-sets, too.
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
        if not given and (bundled := norms_for(language)):
            given.append(bundled.without_senses())
    return by_language


def _load_structures(spec: StudySpec, sets: ConceptSets) -> tuple[CategoryStructure, ...]:
    """Return the structures of the files that a study names, in languages that it includes."""
    from emospace.structure import structure_from_file

    structures: list[CategoryStructure] = []
    for path in spec.structures:
        structure, _ = structure_from_file(path, known=sets.categories)
        if structure.language not in (*spec.languages, "multi"):
            raise InvalidInput(
                f"--structure {path}",
                f"it is of '{structure.language}', which the study does not include",
                f"Add --languages {','.join((*spec.languages, structure.language))}, or leave it out.",
            )
        names = (*(other.name for other in structures), *list_structures()["name"])
        if structure.name in names:
            raise InvalidInput(
                f"--structure {path}",
                f"another structure is called '{structure.name}'",
                "Give it a name: name = 'mine' in its card.",
            )
        structures.append(structure)
    return tuple(structures)


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
