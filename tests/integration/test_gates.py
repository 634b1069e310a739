"""Conditional steering: a gate that reads the prompt and what is said so far, per answer, and opens once."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from test_server_api import HERE
from typer.testing import CliRunner

from conftest import make_hf_model, make_tokenizer, tiny
from emospace.cli import app
from emospace.errors import EmospaceError, InvalidInput
from emospace.generation import Sampling, generate, perplexity, stream
from emospace.generation.forward import end_ids
from emospace.models import turns_of, wrap_model
from emospace.reading import make_gate
from emospace.server import create_app
from emospace.specs import Condition, Guidance, condition_of
from emospace.steering import Steering, plan_steering, steer
from served import PROMPTS, make_engine, planted_bank, planted_reader

GREEDY = Sampling(n_tokens=10, temperature=0)
SAMPLED = Sampling(n_tokens=10, seed=3)
GUIDED = Guidance(weight=3, plausible=0.05)


@pytest.fixture(scope="module")
def model():
    return tiny("llama")


@pytest.fixture(scope="module")
def reader(model):
    return planted_reader(model)


@pytest.fixture(scope="module")
def joy(model):
    return planted_bank(model).vector("joy")


def readings_of(reader, prompt, answer=()):
    """What a gate on joy reads of a prompt and an answer, by a pass over all of it, without a cache."""
    model = reader.model
    ids = [*model.prompt_ids(turns_of(prompt)), *map(int, answer)]
    with torch.inference_mode():
        states = model.model(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states[
            reader.weights.layer
        ][0]
    special = set(model.tokenizer.all_special_ids)
    kept = [place for place, token in enumerate(ids) if place and token not in special]
    scores = reader.weights.token_scores(states[kept].float().numpy())
    return float(reader.weights.text_scores(scores)[0])


def gate_at(reader, threshold, *, above=True, name="joy"):
    """A gate whose threshold is held against no range."""
    low, high = reader.ranges[name]
    gate = make_gate(reader, f"{name} > {(low + high) / 2}")
    return replace(gate, condition=Condition(name, above, threshold))


def plan(model, vector, **given):
    return plan_steering(model, vector, **given)


def without_cache(model, vector, prompt, begins, n=GREEDY.n_tokens):
    """Greedy tokens, steered from the answer's token `begins` on, each by a pass over everything before it."""
    ids = model.prompt_ids(turns_of(prompt))
    answer: list[int] = []
    while len(answer) < n:
        row = torch.tensor([[*ids, *answer]])
        with torch.inference_mode():
            if len(answer) > begins:
                window = {"scope": "response", "window": (begins, None), "prompt_length": len(ids)}
                with steer(model, vector, **window):
                    logits = model.model(row, use_cache=False).logits
            else:
                logits = model.model(row, use_cache=False).logits
        token = int(logits[0, -1].argmax())
        if token in end_ids(model):
            break
        answer.append(token)
    return answer


