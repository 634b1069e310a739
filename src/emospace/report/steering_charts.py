"""Figures of steering: what a dose does, what is judged instead of the target, and where the words go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.judges import BASIC, BASIC_SEVEN
from emospace.records import SteeringRecord
from emospace.report import plots
from emospace.report.blocks import Chart
from emospace.report.wording import DASH, figure, interval, number, plain_name, upper_first

if TYPE_CHECKING:
    import pandas as pd

Curves = Mapping[str, Sequence[SteeringRecord]]
RATE, RATIO = "target_rate", "perplexity_ratio"


def dose_curves(curves: Curves, controls: Sequence[SteeringRecord], outcome: str) -> Chart:
    """Draw a rate or perplexity ratio over dose, one line an emotion; random directions are dashed.

    Parameters
    ----------
    curves
        Emotion -> its records, unsteered (dose 0) first.
    controls
        Random directions, one record a dose, already the mean over the emotions.
    outcome
        `RATE` or `RATIO`; the latter is drawn on a logarithmic axis.
    """
    traces = [
        _curve(upper_first(plots.text(plain_name(name))), records, outcome, plots.hue(place))
        for place, (name, records) in enumerate(sorted(curves.items()))
    ]
    if controls:
        traces.append(
            _curve("Random directions", controls, outcome, "var(--c-control)", width=2.5, dash="dash")
        )
    y = plots.axis("target rate", range=[-0.02, 1.04], tickformat=".0%")
    if outcome == RATIO:
        y = plots.axis("perplexity ratio", type="log", tickvals=[0.5, 1, 2, 4, 8, 16, 32, 64])
    drawn = plots.drawing(
        traces,
        plots.axis("dose", rangemode="tozero", zeroline=False),
        y,
        plots.ABOVE,
        margin={"t": 30 + 20 * ((len(traces) + 2) // 3)},
    )
    return Chart({"": drawn}, height=400)


def _curve(
    name: str, records: Sequence[SteeringRecord], outcome: str, colour: str, width: float = 2, **style: Any
) -> plots.Json:
    shown = sorted(
        (record for record in records if getattr(record, outcome) is not None and record.dose is not None),
        key=lambda record: record.dose or 0.0,
    )
    return plots.line(
        [record.dose for record in shown],
        [getattr(record, outcome) for record in shown],
        [_dose_hover(name, record) for record in shown],
        colour,
        width=width,
        marker={
            "color": colour,
            "size": [10 if record.calibrated else 5 for record in shown],
            "symbol": ["diamond" if record.calibrated else "circle" for record in shown],
        },
        name=name,
        **style,
    )


def _dose_hover(name: str, record: SteeringRecord) -> str:
    lines = [f"<b>{name}</b>, dose {number(record.dose, 3)}{' (calibrated)' if record.calibrated else ''}"]
    rate = f"rate {figure(record.target_rate)}"
    if record.ci_low is not None:
        rate += f" (95% CI {interval(record.ci_low, record.ci_high)})"
    lines.append(rate)
    if record.target_rate_masked is not None:
        lines.append(f"concept words masked {figure(record.target_rate_masked)}")
    lines.append(f"perplexity ratio {number(record.perplexity_ratio)}")
    return "<br>".join(lines)


def confusion(variants: Mapping[str, pd.DataFrame]) -> Chart:
    """Draw target x judged, rows summing to 1, one variant a kind of vector; every square carries its share."""
    return Chart({key: _confusion(table) for key, table in variants.items()}, height=430)


def _confusion(table: pd.DataFrame) -> plots.Json:
    judged = [name for name in BASIC_SEVEN if name in table]
    values = table[judged].to_numpy(dtype=float)
    return plots.heat(
        values,
        [_confused(row) for row in table.to_dict("records")],
        [upper_first(plots.text(plain_name(name))) for name in judged],
        "target %{y}, judged as %{x}: %{z:.0%}",
        shown=[[figure(share) if share >= 0.005 else DASH for share in row] for row in values],
        x=plots.axis("judged as"),
        margin={"l": 104, "r": 8, "t": 8, "b": 56},
    )


def _confused(row: Mapping[Any, Any]) -> str:
    """Return a target's name, with the answers its row stands on where some could not be judged."""
    name = upper_first(plots.text(plain_name(str(row["target"]))))
    judged, unjudged = row.get("n_judged", 0), row.get("n_unjudged", 0)
    return f"{name} ({judged} of {judged + unjudged})" if unjudged else name


def word_shift(table: pd.DataFrame, rating: str) -> Chart:
    """Draw the shift of the words' mean rating over people's rating of the target, both on -1..1."""
    human, shift = f"human_{rating}", f"{rating}_shift"
    targets = [str(name) for name in table["target"]]
    basic = [name in BASIC for name in targets]
    names = sorted(name for name in targets if name in BASIC)
    bounds = [f"{shift}_low", f"{shift}_high"]
    bounded = set(bounds) <= set(table.columns)
    spans = table[bounds].to_numpy(dtype=float) if bounded else np.full((len(table), 2), np.nan)
    hover = [
        f"<b>{plots.text(plain_name(name))}</b><br>people's {rating} {number(x)}<br>"
        f"words shifted by {number(y, 3)} (95% CI {interval(low, high)})"
        for name, x, y, (low, high) in zip(targets, table[human], table[shift], spans, strict=True)
    ]
    colours = [plots.hue(names.index(name)) if name in BASIC else plots.QUIET for name in targets]
    drawn = plots.drawing(
        [
            plots.marks(
                table[human],
                table[shift],
                hover,
                marker={"color": colours, "size": [10 if flag else 7 for flag in basic]},
            )
        ],
        plots.axis(f"people's {rating} of the target", range=_range(table[human]), zeroline=True),
        plots.axis(f"shift of the words' {rating}", range=_range(table[shift]), zeroline=True),
    )
    return Chart(
        {"": drawn}, shape="square", options={"labels": plots.labels(map(plain_name, targets), basic)}
    )


def _range(values: pd.Series) -> list[float]:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    pad = 0.12 * max(high - low, 0.02)
    return [round(low - pad, 4), round(high + pad, 4)]
