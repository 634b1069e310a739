"""Charts of several languages: matrices, the tree, the plane of a pair, depth, ratings read across languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emospace.records import AlignmentRecord, CategoryShiftRecord, UniversalRecord
from emospace.report import plots
from emospace.report.blocks import Chart
from emospace.report.planes import Placed, overlaid
from emospace.report.wording import figure, interval, language_name, number, p_clause, percent, plain_name

if TYPE_CHECKING:
    import pandas as pd

Pair = tuple[str, str]


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
        above = [clade.height for clade in self.branches if set(clade.members) > set(branch.members)]
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
    top = tree.branches[-1].height or 1.0
    traces, notes = [], []
    for branch in tree.branches:
        (y0, x0), (y1, x1) = branch.children
        names = plots.text(", ".join(language_name(name) for name in branch.members))
        hover = f"{names}<br>1 − RSA {figure(branch.height)}, support {percent(branch.support)}"
        x = [x0, branch.height, branch.height, x1]
        traces.append(plots.line(x, [y0, y0, y1, y1], [hover] * 4, plots.CONCEPTS, mode="lines", width=1.6))
        if tree.has_room(branch):
            place = {"xanchor": "left", "yanchor": "bottom", "xshift": 2}
            notes.append(
                plots.note(percent(branch.support), branch.height, branch.place, plots.MUTED, 10, **place)
            )
    names_axis = plots.rows_axis(
        [language_name(name) for name in tree.order], range=[len(tree.order) - 0.5, -0.5]
    )
    x_axis = plots.axis("1 − RSA", range=[0, 1.12 * top], zeroline=False)
    margin = {"l": 90, "r": 8, "t": 8, "b": 46}
    drawn = plots.drawing(traces, x_axis, names_axis, annotations=notes, margin=margin)
    return Chart({"": drawn}, height=90 + 32 * len(tree.order))


SLANTED: plots.Json = {"tickangle": -60, "tickfont": {"size": 10.5}}


def pair_matrix(values: Mapping[Pair, float | None], order: Sequence[str], lowest: float) -> Chart:
    """Draw a figure of every pair of languages; `lowest` is the lower end of the colours, 1 the upper."""
    names = [plots.text(language_name(name)) for name in order]
    square = [[values.get((a, b), values.get((b, a))) for b in order] for a in order]
    drawn = plots.heat(
        np.array(square, dtype=np.float64),
        names,
        names,
        "%{y} – %{x}: %{z:.2f}",
        low=lowest,
        x=SLANTED,
        margin={"l": 112, "r": 4, "t": 4, "b": 72},
    )
    options = {"rows": names, "first": True}
    if len(order) < 8:
        return Chart({"": drawn}, height=86 + 44 * len(order), options=options)
    return Chart({"": drawn}, shape="square", options=options)


def universal(records: Sequence[UniversalRecord]) -> Chart:
    """Draw how many latents are features in at least k languages, k ascending, beside what exchanged features give."""
    k = [record.k for record in records]
    lowest = 0.5

    def positive(values: Sequence[float | None]) -> list[float]:
        return [np.nan if value is None or value <= 0 else round(value, 2) for value in values]

    band = [r for r in records if r.expected_low is not None and (r.expected_high or 0) > 0]
    edge = [(r.k, max(r.expected_low or 0, lowest)) for r in band]
    edge += [(r.k, max(r.expected_high or 0, lowest)) for r in reversed(band)]
    hover = [
        f"at least {r.k}: {r.n_latents:,}<br>expected {number(r.expected, 1)} ({number(r.expected_low, 0)} to "
        f"{number(r.expected_high, 0)})<br>{p_clause(r.p)}"
        for r in records
    ]
    traces = [
        plots.marks(
            [x for x, _ in edge],
            [y for _, y in edge],
            None,
            "lines",
            fill="toself",
            fillcolor="var(--band)",
            line={"width": 0},
            name="95% of draws",
        ),
        plots.line(
            k,
            positive([r.expected for r in records]),
            None,
            plots.MUTED,
            mode="lines",
            dash="dash",
            name="expected",
        ),
        plots.line(
            k,
            positive([r.n_latents for r in records]),
            hover,
            plots.CONCEPTS,
            marker={"size": 8},
            name="observed",
        ),
    ]
    most = max([1.0, *(float(r.n_latents) for r in records), *(r.expected_high or 0.0 for r in records)])
    drawn = plots.drawing(
        traces,
        plots.axis("languages, at least", dtick=1, zeroline=False),
        plots.axis(
            "latents (log scale)",
            type="log",
            range=[float(np.log10(lowest)), float(np.log10(most)) + 0.1],
            tickvals=[10**power for power in range(7)],
            tickformat=",d",
        ),
        plots.ABOVE,
        margin={"t": 34},
    )
    return Chart({"": drawn}, height=380)


def weights(records: Sequence[AlignmentRecord], order: Sequence[str]) -> Chart:
    """Draw the weights of valence and arousal in each language's RDM with their intervals."""
    targets = list(dict.fromkeys(record.target for record in records))
    traces = []
    for at, target in enumerate(targets):
        given = [r for r in records if r.target == target and r.value is not None and r.language in order]
        colour = f"var(--line-{at})"
        traces.append(
            plots.marks(
                [r.value for r in given],
                [round(order.index(r.language) + 0.3 * (at - (len(targets) - 1) / 2), 2) for r in given],
                [
                    f"{language_name(r.language)}, {plots.text(target)}: {figure(r.value)} ({interval(r.ci_low, r.ci_high)}), "
                    f"{p_clause(r.p)}"
                    for r in given
                ],
                name=str(target),
                marker={"size": 9, "color": colour, "symbol": ("circle", "diamond")[at % 2]},
                error_x=plots.whiskers([(r.value or 0.0, r.ci_low, r.ci_high) for r in given], colour),
            )
        )
    drawn = plots.drawing(
        traces,
        plots.axis("standardised weight", zeroline=True, rangemode="tozero"),
        plots.rows_axis([language_name(name) for name in order]),
        plots.ABOVE,
        margin={"l": 90, "t": 34},
    )
    return Chart({"": drawn}, height=max(250, 90 + 26 * len(order)))


