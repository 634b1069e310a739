"""Charts of several languages: matrices, the tree, the plane of a pair, depth, ratings read across languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emospace.records import AlignmentRecord, CategoryShiftRecord, UniversalRecord
from emospace.report.blocks import Chart
from emospace.report.charts import N_HUES, Json, numbers, text
from emospace.report.wording import figure, interval, language_name, number, p_clause, percent, plain_name

if TYPE_CHECKING:
    import pandas as pd

Pair = tuple[str, str]

LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
LOW_INK, HIGH_INK = "#f4f6f8", "#10151a"


@dataclass(frozen=True)
class Branch:
    """One clade drawn: its two children and itself as (place of the row, height), its languages and support."""

    children: tuple[tuple[float, float], tuple[float, float]]
    place: float
    height: float
    members: tuple[str, ...]
    support: float


@dataclass(frozen=True)
class Dendrogram:
    """A tree of languages as it is drawn: leaves in order, branches from the closest to the whole."""

    order: tuple[str, ...]
    branches: tuple[Branch, ...]

    def has_room(self, branch: Branch) -> bool:
        """Return whether the line from a clade to the next is long enough to write on; the whole has none."""
        above = [other.height for other in self.branches if set(other.members) > set(branch.members)]
        return bool(above) and min(above) - branch.height > 0.07 * self.branches[-1].height


def dendrogram_of(table: pd.DataFrame, languages: Sequence[str]) -> Dendrogram | None:
    """Return the tree of the table ``language_tree``, or None where its clades do not make one tree.

    Of two branches the one with the language that comes first in `languages` is drawn first.
    """
    rank = {name: at for at, name in enumerate(languages)}
    merges = [
        (frozenset(str(row["members"]).split(",")), float(row["height"]), float(row["support"]))
        for row in table.to_dict("records")
    ]
    inner: dict[frozenset[str], tuple[frozenset[str], frozenset[str]]] = {}
    roots = {frozenset([name]) for members, _, _ in merges for name in members}
    for members, _, _ in merges:
        parts = sorted(
            (root for root in roots if root <= members),
            key=lambda part: min(rank.get(name, len(rank)) for name in part),
        )
        if len(parts) != 2 or parts[0] | parts[1] != members:
            return None
        inner[members] = parts[0], parts[1]
        roots = roots - set(parts) | {members}
    if len(roots) != 1:
        return None

    def leaves(clade: frozenset[str]) -> tuple[str, ...]:
        return tuple(name for part in inner[clade] for name in leaves(part)) if clade in inner else (*clade,)

    order = leaves(next(iter(roots)))
    at: dict[frozenset[str], tuple[float, float]] = {
        frozenset([name]): (float(place), 0.0) for place, name in enumerate(order)
    }
    branches = []
    for members, height, support in merges:
        first, second = (at[part] for part in inner[members])
        at[members] = (first[0] + second[0]) / 2, height
        names = tuple(name for name in order if name in members)
        branches.append(Branch((first, second), at[members][0], height, names, support))
    return Dendrogram(order, tuple(branches))


def dendrogram(tree: Dendrogram) -> Chart:
    """Draw the tree of languages on its side, the share of resampled trees at each clade."""
    traces: list[Json] = []
    notes: list[Json] = []
    top = max(branch.height for branch in tree.branches)
    for branch in tree.branches:
        (y0, x0), (y1, x1) = branch.children
        names = ", ".join(language_name(name) for name in branch.members)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers([x0, branch.height, branch.height, x1]),
                "y": numbers([y0, y0, y1, y1]),
                "line": {"color": "var(--c-concepts)", "width": 1.6},
                "text": [
                    f"{text(names)}<br>1 − RSA {figure(branch.height)}, support {percent(branch.support)}"
                ]
                * 4,
                "hoverinfo": "text",
            }
        )
        if tree.has_room(branch):
            notes.append(
                {
                    "x": branch.height,
                    "y": branch.place,
                    "text": percent(branch.support),
                    "showarrow": False,
                    "xanchor": "left",
                    "yanchor": "bottom",
                    "xshift": 2,
                    "font": {"size": 10, "color": "var(--muted)"},
                }
            )
    layout = {
        "xaxis": {"title": {"text": "1 − RSA"}, "range": [0, 1.12 * top], "zeroline": False},
        "yaxis": {
            "range": [len(tree.order) - 0.5, -0.5],
            "tickvals": list(range(len(tree.order))),
            "ticktext": [text(language_name(name)) for name in tree.order],
            "showgrid": False,
            "zeroline": False,
        },
        "annotations": notes,
        "margin": {"l": 90, "r": 8, "t": 8, "b": 46},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=90 + 32 * len(tree.order))


def pair_matrix(values: Mapping[Pair, float | None], order: Sequence[str], lowest: float) -> Chart:
    """Draw a figure of every pair of languages; `lowest` is the lower end of the colours, 1 the upper."""
    names = [text(language_name(name)) for name in order]
    square = np.full((len(order), len(order)), np.nan)
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            value = values.get((a, b), values.get((b, a)))
            square[i, j] = np.nan if value is None else value
    drawn = heat(square, names, names, lowest, 1.0, "%{y} – %{x}: %{z:.2f}<extra></extra>")
    drawn["layout"] |= {
        "xaxis": {"type": "category", "showgrid": False, "zeroline": False, "tickangle": -60, "tickfont": {"size": 10.5}},
        "margin": {"l": 112, "r": 4, "t": 4, "b": 72},
    }  # fmt: skip
    options = {"rows": names, "first": True}
    if len(order) < 8:
        return Chart({"": drawn}, height=86 + 44 * len(order), options=options)
    return Chart({"": drawn}, shape="square", options=options)


def heat(
    square: np.ndarray, rows: Sequence[str], columns: Sequence[str], low: float, top: float, hover: str
) -> Json:
    """Draw a matrix [n_rows, n_columns] with its figures written in; missing ones stay blank."""
    size = 11 if len(columns) < 8 else 9.5
    notes = [
        {
            "x": columns[j],
            "y": rows[i],
            "text": figure(square[i, j]),
            "showarrow": False,
            "font": {
                "size": size,
                "color": HIGH_INK if square[i, j] - low > 0.55 * (top - low) else LOW_INK,
            },
        }
        for i in range(len(rows))
        for j in range(len(columns))
        if np.isfinite(square[i, j])
    ]
    trace = {
        "type": "heatmap",
        "z": [numbers(row) for row in square],
        "x": list(columns),
        "y": list(rows),
        "colorscale": "Viridis",
        "zmin": round(low, 3),
        "zmax": round(top, 3),
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": hover,
        "hoverongaps": False,
    }
    layout = {
        "xaxis": {"type": "category", "showgrid": False, "zeroline": False},
        "yaxis": {"autorange": "reversed", "type": "category", "showgrid": False, "zeroline": False},
        "annotations": notes,
    }
    return {"data": [trace], "layout": layout}


def universal(records: Sequence[UniversalRecord]) -> Chart:
    """Draw how many latents are features in at least k languages beside what exchanged features give."""
    records = sorted(records, key=lambda record: record.k)
    k = [record.k for record in records]

    def positive(values: Sequence[float | None]) -> list[float | None]:
        return [None if value is None or value <= 0 else round(value, 2) for value in values]

    band = [
        record for record in records if record.expected_low is not None and (record.expected_high or 0) > 0
    ]
    floor = 0.5
    edge = [(r.k, max(r.expected_low or 0, floor)) for r in band]
    edge += [(r.k, max(r.expected_high or 0, floor)) for r in reversed(band)]
    hover = [
        f"at least {r.k}: {r.n_latents:,}<br>expected {number(r.expected, 1)} ({number(r.expected_low, 0)} to "
        f"{number(r.expected_high, 0)})<br>{p_clause(r.p)}"
        for r in records
    ]
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _ in edge],
            "y": [y for _, y in edge],
            "fill": "toself",
            "fillcolor": "var(--band)",
            "line": {"width": 0},
            "name": "95% of draws",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": k,
            "y": positive([record.expected for record in records]),
            "line": {"color": "var(--muted)", "dash": "dash"},
            "name": "expected",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": k,
            "y": positive([record.n_latents for record in records]),
            "line": {"color": "var(--c-concepts)"},
            "marker": {"size": 8},
            "name": "observed",
            "hovertext": hover,
            "hoverinfo": "text",
        },
    ]
    most = max([1.0, *(float(r.n_latents) for r in records), *(r.expected_high or 0.0 for r in records)])
    layout = {
        "xaxis": {"title": {"text": "languages, at least"}, "dtick": 1, "zeroline": False},
        "yaxis": {
            "title": {"text": "latents (log scale)"},
            "type": "log",
            "range": [float(np.log10(floor)), float(np.log10(most)) + 0.1],
            "tickvals": [10**power for power in range(7)],
            "tickformat": ",d",
        },
        "showlegend": True,
        "legend": LEGEND,
        "margin": {"t": 34},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=380)


def weights(records: Sequence[AlignmentRecord], order: Sequence[str]) -> Chart:
    """Draw the weights of valence and arousal in each language's RDM with their intervals."""
    targets = list(dict.fromkeys(record.target for record in records))
    traces = []
    for at, target in enumerate(targets):
        given = [r for r in records if r.target == target and r.value is not None and r.language in order]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(target),
                "x": numbers([r.value for r in given]),
                "y": [round(order.index(r.language) + 0.3 * (at - (len(targets) - 1) / 2), 2) for r in given],
                "marker": {"size": 9, "color": f"var(--line-{at})", "symbol": ("circle", "diamond")[at % 2]},
                "error_x": whiskers(
                    [(r.value or 0.0, r.ci_low, r.ci_high) for r in given], f"var(--line-{at})"
                ),
                "hovertext": [
                    f"{language_name(r.language)}, {text(target)}: {figure(r.value)} ({interval(r.ci_low, r.ci_high)}), "
                    f"{p_clause(r.p)}"
                    for r in given
                ],
                "hoverinfo": "text",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "standardised weight"}, "zeroline": True, "rangemode": "tozero"},
        "yaxis": rows_axis([language_name(name) for name in order]),
        "showlegend": True,
        "legend": LEGEND,
        "margin": {"l": 90, "t": 34},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=max(250, 90 + 26 * len(order)))


