"""One batch for many: rows join and leave, each with its own tone, and each says what it says alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from emospace.activations.capture import is_changed
from emospace.generation import Sampling
from emospace.generation.loop import Answer, Batch
from emospace.server.engine import Busy, Stopped, WaitedTooLong
from emospace.server.requests import describe_plan, plan_of, text_ids
from emospace.server.schemas import Tone
from served import PROMPTS, alone, make_engine

ASKED = (
    {},
    {"emotion": {"joy": 1.0}},
    {"emotion": {"sadness": 0.7, "fear": 0.3}},
    {"emotion": {"valence": 0.8, "arousal": -0.3}},
    {"emotion": {"joy": 1.0}, "mode": "constant", "dose": 1.5},
    {"emotion": {"fear": 1.0}, "scope": "prompt"},
    {"emotion": {"calmness": 1.0}, "scope": "response", "dose": -1.0},
    {"emotion": {"sadness": 1.0}, "scope": "response"},
)


def make_answer(engine, prompt, tone=None, emit=None, index=0, **sampling):
    events = []
    answer = Answer(
        text_ids(engine.model, prompt, 1000),
        Sampling(**{"n_tokens": 12, "temperature": 0, "top_k": 0, **sampling}),
        plan_of(engine.model, engine.bank, Tone(**(tone or {}))),
        index,
        emit or events.append,
    )
    answer.events = events
    return answer


def said(answer) -> str:
    assert answer.finished
    return "".join(event.text for event in answer.events)


def run(batch, arrivals):
    """Let answers join at the step they arrive, until all are done."""
    step, waiting = 0, sorted(arrivals, key=lambda pair: pair[0])
    while waiting or batch.rows:
        here = [answer for when, answer in waiting if when <= step]
        waiting = [pair for pair in waiting if pair[0] > step]
        if here:
            batch.join(here)
            batch.leave()
        if batch.rows:
            batch.step()
            batch.leave()
        step += 1


@pytest.mark.parametrize("family", ("llama", "gpt2", "gemma2", "gemma3", "mistral", "bloom", "falcon_alibi"))
def test_rows_that_come_and_go_say_what_they_say_alone(family):
    engine = make_engine(family)
    answers, expected = [], []
    for number, tone in enumerate(ASKED):
        prompt, n = PROMPTS[number % len(PROMPTS)], 4 + 3 * (number % 4)
        answers.append(make_answer(engine, prompt, tone, n_tokens=n))
        expected.append(alone(engine, prompt, n_tokens=n, **tone))
    assert len(set(expected)) > len(ASKED) // 2  # the tones tell apart
    run(Batch(engine.model), [(number // 2 * 2, answer) for number, answer in enumerate(answers)])
    assert [said(answer) for answer in answers] == expected


def test_sampled_rows_draw_the_noise_of_their_own_seed():
    engine = make_engine()
    settings = [
        {"temperature": 0.9, "seed": 3, "top_k": 20},
        {"temperature": 0.9, "seed": 4, "top_k": 20},
        {"temperature": 1.2, "seed": 3, "top_p": 0.8},
        {"temperature": 0},
    ]
    answers = [make_answer(engine, PROMPTS[0], {"emotion": {"joy": 1.0}}, **setting) for setting in settings]
    run(Batch(engine.model), [(0, answer) for answer in answers])
    expected = [alone(engine, PROMPTS[0], {"joy": 1.0}, **setting) for setting in settings]
    assert [said(answer) for answer in answers] == expected
    assert len(set(expected)) == 4


def test_applications_are_those_of_the_single_run():
    from emospace.generation import generate

    engine = make_engine()
    for tone in ({"emotion": {"joy": 1.0}}, {"emotion": {"joy": 1.0}, "scope": "response"}):
        answer = make_answer(engine, PROMPTS[1], tone)
        run(Batch(engine.model), [(0, answer), (0, make_answer(engine, PROMPTS[0]))])
        vector = engine.bank.vector("joy")
        single = generate(
            engine.model,
            [PROMPTS[1]],
            vector,
            scope=tone.get("scope"),
            sampling=Sampling(n_tokens=12, temperature=0),
        )
        assert answer.applications == single.applications > 0


def test_a_row_that_leaves_takes_its_padding_with_it():
    engine = make_engine()
    batch = Batch(engine.model)
    long, short = (
        make_answer(engine, PROMPTS[1] * 3, n_tokens=2),
        make_answer(engine, PROMPTS[3], n_tokens=40),
    )
    batch.join([long, short])
    batch.step()
    wide = batch._cache.get_seq_length()
    assert [row.n_tokens for row in batch.leave()] == [2]
    assert batch._cache.get_seq_length() == len(short.prompt) + 1 < wide
    assert batch.rows == [short]


def test_a_dose_beyond_all_measure_hurts_no_other_row():
    engine = make_engine()
    wild = make_answer(engine, PROMPTS[0], {"emotion": {"joy": 1.0}, "dose": 10.0}, temperature=1.0)
    wild.plan = replace(wild.plan, dose=float("inf"))
    calm = make_answer(engine, PROMPTS[0])
    run(Batch(engine.model), [(0, wild), (0, calm)])
    assert said(calm) == alone(engine, PROMPTS[0])


@pytest.fixture
def engine():
    made = make_engine(rows=2, queue=3)
    made.start()
    yield made
    made.stop()


class Waiter:
    """Collects events from the engine's thread."""

    def __init__(self):
        self.events, self.done = [], threading.Event()

    def __call__(self, event):
        self.events.append(event)
        if event.finish or event.error:
            self.done.set()


