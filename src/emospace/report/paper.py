"""Figures for a paper: circumplex, similarity matrices, prediction bars and languages as PDF and PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import atomic_write
from emospace.display import say
from emospace.records import PredictionRecord, geometry
from emospace.report.charts import band_and_ceiling, bar_names, bounds, percentiles
from emospace.report.languages import of_statistic, tree_of
from emospace.report.languages_charts import ordered, pair_square
from emospace.report.run import Absent, Run, load_run
from emospace.report.sections import CIRCUMPLEX, basic_marked, category_order
from emospace.report.transfer import SAME, crossing_square
from emospace.report.wording import (
    FEATURE_SETS,
    MANY,
    figure,
    language_name,
    percent,
    plain_name,
    set_name,
    structure_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"concepts": "#0072b2", "control": "#8b95a1", "other": "#d9822b"}
CEILING, QUIET = "#00795a", "#8b95a1"
HUES = ("#d55e00", "#009e73", "#aa4499", "#e69f00", "#0072b2", "#56b4e9")
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "axes.linewidth": 0.6,
}


def figures(run_dir: Path | str) -> tuple[Path, ...]:
    """Write the circumplex, RDMs and prediction bars of a run into ``figures/`` and return the files.

    Each comes as PDF (vector, fonts embedded) and PNG (300 dpi), at 7 inches wide, one of a kind per
    language; of three languages or more also their RSA with its tree, and ratings read across them. A figure whose table is absent is left out, and a line says why.

    Parameters
    ----------
    run_dir
        Folder of a finished study.

    Raises
    ------
    EmospaceError
        If the folder has no `results.json`, or one that this version cannot read.
    """
    import matplotlib as mpl

    run = load_run(run_dir)
    written: list[Path] = []
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for language in run.languages:
            for name, draw in (("circumplex", _circumplex), ("rdms", _rdms)):
                try:
                    written += _save(run, f"{name}_{language}", draw(run, language))
                except Absent as reason:
                    say(f"figures/{name}_{language} is left out: {reason}")
            for norms, drawn in _bars(run, language):
                written += _save(run, f"prediction_{language}_{norms}", drawn)
        if len(run.languages) >= MANY:
            for name, draw_all in (("languages", _languages), ("transfer", _transfer)):
                try:
                    written += _save(run, name, draw_all(run))
                except Absent as reason:
                    say(f"figures/{name} is left out: {reason}")
    return tuple(written)


def _save(run: Run, name: str, drawn: Figure) -> Iterator[Path]:
    for suffix, dates in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        path = run.folder / "figures" / f"{name}.{suffix}"
        atomic_write(path, lambda temporary, d=dates: drawn.savefig(temporary, dpi=300, metadata=d))  # type: ignore[misc]
        yield path


def _new(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7, height), layout="constrained")
    return drawn, drawn.subplots(rows, columns, squeeze=False, **options)[0]


def _circumplex(run: Run, language: str) -> Figure:
    table = run.table("circumplex", ("language", *CIRCUMPLEX))
    part = basic_marked(run, table[table["language"] == language])
    if part.empty:
        raise Absent("tables/circumplex.parquet has no rows of this language")
    drawn, axes = _new(1, 2, 3.6)
    panels = (("People", "human_valence", "human_arousal"), (run.title, "model_x", "model_y"))
    for axis, (title, x, y) in zip(axes, panels, strict=True):
        shown = part.dropna(subset=[x, y]).sort_values("category")
        _scatter(axis, shown, x, y)
        axis.set_title(title, fontsize=8)
        axis.set(xlabel="valence", ylabel="arousal")
    return drawn


def _scatter(axis: Axes, part: pd.DataFrame, x: str, y: str) -> None:
    basic = part["basic"].astype(bool).to_numpy()
    hues = iter(HUES * (int(basic.sum()) // len(HUES) + 1))
    points = part[[x, y]].to_numpy(dtype=float)
    wide, high = limits = 1.18 * np.abs(points).max(axis=0, initial=0.1)
    axis.set(xlim=(-wide, wide), ylim=(-high, high), box_aspect=1)
    axis.axhline(0, color="#dde2e8", lw=0.6, zorder=0)
    axis.axvline(0, color="#dde2e8", lw=0.6, zorder=0)
    for point, flag, source in zip(points, basic, part["human_source"], strict=True):
        colour = next(hues) if flag else QUIET
        face = "none" if source == "derived" else colour
        axis.scatter(
            point[0],
            point[1],
            s=26 if flag else 10,
            facecolor=face,
            edgecolor=colour,
            linewidth=0.9,
            zorder=3,
        )
    names = [plain_name(name) for name in part["category"]]
    for name, flag, point, spot in zip(
        names, basic, points, place_labels(points / limits, names, basic, 1.0), strict=True
    ):
        if spot is not None:
            near = np.hypot(*(spot - point / limits)) < 0.09 + 0.012 * len(name)
            line = (
                None if near else {"arrowstyle": "-", "lw": 0.4, "color": QUIET, "shrinkA": 1, "shrinkB": 2}
            )
            weight = "bold" if flag else "normal"
            axis.annotate(
                name,
                (point[0], point[1]),
                (spot[0] * wide, spot[1] * high),
                ha="center",
                va="center",
                fontsize=5.6,
                weight=weight,
                arrowprops=line,
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


def _rdms(run: Run, language: str) -> Figure:
    model = run.rdm(f"rdm_{language}")
    human = {name: run.rdm(f"rdm_human_{language}_{name}") for name in run.human_structures(language)}
    order = category_order(model, human)
    panels = {run.title: model} | {upper_first(structure_name(name)): rdm for name, rdm in human.items()}
    drawn, axes = _new(1, len(panels), 0.5 + 6.0 / len(panels))
    for axis, (title, square) in zip(axes, panels.items(), strict=True):
        values = percentiles(square.reindex(index=list(order), columns=list(order)).to_numpy(dtype=float))
        axis.imshow(values, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(title, fontsize=7)
        axis.set(xticks=[], yticks=[])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    size = min(6.0, 330 / len(panels) / len(order))
    axes[0].set_yticks(range(len(order)), [plain_name(name) for name in order], fontsize=size)
    for axis, against in zip(axes[1:], human, strict=True):
        if record := geometry(run.results.alignment, language, against):
            axis.set_xlabel(f"RSA {figure(record.value)}, n = {record.n}", fontsize=7)
    return drawn


def _bars(run: Run, language: str) -> Iterator[tuple[str, Figure]]:
    for norms in run.norms(language):
        targets = run.targets(language, norms)
        panels = {target: _strict(run, language, norms, target) for target in targets}
        names = bar_names(sum(panels.values(), ()))
        drawn, axes = _new(1, len(panels), 0.9 + 0.19 * len(names), sharey=True)
        for axis, (target, records) in zip(axes, panels.items(), strict=True):
            _bar_axis(axis, records, names)
            words = "concept words out" if records and records[0].excluded_concepts else "all words"
            n = max((record.n for record in records), default=0)
            axis.set_title(f"{upper_first(target)} (n = {n:,}, {words})", fontsize=7.5)
            axis.set_xlabel("r, out of fold")
        yield norms, drawn


def _strict(run: Run, language: str, norms: str, target: str) -> tuple[PredictionRecord, ...]:
    for excluded in (True, False):
        if records := [r for r in run.panel(language, norms, target, excluded) if r.r is not None]:
            return tuple(records)
    return ()


def _bar_axis(axis: Axes, records: Sequence[PredictionRecord], names: list[str]) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    for record in records:
        place, (r, low, high) = names.index(set_name(record)), bounds(record)
        axis.barh(place, r, 0.7, color=COLOURS[FEATURE_SETS[record.features][1]])
        if low is not None and high is not None:
            axis.plot([low, high], [place, place], color="black", lw=0.8)
        axis.text(max(r, high or r) + 0.015, place, figure(r), va="center", fontsize=6.5)
    band, ceiling = band_and_ceiling(records)
    if band:
        axis.axvspan(*band, color=QUIET, alpha=0.18, lw=0, zorder=0)
    if ceiling is not None:
        axis.axvline(ceiling, color=CEILING, lw=1, ls="--")
    axis.set_xlim(min(0, axis.get_xlim()[0]), 1.05)


def _languages(run: Run) -> Figure:
    """Draw the RSA of every pair of languages beside their tree."""
    from matplotlib.figure import Figure

    records = of_statistic(run, "rsa_spearman")
    spoken = tuple(dict.fromkeys(name for record in records for name in (record.a, record.b)))
    if len(spoken) < MANY:
        raise Absent("results.json holds no RSA between three languages or more")
    tree = tree_of(run)
    order = ordered(spoken, tree)
    square = pair_square({(r.a, r.b): r.value for r in records}, order)
    drawn = Figure(figsize=(7, 1.2 + 0.33 * len(order)), layout="constrained")
    left, right = drawn.subplots(1, 2, width_ratios=(1, 2.4))
    _heat(right, square, order, order, min(0.0, float(np.nanmin(square))), 1.0)
    sizes = sorted({record.n for record in records})
    right.set_title(
        f"RSA of emotion spaces (n = {'–'.join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1])))} categories)",
        fontsize=7.5,
    )
    left.set(ylim=(len(order) - 0.5, -0.5), yticks=[], xlabel="1 − RSA")
    left.spines["left"].set_visible(False)
    if tree is None:
        left.set_axis_off()
        return drawn
    for branch in tree.branches:
        (y0, x0), (y1, x1) = branch.children
        left.plot([x0, branch.height, branch.height, x1], [y0, y0, y1, y1], color=COLOURS["concepts"], lw=1)
        if tree.has_room(branch):
            where = (branch.height, branch.place)
            left.annotate(
                percent(branch.support), where, (-2, 1), textcoords="offset points", fontsize=5, ha="right"
            )
    left.invert_xaxis()
    return drawn


def _transfer(run: Run) -> Figure:
    """Draw r of ratings read from the emotion space of one language in another, one panel a rating."""
    records = [r for r in run.results.cross_language if r.features == "space" and r.r is not None]
    spoken = tuple(dict.fromkeys(name for record in records for name in (record.train, record.test)))
    if not spoken:
        raise Absent("results.json holds no rating read across languages")
    order = ordered(spoken, tree_of(run))
    targets = list(dict.fromkeys(record.target for record in records))
    drawn, axes = _new(1, len(targets), 1.4 + 0.3 * len(order))
    top = max(
        0.2, *(record.r or 0.0 for record in records), *(record.same_language or 0.0 for record in records)
    )
    for axis, target in zip(axes, targets, strict=True):
        square = crossing_square(run.results, "space", target, order, order)[:-1]
        _heat(axis, square, [*order, SAME], order, 0.0, top)
        axis.axhline(len(order) - 0.5, color="black", lw=1)
        people = next((r.reference for r in records if r.target == target and r.reference is not None), None)
        reference = "" if people is None else f" (people {figure(people)})"
        axis.set_title(f"{upper_first(target)}, r{reference}", fontsize=7.5)
        axis.set(xlabel="test language", ylabel="training language")
    return drawn


def _heat(
    axis: Axes, square: np.ndarray, rows: Sequence[str], columns: Sequence[str], low: float, top: float
) -> None:
    """Draw a matrix with its figures written in."""
    axis.imshow(square, cmap="viridis", vmin=low, vmax=top, interpolation="nearest", aspect="auto")
    axis.set_xticks(range(len(columns)), [language_name(name) for name in columns], fontsize=6, rotation=60)
    axis.set_yticks(range(len(rows)), [language_name(name) for name in rows], fontsize=6)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for i, j in np.argwhere(np.isfinite(square)):
        ink = "black" if square[i, j] - low > 0.55 * (top - low) else "white"
        axis.text(j, i, figure(square[i, j]), ha="center", va="center", fontsize=5.5, color=ink)
