"""Figures for a paper: the page's circumplex, similarity matrices, prediction bars and languages as PDF and PNG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import unescape
from importlib.resources import files
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import atomic_write
from emospace.display import say
from emospace.report.blocks import Block, Figures, Panel, Reason
from emospace.report.languages import likeness_figures
from emospace.report.plots import Json
from emospace.report.predicted import prediction_figures
from emospace.report.run import Run, load_run
from emospace.report.sections import circumplex_figures, rdm_figures
from emospace.report.transfer import matrix_figures
from emospace.report.wording import MANY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "axes.linewidth": 0.6,
}
DASHES = {"dash": "--", "dot": ":", "solid": "-"}
PER_INCH = 120
"""Pixels of a chart's height on the page that are an inch here."""


def figures(run_dir: Path | str) -> tuple[Path, ...]:
    """Write the circumplex, RDMs and prediction bars of a run into ``figures/`` and return the files.

    They hold what the page's figures hold. Each comes as PDF (vector, fonts embedded) and PNG (300 dpi), at 7 inches
    wide, one of a kind per language; of three languages or more also their RSA with its tree, and ratings read across
    them. A figure whose table is absent is left out, and a line says why.

    Parameters
    ----------
    run_dir
        The folder of a finished study.

    Raises
    ------
    EmospaceError
        If the folder has no `results.json`, or one that this version cannot read.
    """
    import matplotlib as mpl

    run = load_run(run_dir)
    written: list[Path] = []
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, made in _figures(run):
            blocks = list(made)
            if panels := [panel for block in blocks if isinstance(block, Figures) for panel in block.panels]:
                written += _save(run.folder / "figures", name, panels)
            else:
                why = next((block.why for block in blocks if isinstance(block, Reason)), "the run has none")
                say(f"figures/{name} is left out: {why}")
    return tuple(written)


def _figures(run: Run) -> Iterator[tuple[str, Iterable[Block]]]:
    for language in run.languages:
        yield f"circumplex_{language}", circumplex_figures(run, language)
        yield f"rdms_{language}", rdm_figures(run, language)
        for norms in run.norms(language):
            yield f"prediction_{language}_{norms}", [prediction_figures(run, language, norms)]
    if len(run.languages) >= MANY:
        yield "languages", likeness_figures(run, ("languages-rsa", "languages-tree"))
        yield "transfer", matrix_figures(run)


def _save(folder: Path, name: str, panels: Sequence[Panel]) -> Iterator[Path]:
    from matplotlib.figure import Figure

    chart = panels[0].chart
    height = 6.3 / len(panels) if chart.shape == "square" else chart.height / PER_INCH
    drawn = Figure(figsize=(7, 0.6 + height), layout="constrained")
    for axis, panel in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw(axis, panel, 110 // len(panels))
        if panel is not panels[0] and _rows(panel) == _rows(panels[0]):
            axis.set_yticklabels([])
    for suffix, dates in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        path = folder / f"{name}.{suffix}"
        atomic_write(path, lambda temporary, d=dates: drawn.savefig(temporary, dpi=300, metadata=d))  # type: ignore[misc]
        yield path


def _drawing(panel: Panel) -> Mapping[str, Any]:
    """Return the first variant of a page's figure."""
    return next(iter(panel.chart.variants.values()))


def _rows(panel: Panel) -> Sequence[str]:
    """Return the names on the vertical axis of bars or of a matrix."""
    data, layout = _drawing(panel)["data"], _drawing(panel)["layout"]
    named: Sequence[str] = layout["yaxis"].get("categoryarray", [])
    return data[0]["y"] if data[0]["type"] == "heatmap" else named


def draw(axis: Axes, panel: Panel, width: int) -> None:
    """Draw a page's figure with what its caption says it rests on, in lines of so many letters."""
    drawing, rows = _drawing(panel), _rows(panel)
    data, layout = drawing["data"], drawing["layout"]
    for trace in data:
        TRACES[trace["type"]](axis, trace, rows)
    for side in "xy":
        _axis(axis, side, layout[f"{side}axis"], panel)
    for shape in layout.get("shapes", ()):
        _shape(axis, shape)
    for note in layout.get("annotations", ()):
        _note(axis, note, len(data[0]["x"]))
    if labels := panel.chart.options.get("labels"):
        _label(axis, data[0], labels)
    axis.set_title(panel.heading, fontsize=8)
    clauses = re.split(r"; |\. (?=n = )", panel.caption)
    rows_are, sizes = ([c for c in clauses if mark in c] for mark in ("Rows: ", "n = "))
    rests_on = "; ".join([*rows_are, *sizes[:1]])
    axis.set_xlabel("\n".join([axis.get_xlabel(), *wrap(rests_on, width)]).strip(), fontsize=6.5)


@cache
def _colours() -> Mapping[str, str]:
    """Return the light colours of the page, by their names."""
    style = (files("emospace.report") / "palette.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+): light-dark\((#\w+|rgba\([^)]*\)),", style))