def shifts(pairs: Mapping[Pair, Sequence[CategoryShiftRecord]]) -> Chart:
    """Draw the categories of each pair by how much more differently they sit than noise makes them."""
    most = max(len(records) for records in pairs.values())
    return Chart(
        {f"{a} {b}": _shift(records, (a, b)) for (a, b), records in pairs.items()}, height=80 + 15 * most
    )


def _shift(records: Sequence[CategoryShiftRecord], pair: Pair) -> Json:
    ranked = sorted(
        (record for record in records if record.excess is not None), key=lambda r: -(r.excess or 0.0)
    )
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": numbers([r.excess for r in part]),
            "y": [ranked.index(r) for r in part],
            "marker": {"size": 7, "color": colour, "symbol": "circle" if shifted else "circle-open"},
            "error_x": whiskers([(r.excess or 0.0, r.ci_low, r.ci_high) for r in part], colour),
            "name": "interval above zero" if shifted else "not so",
            "hovertext": [
                f"{text(plain_name(r.category))}: excess {figure(r.excess)} ({interval(r.ci_low, r.ci_high)})" for r in part
            ],
            "hoverinfo": "text",
        }
        for shifted, colour in ((True, "var(--c-concepts)"), (False, "var(--quiet)"))
        if (part := [r for r in ranked if bool(r.shifted) == shifted])
    ]  # fmt: skip
    axis = rows_axis([plain_name(r.category) for r in ranked])
    layout = {
        "xaxis": {"title": {"text": f"excess, {language_name(pair[0])} – {language_name(pair[1])}"}},
        "yaxis": axis | {"tickfont": {"size": 10}},
        "showlegend": True,
        "legend": LEGEND,
        "margin": {"l": 126, "t": 34},
    }
    return {"data": traces, "layout": layout}


