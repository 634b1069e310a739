"""The three answers of a study in words, each with its figures and what they are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from emospace.records import QUESTIONS, AnswerRecord, Evidence, Question, Results, Verdict
from emospace.records.verdict import Answer
from emospace.report.blocks import Cell, Table
from emospace.report.columns import Column, build, language_column
from emospace.report.texts import say
from emospace.report.wording import (
    DASH,
    MANY,
    STRUCTURES,
    figure,
    interval,
    language_name,
    listed,
    structure_name,
    upper_first,
)

NAMES: Mapping[Question, str] = {
    "there": "Is it there?",
    "in_features": "Is it in the concept features?",
    "beyond_embeddings": "Does depth add to the embeddings?",
}
WHOLE = "all"
ANSWERS: tuple[Answer | None, ...] = ("yes", "partly", "not shown", None)
AnswerRow = tuple[str, str | None, tuple[Verdict, ...]]
"""A language, what of it is asked about (None: all), and the three answers."""
RULE = (
    "There: the emotion space is beyond chance and beyond its controls. In the concept features: it carries more than the "
    "same categories' directions in the input embeddings and more than as many of their principal components. Depth adds: "
    "states and embeddings together carry more than the embeddings alone. All on held-out words, by paired bootstrap; of "
    "the arrangement of categories, by RSA. Not shown is not no: it may be so, and these figures do not decide."
)


def answers_in_words(results: Results, model: str) -> tuple[str, ...]:
    """Return a line for each question with its answer: in detail of one language, counted over many."""
    whole = [verdict for verdict in results.verdicts if verdict.about is None]
    if not any(verdict.answer for verdict in whole):
        why = next((verdict.reason for verdict in whole), None) or "it has no language"
        return (say("verdict.unsaid", model=model, why=why),)
    return tuple(
        say(
            f"question.{question}",
            model=model,
            answer=_of_languages(results, [verdict for verdict in whole if verdict.question == question]),
        )
        for question in QUESTIONS
    )


def _of_languages(results: Results, whole: Sequence[Verdict]) -> str:
    if len(whole) == 1:
        return _in_detail(results, whole[0])
    if len(whole) < MANY:
        return "; ".join(
            f"{language_name(verdict.language)}: {verdict.answer or _unanswered(verdict)}"
            for verdict in whole
        )
    counts = Counter(verdict.answer for verdict in whole)
    parts = [f"{answer or 'not computed'} in {counts[answer]}" for answer in ANSWERS if counts[answer]]
    return ", ".join([f"{parts[0]} of {len(whole)} languages", *parts[1:]])


def _unanswered(whole: Verdict) -> str:
    return f"{DASH} ({whole.reason})"


def _in_detail(results: Results, whole: Verdict) -> str:
    """Return a language's answer, and for "partly" what is answered how."""
    if whole.answer is None:
        return _unanswered(whole)
    if whole.answer != "partly":
        return whole.answer
    parts = [part for part in _parts(results, whole.language) if part.question == whole.question]
    answers = [
        f"{answer or 'not computed'}: {listed([about_name(part.about) for part in parts if part.answer == answer])}"
        for answer in ANSWERS
        if any(part.answer == answer for part in parts)
    ]
    return f"partly ({'; '.join(answers)})"


def _parts(results: Results, language: str) -> list[Verdict]:
    return [
        verdict for verdict in results.verdicts if verdict.language == language and verdict.about is not None
    ]


def about_name(about: str | None) -> str:
    """Return what an answer is about: a rating, the arrangement of categories, or all."""
    if about is None:
        return WHOLE
    if about.partition("/")[0] in STRUCTURES:
        return f"arrangement ({structure_name(about)})"
    return structure_name(about)


def answer_rows(results: Results, languages: Sequence[str]) -> list[AnswerRow]:
    """Return a row for each language as a whole and for each thing asked about: language, what, the three answers."""
    rows: dict[tuple[str, str | None], dict[Question, Verdict]] = {}
    for verdict in results.verdicts:
        if verdict.language in languages:
            rows.setdefault((verdict.language, verdict.about), {})[verdict.question] = verdict
    return [(*key, tuple(answers[question] for question in QUESTIONS)) for key, answers in rows.items()]