def _colour(value: Any) -> Any:
    if not isinstance(value, str):
        return [_colour(item) for item in value]
    value = re.sub(r"var\(--([\w-]+)\)", lambda name: _colours()[name[1]], value)
    if not value.startswith("rgba"):
        return value
    *rgb, alpha = (float(part) for part in value[5:-1].split(","))
    return (*(part / 255 for part in rgb), alpha)


def _plain(text: object) -> str:
    return unescape(re.sub("<[^>]+>", "", str(text)))


def _places(values: Sequence[Any], rows: Sequence[str]) -> np.ndarray:
    return np.array([rows.index(v) if v in rows else np.nan if v is None else v for v in values], dtype=float)


def _scatter(axis: Axes, trace: Json, rows: Sequence[str]) -> None:
    x, y = (_places(trace[side], rows) for side in "xy")
    if "lines" in trace["mode"]:
        line = trace["line"]
        width, dash = line.get("width", 2) * 0.6, DASHES[line.get("dash", "solid")]
        axis.plot(x, y, color=_colour(line["color"]), lw=width, ls=dash)
    if "markers" in trace["mode"]:
        marker = trace["marker"]
        colours, sizes, symbols = (
            value if isinstance(value, list) else [value] * len(x)
            for value in (_colour(marker["color"]), marker.get("size", 6), marker.get("symbol", "circle"))
        )
        for at, symbol in enumerate(symbols):
            face = "none" if symbol.endswith("-open") else colours[at]
            size = (0.45 * sizes[at]) ** 2
            axis.scatter(x[at], y[at], s=size, facecolor=face, edgecolor=colours[at], lw=0.9, zorder=3)
    if "text" in trace["mode"]:
        for at, text in enumerate(trace["text"]):
            axis.text(x[at], y[at], text, va="center", fontsize=6.5)


def _bar(axis: Axes, trace: Json, rows: Sequence[str]) -> None:
    ends = trace["error_x"]
    error = np.array([ends["arrayminus"], ends["array"]], dtype=float)
    axis.barh(
        _places(trace["y"], rows),
        trace["x"],
        0.7,
        color=_colour(trace["marker"]["color"]),
        xerr=error,
        error_kw={"elinewidth": 0.8},
    )


def _heat(axis: Axes, trace: Json, rows: Sequence[str]) -> None:  # noqa: ARG001
    z = np.array(trace["z"], dtype=float)
    axis.imshow(
        z, cmap="viridis", vmin=trace["zmin"], vmax=trace["zmax"], interpolation="nearest", aspect="auto"
    )
    for side, ticks in (("x", axis.set_xticks), ("y", axis.set_yticks)):
        ticks(range(len(trace[side])), [_plain(name) for name in trace[side]])
    axis.tick_params(length=0, labelsize=max(2.0, min(6.0, 110 / len(z))))
    axis.tick_params("x", rotation=60)
    axis.spines[:].set_visible(False)


TRACES = {"scatter": _scatter, "bar": _bar, "heatmap": _heat}


