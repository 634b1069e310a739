"""Candidates compared block by block: each goes on from the best, as if it had been the only one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_guidance import PROMPTS, vector_for

from conftest import tiny
from emospace.errors import InvalidInput
from emospace.generation import Sampling, candidates as chosen, generate, loop, stream
from emospace.generation.answering import Answer
from emospace.generation.candidates import Candidates, begin_answer
from emospace.generation.decoding import decode
from emospace.generation.loop import Batch
from emospace.specs import Guidance
from emospace.steering import plan_steering

BLOCK, N = 4, 3
SAMPLING = Sampling(n_tokens=14, temperature=1.0, top_k=0, least_tokens=14, seed=5)
GUIDANCE = Guidance(weight=2, plausible=0.001, cost=0, candidates=N, block=BLOCK)


def likelihood(group: Candidates, answer: Answer) -> float:
    """Score by likelihood alone, which needs no reading of a block's last token."""
    return float(np.mean(answer.unsteered[group.n_shared :]))


def reference(model, prompt, plan, index, sampling):
    """Return the tokens of an answer by blocks, each drawn by fresh answers to the prompt and all before it."""
    tokens: list[int] = []
    while len(tokens) < sampling.n_tokens:
        n = min(BLOCK, sampling.n_tokens - len(tokens))
        rivals = []
        for branch in range(N):
            rest = sampling.model_copy(update={"n_tokens": n, "least_tokens": n})
            rival = Answer([*model.text_ids(prompt), *tokens], rest, plan, index, branch=branch)
            rival.uniforms = Answer([1], sampling, plan, index, branch=branch).uniforms[len(tokens) :][:n]
            rivals.append(rival)
        for _ in loop.run(model, rivals):
            pass
        tokens += max(rivals, key=lambda rival: np.mean(rival.unsteered)).tokens
    return tokens


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_a_block_is_drawn_as_after_the_best_text_before_it(family, monkeypatch):
    monkeypatch.setattr(Candidates, "score", likelihood)
    model = tiny(family)
    plan = plan_steering(model, vector_for(model), 1.0, guidance=GUIDANCE)
    made = generate(model, PROMPTS, plan, sampling=SAMPLING)
    for index, (prompt, tokens) in enumerate(zip(PROMPTS, made.tokens, strict=True)):
        assert tokens.tolist() == reference(model, prompt, plan, index, SAMPLING)


def test_answers_are_the_same_in_any_batch_and_streamed(llama):
    asked = {"dose": 1.0, "sampling": SAMPLING, "guidance": GUIDANCE}
    whole = generate(llama, PROMPTS, vector_for(llama), **asked)
    alone = generate(llama, PROMPTS, vector_for(llama), batch_size=1, **asked)
    assert whole.texts == alone.texts
    pieces = list(stream(llama, PROMPTS[0], vector_for(llama), **asked))
    assert "".join(pieces) == whole.texts[0]
    assert len(pieces) > 2


@pytest.mark.parametrize("calibrated", [None, Guidance(weight=2, candidates=1, block=0)])
def test_a_block_with_a_single_candidate_is_refused(llama, calibrated):
    vector = replace(vector_for(llama), guidance=calibrated)
    for asked in (Guidance(block=4), Guidance(block=4, candidates=1)):
        with pytest.raises(InvalidInput) as raised:
            plan_steering(llama, vector, 1.0, guidance=asked)
        assert "block=4" in raised.value.what


def test_a_block_goes_with_the_candidates_of_the_vector(llama):
    vector = replace(vector_for(llama), guidance=GUIDANCE)
    assert plan_steering(llama, vector, 1.0, guidance=Guidance(block=2)).guidance.block == 2
    single = plan_steering(llama, vector, 1.0, guidance=Guidance(candidates=1)).guidance
    assert (single.candidates, single.block) == (1, 0)
    assert single.over(vector.guidance) == single


def test_figures_follow_the_text_that_goes_on(llama):
    made = generate(llama, PROMPTS, vector_for(llama), dose=1.0, sampling=SAMPLING, guidance=GUIDANCE)
    for tokens, shifts in zip(made.tokens, made.shifts, strict=True):
        assert len(tokens) == len(shifts) == SAMPLING.n_tokens
        assert np.isfinite(shifts).all()
    assert made.applications == llama_applications(llama, made)


def llama_applications(model, made) -> int:
    plan = plan_steering(model, vector_for(model), 1.0, guidance=GUIDANCE)
    return sum(
        plan.expected(len(model.text_ids(prompt)), len(tokens) - 1)
        for prompt, tokens in zip(PROMPTS, made.tokens, strict=True)
    )


