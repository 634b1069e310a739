"""The answers of the server in other forms than chat completions: OpenAI's Responses, and Ollama's."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from test_server_api import HERE, KEY, check_error, script, thinking_engine

from emospace.server import Settings, create_app
from served import PROMPTS, alone, make_engine

MESSAGES = [{"role": "user", "content": PROMPTS[0]}]
SHORT = {"temperature": 0, "num_predict": 12}


@pytest.fixture(scope="module")
def client():
    with TestClient(create_app(make_engine(), Settings(model="tiny")), base_url=HERE) as made:
        yield made


def respond(client, given=PROMPTS[0], **more):
    return client.post(
        "/v1/responses", json={"input": given, "temperature": 0, "max_output_tokens": 12, **more}
    )


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported"),
        ({"text": {"format": {"type": "json_object"}}}, "text", "unsupported"),
        ({"tools": [{"type": "web_search"}]}, "tools", "unsupported"),
        ({"reasoning": {"effort": "high"}}, "reasoning", "unsupported"),
        ({"n": 2}, "n", "invalid_value"),
        ({"given": []}, "input", "invalid_value"),
        ({"given": [{"type": "function_call_output", "output": "x"}]}, "input.0.type", "unsupported"),
        (
            {"given": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input.0.content.0.type",
            "unsupported",
        ),
        ({"max_output_tokens": 10**6}, "max_output_tokens", "invalid_value"),
        ({"given": "rain " * 60_000}, "input", "context_length_exceeded"),
        ({"emotion": {"jou": 1}}, "emotion", "unknown_emotion"),
        ({"model": "gpt-4"}, "model", None),
    ],
)
def test_what_a_response_cannot_be_is_refused_by_the_name_of_its_field(client, given, param, code):
    answer = respond(client, **given)
    if code is None:
        assert check_error(answer, 404, "model_not_found")["param"] == param
    else:
        assert check_error(answer, 400, code)["param"] == param


@pytest.mark.parametrize(
    "harmless",
    [
        {"text": {"format": {"type": "text"}}, "truncation": "disabled", "include": [], "tools": []},
        {"store": True, "metadata": {"a": "b"}, "user": "me", "parallel_tool_calls": False},
        {"reasoning": None, "previous_response_id": None, "background": False, "tool_choice": "auto"},
        {"max_output_tokens": 12, "seed": -1, "top_k": -1},
    ],
)
def test_fields_of_common_clients_that_change_nothing_are_let_pass(client, harmless):
    answer = respond(client, **harmless).json()
    assert answer["output"][0]["content"][0]["text"] == alone(make_engine(), PROMPTS[0])


def test_an_answer_that_was_cut_is_incomplete(client):
    answer = respond(client, max_output_tokens=2).json()
    assert answer["status"] == answer["output"][0]["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize("form", ["responses", "ollama"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_thought_is_kept_apart_from_the_answer(monkeypatch, stream, form):
    engine = thinking_engine()
    script(monkeypatch, engine, "hm</think>joy")
    with TestClient(create_app(engine, Settings(model="tiny")), base_url=HERE) as client:
        if form == "ollama":
            response = client.post("/api/chat", json={"messages": MESSAGES, "stream": stream})
            lines = [json.loads(line)["message"] for line in response.text.splitlines()]
            thought, text = (
                "".join(line.get(name, "") for line in lines) for name in ("thinking", "content")
            )
        elif stream:
            response = client.post("/v1/responses", json={"input": PROMPTS[0], "stream": True})
            events = [json.loads(part.split("data: ")[1]) for part in response.text.split("\n\n") if part]
            kinds = [event["type"] for event in events]
            assert kinds.index("response.reasoning_text.done") < kinds.index("response.content_part.added")
            thought, text = (
                "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")
                for kind in ("reasoning_text", "output_text")
            )
            assert [item["type"] for item in events[-1]["response"]["output"]] == ["reasoning", "message"]
        else:
            reasoning, message = client.post("/v1/responses", json={"input": PROMPTS[0]}).json()["output"]
            thought, text = reasoning["content"][0]["text"], message["content"][0]["text"]
    assert (thought, text) == ("hm", "joy")


@pytest.mark.parametrize("tone", [{}, {"emotion": {"joy": 1.0}, "dose": 0.9}])
@pytest.mark.parametrize("beside", [True, False])
def test_ollamas_chat_streams_unless_told_otherwise(client, tone, beside):
    expected = alone(make_engine(), PROMPTS[0], tone.get("emotion"), dose=tone.get("dose"))
    given = {"model": "tiny:latest", "messages": MESSAGES, "options": SHORT, **tone}
    if not beside:
        given = {"model": "tiny", "messages": MESSAGES, "options": {**SHORT, **tone}}
    stream = client.post("/api/chat", json=given)
    assert stream.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in stream.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == expected
    assert [line["done"] for line in lines] == [*[False] * (len(lines) - 1), True]
    whole = client.post("/api/chat", json={**given, "stream": False}).json()
    assert whole["message"] == {"role": "assistant", "content": expected}
    assert whole["done"] and whole["done_reason"] in ("stop", "length")
    assert whole["eval_count"] == lines[-1]["eval_count"] > 0
    assert bool(whole["steering"]) == bool(tone)


def test_ollamas_options_are_taken_or_refused_by_name(client):
    def ask(**options):
        return client.post("/api/chat", json={"messages": MESSAGES, "stream": False, "options": options})

    assert ask(num_ctx=4096, num_predict=-1, seed=-1, repeat_penalty=1, temperature=0).status_code == 200
    for name, value in (("repeat_penalty", 1.3), ("min_p", 0.1), ("nonsense", 1)):
        assert check_error(ask(**{name: value}), 400, "unsupported")["param"] == name
    asked = {"messages": MESSAGES, "format": "json"}
    assert check_error(client.post("/api/chat", json=asked), 400, "unsupported")["param"] == "response_format"
    check_error(
        client.post("/api/chat", json={"model": "llama3", "messages": MESSAGES}), 404, "model_not_found"
    )


def test_ollamas_clients_find_the_model(client):
    (card,) = client.get("/api/tags").json()["models"]
    assert card["name"] == "tiny" and card["details"]["family"] == "llama"
    assert client.get("/api/version").json()["version"]


def test_the_other_forms_need_a_key_too():
    settings = Settings(model="tiny", api_keys=[KEY])
    with TestClient(create_app(make_engine(), settings), base_url=HERE) as client:
        for path in ("/api/chat", "/v1/responses", "/v1/embeddings"):
            check_error(client.post(path, json={"messages": MESSAGES}), 401, "invalid_api_key")
        check_error(client.get("/api/tags"), 401, "invalid_api_key")
