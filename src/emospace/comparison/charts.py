"""Charts of a comparison: points with intervals, a matrix of runs, matrices of layers, curves over relative depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.report.blocks import Chart
from emospace.report.charts import numbers, text, vertical
from emospace.report.wording import figure, interval

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
DASHES = ("solid", "dash", "dot")
DARK, LIGHT = "#10151a", "#f4f6f8"
N_LINES = 4


@dataclass(frozen=True)
class Point:
    """A figure with its interval, and what stands beside it."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    beside: float | None = None
    said: str = ""


def points(rows: Mapping[str, Sequence[Point]], title: str, beside: str = "", zero: bool = False) -> Chart:
    """Draw points with intervals below one another, a diamond for what stands beside; one variant a key."""
    every = [point for part in rows.values() for point in part]
    ends = [end for p in every for end in (p.value, p.low, p.high, p.beside) if end is not None] or [0.0]
    low, high = min(0.0, *ends), max(0.05, *ends)
    pad = 0.08 * (high - low)
    span = [low - pad if low < 0 else 0.0, high + pad]
    longest = max((len(part) for part in rows.values()), default=0)
    variants = {key: _points(part, title, beside, span, zero) for key, part in rows.items()}
    return Chart(variants, height=112 + 40 * longest)


def _points(rows: Sequence[Point], title: str, beside: str, span: Sequence[float], zero: bool) -> Json:
    labels = [text(point.label) for point in rows]
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "y": labels,
            "x": numbers([point.value for point in rows]),
            "text": [figure(point.value) for point in rows],
            "textposition": "top center",
            "marker": {"size": 10, "color": "var(--c-concepts)"},
            "name": "figure, 95% CI",
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [max(0.0, (p.value if p.high is None else p.high) - p.value) for p in rows],
                "arrayminus": [max(0.0, p.value - (p.value if p.low is None else p.low)) for p in rows],
                "color": "var(--c-concepts)",
                "thickness": 1.5,
            },
            "hovertext": [
                f"<b>{text(p.label)}</b><br>{figure(p.value)} ({interval(p.low, p.high)})"
                + (f"<br>{text(p.said)}" if p.said else "")
                for p in rows
            ],
            "hoverinfo": "text",
            "cliponaxis": False,
        }
    ]
    if beside and any(point.beside is not None for point in rows):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "y": labels,
                "x": [None if p.beside is None else round(p.beside, 4) for p in rows],
                "marker": {
                    "size": 10,
                    "symbol": "diamond-open",
                    "color": "var(--muted)",
                    "line": {"width": 2},
                },
                "name": text(beside),
                "hovertemplate": f"{text(beside)}: %{{x:.2f}}<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"range": list(span), "title": {"text": title}, "zeroline": True},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": labels[::-1],
            "range": [-0.5, len(labels) - 0.3],
            "automargin": True,
            "showgrid": False,
            "ticks": "",
        },
        "shapes": [vertical(0, "dot", "var(--ink)", 1.2)] if zero else [],
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "margin": {"l": 60, "t": 34 if len(traces) > 1 else 14, "b": 48},
    }
    return {"data": traces, "layout": layout}


def run_matrix(values: np.ndarray, names: Sequence[str], hover: Sequence[Sequence[str]]) -> Json:
    """Draw a matrix of runs [n_runs, n_runs] with its values; columns go by the number a row's name begins with."""
    rows = [text(name) for name in names]
    columns = [row.split(" ", 1)[0] for row in rows]
    low = min(0.0, float(np.nanmin(values, initial=0.0)))
    annotations = [
        {
            # By place: on an axis of categories a number is one, whatever the categories are called.
            "x": j,
            "y": i,
            "text": figure(values[i, j]),
            "showarrow": False,
            "font": {"size": 11, "color": DARK if values[i, j] - low > 0.55 * (1 - low) else LIGHT},
        }
        for i in range(len(rows))
        for j in range(len(rows))
        if np.isfinite(values[i, j])
    ]
    trace = {
        "type": "heatmap",
        "z": [numbers(row) for row in values],
        "x": columns,
        "y": rows,
        "colorscale": "Viridis",
        "zmin": round(low, 3),
        "zmax": 1,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertext": [[text(cell) for cell in row] for row in hover],
        "hoverinfo": "text",
    }
    layout = {
        "xaxis": {"type": "category", "side": "top", "showgrid": False, "zeroline": False, "ticks": ""},
        "yaxis": {
            "autorange": "reversed",
            "type": "category",
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
            "ticks": "",
        },
        "annotations": annotations,
        "margin": {"l": 60, "r": 8, "t": 30, "b": 8},
    }
    return {"data": [trace], "layout": layout}


