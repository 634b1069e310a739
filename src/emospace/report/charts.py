"""Plotly figures as plain JSON: traces and layouts, colours left as CSS variables for the page to resolve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.records import LanguageRSARecord, PredictionRecord
from emospace.report.blocks import Chart
from emospace.report.wording import (
    FEATURE_SETS,
    counted,
    figure,
    interval,
    language_name,
    number,
    p_clause,
    plain_name,
    set_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

N_HUES = 6
MAX_POINTS = 1200
ORDER = {name: place for place, name in enumerate(FEATURE_SETS)}


def circumplex(table: pd.DataFrame, x: str, y: str, titles: tuple[str, str]) -> Chart:
    """Draw categories on two axes, the basic ones in colour; labels are placed by the page so none overlap."""
    basic = table["basic"].astype(bool)
    hues = {
        name: f"var(--hue-{place % N_HUES})" for place, name in enumerate(sorted(table["category"][basic]))
    }
    derived = table["human_source"].astype(str) == "derived"
    hover = [
        f"<b>{text(row['category'])}</b><br>people: valence {number(row['human_valence'])}, "
        f"arousal {number(row['human_arousal'])} ({text(row['human_source'])})<br>"
        f"model: {number(row['model_x'])}, {number(row['model_y'])}"
        for _, row in table.iterrows()
    ]
    colours = [hues.get(name, "var(--quiet)") for name in table["category"]]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(table[x]),
        "y": numbers(table[y]),
        "hovertext": hover,
        "hoverinfo": "text",
        "marker": {
            "color": colours,
            "size": [11 if flag else 7 for flag in basic],
            "symbol": ["circle-open" if flag else "circle" for flag in derived],
            "line": {"width": 1.5, "color": colours},
        },
    }
    limit = 1.15 * float(np.nanmax(np.abs(table[[x, y]].to_numpy(dtype=float)), initial=0.1))
    axis = {"range": [-limit, limit], "zeroline": True, "nticks": 5}
    layout = {"xaxis": axis | {"title": {"text": titles[0]}}, "yaxis": axis | {"title": {"text": titles[1]}}}
    labels = [
        {"text": plain_name(name), "bold": bool(flag)}
        for name, flag in zip(table["category"], basic, strict=True)
    ]
    return Chart({"": {"data": [trace], "layout": layout}}, shape="square", options={"labels": labels})


def rdm(square: pd.DataFrame, order: Sequence[str], first: bool) -> Chart:
    """Draw a dissimilarity matrix by percentile; categories it lacks stay blank so that rows line up."""
    whole = square.reindex(index=list(order), columns=list(order))
    values = whole.to_numpy(dtype=float)
    names = [text(plain_name(name)) for name in order]
    shown = [
        [number(value) if np.isfinite(value) else "not in this structure" for value in row] for row in values
    ]
    trace = {
        "type": "heatmap",
        "z": [numbers(row) for row in np.round(percentiles(values), 3)],
        "x": names,
        "y": names,
        "customdata": shown,
        "hovertemplate": "%{y} × %{x}<br>dissimilarity: %{customdata}<extra></extra>",
        "colorscale": "Viridis",
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 0.4,
        "ygap": 0.4,
    }
    layout = {
        "xaxis": {"visible": False, "type": "category", "showgrid": False, "zeroline": False},
        "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False, "zeroline": False},
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
    }
    return Chart(
        {"": {"data": [trace], "layout": layout}}, shape="square", options={"rows": names, "first": first}
    )


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the off-diagonal entries of a matrix as percentiles (0 to 1); the diagonal is 0, NaN stays NaN."""
    from scipy.stats import rankdata

    shown = np.full(values.shape, np.nan)
    given = np.isfinite(values) & ~np.eye(len(values), dtype=bool)
    if given.any():
        ranks = rankdata(values[given])
        shown[given] = (ranks - ranks.min()) / max(ranks.max() - ranks.min(), 1)
    on_diagonal = np.isfinite(values).any(axis=0)
    shown[np.diag_indices(len(values))] = np.where(on_diagonal, 0.0, np.nan)
    return shown


