"""What steering does to the tone of answers, and how well texts are read: sections from records and their tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from emospace.evaluation import summary
from emospace.judges import AUROC_FLOOR, BASIC, weakness
from emospace.records import SIGNIFICANT, ReadingRecord, Results, SteeringRecord, grouped
from emospace.report import steering_charts as charts, steering_tables as tables
from emospace.report.blocks import Block, Figures, Part, Prose, Reason, Section, build_sections
from emospace.report.columns import build, language_column
from emospace.report.run import Absent, Run, or_reason
from emospace.report.steering_frontier import frontier
from emospace.report.steering_languages import crossing_page, is_crossing_run
from emospace.report.texts import panel, phrase, prose
from emospace.report.wording import (
    METHODS,
    WITHOUT_MEANS,
    figure,
    interval,
    listed,
    plain_name,
    way_name,
    way_order,
)

Records = Sequence[SteeringRecord]
SLOPE_FIELDS = (
    *("target", "kind", "outcome", "n_doses", "slope", "slope_low", "slope_high"),
    *("rho", "rho_low", "rho_high"),
)
FIGURE_FIELDS = ("kind", "figure", "value", "n")
STABILITY_FIELDS = (
    "emotion",
    "way",
    "rate",
    "least",
    "greatest",
    "most",
    "every",
    "agreement",
    "n",
    "n_seeds",
)


def is_steering_run(run: Run) -> bool:
    """Return whether a run folder is that of `emospace steer evaluate`: steering and nothing of a study."""
    results = run.results
    return bool(results.steering) and not (results.prediction or results.alignment or results.features)


def steering_page(run: Run) -> tuple[Section, ...]:
    """Return the sections of a page that is of steering alone; those without anything to show give the reason."""
    if is_crossing_run(run):
        return crossing_page(run)
    return tuple(section for section in build_sections(run, PARTS) if section.blocks)


def steering_section(run: Run) -> tuple[Section, ...]:
    """Return the section of a study that holds steering figures, or none."""
    if not run.results.steering:
        return ()
    tested = () if summary.is_illustration(run.results.steering) else ("doses", "confusion", "affect")
    parts = (build for key, _, _, build in PARTS if key in ("answer", *tested, "categories", "samples"))
    blocks = tuple(block for part in parts for block in part(run))
    return (Section("steering", "Steering the tone of answers", "Steering", blocks),)


def reading_section(run: Run) -> tuple[Section, ...]:
    """Return the section of a study that holds figures of reading, or none."""
    if not run.results.reading:
        return ()
    blocks = (Prose([_reading_verdict(run.results.reading)], role="answer"), tables.reading_table(run))
    return (Section("reading", "Reading the emotion of texts", "Reading", blocks),)


def verdict(title: str, results: Results) -> tuple[str, ...]:
    """Return the answer in words: whether the judge finds the basic emotions that were asked for, and at what cost."""
    records = results.steering
    if summary.is_illustration(records):
        return _illustration(title, results)
    accepted = summary.judged(records)
    basic = [record for record in summary.calibrated(records) if record.emotion in BASIC]
    if not accepted:
        reasons = (record.reason or weakness(record.judge_auroc) for record in basic)
        reason = next(filter(None, reasons), "no vector at its calibrated dose")
        return (phrase("steering.unsaid", title=title, reason=reason),)
    above = _names(record for record in accepted if summary.is_above_controls(record))
    rest = [name for name in _names(accepted) if name not in above]
    answer = phrase(
        "steering.none" if not above else "steering.some" if rest else "steering.all",
        title=title,
        above=above,
        rest=rest,
    )
    return (answer, _cost(accepted, results), *_too_weak(basic), *_all_categories(records))


def _cost(accepted: Records, results: Results) -> str:
    def mean(name: str, **among: str) -> float | None:
        return results.mean("steering", name, group=summary.JUDGED, **among)

    beside = {
        "random directions": mean("target_rate", way="random"),
        "concept words masked": mean("target_rate_masked"),
        "the judge's own recall": mean("judge_recall"),
        "its recall with concept words masked": mean("judge_recall_masked"),
    }
    parts = [f"unsteered {figure(mean('base_rate'))}"]
    parts += [f"{name} {figure(value)}" for name, value in beside.items() if value is not None]
    if n_of_all := tables.judged_of(accepted):
        parts.append(phrase("steering.could_judge", n_of_all=n_of_all))
    return phrase(
        "steering.cost",
        record=accepted[0],
        rate=mean("target_rate"),
        n=len(accepted),
        beside=parts,
        ratio=results.median("steering", "perplexity_ratio", group=summary.JUDGED),
        distinct=mean("distinct2_ratio"),
    )


def _all_categories(records: Records) -> Iterator[str]:
    tested = [record for record in summary.calibrated(records) if record.p_fdr is not None]
    if len(tested) > len(BASIC):
        above = sum((record.p_fdr or 0.0) < SIGNIFICANT for record in tested)
        yield phrase("steering.categories", n=len(tested), least=AUROC_FLOOR, above=above, level=SIGNIFICANT)


def _illustration(title: str, results: Results) -> tuple[str, ...]:
    def mean(name: str, language: str) -> float | None:
        return results.mean("steering", name, group=summary.TRIED, language=language)

    chosen = summary.tried(results.steering)
    n = max((record.n_prompts for record in chosen), default=0)
    rates = []
    for name in summary.tried_in(results.steering):
        if (rate := mean("target_rate", name)) is not None:
            beside = [f"unsteered {figure(mean('base_rate', name))}"]
            if (masked := mean("target_rate_masked", name)) is not None:
                beside.append(f"concept words masked {figure(masked)}")
            rates.append(phrase("steering.rate", language=name, rate=rate, beside=beside))
    shares = phrase("steering.rates", rates=rates) if rates else ""
    return (
        phrase("steering.illustration", title=title, names=_names(chosen), rates=shares),
        *_too_weak(chosen),
        phrase("steering.too_few", n=n),
    )


def _too_weak(records: Records) -> Iterator[str]:
    """Yield of which emotions the judge is too weak to say anything, in each language."""
    parts = []
    for language, part in grouped(records, lambda record: record.language).items():
        weak = [record for record in part if not summary.is_accepted(record)]
        names = [f"{plain_name(record.emotion)} ({figure(record.judge_auroc)})" for record in weak]
        parts += [phrase("steering.weak", names=names, language=language)] * bool(weak)
    if parts:
        yield phrase("steering.too_weak", least=AUROC_FLOOR, weak="; for ".join(parts))


@or_reason("The study in figures")
def _answer(run: Run) -> Iterator[Block]:
    records = run.results.steering
    yield Prose(verdict(run.title, run.results), role="answer")
    illustration = summary.is_illustration(records)
    chosen = [record for record in summary.calibrated(records) if record.emotion in BASIC]
    if not chosen and illustration:
        chosen = [record for record in records if record.vector not in ("none", "random")]
    if chosen:
        note = " An illustration on few prompts." if illustration else ""
        yield tables.emotion_table(chosen, "table-steering-basic", note=note)
    else:
        yield Reason("The basic emotions", "results.json holds none at a calibrated dose")
    if illustration:
        return
    yield tables.comparison_table(run.results)
    table = run.table("steering_figures", FIGURE_FIELDS)
    yield build("table-steering-figures", tables.FIGURE_COLUMNS, table.to_dict("records"))
    with suppress(Absent):
        stability = run.table("steering_stability", STABILITY_FIELDS)
        yield build("table-steering-stability", tables.STABILITY, stability.to_dict("records"))
    if run.results.side_effects:
        yield build("table-steering-side-effects", tables.SIDE_EFFECTS, run.results.side_effects)


@or_reason("Slope and monotonicity")
def _doses(run: Run) -> Iterator[Block]:
    records = run.results.steering
    chosen = summary.calibrated(records)
    curves = summary.dose_curves(records)
    if not curves:
        yield Reason("Doses", "results.json holds no basic emotion at more than one dose")
        return
    for record in records:
        if record.vector == "none" and record.emotion in curves:
            curves[record.emotion].append(record)
    controls = list(_random_curve(run.results))
    missing = phrase("steering.no_controls", why=WITHOUT_MEANS) if summary.random_doses(records) else ""
    dashed = phrase("steering.controls") if controls else missing
    peaks = {name: max(curve, key=lambda record: record.target_rate or 0.0) for name, curve in curves.items()}
    panels = [
        panel(
            "steering-rate",
            charts.dose_curves(curves, controls, charts.RATE),
            caption=phrase("steering.doses", controls=dashed).strip(),
            prompts=chosen[0].n_prompts,
            emotions=len(curves),
            peaks=[phrase("steering.peak", name=name, peak=peak) for name, peak in peaks.items()],
        ),
        panel("steering-ratio", charts.dose_curves(curves, controls, charts.RATIO), emotions=len(curves)),
    ]
    yield Figures(panels)
    slopes = run.table("steering_dose_response", SLOPE_FIELDS)
    of_rate = slopes[slopes["outcome"] == "rate"].to_dict("records")
    yield build("table-steering-slopes", tables.SLOPES, of_rate, more_than=tables.SEARCHED)


def _random_curve(results: Results) -> Iterator[SteeringRecord]:
    """Yield a record a dose with the means of the random directions, of doses the results give them for."""
    for dose, drawn in summary.random_doses(results.steering).items():
        of = {"group": summary.BY_DOSE, "dose": str(dose)}
        rates = ("target_rate", "target_rate_masked")
        means = {name: results.mean("steering", name, **of) for name in rates}
        means["perplexity_ratio"] = results.median("steering", "perplexity_ratio", **of)
        if any(value is not None for value in means.values()):
            yield drawn[0].model_copy(update={**means, "ci_low": None, "ci_high": None})


@or_reason("Target and judgement")
def _confusion(run: Run) -> Iterator[Block]:
    import pandas as pd

    parts = dict(iter(run.table("steering_confusion", ("target", "kind")).groupby("kind")))
    unsteered = [parts.pop("none")] if "none" in parts else []
    if not parts:
        raise Absent("no basic emotion was tried at its calibrated dose")
    main = next((record.vector for record in summary.calibrated(run.results.steering)), "")
    kinds = sorted(map(str, parts), key=lambda kind: (kind != main, way_order(kind)))
    variants = {
        kind: pd.concat([parts[kind], *unsteered], ignore_index=True).drop(columns="kind") for kind in kinds
    }
    hit = {
        str(row["target"]): float(row[str(row["target"])])
        for row in variants[kinds[0]].to_dict("records")
        if str(row["target"]) in row
    }
    shares = listed([f"{name} {figure(share)}" for name, share in hit.items()])
    drawn = panel("steering-confusion", charts.confusion(variants), shares=shares)
    switch = [(kind, way_name(kind)) for kind in kinds]
    yield Figures([drawn], columns=1, switch=switch, switch_label="Steered by", group="confusion")


@or_reason("Shift of the words")
def _affect(run: Run) -> Iterator[Block]:
    table = run.table("steering_affect", ("target", "kind", "valence_shift", "human_valence"))
    chosen = summary.calibrated(run.results.steering)
    kind = chosen[0].vector if chosen else str(table["kind"].iloc[0])
    panels = []
    for rating in ("valence", "arousal"):
        columns = [f"human_{rating}", f"{rating}_shift"]
        if not set(columns) <= set(table.columns):
            continue
        part = table[table["kind"] == kind].dropna(subset=columns).reset_index(drop=True)
        if len(part) >= 3:
            panels.append(
                panel(
                    f"steering-{rating}",
                    charts.word_shift(part, rating),
                    text="steering",
                    agreement=_agreement(run, kind, rating),
                    rating=rating,
                    n=len(part),
                )
            )
    if not panels:
        raise Absent("fewer than three targets have both a human rating and a shift")
    yield prose("text-steering-affect")
    yield Figures(panels)


def _agreement(run: Run, kind: str, rating: str) -> str:
    """Return the r of shift and human rating that the study gives, or nothing where it gives none."""
    try:
        table = run.table("steering_figures", FIGURE_FIELDS)
    except Absent:
        return ""
    rows = table[(table["kind"] == kind) & (table["figure"] == f"{rating}_r")].dropna(subset=["value"])
    return "".join(f"r = {figure(float(value))}; " for value in rows["value"])


def _others(run: Run) -> Iterator[Block]:
    others = [record for record in summary.calibrated(run.results.steering) if record.emotion not in BASIC]
    if others:
        yield tables.emotion_table(others, "table-steering-others")
    elif is_steering_run(run):
        yield Reason("Other categories", "the study was of the basic emotions alone")


def _people(run: Run) -> Iterator[Block]:
    """Yield people's rates beside the judges' and the raters' agreement, nothing where no person rated."""
    try:
        rates = run.table("steering_people", ("way", "emotion", "rater", "rate", "rate_low", "rate_high"))
        agreement = run.table("steering_agreement", ("first", "second", "alpha", "equal"))
    except Absent:
        return
    rows: list[Any] = rates.to_dict("records")
    yield tables.people_table(rows)
    yield build("table-steering-agreement", tables.AGREEMENT, agreement.to_dict("records"))