def held(engine):
    """Make the engine's thread wait inside a call, and return what lets it go on."""
    entered, release = threading.Event(), threading.Event()
    engine.call("holder", lambda: (entered.set(), release.wait(30)))
    assert entered.wait(30)
    return release


def test_a_full_queue_refuses_all_of_a_request_and_says_when_to_come_back(engine):
    release, waiters = held(engine), [Waiter() for _ in range(3)]
    engine.submit("a", [make_answer(engine, PROMPTS[0], emit=waiter, n_tokens=3) for waiter in waiters[:2]])
    with pytest.raises(Busy) as refused:
        engine.submit("b", [make_answer(engine, PROMPTS[0], n_tokens=3) for _ in range(2)])
    assert refused.value.retry_after >= 1
    engine.submit("b", [make_answer(engine, PROMPTS[0], emit=waiters[2], n_tokens=3)])
    release.set()
    assert all(waiter.done.wait(30) for waiter in waiters)
    assert {waiter.events[-1].finish for waiter in waiters} == {"length"}


def test_who_leaves_the_queue_makes_room_and_is_never_run(engine):
    release, late = held(engine), Waiter()
    gone = [make_answer(engine, PROMPTS[0]) for _ in range(3)]
    engine.submit("a", gone)
    for answer in gone:
        answer.cancel()
    release.set()
    engine.call("a", lambda: None).result(30)
    engine.submit("a", [make_answer(engine, PROMPTS[0], emit=late)])
    assert late.done.wait(30)
    assert [answer.events for answer in gone] == [[], [], []]


def test_who_waits_beyond_the_deadline_is_told(engine):
    release, late = held(engine), Waiter()
    answer = make_answer(engine, PROMPTS[0], emit=late)
    answer.deadline = 0.0
    engine.submit("a", [answer])
    release.set()
    assert late.done.wait(30)
    assert isinstance(late.events[0].error, WaitedTooLong)


def test_an_answer_whose_time_is_over_ends_with_what_it_has(engine):
    waiter = Waiter()
    answer = make_answer(engine, PROMPTS[0], emit=waiter, n_tokens=60)
    engine._batch.join([answer])
    answer.deadline = 0.0
    engine.call("a", lambda: None).result(30)
    assert waiter.done.wait(30)
    assert waiter.events[-1].finish == "length"
    assert answer.n_tokens < 60