def _axis(axis: Axes, side: str, layout: Json, panel: Panel) -> None:
    if "title" in layout:
        axis.set(**{f"{side}label": layout["title"]["text"]})
    if "range" in layout:
        axis.set(**{f"{side}lim": layout["range"]})
    rows = layout.get("categoryarray") or layout.get("ticktext")
    if rows:
        axis.set(**{f"{side}ticks": range(len(rows)), f"{side}ticklabels": map(_plain, rows)})
    if layout.get("visible") is False or (side == "y" and panel.chart.options.get("first") is False):
        axis.set(**{f"{side}ticks": []})
    if panel.chart.shape == "square":
        axis.set_box_aspect(1)
    if layout.get("zeroline"):
        (axis.axvline if side == "x" else axis.axhline)(0, color=_colour("var(--line)"), lw=0.6, zorder=0)


def _shape(axis: Axes, shape: Json) -> None:
    line = shape["line"]
    style = {
        "color": _colour(line.get("color", "none")),
        "lw": line["width"] * 0.6,
        "ls": DASHES[line.get("dash", "solid")],
    }
    if shape["type"] == "rect":
        axis.axvspan(shape["x0"], shape["x1"], color=_colour(shape["fillcolor"]), lw=0, zorder=0)
    elif shape.get("xref") == "paper":
        axis.axhline(shape["y0"], **style)
    else:
        axis.axvline(shape["x0"], **style)


def _note(axis: Axes, note: Json, n_columns: int) -> None:
    """Write a label: into its square, or on top of a line that goes over the whole height."""
    on_top = note.get("yref") == "paper"
    axis.text(
        note["x"],
        note["y"],
        _plain(note["text"]),
        transform=axis.get_xaxis_transform() if on_top else axis.transData,
        color=_colour(note["font"]["color"]),
        fontsize=min(5.5, 60 / max(n_columns, 1)),
        ha={"right": "right", "left": "left"}.get(note.get("xanchor", ""), "center"),
        va="bottom" if note.get("yanchor") == "bottom" else "center",
    )


def _label(axis: Axes, trace: Json, labels: Sequence[Json]) -> None:
    """Name the points of a trace, with a line to those whose name lies apart."""
    points = np.array([trace["x"], trace["y"]], dtype=float).T
    limits = np.array([axis.get_xlim()[1], axis.get_ylim()[1]])
    names, bold = [label["text"] for label in labels], np.array([label["bold"] for label in labels])
    for name, flag, point, spot in zip(
        names, bold, points, place_labels(points / limits, names, bold, 1.0), strict=True
    ):
        if spot is None:
            continue
        near = np.hypot(*(spot - point / limits)) < 0.09 + 0.012 * len(name)
        apart = {"arrowstyle": "-", "lw": 0.4, "color": _colour("var(--quiet)"), "shrinkA": 1, "shrinkB": 2}
        axis.annotate(
            name,
            tuple(point),
            tuple(spot * limits),
            ha="center",
            va="center",
            fontsize=5.6,
            weight="bold" if flag else "normal",
            arrowprops=None if near else apart,
            zorder=4,
        )


def place_labels(
    points: np.ndarray, names: Sequence[str], first: np.ndarray, limit: float
) -> list[np.ndarray | None]:
    """Return a free spot for each label near its point, or None where there is none.

    Points [n, 2] lie in a square of half-width `limit`; labels flagged in `first` choose before the others.
    Sizes are those of 5.6 pt text on a panel 2.8 inches wide.
    """
    unit = 2 * limit / (2.8 * 72)
    sizes = (
        np.array([[0.5 * 5.6 * 0.6 * len(name) + 1, 0.5 * 5.6 * 1.15] for name in names]).reshape(-1, 2)
        * unit
    )
    taken = [(point, np.full(2, 2.6 * unit)) for point in points]
    angles = np.arange(16) * np.pi / 8
    spots: list[np.ndarray | None] = [None] * len(names)
    crowd = (np.linalg.norm(points[:, None] - points[None], axis=2) < 0.2 * limit).sum(axis=1)
    for i in sorted(range(len(names)), key=lambda i: (not first[i], crowd[i])):
        for reach in np.arange(3, 61, 3) * unit:
            around = points[i] + np.c_[np.cos(angles), np.sin(angles)] * (sizes[i] + reach)
            free = [
                spot
                for spot in around
                if (np.abs(spot) + sizes[i] <= limit).all()
                and all((np.abs(spot - at) >= sizes[i] + half).any() for at, half in taken)
            ]
            if free:
                spots[i] = free[0]
                taken.append((free[0], sizes[i]))
                break
    return spots
