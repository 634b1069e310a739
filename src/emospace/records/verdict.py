"""Three questions about a language model and people's emotion, answered from the records of a study by one rule.

Is it there: does the emotion space carry people's ratings, or their arrangement of categories, beyond chance and beyond
controls that know no emotion? Is it in the concept features: does the space carry more than equally many dimensions of
the input embeddings? Does depth add to the embeddings: do states and embeddings together carry more than embeddings
alone? Each is answered yes, partly or not shown; what is not shown may still be so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from emospace.records.figures import AlignmentRecord, ComparisonRecord, PredictionRecord
from emospace.records.flat import Explained
from emospace.records.headlines import geometry, headline, structures_of, targets_of

Question = Literal["there", "in_features", "beyond_embeddings"]
Answer = Literal["yes", "partly", "not shown"]
QUESTIONS: tuple[Question, ...] = ("there", "in_features", "beyond_embeddings")
INPUT = "input embeddings"
BEATS = 0.95
"""Share of the matched draws that the space has to exceed."""
SIGNIFICANT = 0.05
SMALLEST = 0.01
"""Difference in r above which the 95% interval has to lie: ridge weighs one and the same information otherwise where it lies
along other axes, and many words make any difference significant."""
FEWEST_DRAWS = 19
"""Draws of a control below which exceeding all of them is no test at .05."""
EARLIER = "an earlier version wrote results.json without it; run it again with this one"
NOTHING = "no ratings of words were predicted and no arrangement of categories was compared"


class AnswerRecord(Explained):
    """The answer to one question in one language.

    `about` is the rating or the human structure that is asked about; null for the language as a whole: yes where each
    of its answers is there and yes, not shown where none is yes or partly, partly otherwise. `beyond` says for each comparison
    whether the figure is larger; n counts the words or categories, for the whole the answers it rests on.
    """

    figure_field = "answer"

    of: Literal["verdict"] = "verdict"
    question: Question
    language: str
    about: str | None
    answer: Answer | None
    beyond: dict[str, bool] = Field(default_factory=dict)
    n: int = Field(ge=0)


@dataclass(frozen=True)
class Evidence:
    """A figure and what it is compared with.

    Attributes
    ----------
    against
        "chance", "outside", "shuffled"; "dense": dense states against chance; "static_concepts", "static_pcs";
        "dense_static", "space_static": what is joined with the embeddings, against these alone; "static": the
        embeddings' own arrangement.
    value, other
        The figure and the one beside it (none for chance).
    low, high
        95% interval of the difference where it is tested, else of the value.
    beyond
        Whether the figure exceeds what it is compared with.
    tested
        Whether there are draws enough to test by.
    """

    against: str
    value: float | None
    beyond: bool
    other: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    tested: bool = True


@dataclass(frozen=True)
class Verdict:
    """One answer with what it rests on; fields as in `AnswerRecord`."""

    question: Question
    language: str
    about: str | None
    answer: Answer | None
    n: int
    evidence: tuple[Evidence, ...] = ()
    reason: str | None = None

    def record(self) -> AnswerRecord:
        """Return the answer as `results.json` holds it."""
        return AnswerRecord(
            question=self.question,
            language=self.language,
            about=self.about,
            answer=self.answer,
            reason=self.reason,
            beyond={evidence.against: evidence.beyond for evidence in self.evidence},
            n=self.n,
        )


def verdicts(
    languages: Sequence[str],
    prediction: Sequence[PredictionRecord],
    comparison: Sequence[ComparisonRecord],
    alignment: Sequence[AlignmentRecord],
) -> tuple[Verdict, ...]:
    """Return the answers of each language to each question: of the whole, then of each rating and structure."""
    answers: list[Verdict] = []
    for language in languages:
        parts = [
            *_of_ratings(language, prediction, comparison),
            *_of_arrangements(language, alignment),
        ]
        for question in QUESTIONS:
            answered = [part for part in parts if part.question == question]
            answers += [_whole(question, language, answered), *answered]
    return tuple(answers)


def _whole(question: Question, language: str, parts: Sequence[Verdict]) -> Verdict:
    answers = [part.answer for part in parts]
    given = [answer for answer in answers if answer]
    if not given:
        reason = next((part.reason for part in parts), NOTHING)
        return Verdict(question, language, None, None, 0, reason=reason)
    whole: Answer = "partly"
    if all(answer == "yes" for answer in answers):
        whole = "yes"
    elif all(answer == "not shown" for answer in given):
        whole = "not shown"
    return Verdict(question, language, None, whole, len(given))


def _of_ratings(
    language: str, prediction: Sequence[PredictionRecord], comparison: Sequence[ComparisonRecord]
) -> Iterator[Verdict]:
    for target in targets_of(prediction):
        sets = headline(prediction, language, target)
        if not sets:
            continue
        space = sets["space"]
        key = (language, space.norms, target, space.excluded_concepts)
        compared: dict[tuple[str, str], ComparisonRecord] = {
            (record.features, record.against): record
            for record in comparison
            if (record.language, record.norms, record.target, record.excluded_concepts) == key
            and record.static_source in (None, INPUT)
            and record.difference is not None
            and {record.features, record.against} <= sets.keys()
        }
        controls = _controls(space, sets)
        yield _rating_there(space, sets, controls)
        yield _rating_in_features(space, sets, controls, compared)
        yield _rating_beyond_embeddings(space, sets, compared)


def _controls(space: PredictionRecord, sets: Mapping[str, PredictionRecord]) -> tuple[Evidence, ...]:
    """Return the space against matched latents outside it, and against the spaces of shuffled concept-sets."""
    controls = []
    if (outside := sets.get("outside")) and space.draws_beaten is not None:
        controls.append(_of_draws(space, outside, space.draws_beaten >= BEATS))
    if (shuffled := sets.get("shuffled")) and shuffled.draws_high is not None:
        controls.append(_of_draws(space, shuffled, (space.r or 0) > shuffled.draws_high))
    return tuple(controls)


def _rating_there(
    space: PredictionRecord, sets: Mapping[str, PredictionRecord], controls: tuple[Evidence, ...]
) -> Verdict:
    """Yes: beyond chance and all controls, one of them with draws enough to test by; partly: space or states beyond chance."""
    chance = _of_chance("chance", space)
    states = [_of_chance("dense", sets["dense"])] if "dense" in sets else []
    beats = all(control.beyond for control in controls) and any(control.tested for control in controls)
    answer: Answer = "not shown"
    if chance.beyond and beats:
        answer = "yes"
    elif chance.beyond or any(state.beyond for state in states):
        answer = "partly"
    return _of_rating("there", space, answer, (chance, *controls, *states))


def _rating_in_features(
    space: PredictionRecord,
    sets: Mapping[str, PredictionRecord],
    controls: tuple[Evidence, ...],
    compared: Mapping[tuple[str, str], ComparisonRecord],
) -> Verdict:
    """Yes: more than both; partly: more than as many concept directions of the embeddings, not than the components.

    Any features of states that carry a rating carry some of it: a space that does not exceed its controls has no more
    than they have, whatever the embeddings hold.
    """
    names = ("static_concepts", "static_pcs")
    if any(("space", name) not in compared for name in names):
        return _of_rating("in_features", space, None, reason=EARLIER)
    concepts, components = (_of_difference(name, space, compared["space", name]) for name in names)
    short_of = tuple(control for control in controls if not control.beyond)
    as_many = sets["static_concepts"].n_features == space.n_features
    answer: Answer = "not shown"
    if concepts.beyond and not short_of:
        answer = "yes" if components.beyond else "partly" if as_many else "not shown"
    return _of_rating("in_features", space, answer, (concepts, components, *short_of))


def _rating_beyond_embeddings(
    space: PredictionRecord,
    sets: Mapping[str, PredictionRecord],
    compared: Mapping[tuple[str, str], ComparisonRecord],
) -> Verdict:
    """Yes: dense states add to the embeddings; partly: only the space does."""
    names = ("dense_static", "space_static")
    if any((name, "static") not in compared for name in names):
        return _of_rating("beyond_embeddings", space, None, reason=EARLIER)
    dense, joined = (_of_difference(name, sets[name], compared[name, "static"]) for name in names)
    answer: Answer = "yes" if dense.beyond else "partly" if joined.beyond else "not shown"
    return _of_rating("beyond_embeddings", space, answer, (dense, joined))


def _of_rating(
    question: Question,
    space: PredictionRecord,
    answer: Answer | None,
    evidence: tuple[Evidence, ...] = (),
    reason: str | None = None,
) -> Verdict:
    return Verdict(question, space.language, space.target, answer, space.n, evidence, reason)


def _of_chance(against: str, record: PredictionRecord) -> Evidence:
    p = record.p if record.p_fdr is None else record.p_fdr
    return _tested(against, record.r, record.ci_low, record.ci_high, p)


def _of_draws(space: PredictionRecord, drawn: PredictionRecord, beyond: bool) -> Evidence:
    enough = (drawn.n_draws or 0) >= FEWEST_DRAWS
    return Evidence(drawn.features, space.r, beyond, drawn.r, tested=enough)


def _of_difference(against: str, larger: PredictionRecord, record: ComparisonRecord) -> Evidence:
    p = record.p if record.p_fdr is None else record.p_fdr
    evidence = _tested(against, larger.r, record.ci_low, record.ci_high, p, record.difference)
    return replace(evidence, beyond=evidence.beyond and evidence.low is not None and evidence.low > SMALLEST)


def _tested(
    against: str,
    value: float | None,
    low: float | None,
    high: float | None,
    p: float | None,
    difference: float | None = None,
) -> Evidence:
    exceeds = value if difference is None else difference
    beyond = exceeds is not None and exceeds > 0 and p is not None and p < SIGNIFICANT
    other = None if value is None or difference is None else value - difference
    return Evidence(against, value, beyond, other, difference, low, high, p)


def _of_arrangements(language: str, alignment: Sequence[AlignmentRecord]) -> Iterator[Verdict]:
    """Yield the answers of each human structure: RSA beyond chance, beyond the embeddings', and of both joined beyond these."""
    for against in structures_of(alignment, language):
        record = geometry(alignment, language, against)
        if record is None:
            continue
        there = _tested("chance", record.value, record.ci_low, record.ci_high, record.p)
        yield _of_structure("there", record, there)
        short_of = () if there.beyond else (there,)
        yield _of_structure("in_features", record, _beyond_static("static", record), *short_of)
        joined = geometry(alignment, language, against, joined=True)
        if joined is None:
            yield Verdict("beyond_embeddings", language, against, None, record.n, reason=EARLIER)
        else:
            yield _of_structure("beyond_embeddings", joined, _beyond_static("space_static", joined))


def _beyond_static(against: str, record: AlignmentRecord) -> Evidence:
    return _tested(
        against,
        record.value,
        record.difference_low,
        record.difference_high,
        record.difference_p,
        record.difference,
    )


def _of_structure(question: Question, record: AlignmentRecord, *evidence: Evidence) -> Verdict:
    if evidence[0].p is None:
        return Verdict(question, record.language, record.against, None, record.n, reason=EARLIER)
    answer: Answer = "yes" if all(part.beyond for part in evidence) else "not shown"
    return Verdict(question, record.language, record.against, answer, record.n, evidence)
