"""The three answers follow from planted records by one rule, and every view gives the same ones."""

from __future__ import annotations

from itertools import product

import pytest

from emospace.cli.tables import verdict_rows
from emospace.records import (
    AlignmentRecord,
    AnswerRecord,
    ComparisonRecord,
    Manifest,
    ModelRecord,
    PredictionRecord,
    Results,
    SummaryRecord,
    Verdict,
)
from emospace.records.verdict import EARLIER, NOTHING, QUESTIONS
from emospace.report.verdict import answer_table, answers_in_words, figures_of, overview_table

COMMON = {"model": "m", "layer": 3, "n": 400, "seed": 0}
RATING = {"language": "en", "norms": "norms", "target": "valence", "excluded_concepts": True}
SETS = {"space": 0.7, "static": 0.8, "static_concepts": 0.6, "static_pcs": 0.5, "dense": 0.85}
SETS |= {"dense_static": 0.88, "space_static": 0.84}
DIFFERENCES = {
    ("space", "static_concepts"): 0.1,
    ("space", "static_pcs"): 0.2,
    ("dense_static", "static"): 0.08,
    ("space_static", "static"): 0.04,
}


def prediction(features: str, r: float, **more) -> PredictionRecord:
    given = {"n_features": 41, "ci_low": r - 0.02, "ci_high": r + 0.02, "p": 0.001}
    source = "input embeddings" if features == "static" else None
    return PredictionRecord(
        **COMMON, **(RATING | given | {"static_source": source, "features": features, "r": r} | more)
    )


def draws(features: str, low: float, high: float, n: int = 100, **more) -> PredictionRecord:
    return prediction(features, (low + high) / 2, p=None, n_draws=n, draws_low=low, draws_high=high, **more)


def comparison(features: str, against: str, difference: float, p: float = 0.002, **more) -> ComparisonRecord:
    source = "input embeddings" if against == "static" else None
    given = {"static_source": source, "features": features, "against": against, "difference": difference}
    return ComparisonRecord(
        **COMMON,
        **(RATING | given | {"ci_low": difference - 0.02, "ci_high": difference + 0.02, "p": p} | more),
    )


def alignment(value: float | None = 0.5, **more) -> AlignmentRecord:
    given = {"language": "en", "against": "valence_arousal", "target": "distance", "space": "dense"}
    rest = {
        "ci_low": 0.3,
        "ci_high": 0.7,
        "p": 0.001,
        "baseline": 0.2,
        "baseline_name": "static input embeddings",
    }
    gain = {"difference": 0.3, "difference_low": 0.1, "difference_high": 0.5, "difference_p": 0.001}
    return AlignmentRecord(
        **(COMMON | {"n": 41}), statistic="rsa_spearman", value=value, **(given | rest | gain | more)
    )


def joined(value: float | None = 0.6, **more) -> AlignmentRecord:
    return alignment(value, space="dense_static", **({"difference": 0.4} | more))


def study(sets=SETS, differences=DIFFERENCES, more=(), alignment=(), **fields) -> Results:
    """Return results with a set of records for valence, planted ones beside."""
    return Results(
        prediction=(
            *(prediction(name, r) for name, r in sets.items() if r is not None),
            *(more or (draws("shuffled", 0.4, 0.5),)),
        ),
        comparison=tuple(
            given if isinstance(given, ComparisonRecord) else comparison(*pair, given)
            for pair, given in differences.items()
        ),
        alignment=tuple(alignment),
        model=ModelRecord(**COMMON),
        manifest=Manifest(**COMMON, command="emospace study", languages=fields.get("languages", ("en",))),
    )


def answers(results: Results, about: str | None = "valence", language: str = "en") -> list[str | None]:
    """Return the three answers in the order of the questions."""
    by_question = {
        entry.question: entry
        for entry in results.verdicts
        if (entry.language, entry.about) == (language, about)
    }
    return [by_question[question].answer for question in QUESTIONS]


def verdict(results: Results, question: str, about: str | None = "valence") -> Verdict:
    return next(entry for entry in results.verdicts if (entry.question, entry.about) == (question, about))


