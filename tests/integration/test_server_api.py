"""The API as a client sees it: OpenAI's shapes, tones, limits, errors, and what must not get in or out."""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading

import pytest
import torch
from fastapi.testclient import TestClient

from emospace.generation import loop
from emospace.records import Results
from emospace.server import Settings, create_app
from emospace.server.schemas import (
    ChatRequest,
    CompletionRequest,
    JudgeRequest,
    ReadRequest,
    ResolveRequest,
)
from planted_runs import write_run
from served import EMOTIONS, PROMPTS, alone, make_engine

HERE = "http://127.0.0.1"
KEY, OTHER_KEY = "k" * 32, "another-key-of-somebody-else"
GREEDY = {"temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "first", "tiny-a", seed=1)
    write_run(folder / "second", "tiny-b", seed=2)
    (folder / "broken").mkdir()
    (folder / "broken" / "results.json").write_text("{")
    (folder / "secret.parquet").write_text("no table")
    return folder


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(create_app(make_engine(), Settings(model="tiny", runs=runs)), base_url=HERE) as made:
        yield made


def events(response) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def complete(client, prompt=PROMPTS[0], **given):
    return client.post("/v1/completions", json={"prompt": prompt, **GREEDY, **given})


def check_error(response, status, code):
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    return error


def test_an_unsteered_completion_is_the_librarys(client):
    answer = complete(client).json()
    assert answer["choices"][0]["text"] == alone(make_engine(), PROMPTS[0])
    assert answer["object"] == "text_completion"
    assert answer["steering"] is None
    assert answer["usage"]["completion_tokens"] <= 12
    assert sum(answer["usage"].values()) == 2 * answer["usage"]["total_tokens"]


@pytest.mark.parametrize(
    "tone",
    [
        {"emotion": {"joy": 1.0}},
        {"emotion": {"joy": 0.7, "sadness": 0.3}, "dose": 0.9},
        {"emotion": {"valence": 0.8, "arousal": -0.3}},
        {"emotion": {"valence": -0.5}, "scope": "response"},
        {"emotion": {"fear": 1.0}, "mode": "constant", "scope": "prompt"},
    ],
)
def test_a_tone_gives_what_the_library_gives_and_is_told(client, tone):
    answer = complete(client, **tone).json()
    assert answer["choices"][0]["text"] == alone(make_engine(), PROMPTS[0], **tone)
    steering = answer["steering"]
    assert steering["applications"] > 0
    assert steering["mode"] == tone.get("mode", "relative")
    assert steering["scope"] == tone.get("scope", "all")
    assert steering["dose"] == pytest.approx(tone.get("dose", steering["calibrated_dose"]))
    assert steering["beyond_range"] == (abs(steering["dose"]) > steering["high"])
    resolved = client.post("/v1/emotions/resolve", json=tone).json()["steering"]
    assert resolved == steering | {"applications": 0}


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("joy", {"joy": 1.0}),
        (" joy : 0.7 , sadness:0.3", {"joy": 0.7, "sadness": 0.3}),
        ("joy:0", {"joy": 0}),
    ],
)
def test_an_emotion_may_be_written_as_on_the_command_line(client, text, weights):
    as_text, as_weights = (complete(client, emotion=emotion).json() for emotion in (text, weights))
    assert as_text["choices"] == as_weights["choices"]
    assert as_text["steering"] == as_weights["steering"]
    resolved = client.post("/v1/emotions/resolve", json={"emotion": text}).json()["steering"]
    assert (resolved is None) == (as_text["steering"] is None)


@pytest.mark.parametrize("emotion", [None, {}, {"joy": 0}, {"valence": 0, "arousal": 0}])
def test_no_tone_is_no_steering(client, emotion):
    answer = complete(client, emotion=emotion).json()
    assert answer["steering"] is None
    assert answer["choices"][0]["text"] == alone(make_engine(), PROMPTS[0])


def test_a_conversation_is_answered_by_a_model_without_a_template(client):
    messages = [
        {"role": "system", "content": "rain"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "The word"}, {"type": "text", "text": " is joy"}],
        },
    ]
    answer = client.post("/v1/chat/completions", json={"messages": messages, **GREEDY}).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["message"]["content"] == alone(make_engine(), "rain\n\nThe word is joy")