def test_a_step_that_fails_fails_its_rows_and_no_later_ones(engine, monkeypatch):
    first, second = Waiter(), Waiter()
    broken = engine._batch.join

    def join(answers):
        monkeypatch.setattr(engine._batch, "join", broken)
        raise MemoryError("no room")

    monkeypatch.setattr(engine._batch, "join", join)
    engine.submit("a", [make_answer(engine, PROMPTS[0], emit=first)])
    assert first.done.wait(30)
    assert isinstance(first.events[0].error, MemoryError)
    engine.submit("a", [make_answer(engine, PROMPTS[0], emit=second)])
    assert second.done.wait(30)
    assert "".join(event.text for event in second.events) == alone(engine, PROMPTS[0])


@pytest.mark.parametrize("prompts", [PROMPTS[:2], PROMPTS[1::-1]])
@pytest.mark.parametrize("good", range(7))
def test_rows_under_way_go_on_where_others_cannot_be_put_beside_them(monkeypatch, prompts, good):
    """`good` concatenations succeed before memory runs out: one of masks, then keys and values of three layers."""
    import torch

    engine, cat = make_engine(), torch.cat
    batch, left = Batch(engine.model), iter(range(good))
    merge = batch._merge

    def scarce(*given, **options):
        if next(left, None) is None:
            raise torch.OutOfMemoryError("no room")
        return cat(*given, **options)

    def merge_in_scarcity(*given):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "cat", scarce)
            merge(*given)

    monkeypatch.setattr(batch, "_merge", merge_in_scarcity)
    first, second = (make_answer(engine, prompt) for prompt in prompts)
    batch.join([first])
    batch.step()
    with pytest.raises(torch.OutOfMemoryError):
        batch.join([second])
    assert batch.rows == [first]
    monkeypatch.setattr(batch, "_merge", merge)
    third = make_answer(engine, PROMPTS[4])
    run(batch, [(2, third)])
    assert [said(answer) for answer in (first, third)] == [
        alone(engine, prompts[0]),
        alone(engine, PROMPTS[4]),
    ]


def test_stopping_fails_what_waits_and_refuses_what_comes():
    engine = make_engine()
    with pytest.raises(Stopped):
        engine.submit("a", [make_answer(engine, PROMPTS[0])])
    engine.start()
    release, waiter = held(engine), Waiter()
    engine.submit("a", [make_answer(engine, PROMPTS[0], emit=waiter)])
    stopping = threading.Thread(target=engine.stop)
    stopping.start()
    release.set()
    stopping.join(30)
    assert waiter.done.wait(30)
    assert waiter.events[-1].error is not None or waiter.events[-1].finish
    assert not engine.running


def test_stopping_waits_no_longer_than_it_is_told():
    engine = make_engine()
    engine.start()
    entered, release = threading.Event(), threading.Event()
    engine.call("reads", lambda: (entered.set(), release.wait(60)))
    assert entered.wait(60)
    engine.stop(0.05)
    assert engine.running
    release.set()
    engine.stop()
    assert not engine.running


def test_the_model_is_left_without_hooks():
    engine = make_engine()
    run(Batch(engine.model), [(0, make_answer(engine, PROMPTS[0], {"emotion": {"joy": 1.0}}))])
    assert not is_changed(engine.model, range(engine.model.n_blocks + 1))


def test_the_doses_of_a_tone_keep_to_the_vectors_own_formula():
    engine = make_engine()
    request = Tone(emotion={"joy": 1.0}, dose=0.25, scope="response")
    plan = plan_of(engine.model, engine.bank, request)
    description = describe_plan(plan)
    assert (plan.dose, plan.scope, plan.op) == (0.25, "response", "clamp")
    assert (description.calibrated_dose, description.low, description.high, description.beyond_range) == (
        1.2,
        0.4,
        2.0,
        False,
    )
