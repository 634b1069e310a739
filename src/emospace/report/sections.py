"""The sections of the report: each takes the run and gives blocks, or the reason it has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.records import (
    AlignmentRecord,
    FeatureRecord,
    cross_tabulated,
    geometry,
    is_beside_the_answer,
    matching,
)
from emospace.report import charts, findings
from emospace.report.blocks import (
    Block,
    Cards,
    Cell,
    Figures,
    Fold,
    Part,
    Prose,
    Reason,
    Section,
    Table,
    build_sections,
)
from emospace.report.columns import (
    Column,
    build,
    ci,
    counts,
    language_column,
    of_first,
    of_named,
    p,
    plain,
    score,
    shares,
)
from emospace.report.languages import by_language, languages_section
from emospace.report.manifest import missing_table
from emospace.report.predicted import layers, prediction, words
from emospace.report.run import Absent, Run, or_reason
from emospace.report.steering import is_steering_run, reading_section, steering_page, steering_section
from emospace.report.texts import panel, prose
from emospace.report.transfer import crossing_section
from emospace.report.verdict import answer_table, answers_in_words, overview_table
from emospace.report.wording import (
    DASH,
    MANY,
    STATISTICS,
    count,
    counted,
    figure,
    interval,
    language_name,
    listed,
    p_clause,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)
from emospace.study.summary import category_aucs

if TYPE_CHECKING:
    import pandas as pd

BRIEF = 3
"""Features of a category that print keeps."""
CIRCUMPLEX = ("category", "human_valence", "human_arousal", "human_source", "model_x", "model_y")
NO_NORMS = "no norms rate enough of its categories"


def sections(run: Run) -> tuple[Section, ...]:
    """Return the sections in reading order; `manifest` is added by the page."""
    missing = Section("missing", "What was not computed, and why", "Not computed", tuple(_missing(run)))
    if is_steering_run(run):
        return (*steering_page(run), *reading_section(run), missing)
    made: tuple[Part[Run], ...] = (
        ("answer", "Does the model represent emotion as people do?", "Answer", _answer),
        ("circumplex", "Categories on valence and arousal", "Circumplex", _circumplex),
        ("rdms", "Which categories are alike", "Similarity", _rdms),
        ("layers", "Where in the model ratings can be read", "Layers", layers),
        ("prediction", "Predicting people's ratings of words", "Prediction", prediction),
        ("words", "Predicted and observed ratings, word by word", "Words", words),
        ("dictionary", "Feature dictionary", "Dictionary", _dictionary),
        ("languages", "One language against another", "Languages", languages_section),
    )
    study = build_sections(run, made)
    return (*study, *crossing_section(run), *steering_section(run), *reading_section(run), missing)


def _answer(run: Run) -> Iterator[Block]:
    many = len(run.languages) >= MANY
    yield Prose(answers_in_words(run.results, run.title), role="answers")
    if many and (left_out := findings.left_out(run)):
        yield Prose(left_out)
    if made := findings.cards(run):
        yield Cards(made)
        yield Fold("Terms", [prose("text-terms")])
    else:
        yield Reason("Key figures", "results.json holds no prediction or alignment figure")
    lines = {language: findings.language_line(run, language) for language in run.languages}
    answered = [verdict.language for verdict in run.results.verdicts if verdict.about is not None]
    if not many:
        if answered:
            yield answer_table(run.results, run.languages)
        if shown := [line for line in lines.values() if line]:
            yield Fold("The key figures in words", [Prose(shown)])
        return
    if answered:
        yield overview_table(run.results, run.languages)
    parts: dict[str, list[Block]] = {language: [] for language in lines}
    for language, line in lines.items():
        if language in answered:
            rule = f"The answers in {language_name(language)} with their figures, by the rule above."
            key = f"table-answers-{language}"
            parts[language].append(answer_table(run.results, [language], key, rule))
        parts[language] += [Prose([line])] if line else []
    yield from by_language({language: blocks for language, blocks in parts.items() if blocks})


@or_reason("Circumplex")
def _circumplex(run: Run) -> Iterator[Block]:
    yield prose("text-circumplex", provenance=run.provenance)
    languages = run.table("circumplex", ("language", *CIRCUMPLEX))["language"].unique()
    yield from by_language({str(name): list(circumplex_figures(run, str(name))) for name in languages})
    if without := [language_name(name) for name in run.languages if name not in languages]:
        yield Reason(listed(without), NO_NORMS)


@or_reason("Circumplex")
def circumplex_figures(run: Run, language: str) -> Iterator[Block]:
    """Yield the categories of one language in people and in the model, or the reason there are none."""
    table = run.table("circumplex", ("language", *CIRCUMPLEX))
    part = table[table["language"] == language]
    if part.empty:
        raise Absent(NO_NORMS)
    yield _circumplex_figures(run, language, part)


def _circumplex_figures(run: Run, language: str, part: pd.DataFrame) -> Figures:
    if "basic" not in part.columns:
        basic = {record.category for record in run.results.features if record.basic}
        part = part.assign(basic=part["category"].isin(basic))
    rated, placed = (
        part.dropna(subset=columns).reset_index(drop=True)
        for columns in (["human_valence", "human_arousal"], ["model_x", "model_y"])
    )
    fits = matching(run.results.alignment, language=language, statistic="procrustes", space=run.main_space)
    fit = next((record for record in fits if record.given), None)
    people = charts.circumplex(rated, "human_valence", "human_arousal", ("valence", "arousal"))
    model = charts.circumplex(placed, "model_x", "model_y", ("valence direction", "arousal direction"))
    panels = [
        panel(
            f"circumplex-{language}-people",
            people,
            text="circumplex-people",
            derived=int((rated["human_source"].astype(str) == "derived").sum()),
            n=len(rated),
        ),
        panel(
            f"circumplex-{language}-model",
            model,
            text="circumplex-model",
            heading=run.title,
            fit=_fit(fit) if fit else "",
            n=len(placed),
        ),
    ]
    return Figures(panels, heading=language_name(language))


def _fit(record: AlignmentRecord) -> str:
    return f" Procrustes fit {', '.join(filter(None, (figure(record.value), p_clause(record.p))))}."


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


def _rdms(run: Run) -> Iterator[Block]:
    yield prose("text-rdms")
    yield from by_language({language: list(rdm_figures(run, language)) for language in run.languages})
    if run.results.alignment:
        yield build(
            "table-alignment",
            ALIGNMENT,
            run.alignment(lambda a: a.statistic != "rdm_weight" and not is_beside_the_answer(a.against)),
            searched=len(run.languages) >= MANY,
            strong=lambda a: a.space == "sae" and a.statistic == "rsa_spearman",
            provenance=run.provenance,
        )
    else:
        yield Reason("Table of alignment", "results.json holds no alignment figure")


def rdm_figures(run: Run, language: str, layer: int | None = None) -> Iterator[Block]:
    """Yield the RDMs of one language in one order, the model's first, or why they are not given.

    Parameters
    ----------
    layer
        Whose dense states stand for the model; the run's own space unless given.
    """
    try:
        model = run.rdm(f"rdm_{language}") if layer is None else run.rdm_of_layer(language, layer)
    except Absent as absent:
        yield Reason(f"Similarity of categories in {language_name(language)}", str(absent))
        return
    human: dict[str, pd.DataFrame] = {}
    unread = []
    for against in run.human_structures(language):
        try:
            human[against] = run.rdm(f"rdm_human_{language}_{against}")
        except Absent as absent:
            what = f"{upper_first(structure_name(against))} in {language_name(language)}"
            unread.append(Reason(what, str(absent)))
    order = category_order(model, human)
    key, chart, n = f"rdm-{language}-model", charts.rdm(model, order, first=True), len(model)
    panels = [
        panel(key, chart, text="rdm-model", heading=run.title, n=n)
        if layer is None
        else panel(key, chart, text="rdm-layer", layer=layer, n=n)
    ]
    for against, square in human.items():
        panels.append(
            panel(
                f"rdm-{language}-{against}",
                charts.rdm(square, order, first=False),
                text="rdm",
                heading=upper_first(structure_name(against)),
                caption=_rsa_caption(run, language, against) if layer is None else "",
                n=len(square),
            )
        )
    yield Figures(panels, columns=max(3, len(panels)), heading=language_name(language), group="rdm")
    yield from unread


def _rsa_caption(run: Run, language: str, against: str) -> str:
    record = geometry(run.results.alignment, language, against)
    if record is None:
        unknown = "results.json holds none for this structure"
        missing = matching(run.results.alignment, language=language, against=against)
        return f"No RSA was given: {next((r.reason for r in missing if r.reason), unknown)}."
    parts = [f"RSA with the model {figure(record.value)}"]
    if record.ci_low is not None:
        parts.append(f"95% CI {interval(record.ci_low, record.ci_high)}")
    parts += [p_clause(record.p), f"n = {counted(record.n, 'category')}"]
    return f"{', '.join(filter(None, [*parts, *findings.beside(run, record)]))}."


def category_order(model: pd.DataFrame, human: dict[str, pd.DataFrame]) -> list[str]:
    """Return the model's categories in clustering order of the first human RDM, those it lacks at the end."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    base = next(iter(human.values()), model)
    names = [name for name in base.index if name in model.index]
    square = base.loc[names, names].to_numpy(dtype=float)
    rest = [name for name in model.index if name not in names]
    if len(names) < 3 or not np.isfinite(square).all():
        return names + rest
    square = (square + square.T) / 2
    np.fill_diagonal(square, 0.0)
    tree = linkage(squareform(square, checks=False), method="average", optimal_ordering=True)
    return [names[place] for place in leaves_list(tree)] + rest