@pytest.mark.parametrize("tone", [{}, {"emotion": {"sadness": 1.0}}])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "seed": 5}])
def test_a_stream_says_what_the_whole_answer_says(client, tone, sampling):
    asked = {**tone, **sampling, "max_tokens": 40, "n": 2}
    whole = complete(client, **asked).json()
    streamed = events(complete(client, **asked, stream=True, stream_options={"include_usage": True}))
    for choice in whole["choices"]:
        parts = [
            event
            for event in streamed
            if event["choices"] and event["choices"][0]["index"] == choice["index"]
        ]
        assert "".join(event["choices"][0]["text"] for event in parts) == choice["text"]
        assert parts[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
        assert ("steering" in parts[-1]) == bool(tone)
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == whole["usage"]
    assert {event["id"] for event in streamed} == {streamed[0]["id"]}


def test_a_guided_answer_says_how_much_of_the_tone_each_piece_is(client):
    guided = {"emotion": {"joy": 1.0}, "guidance": {"weight": 3, "plausible": 0.05}, "temperature": 0}
    whole = complete(client, max_tokens=8, **guided).json()
    assert whole["steering"]["guidance"] == {
        "weight": 3,
        "plausible": 0.05,
        "cost": 0,
        "certainty": 0,
        "sharpen": 1,
        "candidates": 1,
        "block": 0,
    }
    choice = whole["choices"][0]
    assert "".join(piece["text"] for piece in choice["marked"]) == choice["text"]
    assert any(piece["shift"] for piece in choice["marked"])
    plain = complete(client, max_tokens=8, emotion={"joy": 1.0}).json()
    assert plain["steering"]["guidance"] is None
    assert {(piece["shift"], piece["steered"]) for piece in plain["choices"][0]["marked"]} == {(0.0, True)}
    assert not {"marked", "gate"} & set(complete(client, max_tokens=8).json()["choices"][0])
    streamed = events(complete(client, max_tokens=8, stream=True, **guided))
    shifts = [chunk["choices"][0]["shift"] for chunk in streamed]
    assert sum(shifts) == pytest.approx(sum(piece["shift"] for piece in choice["marked"]), abs=1e-3)


def test_the_best_of_candidates_comes_block_by_block(client):
    asked = {
        "emotion": {"joy": 1.0},
        "guidance": {"candidates": 3, "block": 4, "sharpen": 1.5},
        "temperature": 1.0,
        "seed": 4,
        "max_tokens": 12,
        "n": 2,
    }
    whole = complete(client, **asked).json()
    assert whole["usage"]["completion_tokens"] <= 24
    streamed = events(complete(client, **asked, stream=True))
    for choice in whole["choices"]:
        pieces = [
            chunk["choices"][0] for chunk in streamed if chunk["choices"][0]["index"] == choice["index"]
        ]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        assert "".join(piece["text"] for piece in choice["marked"]) == choice["text"]
        assert [piece["finish_reason"] for piece in pieces if piece["finish_reason"]] == [
            choice["finish_reason"]
        ]
    single = complete(client, **{**asked, "guidance": {"sharpen": 1.5}}).json()
    assert [choice["text"] for choice in single["choices"]] != [choice["text"] for choice in whole["choices"]]


def test_a_block_with_a_single_candidate_is_refused(client):
    answer = complete(client, emotion={"joy": 1.0}, guidance={"block": 8}, temperature=1.0)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "guidance"


def test_more_candidates_than_rows_are_refused(client):
    answer = complete(client, emotion={"joy": 1.0}, guidance={"candidates": 64}, temperature=1.0)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "guidance"


def script(monkeypatch, engine, text):
    """Let every row say a text, whatever the model would."""
    ids = [*engine.model.tokenizer(text, add_special_tokens=False)["input_ids"], 2]

    def say(state, _logits, answers):
        tokens = [ids[min(answer.n_tokens, len(ids) - 1)] for answer in answers]
        state._tokens = torch.tensor(tokens)
        return tokens

    monkeypatch.setattr(loop._OnDevice, "draw", say)


@pytest.mark.parametrize("text", ["我很快乐！悲伤。", "joy 👩‍🚀🎉 é", "नमस्ते, ∑ 🙂"])
def test_no_piece_of_a_stream_holds_half_a_character(monkeypatch, text):
    engine = make_engine()
    script(monkeypatch, engine, text)
    with TestClient(create_app(engine), base_url=HERE) as client:
        streamed = events(complete(client, max_tokens=64, stream=True))
        pieces = [event["choices"][0]["text"] for event in streamed]
        assert "".join(pieces) == text
        assert not any("\ufffd" in piece for piece in pieces)
        assert len([piece for piece in pieces if piece]) > 3
        assert complete(client, max_tokens=64).json()["choices"][0] == {
            "index": 0,
            "text": text,
            "finish_reason": "stop",
            "logprobs": None,
        }


def test_a_stop_text_is_never_shown_not_even_its_beginning(monkeypatch):
    engine = make_engine()
    script(monkeypatch, engine, "one two three four")
    with TestClient(create_app(engine), base_url=HERE) as client:
        asked = {"max_tokens": 64, "stop": ["o thr", "zzz"]}
        streamed = events(complete(client, **asked, stream=True))
        assert "".join(event["choices"][0]["text"] for event in streamed) == "one tw"
        assert complete(client, **asked).json()["choices"][0]["finish_reason"] == "stop"
        kept = complete(client, max_tokens=64, stop="fourteen").json()["choices"][0]
        assert kept["text"] == "one two three four"


def test_several_prompts_and_token_ids(client):
    model = make_engine().model
    choices = complete(client, prompt=list(PROMPTS[:3])).json()["choices"]
    assert [choice["text"] for choice in choices] == [alone(make_engine(), prompt) for prompt in PROMPTS[:3]]
    ids = [*model.start_ids(), *model.tokenizer(PROMPTS[0], add_special_tokens=False)["input_ids"]]
    assert complete(client, prompt=ids).json()["choices"][0]["text"] == choices[0]["text"]


@pytest.mark.parametrize(
    ("given", "status", "code", "param"),
    [
        ({"emotion": {"joi": 1}}, 400, "unknown_emotion", "emotion"),
        ({"emotion": {"joi": 0}}, 400, "unknown_emotion", "emotion"),
        ({"emotion": {"joy": 1, "valence": 0.5}}, 400, "invalid_value", "emotion"),
        ({"emotion": {"valence": 3}}, 400, "invalid_value", "emotion"),
        ({"emotion": {"joy": "much"}}, 400, "invalid_value", "emotion.joy"),
        ({"emotion": {"joy": 1e9}}, 400, "invalid_value", "emotion.joy"),
        ({"emotion": {"joy": 1}, "dose": 1e9}, 400, "invalid_value", "dose"),
        ({"scope": "everything"}, 400, "invalid_value", "scope"),
        ({"emotoin": {"joy": 1}}, 400, "unsupported", "emotoin"),
        ({"logprobs": 3}, 400, "unsupported", "logprobs"),
        ({"frequency_penalty": 0.5}, 400, "unsupported", "frequency_penalty"),
        ({"tools": [{"type": "function"}]}, 400, "unsupported", "tools"),
        ({"emotion": "joi"}, 400, "unknown_emotion", "emotion"),
        ({"emotion": "joy:much"}, 400, "invalid_value", "emotion"),
        ({"emotion": "joy:1,joy:2"}, 400, "invalid_value", "emotion"),
        ({"emotion": ""}, 400, "invalid_value", "emotion"),
        ({"emotion": 5}, 400, "invalid_value", "emotion"),
        ({"max_tokens": 65}, 400, "invalid_value", "max_tokens"),
        ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
        ({"temperature": -1}, 400, "invalid_value", "temperature"),
        ({"stop": ["a"] * 5}, 400, "invalid_value", "stop"),
        ({"stop": ["a", None]}, 400, "invalid_value", "stop.1"),
        ({"prompt": 5}, 400, "invalid_value", "prompt"),
        ({"prompt": [[]]}, 400, "invalid_value", "prompt"),
        ({"n": 65}, 400, "invalid_value", "n"),
        ({"model": "gpt-4"}, 404, "model_not_found", "model"),
        ({"prompt": [[1, 2], [99999]]}, 400, "invalid_value", "prompt"),
        ({"prompt": []}, 400, "invalid_value", "prompt"),
        ({"prompt": "joy " * 300}, 400, "context_length_exceeded", "prompt"),
        ({"prompt": "x" * 200_000}, 400, "context_length_exceeded", "prompt"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_field(client, given, status, code, param):
    assert check_error(complete(client, **given), status, code)["param"] == param


def test_fields_that_change_nothing_are_let_pass(client):
    response = complete(
        client, user="me", logprobs=None, tools=[], response_format={"type": "text"}, store=False
    )
    assert response.status_code == 200


LONE = "\ud800"
CHAT = {"messages": [{"role": "user", "content": "joy"}]}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {"messages": [{"role": "user", "content": LONE}]}, "messages.0.content"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": LONE}]}]},
            "messages.0.content.0.text",
        ),
        ("chat/completions", {"messages": [{"role": LONE, "content": "x"}]}, "messages.0.role"),
        ("chat/completions", CHAT | {"stop": ["a", LONE]}, "stop.1"),
        ("chat/completions", CHAT | {"model": LONE}, "model"),
        ("chat/completions", CHAT | {"user": LONE}, "user"),
        ("chat/completions", CHAT | {"chat_template_kwargs": {"a": {"b": LONE}}}, "chat_template_kwargs.a.b"),
        ("chat/completions", CHAT | {"metadata": {LONE: 1}}, "metadata"),
        ("chat/completions", CHAT | {LONE: 1}, None),
        ("completions", {"prompt": LONE}, "prompt"),
        ("completions", {"prompt": ["a", LONE]}, "prompt.1"),
        ("completions", {"prompt": "a", "emotion": {LONE: 1}}, "emotion"),
        ("completions", {"prompt": "a", "scope": LONE}, "scope"),
        ("completions", {"prompt": "a", "mode": LONE}, "mode"),
        ("emotions/resolve", {"emotion": {LONE: 1}}, "emotion"),
        ("read", {"input": LONE}, "input"),
        ("read", {"input": ["a", LONE]}, "input.1"),
        ("read", {"input": "a", "categories": [LONE]}, "categories.0"),
        ("read", {"input": "a", "model": LONE}, "model"),
        ("judge", {"input": LONE}, "input"),
        ("judge", {"input": "a", "prompt": LONE}, "prompt"),
        ("judge", {"input": "a", "language": LONE}, "language"),
        ("judge", {"input": "a", "messages": [{"role": "user", "content": LONE}]}, "messages.0.content"),
    ],
)
def test_half_a_surrogate_pair_is_refused_with_its_field(client, path, body, param):
    content = json.dumps(body)
    answer = client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"})
    assert check_error(answer, 400, "invalid_value")["param"] == param


@pytest.mark.parametrize("path", ["chat/completions", "completions", "emotions/resolve", "read", "judge"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b'"x"', b"null", b"{}}", b'{"a": 1e', b"\xff\xfe", b"[" * 5000, b"9" * 9000],
)
def test_a_body_that_is_none_is_refused(client, path, content):
    answer = client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text


BODIES = {
    "chat/completions": ({**CHAT, "max_tokens": 1}, ChatRequest),
    "completions": ({"prompt": "joy", "max_tokens": 1}, CompletionRequest),
    "emotions/resolve": ({"emotion": {"joy": 1}}, ResolveRequest),
    "read": ({"input": "joy"}, ReadRequest),
    "judge": ({"input": "joy", "prompt": "the"}, JudgeRequest),
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("value", ["", -1, 10**30, ["x"], {"a": 1}], ids=repr)
def test_no_value_of_any_field_is_a_fault_of_the_server(client, path, value):
    body, kind = BODIES[path]
    for field in (*kind.model_fields, "logit_bias", "response_format", "nothing"):
        content = json.dumps({**body, field: value})
        answer = client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400, 404), (field, answer.text)
        if answer.status_code != 200:
            assert answer.json()["error"]["param"].split(".")[0] == field


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages.0.content.0.type"),
        ({"role": "user", "content": 5}, "messages.0.content"),
        ({"role": "assistant", "content": "x", "tool_calls": [{}]}, "messages.0.tool_calls"),
        ("hello", "messages.0"),
    ],
)
def test_a_message_that_cannot_be_read_is_named(client, message, param):
    answer = client.post("/v1/chat/completions", json={"messages": [message], **GREEDY})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (
            "completions",
            {"prompt": "a", "frequency_penalty": 0.5},
            "this server does not support it: .*give 0",
        ),
        ("completions", {"prompt": "a", "web_search_options": {}}, "support it: leave it out$"),
        ("completions", {"prompt": "a", "colour": 1}, "no such field"),
        ("completions", {"prompt": "a", "temperature": "hot"}, "temperature: give a number, not a text"),
        ("completions", {"prompt": "a", "max_tokens": 1.5}, "max_tokens: give a whole number, not 1.5"),
        ("completions", {"prompt": "a", "stream": "often"}, "stream: give true or false, not a text"),
        ("completions", {"prompt": "a", "temperature": 3}, "temperature: give at most 2"),
        ("completions", {"prompt": "a", "top_p": 0}, "top_p: give more than 0"),
        ("completions", {"prompt": "a", "scope": "some"}, "scope: give 'prompt', 'response' or 'all'"),
        ("completions", {"prompt": 5}, "prompt: give a text or a list, not a number"),
        ("completions", {"prompt": None}, "prompt: give a text or a list, not null"),
        ("completions", {"prompt": "a", "stop": {"a": 1}}, "stop: give a text or a list, not an object"),
        ("completions", {"prompt": "a", "emotion": 5}, "emotion: give an object or a text, not a number"),
        (
            "completions",
            {"prompt": "a", "emotion": "joy," * 900},
            "emotion: it is too long: at most 2000 char",
        ),
        ("completions", {}, "prompt: it is required"),
        ("completions", [], "body: give an object, not a list"),
        ("chat/completions", {"messages": "hello"}, "messages: give a list, not a text"),
        ("chat/completions", {"messages": ["hello"]}, "messages.0: give an object, not a text"),
        ("chat/completions", {"messages": []}, "messages: it is too short: at least 1"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": 5}]},
            "content: give a text or a list",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "'image_url' is not read here, only parts of type 'text'",
        ),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": ["a"]}]},
            "give an object, not a text",
        ),
    ],
)
def test_messages_say_what_to_give(client, path, body, said):
    message = client.post(f"/v1/{path}", json=body).json()["error"]["message"]
    assert re.search(said, message), message
    assert "Input should" not in message


