"""Tables of a comparison's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from emospace.comparison.figures import figure_key
from emospace.comparison.records import Comparison, Figure, FigureRecord
from emospace.records import cross_tabulated, grouped
from emospace.report.blocks import Cell, Table
from emospace.report.columns import Column, build, ci, counts, gaps_table, language_column, of_first, p, score
from emospace.report.verdict import RULE, answer_columns, reasons
from emospace.report.wording import (
    DASH,
    FEATURE_SETS,
    STATIC_SOURCES,
    count,
    counted,
    figure,
    interval,
    language_name,
    p_clause,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

SEARCHED = 16
"""Tables of more rows have a filter."""
KINDS: Mapping[str, Callable[[FigureRecord], str]] = {
    "prediction": lambda r: f"{upper_first(r.target or '')}, {r.against}: r",
    "rsa": lambda r: f"RSA with {structure_name(r.against or '')}{_by(r)}",
    "best_pc_r": lambda r: f"Best component with {r.target}{_by(r)}: r",
    "language_rsa": lambda r: f"RSA with {language_name(r.against or '')}",
    "procrustes": lambda r: f"Circumplex fit with {language_name(r.against or '')}",
    "steering": lambda r: f"Answers judged as {plain_name(r.target or '')}",
}


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


def runs_table(comparison: Comparison) -> Table:
    """Return what each run is."""
    return build(
        "table-runs",
        (counts("No.", lambda run: comparison.runs.index(run) + 1), *RUNS),
        comparison.runs,
        strong=lambda run: run is comparison.runs[0],
        baseline=comparison.baseline,
    )


def answers_table(comparison: Comparison) -> Table:
    """Return the three answers of each run in each language, as its report gives them."""
    whole = (record for record in comparison.answers if record.about is None)
    rows = grouped(whole, lambda record: (record.run, record.language))
    return build(
        "table-answers",
        (
            Column("Run", lambda answers: answers[0].run),
            language_column(get=lambda answers: answers[0].language),
            *answer_columns(lambda answers: answers),
        ),
        rows.values(),
        more_than=SEARCHED - 1,
        text="table-answers-of-runs",
        rule=RULE,
        reasons=reasons([record for answers in rows.values() for record in answers]),
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


def rsa_table(comparison: Comparison) -> Table:
    """Return model x model RSA of every pair of runs."""
    return build(
        "table-rsa",
        RSA,
        comparison.rsa,
        more_than=SEARCHED,
        strong=lambda r: len(comparison.runs) > 2 and comparison.baseline in (r.a, r.b),
        relabellings=counted(comparison.n_permutations, "relabelling"),
        seed=comparison.seed,
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


def depth_table(comparison: Comparison) -> Table:
    """Return the agreement of layers for every pair of runs."""
    return build("table-depth", DEPTH, comparison.depth, more_than=SEARCHED, text="table-depth-of-runs")


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


def onset_table(comparison: Comparison) -> Table:
    """Return how early each run comes near people's ratings."""
    return build("table-onset", ONSET, comparison.onset, more_than=SEARCHED)


def figures_table(comparison: Comparison) -> Table:
    """Return the main figures: a row a figure, a column a run, differences from the first run in brackets."""
    rows = cross_tabulated(comparison.figures, figure_key, lambda record: record.run)

    def of_run(name: str) -> Callable[[dict[str, FigureRecord]], Cell]:
        return lambda row: _figure_cell(row.get(name))

    return build(
        "table-figures",
        (
            Column("Figure", of_first(lambda record: KINDS[record.kind](record))),
            language_column(get=of_first("language")),
            Column("Of", of_first(_of)),
            *(Column(label, of_run(name), numeric=True) for name, label in numbered(comparison).items()),
        ),
        rows.values(),
        more_than=SEARCHED,
        strong=lambda row: next(iter(row.values())).of == "space",
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


def differences_table(comparison: Comparison) -> Table:
    """Return the differences in r on common words."""
    return build(
        "table-differences",
        DIFFERENCES,
        comparison.differences,
        more_than=SEARCHED,
        strong=lambda r: r.features == "space",
        baseline=comparison.baseline,
        seed=comparison.seed,
    )


def missing_table(comparison: Comparison) -> Table:
    """Return what could not be compared, and why."""
    figures: list[tuple[str, Figure]] = [(f"RSA of {r.a} and {r.b}", r) for r in comparison.rsa]
    figures += [(f"layers of {r.a} and {r.b}", r) for r in comparison.depth]
    figures += [(f"layers of {r.run} and people's ratings", r) for r in comparison.onset]
    figures += [(f"difference in r of {r.run}, {r.target} ({r.norms})", r) for r in comparison.differences]
    return gaps_table(
        [
            *((m.what, m.language, m.why) for m in comparison.not_computed),
            *((what, r.language, r.reason) for what, r in figures if r.reason),
        ],
        searched=False,
    )


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
