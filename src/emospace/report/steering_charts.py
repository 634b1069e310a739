"""Figures of steering: what a dose does, what is heard instead of the target, and where the words go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.judges import BASIC_SEVEN
from emospace.records import SteeringRecord
from emospace.report.blocks import Chart
from emospace.report.charts import N_HUES, numbers, text
from emospace.report.wording import DASH, figure, interval, number, plain_name, upper_first

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
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
        _curve(upper_first(text(plain_name(name))), records, outcome, f"var(--hue-{place % N_HUES})")
        for place, (name, records) in enumerate(sorted(curves.items()))
    ]
    if controls:
        dashed = _curve("Random directions", controls, outcome, "var(--c-control)")
        traces.append(dashed | {"line": {"color": "var(--c-control)", "dash": "dash", "width": 2.5}})
    rate = outcome == RATE
    axis: Json = (
        {"title": {"text": "target rate"}, "range": [-0.02, 1.04], "tickformat": ".0%"}
        if rate
        else {"title": {"text": "perplexity ratio"}, "type": "log", "tickvals": [0.5, 1, 2, 4, 8, 16, 32, 64]}
    )
    layout = {
        "xaxis": {"title": {"text": "dose"}, "rangemode": "tozero", "zeroline": False},
        "yaxis": axis,
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"t": 30 + 20 * ((len(traces) + 2) // 3)},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=400)


def _curve(name: str, records: Sequence[SteeringRecord], outcome: str, colour: str) -> Json:
    shown = sorted(
        (record for record in records if getattr(record, outcome) is not None and record.dose is not None),
        key=lambda record: record.dose or 0.0,
    )
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": numbers([record.dose for record in shown]),
        "y": numbers([getattr(record, outcome) for record in shown]),
        "line": {"color": colour, "width": 2},
        "marker": {
            "color": colour,
            "size": [10 if record.calibrated else 5 for record in shown],
            "symbol": ["diamond" if record.calibrated else "circle" for record in shown],
        },
        "hovertext": [_dose_hover(name, record) for record in shown],
        "hoverinfo": "text",
    }


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


def _confusion(table: pd.DataFrame) -> Json:
    judged = [name for name in BASIC_SEVEN if name in table]
    values = table[judged].to_numpy(dtype=float)
    return heat_map(
        values,
        [upper_first(text(plain_name(name))) for name in judged],
        [_confused(row) for row in table.to_dict("records")],
        [[figure(share) if share >= 0.005 else DASH for share in row] for row in values],
        top=1,
        title="heard as",
        hover="target %{y}, heard as %{x}: %{z:.0%}",
        left=104,
    )


def _confused(row: Mapping[Any, Any]) -> str:
    """Return a target's name, with the answers its row stands on where some could not be judged."""
    name = upper_first(text(plain_name(str(row["target"]))))
    judged, unjudged = row.get("n_judged", 0), row.get("n_unjudged", 0)
    return f"{name} ({judged} of {judged + unjudged})" if unjudged else name


def heat_map(
    values: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str],
    shown: Sequence[Sequence[str]],
    *,
    top: float,
    title: str,
    hover: str,
    left: int,
) -> Json:
    """Draw shares [n_rows, n_columns] with what is shown of each written in its square.

    Parameters
    ----------
    top
        The share of the brightest colour.
    left
        Margin for the names of the rows, in pixels.
    """
    annotations = [
        {
            "x": columns[j],
            "y": rows[i],
            "text": shown[i][j],
            "showarrow": False,
            "font": {"size": 11, "color": "#10151a" if values[i, j] > 0.55 * top else "#f4f6f8"},
        }
        for i in range(len(rows))
        for j in range(len(columns))
        if np.isfinite(values[i, j])
    ]
    trace = {
        "type": "heatmap",
        "z": [numbers(row) for row in values],
        "x": list(columns),
        "y": list(rows),
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": round(top, 3),
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": f"{hover}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": title}, "type": "category", "showgrid": False},
        "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False},
        "annotations": annotations,
        "margin": {"l": left, "r": 8, "t": 8, "b": 56},
    }
    return {"data": [trace], "layout": layout}


def word_shift(table: pd.DataFrame, rating: str) -> Chart:
    """Draw the shift of the words' mean rating over people's rating of the target, both on -1..1."""
    from emospace.judges import BASIC

    human, shift = f"human_{rating}", f"{rating}_shift"
    basic = [name in BASIC for name in table["target"]]
    names = sorted(str(name) for name, flag in zip(table["target"], basic, strict=True) if flag)
    colours = [
        f"var(--hue-{names.index(name) % N_HUES})" if flag else "var(--quiet)"
        for name, flag in zip(table["target"], basic, strict=True)
    ]
    bounds = [f"{shift}_low", f"{shift}_high"]
    spans = (
        [interval(low, high) for low, high in table[bounds].to_numpy(dtype=float)]
        if set(bounds) <= set(table.columns)
        else [DASH] * len(table)
    )
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(table[human]),
        "y": numbers(table[shift]),
        "hovertext": [
            f"<b>{text(plain_name(str(name)))}</b><br>people's {rating} {number(x)}<br>"
            f"words shifted by {number(y, 3)} (95% CI {span})"
            for name, x, y, span in zip(table["target"], table[human], table[shift], spans, strict=True)
        ],
        "hoverinfo": "text",
        "marker": {"color": colours, "size": [10 if flag else 7 for flag in basic]},
    }
    layout = {
        "xaxis": {
            "title": {"text": f"people's {rating} of the target"},
            "range": _range(table[human]),
            "zeroline": True,
        },
        "yaxis": {
            "title": {"text": f"shift of the words' {rating}"},
            "range": _range(table[shift]),
            "zeroline": True,
        },
    }
    labels = [
        {"text": plain_name(str(name)), "bold": flag}
        for name, flag in zip(table["target"], basic, strict=True)
    ]
    return Chart({"": {"data": [trace], "layout": layout}}, shape="square", options={"labels": labels})


def _range(values: pd.Series) -> list[float]:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    pad = 0.12 * max(high - low, 0.02)
    return [round(low - pad, 4), round(high + pad, 4)]