@pytest.mark.parametrize("role", ["tool", "function"])
def test_the_result_of_a_tool_is_unsupported(client, role):
    message = {"role": role, "content": "x", "tool_call_id": "1"}
    answer = client.post("/v1/chat/completions", json={"messages": [message]})
    assert check_error(answer, 400, "unsupported")["param"] == "messages.0.role"


def test_an_image_is_unsupported(client):
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]
    answer = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": parts}]})
    assert check_error(answer, 400, "unsupported")["param"] == "messages.0.content.1.type"


@pytest.mark.parametrize(
    "given", [{}, {"max_tokens": None}, {"max_tokens": -1}, {"max_completion_tokens": -1}]
)
def test_without_a_limit_an_answer_may_be_as_long_as_the_server_gives(monkeypatch, given):
    engine = make_engine()
    script(monkeypatch, engine, "one two three four " * 40)
    with TestClient(create_app(engine), base_url=HERE) as client:
        answer = client.post("/v1/chat/completions", json={**CHAT, **given}).json()
        assert answer["usage"]["completion_tokens"] == engine.limits.answer_tokens
        assert answer["choices"][0]["finish_reason"] == "length"


def test_a_seed_of_minus_one_is_drawn(client):
    asked = {"temperature": 2, "max_tokens": 20, "seed": -1}
    assert len({complete(client, **asked).json()["choices"][0]["text"] for _ in range(4)}) > 1