def test_an_ended_candidate_ends_the_answer_only_where_it_is_the_best(llama, monkeypatch):
    ends = list(range(0, llama.model.config.vocab_size, 6))
    monkeypatch.setattr(loop, "end_ids", lambda _model: ends)
    sampling = SAMPLING.model_copy(update={"least_tokens": 0})
    lengths = {}
    for sign in (1, -1):
        monkeypatch.setattr(Candidates, "score", lambda _group, answer, sign=sign: sign * answer.n_tokens)
        made = generate(llama, PROMPTS, vector_for(llama), dose=1.0, sampling=sampling, guidance=GUIDANCE)
        lengths[sign] = [len(tokens) for tokens in made.tokens]
        assert made.stopped.tolist() == [n < sampling.n_tokens for n in lengths[sign]]
    assert max(lengths[1]) > BLOCK
    assert sum(lengths[-1]) < sum(lengths[1])


def test_a_choice_weighs_the_tone_against_what_it_costs():
    answers = [Answer([1], SAMPLING, index=0, branch=branch) for branch in range(2)]
    for answer, cosine, nats in zip(answers, (0.20, 0.18), (-3.0, -1.0), strict=True):
        answer.readings += [cosine] * 4
        answer.unsteered += [nats] * 4
        answer.tokens += [1, 2, 3, 4]
    group = Candidates(answers, block=4)
    assert group.is_due
    assert group.score(answers[0]) == pytest.approx(0.20 - 3 * chosen.COSINE_OF_NAT)
    assert group.choose() is answers[1]
    assert not group.is_due


@pytest.mark.parametrize(
    ("tokens", "start", "expected"),
    [
        ([1, 2, 3, 4], 0, 0.0),
        ([1, 2, 1, 2, 1, 2], 3, 1.0),
        ([1, 2, 1, 2], 0, 1 / 3),
        ([1, 1, 1], 0, 0.5),
        ([], 0, 0.0),
    ],
)
def test_pairs_that_were_there_before_are_repeats(tokens, start, expected):
    assert chosen.repeated(tokens, start) == pytest.approx(expected)


def test_a_refrain_costs():
    fresh, refrain = (Answer([1], SAMPLING, branch=branch) for branch in range(2))
    fresh.tokens += [1, 2, 3, 4, 5]
    refrain.tokens += [1, 2, 1, 2, 1]
    group = Candidates([refrain, fresh], block=5)
    assert group.best is fresh


def test_an_answer_without_rivals_is_compared_with_nothing(llama):
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=GUIDANCE)
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    assert begin_answer([1], SAMPLING, None).group is None
    assert begin_answer([1], greedy, plan).group is None
    assert len(begin_answer([1], SAMPLING, plan).candidates) == N


@pytest.mark.parametrize("block", [0, 1, BLOCK])
def test_each_token_is_said_once_and_the_end_too(llama, block):
    events = []
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=GUIDANCE.model_copy(update={"block": block}))
    answers = [
        begin_answer(llama.text_ids(prompt), SAMPLING, plan, index) for index, prompt in enumerate(PROMPTS)
    ]
    answers[0].emit = events.append
    for _ in loop.run(llama, answers):
        pass
    assert "".join(event.text for event in events) == decode(llama, answers[0].tokens)
    assert [event.finish for event in events if event.finish] == ["length"]
    assert sum(event.shift for event in events) == pytest.approx(sum(answers[0].shifts), abs=1e-4)
    assert len(events) > 2


def test_a_stop_ends_all_candidates(llama):
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=GUIDANCE)
    whole = generate(llama, PROMPTS[:1], plan, sampling=SAMPLING).texts[0]
    stop = whole[6:8]
    events = []
    answer = begin_answer(llama.text_ids(PROMPTS[0]), SAMPLING, plan, emit=events.append, stops=[stop])
    for _ in loop.run(llama, [answer]):
        pass
    assert "".join(event.text for event in events) == whole[: whole.index(stop)]
    assert [event.finish for event in events if event.finish] == ["stop"]
    assert answer.over


def test_candidates_join_and_leave_a_batch_under_way(llama):
    """As on a server: another answer is half way when they come, and goes on when they have left."""
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=GUIDANCE)
    expected = generate(llama, PROMPTS[:2], plan, sampling=SAMPLING)
    sampling = SAMPLING.model_copy(update={"n_tokens": 40, "least_tokens": 40})
    long = Answer(llama.text_ids(PROMPTS[2]), sampling)
    batch = Batch(llama)
    batch.join([long])
    for _ in range(5):
        batch.step()
    answers = [
        begin_answer(llama.text_ids(prompt), SAMPLING, plan, index)
        for index, prompt in enumerate(PROMPTS[:2])
    ]
    batch.join(answers)
    while not long.over:
        batch.step()
        batch.leave()
    assert [answer.tokens for answer in answers] == [tokens.tolist() for tokens in expected.tokens]
    alone = generate(llama, [PROMPTS[2]], sampling=sampling)
    assert decode(llama, long.tokens) == alone.texts[0]


def test_candidates_that_are_given_up_free_their_rows(llama):
    plan = plan_steering(llama, vector_for(llama), 1.0, guidance=GUIDANCE)
    answer = begin_answer(llama.text_ids(PROMPTS[0]), SAMPLING, plan)
    batch = Batch(llama)
    batch.join([answer])
    assert len(batch.rows) == N
    answer.cancel()
    assert len(batch.leave()) == N
    assert not batch.rows
