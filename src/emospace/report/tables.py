"""The report's tables: rows of cells from records and from the feature dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emospace.records import (
    AlignmentRecord,
    ComparisonRecord,
    FeatureRecord,
    PredictionRecord,
    cross_tabulated,
)
from emospace.report.blocks import Cell, Facts, Table
from emospace.report.columns import (
    Column,
    Gap,
    build,
    ci,
    counts,
    gaps_table,
    language_column,
    of_first,
    of_named,
    p,
    plain,
    score,
    shares,
)
from emospace.report.languages_details import gaps_between_languages
from emospace.report.run import Run
from emospace.report.steering_tables import gaps_of_steering
from emospace.report.wording import (
    DASH,
    FEATURE_SETS,
    MANY,
    STATISTICS,
    WITHOUT_MEANS,
    count,
    counted,
    figure,
    language_name,
    number,
    plain_name,
    set_name,
    space_name,
    structure_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

BRIEF = 3
SUMMARISED = {
    "language_rsa": "pairs of languages",
    "cross_language": "directions of transfer",
    "category_shift": "pairs of languages, by category",
    "steering": "emotions under steering",
}
"""Kinds of records whose means pages state, read from the `summary` of results.json."""


def _statistic(a: AlignmentRecord) -> str:
    given = f", given {plain_name(a.controls)}" if a.controls else ""
    return STATISTICS[a.statistic] + given + (f" (component {a.component})" if a.component else "")


def _baseline(a: AlignmentRecord) -> Cell:
    name = "" if a.baseline is None else f" {plain_name(a.baseline_name or '')}".rstrip()
    return Cell(f"{figure(a.baseline)}{name}", a.baseline)


ALIGNMENT = (
    language_column(),
    Column("Statistic", _statistic, wrap=True),
    Column(
        "Against",
        lambda a: (
            structure_name(a.against) if a.statistic.startswith("rsa") else plain_name(a.target or a.against)
        ),
        wrap=True,
    ),
    Column("Of", "space", space_name),
    score("Value", "value", note="reason"),
    ci(),
    p("p", "p"),
    score("Ceiling", "ceiling", note="ceiling_kind"),
    Column("Baseline", _baseline, wrap=True),
    counts("Categories", "n"),
    Column("Rated / derived", lambda a: None if a.n_label is None else f"{a.n_label} / {a.n_derived or 0}"),
)


def counts_table(run: Run) -> Table:
    """Return how many features each category has in each language."""
    languages = list(dict.fromkeys(record.language for record in run.results.features))
    rows = cross_tabulated(run.results.features, lambda r: r.category, lambda r: r.language)
    many = len(languages) >= MANY

    def figures_of(code: str) -> tuple[Column, ...]:
        name = language_name(code)
        if many:
            return (Column(name, lambda row: _features_of(row.get(code)), numeric=True),)
        return (
            counts(f"Concepts, {name}", of_named(code, "n_concepts")),
            counts(f"Features, {name}", of_named(code, "n_features")),
            score(f"AUC, {name}", of_named(code, "auc")),
        )

    shown = "Features and, after the stroke, the concepts" if many else "Concepts"
    select = "that select them" if many else "and the features they select, with the AUC of held-out concepts"
    return build(
        "table-counts",
        (
            Column("Category", of_first("category"), plain_name),
            *(column for code in languages for column in figures_of(code)),
        ),
        rows.values(),
        strong=lambda row: any(record.basic for record in row.values()),
        shown=shown,
        provenance=run.provenance,
        select=select,
        tested=listed_tests(run, languages),
    )


def _features_of(record: FeatureRecord | None) -> Cell:
    if record is None:
        return Cell(DASH)
    return Cell(f"{count(record.n_features)} / {count(record.n_concepts)}", record.n_features)


AUC = (
    language_column(),
    score("Mean AUC", "mean"),
    score("Lowest", "lowest"),
    score("Highest", "highest"),
    score("Input embeddings", "static"),
    counts("Above chance", "n_above"),
    counts("Categories", "n"),
)


def listed_tests(run: Run, languages: list[str]) -> str:
    """Return how many words the features were tested on, per language."""
    parts = []
    for language in languages:
        sizes = [record.n for record in run.results.features if record.language == language]
        low, high = min(sizes), max(sizes)
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        parts.append(f"{language_name(language)}: {span}")
    if len(parts) < MANY:
        return "; ".join(f"{part} words tested per category, pool included" for part in parts) + "."
    return f"Words tested per category, pool included: {'; '.join(parts)}."


DICTIONARY = (
    Column("Category", "category", lambda name: plain_name(str(name))),
    Column("Latent", lambda row: Cell(str(row["latent"]), float(row["latent"])), numeric=True),
    plain("Effect", "effect"),
    shares("Fires: concepts", "rate_in"),
    shares("Fires: pool", "rate_pool"),
    p("q", "q"),
    Column("Top words", lambda row: _words(row["top_words"]), wrap=True, lang="language"),
)


def dictionary_table(run: Run, language: str, part: pd.DataFrame) -> Table:
    """Return the features of one language, the strongest of each category first."""
    order = {name: place for place, name in enumerate(dict.fromkeys(part["category"]))}
    ranked = part.assign(_place=part["category"].map(order)).sort_values(
        ["_place", "effect"], ascending=[True, False]
    )
    return build(
        f"table-features-{language}",
        DICTIONARY,
        ranked.to_dict("records"),
        brief=(ranked.groupby("category").cumcount() < BRIEF).tolist(),
        text="table-features",
        language=language_name(language),
        n=f"{len(part):,}",
        categories=counted(len(order), "category"),
        latents=counted(int(part["latent"].nunique()), "latent"),
        provenance=run.provenance,
    )


def _words(value: object) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, np.atleast_1d(np.asarray(value))))


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


SOURCES = (
    Column("Kind", "kind"),
    Column("Name", "name"),
    language_column(),
    Column("Provenance", "provenance"),
    counts("Entries", "n"),
    counts("Rejected", "n_rejected"),
    Column("Scale", "scale", wrap=True),
    Column("Licence", "licence"),
    Column("Citation and note", lambda s: " ".join(filter(None, (s.citation, s.note))), wrap=True),
    Column("Hash", "content_hash"),
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
        blocks.append(build("table-sources", SOURCES, manifest.sources))
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
