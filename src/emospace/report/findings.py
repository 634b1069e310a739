"""The answer in words and the key figures, made from the records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from emospace.records import (
    AlignmentRecord,
    PredictionRecord,
    geometry,
    headline,
    matching,
    structures_of,
    targets_of,
)
from emospace.report.blocks import Card, Meter
from emospace.report.run import Run
from emospace.report.texts import phrase
from emospace.report.wording import (
    DASH,
    MANY,
    counted,
    figure,
    interval,
    language_name,
    p_clause,
    percent,
    plain_name,
    space_name,
    structure_name,
    upper_first,
)

NO_BASELINE = "no baseline was computed"
EVERY = "every figure"
"""What a study says is not computed of a language that it leaves out."""


def static_counterpart(run: Run, record: AlignmentRecord) -> tuple[str, float] | None:
    """Return the baseline beside an alignment figure: its own, or the same statistic of static embeddings."""
    if record.baseline is not None:
        return (plain_name(record.baseline_name or "baseline"), record.baseline)
    fields = ("language", "against", "statistic", "target", "controls", "norms")
    for static in run.alignment(lambda r: r.space == "static" and r is not record and r.value is not None):
        if all(getattr(static, name) == getattr(record, name) for name in fields):
            return (space_name("static"), static.value or 0.0)
    return None


def beside(run: Run, record: AlignmentRecord) -> list[str]:
    """Return what stands beside an alignment figure: its baseline and its ceiling, of those that are known."""
    return [f"{name} {figure(value)}" for name, value in _beside(run, record)]


def _beside(run: Run, record: AlignmentRecord) -> list[tuple[str, float]]:
    static = static_counterpart(run, record)
    ceiling = [] if record.ceiling is None else [("ceiling", record.ceiling)]
    return [*([static] if static else []), *ceiling]


def left_out(run: Run) -> tuple[str, ...]:
    """Return a sentence on languages that some figures are not given for, or nothing."""
    gone = [m for m in run.results.not_computed if m.language and m.what == EVERY]
    unread = [name for name in run.languages if not run.norms(name)]
    sentences = [phrase("study.left_out", language=m.language, why=m.why) for m in gone]
    return (*sentences, *([phrase("study.unread", languages=unread)] if unread else []))


def language_line(run: Run, language: str) -> str:
    """Return a language's figures in words, or an empty string where it has none."""
    sentences: list[str] = []
    beaten_by: list[str] = []
    for target in targets_of(run.results.prediction):
        sets = headline(run.results.prediction, language, target)
        if not sets:
            continue
        space = sets["space"]
        sentences.append(
            phrase(
                "study.more" if sentences else "study.ratings",
                language=language,
                provenance=run.provenance,
                target=target,
                space=space,
                where=phrase("study.words_out" if space.excluded_concepts else "study.words_in"),
                clause=phrase("study.clause", space=space, beside=_beside_space(sets)),
            )
        )
        if "top_firing" in sets and (sets["top_firing"].r or 0) >= (space.r or 0):
            beaten_by.append(f"{target} {figure(sets['top_firing'].r)}")
    text = "; ".join(sentences) + "." if sentences else ""
    for name in run.norms(language)[:1]:
        text += phrase("study.norms", name=name, note=note) if (note := run.note(name)) else ""
    text += phrase("study.top_firing", sets=beaten_by) if beaten_by else ""
    for against in structures_of(run.results.alignment, language):
        if record := geometry(run.results.alignment, language, against):
            text += phrase(
                "study.arrangement",
                lead="The arrangement" if text else f"In {language_name(language)}, the arrangement",
                record=record,
                structure=structure_name(against),
                beside=_alignment_beside(run, record),
            )
            text += phrase("study.derived", n=record.n_derived) if record.n_derived else ""
    return text.strip()


def _beside_space(sets: dict[str, PredictionRecord]) -> str:
    space = sets["space"]
    names = {"outside": "matched features outside the space", "static": "static embeddings"}
    parts = [f"{label} {figure(sets[name].r)}" for name, label in names.items() if name in sets]
    parts += [] if space.ceiling is None else [f"people's ceiling {figure(space.ceiling)}"]
    return "; ".join(parts) or NO_BASELINE