def layer_curve(table: pd.DataFrame, chosen: int | None) -> Chart:
    """Draw r over layers, one line per norms and rating; a dotted line marks the layer the folds chose most."""
    styles = ("solid", "dash", "dot")
    norms = list(dict.fromkeys(table["norms"]))
    targets = list(dict.fromkeys(table["target"]))
    traces = []
    for (name, target), part in table.groupby(["norms", "target"], sort=False):
        part = part.sort_values("layer")
        label = f"{upper_first(text(target))}, {text(name)}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label,
                "x": [int(layer) for layer in part["layer"]],
                "y": numbers(part["r"]),
                "line": {
                    "color": f"var(--line-{targets.index(target) % 4})",
                    "dash": styles[norms.index(name) % 3],
                },
                "marker": {"size": 6, "symbol": ("circle", "square", "diamond")[norms.index(name) % 3]},
                "hovertemplate": f"{label}<br>layer %{{x}}: r = %{{y:.2f}}<extra></extra>",
            }
        )
    shapes = [] if chosen is None else [vertical(chosen, "dot", "var(--ink)", 1.2)]
    low = min(0.0, float(table["r"].min()))
    layout = {
        "xaxis": {"title": {"text": "Layer (blocks passed)"}, "zeroline": False},
        "yaxis": {
            "title": {"text": "r, out of fold"},
            "range": [low, max(0.1, min(1.0, float(table["r"].max()) + 0.08))],
        },
        "shapes": shapes,
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"t": 30 + 20 * ((len(traces) + 1) // 2)},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=380)


def prediction_bars(records: Mapping[str, Sequence[PredictionRecord]]) -> Chart:
    """Draw r of each feature set with its interval, the matched draws' band and the ceiling; one variant per key."""
    given = [record for part in records.values() for record in part if record.r is not None]
    names = list(dict.fromkeys(set_name(record) for record in sorted(given, key=lambda r: ORDER[r.features])))
    lows = [bound for record in given for bound in (record.r, low_of(record)) if bound is not None]
    start = min([0.0, *lows]) - (0.03 if min([0.0, *lows]) < 0 else 0)
    variants = {key: _bars(part, names, start) for key, part in records.items()}
    return Chart(variants, height=70 + 27 * len(names))


def low_of(record: PredictionRecord) -> float | None:
    """Return the lower end drawn for a record: that of the draws where it is a mean over draws."""
    return record.ci_low if record.draws_low is None else record.draws_low


def high_of(record: PredictionRecord) -> float | None:
    """Return the upper end drawn for a record: that of the draws where it is a mean over draws."""
    return record.ci_high if record.draws_high is None else record.draws_high


def _bars(records: Sequence[PredictionRecord], names: list[str], start: float) -> Json:
    shown = [record for record in records if record.r is not None]
    r = [record.r or 0.0 for record in shown]
    low = [low_of(record) for record in shown]
    high = [high_of(record) for record in shown]
    labels = [set_name(record) for record in shown]
    hover = [bar_hover(record) for record in shown]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": labels,
        "x": numbers(r),
        "marker": {"color": [f"var(--c-{FEATURE_SETS[record.features][1]})" for record in shown]},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, top - x) if top is not None else 0.0 for top, x in zip(high, r, strict=True)],
            "arrayminus": [
                max(0.0, x - bottom) if bottom is not None else 0.0 for bottom, x in zip(low, r, strict=True)
            ],
            "color": "var(--ink)",
            "thickness": 1.3,
            "width": 3,
        },
        "hovertext": hover,
        "hoverinfo": "text",
    }
    values = {
        "type": "scatter",
        "mode": "text",
        "y": labels,
        "x": [max(x, top or x) + 0.012 for x, top in zip(r, high, strict=True)],
        "text": [figure(x) for x in r],
        "textposition": "middle right",
        "hoverinfo": "skip",
        "cliponaxis": False,
    }
    shapes: list[Json] = []
    annotations: list[Json] = []
    matched = next((record for record in shown if record.features == "outside"), None)
    if matched and matched.draws_low is not None and matched.draws_high is not None:
        shapes.append(
            {
                "type": "rect",
                "layer": "below",
                "xref": "x",
                "yref": "paper",
                "x0": matched.draws_low,
                "x1": matched.draws_high,
                "y0": 0,
                "y1": 1,
                "line": {"width": 0},
                "fillcolor": "var(--band)",
            }
        )
    ceiling = next((record.ceiling for record in shown if record.ceiling is not None), None)
    if ceiling is not None:
        shapes.append(vertical(ceiling, "dash", "var(--c-ceiling)", 1.6))
        annotations.append(
            {
                "x": ceiling,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": "right",
                "text": f"ceiling {figure(ceiling)}",
                "showarrow": False,
                "font": {"color": "var(--c-ceiling)"},
            }
        )
    layout = {
        "xaxis": {
            "range": [start, 1.08],
            "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1],
            "title": {"text": "r, out of fold"},
        },
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "range": [-0.6, len(names) - 0.4],
            "showgrid": False,
            "automargin": False,
            "tickfont": {"size": 12},
        },
        "bargap": 0.3,
        "shapes": shapes,
        "annotations": annotations,
        "margin": {"l": 138, "r": 10, "t": 26, "b": 44},
    }
    return {"data": [bars, values], "layout": layout}


