"""Prompts: enough of them, neutral, and none that is tuned on and reported on."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import get_args

import pytest

from emospace.artefacts import read_json
from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation.content import answered
from emospace.evaluation.prompts import (
    FEWEST,
    PromptKind,
    load_adjectives,
    load_factual,
    load_instructions,
    load_prompts,
    prompt_kind,
    prompt_languages,
    worded,
)
from emospace.judges import BASIC
from emospace.judges.embedded import SHIPPED
from emospace.lexicon import same_family

QUESTIONS = ("en", "es", "zh")
STEMS = ("de", "en", "es", "fi", "fr", "id", "it", "nl", "pl", "pt", "zh")
BUNDLED = [*((code, "questions") for code in QUESTIONS), *((code, "stems") for code in STEMS)]
CHAT, BASE = (
    SimpleNamespace(tokenizer=SimpleNamespace(chat_template=template)) for template in ("{{messages}}", None)
)


def _file(tmp_path, *, language="en", calibration=20, evaluation=40, extra="", stems=False):
    lines = [f'language = "{language}"']
    for kind in ("", "stem ") if stems else ("",):
        lines += ["[stems]"] if kind else []
        for part, n in (("calibration", calibration), ("evaluation", evaluation)):
            lines.append(f"{part} = [{', '.join(repr(f'{kind}{part} {i}') for i in range(n))}]")
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return path


def test_every_language_with_concepts_and_a_judge_of_the_basic_six_has_stems():
    judged = (read_json(SHIPPED / name / "card.json")["auroc"] for name in ("subword", "ngram"))
    fit = set.intersection(
        *({code for code, area in areas.items() if set(BASIC) <= set(area)} for areas in judged)
    )
    assert set(prompt_languages("stems")) == fit & set(load_concepts().languages) == set(STEMS)
    assert set(prompt_languages("questions")) == set(prompt_languages()) == set(QUESTIONS)


@pytest.mark.parametrize(("language", "kind"), BUNDLED)
def test_parts_are_large_enough_and_apart(language, kind):
    calibration = load_prompts(language, "calibration", kind=kind)
    evaluation = load_prompts(language, "evaluation", kind=kind)
    factual = load_factual(language, kind=kind)
    tuned = load_factual(language, kind=kind, part="calibration") if language in QUESTIONS else ()
    n_factual = (60, 20) if language in QUESTIONS else (12, 0)
    assert (len(calibration), len(evaluation), len(factual), len(tuned)) == (24, 48, *n_factual)
    prompts = [*calibration, *evaluation, *(each.prompt for each in (*factual, *tuned))]
    assert len(set(prompts)) == len(prompts)
    assert all(prompt == prompt.strip() for prompt in prompts)


@pytest.mark.parametrize(("language", "kind"), BUNDLED)
def test_no_neutral_prompt_holds_a_concept_word(language, kind):
    concepts = load_concepts([language]).words(language)
    prompts = [
        prompt for part in ("calibration", "evaluation") for prompt in load_prompts(language, part, kind=kind)
    ]
    if language == "zh":
        held = [(prompt, word) for prompt in prompts for word in concepts if word in prompt]
    else:
        words = [(prompt, word) for prompt in prompts for word in re.findall(r"\w+", prompt)]
        hits = same_family([word for _, word in words], concepts, language)
        held = [each for each, hit in zip(words, hits, strict=True) if hit]
    assert prompts and not held


@pytest.mark.parametrize("language", STEMS)
def test_a_stem_is_a_beginning_that_is_cut_short(language):
    for part in ("calibration", "evaluation"):
        for stem in load_prompts(language, part, kind="stems"):
            length = len(stem) / 2 if language == "zh" else len(stem.split())
            assert 3.5 <= length <= 12, stem
            assert stem[-1] not in ".!?。！？…", stem


@pytest.mark.parametrize(("language", "kind"), BUNDLED)
def test_no_factual_prompt_gives_its_answer_away(language, kind):
    parts = ("calibration", "evaluation") if language in QUESTIONS else ("evaluation",)
    for part in parts:
        for factual in load_factual(language, kind=kind, part=part):
            assert not answered([factual.prompt], [factual.answers])[0], factual


@pytest.mark.parametrize(("language", "kind"), BUNDLED)
def test_instructions_name_the_emotion_and_stand_around_a_stem(language, kind):
    offered = load_instructions(language, kind=kind)
    assert len(set(offered)) == len(offered) >= (6 if language in QUESTIONS else 1)
    for said in offered:
        assert ("{label}" in said) != ("{adjective}" in said)
        assert said.endswith("\n\n{prompt}") if kind == "stems" else "{prompt}" not in said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_basic_emotion_has_an_adjective_where_instructions_ask_for_one(language):
    adjectives = load_adjectives(language)
    assert set(adjectives) == set(BASIC)
    offered = load_instructions(language)
    assert len(worded(offered, "joy", "joy", adjectives)) == len(offered)
    assert not any("{" in said for said in worded(offered, "joy", "joy", adjectives))
    # Without an adjective the others are left.
    left = worded(offered, "pride", "pride", adjectives)
    assert 4 <= len(left) < len(offered)
    assert all("pride" in said for said in left)


def test_a_language_without_an_instruction_is_named(tmp_path):
    with pytest.raises(EmospaceError, match=r"no instruction.*en, es, zh"):
        load_instructions("fi")
    path = _file(tmp_path, language="xx", extra='[stems]\ninstruction = "{label}: {prompt}"\n')
    assert load_instructions("xx", path, "stems") == ("{label}: {prompt}",)
    path = _file(tmp_path, language="xx", extra='[stems]\ninstructions = ["{label}: {prompt}", "b"]\n')
    assert load_instructions("xx", path, "stems") == ("{label}: {prompt}", "b")
    assert load_instructions("en", _file(tmp_path)) == load_instructions("en")
    with pytest.raises(EmospaceError, match="no instruction"):
        load_instructions("xx", _file(tmp_path, language="xx"))


def test_adjectives_of_ones_own_come_before_those_of_the_language(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('adjectives = { joy = "glad", pride = "proud" }\n')
    assert load_adjectives("en", path) == load_adjectives("en") | {"joy": "glad", "pride": "proud"}
    assert load_adjectives("xx", path) == {"joy": "glad", "pride": "proud"}
    assert load_adjectives("fi") == {}


def test_a_chat_model_is_asked_and_a_base_model_continues(tmp_path):
    assert (prompt_kind(CHAT), prompt_kind(BASE)) == get_args(PromptKind)
    with_stems = _file(tmp_path, stems=True)
    assert (prompt_kind(CHAT, with_stems), prompt_kind(BASE, with_stems)) == get_args(PromptKind)
    assert load_prompts("en", "calibration", with_stems)[0] == "calibration 0"
    assert load_prompts("en", "evaluation", with_stems, "stems")[-1] == "stem evaluation 39"
    # A file without stems is what its author wants continued.
    assert prompt_kind(BASE, _file(tmp_path)) == "questions"


def test_a_language_with_stems_alone_has_no_questions(tmp_path):
    assert len(load_prompts("de-AT", "evaluation", kind="stems")) == 48
    with pytest.raises(EmospaceError, match=r"no prompts for it .questions: en, es, zh."):
        load_prompts("de", "evaluation")
    with pytest.raises(EmospaceError, match="stems"):
        load_prompts("en", "calibration", _file(tmp_path, extra="stems = 3\n"), "stems")
    with pytest.raises(EmospaceError, match=r"stems, calibration: it has 3 prompts"):
        load_prompts("en", "calibration", _file(tmp_path, calibration=3, stems=True), "stems")


def test_region_is_read_as_its_language():
    assert load_prompts("zh-Hant", "calibration") == load_prompts("zh", "calibration")


@pytest.mark.parametrize(
    ("language", "part", "named"), [("xx", "calibration", "xx"), ("en", "evaluate", "evaluation")]
)
def test_unknown_language_or_part(language, part, named):
    with pytest.raises(EmospaceError, match=named):
        load_prompts(language, part)


def test_own_file(tmp_path):
    path = _file(tmp_path, language="xx")
    assert load_prompts("xx", "calibration", path)[0] == "calibration 0"
    assert len(load_prompts("xx", "evaluation", path)) == FEWEST["evaluation"]
    with pytest.raises(EmospaceError, match="at least 10"):
        load_factual("xx", path)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"calibration": 3}, "at least 20"),
        ({"language": "de"}, "in 'de'"),
        ({"extra": "["}, "not valid TOML"),
        ({"extra": "[[factual]]\nanswers = ['a']\n"}, "prompt"),
        ({"extra": "[[factual]]\nprompt = 'q'\nanswers = []\n"}, "answers"),
    ],
)
def test_own_file_that_cannot_be_used(tmp_path, settings, why):
    path = _file(tmp_path, **settings)
    with pytest.raises(EmospaceError, match=why):
        load_prompts("en", "calibration", path)


def test_own_file_that_tunes_on_what_it_reports(tmp_path):
    path = _file(tmp_path)
    path.write_text(path.read_text().replace("'evaluation 7'", "'calibration 7'"))
    for part in ("calibration", "evaluation"):
        with pytest.raises(EmospaceError, match="and in evaluation"):
            load_prompts("en", part, path)


def test_own_file_with_a_prompt_twice_or_absent(tmp_path):
    path = _file(tmp_path)
    path.write_text(path.read_text().replace("'evaluation 7'", "'evaluation 8'"))
    with pytest.raises(EmospaceError, match="twice"):
        load_prompts("en", "evaluation", path)
    with pytest.raises(EmospaceError, match="cannot be read"):
        load_prompts("en", "evaluation", tmp_path / "none.toml")