def _alignment_beside(run: Run, record: AlignmentRecord) -> str:
    parts = [p_clause(record.p)]
    if record.ci_low is not None:
        parts.append(f"95% CI {interval(record.ci_low, record.ci_high)}")
    return "; ".join(filter(None, [*parts, *beside(run, record)])) or NO_BASELINE


def cards(run: Run) -> tuple[Card, ...]:
    """Return the key figures, at most five, each with n and its baseline beside it."""
    made = [
        _card(
            f"{upper_first(target)} from the emotion space",
            [_rating_meter(run, lang, target) for lang in run.languages],
        )
        for target in targets_of(run.results.prediction)[:2]
    ]
    structures = (structures_of(run.results.alignment, language) for language in run.languages)
    shown = [("Best axis and human valence", "best_pc_r", "valence")]
    shown += [
        (f"Categories and {structure_name(name)}", "rsa_spearman", name)
        for name in list(dict.fromkeys(chain(*structures)))[:2]
    ]
    made += [
        _card(title, [_alignment_meter(run, language, statistic, against) for language in run.languages])
        for title, statistic, against in shown
    ]
    return tuple(card for card in made if card)[:5]


def _card(title: str, meters: Sequence[Meter | None]) -> Card | None:
    given = [meter for meter in meters if meter]
    if not any(meter.detail for meter in given):
        return None
    if len(meters) < MANY:
        return Card(title, given)
    return Card(title, [meter for meter in given if meter.detail], compact=True)


def _rating_meter(run: Run, language: str, target: str) -> Meter | None:
    sets = headline(run.results.prediction, language, target)
    if not sets:
        return None
    space = sets["space"]
    names = (("outside", "matched outside"), ("static", "static embeddings"), ("top_firing", "most active"))
    beside = [f"{label} {figure(sets[name].r)}" for name, label in names if name in sets]
    ticks = [(sets[name].r or 0.0, label) for name, label in names[:1] if name in sets]
    if space.ceiling is not None:
        beside.append(f"ceiling {figure(space.ceiling)}")
        ticks.append((space.ceiling, "ceiling"))
    if space.draws_beaten is not None:
        beside.append(f"above {percent(space.draws_beaten)} of matched draws")
    words = counted(space.n, "word") + (", concept words out" if space.excluded_concepts else "")
    detail = f"{interval(space.ci_low, space.ci_high)} · {words} · {counted(space.n_features, 'feature')}"
    return _meter(language, space.r, detail, beside, ticks)


def _alignment_meter(run: Run, language: str, statistic: str, against: str) -> Meter:
    """Return the meter of a statistic of the main space with a structure or rating, or of the reason it is not given."""
    records = [
        record
        for record in matching(run.results.alignment, language=language, statistic=statistic)
        if against in (record.against, record.target)
    ]
    record = next((record for record in records if record.space == run.main_space and record.given), None)
    if record is None:
        reason = next((r.reason for r in records if r.reason), "not computed in this language")
        return Meter(language_name(language), DASH, "", upper_first(reason), 0.0)
    parts = [interval(record.ci_low, record.ci_high), p_clause(record.p), counted(record.n, "category")]
    parts += [f"component {record.component}"] if record.component else []
    ticks = [(value, name) for name, value in _beside(run, record)]
    return _meter(language, record.value, " · ".join(filter(None, parts)), beside(run, record), ticks)


def _meter(
    language: str, value: float | None, detail: str, beside: list[str], ticks: list[tuple[float, str]]
) -> Meter:
    shown = abs(value or 0.0)
    return Meter(
        label=language_name(language),
        value=figure(value),
        detail=detail,
        beside=" · ".join(beside) or NO_BASELINE,
        fill=min(100.0, 100 * shown),
        ticks=[(min(100.0, max(0.0, 100 * abs(place))), name) for place, name in ticks],
    )
