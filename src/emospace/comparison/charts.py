"""Charts of a comparison: a matrix of runs, matrices of layers, curves over relative depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.report import plots
from emospace.report.wording import figure, interval, p_clause

if TYPE_CHECKING:
    import pandas as pd

    from emospace.comparison.records import FigureRecord

N_LINES = 4
ROW, APART = 34, 0.62
"""Pixels a row of figures takes for two runs, and the share of it over which runs are spread."""


def run_matrix(values: np.ndarray, names: Sequence[str], hover: Sequence[Sequence[str]]) -> plots.Json:
    """Draw a matrix of runs [n_runs, n_runs] with its values; columns go by the number a row's name begins with."""
    rows = [plots.text(name) for name in names]
    return plots.heat(
        values,
        rows,
        [row.split(" ", 1)[0] for row in rows],
        [[plots.text(cell) for cell in row] for row in hover],
        low=min(0.0, float(np.nanmin(values, initial=0.0))),
        x={"side": "top", "ticks": ""},
        y={"automargin": True, "ticks": ""},
        margin={"l": 60, "r": 8, "t": 30, "b": 8},
    )


def side_by_side(rows: Mapping[str, Sequence[FigureRecord]], runs: Sequence[str], title: str) -> plots.Json:
    """Draw figures by name below one another, a point with its interval for each run that has one.

    Parameters
    ----------
    rows
        Name of a row -> the figures in it, of one run each.
    runs
        Names of all runs; a run's place says its colour.
    title
        Of the axis.
    """
    traces = []
    for place, run in enumerate(runs):
        given = [(at, r) for at, row in enumerate(rows.values()) for r in row if r.run == run]
        if not given:
            continue
        offset = APART * ((place + 0.5) / len(runs) - 0.5)
        values = [r.value or 0.0 for _, r in given]
        hover = [
            "<br>".join(
                filter(
                    None,
                    (
                        f"<b>{plots.text(list(rows)[at])}</b>",
                        f"{plots.text(run)}: {figure(r.value)}",
                        "" if r.ci_low is None else f"95% CI {interval(r.ci_low, r.ci_high)}",
                        p_clause(r.p),
                        f"n = {r.n:,}",
                    ),
                )
            )
            for at, r in given
        ]
        traces.append(
            plots.marks(
                values,
                [at + offset for at, _ in given],
                hover,
                marker={"size": 9, "color": plots.hue(place)},
                name=plots.text(run) + ("" if place else " (baseline)"),
                error_x=plots.whiskers(
                    [(value, r.ci_low, r.ci_high) for value, (_, r) in zip(values, given, strict=True)],
                    plots.hue(place),
                ),
                cliponaxis=False,
            )
        )
    return plots.drawing(
        traces,
        plots.axis(title, zeroline=True),
        plots.rows_axis(list(rows), automargin=True),
        plots.ABOVE,
        margin={"l": 60, "t": 34, "b": 48},
    )


def layer_matrix(part: pd.DataFrame, names: tuple[str, str], limits: tuple[float, float]) -> plots.Json:
    """Draw the RSA of all layers of one run (across) with all of another (up), with equal depth and best matches.

    A name is called by the number it begins with on the axes, where there is no room for more.
    """
    grid = part.pivot_table(index="depth_b", columns="depth_a", values="rsa", dropna=False)
    across, up = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
    values = grid.to_numpy(dtype=float)
    best = np.where(np.isfinite(values), values, -2.0).argmax(axis=0)
    a, b = (plots.text(name) for name in names)
    hover = f"{a}: depth %{{x:.2f}}<br>{b}: depth %{{y:.2f}}<br>RSA %{{z:.2f}}"
    colours = plots.heat_trace(
        np.round(values, 3), plots.numbers(up), plots.numbers(across), hover, *limits
    ) | {
        "showscale": True,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "tickformat": ".1f", "nticks": 4},
    }
    diagonal = plots.line(
        [0, 1], [0, 1], None, "#ffffff", mode="lines", width=1.2, dash="dot", name="equal depth"
    )
    matched = plots.marks(
        across,
        up[best],
        "most alike: %{x:.2f} with %{y:.2f}",
        marker={"size": 6, "color": "#ffffff", "line": {"color": plots.DARK, "width": 1}},
        name="most alike",
    )

    def depth(name: str, depths: np.ndarray) -> plots.Json:
        half = 0.5 / max(len(depths) - 1, 1)
        title = f"depth in run {name.split(' ', 1)[0]}"
        return plots.axis(title, range=[-half, 1 + half], showgrid=False, zeroline=False)

    return plots.drawing(
        [colours, diagonal, matched],
        depth(a, across),
        depth(b, up),
        margin={"l": 62, "r": 8, "t": 8, "b": 50},
    )


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], order: Sequence[str]) -> plots.Json:
    """Draw one line a run over relative depth; a run's place in `order` says its colour and dash."""
    traces = [
        plots.line(
            x,
            y,
            f"{plots.text(name)}<br>depth %{{x:.2f}}: %{{y:.2f}}",
            f"var(--line-{place % N_LINES})",
            mode="lines+markers" if len(x) <= 40 else "lines",
            dash=plots.DASHES[place // N_LINES % len(plots.DASHES)],
            width=2,
            marker={"size": 5},
            name=plots.text(name),
        )
        for name, (x, y) in lines.items()
        for place in [order.index(name)]
    ]
    ends = [value for _, y in lines.values() for value in y if np.isfinite(value)]
    return plots.drawing(
        traces,
        plots.axis("relative depth (layer / blocks)", range=[-0.02, 1.02], zeroline=False),
        plots.axis("RSA", range=[min([0.0, *ends]) - 0.04, max([0.2, *ends]) + 0.06]),
        plots.BELOW,
        margin={"t": 10, "b": 70 + 20 * ((len(traces) + 1) // 2)},
    )
