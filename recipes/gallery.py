"""Figures of the published results, as SVG with the digest of the numbers they show, for docs/gallery.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emospace.artefacts import atomic_write
from emospace.cli.tables import alignment_rows, prediction_rows
from publish_paper import AGAINST, AXES, RATINGS, STEERING, published, studies
from publishing import DOCS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = DOCS.parent / "images" / "gallery"
COLOURS = {
    "space": "#3b5bdb",
    "features": "#3b5bdb",
    "mix": "#3b5bdb",
    "sae": "#748ffc",
    "dense": "#2b8a3e",
    "input embeddings": "#f08c00",
    "static": "#f08c00",
    "outside": "#adb5bd",
    "shuffled": "#adb5bd",
    "prompt": "#f08c00",
}
STYLE = {
    "svg.hashsalt": "emospace",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Data = Mapping[str, Any]


def prediction() -> Data:
    """Return r of ratings by feature set, with the ceiling."""
    rows = [
        {
            "label": f"{model}\n{sets['space'].language} {sets['space'].target}",
            **{name: round(sets[name].r, 3) for name in ("outside", "space", "static", "dense")},
            "ceiling": round(sets["space"].ceiling, 3),
        }
        for model, results in studies().items()
        for sets in prediction_rows(results)
        if sets["space"].target in RATINGS
    ]
    return {"rows": rows}


def draw_prediction(data: Data) -> Figure:
    """Draw bars of r by feature set, and each ceiling as a line."""
    figure, axes = _axes(8.5, 3.6)
    names = ("outside", "space", "static", "dense")
    for position, row in enumerate(data["rows"]):
        for shift, name in enumerate(names):
            axes.bar(position + 0.2 * (shift - 1.5), row[name], 0.2, color=COLOURS[name], label=name)
        axes.plot(
            [position - 0.42, position + 0.42], [row["ceiling"]] * 2, "k--", lw=1, label="human ceiling"
        )
    axes.set_xticks(range(len(data["rows"])), [row["label"] for row in data["rows"]])
    axes.set_ylabel("r with people's ratings")
    _legend(axes, ncol=5)
    return figure


def arrangement() -> Data:
    """Return how categories lie in model and people, with intervals and input embeddings."""
    rows = []
    for model, results in studies().items():
        for record in alignment_rows(results):
            if record.statistic in AXES and record.against in AGAINST:
                of = "RSA, " + AGAINST[record.against].removeprefix("people's ")
                label = of if record.statistic == "rsa_spearman" else f"best PC, {record.target}"
                values = (record.value, record.ci_low, record.ci_high, record.baseline, record.ceiling)
                rows.append((f"{model}, {record.language}: {label}", *(_rounded(v) for v in values)))
    return {"rows": rows}


def draw_arrangement(data: Data) -> Figure:
    """Draw a point with its interval for each figure, input embeddings and ceiling beside it."""
    rows = data["rows"][::-1]
    figure, axes = _axes(8.5, 0.28 * len(rows) + 1.0)
    for position, (_, value, low, high, static, ceiling) in enumerate(rows):
        axes.plot([low, high], [position] * 2, color=COLOURS["features"], lw=2)
        axes.plot(value, position, "o", color=COLOURS["features"], label="emotion features, 95% CI")
        axes.plot(static, position, "D", color=COLOURS["static"], ms=5, label="input embeddings")
        if ceiling is not None:
            axes.plot(ceiling, position, "k|", ms=12, label="human ceiling")
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_xlim(right=1.02)
    axes.set_xlabel("correlation with people")
    _legend(axes, ncol=3)
    return figure


def languages() -> Data:
    """Return the RSA of each pair of thirteen languages' spaces."""
    records = [
        row
        for row in published("languages")["language_rsa"]
        if row["statistic"] == "rsa_spearman" and row["space"] == "sae"
    ]
    names = sorted({row[side] for row in records for side in "ab"})
    pairs = {f"{row['a']} {row['b']}": _rounded(row["value"]) for row in records}
    return {"languages": names, "pairs": pairs}