def test_the_temperature_is_that_of_the_command_line(client):
    asked = {"max_tokens": 30, "seed": 3}
    texts = [
        complete(client, **asked, temperature=temperature).json()["choices"][0]["text"]
        for temperature in (None, 0.8, 1.0)
    ]
    assert texts[0] == texts[1] != texts[2]


def thinking_engine():
    from copy import deepcopy
    from dataclasses import replace

    engine = make_engine()
    tokenizer = deepcopy(engine.model.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }}\n{% endfor %}{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"
    )
    engine.model = replace(engine.model, tokenizer=tokenizer)
    engine._batch = loop.Batch(engine.model)
    return engine


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("says", "kwargs", "content", "reasoning"),
    [
        ("hm</think>\n\njoy", None, "joy", "hm"),
        ("hm, and on", None, "", "hm, and on"),
        ("joy", {"enable_thinking": False}, "joy", None),
        ("<think>hm</think>joy", {"enable_thinking": False}, "joy", "hm"),
    ],
)
def test_a_thought_comes_as_reasoning_content(monkeypatch, stream, says, kwargs, content, reasoning):
    engine = thinking_engine()
    script(monkeypatch, engine, says)
    asked = {**CHAT, "chat_template_kwargs": kwargs, "max_tokens": 60, "stream": stream}
    with TestClient(create_app(engine), base_url=HERE) as client:
        answer = client.post("/v1/chat/completions", json=asked)
        if stream:
            deltas = [event["choices"][0]["delta"] for event in events(answer)]
            message = {
                name: "".join(delta.get(name, "") for delta in deltas)
                for name in ("content", "reasoning_content")
            }
        else:
            message = answer.json()["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"] or None) == (content, reasoning)
        plain = complete(client, max_tokens=60).json()["choices"][0]["text"]
        assert plain == says  # a text that is continued has no thoughts


