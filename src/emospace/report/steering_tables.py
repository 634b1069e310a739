"""The tables of steering and reading: one row an emotion, a kind of vector, an answer or a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emospace.display import get_value
from emospace.evaluation.summary import COMPARED, MEDIANS, SIZE, calibrated, compared, way
from emospace.judges import AUROC_FLOOR, BASIC, weakness
from emospace.records import ReadingRecord, Results, SteeringRecord, cross_tabulated
from emospace.report.blocks import Cell, Table
from emospace.report.columns import (
    Column,
    Gap,
    build,
    ci,
    counts,
    language_column,
    of_first,
    of_named,
    plain,
    score,
    shares,
    together,
)
from emospace.report.run import Run
from emospace.report.wording import (
    DASH,
    METHODS,
    STEERING_FIGURES,
    SUBSETS,
    figure,
    interval,
    number,
    p_value,
    percent,
    plain_name,
    upper_first,
    way_name,
    way_order,
)

PEOPLE = "people"
"""The rater of a study's tables who is all raters together."""
SEARCHED = 12
"""Tables of more rows have a filter."""


def emotion_name(emotion: object) -> str:
    """Return the name of an emotion."""
    return upper_first(plain_name(str(emotion)))


def _auroc_cell(record: SteeringRecord) -> Cell:
    """Return a cell of the judge's held-out AUROC, which says where it is too low for the rates to be evidence."""
    weak = weakness(record.judge_auroc)
    return Cell(
        figure(record.judge_auroc) + (": too weak to say" if weak else ""), record.judge_auroc, note=weak
    )


def judged_of(records: Sequence[SteeringRecord]) -> str:
    """Return ``n of N`` answers the judge could judge, nothing where it judged all of them."""
    n_judged = sum(record.n_judged or 0 for record in records)
    n_unjudged = sum(record.n_unjudged or 0 for record in records)
    return f"{n_judged:,} of {n_judged + n_unjudged:,}" if n_unjudged else ""


def _tested(record: SteeringRecord) -> Cell:
    if record.p_fdr is None and record.p is not None:
        return Cell(
            f"({p_value(record.p)})",
            record.p,
            note=f"not adjusted: the judge's AUROC is below {figure(AUROC_FLOOR)} or unknown, so this is no test",
        )
    return Cell(p_value(record.p_fdr), record.p_fdr)


def _acting(record: SteeringRecord) -> str | None:
    layers = f"layers {', '.join(map(str, record.layers))}" if record.layers else ""
    return "; ".join(filter(None, (layers, record.options))) or None


def _masked_recall(record: SteeringRecord) -> str | None:
    recall = record.judge_recall_masked
    return None if recall is None else f"of people's texts masked alike the judge recalls {figure(recall)}"


def _judged(record: SteeringRecord) -> Cell:
    return Cell(judged_of([record]) or "all", record.n_judged)


JUDGED = Column("Judged", _judged)
RATES = (
    score("Target rate", "target_rate", note="reason"),
    ci(),
    score("Masked", "target_rate_masked", note=_masked_recall),
    score("Unsteered", "base_rate"),
)
AUROC = Column("AUROC", _auroc_cell, numeric=True, wrap=True)
FLUENCY = (plain("Perplexity ratio", "perplexity_ratio"), score("Distinct-2", "distinct2_ratio"))


PROBES = {
    "refusals": "Requests refused",
    "agreement_false": "Agreement with false claims",
    "agreement_true": "Agreement with true claims",
    "abuse": "Answers with abuse",
}
SIDE_EFFECTS = (
    Column(
        "Emotion", lambda record: emotion_name(record.emotion) if record.emotion else way_name(record.vector)
    ),
    Column("Figure", lambda record: PROBES[record.figure]),
    score("Steered", "value"),
    score("Unsteered", "base_value"),
    score("Change", "change"),
    ci("change_low", "change_high"),
    counts("n", "n"),
)


def _any_in_language(records: Sequence[SteeringRecord]) -> bool:
    return any(record.in_language is not None for record in records)