def shifts(pairs: Mapping[Pair, Sequence[CategoryShiftRecord]]) -> Chart:
    """Draw the categories of each pair by how much more differently they sit than noise makes them."""
    most = max(len(records) for records in pairs.values())
    return Chart(
        {f"{a} {b}": _shift(records, (a, b)) for (a, b), records in pairs.items()}, height=80 + 15 * most
    )


def _shift(records: Sequence[CategoryShiftRecord], pair: Pair) -> plots.Json:
    ranked = sorted(
        (record for record in records if record.excess is not None), key=lambda r: -(r.excess or 0.0)
    )
    traces = []
    for shifted, colour in ((True, plots.CONCEPTS), (False, plots.QUIET)):
        part = [r for r in ranked if bool(r.shifted) == shifted]
        hover = [
            f"{plots.text(plain_name(r.category))}: excess {figure(r.excess)} ({interval(r.ci_low, r.ci_high)})"
            for r in part
        ]
        traces += [
            plots.marks(
                [r.excess for r in part],
                [ranked.index(r) for r in part],
                hover,
                marker={"size": 7, "color": colour, "symbol": "circle" if shifted else "circle-open"},
                error_x=plots.whiskers([(r.excess or 0.0, r.ci_low, r.ci_high) for r in part], colour),
                name="interval above zero" if shifted else "not so",
            )
        ] * bool(part)
    return plots.drawing(
        traces,
        plots.axis(f"excess, {language_name(pair[0])} – {language_name(pair[1])}"),
        plots.rows_axis([plain_name(r.category) for r in ranked], tickfont={"size": 10}),
        plots.ABOVE,
        margin={"l": 126, "t": 34},
    )


def planes(table: pd.DataFrame, basic: frozenset[str]) -> Chart:
    """Draw both languages' places of every category on their common plane, joined by lines; one variant a pair."""
    titles = ("first component", "second component")
    variants = {}
    for (a, b), part in table.groupby(["a", "b"], sort=False):
        series = [
            Placed(
                language_name(str(language)),
                f"var(--line-{side})",
                dict(zip(part["category"], part[[f"{key}_x", f"{key}_y"]].to_numpy(float), strict=True)),
                ("circle", "circle-open")[side],
            )
            for side, (key, language) in enumerate((("a", a), ("b", b)))
        ]
        variants[f"{a} {b}"] = overlaid(series, basic, titles)
    return Chart(variants, shape="square")


def depth(curves: Mapping[str, Sequence[tuple[float, float]]], borrowed: frozenset[str]) -> Chart:
    """Draw RSA with people over relative depth, one line a language; dashed where the ratings are another language's."""
    traces = [
        plots.line(
            [x for x, _ in points],
            [y for _, y in points],
            f"{language_name(language)}, depth %{{x:.2f}}: %{{y:.2f}}",
            plots.hue(at),
            dash="dot" if language in borrowed else "solid",
            width=1.8,
            marker={"size": 5, "symbol": plots.SYMBOLS[at // plots.N_HUES % 3]},
            name=language_name(language),
        )
        for at, (language, points) in enumerate(curves.items())
    ]
    more = 22 * (len(traces) // 3)
    x = plots.axis("relative depth (0 enters the first block)", zeroline=False)
    drawn = plots.drawing(traces, x, plots.axis("RSA (Spearman)"), plots.BELOW, margin={"b": 70 + more})
    return Chart({"": drawn}, height=380 + more)


def ordered(languages: Sequence[str], tree: Dendrogram | None) -> tuple[str, ...]:
    """Return languages in the order of the tree, those it lacks at the end."""
    first = [name for name in (tree.order if tree else ()) if name in languages]
    return (*first, *(name for name in languages if name not in first))
