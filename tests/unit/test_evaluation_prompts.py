"""Prompts: enough of them, neutral, and none that is tuned on and reported on."""

from __future__ import annotations

import re

import pytest

from emospace.concepts import load_concepts
from emospace.errors import EmospaceError
from emospace.evaluation.prompts import FEWEST, load_prompts, prompt_languages
from emospace.lexicon import same_family

LANGUAGES = ("en", "es", "zh")


def _file(tmp_path, *, language="en", calibration=20, evaluation=40, extra=""):
    lines = [f'language = "{language}"']
    for part, n in (("calibration", calibration), ("evaluation", evaluation)):
        lines.append(f"{part} = [{', '.join(repr(f'{part} {i}') for i in range(n))}]")
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")
    return path


def test_bundled_languages():
    assert set(LANGUAGES) <= set(prompt_languages())


@pytest.mark.parametrize("language", LANGUAGES)
def test_parts_are_large_enough_and_apart(language):
    calibration = load_prompts(language, "calibration")
    evaluation = load_prompts(language, "evaluation")
    factual = load_prompts(language, "factual")
    assert (len(calibration), len(evaluation), len(factual)) == (24, 48, 12)
    prompts = [*calibration, *evaluation, *(question.prompt for question in factual)]
    assert len(set(prompts)) == len(prompts)
    assert all(prompt == prompt.strip() for prompt in prompts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_neutral_prompt_holds_a_concept_word(language):
    concepts = load_concepts().words(language)
    for part in ("calibration", "evaluation"):
        for prompt in load_prompts(language, part):
            if language == "zh":
                held = [word for word in concepts if word in prompt]
            else:
                words = re.findall(r"\w+", prompt)
                held = [
                    w for w, hit in zip(words, same_family(words, concepts, language), strict=True) if hit
                ]
            assert not held, (prompt, held)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_question_gives_its_answer_away(language):
    for question in load_prompts(language, "factual"):
        for answer in question.answers:
            pattern = answer if language == "zh" else rf"\b{re.escape(answer)}\b"
            assert not re.search(pattern, question.prompt, re.IGNORECASE), question


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
        load_prompts("xx", "factual", path)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"calibration": 3}, "at least 20"),
        ({"language": "de"}, "in 'de'"),
        ({"extra": "["}, "not TOML"),
        ({"extra": "[[factual]]\nanswers = ['a']\n"}, "no prompt"),
        ({"extra": "[[factual]]\nprompt = 'q'\nanswers = []\n"}, "no answer"),
    ],
)
def test_own_file_that_cannot_be_used(tmp_path, settings, why):
    path = _file(tmp_path, **settings)
    part = "factual" if "factual" in settings.get("extra", "") else "calibration"
    with pytest.raises(EmospaceError, match=why):
        load_prompts("en", part, path)


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
