"""The language model judge, against a server of our own in a thread."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from emospace.errors import EmospaceError
from emospace.judges import BASIC_SEVEN, load_judge
from emospace.judges.endpoint import KEY, REASONING, TRIES, Endpoint
from emospace.judges.llm import AT_ONCE, load_llm, scores_of

JOY = dict.fromkeys(BASIC_SEVEN, 0) | {"joy": 80, "surprise": 20}


NOW = 1_800_000_000.0


class _Server(ThreadingHTTPServer):
    """Answers as planned; `refuse` may answer 400 to a request's body, `together` is passed by that many at once."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[dict, dict]] = []
        self.failures: list[int | tuple[int, dict]] = []
        self.answer = json.dumps(JOY)
        self.raw: bytes | None = None
        self.refuse = lambda body: ""
        self.answers = lambda body: (self.answer, "stop")
        self.together: threading.Barrier | None = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), body))
        if self.server.failures:
            failure = self.server.failures.pop(0)
            status, headers = failure if isinstance(failure, tuple) else (failure, {})
            return self._reply(status, b"", headers)
        if refusal := self.server.refuse(body):
            return self._reply(400, refusal.encode())
        if self.server.together is not None and body["messages"][1]["content"] != "first":
            self.server.together.wait(timeout=20)
        content, reason = self.server.answers(body)
        reply = {"choices": [{"message": {"content": content}, "finish_reason": reason}]}
        return self._reply(200, self.server.raw or json.dumps(reply).encode())

    def _reply(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def _served():
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


endpoint = pytest.fixture(_served, name="endpoint")
other = pytest.fixture(_served, name="other")


@pytest.fixture
def pauses():
    return []


def _judge(endpoint, tmp_path, pauses=None):
    judge = load_llm(f"llm:some/model@{endpoint.url}", folder=tmp_path)
    made = judge.endpoint
    waits = (lambda seconds: pytest.fail("waited")) if pauses is None else pauses.append
    asked = Endpoint(made.url, made.model, made.parameters, sleep=waits, now=lambda: NOW)
    return replace(judge, endpoint=asked)


def test_judges_and_asks_no_text_twice(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    judgement = _judge(endpoint, tmp_path).judge(["What a day!", "What a day!", "Hm."])
    assert len(endpoint.requests) == 2
    headers, body = endpoint.requests[0]
    assert headers["Authorization"] == "Bearer secret"
    assert (body["temperature"], body["model"]) == (0, "some/model")
    assert body["messages"][1] == {"role": "user", "content": "What a day!"}
    assert judgement.for_category("joy").tolist() == [0.8] * 3
    assert judgement.seven.sum(axis=1) == pytest.approx([1, 1, 1])
    assert judgement.choice.tolist() == ["joy"] * 3

    again = _judge(endpoint, tmp_path).judge(["Hm.", "What a day!"])
    assert len(endpoint.requests) == 2
    assert np.array_equal(again.probability, judgement.probability[:2])
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_the_prompt_is_what_is_sent(endpoint, tmp_path):
    judge = _judge(endpoint, tmp_path)
    judge.judge(["x"])
    assert judge.prompt == endpoint.requests[0][1]["messages"][0]["content"]
    assert all(label in judge.prompt for label in BASIC_SEVEN)
    assert judge.name == f"llm:some/model@{endpoint.url}"
    assert judge.auroc("en", "joy") is judge.recall("en", "joy") is None


@pytest.mark.parametrize(
    "answer", ["I think joy.", "{", json.dumps({"joy": 100}), json.dumps(JOY | {"fear": "much"})]
)
def test_a_bad_answer_is_unjudged_counted_and_kept(endpoint, tmp_path, capsys, answer):
    endpoint.answer = answer
    judge = _judge(endpoint, tmp_path)
    judgement = judge.judge(["x", "y"])
    assert judgement.unjudged.all()
    assert np.isnan(judgement.probability).all()
    assert judgement.choice.tolist() == ["unjudged"] * 2
    assert "2 of 2 texts unjudged" in capsys.readouterr().err
    judge.judge(["x"])
    assert len(endpoint.requests) == 2


def test_scores_only_within_their_range():
    assert scores_of(f"Here:\n```json\n{json.dumps(JOY)}\n```", BASIC_SEVEN).max() == 0.8
    for value in (101, -1, True, None, float("nan")):
        assert scores_of(json.dumps(JOY | {"joy": value}), BASIC_SEVEN) is None


def test_all_zero_chooses_nothing(endpoint, tmp_path):
    endpoint.answer = json.dumps(dict.fromkeys(BASIC_SEVEN, 0))
    assert _judge(endpoint, tmp_path).judge(["x"]).choice.tolist() == ["unjudged"]


def test_waits_longer_each_time_and_goes_on(endpoint, tmp_path, pauses):
    endpoint.failures = [429, 503, 500]
    assert _judge(endpoint, tmp_path, pauses).judge(["x"]).choice.tolist() == ["joy"]
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize(
    ("after", "waited"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("3600", 60),
        (formatdate(NOW + 12, usegmt=True), 12),
        (formatdate(NOW - 12, usegmt=True), 0),
        ("soon", 1),
    ],
)
def test_waits_as_long_as_the_endpoint_asks(endpoint, tmp_path, pauses, after, waited):
    endpoint.failures = [(429, {"Retry-After": after})]
    _judge(endpoint, tmp_path, pauses).judge(["x"])
    assert pauses == [waited]


def test_gives_up_with_what_it_has_kept(endpoint, tmp_path, pauses):
    judge = _judge(endpoint, tmp_path, pauses)
    judge.judge(["first"])
    endpoint.failures = [503] * TRIES
    with pytest.raises(EmospaceError, match=r"503.*answers so far are kept"):
        judge.judge(["first", "second"])
    assert len(pauses) == TRIES - 1
    judge.judge(["first"])
    assert len(endpoint.requests) == 1 + TRIES


@pytest.mark.parametrize(("status", "hint"), [(401, KEY), (404, "serves the model")])
def test_a_refusal_is_not_repeated(endpoint, tmp_path, status, hint):
    endpoint.failures = [status]
    with pytest.raises(EmospaceError, match=f"{status}.*{hint}"):
        _judge(endpoint, tmp_path).judge(["x", "y"])
    assert len(endpoint.requests) == 1


def test_something_else_than_a_chat_endpoint(endpoint, tmp_path):
    endpoint.raw = b"<html>"
    with pytest.raises(EmospaceError, match="no chat completion"):
        _judge(endpoint, tmp_path).judge(["x"])


def test_a_line_cut_short_is_asked_again(endpoint, tmp_path):
    judge = _judge(endpoint, tmp_path)
    judge.judge(["x", "y"])
    judge.answers.write_text(judge.answers.read_text()[:-5])
    assert judge.judge(["x", "y"]).choice.tolist() == ["joy"] * 2
    judge.judge(["x", "y"])
    assert len(endpoint.requests) == 3


def test_nothing_listens(tmp_path):
    server = _Server()
    url = server.url
    server.server_close()
    with pytest.raises(EmospaceError, match="cannot be reached"):
        load_llm(f"m@{url}", folder=tmp_path).judge(["x"])


@pytest.mark.parametrize("name", ["llm:model", "llm:@http://x/v1", "llm:model@localhost"])
def test_a_name_without_model_or_url(name):
    with pytest.raises(EmospaceError, match="MODEL@http"):
        load_judge(name)


def test_no_text(endpoint, tmp_path):
    judgement = _judge(endpoint, tmp_path).judge([])
    assert judgement.seven.shape == (0, 7)
    assert not endpoint.requests


# --- what endpoints differ in


def newer_model(body):
    """Refuse as newer OpenAI models do."""
    if "max_tokens" in body:
        return json.dumps(
            {"error": {"message": "Use 'max_completion_tokens' instead.", "param": "max_tokens"}}
        )
    return json.dumps({"error": {"param": "temperature"}}) if "temperature" in body else ""


def only(*names):
    return lambda body: (
        "Bad Request"
        if {"max_tokens", "max_completion_tokens", "temperature"} & set(body) - set(names)
        else ""
    )


@pytest.mark.parametrize(
    ("refuse", "n_requests", "accepted"),
    [
        (newer_model, 3, {"max_completion_tokens"}),
        (lambda body: "temperature" if "temperature" in body else "", 2, {"max_tokens"}),
        (only("temperature", "max_completion_tokens"), 2, {"temperature", "max_completion_tokens"}),
        (only("max_completion_tokens"), None, {"max_completion_tokens"}),
        (only(), None, set()),
    ],
)
def test_an_endpoint_is_asked_again_with_what_it_takes_and_then_at_once(
    endpoint, tmp_path, refuse, n_requests, accepted
):
    endpoint.refuse = refuse
    judge = _judge(endpoint, tmp_path)
    assert judge.judge(["x"]).choice.tolist() == ["joy"]
    n = len(endpoint.requests)
    assert n == (n_requests or n)
    assert {"max_tokens", "max_completion_tokens", "temperature"} & set(endpoint.requests[-1][1]) == accepted
    judge.judge(["y", "z"])
    assert len(endpoint.requests) == n + 2
    assert ("default temperature" in judge.kind) is ("temperature" not in accepted)
    # Another run remembers it from the answers kept.
    again = _judge(endpoint, tmp_path)
    again.judge(["x", "w"])
    assert len(endpoint.requests) == n + 3
    assert again.kind == judge.kind


def test_a_refusal_that_no_parameter_mends_is_an_error_with_its_words(endpoint, tmp_path):
    endpoint.refuse = lambda body: f"no such thing, {sorted(body)}"
    with pytest.raises(EmospaceError, match=r"400.*no such thing.*max_tokens.*temperature"):
        _judge(endpoint, tmp_path).judge(["x"])


def test_what_a_filter_refuses_is_unjudged(endpoint, tmp_path):
    endpoint.refuse = lambda body: (
        '{"error": {"code": "content_filter"}}' if body["messages"][1]["content"] == "x" else ""
    )
    judge = _judge(endpoint, tmp_path)
    assert judge.judge(["x", "y"]).choice.tolist() == ["unjudged", "joy"]
    judge.judge(["x"])
    assert len(endpoint.requests) == 2


def test_a_model_that_reasons_gets_room_for_it(endpoint, tmp_path):
    def answers(body):
        if body["max_tokens"] < REASONING:
            return "<think>I wonder, {", "length"
        return '<think>{"joy": 1} or {</think>' + json.dumps(JOY), "stop"

    endpoint.answers = answers
    judge = _judge(endpoint, tmp_path)
    assert judge.judge(["x"]).choice.tolist() == ["joy"]
    assert len(endpoint.requests) == 2
    judge.judge(["y"])
    assert len(endpoint.requests) == 3


# --- side by side


def test_requests_run_side_by_side_and_answers_keep_their_order(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv(AT_ONCE, "4")
    endpoint.together = threading.Barrier(4)
    labels = {f"text {number}": BASIC_SEVEN[number % 7] for number in range(8)}
    endpoint.answers = lambda body: (
        json.dumps(dict.fromkeys(BASIC_SEVEN, 0) | {labels.get(body["messages"][1]["content"], "joy"): 90}),
        "stop",
    )
    judgement = _judge(endpoint, tmp_path).judge(["first", *labels])
    assert judgement.choice.tolist() == ["joy", *labels.values()]
    assert len(endpoint.requests) == 9


@pytest.mark.parametrize("given", ["0", "-1", "many", ""])
def test_the_number_of_requests_is_checked(monkeypatch, given):
    monkeypatch.setenv(AT_ONCE, given)
    with pytest.raises(EmospaceError, match=AT_ONCE):
        load_llm("m@http://x/v1")


def test_answers_under_way_are_kept_when_one_fails(endpoint, tmp_path, pauses, monkeypatch):
    monkeypatch.setenv(AT_ONCE, "2")
    endpoint.refuse = lambda body: "too long" if body["messages"][1]["content"] == "bad" else ""
    judge = _judge(endpoint, tmp_path, pauses)
    with pytest.raises(EmospaceError, match="too long"):
        judge.judge(["first", "bad", *(f"text {number}" for number in range(50))])
    n = len(endpoint.requests)
    kept = len(judge.answers.read_text(encoding="utf-8").splitlines())
    assert n < 52
    endpoint.refuse = lambda body: ""
    judge.judge(["first", "bad", *(f"text {number}" for number in range(50))])
    assert len(endpoint.requests) - n == 52 - kept


def test_the_key_is_sent_nowhere_else(endpoint, other, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    endpoint.failures = [(307, {"Location": f"{other.url}/chat/completions"})]
    with pytest.raises(EmospaceError, match=f"redirects to {other.url}"):
        _judge(endpoint, tmp_path).judge(["x"])
    assert not other.requests


def test_a_language_is_accepted_without_a_request(endpoint, tmp_path):
    _judge(endpoint, tmp_path).check_language("xx")
    assert not endpoint.requests
