"""Charts of one language's study: circumplex, similarity, layers, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.records import LanguageRSARecord, PredictionRecord
from emospace.report import plots
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

MAX_POINTS = 1200
ORDER = {name: place for place, name in enumerate(FEATURE_SETS)}


def circumplex(table: pd.DataFrame, x: str, y: str, titles: tuple[str, str]) -> Chart:
    """Draw categories on two axes, the basic ones in colour; labels are placed by the page so none overlap."""
    basic = table["basic"].astype(bool)
    hues = {name: plots.hue(place) for place, name in enumerate(sorted(table["category"][basic]))}
    colours = [hues.get(name, plots.QUIET) for name in table["category"]]
    trace = plots.marks(
        table[x],
        table[y],
        [
            f"<b>{plots.text(row['category'])}</b><br>people: valence {number(row['human_valence'])}, "
            f"arousal {number(row['human_arousal'])} ({plots.text(row['human_source'])})<br>"
            f"model: {number(row['model_x'])}, {number(row['model_y'])}"
            for _, row in table.iterrows()
        ],
        marker={
            "color": colours,
            "size": [11 if flag else 7 for flag in basic],
            "symbol": [
                "circle-open" if source == "derived" else "circle"
                for source in table["human_source"].astype(str)
            ],
            "line": {"width": 1.5, "color": colours},
        },
    )
    both = table[[x, y]].to_numpy(dtype=float)
    drawn = plots.drawing([trace], plots.centred(titles[0], both), plots.centred(titles[1], both))
    return Chart(
        {"": drawn},
        shape="square",
        options={"labels": plots.labels(map(plain_name, table["category"]), basic)},
    )


def rdm(square: pd.DataFrame, order: Sequence[str], first: bool) -> Chart:
    """Draw a dissimilarity matrix by percentile; categories it lacks stay blank so that rows line up."""
    values = square.reindex(index=list(order), columns=list(order)).to_numpy(dtype=float)
    names = [plots.text(plain_name(name)) for name in order]
    shown = [
        [number(value) if np.isfinite(value) else "not in this structure" for value in row] for row in values
    ]
    hover = "%{y} × %{x}<br>dissimilarity: %{customdata}"
    trace = plots.heat_trace(np.round(percentiles(values), 3), names, names, hover, 0, 1)
    names_axis: plots.Json = {"type": "category", "showgrid": False, "zeroline": False}
    drawn = plots.drawing(
        [trace | {"customdata": shown, "xgap": 0.4, "ygap": 0.4}],
        names_axis,
        names_axis | {"autorange": "reversed"},
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
    )
    return Chart({"": drawn}, shape="square", options={"rows": names, "first": first})


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
    norms = list(dict.fromkeys(table["norms"]))
    targets = list(dict.fromkeys(table["target"]))
    traces = []
    for (name, target), part in table.groupby(["norms", "target"], sort=False):
        part = part.sort_values("layer")
        label = f"{upper_first(plots.text(target))}, {plots.text(name)}"
        place = norms.index(name) % 3
        traces.append(
            plots.line(
                part["layer"],
                part["r"],
                f"{label}<br>layer %{{x}}: r = %{{y:.2f}}",
                f"var(--line-{targets.index(target) % 4})",
                dash=plots.DASHES[place],
                name=label,
                marker={"size": 6, "symbol": plots.SYMBOLS[place]},
            )
        )
    r = [min(0.0, float(table["r"].min())), max(0.1, min(1.0, float(table["r"].max()) + 0.08))]
    drawn = plots.drawing(
        traces,
        plots.axis("Layer (blocks passed)", zeroline=False),
        plots.axis("r, out of fold", range=r),
        plots.ABOVE,
        shapes=[] if chosen is None else [plots.vertical(chosen, "dot", "var(--ink)", 1.2)],
        margin={"t": 30 + 20 * ((len(traces) + 1) // 2)},
    )
    return Chart({"": drawn}, height=380)


def prediction_bars(records: Mapping[str, Sequence[PredictionRecord]]) -> Chart:
    """Draw r of each feature set with its interval, the matched draws' band and the ceiling; one variant per key."""
    given = [record for part in records.values() for record in part if record.r is not None]
    names = list(dict.fromkeys(set_name(r) for r in sorted(given, key=lambda r: ORDER[r.features])))
    low = min([0.0, *(bound for r in given for bound in (r.r, bounds(r)[1]) if bound is not None)])
    variants = {key: _bars(part, names, low - (0.03 if low < 0 else 0)) for key, part in records.items()}
    return Chart(variants, height=70 + 27 * len(names))


def bounds(record: PredictionRecord) -> tuple[float, float | None, float | None]:
    """Return r with the ends drawn for it: those of the draws where it is a mean over draws."""
    low = record.ci_low if record.draws_low is None else record.draws_low
    high = record.ci_high if record.draws_high is None else record.draws_high
    return record.r or 0.0, low, high


