"""What a study did not compute, and what its figures rest on: model, autoencoder, sources, files, versions."""

from __future__ import annotations

from collections.abc import Sequence

from emospace.records import AlignmentRecord, ComparisonRecord, PredictionRecord, Source
from emospace.report.blocks import Facts, Table
from emospace.report.columns import Column, Gap, build, counts, gaps_table, language_column
from emospace.report.languages_details import gaps_between_languages
from emospace.report.run import Run
from emospace.report.steering_tables import gaps_of_steering
from emospace.report.wording import (
    FEATURE_SETS,
    STATISTICS,
    WITHOUT_MEANS,
    count,
    language_name,
    number,
    plain_name,
    set_name,
    space_name,
    structure_name,
    upper_first,
)

SUMMARISED = {
    "language_rsa": "pairs of languages",
    "cross_language": "directions of transfer",
    "category_shift": "pairs of languages, by category",
    "steering": "emotions under steering",
}
"""Kinds of records whose means pages state, read from the `summary` of results.json."""


def missing_table(run: Run) -> Table:
    """Return what the study did not compute and every figure that is null, with its reason."""
    results = run.results
    gaps: list[Gap] = [(m.what, m.language, m.why) for m in results.not_computed]
    figures: list[tuple[PredictionRecord | ComparisonRecord | AlignmentRecord, str]] = [
        *(
            (r, f"prediction of {r.target} ({r.norms}) from {set_name(r).lower()}")
            for r in results.prediction
        ),
        *(
            (c, f"{c.target} ({c.norms}): {FEATURE_SETS[c.features][0]} against {FEATURE_SETS[c.against][0]}")
            for c in results.comparison
        ),
        *(
            (a, f"{STATISTICS[a.statistic]}, {structure_name(a.target or a.against)}, {space_name(a.space)}")
            for a in results.alignment
        ),
    ]
    gaps += [(what, record.language, record.reason or "") for record, what in figures if not record.given]
    gaps += [
        (f"means over {name}", None, WITHOUT_MEANS)
        for kind, name in SUMMARISED.items()
        if any(record.given for record in getattr(results, kind))
        and not any(s.of == kind for s in results.summary)
    ]
    return gaps_table([*gaps, *gaps_between_languages(results), *gaps_of_steering(results)], more_than=60)


HASH_SHOWN = 12
"""Digits of a source's hash that a table shows; hovering gives all."""


def _sources(sources: Sequence[Source]) -> Table:
    """Return what the study took from people; a column that no source has anything in is left out."""
    return build(
        "table-sources",
        (
            Column("Kind", lambda s: ", ".join(filter(None, (s.kind, s.provenance))), wrap=True),
            Column("Name", "name", wrap=True),
            language_column(),
            counts("Entries", "n"),
            counts("Rejected", "n_rejected") if any(source.n_rejected for source in sources) else None,
            Column("Scale", "scale", wrap=True) if any(source.scale for source in sources) else None,
            Column("Licence", "licence", wrap=True),
            Column("Citation and note", lambda s: " ".join(filter(None, (s.citation, s.note))), wrap=True),
            Column("Hash", "content_hash", lambda digits: str(digits)[:HASH_SHOWN], note="content_hash"),
        ),
        sources,
    )


def manifest_tables(run: Run) -> tuple[Facts | Table, ...]:
    """Return what the figures hang on: model, SAE, sources with licence and citation, files and versions."""
    results, manifest = run.results, run.results.manifest
    blocks: list[Facts | Table] = [Facts("Language model", _facts(results.model.model_dump(), n="words run"))]
    if results.sae:
        blocks.append(
            Facts(
                "Sparse autoencoder", _facts(results.sae.model_dump(), n="training tokens"), code=("Command",)
            )
        )
    settings: dict[str, object] = {
        "languages": ", ".join(language_name(code) for code in manifest.languages),
        "categories": ": ".join(filter(None, (manifest.category_list, ", ".join(manifest.category_names)))),
        "concept_sets": run.provenance,
        "words": manifest.n,
        "seed": manifest.seed,
        "layer": manifest.layer,
    }
    carriers = {
        f"carriers ({language_name(code)})": " · ".join(lines) for code, lines in manifest.carriers.items()
    }
    blocks.append(Facts("Settings", _facts(settings | carriers)))
    if manifest.sources:
        blocks.append(_sources(manifest.sources))
    if manifest.files:
        blocks.append(
            build(
                "table-files",
                (Column("File", lambda pair: pair[0]), Column("sha256", lambda pair: pair[1], wrap=True)),
                manifest.files.items(),
            )
        )
    if manifest.versions:
        blocks.append(Facts("Versions", tuple(manifest.versions.items())))
    return tuple(blocks)


FACT_NAMES = {
    "d_model": "width (d_model)",
    "n_blocks": "blocks",
    "n_parameters": "parameters",
    "n_latents": "latents",
    "n_heldout": "held-out tokens",
    "l0": "active latents per token (L0)",
    "file_hash": "sha256",
    "reason": "note",
}
NOT_COUNTS = {"seed", "layer"}


def _facts(values: dict[str, object], **names: str) -> tuple[tuple[str, str], ...]:
    facts = []
    for name, value in values.items():
        if value is None or value == "":
            continue
        written = str(value)
        if isinstance(value, float):
            written = number(value, 3)
        elif isinstance(value, int) and name not in NOT_COUNTS:
            written = count(value)
        facts.append((upper_first((FACT_NAMES | names).get(name, plain_name(name))), written))
    return tuple(facts)