def bar_hover(record: PredictionRecord) -> str:
    """Return what hovering over a bar says: r, interval, n, number of features, p."""
    lines = [f"<b>{set_name(record)}</b>: r = {figure(record.r)}"]
    if record.draws_low is not None:
        lines.append(
            f"mean of {counted(record.n_draws or 0, 'draw')}; 95% of them {interval(low_of(record), high_of(record))}"
        )
    elif record.ci_low is not None:
        lines.append(f"95% CI {interval(record.ci_low, record.ci_high)}")
    lines.append(f"{counted(record.n, 'word')}, {counted(record.n_features, 'feature')}")
    if clause := p_clause(record.p_fdr):
        lines.append(f"{clause} (FDR)")
    if record.static_source:
        lines.append(text(plain_name(record.static_source)))
    return "<br>".join(lines)


def draws(table: pd.DataFrame, space: float | None) -> Json:
    """Draw the distribution of r over the draws of each control, and where the space stands."""
    edges = np.linspace(*_edges(table["r"], space), 61)
    traces: list[Json] = []
    for kind, part in table.groupby("kind", sort=False):
        counts, _ = np.histogram(part["r"].dropna(), edges)
        name = FEATURE_SETS.get(str(kind), (plain_name(str(kind)),))[0]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "line": {"shape": "hvh", "width": 1.6, "color": f"var(--draw-{len(traces) % 3})"},
                "fill": "tozeroy",
                "fillcolor": f"var(--draw-fill-{len(traces) % 3})",
                "x": numbers((edges[:-1] + edges[1:]) / 2),
                "y": numbers(counts / max(counts.sum(), 1)),
                "name": f"{name} ({len(part):,})",
                "hovertemplate": f"{name}: r %{{x:.2f}}, %{{y:.1%}} of draws<extra></extra>",
            }
        )
    shapes, annotations = [], []
    if space is not None:
        shapes.append(vertical(space, "solid", "var(--c-concepts)", 2.5))
        annotations.append(
            {
                "x": space,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": "right" if space > edges.mean() else "left",
                "text": f"space {figure(space)}",
                "showarrow": False,
                "font": {"color": "var(--c-concepts)"},
            }
        )
    layout = {
        "xaxis": {
            "title": {"text": "r, out of fold"},
            "zeroline": False,
            "range": [float(edges[0]), float(edges[-1])],
        },
        "yaxis": {"title": {"text": "share of draws"}, "tickformat": ".0%", "rangemode": "tozero"},
        "shapes": shapes,
        "annotations": annotations,
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
        "margin": {"t": 28, "b": 96},
    }
    return {"data": traces, "layout": layout}


def _edges(r: pd.Series, space: float | None) -> tuple[float, float]:
    ends = [float(r.min()), float(r.max()), *([] if space is None else [space])]
    pad = 0.05 * max(max(ends) - min(ends), 0.1)
    return min(ends) - pad, max(ends) + pad


