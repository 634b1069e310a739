"""How spaces, dictionaries of features, predictions and vectors show themselves in a notebook: the report's charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from emospace.features import FeatureDictionary
from emospace.prediction import Predicted
from emospace.report import charts, plots
from emospace.report.blocks import Chart, Panel
from emospace.report.paper import PER_INCH, STYLE, draw
from emospace.report.wording import figure, interval, plain_name
from emospace.space import EmotionSpace
from emospace.steering import SteeringVector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 22
"""Pixels of a bar."""


@singledispatch
def chart_of(thing: Any) -> Chart:
    """Return the chart of an object."""
    raise TypeError(f"there is no picture of {type(thing).__name__}")


@singledispatch
def facts_of(thing: Any) -> Mapping[str, object]:
    """Return what is said beside the chart of an object."""
    raise TypeError(f"there is nothing to say of {type(thing).__name__}")


@chart_of.register
def _(space: EmotionSpace) -> Chart:
    import pandas as pd

    square = pd.DataFrame(space.rdm(), index=list(space.categories), columns=list(space.categories))
    return charts.rdm(square, space.categories, True)


@facts_of.register
def _(space: EmotionSpace) -> Mapping[str, object]:
    return {
        "language": space.language,
        "categories": len(space.categories),
        "features": f"{len(space.latents)} ({space.kind})",
        "concepts": sum(space.n_words),
        "shown": "dissimilarity of the categories, by percentile",
    }


@chart_of.register
def _(features: FeatureDictionary) -> Chart:
    counts = features.table["category"].value_counts(sort=False)
    return _bars(list(counts.index), counts.tolist(), "features")


@facts_of.register
def _(features: FeatureDictionary) -> Mapping[str, object]:
    return {
        "language": features.language,
        "categories": len(features.categories),
        "latents": len(features.latents),
        "shown": "features of each category",
    }


@chart_of.register
def _(predicted: Predicted) -> Chart:
    import pandas as pd

    table = pd.DataFrame(
        {
            "word": [f"word {place}" for place in range(len(predicted.observed))],
            "observed": predicted.observed,
            "predicted": predicted.out_of_fold,
        }
    )
    return charts.observed_predicted(table, {"": "predicted"}, 0, "")


@facts_of.register
def _(predicted: Predicted) -> Mapping[str, object]:
    score = predicted.all_words
    return {
        "target": predicted.target,
        "r, out of fold": f"{figure(score.r)} ({interval(score.ci_low, score.ci_high)})",
        "words": score.n,
        "features": predicted.n_features,
        "layers chosen": ", ".join(map(str, dict.fromkeys(predicted.layer))),
    }


@chart_of.register
def _(vector: SteeringVector) -> Chart:
    layers = [f"layer {layer}" for layer in vector.layers]
    return _bars(layers, [vector.shares[layer] for layer in vector.layers], "share of the dose")


@facts_of.register
def _(vector: SteeringVector) -> Mapping[str, object]:
    return {
        "vector": vector.name,
        "model": vector.model,
        "made of": vector.kind,
        "acts": f"{vector.op}, {vector.scope} tokens, mode {vector.mode}",
        **{f"dose, {mode}": f"{doses.dose:.2f}" for mode, doses in vector.calibration.items()},
    }


def _bars(names: Sequence[str], values: Sequence[float], title: str) -> Chart:
    rows = [plain_name(name) for name in names]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": plots.numbers(values),
        "marker": {"color": [plots.CONCEPTS] * len(rows)},
        "error_x": plots.whiskers([(value, value, value) for value in values], "var(--ink)"),
    }
    drawn = plots.drawing(
        [bars], plots.axis(title), plots.names_axis(rows, range=[-0.6, len(rows) - 0.4], automargin=True)
    )
    return Chart({"": drawn}, height=100 + ROW * len(rows))


def plot(thing: Any) -> Figure:
    """Return the chart of an object as a matplotlib figure, as `emospace report --figures` draws them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panel = Panel("", "", "", "", chart_of(thing))
    square = panel.chart.shape == "square"
    size = (4.4, 4.4) if square else (5.2, panel.chart.height / PER_INCH)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        drawn = Figure(figsize=size, layout="constrained")
        draw(drawn.subplots(), panel, 80)
    return drawn


def html(thing: Any) -> str:
    """Return what is said of an object, and its chart, for a notebook."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts_of(thing).items()
    )
    picture = StringIO()
    plot(thing).savefig(picture, format="svg", metadata={"Date": None})
    svg = picture.getvalue()
    return f"<div><table>{rows}</table>{svg[svg.index('<svg') :]}</div>"
