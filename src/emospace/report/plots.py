"""Plotly traces, axes and layouts as plain JSON; colours stay CSS variables, which the page resolves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from emospace.report.blocks import Chart
from emospace.report.wording import figure, interval

Json = dict[str, Any]
Bounds = tuple[float, float | None, float | None]
"""A value with the ends of its interval."""

ABOVE: Json = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
BELOW: Json = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0}
LIGHT, DARK = "#f4f6f8", "#10151a"
SYMBOLS, DASHES = ("circle", "square", "diamond"), ("solid", "dash", "dot")
N_HUES = 6
CONCEPTS, QUIET, MUTED, CEILING = "var(--c-concepts)", "var(--quiet)", "var(--muted)", "var(--c-ceiling)"


def hue(place: int) -> str:
    """Return the colour of an emotion or language by its place in order."""
    return f"var(--hue-{place % N_HUES})"


def numbers(values: Any) -> list[float | None]:
    """Return an array as JSON numbers of at most four decimals, NaN as null."""
    return [
        round(float(value), 4) if np.isfinite(value) else None for value in np.asarray(values, dtype=float)
    ]


def text(value: object) -> str:
    """Return a string that plotly shows as it is: it reads hover text as markup."""
    return escape(str(value), quote=False)


def marks(x: Any, y: Any, hover: str | Sequence[str] | None, mode: str = "markers", **more: Any) -> Json:
    """Return a trace of points, lines or both.

    Parameters
    ----------
    x, y
        Numbers, or names on an axis of categories.
    hover
        One template for all points, a text for each, or None: nothing on hovering.
    """
    places = {axis: _places(values) for axis, values in (("x", x), ("y", y))}
    return {"type": "scatter", "mode": mode, **places, **_hovering(hover), **more}


def _hovering(hover: str | Sequence[Any] | None) -> Json:
    if isinstance(hover, str):
        return {"hovertemplate": f"{hover}<extra></extra>"}
    return {"hoverinfo": "skip"} if hover is None else {"hovertext": list(hover), "hoverinfo": "text"}


def _places(values: Any) -> list[Any]:
    given = list(values)
    return given if given and isinstance(given[0], str) else numbers(given)


def line(x: Any, y: Any, hover: str | Sequence[str] | None, colour: str, **more: Any) -> Json:
    """Return a trace of points joined by a line; `dash` and `width` are those of the line."""
    style = {"color": colour} | {name: more.pop(name) for name in ("dash", "width", "shape") if name in more}
    return marks(x, y, hover, **{"mode": "lines+markers", "line": style} | more)


def whiskers(bounds: Iterable[Bounds], colour: str) -> Json:
    """Return horizontal error bars; none where a bound is not known."""
    bounds = list(bounds)
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers([0.0 if high is None else max(0.0, high - value) for value, _, high in bounds]),
        "arrayminus": numbers([0.0 if low is None else max(0.0, value - low) for value, low, _ in bounds]),
        "color": colour,
        "thickness": 1.3,
        "width": 3,
    }


def axis(title: str = "", **more: Any) -> Json:
    """Return an axis."""
    return ({"title": {"text": title}} if title else {}) | more


def centred(title: str, values: Any) -> Json:
    """Return an axis with zero in the middle, as long as the greatest of the values [...] needs on either side."""
    limit = 1.15 * float(np.nanmax(np.abs(np.asarray(values, dtype=float)), initial=0.1))
    return axis(title, range=[-limit, limit], zeroline=True, nticks=5)


def rows_axis(names: Sequence[str], **more: Any) -> Json:
    """Return a vertical axis with a named row at each whole number, the first on top."""
    return {
        "range": [len(names) - 0.4, -0.6],
        "tickvals": list(range(len(names))),
        "ticktext": [text(name) for name in names],
        "showgrid": False,
        "zeroline": False,
    } | more


def names_axis(names: Sequence[str], **more: Any) -> Json:
    """Return a vertical axis of names, the first on top."""
    order = {"categoryorder": "array", "categoryarray": list(names)[::-1]}
    return {"type": "category", **order, "showgrid": False, **more}


def drawing(data: Sequence[Json], x: Json, y: Json, legend: Json | None = None, **layout: Any) -> Json:
    """Return traces with their axes, and a legend where one is given."""
    shown: Json = {"showlegend": True, "legend": legend} if legend else {}
    return {"data": list(data), "layout": {"xaxis": x, "yaxis": y, **shown, **layout}}


def note(label: str, x: Any, y: Any, colour: str, size: float | None = None, **more: Any) -> Json:
    """Return a label without an arrow."""
    font = {"color": colour} | ({"size": size} if size else {})
    return {"text": label, "x": x, "y": y, "showarrow": False, "font": font, **more}


def vertical(x: float, dash: str, colour: str, width: float) -> Json:
    """Return a vertical line over the whole height."""
    style = {"color": colour, "width": width, "dash": dash}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": style}


def reference(
    x: float | None,
    name: str,
    colour: str = CEILING,
    dash: str = "dash",
    width: float = 1.6,
    side: str = "right",
) -> Json:
    """Return `shapes` and `annotations` of a layout: a vertical line named on top; nothing where `x` is not known."""
    if x is None:
        return {"shapes": [], "annotations": []}
    label = note(f"{name} {figure(x)}", x, 1, colour, yref="paper", yanchor="bottom", xanchor=side)
    return {"shapes": [vertical(x, dash, colour, width)], "annotations": [label]}


def labels(names: Iterable[str], bold: Iterable[bool]) -> list[Json]:
    """Return the labels of the first trace's points, which the page places so that none overlap."""
    return [{"text": name, "bold": bool(flag)} for name, flag in zip(names, bold, strict=True)]