def layer_matrix(part: pd.DataFrame, names: tuple[str, str], limits: tuple[float, float]) -> Json:
    """Draw the RSA of all layers of one run (across) with all of another (up), with equal depth and best matches.

    A name is called by the number it begins with on the axes, where there is no room for more.
    """
    grid = part.pivot_table(index="depth_b", columns="depth_a", values="rsa", dropna=False)
    across, up = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
    values = grid.to_numpy(dtype=float)
    best = np.where(np.isfinite(values), values, -2.0).argmax(axis=0)
    a, b = (text(name) for name in names)
    heat = {
        "type": "heatmap",
        "z": [numbers(row) for row in np.round(values, 3)],
        "x": numbers(across),
        "y": numbers(up),
        "colorscale": "Viridis",
        "zmin": round(limits[0], 3),
        "zmax": round(limits[1], 3),
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickformat": ".1f", "nticks": 4},
        "hovertemplate": f"{a}: depth %{{x:.2f}}<br>{b}: depth %{{y:.2f}}<br>RSA %{{z:.2f}}<extra></extra>",
    }
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": "#ffffff", "width": 1.2, "dash": "dot"},
        "name": "equal depth",
        "hoverinfo": "skip",
    }
    matched = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(across),
        "y": numbers(up[best]),
        "marker": {"size": 6, "color": "#ffffff", "line": {"color": DARK, "width": 1}},
        "name": "most alike",
        "hovertemplate": "most alike: %{x:.2f} with %{y:.2f}<extra></extra>",
    }
    span = [-0.5 / max(len(across) - 1, 1), 1 + 0.5 / max(len(across) - 1, 1)]
    rise = [-0.5 / max(len(up) - 1, 1), 1 + 0.5 / max(len(up) - 1, 1)]
    layout = {
        "xaxis": {
            "title": {"text": f"depth in run {a.split(' ', 1)[0]}"},
            "range": span,
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": f"depth in run {b.split(' ', 1)[0]}"},
            "range": rise,
            "showgrid": False,
            "zeroline": False,
        },
        "margin": {"l": 62, "r": 8, "t": 8, "b": 50},
    }
    return {"data": [heat, diagonal, matched], "layout": layout}


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], order: Sequence[str]) -> Json:
    """Draw one line a run over relative depth; a run's place in `order` says its colour and dash."""
    places = {name: place for place, name in enumerate(order)}
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(x) <= 40 else "lines",
            "name": text(name),
            "x": numbers(x),
            "y": numbers(y),
            "line": {
                "color": f"var(--line-{place % N_LINES})",
                "dash": DASHES[place // N_LINES % len(DASHES)],
                "width": 2,
            },
            "marker": {"size": 5},
            "hovertemplate": f"{text(name)}<br>depth %{{x:.2f}}: %{{y:.2f}}<extra></extra>",
        }
        for name, (x, y) in lines.items()
        for place in [places[name]]
    ]
    ends = [value for _, y in lines.values() for value in y if np.isfinite(value)]
    layout = {
        "xaxis": {
            "title": {"text": "relative depth (layer / blocks)"},
            "range": [-0.02, 1.02],
            "zeroline": False,
        },
        "yaxis": {"title": {"text": "RSA"}, "range": [min([0.0, *ends]) - 0.04, max([0.2, *ends]) + 0.06]},
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "margin": {"t": 10, "b": 70 + 20 * ((len(traces) + 1) // 2)},
    }
    return {"data": traces, "layout": layout}


def nothing(why: str) -> Json:
    """Return a drawing that says why there is none."""
    note = {
        "text": text(why),
        "showarrow": False,
        "x": 0.5,
        "y": 0.5,
        "xref": "paper",
        "yref": "paper",
        "font": {"color": "var(--muted)"},
    }
    return {
        "data": [],
        "layout": {"annotations": [note], "xaxis": {"visible": False}, "yaxis": {"visible": False}},
    }
