"""The tables of steering and reading: one row an emotion, a kind of vector, an answer or a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from emospace.evaluation.summary import COMPARED, SIZE, calibrated, compared, way
from emospace.judges import AUROC_FLOOR, BASIC, weakness
from emospace.records import ReadingRecord, Results, SteeringRecord
from emospace.report.blocks import Cell, Table
from emospace.report.run import Run
from emospace.report.wording import (
    DASH,
    figure,
    interval,
    language_name,
    number,
    p_value,
    percent,
    plain_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

# Kind of vector -> its name; the order is that of the comparison.
KINDS = {
    "mix": "SAE and dense",
    "sae": "SAE features",
    "axis": "affect axes",
    "dense": "dense mean difference",
    "lda": "LDA directions",
    "prompt": "prompt alone",
    "shuffled": "shuffled concept-sets",
    "random": "random directions",
    "none": "unsteered",
}
METHODS = {
    "features": "features, no labelled text",
    "ridge": "features, fitted",
    "dense_ridge": "states, fitted",
    "static": "static vectors, no labelled text",
    "static_ridge": "static vectors, fitted",
    "words": "ratings of the words",
}
SUBSETS = {"all": "all", "no_concept_word": "without concept words"}
FIGURES = {
    "target_rate": "Target rate, mean of the basic six",
    "target_rate_masked": "The same, concept words masked",
    "perplexity_ratio": "Perplexity ratio, median",
    "distinct2_ratio": "Distinct bigrams over unsteered (least to greatest)",
    "above_random": "Judgeable categories above random directions",
    "valence_r": "Word-valence shift with people's valence, r",
    "arousal_r": "Word-arousal shift with people's arousal, r",
    "random_deviation": "Random directions less unsteered, at matched perplexity",
    "random_deviation_worst": "The same, the largest of the six",
}

_MEASURES = (
    *("Target rate", "95% CI", "Masked", "Unsteered", "p (FDR)", "Judge's recall", "AUROC"),
    *("Perplexity ratio", "Distinct-2", "Similarity", "Δ valence", "Δ arousal"),
)
_MEAN_FIELDS = ("distinct2_ratio", "repetition", "similarity", "answered")
_PLAIN = ("Masked", "Perplexity ratio", "Distinct-2", "Repetition", "Similarity", "Facts right")


def rated(value: float | None, reason: str | None = None) -> Cell:
    """Return a cell of a rate or correlation; a null one carries its reason."""
    return Cell(figure(value), value, note=reason)


def auroc_cell(record: SteeringRecord) -> Cell:
    """Return a cell of the judge's held-out AUROC, which says where it is too low for the rates to be evidence."""
    weak = ": too weak to say" if weakness(record.judge_auroc) else ""
    return Cell(f"{figure(record.judge_auroc)}{weak}", record.judge_auroc, note=weakness(record.judge_auroc))


def judged_of(records: Sequence[SteeringRecord]) -> str:
    """Return ``n of N`` answers the judge could judge, nothing where it judged all of them."""
    n_judged = sum(record.n_judged or 0 for record in records)
    n_unjudged = sum(record.n_unjudged or 0 for record in records)
    return f"{n_judged:,} of {n_judged + n_unjudged:,}" if n_unjudged else ""


def _ratio(value: float | None) -> Cell:
    return Cell(number(value), value)


def _shift(value: float | None) -> Cell:
    return Cell(figure(value, 3), value)


def emotion_table(records: Sequence[SteeringRecord], key: str, caption: str, heading: str) -> Table:
    """Return one row a record: rate with its baselines and judge, fluency, content, shift of the words."""
    reasons = any(record.target_rate is None for record in records)
    several = len({way_name(record) for record in records}) > 1
    languages = len({record.language for record in records}) > 1
    unjudged = bool(judged_of(records))
    columns = (
        *(["Language"] if languages else []),
        "Emotion",
        *(["Vector"] if several else []),
        "Dose",
        *(["Judged"] if unjudged else []),
        *_MEASURES,
        *(["Why no rate"] if reasons else []),
    )
    rows = [
        (
            *([Cell(language_name(r.language))] if languages else []),
            Cell(upper_first(plain_name(r.emotion))),
            *([Cell(way_name(r))] if several else []),
            Cell(number(r.dose), r.dose, note=_acting(r)),
            *([Cell(judged_of([r]) or "all", r.n_judged)] if unjudged else []),
            rated(r.target_rate, r.reason),
            Cell(interval(r.ci_low, r.ci_high)),
            rated(r.target_rate_masked),
            rated(r.base_rate),
            _tested(r),
            rated(r.judge_recall),
            auroc_cell(r),
            _ratio(r.perplexity_ratio),
            rated(r.distinct2_ratio),
            rated(r.similarity),
            _shift(r.valence_shift),
            _shift(r.arousal_shift),
            *([Cell(r.reason or "")] if reasons else []),
        )
        for r in records
    ]
    return Table(
        key,
        caption,
        columns,
        rows,
        numeric=("Dose", *(name for name in _MEASURES if name != "95% CI")),
        wrap=("Why no rate",),
        heading=heading,
        search="Filter the emotions" if len(rows) > 12 else "",
    )


