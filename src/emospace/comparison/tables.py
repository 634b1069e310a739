"""Columns of the tables of a comparison's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from emospace.comparison.records import ComparedFigure, Comparison, FigureRecord
from emospace.report.blocks import Cell
from emospace.report.columns import Column, Gap, ci, counts, language_column, of_first, p, score
from emospace.report.wording import (
    DASH,
    FEATURE_SETS,
    STATIC_SOURCES,
    count,
    figure,
    interval,
    language_name,
    p_clause,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

KINDS: Mapping[str, Callable[[FigureRecord], str]] = {
    "prediction": lambda r: f"{upper_first(r.target or '')}, {r.against}: r",
    "rsa": lambda r: f"RSA with {structure_name(r.against or '')}{_by(r)}",
    "best_pc_r": lambda r: f"Best component with {r.target}{_by(r)}: r",
    "language_rsa": lambda r: f"RSA with {language_name(r.against or '')}",
    "procrustes": lambda r: f"Circumplex fit with {language_name(r.against or '')}",
    "steering": lambda r: f"Answers judged as {plain_name(r.target or '')}",
}


SHOWN: Mapping[str, tuple[str, str, str]] = {
    "prediction": ("Predicted ratings", "r, out of fold", "Concept words are out of the test folds."),
    "rsa": (
        "Agreement with people's structures",
        "RSA (Spearman)",
        "Categories' dissimilarities in the model and among people.",
    ),
    "best_pc_r": ("Best axis", "r", "The best of the first components, tested as a maximum."),
    "language_rsa": ("Agreement of languages", "RSA (Spearman)", "Two languages' spaces in one model."),
    "procrustes": (
        "Fit of languages' planes",
        "Procrustes fit",
        "The first two components of two languages.",
    ),
    "steering": (
        "Steering",
        "rate of the target emotion",
        "Share of answers that a judge takes for the target, at the calibrated dose.",
    ),
}
"""Heading, axis and caption of the figure that shows each kind, the runs beside one another."""

PAIRED = ("language_rsa", "procrustes")


def of_language(figures: Sequence[FigureRecord], language: str) -> list[FigureRecord]:
    """Return the figures of a language, of a pair of languages in either order."""
    facing = [
        r.model_copy(update={"language": language, "against": r.language})
        if r.kind in PAIRED and r.against == language
        else r
        for r in figures
    ]
    return [r for r in facing if r.language == language]


def row_name(record: FigureRecord) -> str:
    """Return what a row of figures is called where its kind and language are known."""
    features = FEATURE_SETS.get(record.of, (plain_name(record.of),))[0]
    source = f", {STATIC_SOURCES.get(record.source, plain_name(record.source))}" if record.source else ""
    if record.kind in PAIRED:
        return language_name(record.against or "")
    if record.kind == "steering":
        return f"{plain_name(record.target or '')}, {plain_name(record.of)}"
    if record.kind == "prediction":
        return f"{upper_first(record.target or '')}, {plain_name(record.against or '')}, {features}{source}"
    against = structure_name(record.against or "") if record.kind == "rsa" else record.target or ""
    return f"{upper_first(against)}, {features}{source}"


def numbered(comparison: Comparison) -> dict[str, str]:
    """Return run name -> the name with its number, by which charts call it."""
    return {run.name: f"{place} {run.name}" for place, run in enumerate(comparison.runs, 1)}


RUNS = (
    Column("Run", lambda run: run.name),
    Column("Model", "model"),
    counts("Blocks", "n_blocks"),
    counts("Width", "d_model"),
    counts("Parameters", "n_parameters"),
    Column("Quantisation", "quantisation"),
    Column(
        "Space",
        lambda run: space_name(run.space) + (f" ({run.sae})" if run.sae and run.space == "sae" else ""),
    ),
    counts("SAE latents", "n_latents"),
    counts("Layer", "layer"),
    Column(
        "Languages",
        lambda run: Cell(", ".join(run.languages), note=", ".join(map(language_name, run.languages))),
    ),
    counts("Categories", "n_categories"),
    Column("Seed", "seed", numeric=True),
    Column("Folder", lambda run: Cell(run.folder, note=f"results.json sha256 {run.file_hash}")),
)


PAIR = (language_column(), Column("Run", "a"), Column("And", "b"))
RSA = (
    *PAIR,
    Column("Of", lambda r: " / ".join(dict.fromkeys(map(space_name, (r.space_a, r.space_b))))),
    score("RSA", "value", note="reason"),
    ci(),
    p("p", "p"),
    p("p (FDR)", "p_fdr"),
    score("Before the first block", "baseline"),
    score("Given that", "partial"),
    ci("partial_low", "partial_high", "95% CI, given"),
    p("p, given", "partial_p"),
    counts("Categories", "n"),
)


DEPTH = (
    *PAIR,
    score("At equal depth", "value", note="reason"),
    ci(),
    score("At any depth", "any_depth"),
    score("Highest", "best"),
    Column("Where", lambda r: f"{figure(r.best_depth_a)} / {figure(r.best_depth_b)}"),
    score("Shift", "shift"),
    ci("shift_low", "shift_high", "95% CI of shift"),
    Column("Layers", lambda r: f"{r.n_layers_a} / {r.n_layers_b}"),
    counts("Categories", "n"),
)


ONSET = (
    language_column(),
    Column("Run", "run"),
    score("Highest RSA", "value", note="reason"),
    score("At depth", "depth"),
    p("p", "p"),
    score("Onset, depth", "onset_depth"),
    ci("onset_low", "onset_high"),
    counts("Onset, layer", "onset_layer"),
    score("Before the first block", "before"),
    counts("Layers", "n_layers"),
    counts("Categories", "n"),
)


def figure_columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return the columns of the main figures: a row a figure, a column a run, differences from the first in brackets."""

    def of_run(name: str) -> Callable[[dict[str, FigureRecord]], Cell]:
        return lambda row: _figure_cell(row.get(name))

    return (
        Column("Figure", of_first(lambda record: KINDS[record.kind](record))),
        language_column(get=of_first("language")),
        Column("Of", of_first(_of)),
        *(Column(label, of_run(name), numeric=True) for name, label in numbered(comparison).items()),
    )


