"""The sections of a comparison's page: each takes records and tables and gives blocks, or the reason it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from emospace.comparison import charts, findings, tables
from emospace.comparison.comparing import Compared
from emospace.comparison.records import Comparison, DifferenceRecord, ModelRSARecord
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
from emospace.report.plots import Point, nothing, points
from emospace.report.texts import panel, prose
from emospace.report.wording import counted, figure, interval, language_name, p_clause, upper_first

if TYPE_CHECKING:
    import pandas as pd

MATRIX_HEIGHT = 380


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
    yield tables.runs_table(compared.comparison)
    if compared.comparison.answers:
        yield tables.answers_table(compared.comparison)


def _switch(comparison: Comparison) -> list[tuple[str, str]]:
    return [(language, language_name(language)) for language in comparison.languages]


def _arrangement(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield prose("text-comparison-arrangement")
    panels, alone = [], len(comparison.runs) == 2
    chart = _rsa_points(comparison)
    if chart:
        panels.append(
            panel(
                "arrangement-points",
                chart,
                baseline=comparison.baseline,
                alt="Correlation of category structures. "
                + " ".join(_said(r) for r in findings.with_baseline(comparison.rsa, comparison)),
            )
        )
    if not alone:
        panels.append(_run_matrix(comparison))
    if panels:
        yield Figures(
            panels, switch=[] if alone else _switch(comparison), switch_label="Language", group="language"
        )
    yield tables.rsa_table(comparison)


def _said(record: ModelRSARecord) -> str:
    return f"{record.b} in {language_name(record.language)} {figure(record.value)}, n = {record.n}."


def _rsa_points(comparison: Comparison) -> Chart | None:
    """Return the RSA with the baseline: rows are languages for two runs, else runs, a variant a language."""
    alone = len(comparison.runs) == 2
    number = tables.numbered(comparison)
    rows: dict[str, list[Point]] = {"": []} if alone else {language: [] for language in comparison.languages}
    for record in findings.with_baseline(comparison.rsa, comparison):
        if record.value is None:
            continue
        details = ", ".join(filter(None, [p_clause(record.p_fdr), counted(record.n, "category")]))
        label = language_name(record.language) if alone else number[record.b]
        ends = (record.ci_low, record.ci_high, record.baseline)
        rows["" if alone else record.language].append(Point(label, record.value, *ends, details))
    if not any(rows.values()):
        return None
    chart = points(rows, "RSA (Spearman)", "before the first block")
    return _with_reasons(chart, rows, "no run shares this language with the first")


def _with_reasons(chart: Chart, rows: Mapping[str, list[Point]], why: str) -> Chart:
    variants = {key: chart.variants[key] if part else nothing(why) for key, part in rows.items()}
    return Chart(variants, height=chart.height)


def _run_matrix(comparison: Comparison) -> Panel:
    names = list(tables.numbered(comparison).values())
    place = {run.name: index for index, run in enumerate(comparison.runs)}
    variants = {}
    for language in comparison.languages:
        values = np.full((len(names), len(names)), np.nan)
        hover = [["" for _ in names] for _ in names]
        for r in comparison.rsa:
            if r.language != language:
                continue
            i, j = place[r.a], place[r.b]
            hovering = f"{r.a} and {r.b}: {figure(r.value)}"
            hovering += (
                f" ({interval(r.ci_low, r.ci_high)}), n = {r.n}" if r.value is not None else f" {r.reason}"
            )
            hover[i][j] = hover[j][i] = hovering
            if r.value is not None:
                values[i, j] = values[j, i] = r.value
        variants[language] = charts.run_matrix(values, names, hover)
    return panel("arrangement-matrix", Chart(variants, height=60 + 40 * len(names)))


def _depth(compared: Compared) -> Iterator[Block]:
    comparison, frames = compared.comparison, compared.tables
    if "depth" not in frames:
        yield Reason("Layers of two runs", _why_no_layers(comparison))
    if "depth" not in frames and "people" not in frames:
        return
    yield prose("text-comparison-depth")
    switch = _switch(comparison)
    lines = [
        panel
        for panel in (
            _equal_panel(comparison, frames["depth_equal"]) if "depth_equal" in frames else None,
            _people_panel(comparison, frames["people"]) if "people" in frames else None,
        )
        if panel
    ]
    if lines:
        yield Figures(lines, switch=switch, switch_label="Language", group="language")
    if "depth" in frames and (panels := _matrix_panels(comparison, frames["depth"])):
        yield Figures(
            panels,
            heading=f"All layers against those of {comparison.baseline}",
            switch=switch,
            switch_label="Language",
            group="language",
        )
    if comparison.onset:
        yield tables.onset_table(comparison)
    if comparison.depth:
        yield tables.depth_table(comparison)


def _why_no_layers(comparison: Comparison) -> str:
    reasons = [m.why for m in comparison.not_computed if m.what.startswith("layers of")]
    reasons += [record.reason for record in comparison.depth if record.reason]
    return reasons[0] if reasons else "no two runs hold RDMs by layer"


def _curves(comparison: Comparison, table: pd.DataFrame, run: str, why: str) -> Chart:
    """Return a line a run over depth, a variant a language; the column `run` of the table names the runs."""
    number = tables.numbered(comparison)
    variants = {}
    for language in comparison.languages:
        lines = {
            number[str(name)]: (part["depth"].tolist(), part["rsa"].tolist())
            for name, part in table[table["language"] == language].groupby(run, sort=False)
        }
        variants[language] = charts.curves(lines, list(number.values())) if lines else nothing(why)
    return Chart(variants, height=MATRIX_HEIGHT)


def _equal_panel(comparison: Comparison, table: pd.DataFrame) -> Panel | None:
    table = table[table["a"] == comparison.baseline]
    if table.empty:
        return None
    means = [
        f"{r.b}, {language_name(r.language)}: mean {figure(r.value)} ({interval(r.ci_low, r.ci_high)})"
        for r in findings.with_baseline(comparison.depth, comparison)
        if r.value is not None
    ]
    return panel(
        "depth-equal",
        _curves(comparison, table, "b", "no layers to compare"),
        baseline=comparison.baseline,
        value="; ".join(means),
    )


def _people_panel(comparison: Comparison, table: pd.DataFrame) -> Panel:
    highest = [
        f"{r.run}, {language_name(r.language)}: highest {figure(r.value)} at {figure(r.depth)}"
        for r in comparison.onset
        if r.value is not None
    ]
    return panel(
        "depth-people",
        _curves(comparison, table, "run", "no ratings in this language"),
        value="; ".join(highest),
    )


def _matrix_panels(comparison: Comparison, table: pd.DataFrame) -> list[Panel]:
    table = table[table["a"] == comparison.baseline]
    if table.empty or not table["rsa"].notna().any():
        return []
    limits = float(table["rsa"].min()), float(table["rsa"].max())
    number = tables.numbered(comparison)
    panels = []
    for place, name in enumerate(comparison.others, 2):
        of_run = table[table["b"] == name]
        if of_run.empty:
            continue
        variants = {}
        for language in comparison.languages:
            part = of_run[of_run["language"] == language]
            variants[language] = (
                nothing("no layers to compare in this language")
                if part.empty
                else charts.layer_matrix(part, (number[comparison.baseline], number[name]), limits)
            )
        caption = (
            "RSA of every layer with every layer; white points: the layer most like each of "
            f"{comparison.baseline}; dotted: equal depth."
        )
        panels.append(
            panel(
                f"depth-matrix-{place}",
                Chart(variants, height=MATRIX_HEIGHT),
                text="depth-matrix",
                heading=number[name],
                caption=caption,
                baseline=comparison.baseline,
                name=name,
            )
        )
    return panels


def _figures(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    if comparison.figures:
        yield tables.figures_table(comparison)
    else:
        yield Reason("Figures side by side", "the runs hold no figure in a common language")
    if not comparison.differences:
        yield Reason("Differences in r", f"no other run predicted the norms that {comparison.baseline} did")
        return
    if any(record.difference is not None for record in comparison.differences):
        yield _difference_figures(comparison)
    yield tables.differences_table(comparison)


def _difference_figures(comparison: Comparison) -> Figures:
    """Return the differences in r: all in one panel for two runs, else a panel a rating and a variant a norms set."""
    given = [record for record in comparison.differences if record.difference is not None]
    of_dense = {_rating(r): r.difference for r in given if r.features == "dense"}
    norms = list(dict.fromkeys((record.language, record.norms) for record in given))
    two = len(comparison.runs) == 2
    number = tables.numbered(comparison)
    panels: dict[str, dict[str, list[Point]]] = {}
    for r in given:
        if r.features != "space" or r.difference is None:
            continue
        name = f"{language_name(r.language)}, {r.norms}"
        label = f"{name}: {r.target}" if two else number[r.run]
        target, key = ("", "") if two else (r.target, f"{r.language}-{r.norms}")
        rows = panels.setdefault(target, {} if two else {"-".join(pair): [] for pair in norms})
        details = findings.difference_of(r)
        point = Point(label, r.difference, r.ci_low, r.ci_high, of_dense.get(_rating(r)), details)
        rows.setdefault(key, []).append(point)
    made = []
    for target, rows in panels.items():
        heading = upper_first(target) if target else f"{comparison.others[0]} less {comparison.baseline}"
        chart = points(rows, "difference in r", "dense states", zero=True)
        made.append(
            panel(
                f"difference-{target}",
                _with_reasons(chart, rows, "these norms do not rate it, or it could not be compared"),
                text="difference",
                heading=heading,
                baseline=comparison.baseline,
            )
        )
    switch = [("-".join(pair), f"{language_name(pair[0])}, {pair[1]}") for pair in norms]
    return Figures(
        made,
        heading=f"r less that of {comparison.baseline}, on the same words",
        switch=[] if two else switch,
        switch_label="Norms",
        group="norms",
    )


def _rating(record: DifferenceRecord) -> tuple[str, str, str, str]:
    return record.run, record.language, record.norms, record.target


def _missing(compared: Compared) -> Iterator[Block]:
    table = tables.missing_table(compared.comparison)
    yield table if table.rows else prose("text-comparison-missing")


def _manifest(compared: Compared) -> Iterator[Block]:
    comparison = compared.comparison
    yield Code(comparison.command, heading="Command that makes these figures again")
    yield prose(
        "text-comparison-manifest",
        seed=comparison.seed,
        counted=counted(comparison.n_permutations, "relabelling"),
    )
