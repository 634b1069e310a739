"""The three answers of a study in words, each with its figures and what they are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from emospace.records import (
    QUESTIONS,
    AnswerRecord,
    Evidence,
    Question,
    Results,
    Verdict,
    cross_tabulated,
    grouped,
)
from emospace.records.verdict import Answer
from emospace.report.blocks import Cell, Table
from emospace.report.columns import Column, build, language_column
from emospace.report.texts import phrase
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
Answered = Verdict | AnswerRecord
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
        return (phrase("verdict.unsaid", model=model, why=why),)
    return tuple(
        phrase(
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
    parts = grouped(
        (
            v
            for v in results.verdicts
            if (v.language, v.question) == (whole.language, whole.question) and v.about
        ),
        lambda verdict: verdict.answer,
    )
    answers = [
        f"{answer or 'not computed'}: {listed([about_name(part.about) for part in parts[answer]])}"
        for answer in ANSWERS
        if answer in parts
    ]
    return f"partly ({'; '.join(answers)})"


def about_name(about: str | None) -> str:
    """Return what an answer is about: a rating, the arrangement of categories, or all."""
    if about is None:
        return WHOLE
    if about.partition("/")[0] in STRUCTURES:
        return f"arrangement ({structure_name(about)})"
    return structure_name(about)


def answer_rows(results: Results, languages: Sequence[str]) -> list[list[Verdict]]:
    """Return the three answers of each language as a whole, and of each thing asked about."""
    verdicts = (verdict for verdict in results.verdicts if verdict.language in languages)
    rows = cross_tabulated(verdicts, lambda v: (v.language, v.about), lambda v: v.question)
    return [[answers[question] for question in QUESTIONS] for answers in rows.values()]


def answer_table(
    results: Results, languages: Sequence[str], key: str = "table-answers", rule: str = RULE
) -> Table:
    """Return the three answers of some languages with their figures and what these are held against."""
    rows = answer_rows(results, languages)
    return build(
        key,
        (
            ANSWERS_IN,
            Column("Of", lambda row: about_name(row[0].about), wrap=True),
            *answer_columns(_with_figures, wrap=True),
        ),
        rows,
        text="table-answers",
        rule=rule,
        reasons=reasons(chain(*rows)),
        strong=lambda row: row[0].about is None,
    )


def overview_table(results: Results, languages: Sequence[str]) -> Table:
    """Return the three answers of each of many languages, without their figures."""
    rows = [row for row in answer_rows(results, languages) if row[0].about is None]
    columns = (ANSWERS_IN, *answer_columns())
    return build("table-answers-all", columns, rows, rule=RULE, reasons=reasons(chain(*rows)))


def answer_columns(
    cell: Callable[[Any], Cell] = lambda answered: _answer_cell(answered), wrap: bool = False
) -> tuple[Column, ...]:
    """Return a column for each question, of rows that hold the three answers."""
    return tuple(
        Column(name, lambda row, at=at: cell(row[at]), wrap=wrap)  # type: ignore[misc]
        for at, name in enumerate(NAMES.values())
    )


ANSWERS_IN = language_column(get=lambda row: row[0].language)
"""The language of a row of answers."""


def reasons(answers: Iterable[Answered]) -> str:
    """Return why answers are missing, as a sentence that says what a dash means; empty where none is."""
    why = dict.fromkeys(e.reason for e in answers if e.answer is None and e.reason)
    return f" {DASH}: {'; or '.join(why)}." if why else ""


def _answer_cell(given: Answered) -> Cell:
    """Return an answer alone, or a dash that carries the reason."""
    return Cell(DASH, note=given.reason) if given.answer is None else Cell(upper_first(given.answer))


def _with_figures(verdict: Verdict) -> Cell:
    cell, parts = _answer_cell(verdict), figures_of(verdict)
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
    parts += [phrase("verdict.dense", e=e) for e in states]
    return f"{value}, {'; '.join(parts)}."


STATES = {"dense_static": "dense states", "space_static": "the space"}


def _joined(evidence: Sequence[Evidence]) -> str:
    parts = [
        phrase(
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
    return phrase(f"against.{e.against}", e=e, few=few, gain=_gain(e))


def _gain(e: Evidence) -> str:
    return phrase("verdict.gain", e=e, span=interval(e.low, e.high))