# --- what a gate does


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("guidance", [None, GUIDED], ids=["plain", "guided"])
def test_a_gate_that_stays_closed_leaves_everything_as_it_is(model, reader, joy, sampling, guidance, caplog):
    unsteered = generate(model, PROMPTS, sampling=sampling)
    closed = plan(model, joy, gate=gate_at(reader, 1e6), guidance=guidance)
    with caplog.at_level(logging.WARNING):
        gated = generate(model, PROMPTS, closed, sampling=sampling)
    for mine, theirs in zip(gated.tokens, unsteered.tokens, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(perplexity(model, PROMPTS, gated), perplexity(model, PROMPTS, unsteered))
    assert gated.applications == 0
    assert not any(flags.any() for flags in gated.steered)
    assert not any(shifts.any() for shifts in gated.shifts)
    assert [state.opened_after for state in gated.gates] == [None] * len(PROMPTS)
    assert "never opened in 5 of 5 answers" in caplog.text
    low = min(min(state.readings) for state in gated.gates)
    assert f"it read {low:.2f} to" in caplog.text


def test_closed_passes_are_bit_identical(model, reader, joy, monkeypatch):
    from emospace.generation import loop

    seen: dict[bool, list[torch.Tensor]] = {}
    inner = loop.forward

    def forward(*args, **given):
        logits = inner(*args, **given)
        if given.get("cache") is not None:
            seen.setdefault(gated, []).append(logits.clone())
        return logits

    monkeypatch.setattr(loop, "forward", forward)
    for gated in (False, True):
        generate(
            model, PROMPTS, plan(model, joy, gate=gate_at(reader, 1e6)) if gated else None, sampling=GREEDY
        )
    assert len(seen[True]) == len(seen[False]) > 1
    assert all(torch.equal(*pair) for pair in zip(seen[True], seen[False], strict=True))


@pytest.mark.parametrize("guidance", [None, GUIDED], ids=["plain", "guided"])
def test_a_gate_that_the_prompt_opens_steers_as_if_there_were_none(model, reader, joy, guidance):
    opened = generate(
        model, PROMPTS, plan(model, joy, gate=gate_at(reader, -1e6), guidance=guidance), sampling=SAMPLED
    )
    always = generate(model, PROMPTS, plan(model, joy, guidance=guidance), sampling=SAMPLED)
    assert opened.texts == always.texts != generate(model, PROMPTS, sampling=SAMPLED).texts
    assert opened.applications == always.applications
    assert [state.opened_after for state in opened.gates] == [0] * len(PROMPTS)
    for state, prompt in zip(opened.gates, PROMPTS, strict=True):
        assert state.readings == pytest.approx([readings_of(reader, prompt)], abs=1e-4)


def test_a_gate_opens_row_by_row_where_the_text_so_far_is_beyond_it(model, reader, joy):
    plain = generate(model, PROMPTS, sampling=GREEDY)
    courses = [
        [readings_of(reader, prompt, tokens[:n]) for n in range(len(tokens) + 1)]
        for prompt, tokens in zip(PROMPTS, plain.tokens, strict=True)
    ]
    # A threshold that some prompts pass, some answers pass later, by what the courses are.
    rises = [max(course[1:-1]) - course[0] for course in courses]
    late = int(np.argmax(rises))
    threshold = courses[late][0] + 0.9 * rises[late]
    assert rises[late] > 0
    gated = generate(model, PROMPTS, plan(model, joy, gate=gate_at(reader, threshold)), sampling=GREEDY)
    first = [next((n for n, r in enumerate(course) if r > threshold), None) for course in courses]
    assert first[late] not in (0, None)
    for place, (prompt, begins, state) in enumerate(zip(PROMPTS, first, gated.gates, strict=True)):
        tokens = gated.tokens[place]
        # The last token of an answer is never run, so nothing is read after it.
        begins = None if begins is not None and begins >= len(tokens) else begins
        assert state.opened_after == begins
        read = courses[place][: len(state.readings)]
        assert state.readings == pytest.approx(read, abs=1e-3)
        alone = generate(model, [prompt], plan(model, joy, gate=gate_at(reader, threshold)), sampling=GREEDY)
        np.testing.assert_array_equal(alone.tokens[0], tokens)
        if begins:
            assert tokens.tolist() == without_cache(model, joy, prompt, begins)
            assert gated.steered[place].tolist() == [n > begins for n in range(len(tokens))]
        elif begins is None:
            np.testing.assert_array_equal(tokens, plain.tokens[place])


def test_the_gate_of_several_candidates_reads_a_prompt_once(model, reader, joy, monkeypatch):
    from emospace.generation import loop

    n_read = []
    inner = loop.forward

    def forward(model, ids, *args, **given):
        if given.get("cache") is None:
            n_read.append(len(ids))
        return inner(model, ids, *args, **given)

    monkeypatch.setattr(loop, "forward", forward)
    gate = gate_at(reader, -1e6)
    guidance = Guidance(weight=1, certainty=0.9, candidates=3)
    gated = generate(model, PROMPTS, plan(model, joy, gate=gate, guidance=guidance), sampling=SAMPLED)
    assert n_read == [len(PROMPTS)]
    assert [state.opened_after for state in gated.gates] == [0] * len(PROMPTS)
    free = generate(model, PROMPTS, plan(model, joy, guidance=guidance), sampling=SAMPLED)
    assert gated.texts == free.texts


def test_a_gate_may_open_below(model, reader, joy):
    gate = gate_at(reader, 1e6, above=False)
    assert generate(model, PROMPTS, plan(model, joy, gate=gate), sampling=GREEDY).texts == (
        generate(model, PROMPTS, joy, sampling=GREEDY).texts
    )
    assert str(gate) == "joy < 1e+06"


@pytest.mark.parametrize("name", ["valence", "arousal"])
def test_a_gate_reads_valence_and_arousal_as_a_reader_does(model, reader, name):
    low, high = reader.ranges[name]
    gate = make_gate(reader, f"{name} > {(low + high) / 2}")
    words = "grief and joy"
    ids = [*model.start_ids()[:1], *model.tokenizer(words, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        states = model.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[gate.layer][0, 1:]
    score = gate.text_score(gate.token_scores(states.float().numpy()))
    assert score == pytest.approx(float(getattr(reader.read([words]), name)[0]), abs=1e-5)


def test_dose_0_with_a_gate_is_unsteered(model, reader, joy):
    nothing = replace(joy, op="add")
    gated = generate(
        model, PROMPTS, plan(model, nothing, dose=0.0, gate=gate_at(reader, 0.0)), sampling=SAMPLED
    )
    assert gated.texts == generate(model, PROMPTS, sampling=SAMPLED).texts
    assert (gated.gates, gated.applications) == ([], 0)


@pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 compiles no model of transformers 5.2"
)
@pytest.mark.slow
def test_a_compiled_model_is_gated_alike(model, reader, joy):
    torch._dynamo.reset()
    module = make_hf_model("llama")
    module.load_state_dict(model.model.state_dict())
    compiled = wrap_model(module, make_tokenizer())
    module.compile(backend="eager")
    for threshold in (-1e6, 1e6):
        gated = plan(model, joy, gate=gate_at(reader, threshold))
        expected, actual = (generate(each, PROMPTS[:2], gated, sampling=GREEDY) for each in (model, compiled))
        assert actual.texts == expected.texts
        assert [state.opened_after for state in actual.gates] == [
            state.opened_after for state in expected.gates
        ]
    torch._dynamo.reset()


def test_a_stream_is_gated_as_the_whole_answer(model, reader, joy):
    for threshold in (-1e6, 0.0, 1e6):
        gated = plan(model, joy, gate=gate_at(reader, threshold))
        pieces = stream(model, PROMPTS[0], gated, sampling=GREEDY)
        text = "".join(pieces)
        assert text == generate(model, [PROMPTS[0]], gated, sampling=GREEDY).texts[0]


def test_the_model_is_left_without_hooks(model, reader, joy):
    before = [len(block._forward_hooks) for block in model.blocks]  # transformers leaves hooks of its own
    generate(model, PROMPTS, plan(model, joy, gate=gate_at(reader, 0.0)), sampling=GREEDY)
    assert [len(block._forward_hooks) for block in model.blocks] == before


# --- what is refused


@pytest.mark.parametrize(
    "text", ["anger", "anger >", "> 0.5", "anger > much", "anger >= 0.5", "anger > nan", "a < b < 1"]
)
def test_a_text_that_is_no_condition_is_refused(text):
    with pytest.raises(InvalidInput, match="no emotion beyond a threshold"):
        condition_of(text)


def test_conditions_are_read():
    assert condition_of("anger>-0.5") == Condition("anger", True, -0.5)
    assert condition_of(" empathic pain < 2 ") == Condition("empathic pain", False, 2.0)
    assert str(condition_of("anger > .50")) == "anger > 0.5"


def test_a_gate_that_cannot_be_is_told_the_range(reader):
    low, high = reader.ranges["joy"]
    span = f"joy reads {low:.2f} to {high:.2f}"
    for condition, why in (
        (f"joy > {high + 1}", f"never hold: {span}"),
        (f"joy < {low - 1}", f"never hold: {span}"),
        (f"joy > {low - 1}", f"always hold: {span}"),
        (f"joy < {high + 1}", f"always hold: {span}"),
        ("jjoy > 0", "no such emotion"),
        ("anger > 0", "no features of it"),
    ):
        with pytest.raises(EmospaceError, match=why):
            make_gate(reader, condition)
    weights = replace(reader.weights, directions=reader.weights.directions * (np.arange(6) != 1))
    with pytest.raises(
        EmospaceError, match="a gate on sadness: the reader of this model has no features of it"
    ):
        make_gate(replace(reader, weights=weights), "sadness > 0")


def test_a_context_knows_no_gate(model, reader, joy):
    with pytest.raises(EmospaceError, match="with a gate"):
        Steering(model, plan(model, joy, gate=gate_at(reader, 0.0)))


# --- the command line and the server


@pytest.fixture
def run(monkeypatch, model, reader):
    import emospace.models
    import emospace.reading
    import emospace.steering.bank

    monkeypatch.setattr(emospace.models, "load_model", lambda *_, **__: model)
    monkeypatch.setattr(emospace.steering.bank, "load_vectors", lambda *_: planted_bank(model))
    monkeypatch.setattr(emospace.reading, "load_reader", lambda *_, **__: reader)
    return lambda *arguments: CliRunner().invoke(
        app, ["steer", "--emotion", "joy", "--n-tokens", "6", *map(str, arguments)]
    )


def test_the_command_line_says_what_a_gate_read(run, reader, tmp_path):
    _, high = reader.ranges["joy"]
    closed = run("--when", f"joy > {high - 1e-3}", "--json", PROMPTS[0])
    assert closed.exit_code == 0, closed.output
    document = json.loads(closed.stdout)
    assert document["texts"]["joy"] == document["texts"]["unsteered"]
    assert document["steered"]["gate"]["opened_after"] is None
    assert "never opened: it read" in run("--when", f"joy > {high - 1e-3}", PROMPTS[0]).output
    assert "opened by the prompt: it read" in run("--when", f"joy < {high - 1e-3}", PROMPTS[0]).output
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS), encoding="utf-8")
    done = run("--when", f"joy < {high - 1e-3}", "--batch", file)
    gates = [json.loads(line)["gate"]["opened_after"] for line in done.stdout.splitlines()]
    assert f"opened in {len(PROMPTS) - gates.count(None)} of {len(PROMPTS)}" in done.stderr
    assert gates[0] == 0
    for arguments, why in (
        (("--when", "joy >"), "--when joy >"),
        (("--when", "jjoy > 0"), "no such emotion"),
        (("--when", "joy > 99"), "it would never hold"),
        (("--when", "joy > 50", "--beams", 2), "--beams 2 with --when"),
        (("--no-steer-thought", "--beams", 2), "--beams 2 with --no-steer-thought"),
    ):
        refused = run(*arguments, PROMPTS[0])
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.output


