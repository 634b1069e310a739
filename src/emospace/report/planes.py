"""The plane of valence and arousal: categories of several languages over one another, beside people, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emospace.report import plots
from emospace.report.blocks import Block, Chart, Figures, Reason
from emospace.report.run import Absent, Run, or_reason
from emospace.report.texts import panel
from emospace.report.wording import language_name, number, plain_name

if TYPE_CHECKING:
    import pandas as pd

BASIC, ALL = "basic", "all"
"""Which categories a plane shows; any other word is the name of one that stands out."""
PLACES = ("language", "category", "human_valence", "human_arousal", "model_x", "model_y")
FADED = 0.18


@dataclass(frozen=True)
class Placed:
    """What lies on a plane in one colour: category -> place (x, y)."""

    name: str
    colour: str
    places: Mapping[str, tuple[float, float]]
    symbol: str = "circle"


def overlaid(
    series: Sequence[Placed], basic: frozenset[str], titles: tuple[str, str], picked: str | None = None
) -> plots.Json:
    """Draw series over one another, the places of a category tied to their mean, where its name stands.

    Parameters
    ----------
    basic
        Categories whose names are bold.
    titles
        Of the two axes.
    picked
        The one category that stands out; all alike unless given.
    """
    categories = list(dict.fromkeys(name for item in series for name in item.places))
    middles = {
        name: np.mean([item.places[name] for item in series if name in item.places], axis=0)
        for name in categories
    }
    kept = [name for name in categories if picked in (None, name)]
    traces = []
    for item in series:
        x, y = np.reshape(list(item.places.values()), (-1, 2)).T
        hover = [
            f"<b>{plots.text(plain_name(name))}</b><br>{plots.text(item.name)}: {number(a)}, {number(b)}"
            for name, (a, b) in item.places.items()
        ]
        marker = {
            "size": [10 if name in basic else 7 for name in item.places],
            "color": item.colour,
            "symbol": item.symbol,
            "opacity": [1 if name in kept else FADED for name in item.places],
            "line": {"width": 1.5, "color": item.colour},
        }
        traces.append(plots.marks(x, y, hover, marker=marker, name=plots.text(item.name)))
    # A gap after each pair of ends keeps the lines apart.
    ends = [
        point
        for item in series
        for name, place in item.places.items()
        if name in kept
        for point in (middles[name], place, (np.nan, np.nan))
    ]
    if len(series) > 1 and ends:
        x, y = np.asarray(ends, dtype=float).T
        traces.append(plots.line(x, y, None, plots.QUIET, mode="lines", width=0.9, showlegend=False))
    every = [place for item in series for place in item.places.values()] or [(0.0, 0.0)]
    drawn = plots.drawing(
        traces,
        plots.centred(titles[0], every),
        plots.centred(titles[1], every),
        plots.ABOVE,
        margin={"t": 30},
    )
    labels = [
        {"text": plots.text(plain_name(name)), "bold": name in basic, "x": x, "y": y}
        for name in kept
        for x, y in [plots.numbers(middles[name])]
    ]
    return drawn | {"labels": labels}


@or_reason("The plane")
def plane_figures(
    run: Run,
    languages: Sequence[str],
    layer: int | None = None,
    categories: str = BASIC,
    with_people: bool = True,
) -> Iterator[Block]:
    """Yield the categories of some languages, and of people, on one plane.

    Parameters
    ----------
    languages
        Those of the run to show.
    layer
        Whose dense states stand for the model: the two main dimensions of their dissimilarities, turned as a whole
        onto people's ratings. The run's own space unless given.
    categories
        `BASIC`, `ALL`, or the one category that stands out among all.
    with_people
        Whether people's ratings are shown beside the languages.
    """
    table = run.table("circumplex", PLACES)
    basic = frozenset(record.category for record in run.results.features if record.basic)
    if "basic" in table.columns:
        basic |= frozenset(table["category"][table["basic"].astype(bool)])
    people = _places(table.drop_duplicates("category"), "human_valence", "human_arousal")
    series = []
    for place, language in enumerate(languages):
        part = table[table["language"] == language]
        rated = _places(part, "human_valence", "human_arousal")
        try:
            if layer is None:
                places = _places(part, "model_x", "model_y")
            else:
                places = turned_onto(run.rdm_of_layer(language, layer), rated)
        except Absent as absent:
            yield Reason(language_name(language), str(absent))
            continue
        people |= rated
        series.append(Placed(language_name(language), plots.hue(place), places))
    if with_people:
        series.append(Placed("People", "var(--ink)", people, "circle-open"))
    if categories == BASIC and basic:
        series = [
            replace(item, places={name: at for name, at in item.places.items() if name in basic})
            for item in series
        ]
    picked = None if categories in (BASIC, ALL) else categories
    titles = ("valence direction", "arousal direction")
    chart = Chart({"": overlaid(series, basic, titles, picked)}, shape="square")
    names = [item.name for item in series]
    if layer is None:
        shown = panel("plane", chart, names=names, caption="")
    else:
        shown = panel("plane", chart, text="plane-layer", names=names, layer=layer, caption="")
    yield Figures([shown])


def _places(table: pd.DataFrame, x: str, y: str) -> dict[str, tuple[float, float]]:
    rows = table.dropna(subset=[x, y])
    return {
        str(name): (float(a), float(b)) for name, a, b in zip(rows["category"], rows[x], rows[y], strict=True)
    }


def turned_onto(
    square: pd.DataFrame, target: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return two dimensions of dissimilarities, turned, mirrored and scaled as a whole onto given places.

    Classical scaling (Torgerson 1952), then the orthogonal Procrustes rotation over the categories that both have.

    Parameters
    ----------
    square
        Dissimilarities [n_categories, n_categories] indexed by category; categories with gaps are left out.
    target
        Category -> place.
    """
    from scipy.linalg import orthogonal_procrustes

    whole = square.loc[square.notna().mean(axis=1) > 0.5, square.notna().mean(axis=0) > 0.5]
    whole = whole.loc[whole.notna().all(axis=1), whole.notna().all(axis=1)]
    names = [str(name) for name in whole.index]
    held = [place for place, name in enumerate(names) if name in target]
    if len(held) < 3:
        raise Absent("people rate fewer than three of its categories")
    values = whole.to_numpy(dtype=float)
    centring = np.eye(len(values)) - 1 / len(values)
    roots, vectors = np.linalg.eigh(-0.5 * centring @ values**2 @ centring)
    points = vectors[:, :-3:-1] * np.sqrt(np.maximum(roots[:-3:-1], 0.0))
    goal = np.array([target[names[place]] for place in held])
    start, end = points[held].mean(axis=0), goal.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points[held] - start, goal - end)
    size = float(np.linalg.norm(goal - end)) / max(float(np.linalg.norm(points[held] - start)), 1e-12)
    turned = (points - start) @ rotation * size + end
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, turned, strict=True)}