def test_a_template_is_given_what_it_takes(monkeypatch):
    engine = thinking_engine()
    with TestClient(create_app(engine), base_url=HERE) as client:
        asked = {**CHAT, **GREEDY, "chat_template_kwargs": {"enable_thinkin": False}}
        error = check_error(client.post("/v1/chat/completions", json=asked), 400, "invalid_value")
        assert error["param"] == "chat_template_kwargs"
        system = [{"role": "system", "content": "rain"}, {"role": "user", "content": "joy"}]
        merged = [{"role": "user", "content": "rain\n\njoy"}]
        said = [
            client.post("/v1/chat/completions", json={"messages": messages, **GREEDY}).json()["usage"]
            for messages in (system, merged)
        ]
        assert said[0] == said[1]
        refused = {"messages": [*merged, *system], **GREEDY}
        error = check_error(client.post("/v1/chat/completions", json=refused), 400, "invalid_value")
        assert error["param"] == "messages"


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/runs/../../secret", "/js/../app"])
def test_unknown_paths_are_errors_of_the_same_shape(client, path):
    check_error(client.get(path), 404, "not_found")


def test_wrong_methods_bodies_and_types_are_errors_of_the_same_shape(client):
    check_error(client.get("/v1/chat/completions"), 405, "method_not_allowed")
    json_type = {"content-type": "application/json"}
    check_error(client.post("/v1/completions", content=b"{", headers=json_type), 400, "invalid_json")
    nan = b'{"prompt": "x", "temperature": NaN}'
    check_error(client.post("/v1/completions", content=nan, headers=json_type), 400, "invalid_value")
    plain = client.post("/v1/completions", content=b'{"prompt": "x"}', headers={"content-type": "text/plain"})
    check_error(plain, 415, "not_json")
    check_error(client.post("/v1/completions", content=b"\xff\xfe", headers=json_type), 400, "invalid_json")
    check_error(
        client.post("/v1/completions", content=b"[" * 100_000, headers=json_type), 400, "invalid_json"
    )


def test_a_fault_of_the_server_tells_nothing_but_that_it_happened(client, monkeypatch, caplog):
    def fault(*_):
        raise RuntimeError("/secret/place.py line 3")

    monkeypatch.setattr("emospace.server.requests.text_ids", fault)
    response = complete(client)
    check_error(response, 500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in caplog.text


def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(client):
    big = b'{"prompt": "' + b"x" * 10_000_000 + b'"}'
    headers = {"content-type": "application/json"}
    check_error(client.post("/v1/completions", content=big, headers=headers), 413, "body_too_large")
    pieces = (big[start : start + 65536] for start in range(0, len(big), 65536))
    check_error(client.post("/v1/completions", content=pieces, headers=headers), 413, "body_too_large")


def test_foreign_hosts_and_origins_are_refused(client):
    check_error(client.get("/healthz", headers={"host": "evil.example"}), 403, "host_not_allowed")
    check_error(
        client.get("/healthz", headers={"host": "localhost.evil.example:80"}), 403, "host_not_allowed"
    )
    for name in ("localhost:8000", "127.0.0.1:1", "[::1]:8000"):
        assert client.get("/healthz", headers={"host": name}).status_code == 200
    check_error(client.get("/healthz", headers={"origin": "http://evil.example"}), 403, "origin_not_allowed")
    check_error(client.get("/healthz", headers={"origin": "null"}), 403, "origin_not_allowed")
    for headers, option in (
        ({"host": "evil.example"}, "--allow-host evil.example"),
        ({"origin": "http://evil.example"}, "--allow-origin http://evil.example"),
    ):
        assert option in client.get("/healthz", headers=headers).json()["error"]["message"]
    response = client.get("/healthz", headers={"origin": HERE})
    assert response.status_code == 200
    assert not any(header.startswith("access-control") for header in response.headers)
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert client.options("/v1/completions", headers=asked).status_code == 403


def test_keys_are_needed_where_they_are_set():
    settings = Settings(host="0.0.0.0", api_keys=(KEY, OTHER_KEY))
    with TestClient(create_app(make_engine(), settings), base_url="http://tone.example") as client:
        assert client.get("/healthz").status_code == 200
        for headers in ({}, {"authorization": f"Bearer {KEY}x"}, {"authorization": KEY}):
            for path in ("/v1/models", "/metrics", "/v1/nothing"):
                refused = client.get(path, headers=headers)
                check_error(refused, 401, "invalid_api_key")
                assert refused.headers["www-authenticate"] == "Bearer"
        for key in (KEY, OTHER_KEY):
            assert client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://["},
        {"origin": "http://[::1"},
        {"origin": "//"},
        {"host": "["},
        {"host": ""},
        {"host": ":"},
        {"content-length": "²".encode("latin-1")},
        {"content-type": "application/json; charset=\u00ff".encode("latin-1")},
        {"authorization": "Bearer \u00ff".encode("latin-1")},
    ],
    ids=str,
)
def test_no_header_is_a_fault_of_the_server(client, headers):
    given = {"content-type": "application/json", **headers}
    answer = client.post("/v1/emotions/resolve", content=b'{"emotion": "joy"}', headers=given)
    assert answer.status_code in (200, 400, 403, 415)


ELSEWHERE = "https://lab.example"