def unsure(*pairs) -> dict:
    """Return the differences with those of some pairs within what chance gives."""
    return DIFFERENCES | {pair: comparison(*pair, DIFFERENCES[pair], p=0.2) for pair in pairs}


CONCEPTS, COMPONENTS = ("space", "static_concepts"), ("space", "static_pcs")
DENSE, SPACE = ("dense_static", "static"), ("space_static", "static")


# --- is it there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "answer"),
    [
        ((draws("shuffled", 0.4, 0.5),), "yes"),
        ((draws("shuffled", 0.4, 0.75),), "partly"),
        ((draws("shuffled", 0.4, 0.5, n=5),), "partly"),
        ((draws("shuffled", 0.4, 0.5), draws("outside", 0.3, 0.4)), "yes"),
        ((prediction("surface", 0.1),), "partly"),
    ],
)
def test_it_is_there_beyond_chance_and_beyond_controls_that_are_enough_to_test_by(beside, answer):
    assert answers(study(more=beside))[0] == answer


@pytest.mark.parametrize(("beaten", "answer"), [(0.99, "yes"), (0.95, "yes"), (0.9, "partly")])
def test_matched_draws_are_beaten_in_95_of_100(beaten, answer):
    results = study({"space": None}, more=(
        prediction("space", 0.7, draws_beaten=beaten), draws("outside", 0.3, 0.6, n=1000),
        draws("shuffled", 0.4, 0.5, n=5),
    ))  # fmt: skip
    assert answers(results)[0] == answer


@pytest.mark.parametrize(
    ("space", "dense", "answer"),
    [
        ({"p": 0.2}, {"p": 0.2}, "not shown"),
        ({"p": 0.2}, {}, "partly"),
        ({"p_fdr": 0.2}, {"p_fdr": 0.06}, "not shown"),
        ({"r": -0.7}, {"r": -0.8}, "not shown"),
    ],
)
def test_what_is_not_beyond_chance_is_not_shown_and_states_alone_are_part(space, dense, answer):
    records = (
        prediction("space", **{"r": 0.7, **space}), prediction("dense", **{"r": 0.8, **dense}), draws("shuffled", 0.1, 0.2),
    )  # fmt: skip
    assert answers(study({}, more=records))[0] == answer


# --- is it in the concept features ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "answer"),
    [
        (DIFFERENCES, "yes"),
        (unsure(COMPONENTS), "partly"),
        (unsure(CONCEPTS), "not shown"),
        (unsure(CONCEPTS, COMPONENTS), "not shown"),
        (DIFFERENCES | {CONCEPTS: -0.1}, "not shown"),
        (DIFFERENCES | {CONCEPTS: comparison(*CONCEPTS, 0.1, p=0.001, p_fdr=0.06)}, "not shown"),
        (DIFFERENCES | {CONCEPTS: comparison(*CONCEPTS, 0.02, ci_low=0.009)}, "not shown"),
    ],
)
def test_it_is_in_the_features_beyond_as_many_dimensions_of_the_embeddings(differences, answer):
    assert answers(study(differences=differences))[1] == answer


def test_a_space_no_better_than_its_controls_has_nothing_in_its_features():
    results = study(more=(draws("shuffled", 0.4, 0.75),), alignment=(alignment(p=0.2), joined()))
    assert answers(results)[:2] == ["partly", "not shown"]
    assert "not more than the same" not in figures_of(verdict(results, "in_features"))
    assert figures_of(verdict(results, "in_features")).endswith("not more than shuffled concept-sets (.57).")
    assert answers(results, "valence_arousal")[:2] == ["not shown", "not shown"]


def test_fewer_directions_of_the_embeddings_than_features_make_no_half_answer():
    sets = {name: r for name, r in SETS.items() if name != "space"}
    more = (prediction("space", 0.7, n_features=370), draws("shuffled", 0.4, 0.5))
    assert answers(study(sets, unsure(COMPONENTS), more))[1] == "not shown"
    assert answers(study(sets, DIFFERENCES, more))[1] == "yes"