def heat(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    hover: str | Sequence[Sequence[str]],
    *,
    low: float = 0.0,
    top: float = 1.0,
    shown: Sequence[Sequence[str]] | None = None,
    x: Json | None = None,
    y: Json | None = None,
    **layout: Any,
) -> Json:
    """Draw a matrix [n_rows, n_columns] with what is shown of each value (else its figure) written in its square.

    Parameters
    ----------
    hover
        One template, or a text for each square.
    low, top
        Values of the darkest and the brightest colour.
    """
    size = 11 if len(columns) < 8 else 9.5
    annotations = [
        # By place: on an axis of categories a number is one, whatever the categories are called.
        note(
            shown[i][j] if shown else figure(values[i, j]),
            int(j),
            int(i),
            DARK if values[i, j] - low > 0.55 * (top - low) else LIGHT,
            size,
        )
        for i, j in np.argwhere(np.isfinite(values))
    ]
    trace = heat_trace(values, rows, columns, hover, low, top) | {"xgap": 1, "ygap": 1, "hoverongaps": False}
    names: Json = {"type": "category", "showgrid": False, "zeroline": False}
    return drawing(
        [trace],
        names | (x or {}),
        names | {"autorange": "reversed"} | (y or {}),
        annotations=annotations,
        **layout,
    )


def heat_trace(
    values: np.ndarray,
    rows: Sequence[Any],
    columns: Sequence[Any],
    hover: str | Sequence[Sequence[str]],
    low: float,
    top: float,
) -> Json:
    """Return a matrix as a trace of colours alone."""
    return {
        "type": "heatmap",
        "z": [numbers(row) for row in values],
        "x": list(columns),
        "y": list(rows),
        "colorscale": "Viridis",
        "zmin": round(low, 3),
        "zmax": round(top, 3),
        "showscale": False,
        **_hovering(hover),
    }


def nothing(why: str) -> Json:
    """Return a drawing that says why there is none."""
    reason = note(text(why), 0.5, 0.5, MUTED, xref="paper", yref="paper")
    return drawing([], {"visible": False}, {"visible": False}, annotations=[reason])


@dataclass(frozen=True)
class Point:
    """A figure with its interval, what stands beside it, and what else the hover label shows."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    beside: float | None = None
    more: str = ""


def points(
    rows: Mapping[str, Sequence[Point]], title: str, beside: str = "", zero: bool = False, why: str = ""
) -> Chart:
    """Draw points with intervals below one another, a diamond for what stands beside; one variant a key.

    A variant without points says `why`.
    """
    every = [point for part in rows.values() for point in part]
    ends = [end for p in every for end in (p.value, p.low, p.high, p.beside) if end is not None] or [0.0]
    low, high = min(0.0, *ends), max(0.05, *ends)
    pad = 0.08 * (high - low)
    span = [low - pad if low < 0 else 0.0, high + pad]
    longest = max((len(part) for part in rows.values()), default=0)
    variants = {
        key: _points(part, title, beside, span, zero) if part else nothing(why) for key, part in rows.items()
    }
    return Chart(variants, height=112 + 40 * longest)


def _points(rows: Sequence[Point], title: str, beside: str, span: Sequence[float], zero: bool) -> Json:
    names = [text(point.label) for point in rows]
    hover = [
        f"<b>{text(p.label)}</b><br>{figure(p.value)} ({interval(p.low, p.high)})"
        + (f"<br>{text(p.more)}" if p.more else "")
        for p in rows
    ]
    traces = [
        marks(
            [point.value for point in rows],
            names,
            hover,
            "markers+text",
            text=[figure(point.value) for point in rows],
            textposition="top center",
            marker={"size": 10, "color": CONCEPTS},
            name="figure, 95% CI",
            error_x=whiskers([(p.value, p.low, p.high) for p in rows], CONCEPTS),
            cliponaxis=False,
        )
    ]
    if beside and any(point.beside is not None for point in rows):
        traces.append(
            marks(
                [point.beside for point in rows],
                names,
                f"{text(beside)}: %{{x:.2f}}",
                marker={"size": 10, "symbol": "diamond-open", "color": MUTED, "line": {"width": 2}},
                name=text(beside),
            )
        )
    several = len(traces) > 1
    return drawing(
        traces,
        axis(title, range=list(span), zeroline=True),
        names_axis(names, range=[-0.5, len(names) - 0.3], automargin=True, ticks=""),
        ABOVE if several else None,
        shapes=[vertical(0, "dot", "var(--ink)", 1.2)] if zero else [],
        margin={"l": 60, "t": 34 if several else 14, "b": 48},
    )
