"""What steering does to the tone of answers, and how well texts are read: sections from records and their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from emospace.evaluation.summary import (
    BY_DOSE,
    JUDGED,
    TRIED,
    calibrated,
    dose_curves,
    is_above_controls,
    is_accepted,
    is_illustration,
    judged,
    random_doses,
    tried,
    tried_in,
)
from emospace.judges import AUROC_FLOOR, BASIC, weakness
from emospace.records import SIGNIFICANT, ReadingRecord, Results, SteeringRecord
from emospace.report import steering_charts as charts
from emospace.report.blocks import Block, Figures, Part, Prose, Reason, Section, build_sections
from emospace.report.run import Absent, Run, or_reason
from emospace.report.steering_languages import crossing_page, is_crossing_run
from emospace.report.steering_tables import (
    comparison_table,
    emotion_table,
    figures_table,
    judged_of,
    reading_table,
    sample_table,
    slope_table,
)
from emospace.report.texts import panel, prose
from emospace.report.wording import (
    METHODS,
    VECTORS,
    WITHOUT_MEANS,
    counted,
    figure,
    interval,
    language_name,
    listed,
    number,
    plain_name,
    upper_first,
)

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[SteeringRecord]
FIGURE_FIELDS = ("kind", "figure", "value", "n")


def is_steering_run(run: Run) -> bool:
    """Return whether a run folder is that of `emospace steer evaluate`: steering and nothing of a study."""
    results = run.results
    return bool(results.steering) and not (results.prediction or results.alignment or results.features)


def steering_page(run: Run) -> tuple[Section, ...]:
    """Return the sections of a page that is of steering alone; those without anything to show give the reason."""
    if is_crossing_run(run):
        return crossing_page(run)
    made: tuple[Part[Run], ...] = (
        ("answer", "Does steering set the tone of answers?", "Answer", _answer),
        ("doses", "What a dose does", "Doses", _doses),
        ("confusion", "What is judged instead", "Confusion", _confusion),
        ("affect", "Where the words go", "Words", _affect),
        ("categories", "All other categories", "Categories", _others),
        ("samples", "Answers to read", "Answers", _samples),
    )
    return build_sections(run, made)


def steering_section(run: Run) -> tuple[Section, ...]:
    """Return the section of a study that holds steering figures, or none."""
    if not run.results.steering:
        return ()
    parts: tuple[Callable[[Run], Iterator[Block]], ...] = (_answer, _others, _samples)
    if not is_illustration(run.results.steering):
        parts = (_answer, _doses, _confusion, _affect, _others, _samples)
    blocks = tuple(block for part in parts for block in part(run))
    return (Section("steering", "Steering the tone of answers", "Steering", blocks),)


def reading_section(run: Run) -> tuple[Section, ...]:
    """Return the section of a study that holds figures of reading, or none."""
    if not run.results.reading:
        return ()
    blocks = (Prose([reading_verdict(run.results.reading)], role="answer"), reading_table(run))
    return (Section("reading", "Reading the emotion of texts", "Reading", blocks),)


def verdict(title: str, results: Results) -> tuple[str, ...]:
    """Return the answer in words: whether the judge finds the basic emotions that were asked for, and at what cost."""
    records = results.steering
    if is_illustration(records):
        return _illustration(title, results)
    accepted = judged(records)
    basic = [record for record in calibrated(records) if record.emotion in BASIC]
    if not accepted:
        reasons = (record.reason or weakness(record.judge_auroc) for record in basic)
        reason = next(filter(None, reasons), "no vector at its calibrated dose")
        return (
            f"Whether steering sets the tone of {title}'s answers cannot be said: no basic emotion was judged ({reason}).",
        )
    above = [record.emotion for record in accepted if is_above_controls(record)]
    rest = [record.emotion for record in accepted if record.emotion not in above]
    if not rest:
        answer = f"Steering sets the tone of {title}'s answers: the judge finds each of {listed(_names(above))} more often than under random directions."
    elif above:
        answer = f"Steering sets the tone of {title}'s answers for {listed(_names(above))}, not for {listed(_names(rest))}."
    else:
        answer = (
            f"By these measures steering does not set the tone of {title}'s answers: the judge finds no "
            "basic emotion more often than under random directions."
        )
    return (answer, _cost(accepted, results), *_too_weak(basic), *_all_categories(records))


def _cost(accepted: Records, results: Results) -> str:
    first = accepted[0]
    of = {"group": JUDGED}
    beside = {
        "random directions": results.mean("steering", "target_rate", **of, way="random"),
        "concept words masked": results.mean("steering", "target_rate_masked", **of),
        "the judge's own recall": results.mean("steering", "judge_recall", **of),
    }
    parts = [f"unsteered {figure(results.mean('steering', 'base_rate', **of))}"]
    parts += [f"{name} {figure(value)}" for name, value in beside.items() if value is not None]
    if n_of_all := judged_of(accepted):
        parts.append(f"{n_of_all} answers could be judged, and the rates are of these")
    ratio = results.median("steering", "perplexity_ratio", **of)
    return (
        f"In {language_name(first.language)}, {counted(first.n_prompts, 'neutral prompt')}, the judge “{first.judge}” "
        f"finds the target in a share of {figure(results.mean('steering', 'target_rate', **of))} of the answers "
        f"(mean of {counted(len(accepted), 'emotion')}; {'; '.join(parts)}). The text is {number(ratio, 1)} times as "
        "perplexing to the unsteered model as its own (median over emotions), with "
        f"{figure(results.mean('steering', 'distinct2_ratio', **of))} of its distinct bigrams."
    )


def _all_categories(records: Records) -> Iterator[str]:
    tested = [record for record in calibrated(records) if record.p_fdr is not None]
    if len(tested) > len(BASIC):
        above = sum((record.p_fdr or 0.0) < SIGNIFICANT for record in tested)
        yield (
            f"Of {counted(len(tested), 'category')} that the judge is fit for (held-out AUROC at least {figure(AUROC_FLOOR)}), {above} are "
            f"above the random directions (false discovery rate {figure(SIGNIFICANT)})."
        )


def _illustration(title: str, results: Results) -> tuple[str, ...]:
    chosen = tried(results.steering)
    n = max((record.n_prompts for record in chosen), default=0)
    rates = [
        f"{figure(results.mean('steering', 'target_rate', group=TRIED, language=name))} in {language_name(name)}"
        f" (unsteered {figure(results.mean('steering', 'base_rate', group=TRIED, language=name))})"
        for name in tried_in(results.steering)
        if results.mean("steering", "target_rate", group=TRIED, language=name) is not None
    ]
    lead = (
        f"An illustration, not a test: {title} steered towards {listed(_names([r.emotion for r in chosen]))}"
    )
    judged_as = f", judged as the target in this share of the answers: {listed(rates)}" if rates else ""
    return (
        f"{lead}{judged_as}.",
        *_too_weak(chosen),
        f"{upper_first(counted(n, 'prompt'))} for each are too few for an interval or a comparison. The study with controls is "
        "`emospace steer evaluate`.",
    )


def _too_weak(records: Records) -> Iterator[str]:
    """Yield of which emotions the judge is too weak to say anything, in each language."""
    parts = []
    for language in dict.fromkeys(record.language for record in records):
        weak = [record for record in records if record.language == language and not is_accepted(record)]
        if weak:
            named = listed(
                [f"{plain_name(record.emotion)} ({figure(record.judge_auroc)})" for record in weak]
            )
            parts.append(f"{named} in {language_name(language)}")
    if parts:
        yield (
            f"The judge is too weak to say (held-out AUROC below {figure(AUROC_FLOOR)}) for {'; for '.join(parts)}: its "
            "scores there are shown, are no evidence and enter no mean."
        )


@or_reason("The study in figures")
def _answer(run: Run) -> Iterator[Block]:
    records = run.results.steering
    yield Prose(verdict(run.title, run.results), role="answer")
    illustration = is_illustration(records)
    chosen = [record for record in calibrated(records) if record.emotion in BASIC]
    if not chosen and illustration:
        chosen = [record for record in records if record.vector not in ("none", "random")]
    if chosen:
        note = " An illustration on few prompts." if illustration else ""
        yield emotion_table(chosen, "table-steering-basic", note=note)
    else:
        yield Reason("The basic emotions", "results.json holds none at a calibrated dose")
    if illustration:
        return
    yield comparison_table(run.results)
    yield figures_table(run.table("steering_figures", FIGURE_FIELDS))


@or_reason("Slope and monotonicity")
def _doses(run: Run) -> Iterator[Block]:
    records = run.results.steering
    chosen = calibrated(records)
    curves = dose_curves(records)
    if not curves:
        yield Reason("Doses", "results.json holds no basic emotion at more than one dose")
        return
    for record in records:
        if record.vector == "none" and record.emotion in curves:
            curves[record.emotion].append(record)
    controls = list(_random_curve(run.results))
    dashed = "The dashed line is the mean of random directions, read for the same targets."
    missing = f"Random directions are not drawn: {WITHOUT_MEANS}." if random_doses(records) else ""
    caption = f"Diamonds are calibrated doses; dose 0 is unsteered. {dashed if controls else missing}".strip()
    peaks = "; ".join(
        f"{name} {figure(peak.target_rate)} at dose {number(peak.dose)}"
        for name, curve in curves.items()
        if (peak := max(curve, key=lambda record: record.target_rate or 0.0))
    )
    panels = [
        panel(
            "steering-rate",
            charts.dose_curves(curves, controls, charts.RATE),
            caption=caption,
            counted=counted(chosen[0].n_prompts, "prompt"),
            emotions=counted(len(curves), "emotion"),
            peaks=peaks,
        ),
        panel(
            "steering-ratio",
            charts.dose_curves(curves, controls, charts.RATIO),
            counted=counted(len(curves), "emotion"),
        ),
    ]
    yield Figures(panels)
    columns = ("target", "kind", "outcome", "n_doses", "slope", "slope_low", "slope_high")
    yield slope_table(run.table("steering_dose_response", (*columns, "rho", "rho_low", "rho_high")))


def _random_curve(results: Results) -> Iterator[SteeringRecord]:
    """Yield a record a dose with the means of the random directions, of doses the results give them for."""
    for dose, drawn in random_doses(results.steering).items():
        of = {"group": BY_DOSE, "dose": str(dose)}
        rates = ("target_rate", "target_rate_masked")
        means = {name: results.mean("steering", name, **of) for name in rates}
        means["perplexity_ratio"] = results.median("steering", "perplexity_ratio", **of)
        if any(value is not None for value in means.values()):
            yield drawn[0].model_copy(update={**means, "ci_low": None, "ci_high": None})


@or_reason("Target and judgement")
def _confusion(run: Run) -> Iterator[Block]:
    import pandas as pd

    table = run.table("steering_confusion", ("target", "kind"))
    unsteered = table[table["kind"] == "none"]
    variants: dict[str, pd.DataFrame] = {}
    for kind in sorted(set(table["kind"]) - {"none"}, key=lambda name: list(VECTORS).index(str(name))):
        both = pd.concat([table[table["kind"] == kind], unsteered], ignore_index=True)
        variants[str(kind)] = both.drop(columns="kind")
    if not variants:
        raise Absent("no basic emotion was tried at its calibrated dose")
    chosen = calibrated(run.results.steering)
    main = chosen[0].vector if chosen and chosen[0].vector in variants else next(iter(variants))
    variants = {main: variants[main], **variants}
    hit = {
        str(row["target"]): float(row[str(row["target"])])
        for row in variants[main].to_dict("records")
        if str(row["target"]) in row
    }
    shares = listed([f"{name} {figure(share)}" for name, share in hit.items()])
    drawn = panel("steering-confusion", charts.confusion(variants), shares=shares)
    switch = [(kind, upper_first(VECTORS[kind])) for kind in variants]
    yield Figures([drawn], columns=1, switch=switch, switch_label="Steered by", group="confusion")


@or_reason("Shift of the words")
def _affect(run: Run) -> Iterator[Block]:
    table = run.table("steering_affect", ("target", "kind", "valence_shift", "human_valence"))
    chosen = calibrated(run.results.steering)
    kind = chosen[0].vector if chosen else str(table["kind"].iloc[0])
    panels = []
    for rating in ("valence", "arousal"):
        columns = [f"human_{rating}", f"{rating}_shift"]
        if not set(columns) <= set(table.columns):
            continue
        part = table[table["kind"] == kind].dropna(subset=columns).reset_index(drop=True)
        if len(part) < 3:
            continue
        agreement = _agreement(run, kind, rating)
        panels.append(
            panel(
                f"steering-{rating}",
                charts.word_shift(part, rating),
                text="steering",
                heading=upper_first(rating),
                agreement=agreement,
                counted=counted(len(part), "category"),
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
    others = [record for record in calibrated(run.results.steering) if record.emotion not in BASIC]
    if others:
        yield emotion_table(others, "table-steering-others")
    elif is_steering_run(run):
        yield Reason("Other categories", "the study was of the basic emotions alone")


@or_reason("Answers")
def _samples(run: Run) -> Iterator[Block]:
    yield sample_table(run.table("steering_samples", ("kind", "prompt", "text")))


def reading_verdict(records: Sequence[ReadingRecord]) -> str:
    """Return in words how well valence is read, the method without labelled text first, with baselines beside."""
    for target in dict.fromkeys(("valence", *(record.target for record in records))):
        same = [r for r in records if r.target == target and r.subset == "all" and r.value is not None]
        if not same:
            continue
        source = same[0].source
        by_method = {r.method: r for r in same if r.source == source}
        first = by_method.get("features") or next(iter(by_method.values()))
        beside = [
            f"{METHODS.get(name, plain_name(name))} {figure(r.value)}"
            for name, r in by_method.items()
            if r is not first
        ]
        unit = "r" if first.metric == "r" else "AUROC"
        span = f" (95% CI {interval(first.ci_low, first.ci_high)})" if first.ci_low is not None else ""
        return (
            f"Read from {METHODS.get(first.method, plain_name(first.method))}, the {plain_name(target)} of "
            f"{counted(first.n, 'text')} of {source} agrees with people's at {unit} = {figure(first.value)}{span}"
            f"{'; ' + '; '.join(beside) if beside else ''}."
        )
    return "How well texts are read cannot be said: no figure was given."


def _names(emotions: Sequence[str]) -> list[str]:
    return [plain_name(name) for name in dict.fromkeys(emotions)]
