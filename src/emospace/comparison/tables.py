"""Tables of a comparison's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from emospace.comparison.figures import figure_key
from emospace.comparison.records import Comparison, FigureRecord, RunAnswerRecord
from emospace.report.blocks import Cell, Table
from emospace.report.steering_tables import rated
from emospace.report.verdict import NAMES, RULE, answer_cell, reasons
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
    p_value,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

FEWEST_SEARCHED = 16
KINDS: Mapping[str, Callable[[FigureRecord], str]] = {
    "prediction": lambda r: f"{upper_first(r.target or '')}, {r.against}: r",
    "rsa": lambda r: f"RSA with {structure_name(r.against or '')}{_by(r)}",
    "best_pc_r": lambda r: f"Best component with {r.target}{_by(r)}: r",
    "language_rsa": lambda r: f"RSA with {language_name(r.against or '')}",
    "procrustes": lambda r: f"Circumplex fit with {language_name(r.against or '')}",
    "steering": lambda r: f"Answers heard as {plain_name(r.target or '')}",
}


def numbered(comparison: Comparison) -> dict[str, str]:
    """Return run name -> the name with its number, by which charts call it."""
    return {run.name: f"{place} {run.name}" for place, run in enumerate(comparison.runs, 1)}


def runs_table(comparison: Comparison) -> Table:
    """Return what each run is."""
    columns = (
        *("No.", "Run", "Model", "Blocks", "Width", "Parameters", "Quantisation", "Space", "SAE latents"),
        *("Layer", "Languages", "Categories", "Seed", "Folder"),
    )
    rows = [
        (
            _n(place),
            Cell(run.name),
            Cell(run.model),
            _n(run.n_blocks),
            _n(run.d_model),
            _n(run.n_parameters),
            Cell(run.quantisation or DASH),
            Cell(space_name(run.space) + (f" ({run.sae})" if run.sae and run.space == "sae" else "")),
            _n(run.n_latents),
            _n(run.layer),
            Cell(", ".join(run.languages), note=", ".join(map(language_name, run.languages))),
            _n(run.n_categories),
            Cell(str(run.seed), run.seed),
            Cell(run.folder, note=f"results.json sha256 {run.file_hash}"),
        )
        for place, run in enumerate(comparison.runs, 1)
    ]
    return Table(
        "table-runs",
        f"The runs; the first, {comparison.baseline}, is what the others are held against.",
        columns,
        rows,
        numeric=("No.", "Blocks", "Width", "Parameters", "SAE latents", "Layer", "Categories", "Seed"),
        strong=[place == 0 for place in range(len(rows))],
    )


def answers_table(comparison: Comparison) -> Table:
    """Return the three answers of each run in each language, as its report gives them."""
    rows: dict[tuple[str, str], list[RunAnswerRecord]] = {}
    for record in comparison.answers:
        if record.about is None:
            rows.setdefault((record.run, record.language), []).append(record)
    return Table(
        "table-answers",
        f"{RULE}{reasons([record for answers in rows.values() for record in answers])}",
        ("Run", "Language", *NAMES.values()),
        [
            (Cell(run), Cell(language_name(language)), *map(answer_cell, answers))
            for (run, language), answers in rows.items()
        ],
        heading="Three questions, asked of each run",
        search="Filter the answers" if len(rows) >= FEWEST_SEARCHED else "",
    )


def rsa_table(comparison: Comparison) -> Table:
    """Return model x model RSA of every pair of runs."""
    columns = (
        *("Language", "Run", "And", "Of", "RSA", "95% CI", "p", "p (FDR)", "Before the first block"),
        *("Given that", "95% CI, given", "p, given", "Categories"),
    )
    rows = [
        (
            Cell(language_name(r.language)),
            Cell(r.a),
            Cell(r.b),
            Cell(" / ".join(dict.fromkeys(map(space_name, (r.space_a, r.space_b))))),
            rated(r.value, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            _p(r.p),
            _p(r.p_fdr),
            rated(r.baseline),
            rated(r.partial),
            Cell(interval(r.partial_low, r.partial_high)),
            _p(r.partial_p),
            _n(r.n),
        )
        for r in comparison.rsa
    ]
    return Table(
        "table-rsa",
        "Spearman correlation of two runs' RDMs of the categories both have. p from "
        f"{counted(comparison.n_permutations, 'relabelling')} of categories, adjusted over all pairs and languages; "
        "intervals resample categories. Before the first block: the same for the states that enter the model. Given "
        f"that: the partial correlation with both of those RDMs held constant. Seed {comparison.seed}.",
        columns,
        rows,
        numeric=("RSA", "p", "p (FDR)", "Before the first block", "Given that", "p, given", "Categories"),
        heading="All pairs",
        search=_search(rows, "Filter the pairs of runs"),
        strong=[comparison.baseline in (r.a, r.b) for r in comparison.rsa]
        if len(comparison.runs) > 2
        else (),
    )


def depth_table(comparison: Comparison) -> Table:
    """Return the agreement of layers for every pair of runs."""
    columns = (
        *("Language", "Run", "And", "At equal depth", "95% CI", "At any depth", "Highest", "Where"),
        *("Shift", "95% CI of shift", "Layers", "Categories"),
    )
    rows = [
        (
            Cell(language_name(r.language)),
            Cell(r.a),
            Cell(r.b),
            rated(r.value, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            rated(r.any_depth),
            rated(r.best),
            Cell(f"{figure(r.best_depth_a)} / {figure(r.best_depth_b)}"),
            rated(r.shift),
            Cell(interval(r.shift_low, r.shift_high)),
            Cell(f"{r.n_layers_a} / {r.n_layers_b}"),
            _n(r.n),
        )
        for r in comparison.depth
    ]
    return Table(
        "table-depth",
        "RSA of dense states: mean over layers at the same relative depth, and over all pairs of layers. Highest: the "
        "pair of layers most alike, and its depth in either run. Shift: how much deeper, as a share of all blocks, the "
        "second run's layer most like a layer of the first lies. Intervals resample categories.",
        columns,
        rows,
        numeric=("At equal depth", "At any depth", "Highest", "Shift", "Categories"),
        heading="Layers of all pairs",
        search=_search(rows, "Filter the pairs of runs"),
    )


def onset_table(comparison: Comparison) -> Table:
    """Return how early each run comes near people's ratings."""
    columns = (
        *("Language", "Run", "Highest RSA", "At depth", "p", "Onset, depth", "95% CI", "Onset, layer"),
        *("Before the first block", "Layers", "Categories"),
    )
    rows = [
        (
            Cell(language_name(r.language)),
            Cell(r.run),
            rated(r.value, r.reason),
            rated(r.depth),
            _p(r.p),
            rated(r.onset_depth),
            Cell(interval(r.onset_low, r.onset_high)),
            _n(r.onset_layer),
            rated(r.before),
            _n(r.n_layers),
            _n(r.n),
        )
        for r in comparison.onset
    ]
    return Table(
        "table-onset",
        "RSA of dense states with people's valence-arousal distances. p is that of a highest value over layers. Onset: "
        "the first layer that reaches 90% of the highest, as a layer and as relative depth, with the interval over "
        "resampled categories. All runs of a language are held to the categories that all of them and the ratings have.",
        columns,
        rows,
        numeric=(*columns[2:6], *columns[7:]),
        heading="How early each run comes near people's ratings",
        search=_search(rows, "Filter the runs"),
    )