def emotion_table(records: Sequence[SteeringRecord], key: str, note: str = "") -> Table:
    """Return one row a record: rate with its baselines and judge, fluency, content, shift of the words."""
    return build(
        key,
        (
            language_column() if len({record.language for record in records}) > 1 else None,
            Column("Emotion", "emotion", emotion_name),
            Column("Vector", way, way_name) if len(set(map(way, records))) > 1 else None,
            plain("Dose", "dose", note=_acting),
            JUDGED if judged_of(records) else None,
            *RATES,
            Column("p (FDR)", _tested, numeric=True),
            score("Judge's recall", "judge_recall"),
            AUROC,
            score("ECE", "judge_calibration_error", digits=3)
            if any(record.judge_calibration_error is not None for record in records)
            else None,
            *FLUENCY,
            shares("In language", "in_language") if _any_in_language(records) else None,
            score("Δ valence", "valence_shift", digits=2),
            score("Δ arousal", "arousal_shift", digits=2),
            Column("Why no rate", lambda r: Cell(r.reason or ""), wrap=True)
            if any(record.target_rate is None for record in records)
            else None,
        ),
        records,
        way=way_name(way(records[0])),
        note=note,
        more_than=SEARCHED,
    )


def comparison_table(results: Results) -> Table:
    """Return one row a kind: means over the basic six, the perplexity ratio their median."""
    groups = compared(results.steering)
    main = next((way(record) for record in calibrated(results.steering) if record.emotion in BASIC), "")
    ways = sorted(groups, key=lambda made: (made != main, way_order(made)))

    def mean(name: str) -> Callable[[str], float | None]:
        statistic = results.median if name in MEDIANS else results.mean
        return lambda made: statistic("steering", name, group=COMPARED, way=made)

    return build(
        "table-steering-compared",
        (
            Column("Answers", way_name),
            counts("Emotions", lambda made: len(groups[made])),
            Column("Judged", lambda made: judged_of(groups[made]) or "all")
            if any(map(judged_of, groups.values()))
            else None,
            score("Target rate", mean("target_rate")),
            score("Masked", mean("target_rate_masked")),
            plain("Perplexity ratio", mean("perplexity_ratio")),
            score("Distinct-2", mean("distinct2_ratio")),
            shares("In language", mean("in_language")) if _any_in_language(results.steering) else None,
            score("Repetition", mean("repetition")),
            score("Similarity", mean("similarity")),
            score("Facts right", mean("answered")),
            score("Facts kept", mean("facts_kept")),
            score("Δ valence (mean size)", mean(SIZE), digits=3),
        ),
        ways,
        strong=lambda made: made == ways[0],
    )


def _figure_value(row: Mapping[str, Any]) -> Cell:
    value, name = get_value(row, "value"), row["figure"]
    write = {"above_random": percent, "perplexity_ratio": number}.get(name, figure)
    return Cell(write(value), value)


def _figure_interval(row: Mapping[str, Any]) -> str:
    low, high = get_value(row, "value_low"), get_value(row, "value_high")
    if row["figure"] == "perplexity_ratio" and low is not None and high is not None:
        return f"{number(low)}\u00a0to\u00a0{number(high)}"
    return interval(low, high)


VECTOR = Column("Vector", "kind", lambda kind: way_name(str(kind)))
FIGURE_COLUMNS = (
    VECTOR,
    Column("Figure", "figure", lambda name: STEERING_FIGURES.get(name, plain_name(name)), wrap=True),
    Column("Value", _figure_value, numeric=True),
    Column("95% CI", _figure_interval),
    counts("n", lambda row: int(row["n"])),
)


STABILITY = (
    Column("Emotion", lambda row: emotion_name(get_value(row, "emotion") or "mean")),
    Column("Vector", "way", way_name),
    score("Rate", "rate"),
    ci("rate_low", "rate_high"),
    score("Least seed", "least"),
    score("Greatest seed", "greatest"),
    score("In most seeds", "most"),
    score("In every seed", "every"),
    score("Agreement", "agreement"),
    ci("agreement_low", "agreement_high", "95% CI of agreement"),
    counts("Prompts", lambda row: int(row["n"])),
    counts("Seeds", lambda row: int(row["n_seeds"])),
)


SLOPES = (
    Column("Emotion", "target", emotion_name),
    VECTOR,
    counts("Doses", lambda row: int(row["n_doses"])),
    score("Slope", "slope"),
    ci("slope_low", "slope_high", "95% CI of slope"),
    score("Monotonicity ρ", "rho"),
    ci("rho_low", "rho_high", "95% CI of ρ"),
)