def observed_predicted(table: pd.DataFrame, columns: Mapping[str, str], seed: int, lang: str) -> Chart:
    """Draw predicted against observed ratings, at most 1,200 words, one variant per predicted column."""
    shown = table.sample(MAX_POINTS, random_state=seed) if len(table) > MAX_POINTS else table
    both = shown[["observed", *columns.values()]].to_numpy(dtype=float)
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    pad = 0.03 * max(high - low, 1e-6)
    variants = {}
    for key, column in columns.items():
        trace = {
            "type": "scatter",
            "mode": "markers",
            "x": numbers(shown[column]),
            "y": numbers(shown["observed"]),
            "hovertext": [text(word) for word in shown["word"]],
            "hovertemplate": "<b>%{hovertext}</b><br>predicted %{x:.2f}, observed %{y:.2f}<extra></extra>",
            "marker": {
                "size": 4.5,
                "opacity": 0.5,
                "color": "var(--c-concepts)" if column == "predicted" else "var(--c-other)",
            },
        }
        line = {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "layer": "below"}
        layout = {
            "xaxis": {
                "title": {"text": "predicted rating"},
                "range": [low - pad, high + pad],
                "zeroline": False,
            },
            "yaxis": {
                "title": {"text": "people's rating"},
                "range": [low - pad, high + pad],
                "zeroline": False,
            },
            "shapes": [line | {"line": {"color": "var(--muted)", "width": 1, "dash": "dot"}}],
        }
        variants[key] = {"data": [trace], "layout": layout}
    return Chart(variants, shape="square", options={"lang": lang})


def language_pairs(records: Sequence[LanguageRSARecord]) -> Chart:
    """Draw the RSA of each pair of languages with its interval and its baseline."""
    names = [f"{language_name(record.a)} – {language_name(record.b)}" for record in records]
    values = [record.value or 0.0 for record in records]
    point = {
        "type": "scatter",
        "mode": "markers+text",
        "y": names,
        "x": numbers(values),
        "text": [figure(value) for value in values],
        "textposition": "top center",
        "marker": {"size": 11, "color": "var(--c-concepts)"},
        "name": "emotion space",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, (r.ci_high or v) - v) for r, v in zip(records, values, strict=True)],
            "arrayminus": [
                max(0.0, v - (v if r.ci_low is None else r.ci_low))
                for r, v in zip(records, values, strict=True)
            ],
            "color": "var(--c-concepts)",
            "thickness": 1.5,
        },
        "hovertext": [
            f"{name}<br>{figure(v)} ({interval(r.ci_low, r.ci_high)}), {counted(r.n, 'category')}"
            for name, v, r in zip(names, values, records, strict=True)
        ],
        "hoverinfo": "text",
    }
    traces = [point]
    if any(record.baseline is not None for record in records):
        label = plain_name(
            next(record.baseline_name for record in records if record.baseline is not None) or "baseline"
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "y": names,
                "x": [record.baseline for record in records],
                "marker": {
                    "size": 11,
                    "symbol": "diamond-open",
                    "color": "var(--muted)",
                    "line": {"width": 2},
                },
                "name": label,
                "hovertemplate": f"{label}: %{{x:.2f}}<extra></extra>",
            }
        )
    ends = [0.0, *values, *(record.ci_low for record in records if record.ci_low is not None)]
    layout = {
        "xaxis": {
            "range": [min(ends) - (0.05 if min(ends) < 0 else 0), 1.02],
            "title": {"text": "Spearman correlation of the two RDMs"},
        },
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False},
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"t": 36, "b": 48},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=130 + 46 * len(records))


def vertical(x: float, dash: str, colour: str, width: float) -> Json:
    """Return a vertical line over the whole height."""
    line = {"color": colour, "width": width, "dash": dash}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line}


def numbers(values: Any) -> list[float | None]:
    """Return an array as JSON numbers of at most four decimals, NaN as null."""
    return [
        round(float(value), 4) if np.isfinite(value) else None for value in np.asarray(values, dtype=float)
    ]


def text(value: object) -> str:
    """Return a string that plotly shows as it is: it reads hover text as markup."""
    return escape(str(value), quote=False)