def figures_table(comparison: Comparison) -> Table:
    """Return the main figures: a row a figure, a column a run, differences from the first run in brackets."""
    names = [run.name for run in comparison.runs]
    found: dict[tuple[str | None, ...], dict[str, FigureRecord]] = {}
    for record in comparison.figures:
        found.setdefault(figure_key(record), {})[record.run] = record
    columns = ("Figure", "Language", "Of", *(f"{place} {name}" for place, name in enumerate(names, 1)))
    rows = []
    for by_run in found.values():
        one = next(iter(by_run.values()))
        rows.append(
            (
                Cell(KINDS[one.kind](one)),
                Cell(language_name(one.language)),
                Cell(_of(one)),
                *(_figure_cell(by_run.get(name)) for name in names),
            )
        )
    return Table(
        "table-figures",
        "The main figures of every run, in brackets the difference from the first. Hover for interval, p and n. Ratings "
        "are predicted with concept words out of the test folds; the emotion space is a run's own (SAE features, or "
        "dense directions in a run without an SAE).",
        columns,
        rows,
        numeric=columns[3:],
        heading="Main figures",
        search=_search(rows, "Filter the figures"),
        strong=[row[2].text == FEATURE_SETS["space"][0] for row in rows],
    )


def differences_table(comparison: Comparison) -> Table:
    """Return the differences in r on common words."""
    columns = (
        *("Run", "Language", "Norms", "Rating", "Features", "r", "r of the first", "Difference", "95% CI"),
        *("p", "p (FDR)", "Words"),
    )
    rows = [
        (
            Cell(r.run),
            Cell(language_name(r.language)),
            Cell(r.norms),
            Cell(r.target),
            Cell(FEATURE_SETS[r.features][0]),
            rated(r.r),
            rated(r.r_against),
            rated(r.difference, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            _p(r.p),
            _p(r.p_fdr),
            _n(r.n),
        )
        for r in comparison.differences
    ]
    return Table(
        "table-differences",
        f"r of each run less r of {comparison.baseline}, on the words that both predicted and that are concept words of "
        "neither, so that r may differ a little from the figures above. Paired bootstrap over word groups; p is "
        f"two-sided, adjusted over all rows. Seed {comparison.seed}.",
        columns,
        rows,
        numeric=("r", "r of the first", "Difference", "p", "p (FDR)", "Words"),
        heading="Differences on the same words",
        search=_search(rows, "Filter the differences"),
        strong=[r.features == "space" for r in comparison.differences],
    )


def missing_table(comparison: Comparison) -> Table:
    """Return what could not be compared, and why."""
    rows = [
        (Cell(m.what), Cell(language_name(m.language) if m.language else DASH), Cell(m.why))
        for m in comparison.not_computed
    ]
    pairs: list[tuple[str, Any]] = [(f"RSA of {r.a} and {r.b}", r) for r in comparison.rsa]
    pairs += [(f"layers of {r.a} and {r.b}", r) for r in comparison.depth]
    pairs += [(f"layers of {r.run} and people's ratings", r) for r in comparison.onset]
    pairs += [(f"difference in r of {r.run}, {r.target} ({r.norms})", r) for r in comparison.differences]
    rows += [
        (Cell(what), Cell(language_name(record.language)), Cell(record.reason))
        for what, record in pairs
        if record.reason
    ]
    return Table(
        "table-missing",
        "Figures that are not given.",
        ("Figure", "Language", "Reason"),
        list(dict.fromkeys(rows)),
        wrap=("Figure", "Reason"),
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


def _search(rows: object, label: str) -> str:
    return label if isinstance(rows, list) and len(rows) > FEWEST_SEARCHED else ""


def _n(value: int | None) -> Cell:
    return Cell(count(value), value)


def _p(value: float | None) -> Cell:
    return Cell(p_value(value), value)