def _tested(record: SteeringRecord) -> Cell:
    if record.p_fdr is None and record.p is not None:
        return Cell(
            f"({p_value(record.p)})",
            record.p,
            note=f"not adjusted: the judge's AUROC is below {figure(AUROC_FLOOR)} or unknown, so this is no test",
        )
    return Cell(p_value(record.p_fdr), record.p_fdr)


def _acting(record: SteeringRecord) -> str | None:
    parts = [f"layers {', '.join(map(str, record.layers))}" if record.layers else "", record.options or ""]
    return "; ".join(part for part in parts if part) or None


def way_name(record: SteeringRecord) -> str:
    """Return what was done: the kind of vector and the mode of its dose."""
    return _named(way(record))


def _named(made: str) -> str:
    kind, comma, mode = made.partition(",")
    return upper_first(KINDS[kind]) + comma + mode


def comparison_table(results: Results, key: str) -> Table:
    """Return one row a kind: means over the basic six, the perplexity ratio their median."""
    groups = compared(results.steering)
    main = next((way(record) for record in calibrated(results.steering) if record.emotion in BASIC), "")
    order = list(KINDS)
    ways = sorted(groups, key=lambda made: (made != main, order.index(made.partition(",")[0])))
    unjudged = any(map(judged_of, groups.values()))
    columns = (
        *("Answers", "Emotions", *(["Judged"] if unjudged else []), "Target rate"),
        *(*_PLAIN, "Δ valence (mean size)"),
    )
    rows = []
    for made in ways:
        records, of = groups[made], {"group": COMPARED, "way": made}
        rows.append(
            (
                Cell(_named(made)),
                Cell(str(len(records)), len(records)),
                *([Cell(judged_of(records) or "all")] if unjudged else []),
                rated(results.mean("steering", "target_rate", **of)),
                rated(results.mean("steering", "target_rate_masked", **of)),
                _ratio(results.median("steering", "perplexity_ratio", **of)),
                *(rated(results.mean("steering", name, **of)) for name in _MEAN_FIELDS),
                _shift(results.mean("steering", SIZE, **of)),
            )
        )
    return Table(
        key,
        "Ways to the same tone, over the basic emotions the judge is not too weak for: vectors at their calibrated dose, random directions at the "
        "dose nearest to it, shuffled concept-sets at the same dose, and an instruction instead of a vector. "
        "Similarity is to the unsteered answer; facts right is the share of factual questions still answered.",
        columns,
        rows,
        numeric=columns[1:],
        heading="Beside other ways and controls",
        strong=[place == 0 for place in range(len(rows))],
    )


def figures_table(table: pd.DataFrame) -> Table:
    """Return the study in a few numbers, from its table of figures."""
    columns = ("Vector", "Figure", "Value", "95% CI", "n")
    rows = []
    for row in table.to_dict("records"):
        low, high = _known(row.get("value_low")), _known(row.get("value_high"))
        value = _known(row["value"])
        name = str(row["figure"])
        written = number(value) if name == "perplexity_ratio" else figure(value)
        span = interval(low, high)
        if name == "perplexity_ratio" and low is not None and high is not None:
            span = f"{number(low)}\u00a0to\u00a0{number(high)}"
        n = int(row["n"])
        rows.append(
            (
                Cell(upper_first(KINDS.get(str(row["kind"]), str(row["kind"])))),
                Cell(FIGURES.get(name, plain_name(name))),
                Cell(percent(value) if name == "above_random" else written, value),
                Cell(span),
                Cell(f"{n:,}", n),
            )
        )
    return Table(
        "table-steering-figures",
        "Figures over all targets at the calibrated dose; intervals resample prompts (for r over categories). n counts "
        "prompts, for r and for shares categories.",
        columns,
        rows,
        numeric=("Value", "n"),
        wrap=("Figure",),
        heading="The study in figures",
    )