def planes(table: pd.DataFrame, basic: frozenset[str]) -> Chart:
    """Draw both languages' places of every category on their common plane, joined by lines; one variant a pair."""
    variants = {}
    for (a, b), part in table.groupby(["a", "b"], sort=False):
        variants[f"{a} {b}"] = _plane(part, str(a), str(b), basic)
    return Chart(variants, shape="square")


def _plane(part: pd.DataFrame, a: str, b: str, basic: frozenset[str]) -> Json:
    names = [plain_name(str(name)) for name in part["category"]]
    points = part[["a_x", "a_y", "b_x", "b_y"]].to_numpy(dtype=float)
    limit = 1.15 * float(np.nanmax(np.abs(points), initial=0.1))
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": numbers(points[:, 2 * side]),
            "y": numbers(points[:, 2 * side + 1]),
            "marker": {"size": 8 - side, "color": f"var(--line-{side})", "symbol": ("circle", "circle-open")[side]},
            "name": language_name(language),
            "hovertext": [f"{text(name)}, {language_name(language)}" for name in names],
            "hoverinfo": "text",
        }
        for side, language in enumerate((a, b))
    ]  # fmt: skip
    joined: dict[str, list[float | None]] = {
        axis: [
            value
            for row in points
            for value in (round(float(row[at]), 3), round(float(row[2 + at]), 3), None)
        ]
        for at, axis in enumerate("xy")
    }
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            **joined,
            "line": {"color": "var(--quiet)", "width": 0.9},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    )
    axis = {"range": [-limit, limit], "zeroline": True, "nticks": 5}
    layout = {
        "xaxis": axis | {"title": {"text": "first component"}},
        "yaxis": axis | {"title": {"text": "second component"}},
        "showlegend": True,
        "legend": LEGEND,
        "margin": {"t": 30},
    }
    labels = [
        {"text": name, "bold": category in basic}
        for name, category in zip(names, part["category"], strict=True)
    ]
    return {"data": traces, "layout": layout, "labels": labels}