# --- does depth add ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "answer"),
    [
        (DIFFERENCES, "yes"),
        (unsure(SPACE), "yes"),
        (unsure(DENSE), "partly"),
        (unsure(DENSE, SPACE), "not shown"),
        (DIFFERENCES | {DENSE: -0.1, SPACE: -0.1}, "not shown"),
        (DIFFERENCES | {pair: comparison(*pair, 0.02, ci_low=0.009) for pair in (DENSE, SPACE)}, "not shown"),
    ],
)
def test_depth_adds_where_states_and_embeddings_carry_more_than_embeddings(differences, answer):
    assert answers(study(differences=differences))[2] == answer


def test_depth_is_held_against_the_embeddings_and_not_against_a_stronger_static_source():
    corpus = prediction("static", 0.9, static_source="PPMI-SVD of the corpora")
    stronger = comparison("space", "static", -0.2, static_source="PPMI-SVD of the corpora")
    results = study(
        more=(corpus, draws("shuffled", 0.4, 0.5)), differences={**DIFFERENCES, ("space", "static"): stronger}
    )
    assert answers(results)[2] == "yes"
    assert verdict(results, "beyond_embeddings").evidence[0].other == pytest.approx(SETS["static"])


# --- the arrangement of categories ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "given", "expected"),
    [
        ({}, {}, ["yes", "yes", "yes"]),
        ({"p": 0.2}, {"difference_p": 0.3}, ["not shown", "not shown", "not shown"]),
        ({"difference_p": 0.2}, {}, ["yes", "not shown", "yes"]),
        ({"difference": -0.3}, {"difference": -0.3}, ["yes", "not shown", "not shown"]),
        ({"difference": None, "difference_p": None}, {"value": None}, ["yes", None, None]),
    ],
)
def test_the_arrangement_is_tested_by_relabelling_and_against_that_of_the_embeddings(
    changes, given, expected
):
    results = study(alignment=(alignment(**changes), joined(**given)))
    assert answers(results, "valence_arousal") == expected


def test_structures_of_six_emotions_and_other_spaces_answer_nothing():
    rows = (alignment(), joined(), alignment(against="clics"), alignment(space="static"))
    abouts = {entry.about for entry in study(alignment=rows).verdicts}
    assert abouts == {None, "valence", "valence_arousal"}


# --- a language as a whole --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((alignment(), joined()), ["yes", "yes", "yes"]),
        ((alignment(p=0.5, difference_p=0.5), joined(difference_p=0.5)), ["partly", "partly", "partly"]),
        ((alignment(), joined(None)), ["yes", "yes", "partly"]),
    ],
)
def test_a_language_has_a_yes_where_all_it_was_asked_about_has(rows, expected):
    results = study(alignment=rows)
    assert answers(results) == ["yes", "yes", "yes"]
    assert answers(results, None) == expected


def test_what_was_never_shown_stays_not_shown_as_a_whole():
    records = (
        prediction("space", 0.01, p=0.4),
        prediction("dense", 0.0, p=0.6),
        draws("shuffled", -0.1, 0.1),
    )
    pairs = {pair: comparison(*pair, 0.0, p=0.9) for pair in DIFFERENCES}
    results = study(
        {name: 0.0 for name in SETS if name not in ("space", "dense")},
        pairs,
        records,
        (alignment(0.0, p=0.5, difference_p=0.5), joined(difference_p=0.5)),
    )
    assert answers(results, None) == ["not shown"] * 3


def test_without_figures_nothing_is_answered_and_the_reason_is_given():
    results = study({}, {}, more=(prediction("surface", 0.1),))
    assert answers(results, None) == [None] * 3
    assert {entry.reason for entry in results.verdicts} == {NOTHING}
    said = f"Whether m represents emotion as people do cannot be said: {NOTHING}."
    assert answers_in_words(results, "m") == (said,)


def test_an_earlier_version_s_results_leave_two_questions_with_the_reason():
    old = {name: SETS[name] for name in ("space", "static", "dense")}
    results = study(
        old, {("space", "static"): -0.1}, alignment=(alignment(difference=None, difference_p=None),)
    )
    assert answers(results) == ["yes", None, None]
    assert answers(results, "valence_arousal") == ["yes", None, None]
    assert answers(results, None) == ["yes", None, None]
    assert verdict(results, "in_features").reason == EARLIER
    table = answer_table(results, ["en"])
    assert EARLIER in table.caption
    assert [cell.note for cell in table.rows[1]][3:] == [EARLIER, EARLIER]
    assert answers_in_words(results, "m")[2] == f"Does depth add to the embeddings? – ({EARLIER})."