def draw_languages(data: Data) -> Figure:
    """Draw the matrix of RSA between languages."""
    names = data["languages"]
    values = [
        [1.0 if a == b else data["pairs"].get(f"{a} {b}", data["pairs"].get(f"{b} {a}")) for b in names]
        for a in names
    ]
    return _matrix(names, names, values, "RSA of two languages' emotion spaces")


def transfer() -> Data:
    """Return r of valence read in one language by what was fitted in another."""
    records = [
        row
        for row in published("languages")["cross_language"]
        if row["features"] == "universal" and row["target"] == "valence"
    ]
    names = sorted({row["train"] for row in records})
    return {
        "languages": names,
        "across": {f"{row['train']} {row['test']}": _rounded(row["r"]) for row in records},
        "within": {row["test"]: _rounded(row["same_language"]) for row in records},
    }


def draw_transfer(data: Data) -> Figure:
    """Draw the matrix of r, fitted in rows and read in columns; within a language on the diagonal."""
    names = data["languages"]
    values = [
        [data["within"].get(b) if a == b else data["across"].get(f"{a} {b}") for b in names] for a in names
    ]
    return _matrix(names, names, values, "valence fitted in (row), read in (column): r")


def universal() -> Data:
    """Return how many latents are features in at least k languages, and what chance gives."""
    rows = published("languages")["universal"]
    keys = ("k", "n_latents", "expected", "expected_low", "expected_high")
    return {"rows": [[row[key] for key in keys] for row in rows if row["k"] > 1]}


def draw_universal(data: Data) -> Figure:
    """Draw both counts over k on a logarithmic scale."""
    figure, axes = _axes(6.5, 3.2)
    ks, observed, expected, low, high = zip(*data["rows"], strict=True)
    axes.fill_between(
        ks, [max(v, 0.5) for v in low], [max(v, 0.5) for v in high], color="#dee2e6", label="by chance, 95%"
    )
    axes.plot(ks, [max(v, 0.5) for v in expected], color="#868e96", lw=1, label="by chance, mean")
    axes.plot(ks, observed, "o-", color=COLOURS["features"], label="features")
    axes.set_yscale("log")
    axes.set_xlabel("a feature in at least k of 13 languages")
    axes.set_ylabel("latents (below 1 drawn at 0.5)")
    axes.legend(frameon=False)
    return figure


def steering() -> Data:
    """Return the rate of answers judged as the target, by kind of vector, and the rate of unsteered ones."""
    studies_of = {}
    for name, file in STEERING.items():
        card = published(file)
        kinds = {
            row["kind"]: [_rounded(row[key]) for key in ("value", "value_low", "value_high")]
            for row in card["figures"]
            if row["figure"] == "target_rate"
        }
        basic = [row for row in card["results"]["steering"] if row["calibrated"] and row["vector"] == "mix"]
        base = [row["base_rate"] for row in basic if row.get("base_rate") is not None]
        studies_of[name] = {"kinds": kinds, "unsteered": _rounded(sum(base) / len(base))}
    return {"studies": studies_of}


def draw_steering(data: Data) -> Figure:
    """Draw bars of the rate with intervals."""
    figure, axes = _axes(8.5, 3.4)
    ticks, labels, position = [], [], 0.0
    for name, study in data["studies"].items():
        start = position
        for kind in ("mix", "sae", "dense", "prompt", "shuffled"):
            if kind in study["kinds"]:
                value, low, high = study["kinds"][kind]
                axes.bar(position, value, 0.85, color=COLOURS[kind], label=kind)
                axes.plot([position] * 2, [low, high], "k", lw=1)
                position += 1
        axes.plot(
            [start - 0.5, position - 0.5],
            [study["unsteered"]] * 2,
            "k--",
            lw=1,
            label="unsteered (mix's emotions)",
        )
        ticks.append((start + position - 1) / 2)
        labels.append(name.replace(" by ", "\nby ").replace(", ", "\n", 1))
        position += 1
    axes.set_xticks(ticks, labels)
    axes.set_ylabel("answers judged as the target")
    _legend(axes, ncol=6)
    return figure


