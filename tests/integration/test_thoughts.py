"""Reasoning models: what is steered of a thought and of the answer after it."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from conftest import tiny
from emospace.generation import Sampling, generate, loop
from emospace.generation.opening import expects_thought
from emospace.models import wrap_model
from emospace.reading import make_gate
from emospace.steering import plan_steering
from served import planted_bank, planted_reader

ASKED = "{% for message in messages %}{{ message.content }} {% endfor %}A: "
OPENED, CLOSED, LEFT = f"{ASKED}<think>\n", f"{ASKED}<think>\n\n</think>\n\n", f"{ASKED}{{# </think> #}}"
PROMPT, THOUGHT, ANSWER = "The word is", "grief and rain.", "She laughed with joy"
SAMPLING = Sampling(n_tokens=60, temperature=0)


def model_of(template):
    model = tiny("llama")
    tokenizer = deepcopy(model.tokenizer)
    tokenizer.chat_template = template
    return wrap_model(model.model, tokenizer, name=model.name)


@pytest.fixture
def say(monkeypatch):
    """Generate an answer whose text is given, whatever the model would say."""

    def run(model, text, **given):
        ids = [*model.tokenizer(text, add_special_tokens=False)["input_ids"], 2]

        def script(state, _logits, answers):
            tokens = [ids[min(answer.n_tokens, len(ids) - 1)] for answer in answers]
            state._tokens = torch.tensor(tokens)
            return tokens

        monkeypatch.setattr(loop._OnDevice, "draw", script)
        plan = plan_steering(model, planted_bank(model).vector("joy"), **given)
        return generate(model, [PROMPT], plan, sampling=SAMPLING)

    return run


def n_tokens(model, text):
    return len(model.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize(("template", "mark"), [(OPENED, ""), (LEFT, "<think>")], ids=["opened", "left"])
def test_the_answer_alone_is_steered_where_the_thought_is_left_out(say, template, mark):
    model, before = model_of(template), f"{mark}{THOUGHT}</think>"
    generated = say(model, f"{before}{ANSWER}", thoughts=False)
    assert (generated.reasoning, generated.texts) == ([THOUGHT], [ANSWER])
    n_thought, n_all = n_tokens(model, before), n_tokens(model, f"{before}{ANSWER}")
    np.testing.assert_array_equal(generated.steered[0], np.arange(n_all) >= n_thought)
    # The end of the mark and the answer's tokens are steered where they are run, at both layers.
    assert generated.applications == 2 * (n_all - n_thought + 1)


def test_thoughts_are_steered_like_all_else_unless_left_out(say):
    model = model_of(OPENED)
    generated = say(model, f"{THOUGHT}</think>{ANSWER}")
    assert generated.steered[0].all()
    n_prompt = len(model.prompt_ids([{"role": "user", "content": PROMPT}]))
    n_answer = n_tokens(model, f"{THOUGHT}</think>{ANSWER}")
    assert generated.applications == 2 * (n_prompt - 1 + n_answer)


@pytest.mark.parametrize("template", [CLOSED, ASKED, None], ids=["closed", "none", "base"])
def test_where_no_thought_comes_all_is_steered_either_way(say, template):
    model = model_of(template)
    assert not expects_thought(model, model.prompt_ids([{"role": "user", "content": PROMPT}]))
    with_thoughts, without = (say(model, ANSWER, thoughts=thoughts) for thoughts in (True, False))
    assert with_thoughts.applications == without.applications
    assert without.steered[0].all()


def test_an_answer_without_the_thought_that_was_expected_is_steered_from_its_first_token(say):
    generated = say(model_of(LEFT), ANSWER, thoughts=False)
    assert generated.steered[0].tolist() == [False, *[True] * (len(generated.tokens[0]) - 1)]


def test_a_thought_that_never_ends_is_left_as_it_is(say):
    generated = say(model_of(OPENED), THOUGHT, thoughts=False)
    assert (generated.applications, generated.texts) == (0, [""])


def test_a_gate_reads_the_thought_and_the_answer_waits_for_its_end(say):
    model = model_of(OPENED)
    reader = planted_reader(model)
    low, high = reader.ranges["joy"]
    gate = make_gate(reader, f"joy < {high - 1e-3}")
    assert low < high
    generated = say(model, f"{THOUGHT}</think>{ANSWER}", thoughts=False, gate=gate)
    n_thought = n_tokens(model, f"{THOUGHT}</think>")
    assert generated.gates[0].opened_after is not None
    assert not generated.steered[0][:n_thought].any()
    assert generated.steered[0][n_thought:].all()
