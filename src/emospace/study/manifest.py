"""What ties a study's figures to a model, an autoencoder, human data, files and versions."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from emospace.engines import current
from emospace.records import Manifest, ModelRecord, NotComputed, SaeRecord, Source

if TYPE_CHECKING:
    from emospace.study.material import Study

_PACKAGES = ("emospace", "torch", "transformers", "numpy", "scipy", "scikit-learn", "sae-lens", "cebra")


def model_record(study: Study) -> ModelRecord:
    """Return the record of the language model as it was run."""
    model, identity = study.model, study.model.identity
    return ModelRecord(
        model=study.name,
        layer=study.layer,
        n=sum(len(_words(study, language)) for language in study.languages),
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


def _words(study: Study, language: str) -> set[str]:
    normed = {word for norms in study.norms[language] for word in norms.words}
    return {*study.sets.words(language), *study.pool(language).words, *normed}


def sae_record(study: Study) -> SaeRecord | None:
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
        file_hash=study.sae.content_hash,
    )


def manifest(study: Study) -> Manifest:
    """Return what ties the figures to inputs, files and versions."""
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
        for language in study.languages
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
        for language in study.languages
    ]
    sources += _structure_sources(study)
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Manifest(
        model=study.name,
        layer=study.layer,
        n=sum(len(_words(study, language)) for language in study.languages),
        seed=study.spec.seed,
        command=study.command,
        languages=study.languages,
        categories=study.spec.categories,
        carriers={language: study.carriers(language) for language in study.languages},
        sources=tuple(sources),
        files={
            "model": str(study.model.identity.get("sha256") or study.model.identity.get("revision")),
            "sae": study.sae.content_hash if study.sae else "none",
            **_steering_files(study),
        },
        versions=versions,
    )


def _steering_files(study: Study) -> dict[str, str]:
    if not study.spec.steering or isinstance(study.illustration, NotComputed):
        return {}
    return study.illustration.files


def _structure_sources(study: Study) -> list[Source]:
    """Return the category structures and the corpora behind frequencies and static vectors."""
    from emospace.lexicon import frequency_table
    from emospace.structure import load_structure, structures_for

    found = []
    for language in study.languages:
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
            for structure in map(load_structure, structures_for(language, study.sets.families.get(language)))
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
