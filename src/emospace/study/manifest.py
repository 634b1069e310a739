"""What ties a study's figures to a model, an autoencoder, human data, files and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from emospace.engines import current
from emospace.records import Manifest, ModelRecord, SaeRecord, Source

if TYPE_CHECKING:
    from emospace.study.inputs import Inputs

_PACKAGES = ("emospace", "torch", "transformers", "numpy", "scipy", "scikit-learn", "sae-lens", "cebra")


def model_record(study: Inputs, languages: Sequence[str]) -> ModelRecord:
    """Return the record of the language model as it was run."""
    model, identity = study.model, study.model.identity
    return ModelRecord(
        model=study.name,
        layer=study.layer,
        n=_n_words(study, languages),
        seed=study.spec.seed,
        source=study.spec.model,
        revision=identity.get("revision"),
        file_hash=identity.get("sha256"),
        quantisation=identity.get("quantisation"),
        architecture=model.model.config.model_type,
        n_blocks=model.n_blocks,
        d_model=model.d_model,
        n_parameters=sum(parameter.numel() for parameter in model.model.parameters()),
        dtype=identity.get("dtype"),
        device=current().device or model.device.type,
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
        Source(
            kind="norms",
            name=norms.name,
            language=language,
            n=len(norms.words),
            n_rejected=len(norms.rejected),
            scale=", ".join(f"{target} {low:g} to {high:g}" for target, (low, high) in norms.scales.items()),
            licence=norms.licence,
            citation=norms.citation,
            note=norms.note,
            content_hash=norms.content_hash,
        )
        for language in languages
        for norms in study.norms[language]
    ]
    sources += [
        Source(
            kind="concepts",
            name=f"concept-sets, {language}",
            language=language,
            n=len(study.sets.words(language)),
            provenance=study.sets.provenance,
            content_hash=study.sets.select([language]).content_hash,
        )
        for language in languages
    ]
    sources += _structure_sources(study, languages)
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Manifest(
        model=study.name,
        layer=study.layer,
        n=_n_words(study, languages),
        seed=study.spec.seed,
        command=command,
        languages=tuple(languages),
        categories=study.spec.categories,
        category_names=study.sets.categories,
        carriers={language: study.languages[language].carriers for language in languages},
        sources=tuple(sources),
        files={
            "model": str(study.model.identity.get("sha256") or study.model.identity.get("revision")),
            "sae": study.sae_hash or "none",
            **steering_files,
        },
        versions=versions,
    )


def _structure_sources(study: Inputs, languages: Sequence[str]) -> list[Source]:
    """Return the category structures and the corpora behind frequencies and static vectors."""
    from emospace.lexicon import frequency_table

    found = []
    for language in languages:
        found += [
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
            found.append(
                Source(
                    kind="corpus",
                    name=f"word frequencies and static vectors, {language}",
                    language=language,
                    n=lexicon.n_tokens,
                    note=lexicon.corpus,
                )
            )
    return found