DIFFERENCES = (
    Column("Run", "run"),
    language_column(),
    Column("Norms", "norms"),
    Column("Rating", "target"),
    Column("Features", lambda r: FEATURE_SETS[r.features][0]),
    score("r", "r"),
    score("r of the first", "r_against"),
    score("Difference", "difference", note="reason"),
    ci(),
    p("p", "p"),
    p("p (FDR)", "p_fdr"),
    counts("Words", "n"),
)


def gaps(comparison: Comparison) -> list[Gap]:
    """Return what could not be compared, and why."""
    figures: list[tuple[str, ComparedFigure]] = [
        *((f"RSA of {r.a} and {r.b}", r) for r in comparison.rsa),
        *((f"layers of {r.a} and {r.b}", r) for r in comparison.depth),
        *((f"layers of {r.run} and people's ratings", r) for r in comparison.onset),
        *((f"difference in r of {r.run}, {r.target} ({r.norms})", r) for r in comparison.differences),
    ]
    return [
        *((m.what, m.language, m.why) for m in comparison.not_computed),
        *((what, r.language, r.reason) for what, r in figures if r.reason),
    ]


def _by(record: FigureRecord) -> str:
    return f", {record.source}" if record.source else ""


def _of(record: FigureRecord) -> str:
    if record.kind == "steering":
        return f"{plain_name(record.of)} vectors"
    name = FEATURE_SETS[record.of][0] if record.of in FEATURE_SETS else space_name(record.of)
    source = record.source if record.kind == "prediction" else None
    return f"{name} ({STATIC_SOURCES.get(source, plain_name(source))})" if source else name


def _figure_cell(record: FigureRecord | None) -> Cell:
    if record is None:
        return Cell(DASH, note="not in this run")
    if record.value is None:
        return Cell(DASH, note=record.reason)
    change = ""
    if record.difference is not None:
        change = f" ({'+' if round(record.difference, 2) > 0 else ''}{figure(record.difference)})"
    parts = [f"95% CI {interval(record.ci_low, record.ci_high)}" if record.ci_low is not None else ""]
    parts += [p_clause(record.p), f"n = {count(record.n)}"]
    return Cell(f"{figure(record.value)}{change}", record.value, note=", ".join(filter(None, parts)))