def _counts_table(run: Run) -> Table:
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
        tested=_tests(run, languages),
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


def _tests(run: Run, languages: Sequence[str]) -> str:
    parts = []
    for language in languages:
        sizes = [record.n for record in matching(run.results.features, language=language)]
        ends = dict.fromkeys(f"{size:,}" for size in (min(sizes), max(sizes)))
        parts.append(f"{language_name(language)}: {' to '.join(ends)}")
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
    Column("Top words", lambda row: _words_of(row["top_words"]), wrap=True, lang="language"),
)


def _dictionary_table(run: Run, language: str, part: pd.DataFrame) -> Table:
    """Return the features of one language, the strongest of each category first."""
    categories = list(dict.fromkeys(part["category"]))
    order = part["category"].map(categories.index)
    ranked = part.assign(_place=order).sort_values(["_place", "effect"], ascending=[True, False])
    return build(
        f"table-features-{language}",
        DICTIONARY,
        ranked.to_dict("records"),
        brief=(ranked.groupby("category").cumcount() < BRIEF).tolist(),
        text="table-features",
        language=language,
        n=len(part),
        categories=len(categories),
        latents=int(part["latent"].nunique()),
        provenance=run.provenance,
    )


def _words_of(value: object) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, np.atleast_1d(np.asarray(value))))


@or_reason("Feature dictionary")
def _dictionary(run: Run) -> Iterator[Block]:
    yield prose("text-dictionary", provenance=run.provenance)
    if run.results.features:
        yield _counts_table(run)
    if any(record.auc is not None for record in run.results.features):
        yield build("table-categories", AUC, category_aucs(run.results))
    columns = ("language", "category", "latent", "effect", "rate_in", "rate_pool", "q", "top_words")
    table = run.table("features", columns)
    tables = {
        str(language): [_dictionary_table(run, str(language), part)]
        for language, part in table.groupby("language", sort=False)
    }
    yield from by_language(tables)


def _missing(run: Run) -> Iterator[Block]:
    table = missing_table(run)
    yield table if table.rows else prose("text-missing")
    if "curated" in run.provenance:
        yield prose("text-missing-2")
