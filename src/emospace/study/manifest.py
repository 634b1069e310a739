"""What ties a study's figures to a model, an autoencoder, human data, files and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emospace.engines import current
from emospace.records import Manifest, ModelRecord, SaeRecord, Source, provenance

if TYPE_CHECKING:
    from emospace.study.inputs import Inputs

_PACKAGES = ("emospace", "torch", "transformers", "numpy", "scipy", "scikit-learn", "sae-lens", "cebra")


def model_record(study: Inputs, languages: Sequence[str]) -> ModelRecord:
    """Return the record of the language model as it was run."""
    return provenance.model_record(
        study.model,
        name=study.name,
        source=study.spec.model,
        layer=study.layer,
        n=_n_words(study, languages),
        seed=study.spec.seed,
        device=current().device or "",
    )


def _n_words(study: Inputs, languages: Sequence[str]) -> int:
    words = [study.languages[language].words for language in languages]
    return sum(len({*each.normed, *each.concepts, *each.pool}) for each in words)


def sae_record(study: Inputs) -> SaeRecord | None:
    """Return the autoencoder's card as a record, or None without one."""
    if study.sae is None:
        return None
    card = study.sae.card
    corpus = card.get("corpus")
    return SaeRecord(
        model=study.name,
        layer=study.sae.layer,
        n=int(card.get("n_training_tokens") or 0),
        seed=int(card.get("seed") or 0),
        source=study.spec.sae,
        architecture=study.sae.architecture,
        n_latents=study.sae.n_latents,
        l0=card.get("mean_active"),
        explained_variance=card.get("variance_explained"),
        loss_recovered=card.get("loss_recovered"),
        dead_latents=card.get("dead_share"),
        n_heldout=card.get("n_heldout_tokens"),
        corpus=", ".join(f"{name} {share:.0%}" for name, share in corpus.items()) if corpus else None,
        command=card.get("command"),
        file_hash=study.sae_hash,
    )


def manifest(
    study: Inputs, languages: Sequence[str], command: str, steering_files: Mapping[str, str]
) -> Manifest:
    """Return what ties the figures to inputs, files and versions.

    Parameters
    ----------
    languages
        Those that have figures.
    steering_files
        Hashes of what the illustration of steering is made with.
    """
    sources = [
        provenance.norms_source(norms, language) for language in languages for norms in study.norms[language]
    ]
    sources += [
        provenance.concepts_source(study.sets, language, f"concept-sets, {language}")
        for language in languages
    ]
    sources += _structure_sources(study, languages)
    return Manifest(
        model=study.name,
        layer=study.layer,
        n=_n_words(study, languages),
        seed=study.spec.seed,
        command=command,
        languages=tuple(languages),
        categories=study.spec.categories,
        category_names=study.sets.categories,
        carriers={language: study.languages[language].words.carriers for language in languages},
        sources=tuple(sources),
        files={
            "model": provenance.model_file(study.model),
            "sae": study.sae_hash or "none",
            **steering_files,
        },
        versions=provenance.versions(_PACKAGES),
    )


def _structure_sources(study: Inputs, languages: Sequence[str]) -> list[Source]:
    """Return the category structures and the corpora behind frequencies and static vectors."""
    from emospace.lexicon import frequency_table

    sources = []
    for language in languages:
        sources += [
            Source(
                kind="structure",
                name=structure.name,
                language=language,
                n=structure.n_items,
                licence=structure.licence,
                citation=structure.citation,
                note=structure.note,
                content_hash=structure.content_hash,
            )
            for structure in study.languages[language].structures
        ]
        lexicon = frequency_table(language)
        if lexicon.corpus:
            sources.append(
                Source(
                    kind="corpus",
                    name=f"word frequencies and static vectors, {language}",
                    language=language,
                    n=lexicon.n_tokens,
                    note=lexicon.corpus,
                )
            )
    return sources
