"""What figures depend on, as records: a model, norms, concept-sets, versions of packages."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from emospace.records.results import ModelRecord, Source

if TYPE_CHECKING:
    from emospace.concepts import ConceptSets
    from emospace.models import LanguageModel
    from emospace.norms import WordNorms


def model_record(
    model: LanguageModel, *, name: str, source: str, layer: int | None, n: int, seed: int, device: str = ""
) -> ModelRecord:
    """Return the record of a language model as it was run.

    Parameters
    ----------
    name, source
        As figures call it, and as the user gave it.
    device
        Where it was run, where that is not the model's own device.
    """
    identity = model.identity
    return ModelRecord(
        model=name,
        layer=layer,
        n=n,
        seed=seed,
        source=source,
        revision=identity.get("revision"),
        file_hash=identity.get("sha256"),
        quantisation=identity.get("quantisation"),
        architecture=model.model.config.model_type,
        n_blocks=model.n_blocks,
        d_model=model.d_model,
        n_parameters=sum(parameter.numel() for parameter in model.model.parameters()),
        dtype=identity.get("dtype"),
        device=device or model.device.type,
    )


def model_file(model: LanguageModel) -> str:
    """Return the hash of a model's file, or the commit of its repository."""
    return str(model.identity.get("sha256") or model.identity.get("revision"))


def norms_source(norms: WordNorms, language: str) -> Source:
    """Return the record of a set of word norms."""
    return Source(
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


def concepts_source(sets: ConceptSets, language: str, name: str) -> Source:
    """Return the record of a language's concept-sets."""
    return Source(
        kind="concepts",
        name=name,
        language=language,
        n=len(sets.words(language)),
        provenance=sets.provenance,
        content_hash=sets.select([language]).content_hash,
    )


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