def target_name(emotion: object) -> str:
    """Return the name of an answer's target, which an unsteered one has none of."""
    return emotion_name(emotion) if isinstance(emotion, str) and emotion else "(no target)"


SAMPLES = (
    Column("Target", lambda row: target_name(row.get("emotion"))),
    VECTOR,
    plain("Dose", "dose"),
    Column("Judged as", "judged"),
    plain("Perplexity", "perplexity", digits=1),
    Column("Prompt", lambda row: Cell(str(row["prompt"]), lang=row.get("language")), wrap=True),
    Column("Answer", lambda row: Cell(str(row["text"]), lang=row.get("language")), wrap=True),
)


def people_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row a way and emotion: how often people, and each judge, take the same answers for the target."""
    rows = cross_tabulated(records, lambda row: (row["way"], row["emotion"]), lambda row: row["rater"])
    judges = [name for name in dict.fromkeys(row["rater"] for row in records) if name != PEOPLE]
    return build(
        "table-steering-people",
        (
            Column("Answers", of_first("way"), way_name),
            Column("Emotion", of_first(lambda row: get_value(row, "emotion") or "mean"), emotion_name),
            score("People", of_named(PEOPLE, "rate")),
            ci(of_named(PEOPLE, "rate_low"), of_named(PEOPLE, "rate_high")),
            *(
                score(name, of_named(name, "rate"), note=of_named(name, lambda row: _span(row)))
                for name in judges
            ),
            counts("Prompts", of_first("n")),
        ),
        rows.values(),
        more_than=SEARCHED,
        strong=lambda row: get_value(next(iter(row.values())), "emotion") is None,
    )


def _span(row: Mapping[str, Any]) -> str:
    return f"95% CI {interval(get_value(row, 'rate_low'), get_value(row, 'rate_high'))}"


AGREEMENT = (
    Column("Between", "first"),
    Column("And", lambda row: "each other" if row["first"] == row["second"] else row["second"]),
    score("Krippendorff's α", "alpha", note="reason"),
    ci("alpha_low", "alpha_high", "95% CI of α"),
    score("Equal", "equal"),
    ci("equal_low", "equal_high"),
    counts("Answers", "n_answers"),
    counts("Ratings", "n_ratings"),
)


def reading_table(run: Run) -> Table:
    """Return how well texts are read, one row a target and subset, one column a method."""
    records = run.results.reading
    methods = sorted(
        dict.fromkeys(r.method for r in records),
        key=lambda name: list(METHODS).index(name) if name in METHODS else len(METHODS),
    )
    rows = cross_tabulated(
        records, lambda r: (r.source, r.language, r.target, r.subset, r.metric), lambda r: r.method
    )

    def by(method: str) -> Callable[[dict[str, ReadingRecord]], Cell]:
        return lambda row: _read(row.get(method))

    return build(
        "table-reading",
        (
            Column("Target", of_first("target"), emotion_name),
            Column("Texts of", of_first("source")),
            language_column(get=of_first("language")),
            Column("Texts", of_first("subset"), lambda subset: SUBSETS.get(subset, plain_name(subset))),
            Column("Measure", of_first("metric"), lambda metric: "r" if metric == "r" else "AUROC"),
            *(
                Column(upper_first(METHODS.get(name, plain_name(name))), by(name), numeric=True)
                for name in methods
            ),
            counts("n", lambda row: max(r.n for r in row.values())),
        ),
        rows.values(),
        more_than=SEARCHED,
    )


def _read(record: ReadingRecord | None) -> Cell:
    if record is None:
        return Cell(DASH)
    span = interval(record.ci_low, record.ci_high)
    note = record.reason if record.value is None else None if span == DASH else f"95% CI {span}"
    return Cell(figure(record.value), record.value, note=note)


def gaps_of_steering(results: Results) -> list[Gap]:
    """Return every null figure of steering and reading with its reason, targets of one reason together."""
    figures: list[tuple[SteeringRecord | ReadingRecord, str, str]] = [
        *((s, "target rate under steering", s.emotion) for s in results.steering),
        *((r, f"reading of {r.source} by {r.method}", r.target) for r in results.reading),
    ]
    return together(
        (what, record.language, record.reason or "", plain_name(name))
        for record, what, name in figures
        if not record.given
    )
