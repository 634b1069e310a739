"""The report's tables: rows of cells from records and from the feature dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emospace.records import PredictionRecord, is_beside_the_answer
from emospace.report import findings
from emospace.report.blocks import Cell, Facts, Table
from emospace.report.languages_tables import missing_of_languages
from emospace.report.run import Run
from emospace.report.steering_tables import missing_rows
from emospace.report.wording import (
    DASH,
    FEATURE_SETS,
    MANY,
    STATISTICS,
    WITHOUT_MEANS,
    count,
    counted,
    figure,
    interval,
    language_name,
    number,
    p_value,
    percent,
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


def _r(value: float | None, note: str | None = None) -> Cell:
    return Cell(figure(value), value, note=note)


def _n(value: int | None) -> Cell:
    return Cell(count(value), value)


def _p(value: float | None) -> Cell:
    return Cell(p_value(value), value)


def prediction_table(run: Run) -> Table:
    """Return every prediction figure with its interval, R2, n and p."""
    columns = (
        *(
            "Language",
            "Norms",
            "Rating",
            "Features",
            "Test words",
            "r",
            "95% interval",
            "R²",
            "p (FDR)",
            "Words",
        ),
        *("Features used", "Layer", "Draws beaten", "Disattenuated r"),
    )
    rows = [
        (
            Cell(language_name(r.language)),
            Cell(r.norms),
            Cell(r.target),
            Cell(set_name(r), note=FEATURE_SETS[r.features][2]),
            Cell("concepts out" if r.excluded_concepts else "all"),
            _r(r.r, r.reason),
            Cell(_drawn_interval(r)),
            _r(r.r2),
            _p(r.p_fdr if r.p_fdr is not None else r.p),
            _n(r.n),
            _n(r.n_features),
            Cell(DASH if r.layer is None else str(r.layer), r.layer, note=r.layers_chosen),
            Cell(percent(r.draws_beaten), r.draws_beaten),
            _r(r.disattenuated_r),
        )
        for r in run.results.prediction
    ]
    return Table(
        "table-prediction",
        "Prediction of word ratings. For sets made of many draws (outside, random, shuffled) r is their mean and the "
        "interval the central 95% of the draws; for the others it is a 95% confidence interval.",
        columns,
        rows,
        numeric=(*columns[5:6], *columns[7:]),
        heading="All prediction figures",
        search="Filter the prediction figures",
        strong=[record.features == "space" for record in run.results.prediction],
    )


def _drawn_interval(record: PredictionRecord) -> str:
    if record.draws_low is not None:
        return interval(record.draws_low, record.draws_high)
    return interval(record.ci_low, record.ci_high)


def comparison_table(run: Run) -> Table:
    """Return the differences between feature sets, with what they say about equality."""
    columns = (
        "Language",
        "Norms",
        "Rating",
        "Test words",
        "Set",
        "Against",
        "Difference in r",
        "95% CI",
        "p",
        "As well as",
        "Words",
    )
    rows = [
        (
            Cell(language_name(c.language)),
            Cell(c.norms),
            Cell(c.target),
            Cell("concepts out" if c.excluded_concepts else "all"),
            Cell(FEATURE_SETS[c.features][0]),
            Cell(
                FEATURE_SETS[c.against][0] + (f" ({plain_name(c.static_source)})" if c.static_source else "")
            ),
            _r(c.difference, c.reason),
            Cell(interval(c.ci_low, c.ci_high)),
            _p(c.p),
            Cell(DASH if c.equivalent is None else "yes" if c.equivalent else "not shown"),
            _n(c.n),
        )
        for c in run.results.comparison
    ]
    margins = {c.margin for c in run.results.comparison if c.margin is not None}
    within = f" ±{figure(margins.pop())}" if len(margins) == 1 else " the margin"
    return Table(
        "table-comparison",
        'Feature sets compared on the same words by paired bootstrap over word groups. "As well as" means that the '
        f"90% interval of the difference lies within{within}.",
        columns,
        rows,
        numeric=("Difference in r", "p", "Words"),
        heading="Feature sets compared",
        search="Filter the comparisons of feature sets" if len(run.languages) >= MANY else "",
    )


def alignment_table(run: Run) -> Table:
    """Return every alignment figure with interval, p, ceiling, baseline and n."""
    columns = (
        "Language",
        "Statistic",
        "Against",
        "Of",
        "Value",
        "95% CI",
        "p",
        "Ceiling",
        "Baseline",
        "Categories",
        "Rated / derived",
    )
    rows = []
    records = run.alignment(lambda a: a.statistic != "rdm_weight" and not is_beside_the_answer(a.against))
    for a in records:
        what = STATISTICS[a.statistic] + (f", given {plain_name(a.controls)}" if a.controls else "")
        what += f" (component {a.component})" if a.component else ""
        against = (
            structure_name(a.against) if a.statistic.startswith("rsa") else plain_name(a.target or a.against)
        )
        derived = DASH if a.n_label is None else f"{a.n_label} / {a.n_derived or 0}"
        baseline = "" if a.baseline is None else f" {plain_name(a.baseline_name or '')}".rstrip()
        rows.append(
            (
                Cell(language_name(a.language)),
                Cell(what),
                Cell(against),
                Cell(space_name(a.space)),
                _r(a.value, a.reason),
                Cell(interval(a.ci_low, a.ci_high)),
                _p(a.p),
                Cell(figure(a.ceiling), a.ceiling, note=a.ceiling_kind),
                Cell(f"{figure(a.baseline)}{baseline}", a.baseline),
                _n(a.n),
                Cell(derived),
            )
        )
    return Table(
        "table-alignment",
        f"Alignment of the model's category structure with people's, from {run.provenance} concept-sets. p values of RSA are from relabelled categories; "
        "that of the best component from permutations that repeat the choice. Rated / derived counts categories "
        "whose human value is that of their name, and those where it is the mean of their concepts. Colexification and "
        "co-annotation of six emotions are in the section on languages.",
        columns,
        rows,
        numeric=("Value", "p", "Ceiling", "Categories"),
        wrap=("Statistic", "Against", "Baseline"),
        heading="Alignment in figures",
        search="Filter the alignment figures" if len(run.languages) >= MANY else "",
        strong=[a.space == "sae" and a.statistic == "rsa_spearman" for a in records],
    )


def counts_table(run: Run) -> Table:
    """Return how many features each category has in each language."""
    languages = list(dict.fromkeys(record.language for record in run.results.features))
    by = {(record.category, record.language): record for record in run.results.features}
    names = list(dict.fromkeys(record.category for record in run.results.features))
    many = len(languages) >= MANY
    columns = ["Category"]
    for language in languages:
        own = language_name(language)
        columns += [own] if many else [f"{what}, {own}" for what in ("Concepts", "Features", "AUC")]
    rows = []
    for name in names:
        cells = [Cell(plain_name(name))]
        for language in languages:
            record = by.get((name, language))
            counts = (record.n_concepts, record.n_features) if record else (None, None)
            if many:
                cells.append(Cell(f"{count(counts[1])} / {count(counts[0])}" if record else DASH, counts[1]))
            else:
                cells += [_n(counts[0]), _n(counts[1]), _r(record.auc if record else None)]
        rows.append(cells)
    tested = listed_tests(run, languages)
    said = "Features and, after the stroke, the concepts" if many else "Concepts"
    select = (
        "that select them"
        if many
        else "and the features they select, with the AUC at which held-out concepts are told"
    )
    return Table(
        "table-counts",
        f"{said} ({run.provenance}) {select}, per category. {tested}",
        columns,
        rows,
        numeric=columns[1:],
        heading="Features per category",
        strong=[any(r.basic for r in run.results.features if r.category == name) for name in names],
    )


def told_table(run: Run) -> Table:
    """Return how well held-out concepts are told by category in each language."""
    columns = ("Language", "Mean AUC", "Lowest", "Highest", "Input embeddings", "Above chance", "Categories")
    rows = [
        [
            Cell(language_name(one.language)),
            *(_r(value) for value in (one.mean, one.lowest, one.highest, one.static)),
            _n(one.n_above),
            _n(one.n),
        ]
        for one in findings.told(run.results)
    ]
    return Table(
        "table-told",
        "How well the concepts of a category that were held out are told from those of all others, in dense states (area "
        "under the ROC curve, .5 is chance; ridge on membership, layer and penalty chosen inside the folds). Above chance: "
        "categories with q below .05 (DeLong, corrected over categories). No ratings are needed.",
        columns,
        rows,
        numeric=columns[1:],
        heading="Held-out concepts told by category",
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


def dictionary_table(run: Run, language: str, part: pd.DataFrame) -> Table:
    """Return the features of one language, the strongest of each category first."""
    order = {name: place for place, name in enumerate(dict.fromkeys(part["category"]))}
    ranked = part.assign(_place=part["category"].map(order)).sort_values(
        ["_place", "effect"], ascending=[True, False]
    )
    brief = (ranked.groupby("category").cumcount() < BRIEF).tolist()
    rows = [
        (
            Cell(plain_name(str(row["category"]))),
            Cell(str(row["latent"]), float(row["latent"])),
            Cell(number(row["effect"]), row["effect"]),
            Cell(percent(row["rate_in"]), row["rate_in"]),
            Cell(percent(row["rate_pool"]), row["rate_pool"]),
            Cell(p_value(None if np.isnan(row["q"]) else row["q"]), row["q"]),
            Cell(_words(row["top_words"]), lang=language),
        )
        for row in ranked.to_dict("records")
    ]
    columns = ("Category", "Latent", "Effect", "Fires: concepts", "Fires: pool", "q", "Top words")
    return Table(
        f"table-features-{language}",
        f"Emotion features in {language_name(language)}: {len(rows):,} entries over {counted(len(order), 'category')}, "
        f"{counted(int(part['latent'].nunique()), 'latent')}; concept-sets {run.provenance}.",
        columns,
        rows,
        numeric=columns[1:6],
        heading=language_name(language),
        wrap=("Top words",),
        search=f"Filter features in {language_name(language)}",
        brief=brief,
    )


def _words(value: object) -> str:
    return (
        str(value)
        if isinstance(value, str)
        else ", ".join(str(word) for word in np.atleast_1d(np.asarray(value)))
    )


def missing_table(run: Run) -> Table:
    """Return what the study did not compute and every figure that is null, with its reason."""
    results = run.results
    rows = [
        (Cell(m.what), Cell(language_name(m.language) if m.language else DASH), Cell(m.why))
        for m in results.not_computed
    ]
    for p in results.prediction:
        if p.r is None:
            what = f"prediction of {p.target} ({p.norms}) from {set_name(p).lower()}"
            rows.append((Cell(what), Cell(language_name(p.language)), Cell(p.reason or "")))
    for c in results.comparison:
        if c.difference is None:
            what = (
                f"{c.target} ({c.norms}): {FEATURE_SETS[c.features][0]} against {FEATURE_SETS[c.against][0]}"
            )
            rows.append((Cell(what), Cell(language_name(c.language)), Cell(c.reason or "")))
    for a in results.alignment:
        if a.value is None:
            what = (
                f"{STATISTICS[a.statistic]}, {structure_name(a.target or a.against)}, {space_name(a.space)}"
            )
            rows.append((Cell(what), Cell(language_name(a.language)), Cell(a.reason or "")))
    rows += [
        (Cell(f"means over {name}"), Cell(DASH), Cell(WITHOUT_MEANS))
        for kind, name in SUMMARISED.items()
        if any(record.given for record in getattr(results, kind))
        and not any(s.of == kind for s in results.summary)
    ]
    unique = list(dict.fromkeys([*rows, *missing_of_languages(run), *missing_rows(run)]))
    return Table(
        "table-missing",
        "Figures that are not given.",
        ("Figure", "Language", "Reason"),
        unique,
        wrap=("Figure", "Reason"),
        search="Filter what is missing" if len(unique) > 60 else "",
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
        columns = (
            "Kind",
            "Name",
            "Language",
            "Provenance",
            "Entries",
            "Rejected",
            "Scale",
            "Licence",
            "Citation and note",
            "Hash",
        )
        rows = [
            (
                Cell(s.kind),
                Cell(s.name),
                Cell(language_name(s.language) if s.language else DASH),
                Cell(s.provenance or DASH),
                _n(s.n),
                _n(s.n_rejected),
                Cell(s.scale or DASH),
                Cell(s.licence or DASH),
                Cell(" ".join(part for part in (s.citation, s.note) if part) or DASH),
                Cell(s.content_hash or DASH),
            )
            for s in manifest.sources
        ]
        blocks.append(
            Table(
                "table-sources",
                "What the study took from people, with licence and citation.",
                columns,
                rows,
                numeric=("Entries", "Rejected"),
                wrap=("Citation and note", "Scale"),
                heading="Sources",
            )
        )
    if manifest.files:
        pairs = [(Cell(name), Cell(digest)) for name, digest in manifest.files.items()]
        blocks.append(
            Table(
                "table-files",
                "Files read, by sha256.",
                ("File", "sha256"),
                pairs,
                wrap=("sha256",),
                heading="Files",
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