def dose() -> Data:
    """Return rate and perplexity ratio by multiple of the calibrated dose, means over the basic six."""
    records = [
        row
        for row in published("steering")["results"]["steering"]
        if row["vector"] == "mix"
        and row["emotion"] in ("anger", "disgust", "fear", "joy", "sadness", "surprise")
    ]
    calibrated = {row["emotion"]: row["dose"] for row in records if row["calibrated"]}
    by_multiple: dict[float, list[tuple[float, float]]] = {}
    for row in records:
        multiple = round(row["dose"] / calibrated[row["emotion"]], 2)
        by_multiple.setdefault(multiple, []).append((row["target_rate"], row["perplexity_ratio"]))
    rows = [
        [multiple, *(_rounded(sum(column) / len(column)) for column in zip(*pairs, strict=True))]
        for multiple, pairs in sorted(by_multiple.items())
        if len(pairs) == len(calibrated)
    ]
    return {"rows": rows}


def draw_dose(data: Data) -> Figure:
    """Draw both curves over the dose."""
    figure, axes = _axes(6.5, 3.2)
    multiples, rates, ratios = zip(*data["rows"], strict=True)
    axes.plot(multiples, rates, "o-", color=COLOURS["mix"], label="judged as the target (left)")
    axes.set_xlabel("multiple of the calibrated dose")
    axes.set_ylabel("share of answers")
    axes.set_ylim(0, 1)
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    right.plot(multiples, ratios, "s--", color=COLOURS["prompt"], label="perplexity ratio (right)")
    right.set_ylabel("times the unsteered perplexity")
    right.set_ylim(0, None)
    lines = [*axes.get_lines(), *right.get_lines()]
    axes.legend(lines, [line.get_label() for line in lines], frameon=False, loc="upper left")
    return figure


FIGURES: Mapping[str, tuple[Callable[[], Data], Callable[[Data], Figure]]] = {
    "prediction": (prediction, draw_prediction),
    "arrangement": (arrangement, draw_arrangement),
    "languages": (languages, draw_languages),
    "transfer": (transfer, draw_transfer),
    "universal": (universal, draw_universal),
    "steering": (steering, draw_steering),
    "dose": (dose, draw_dose),
}


def digest(data: Data) -> str:
    """Return the SHA-256 of the numbers of a figure."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def drawn(name: str) -> str | None:
    """Return the digest that a drawn figure carries."""
    path = FOLDER / f"{name}.svg"
    match = re.search(r"[0-9a-f]{64}", path.read_text(encoding="utf-8")) if path.exists() else None
    return match[0] if match else None


def draw() -> Iterator[Path]:
    """Draw all figures, and yield their files."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, (numbers, chart) in FIGURES.items():
            data = numbers()
            figure = chart(data)
            path = FOLDER / f"{name}.svg"
            metadata = {"Date": None, "Creator": None, "Description": digest(data)}
            options = {"format": "svg", "bbox_inches": "tight", "facecolor": "white", "metadata": metadata}
            atomic_write(path, lambda file, figure=figure, options=options: figure.savefig(file, **options))
            plt.close(figure)
            yield path


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height))


def _legend(axes: Any, ncol: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(
        unique.values(),
        unique.keys(),
        frameon=False,
        ncol=ncol,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
    )


def _matrix(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], title: str
) -> Any:
    figure, axes = _axes(0.45 * len(columns) + 1.6, 0.4 * len(rows) + 1)
    shown = [[float("nan") if value is None else value for value in row] for row in values]
    axes.imshow(shown, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if value is not None:
                axes.text(
                    j,
                    i,
                    f"{value:.2f}".lstrip("0"),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="w" if value > 0.6 else "k",
                )
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_title(title, fontsize=9)
    return figure


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
