"""The page of a comparison: each section takes records and tables and gives blocks, or the reason it has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emospace.artefacts import write_text
from emospace.comparison import charts, findings, tables
from emospace.comparison.comparing import Compared
from emospace.comparison.figures import figure_key
from emospace.comparison.records import Comparison, DifferenceRecord, FigureRecord, ModelRSARecord
from emospace.records import cross_tabulated, grouped, matching
from emospace.report.blocks import (
    Block,
    Cards,
    Chart,
    Code,
    Figures,
    Panel,
    Part,
    Prose,
    Reason,
    Section,
    build_sections,
)
from emospace.report.columns import Column, build, counts, gaps_table
from emospace.report.page import render_page
from emospace.report.plots import Json, Point, nothing, points
from emospace.report.texts import panel, phrase, prose
from emospace.report.verdict import ANSWERS_IN, RULE, answer_columns, reasons
from emospace.report.wording import (
    FEATURE_SETS,
    counted,
    figure,
    interval,
    language_name,
    listed,
    p_clause,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

MATRIX_HEIGHT = 380
MOST_ROWS, MAIN_SETS = 14, ("space", "dense")
"""Rows of a figure that shows runs beside one another, and the feature sets it shows; a table has all."""
SEARCHED = 16
"""Tables of more rows have a filter."""


def write_page(compared: Compared, out: Path | str) -> Path:
    """Write `comparison.html` into a folder, one file that opens offline, and return its path."""
    path = Path(out) / "comparison.html"
    write_text(path, render(compared))
    return path


def render(compared: Compared) -> str:
    """Return the page as HTML; the same comparison gives the same bytes."""
    comparison = compared.comparison
    return render_page(_title(comparison), "emospace compare", _summary(comparison), sections(compared))


def _title(comparison: Comparison) -> str:
    names = [run.name for run in comparison.runs]
    if len(names) == 2:
        return f"{names[1]} beside {names[0]}"
    return f"{counted(len(names), 'run')} side by side"


def _summary(comparison: Comparison) -> str:
    languages = listed([language_name(code) for code in comparison.languages])
    models = len({run.model for run in comparison.runs})
    return (
        f"{counted(len(comparison.runs), 'run')} of {counted(models, 'model')}, held against {comparison.baseline}; "
        f"compared in {languages}."
    )


def sections(compared: Compared) -> tuple[Section, ...]:
    """Return the sections in reading order."""
    made: tuple[Part[Compared], ...] = (
        ("answer", "Do these models represent emotion alike?", "Answer", _answer),
        ("runs", "What is compared", "Runs", _runs),
        ("arrangement", "Are the same categories alike?", "Arrangement", _arrangement),
        ("depth", "Layer by relative depth", "Depth", _depth),
        ("figures", "Figures side by side", "Figures", _figures),
        ("missing", "What was not computed, and why", "Not computed", _missing),
        ("manifest", "What these figures rest on", "Manifest", _manifest),
    )
    return build_sections(compared, made)


def _answer(compared: Compared) -> Iterator[Block]:
    yield Prose(findings.answer(compared.comparison), role="answer")
    if made := findings.cards(compared.comparison):
        yield Cards(made)


def _runs(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield build(
        "table-runs",
        (counts("No.", lambda run: comparison.runs.index(run) + 1), *tables.RUNS),
        comparison.runs,
        strong=lambda run: run is comparison.runs[0],
        baseline=comparison.baseline,
    )
    whole = [record for record in comparison.answers if record.about is None]
    if comparison.answers:
        yield build(
            "table-answers",
            (Column("Run", lambda answers: answers[0].run), ANSWERS_IN, *answer_columns()),
            grouped(whole, lambda record: (record.run, record.language)).values(),
            more_than=SEARCHED - 1,
            text="table-answers-of-runs",
            rule=RULE,
            reasons=reasons(whole),
        )


def _by_language(comparison: Comparison, panels: Sequence[Panel], heading: str = "") -> Figures:
    """Return panels with a variant a language."""
    switch = [(language, language_name(language)) for language in comparison.languages]
    return Figures(panels, heading=heading, switch=switch, switch_label="Language", group="language")


def _variants(
    comparison: Comparison, draw: Callable[[str], Json | None], why: str = "", height: int = MATRIX_HEIGHT
) -> Chart:
    """Return what is drawn of each language; where that is nothing, the drawing says why."""
    return Chart({name: draw(name) or nothing(why) for name in comparison.languages}, height=height)


def _arrangement(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield prose("text-comparison-arrangement")
    panels, alone = [], len(comparison.runs) == 2
    if chart := _rsa_points(comparison):
        figures = [phrase("compared.figure", r=r) for r in findings.with_baseline(comparison.rsa, comparison)]
        panels.append(
            panel("arrangement-points", chart, baseline=comparison.baseline, figures=" ".join(figures))
        )
    if not alone:
        height = 60 + 40 * len(comparison.runs)
        drawn = _variants(comparison, partial(_run_matrix, comparison), height=height)
        panels.append(panel("arrangement-matrix", drawn))
    if panels:
        yield Figures(panels, group="language") if alone else _by_language(comparison, panels)
    yield build(
        "table-rsa",
        tables.RSA,
        comparison.rsa,
        more_than=SEARCHED,
        strong=lambda r: len(comparison.runs) > 2 and comparison.baseline in (r.a, r.b),
        relabellings=comparison.n_permutations,
        seed=comparison.seed,
    )


def _rsa_points(comparison: Comparison) -> Chart | None:
    """Return the RSA with the baseline: rows are languages for two runs, else runs, a variant a language."""
    alone = len(comparison.runs) == 2
    number = tables.numbered(comparison)
    given = [r for r in findings.with_baseline(comparison.rsa, comparison) if r.value is not None]

    def point(r: ModelRSARecord) -> Point:
        details = ", ".join(filter(None, [p_clause(r.p_fdr), counted(r.n, "category")]))
        label = language_name(r.language) if alone else number[r.b]
        return Point(label, r.value or 0.0, r.ci_low, r.ci_high, r.baseline, details)

    of_language = (
        {"": given} if alone else {name: matching(given, language=name) for name in comparison.languages}
    )
    rows = {key: [point(record) for record in part] for key, part in of_language.items()}
    why = "no run shares this language with the first"
    return points(rows, "RSA (Spearman)", "before the first block", why=why) if given else None


def _run_matrix(comparison: Comparison, language: str) -> Json:
    names = list(tables.numbered(comparison).values())
    place = {run.name: index for index, run in enumerate(comparison.runs)}
    values = np.full((len(names), len(names)), np.nan)
    hover = [["" for _ in names] for _ in names]
    for r in comparison.rsa:
        if r.language == language:
            i, j = place[r.a], place[r.b]
            span = f"({interval(r.ci_low, r.ci_high)}), n = {r.n}" if r.value is not None else r.reason
            hover[i][j] = hover[j][i] = f"{r.a} and {r.b}: {figure(r.value)} {span}"
            values[i, j] = values[j, i] = np.nan if r.value is None else r.value
    return charts.run_matrix(values, names, hover)


def _depth(compared: Compared) -> Iterator[Block]:
    comparison, frames = compared.comparison, compared.tables
    if "depth" not in frames:
        yield Reason("Layers of two runs", _why_no_layers(comparison))
    if "depth" not in frames and "people" not in frames:
        return
    yield prose("text-comparison-depth")
    lines = (
        _equal_panel(comparison, frames.get("depth_equal")),
        _people_panel(comparison, frames.get("people")),
    )
    if drawn := [panel for panel in lines if panel]:
        yield _by_language(comparison, drawn)
    if "depth" in frames and (panels := list(_matrix_panels(comparison, frames["depth"]))):
        yield _by_language(
            comparison, panels, f"All layers against those of the baseline ({comparison.baseline})"
        )
    if comparison.onset:
        yield build("table-onset", tables.ONSET, comparison.onset, more_than=SEARCHED)
    if comparison.depth:
        yield build(
            "table-depth", tables.DEPTH, comparison.depth, more_than=SEARCHED, text="table-depth-of-runs"
        )


def _why_no_layers(comparison: Comparison) -> str:
    reasons = [m.why for m in comparison.not_computed if m.what.startswith("layers of")]
    reasons += [record.reason for record in comparison.depth if record.reason]
    return reasons[0] if reasons else "no two runs hold RDMs by layer"


def _curves(comparison: Comparison, table: pd.DataFrame, run: str, why: str) -> Chart:
    """Return a line a run over depth, a variant a language; the column `run` of the table names the runs."""
    number = tables.numbered(comparison)

    def draw(language: str) -> Json | None:
        lines = {
            number[str(name)]: (part["depth"].tolist(), part["rsa"].tolist())
            for name, part in table[table["language"] == language].groupby(run, sort=False)
        }
        return charts.curves(lines, list(number.values())) if lines else None

    return _variants(comparison, draw, why)


def _equal_panel(comparison: Comparison, table: pd.DataFrame | None) -> Panel | None:
    if table is None or comparison.baseline not in set(table["a"]):
        return None
    means = [
        phrase("compared.mean", r=r)
        for r in findings.with_baseline(comparison.depth, comparison)
        if r.value is not None
    ]
    of_baseline = table[table["a"] == comparison.baseline]
    chart = _curves(comparison, of_baseline, "b", "no layers to compare")
    return panel("depth-equal", chart, baseline=comparison.baseline, figures=means)


def _people_panel(comparison: Comparison, table: pd.DataFrame | None) -> Panel | None:
    if table is None:
        return None
    highest = [phrase("compared.highest", r=r) for r in comparison.onset if r.value is not None]
    chart = _curves(comparison, table, "run", "no ratings in this language")
    return panel("depth-people", chart, figures=highest)


def _matrix_panels(comparison: Comparison, table: pd.DataFrame) -> Iterator[Panel]:
    table = table[table["a"] == comparison.baseline]
    if not table["rsa"].notna().any():
        return
    limits = float(table["rsa"].min()), float(table["rsa"].max())
    number = tables.numbered(comparison)
    for place, name in enumerate(comparison.others, 2):
        of_run = table[table["b"] == name]

        def draw(language: str, of_run: pd.DataFrame = of_run, name: str = name) -> Json | None:
            part = of_run[of_run["language"] == language]
            names = number[comparison.baseline], number[name]
            return None if part.empty else charts.layer_matrix(part, names, limits)

        if not of_run.empty:
            yield panel(
                f"depth-matrix-{place}",
                _variants(comparison, draw, "no layers to compare in this language"),
                text="depth-matrix",
                heading=number[name],
                baseline=comparison.baseline,
                name=name,
            )


def _side_by_side(comparison: Comparison) -> Iterator[Figures]:
    """Yield the main figures of each kind, the runs beside one another, a variant a language."""
    panels = []
    for kind, part in grouped(comparison.figures, lambda record: record.kind).items():
        heading, title, caption = tables.SHOWN[kind]

        def rows_of(language: str, part: Sequence[FigureRecord] = part) -> dict[str, list[FigureRecord]]:
            given = [r for r in tables.of_language(part, language) if r.value is not None]
            main = [r for r in given if r.kind != "prediction" or r.of in MAIN_SETS]
            return dict(list(grouped(main, tables.row_name).items())[:MOST_ROWS])

        rows = {language: rows_of(language) for language in comparison.languages}
        if not any(rows.values()):
            continue
        runs = [run.name for run in comparison.runs]
        variants = {
            language: charts.side_by_side(given, runs, title)
            if given
            else nothing("no run has such a figure")
            for language, given in rows.items()
        }
        height = 96 + max(charts.ROW, 14 * len(runs) + 8) * max(map(len, rows.values()))
        chart = Chart(variants, height=height)
        panels.append(
            panel(f"beside-{kind}", chart, text="beside", heading=heading, caption=caption, runs=runs)
        )
    if panels:
        yield _by_language(comparison, panels)


def _figures(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield from _side_by_side(comparison)
    if comparison.figures:
        yield build(
            "table-figures",
            tables.figure_columns(comparison),
            cross_tabulated(comparison.figures, figure_key, lambda record: record.run).values(),
            more_than=SEARCHED,
            strong=lambda row: next(iter(row.values())).of == "space",
        )
    else:
        yield Reason("Figures side by side", "the runs hold no figure in a common language")
    if not comparison.differences:
        yield Reason("Differences in r", f"no other run predicted the norms that {comparison.baseline} did")
        return
    if any(record.difference is not None for record in comparison.differences):
        yield _difference_figures(comparison)
    yield build(
        "table-differences",
        tables.DIFFERENCES,
        comparison.differences,
        more_than=SEARCHED,
        strong=lambda r: r.features == "space",
        baseline=comparison.baseline,
        seed=comparison.seed,
    )


def _difference_figures(comparison: Comparison) -> Figures:
    """Return the differences in r: all in one panel for two runs, else a panel a rating and a variant a norms set."""
    given = [record for record in comparison.differences if record.difference is not None]
    of_dense = {_rating(r): r.difference for r in given if r.features == "dense"}
    norms = list(dict.fromkeys((record.language, record.norms) for record in given))
    two = len(comparison.runs) == 2
    number = tables.numbered(comparison)

    def point(r: DifferenceRecord) -> Point:
        label = f"{language_name(r.language)}, {r.norms}: {r.target}" if two else number[r.run]
        details = phrase("compared.details", name=FEATURE_SETS[r.features][0], record=r)
        return Point(label, r.difference or 0.0, r.ci_low, r.ci_high, of_dense.get(_rating(r)), details)

    made = []
    for target, part in grouped(matching(given, features="space"), lambda r: "" if two else r.target).items():
        of_norms = (
            {"": part}
            if two
            else {
                f"{language}-{name}": matching(part, language=language, norms=name)
                for language, name in norms
            }
        )
        rows = {key: [point(record) for record in records] for key, records in of_norms.items()}
        why = "these norms do not rate it, or it could not be compared"
        made.append(
            panel(
                f"difference-{target}",
                points(rows, "difference in r", "dense states", zero=True, why=why),
                text="difference",
                heading=upper_first(target) or comparison.others[0],
                baseline=comparison.baseline,
            )
        )
    switch = [("-".join(pair), f"{language_name(pair[0])}, {pair[1]}") for pair in norms]
    return Figures(
        made,
        heading=f"r less the baseline's ({comparison.baseline}), on the same words",
        switch=[] if two else switch,
        switch_label="Norms",
        group="norms",
    )


def _rating(record: DifferenceRecord) -> tuple[str, str, str, str]:
    return record.run, record.language, record.norms, record.target


def _missing(compared: Compared) -> Iterator[Block]:
    table = gaps_table(tables.gaps(compared.comparison), searched=False)
    yield table if table.rows else prose("text-comparison-missing")


def _manifest(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield Code(comparison.command, heading="Command that makes these figures again")
    yield prose("text-comparison-manifest", seed=comparison.seed, relabellings=comparison.n_permutations)