def slope_table(table: pd.DataFrame) -> Table:
    """Return how the target rate follows the dose: slope per unit of dose, and Spearman's rho."""
    shown = table[table["outcome"] == "rate"]
    columns = ("Emotion", "Vector", "Doses", "Slope", "95% CI of slope", "Monotonicity ρ", "95% CI of ρ")
    rows = []
    for row in shown.to_dict("records"):
        slope, rho = _known(row["slope"]), _known(row["rho"])
        rows.append(
            (
                Cell(upper_first(plain_name(str(row["target"])))),
                Cell(upper_first(KINDS.get(str(row["kind"]), str(row["kind"])))),
                Cell(str(int(row["n_doses"])), int(row["n_doses"])),
                Cell(figure(slope), slope),
                Cell(interval(_known(row["slope_low"]), _known(row["slope_high"]))),
                Cell(figure(rho), rho),
                Cell(interval(_known(row["rho_low"]), _known(row["rho_high"]))),
            )
        )
    return Table(
        "table-steering-slopes",
        "How the target rate follows the dose, dose 0 included: least-squares slope per unit of dose and Spearman's "
        "correlation over doses, with intervals over prompts.",
        columns,
        rows,
        numeric=("Doses", "Slope", "Monotonicity ρ"),
        heading="Slope and monotonicity",
        search="Filter the slopes" if len(rows) > 12 else "",
    )


def sample_table(table: pd.DataFrame) -> Table:
    """Return the sample answers, the text as it was generated."""
    languages = len(set(table.get("language", ()))) > 1
    columns = (
        *(["Language"] if languages else []),
        *("Target", "Vector", "Dose", "Heard as", "Perplexity", "Prompt", "Answer"),
    )
    rows = []
    for row in table.to_dict("records"):
        emotion, language = row.get("emotion"), row.get("language")
        dose, perplexity = _known(row.get("dose")), _known(row.get("perplexity"))
        named = isinstance(emotion, str) and emotion
        rows.append(
            (
                *([Cell(language_name(str(language)))] if languages else []),
                Cell(upper_first(plain_name(str(emotion))) if named else "(no target)"),
                Cell(upper_first(KINDS.get(str(row["kind"]), str(row["kind"])))),
                Cell(number(dose), dose),
                Cell(str(row.get("judged") or DASH)),
                Cell(number(perplexity, 1), perplexity),
                Cell(str(row["prompt"]), lang=language),
                Cell(str(row["text"]), lang=language),
            )
        )
    return Table(
        "table-steering-samples",
        "Answers to the same prompts in every cell of the study. The prompts were drawn by the seed, not by what was "
        "answered: good and bad alike.",
        columns,
        rows,
        numeric=("Dose", "Perplexity"),
        wrap=("Prompt", "Answer"),
        search="Filter the answers",
    )


def reading_table(run: Run) -> Table:
    """Return how well texts are read, one row a target and subset, one column a method."""
    records = run.results.reading
    methods = [name for name in METHODS if any(r.method == name for r in records)]
    methods += list(dict.fromkeys(r.method for r in records if r.method not in METHODS))
    rows: dict[tuple[str, ...], dict[str, ReadingRecord]] = {}
    for r in records:
        rows.setdefault((r.source, r.language, r.target, r.subset, r.metric), {})[r.method] = r
    names = [upper_first(METHODS.get(name, plain_name(name))) for name in methods]
    columns = ("Target", "Texts of", "Language", "Texts", "Measure", *names, "n")
    cells = [
        (
            Cell(upper_first(plain_name(target))),
            Cell(source),
            Cell(language_name(language)),
            Cell(SUBSETS.get(subset, plain_name(subset))),
            Cell("r" if metric == "r" else "AUROC"),
            *(_read(found.get(name)) for name in methods),
            Cell(f"{max(r.n for r in found.values()):,}", max(r.n for r in found.values())),
        )
        for (source, language, target, subset, metric), found in rows.items()
    ]
    return Table(
        "table-reading",
        "How well the emotion of texts is read: Pearson r with people's ratings, or area under the ROC curve of a "
        "category (.50 is chance). Hover over a figure for its 95% interval, over a dash for the reason.",
        columns,
        cells,
        numeric=(*names, "n"),
        search="Filter the figures of reading" if len(cells) > 12 else "",
    )


def _read(record: ReadingRecord | None) -> Cell:
    if record is None:
        return Cell(DASH)
    span = interval(record.ci_low, record.ci_high)
    note = record.reason if record.value is None else None if span == DASH else f"95% CI {span}"
    return Cell(figure(record.value), record.value, note=note)


def missing_rows(run: Run) -> list[tuple[Cell, Cell, Cell]]:
    """Return every null figure of steering and reading with its reason, targets of one reason together."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for s in run.results.steering:
        if s.target_rate is None:
            key = ("target rate under steering", s.language, s.reason or "")
            together.setdefault(key, []).append(plain_name(s.emotion))
    for r in run.results.reading:
        if r.value is None:
            key = (f"reading of {r.source} by {r.method}", r.language, r.reason or "")
            together.setdefault(key, []).append(plain_name(r.target))
    return [
        (Cell(f"{what}: {', '.join(dict.fromkeys(names))}"), Cell(language_name(language)), Cell(why))
        for (what, language, why), names in together.items()
    ]


def _known(value: object) -> float | None:
    number_ = float(value) if isinstance(value, int | float | np.floating | np.integer) else float("nan")
    return number_ if np.isfinite(number_) else None