def test_the_server_gates_each_answer_and_says_which_pieces_were_steered():
    engine = make_engine()
    _, high = engine.reader.ranges["joy"]
    engine.reader = planted_reader(engine.model)
    bank, ask = engine.bank, {"max_tokens": 6, "temperature": 0, "emotion": "joy"}
    with TestClient(create_app(engine), base_url=HERE) as client:

        def answer(**given):
            return client.post("/v1/completions", json={"prompt": PROMPTS[0], **ask, **given})

        closed, opened, always = (
            answer(**given).json()
            for given in ({"when": f"joy > {high - 1e-3}"}, {"when": f"joy < {high - 1e-3}"}, {})
        )
        unsteered = answer(emotion=None).json()
        choice = closed["choices"][0]
        assert choice["text"] == unsteered["choices"][0]["text"]
        assert choice["gate"]["opened_after"] is None
        assert choice["gate"]["low"] <= choice["gate"]["high"] < high
        assert not any(piece["steered"] for piece in choice["marked"])
        assert closed["steering"]["applications"] == 0
        assert closed["steering"]["when"].startswith("joy > ")
        choice = opened["choices"][0]
        assert choice["text"] == always["choices"][0]["text"]
        assert choice["gate"]["opened_after"] == 0
        assert all(piece["steered"] for piece in choice["marked"])
        assert always["choices"][0]["gate"] is None
        streamed = answer(when=f"joy > {high - 1e-3}", stream=True).text
        chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == closed["choices"][0]["text"]
        assert chunks[-1]["choices"][0]["gate"] == closed["choices"][0]["gate"]
        resolved = client.post("/v1/emotions/resolve", json={"emotion": "joy", "when": "joy > 50"}).json()
        assert resolved["steering"]["when"] == "joy > 50"
        for given, why in (
            ({"when": "jjoy > 0"}, "no such emotion"),
            ({"when": "joy > 99"}, "never hold"),
            ({"when": "joy"}, "no emotion beyond a threshold"),
        ):
            error = answer(**given)
            assert (error.status_code, error.json()["error"]["param"]) == (400, "when")
            assert why in error.json()["error"]["message"]
        engine.reader = None
        assert answer(when="joy > 50").json()["error"]["param"] == "when"
    assert bank is engine.bank