@or_reason("Answers")
def _samples(run: Run) -> Iterator[Block]:
    table = run.table("steering_samples", ("kind", "prompt", "text"))
    several = len(set(table.get("language", ()))) > 1
    columns = (language_column() if several else None, *tables.SAMPLES)
    yield build("table-steering-samples", columns, table.to_dict("records"))


def _reading_verdict(records: Sequence[ReadingRecord]) -> str:
    """Return in words how well valence is read, the method without labelled text first, with baselines beside."""
    given = [record for record in records if record.subset == "all" and record.value is not None]
    order = ["valence", *(record.target for record in records)]
    given.sort(key=lambda record: order.index(record.target))
    if not given:
        return phrase("reading.none")
    target, source = given[0].target, given[0].source
    by_method = {r.method: r for r in given if (r.target, r.source) == (target, source)}
    first = by_method.get("features") or next(iter(by_method.values()))
    names = {name: METHODS.get(name, plain_name(name)) for name in by_method}
    beside = [f"; {names[name]} {figure(r.value)}" for name, r in by_method.items() if r is not first]
    return phrase(
        "reading.answer",
        method=names[first.method],
        record=first,
        unit="r" if first.metric == "r" else "AUROC",
        span="" if first.ci_low is None else f" (95% CI {interval(first.ci_low, first.ci_high)})",
        beside="".join(beside),
    )


def _names(records: Iterable[SteeringRecord]) -> list[str]:
    return [plain_name(name) for name in dict.fromkeys(record.emotion for record in records)]


PARTS: tuple[Part[Run], ...] = (
    ("answer", "Does steering set the tone of answers?", "Answer", _answer),
    ("frontier", "What tone costs", "Cost", frontier),
    ("people", "What people hear", "People", _people),
    ("doses", "What a dose does", "Doses", _doses),
    ("confusion", "What is judged instead", "Confusion", _confusion),
    ("affect", "Where the words go", "Words", _affect),
    ("categories", "All other categories", "Categories", _others),
    ("samples", "Answers to read", "Answers", _samples),
)
"""The sections of a page of steering alone; in a study they are one."""