def test_pages_of_named_origins_may_ask_and_no_others():
    settings = Settings(api_keys=(KEY,), origins=(ELSEWHERE,)).check()
    with TestClient(create_app(make_engine(), settings), base_url=HERE) as client:
        asking = {
            "origin": ELSEWHERE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,x-stainless-os",
        }
        allowed = client.options("/v1/chat/completions", headers=asking)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == ELSEWHERE
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert allowed.headers["access-control-allow-headers"] == asking["access-control-request-headers"]
        # What is refused is said to the page as well.
        for key, status in ((KEY, 200), ("wrong", 401)):
            headers = {"origin": ELSEWHERE, "authorization": f"Bearer {key}"}
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == ELSEWHERE
            assert "origin" in answer.headers["vary"].lower()
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        for origin in ("https://lab.example.evil", "http://lab.example", "https://lab.example:8443", "null"):
            refused = client.options("/v1/chat/completions", headers=asking | {"origin": origin})
            check_error(refused, 403, "origin_not_allowed")
            assert "access-control-allow-origin" not in refused.headers
        plain = client.get("/healthz")
        assert "access-control-allow-origin" not in plain.headers
        assert client.options("/v1/models", headers={"origin": ELSEWHERE}).status_code in (401, 405)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/healthz", "/metrics", "/js/main.js", "/v1/models"]
)
def test_head_says_what_get_would_without_the_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert "content-length" in head.headers
    assert client.head("/nothing").status_code == 404
    assert client.head("/v1/completions").status_code == 405


def test_requests_are_logged_without_keys_and_queries(caplog):
    caplog.set_level(logging.INFO, logger="emospace.server.access")
    settings = Settings(api_keys=(KEY,))
    with TestClient(create_app(make_engine(), settings), base_url=HERE) as client:
        asked = client.get(f"/v1/models?api_key={KEY}", headers={"authorization": f"Bearer {KEY}"})
        client.get("/v1/models", headers={"authorization": "Bearer another-secret"})
        client.get(f"/v1/models/{KEY}%0d%0aforged", headers={"authorization": f"Bearer {KEY}"})
    lines = [record.getMessage() for record in caplog.records if record.name == "emospace.server.access"]
    assert re.fullmatch(
        rf'key 0 "GET /v1/models" 200 \d+\.\d{{3}} s {asked.headers["x-request-id"]}', lines[0]
    ), lines
    assert '"GET /v1/models" 401' in lines[1]
    assert " 404 " in lines[2]
    assert KEY not in caplog.text
    assert "another-secret" not in caplog.text
    assert not any("\n" in line for line in lines)