def answer_table(
    results: Results, languages: Sequence[str], key: str = "table-answers", rule: str = RULE
) -> Table:
    """Return the three answers of some languages with their figures and what these are held against."""
    rows = answer_rows(results, languages)

    def answer(at: int) -> Callable[[AnswerRow], Cell]:
        return lambda row: _with_figures(row[2][at])

    return build(
        key,
        (
            language_column(get=lambda row: row[0]),
            Column("Of", lambda row: about_name(row[1]), wrap=True),
            *(Column(name, answer(at), wrap=True) for at, name in enumerate(NAMES.values())),
        ),
        rows,
        text="table-answers",
        rule=rule,
        reasons=reasons([verdict for *_, answers in rows for verdict in answers]),
        strong=lambda row: row[1] is None,
    )


def overview_table(results: Results, languages: Sequence[str]) -> Table:
    """Return the three answers of each of many languages, without their figures."""
    rows = [
        (language, answers) for language, about, answers in answer_rows(results, languages) if about is None
    ]
    return build(
        "table-answers-all",
        (language_column(get=lambda row: row[0]), *answer_columns(lambda row: row[1])),
        rows,
        rule=RULE,
        reasons=reasons([verdict for _, answers in rows for verdict in answers]),
    )


def answer_columns(get: Callable[[Any], Sequence[Verdict | AnswerRecord]]) -> Iterator[Column]:
    """Yield a column for each question; `get` returns the three answers of a row."""
    for at, name in enumerate(NAMES.values()):
        yield Column(name, lambda row, at=at: answer_cell(get(row)[at]))  # type: ignore[misc]


def reasons(answers: Sequence[Verdict] | Sequence[AnswerRecord]) -> str:
    """Return why answers are missing, as a sentence that says what a dash means; empty where none is."""
    why = dict.fromkeys(e.reason for e in answers if e.answer is None and e.reason)
    return f" {DASH}: {'; or '.join(why)}." if why else ""


def answer_cell(given: Verdict | AnswerRecord) -> Cell:
    """Return an answer alone, or a dash that carries the reason."""
    return Cell(DASH, note=given.reason) if given.answer is None else Cell(upper_first(given.answer))


def _with_figures(verdict: Verdict) -> Cell:
    cell, parts = answer_cell(verdict), figures_of(verdict)
    return Cell(f"{cell.text}. {parts}") if parts else cell


def figures_of(verdict: Verdict) -> str:
    """Return the figures an answer rests on, what is exceeded before what is not; empty for a language as a whole."""
    if not verdict.evidence:
        return ""
    if verdict.evidence[0].against in STATES:
        return _joined(verdict.evidence)
    value = figure(verdict.evidence[0].value)
    states = [e for e in verdict.evidence if e.against == "dense"]
    held = [e for e in verdict.evidence if e.against != "dense"]
    word = "more than" if verdict.question == "in_features" else "beyond"
    parts = [
        f"{lead}{word} {listed([_against(e) for e in held if e.beyond is beyond], last)}"
        for lead, beyond, last in (("", True, "and"), ("not ", False, "or"))
        if any(e.beyond is beyond for e in held)
    ]
    parts += [say("verdict.dense", e=e) for e in states]
    return f"{value}, {'; '.join(parts)}."


STATES = {"dense_static": "dense states", "space_static": "the space"}


def _joined(evidence: Sequence[Evidence]) -> str:
    parts = [
        say(
            "verdict.joined",
            more="more" if e.beyond else "not more",
            states=STATES[e.against],
            e=e,
            gain=_gain(e),
        )
        for e in evidence
    ]
    return f"{upper_first('; '.join(parts))}."


def _against(e: Evidence) -> str:
    few = "" if e.tested else ", too few draws to test by"
    return say(f"against.{e.against}", e=e, few=few, gain=_gain(e))


def _gain(e: Evidence) -> str:
    return say("verdict.gain", e=e, span=interval(e.low, e.high))