def depth(curves: Mapping[str, Sequence[tuple[float, float]]], borrowed: frozenset[str]) -> Chart:
    """Draw RSA with people over relative depth, one line a language; dashed where the ratings are another language's."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": language_name(language),
            "x": numbers([x for x, _ in points]),
            "y": numbers([y for _, y in points]),
            "line": {
                "color": f"var(--hue-{at % N_HUES})",
                "dash": "dot" if language in borrowed else "solid",
                "width": 1.8,
            },
            "marker": {"size": 5, "symbol": ("circle", "square", "diamond")[at // N_HUES % 3]},
            "hovertemplate": f"{language_name(language)}, depth %{{x:.2f}}: %{{y:.2f}}<extra></extra>",
        }
        for at, (language, points) in enumerate(curves.items())
    ]
    layout = {
        "xaxis": {"title": {"text": "relative depth (0 enters the first block)"}, "zeroline": False},
        "yaxis": {"title": {"text": "RSA (Spearman)"}},
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "margin": {"b": 70 + 22 * (len(traces) // 3)},
    }
    return Chart({"": {"data": traces, "layout": layout}}, height=380 + 22 * (len(traces) // 3))


def rows_axis(names: Sequence[str]) -> Json:
    """Return a vertical axis with a named row at each whole number, the first on top."""
    return {
        "range": [len(names) - 0.4, -0.6],
        "tickvals": list(range(len(names))),
        "ticktext": [text(name) for name in names],
        "showgrid": False,
        "zeroline": False,
    }


def whiskers(bounds: Sequence[tuple[float, float | None, float | None]], colour: str) -> Json:
    """Return horizontal error bars from (value, low, high); none where a bound is not known."""
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers([0.0 if high is None else max(0.0, high - value) for value, _, high in bounds]),
        "arrayminus": numbers([0.0 if low is None else max(0.0, value - low) for value, low, _ in bounds]),
        "color": colour,
        "thickness": 1.3,
        "width": 3,
    }


def ordered(languages: Sequence[str], tree: Dendrogram | None) -> tuple[str, ...]:
    """Return languages in the order of the tree, those it lacks at the end."""
    first = [name for name in (tree.order if tree else ()) if name in languages]
    return (*first, *(name for name in languages if name not in first))