def test_a_full_queue_is_429_with_retry_after():
    engine = make_engine(rows=1, queue=1)
    with TestClient(create_app(engine), base_url=HERE) as client:
        entered, release = threading.Event(), threading.Event()
        engine.call("holder", lambda: (entered.set(), release.wait(60)))
        assert entered.wait(60)
        responses = []
        waiting = threading.Thread(target=lambda: responses.append(complete(client)))
        waiting.start()
        while not engine._waiting:
            pass
        refused = complete(client)
        check_error(refused, 429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        streamed = complete(client, stream=True)
        check_error(streamed, 429, "queue_full")
        release.set()
        waiting.join(60)
        assert responses[0].status_code == 200


def test_the_model_and_its_emotions_are_listed(client):
    model = client.get("/v1/models").json()["data"][0]
    assert (model["id"], model["chat"], model["n_blocks"], model["context"]) == ("tiny", False, 3, 256)
    assert model["limits"]["answer_tokens"] == 64
    assert client.get("/v1/models/tiny").json() == model
    listed = {emotion["id"]: emotion for emotion in client.get("/v1/emotions").json()["data"]}
    assert set(listed) == {*EMOTIONS, "valence", "arousal"}
    joy = listed["joy"]
    assert (joy["kind"], joy["basic"], joy["valence"], joy["arousal"]) == ("category", True, 0.8, 0.5)
    assert joy["words"]["zh"]
    assert joy["vectors"]["relative"]["op"] == "clamp"
    assert (joy["vectors"]["relative"]["tried"], joy["vectors"]["relative"]["base_rate"]) == ([], None)
    assert joy["vectors"]["constant"] == {
        "kind": "mix",
        "op": "add",
        "scope": "all",
        "window": [0, None],
        "layers": [1, 2],
        "shares": {"1": 0.5, "2": 0.5},
        "dose": 1.2,
        "low": 0.4,
        "high": 2.0,
        "guidance": None,
    }
    assert listed["valence"]["kind"] == "axis"


def test_a_text_is_read_as_the_library_reads_it(client):
    reading = make_engine().reader.read(list(PROMPTS[:2]))
    answer = client.post("/v1/read", json={"input": list(PROMPTS[:2])}).json()
    assert (answer["space"], answer["categories"]) == ("dense", list(EMOTIONS))
    for index, entry in enumerate(answer["data"]):
        assert entry["scores"] == pytest.approx(reading.scores[index], rel=1e-4, abs=1e-5)
        assert "".join(PROMPTS[index][t["start"] : t["end"]] for t in entry["tokens"]) == PROMPTS[index]
        valences = [token["valence"] for token in entry["tokens"]]
        assert valences == pytest.approx(reading.tokens[index].valence, rel=1e-3, abs=1e-4)
    chosen = client.post("/v1/read", json={"input": "rain", "categories": ["fear"]}).json()
    assert len(chosen["data"][0]["scores"]) == 1
    check_error(client.post("/v1/read", json={"input": "rain", "categories": ["x"]}), 400, "unknown_category")
    check_error(client.post("/v1/read", json={"input": []}), 400, "invalid_value")
    check_error(client.post("/v1/read", json={"input": ""}), 400, "invalid_value")


def test_judging_says_emotion_and_fluency(client):
    from emospace.generation import Sampling, generate, perplexity

    engine = make_engine()
    asked = {"input": ["I am so happy, thank you!", ""], "prompt": PROMPTS[0]}
    response = client.post("/v1/judge", json=asked).json()
    assert response["data"][0]["choice"] == "joy"
    assert sum(response["data"][0]["basic"].values()) == pytest.approx(1)
    assert response["data"][1]["perplexity"] is None
    # An answer whose text is cut into the tokens it was made of has the library's perplexity.
    answer = generate(engine.model, PROMPTS[:1], sampling=Sampling(n_tokens=6, temperature=0))
    ids = engine.model.tokenizer(answer.texts[0], add_special_tokens=False)["input_ids"]
    again = answer._replace(tokens=[__import__("numpy").array(ids)])
    reply = client.post("/v1/judge", json={"input": answer.texts, "prompt": PROMPTS[0]}).json()
    assert reply["data"][0]["perplexity"] == pytest.approx(
        perplexity(engine.model, PROMPTS[:1], again)[0], rel=1e-3
    )


def test_runs_are_listed_and_their_tables_filtered(client, runs):
    listed = client.get("/v1/runs").json()
    assert [entry["id"] for entry in listed["data"]] == ["first", "second"]
    assert [entry["id"] for entry in listed["unreadable"]] == ["broken"]
    assert str(runs) not in json.dumps(listed)
    run = client.get("/v1/runs/first").json()
    assert run["results"]["prediction"]
    verdicts = Results.load(runs / "first" / "results.json").verdicts
    assert run["answers"] == [verdict.record().model_dump(mode="json") for verdict in verdicts]
    assert {answer["question"] for answer in run["answers"]} == {"there", "in_features", "beyond_embeddings"}
    table = client.get("/v1/runs/first/tables/rdm_en").json()
    assert table["columns"][0] == "category"
    assert table["total"] == len(table["rows"]) == len(table["columns"]) - 1
    filtered = client.get("/v1/runs/first/tables/rdm_en?category=joy&category=fear").json()
    assert {row[0] for row in filtered["rows"]} == {"joy", "fear"}
    part = client.get("/v1/runs/first/tables/rdm_en?sort=-category&limit=2&offset=1").json()
    names = sorted((row[0] for row in table["rows"]), reverse=True)
    assert [row[0] for row in part["rows"]] == names[1:3]
    matches = client.get("/v1/runs/first/tables/rdm_en?search=ANG").json()
    assert {row[0] for row in matches["rows"]} == {"anger"}
    check_error(client.get("/v1/runs/first/tables/rdm_en?colour=red"), 400, "invalid_value")
    check_error(client.get("/v1/runs/first/tables/rdm_en?limit=0"), 400, "invalid_value")


def test_figures_of_a_run_are_those_of_its_report(client, runs):
    from emospace.report.page import render
    from emospace.report.run import load_run

    page = render(load_run(runs / "first"))
    written = json.loads(page.split('id="charts">')[1].split("</script>")[0])
    for part in ("rdms", "prediction", "words"):
        response = client.get(f"/v1/runs/first/figures?part={part}&language=en").json()
        assert response["object"] == "figures"
        assert response["data"]
        for figure in response["data"]:
            assert figure["heading"] and figure["alt"]
            assert {name: figure[name] for name in ("variants", "shape", "options")} == written[figure["key"]]
    layer = client.get("/v1/runs/first/figures?part=rdms&language=en&layer=2").json()
    assert layer["data"][0]["heading"] == "Layer 2"
    assert layer["data"][0]["variants"] != written["rdm-en-model"]["variants"]
    absent = client.get("/v1/runs/first/figures?part=draws&language=en").json()
    assert absent["data"] == []
    assert "tables/draws.parquet" in absent["missing"][0]["why"]
    check_error(client.get("/v1/runs/none/figures?part=rdms"), 404, "run_not_found")
    for wrong in ("part=none", "part=rdms&language=xx", "part=rdms&layer=-1", "language=en"):
        check_error(client.get(f"/v1/runs/first/figures?{wrong}"), 400, "invalid_value")


def test_what_runs_hold_is_compared_at_once(client):
    names = "run=second&run=first"
    at_once = client.get(f"/v1/compare?{names}&compute=false").json()
    whole = client.get(f"/v1/compare?{names}").json()
    assert at_once["comparison"]["figures"] == whole["comparison"]["figures"]
    assert at_once["comparison"]["rsa"] == [] != whole["comparison"]["rsa"]
    shown, drawn = (
        {figure["key"] for figure in client.get(f"/v1/compare/figures?{names}{more}").json()["data"]}
        for more in ("&compute=false", "")
    )
    assert "beside-prediction" in shown < drawn
    assert "arrangement-points" in drawn - shown


@pytest.mark.parametrize(
    "path",
    [
        "/v1/runs/broken",
        "/v1/runs/..%2F..",
        "/v1/runs/%2e%2e",
        "/v1/runs/first/tables/..%2Fresults",
        "/v1/runs/first/tables/..%2F..%2Fsecret",
        "/v1/runs/first%00/tables/rdm_en",
    ],
)
def test_no_path_of_a_request_reaches_the_disk(client, path):
    assert client.get(path).status_code == 404
    assert client.get(path).json()["error"]["code"].endswith("not_found")


def test_runs_are_compared(client, runs):
    answer = client.get("/v1/compare?run=second&run=first").json()
    assert answer["runs"] == ["second", "first"]
    assert [run["folder"] for run in answer["comparison"]["runs"]] == ["second", "first"]
    assert str(runs) not in json.dumps(answer)
    check_error(client.get("/v1/compare?run=first&run=none"), 404, "run_not_found")
    check_error(client.get("/v1/compare?run=first"), 400, "invalid_value")


def test_a_comparison_outlives_the_server_until_a_run_changes(runs, tmp_path, monkeypatch):
    import emospace.comparison
    from emospace.server.runs import Runs, _compared

    monkeypatch.setenv("EMOSPACE_CACHE", str(tmp_path / "cache"))
    given = shutil.copytree(runs, tmp_path / "runs")
    made = []
    compare = emospace.comparison.compare_runs
    monkeypatch.setattr(
        emospace.comparison,
        "compare_runs",
        lambda *a, **k: made.append(a) or compare(*a, n_permutations=19, **k),
    )
    first = Runs(given).compared(["second", "first"])
    _compared.cache_clear()
    again = Runs(given).compared(["second", "first"])
    assert len(made) == 1
    assert again.comparison == first.comparison
    assert {name: table.shape for name, table in again.tables.items()} == {
        name: table.shape for name, table in first.tables.items()
    }
    _compared.cache_clear()
    Runs(given).compared(["first", "second"])
    assert len(made) == 2
    results = given / "first" / "results.json"
    results.write_text(results.read_text() + " ")
    Runs(given).compared(["first", "second"])
    assert len(made) == 3
    _compared.cache_clear()


def test_each_table_of_a_comparison_is_whole(client, runs):
    from emospace.comparison import compare_runs

    folders = [runs / "second", runs / "first"]
    tables = compare_runs(folders, names=["second", "first"]).tables
    responses = {
        name: client.get(f"/v1/compare/tables/{name}?run=second&run=first&limit=50000").json()
        for name in tables
    }
    assert {name: table["total"] for name, table in responses.items()} == {
        name: len(frame) for name, frame in tables.items()
    }
    by_run = [name for name, frame in tables.items() if "run" in frame.columns and len(frame)]
    assert {"differences", "figures"} <= set(by_run)
    for name in by_run:
        shown = str(tables[name]["run"].iloc[0])
        asked = {"run": ["second", "first"], "where[run]": shown}
        response = client.get(f"/v1/compare/tables/{name}", params=asked).json()
        assert response["total"] == (tables[name]["run"] == shown).sum() > 0


def test_tables_are_sorted_whatever_a_column_holds(tmp_path, monkeypatch):
    import pandas as pd

    frame = pd.DataFrame(
        {
            "mixed": ["b", 3, None, 10, "a"],
            "lists": [[2, 1], [1], None, [3], []],
            "n": pd.array([3, 1, None, 2, 5], dtype="Int64"),
        }
    )
    write_run(tmp_path / "one", "tiny-a", seed=1)
    monkeypatch.setattr("emospace.server.runs._tables", lambda _run: ["odd"])
    monkeypatch.setattr("emospace.server.runs._table", lambda *_: frame)
    with TestClient(create_app(make_engine(), Settings(runs=tmp_path)), base_url=HERE) as client:

        def rows(query):
            answer = client.get(f"/v1/runs/one/tables/odd?{query}")
            assert answer.status_code == 200, answer.text
            return [row[2] for row in answer.json()["rows"]]

        assert rows("") == [3, 1, None, 2, 5]
        assert rows("sort=n") == [1, 2, 3, 5, None]
        assert rows("sort=-mixed") == [3, 5, 1, 2, None]
        assert sorted(rows("sort=lists"), key=str) == [1, 2, 3, 5, None]
        assert rows("search=b") == [3]


def test_comparisons_that_wait_keep_nobody_else_waiting(runs, monkeypatch):
    """More comparisons than a pool has threads wait for one; what else is asked is answered meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    from emospace.server.runs import Runs

    release, entered, real, made = threading.Event(), threading.Event(), Runs.compared, []

    def slow(self, names):
        made.append(names)
        entered.set()
        assert release.wait(60)
        return real(self, names)

    monkeypatch.setattr(Runs, "compared", slow)
    settings = Settings(model="tiny", runs=runs)
    with (
        TestClient(create_app(make_engine(), settings), base_url=HERE) as client,
        ThreadPoolExecutor(60) as pool,
    ):
        asked = [pool.submit(client.get, "/v1/compare?run=second&run=first") for _ in range(60)]
        try:
            assert entered.wait(60)
            for path in ("/healthz", "/metrics", "/v1/runs", "/v1/models"):
                assert pool_free(client, path) == 200
            assert complete(client).status_code == 200
            assert len(made) == 1
        finally:
            release.set()
        assert {future.result().status_code for future in asked} == {200}


def pool_free(client, path) -> int:
    """Return the status of a path asked from a thread that is given up after a while."""
    statuses = []
    asking = threading.Thread(target=lambda: statuses.append(client.get(path).status_code), daemon=True)
    asking.start()
    asking.join(30)
    assert statuses, f"{path} waits"
    return statuses[0]


def test_health_metrics_and_the_reference(client):
    complete(client, emotion={"joy": 1})
    assert client.get("/healthz").json() == {"status": "ok", "model": "tiny"}
    metrics = client.get("/metrics").text
    assert 'emospace_requests_total{route="/v1/completions",status="200"}' in metrics
    assert "emospace_answer_tokens_total" in metrics
    assert PROMPTS[0] not in metrics
    schema = client.get("/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/emotions", "/v1/read", "/v1/runs"} <= set(schema["paths"])
    page = client.get("/docs")
    assert "emotion" in page.text
    assert "POST /v1/chat/completions" in page.text
    assert "<script" not in page.text


def test_a_model_without_vectors_or_reader_says_so():
    engine = make_engine()
    engine.bank = engine.reader = None
    with TestClient(create_app(engine), base_url=HERE) as client:
        assert client.get("/v1/emotions").json()["data"] == []
        error = check_error(complete(client, emotion={"joy": 1}), 400, "invalid_value")
        assert "emospace steer calibrate" in error["message"]
        check_error(client.post("/v1/read", json={"input": "rain"}), 404, "reading_off")
        assert complete(client).status_code == 200