# --- how it is said ---------------------------------------------------------------------------------------


def test_each_answer_is_said_with_its_figures_and_what_they_are_held_against():
    results = study(differences=unsure(COMPONENTS, SPACE), alignment=(alignment(), joined()))
    said = {
        (entry.question, entry.about): figures_of(entry).replace("\u00a0", " ") for entry in results.verdicts
    }
    assert said["there", "valence"] == (
        ".70, beyond chance (p = .001) and shuffled concept-sets (.45); dense states .85 (p = .001)."
    )
    assert said["in_features", "valence"] == (
        ".70, more than the same directions in the embeddings (.60; difference .10, .08 to .12); "
        "not more than as many components of the embeddings (.50; difference .20, .18 to .22)."
    )
    assert said["beyond_embeddings", "valence"] == (
        "More with dense states (.88 against .80 alone, difference .08, .06 to .10); "
        "not more with the space (.84 against .80 alone, difference .04, .02 to .06)."
    )
    assert said["in_features", "valence_arousal"] == (
        ".50, more than the embeddings (.20; difference .30, .10 to .50)."
    )
    assert said["beyond_embeddings", "valence_arousal"] == (
        "More with the space (.60 against .20 alone, difference .40, .10 to .50)."
    )
    assert said["there", None] == ""


def test_the_words_grow_with_the_languages():
    results = study(differences=unsure(COMPONENTS, DENSE, SPACE), alignment=(alignment(), joined()))
    assert answers_in_words(results, "m") == (
        "Is people's emotion in m? Yes.",
        "Is it in its concept features, more than in as many dimensions of the input embeddings? "
        "Partly (yes: arrangement (valence-arousal distance); partly: valence).",
        "Does depth add to the embeddings? "
        "Partly (yes: arrangement (valence-arousal distance); not shown: valence).",
    )

    def first_line(*languages: str) -> str:
        manifest = results.manifest.model_copy(update={"languages": languages})
        return answers_in_words(results.model_copy(update={"manifest": manifest}), "m")[0]

    assert first_line("en", "zh") == f"Is people's emotion in m? English: yes; Chinese: – ({NOTHING})."
    assert (
        first_line("en", "zh", "de")
        == "Is people's emotion in m? Yes in 1 of 3 languages, not computed in 2."
    )


@pytest.mark.parametrize(
    ("differences", "p"), list(product((DIFFERENCES, unsure(*DIFFERENCES)), (0.001, 0.5)))
)
def test_tables_and_saved_answers_are_the_same(differences, p):
    results = study(differences=differences, alignment=(alignment(p=p), joined(difference_p=p)))
    table = answer_table(results, ["en"])
    rows = list(verdict_rows(results))
    expected = [answers(results, about) for about in (None, "valence", "valence_arousal")]
    assert [[verdict.answer for verdict in row] for row in rows] == expected
    assert [[cell.text.partition(".")[0].lower() for cell in row[2:]] for row in table.rows] == expected
    assert [
        [cell.text.lower() for cell in row[1:]] for row in overview_table(results, ["en"]).rows
    ] == expected[:1]
    saved = [entry.record() for entry in results.verdicts]
    assert [entry.answer for entry in saved] == [entry.answer for entry in results.verdicts]


def test_saved_answers_come_back_beside_the_means(tmp_path):
    mean = SummaryRecord(of="features", figure="auc", among={"language": "en"}, value=0.8, n=3)
    results = study(alignment=(alignment(), joined()))
    saved = tuple(entry.record() for entry in results.verdicts)
    results = results.model_copy(update={"summary": (*saved, mean)})
    back = Results.load(results.save(tmp_path / "results.json"))
    assert back == results
    assert [type(record) for record in back.summary] == [AnswerRecord] * 9 + [SummaryRecord]
    assert back.mean("features", "auc", language="en") == 0.8
    there = back.summary[1]
    assert (there.of, there.question, there.about, there.answer) == ("verdict", "there", "valence", "yes")
    assert there.beyond == {"chance": True, "shuffled": True, "dense": True}