def _bars(records: Sequence[PredictionRecord], names: list[str], start: float) -> plots.Json:
    shown = [record for record in records if record.r is not None]
    ends = [bounds(record) for record in shown]
    rows = [set_name(record) for record in shown]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": plots.numbers([r for r, _, _ in ends]),
        "marker": {"color": [f"var(--c-{FEATURE_SETS[record.features][1]})" for record in shown]},
        "error_x": plots.whiskers(ends, "var(--ink)"),
        "hovertext": [_bar_hover(record) for record in shown],
        "hoverinfo": "text",
    }
    values = plots.marks(
        [max(r, high or r) + 0.012 for r, _, high in ends],
        rows,
        None,
        "text",
        text=[figure(r) for r, _, _ in ends],
        textposition="middle right",
        cliponaxis=False,
    )
    matched = next((r for r in shown if r.features == "outside"), None)
    lines = plots.reference(next((r.ceiling for r in shown if r.ceiling is not None), None), "ceiling")
    if matched and matched.draws_low is not None and matched.draws_high is not None:
        box = {"type": "rect", "layer": "below", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
        ends_of_band = {"x0": matched.draws_low, "x1": matched.draws_high}
        style = {"line": {"width": 0}, "fillcolor": "var(--band)"}
        lines["shapes"] = [{**box, **ends_of_band, **style}, *lines["shapes"]]
    return plots.drawing(
        [bars, values],
        plots.axis("r, out of fold", range=[start, 1.08], tickvals=[0, 0.2, 0.4, 0.6, 0.8, 1]),
        plots.names_axis(names, range=[-0.6, len(names) - 0.4], automargin=True, tickfont={"size": 12}),
        bargap=0.3,
        margin={"l": 138, "r": 10, "t": 26, "b": 44},
        **lines,
    )


def _bar_hover(record: PredictionRecord) -> str:
    _, low, high = bounds(record)
    span = "" if record.ci_low is None else f"95% CI {interval(low, high)}"
    if record.draws_low is not None:
        span = f"mean of {counted(record.n_draws or 0, 'draw')}; 95% of them {interval(low, high)}"
    clause = p_clause(record.p_fdr)
    lines = (
        f"<b>{set_name(record)}</b>: r = {figure(record.r)}",
        span,
        f"{counted(record.n, 'word')}, {counted(record.n_features, 'feature')}",
        f"{clause} (FDR)" if clause else "",
        plots.text(plain_name(record.static_source or "")),
    )
    return "<br>".join(filter(None, lines))


def draws(table: pd.DataFrame, space: float | None) -> plots.Json:
    """Draw the distribution of r over the draws of each control, and where the space stands."""
    ends = [float(table["r"].min()), float(table["r"].max()), *([] if space is None else [space])]
    pad = 0.05 * max(max(ends) - min(ends), 0.1)
    edges = np.linspace(min(ends) - pad, max(ends) + pad, 61)
    traces: list[plots.Json] = []
    for kind, part in table.groupby("kind", sort=False):
        counts, _ = np.histogram(part["r"].dropna(), edges)
        name = FEATURE_SETS.get(str(kind), (plain_name(str(kind)),))[0]
        place = len(traces) % 3
        traces.append(
            plots.line(
                (edges[:-1] + edges[1:]) / 2,
                counts / max(counts.sum(), 1),
                f"{name}: r %{{x:.2f}}, %{{y:.1%}} of draws",
                f"var(--draw-{place})",
                mode="lines",
                shape="hvh",
                width=1.6,
                fill="tozeroy",
                fillcolor=f"var(--draw-fill-{place})",
                name=f"{name} ({len(part):,})",
            )
        )
    side = "right" if space is not None and space > edges.mean() else "left"
    return plots.drawing(
        traces,
        plots.axis("r, out of fold", zeroline=False, range=[float(edges[0]), float(edges[-1])]),
        plots.axis("share of draws", tickformat=".0%", rangemode="tozero"),
        plots.BELOW | {"y": -0.24},
        margin={"t": 28, "b": 96},
        **plots.reference(space, "space", plots.CONCEPTS, "solid", 2.5, side),
    )


def observed_predicted(table: pd.DataFrame, columns: Mapping[str, str], seed: int, lang: str) -> Chart:
    """Draw predicted against observed ratings, at most 1,200 words, one variant per predicted column."""
    shown = table.sample(MAX_POINTS, random_state=seed) if len(table) > MAX_POINTS else table
    both = shown[["observed", *columns.values()]].to_numpy(dtype=float)
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    pad = 0.03 * max(high - low, 1e-6)
    ends: plots.Json = {"range": [low - pad, high + pad], "zeroline": False}
    equal = {
        **{"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "layer": "below"},
        "line": {"color": plots.MUTED, "width": 1, "dash": "dot"},
    }
    words = [plots.text(word) for word in shown["word"]]
    variants = {}
    for key, column in columns.items():
        trace = plots.marks(
            shown[column],
            shown["observed"],
            "<b>%{hovertext}</b><br>predicted %{x:.2f}, observed %{y:.2f}",
            hovertext=words,
            marker={
                "size": 4.5,
                "opacity": 0.5,
                "color": plots.CONCEPTS if column == "predicted" else "var(--c-other)",
            },
        )
        variants[key] = plots.drawing(
            [trace],
            plots.axis("predicted rating", **ends),
            plots.axis("people's rating", **ends),
            shapes=[equal],
        )
    return Chart(variants, shape="square", options={"lang": lang})


def language_pairs(records: Sequence[LanguageRSARecord]) -> Chart:
    """Draw the RSA of each pair of languages with its interval and its baseline."""
    rows = [
        plots.Point(
            f"{language_name(r.a)} – {language_name(r.b)}",
            r.value or 0.0,
            r.ci_low,
            r.ci_high,
            r.baseline,
            counted(r.n, "category"),
        )
        for r in records
    ]
    name = next((r.baseline_name for r in records if r.baseline is not None), None)
    return plots.points({"": rows}, "Spearman correlation of the two RDMs", plain_name(name or "baseline"))
