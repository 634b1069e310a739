"""Prompting at its best: which instruction is taken, by which judge, on which prompts."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import tiny
from emospace.errors import EmospaceError
from emospace.evaluation import instructions
from emospace.evaluation.answers import Answers
from emospace.evaluation.instructions import best_instructions
from emospace.evaluation.prompts import load_prompts
from emospace.judges import BASIC_SEVEN, Judgement
from emospace.specs import Sampling, SteeringSpec

OFFERED = ("Say it with {label}.", "You are {adjective}.", "Show {label}!")
SHARES = {"joy": (0.2, 0.9, 0.5), "sadness": (0.4, 0.1, 0.4)}
"""Share of answers judged as the target, by instruction."""
RATIOS = {"joy": (1.0, 1.1, 1.0), "sadness": (4.0, 1.0, 1.0)}


class Planted:
    """A judge of answers that name their emotion."""

    name = "planted"

    def check_language(self, language):
        if language != "en":
            raise EmospaceError(f"language '{language}'", "no held-out score", "Choose en.")

    def judge(self, texts, language="en"):
        seven = np.full((len(texts), 7), 0.05)
        for row, text in zip(seven, texts, strict=True):
            row[BASIC_SEVEN.index(text)] = 0.7
        return Judgement(BASIC_SEVEN, seven, seven)


@pytest.fixture
def spec(tmp_path):
    return SteeringSpec(
        instructions=OFFERED, instruction_prompts=10, sampling=Sampling(n_tokens=6), out=tmp_path / "run"
    )


@pytest.fixture
def asked(monkeypatch):
    """Return what was asked: cells and prompts; answers are as `SHARES` and `RATIOS` have them."""
    given = []

    def planted(spec, model, cells, prompts):
        given.append((list(cells), list(prompts)))
        answers = []
        for cell in cells:
            n, share, ratio = len(prompts), 0.0, 1.0
            if cell.emotion:
                share, ratio = SHARES[cell.emotion][cell.draw], RATIOS[cell.emotion][cell.draw]
            n_loud = round(share * n)
            texts = [cell.emotion or "neutral"] * n_loud + ["neutral"] * (n - n_loud)
            answers.append(Answers(texts, [1] * n, [True] * n, [10.0 * ratio] * n, 0, []))
        return answers

    monkeypatch.setattr(instructions, "answer", planted)
    monkeypatch.setattr(instructions, "load_judge", lambda name: Planted())
    return given


def test_the_best_is_chosen_on_calibration_prompts(spec, asked):
    chosen = best_instructions(spec, tiny("llama"), ("joy", "sadness"), "planted", {"sadness": "sorrow"})
    # As loud but four times as perplexing is worse.
    assert chosen.instructions == {"joy": "You are joyful.", "sadness": "Show sorrow!"}
    ((cells, prompts),) = asked
    assert tuple(prompts) == load_prompts("en", "calibration", kind="stems")[:10]
    assert [cell.kind for cell in cells] == ["none"] + ["prompt"] * 6
    table = chosen.table.set_index(["emotion", "instruction"])
    assert len(table) == 6
    assert table.loc[("joy", "You are joyful."), "rate"] == 0.9
    assert table.loc[("sadness", "Say it with sorrow."), "perplexity_ratio"] == pytest.approx(4.0)
    assert set(table["judge"]) == {"planted"}
    assert table["chosen"].sum() == 2
    assert chosen.reason is None


def test_one_instruction_needs_no_choice(spec, asked):
    single = spec.model_copy(update={"instructions": ("Be {label}.",)})
    assert best_instructions(single, tiny("llama"), ("joy",), "planted").instructions == {"joy": "Be joy."}
    assert not asked


def test_where_the_judge_knows_no_such_language_the_first_is_taken_and_said(spec, asked):
    chinese = spec.model_copy(update={"language": "zh"})
    chosen = best_instructions(chinese, tiny("llama"), ("joy",), "planted")
    assert chosen.instructions == {"joy": "Say it with joy."}
    assert "no held-out score" in chosen.reason
    assert not asked


def test_a_choice_over_the_cap_is_refused_before_anything_is_generated(spec, asked):
    with pytest.raises(EmospaceError, match="at most 100 are allowed"):
        best_instructions(spec.model_copy(update={"token_cap": 100}), tiny("llama"), ("joy",), "planted")
    assert not asked
