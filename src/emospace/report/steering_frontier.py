"""What tone costs: each way of steering over perplexity and over facts kept, and ways at equal cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

from emospace.display import get_value
from emospace.evaluation.frontier import KEPT, OUTCOMES, RATIOS
from emospace.report import plots
from emospace.report.blocks import Block, Chart, Figures, Reason, Table
from emospace.report.columns import Column, build, ci, counts, p, plain, score
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel
from emospace.report.wording import DASH, figure, interval, number, way_name

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
POINTS = ("way", "emotion", "factor", "dosed", *OUTCOMES, "perplexity_ratio", "facts_kept")
FIGURES = ("way", "emotion", "at", "level", "figure", "value", "value_low", "value_high", "reason")
TESTS = (
    "way",
    "other",
    "level",
    "figure",
    "difference",
    "difference_low",
    "difference_high",
    "p_fdr",
    "reason",
)
SHOWN = {"target_rate": "As written", "target_rate_masked": "Concept words masked"}
RATIO, FACTS = "perplexity_ratio", "facts_kept"
HUES = (0, 1, 2, 3, 5)
"""Colours of the ways beside the first, whose own is that of hue 4."""


@or_reason("Ways at equal cost")
def frontier(run: Run) -> Iterator[Block]:
    """Yield the curves of all ways, what they give at equal cost, and their tests."""
    points = _means(run.table("steering_frontier", POINTS))
    if points.empty:
        raise Absent("no basic emotion could be judged at several doses")
    switch = list(SHOWN.items())
    panels = [panel("steering-frontier-ratio", _chart(points, RATIO), ways=points["way"].nunique())]
    if points[FACTS].notna().any():
        panels.append(panel("steering-frontier-facts", _chart(points, FACTS), ways=points["way"].nunique()))
    yield Figures(panels, switch=switch, switch_label="Judged", group="frontier")
    figures = _means(run.table("steering_frontier_figures", FIGURES))
    yield _figure_table(figures)
    tests = run.table("steering_frontier_tests", TESTS)
    if tests.empty:
        yield Reason("Ways beside each other", "there is one way of steering")
    else:
        yield _test_table(tests)


def _means(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["emotion"].isna()]


def _chart(points: pd.DataFrame, cost: str) -> Chart:
    return Chart({outcome: _drawing(points, cost, outcome) for outcome in SHOWN}, height=420)


def _drawing(points: pd.DataFrame, cost: str, outcome: str) -> plots.Json:
    traces = []
    hues = cycle(HUES)
    for place, (way, part) in enumerate(points.groupby("way", sort=False)):
        known = part[part[cost].notna() & part[outcome].notna()]
        colour = (
            plots.CONCEPTS if not place else "var(--c-control)" if way == "random" else plots.hue(next(hues))
        )
        rows: list[Any] = known.to_dict("records")
        traces.append(
            plots.line(
                known[cost],
                known[outcome],
                [_hover(row, outcome) for row in rows],
                colour,
                width=2.5 if not place else 1.8,
                dash="dash" if way == "random" else "solid",
                marker={
                    "color": colour,
                    "size": [10 if row["factor"] == 1.0 or not row["dosed"] else 5 for row in rows],
                    "symbol": ["diamond" if row["factor"] == 1.0 else "circle" for row in rows],
                },
                name=way_name(str(way)),
            )
        )
    x = plots.axis("facts kept", tickformat=".0%", autorange="reversed")
    if cost == RATIO:
        x = plots.axis("perplexity ratio", type="log", tickvals=[0.5, 0.75, 1, *RATIOS, 3, 4, 8, 16, 32])
    y = plots.axis("target rate", range=[-0.02, 1.04], tickformat=".0%")
    return plots.drawing(traces, x, y, plots.ABOVE, margin={"t": 30 + 20 * ((len(traces) + 1) // 2)})


def _hover(row: Row, outcome: str) -> str:
    start = {True: f"{number(row['factor'])} of the calibrated dose", False: "no dose"}[bool(row["dosed"])]
    kept = get_value(row, FACTS)
    lines = [
        f"<b>{plots.text(way_name(str(row['way'])))}</b>, {start}",
        f"rate {figure(row[outcome])} ({interval(get_value(row, f'{outcome}_low'), get_value(row, f'{outcome}_high'))})",
        f"perplexity ratio {number(row[RATIO])}",
        *([] if kept is None else [f"facts kept {figure(kept)}"]),
    ]
    return "<br>".join(lines)


def _figure_table(figures: pd.DataFrame) -> Table:
    ways = list(dict.fromkeys(figures["way"]))
    rows: list[Any] = figures.to_dict("records")
    by: dict[tuple[Any, ...], Row] = {
        (row["way"], row["at"], row["level"], row["figure"]): row for row in rows
    }

    def shown(name: str, at: str, level: float, measure: str, ranged: bool = False) -> tuple[Column, ...]:
        def row(way: str) -> Row:
            return by.get((way, at, level, measure), {})

        make = plain if measure == RATIO else score
        column = make(
            name, lambda way: get_value(row(way), "value"), note=lambda way: get_value(row(way), "reason")
        )
        if not ranged:
            return (column,)
        return column, Column(
            f"95% CI ({name.lower()})",
            lambda way: interval(get_value(row(way), "value_low"), get_value(row(way), "value_high")),
        )

    columns = [Column("Answers", lambda way: way_name(str(way)))]
    columns.append(counts("Emotions", lambda way: by[way, RATIO, RATIOS[0], "target_rate"]["n_emotions"]))
    for ratio in RATIOS:
        columns += shown(f"Rate at {ratio:g}", RATIO, ratio, "target_rate", ranged=True)
        columns += shown(f"Masked at {ratio:g}", RATIO, ratio, "target_rate_masked")
        columns += shown(f"Facts kept at {ratio:g}", RATIO, ratio, FACTS)
    columns += shown(f"Rate at {KEPT:.0%} of facts", FACTS, KEPT, "target_rate", ranged=True)
    columns += shown(f"Masked at {KEPT:.0%} of facts", FACTS, KEPT, "target_rate_masked")
    columns += shown(f"Ratio at {KEPT:.0%} of facts", FACTS, KEPT, RATIO)
    return build(
        "table-steering-frontier", columns, ways, strong=lambda way: way == ways[0], kept=f"{KEPT:.0%}"
    )


def _test_table(tests: pd.DataFrame) -> Table:
    rows: list[Any] = tests.to_dict("records")
    return build(
        "table-steering-frontier-tests",
        (
            Column("Against", "other", lambda way: way_name(str(way))),
            plain("At ratio", "level"),
            Column("Rate", "figure", lambda name: SHOWN.get(name, name)),
            score("Difference", "difference", note="reason"),
            ci("difference_low", "difference_high"),
            p("p (FDR)", "p_fdr"),
            Column("Why no test", lambda row: get_value(row, "reason") or DASH, wrap=True)
            if any(get_value(row, "reason") for row in rows)
            else None,
        ),
        rows,
        main=way_name(str(rows[0]["way"])),
    )
