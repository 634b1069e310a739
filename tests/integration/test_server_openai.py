"""The real `openai` package against a running server: tones, crowds, and clients that leave."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import openai
import pytest

from emospace.server import Settings
from emospace.server.app import bind, uvicorn_server
from served import PROMPTS, alone, make_engine

KEY = "a-key-that-is-long-enough"
TONES = ({}, {"joy": 1.0}, {"sadness": 1.0}, {"fear": 0.6, "joy": 0.4}, {"valence": -0.7, "arousal": 0.6})


@contextmanager
def running(engine, servers=None, **settings):
    """Serve on a free port of this machine; the server is added to `servers`."""
    asked = Settings(**{"model": "tiny", "port": 0, **settings})
    bound = bind(asked)
    running = uvicorn_server(engine, asked)
    if servers is not None:
        servers.append(running)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        while not running.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        bound.close()


def client_of(address, key="none"):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def engine():
    return make_engine(rows=8, queue=64)


@pytest.fixture(scope="module")
def address(engine):
    with running(engine) as url:
        yield url


def test_fifty_clients_with_mixed_emotions_each_get_their_own_answer(address, engine):
    asked = [(PROMPTS[number % 5], TONES[(number * 7 // 5) % 5], 6 + number % 3 * 4) for number in range(50)]
    expected = {
        (prompt, str(tone), n): alone(engine, prompt, tone, n_tokens=n)
        for prompt, tone, n in {
            (prompt, str(tone), n): (prompt, tone, n) for prompt, tone, n in asked
        }.values()
    }
    assert len(set(expected.values())) > 30

    def ask(number):
        prompt, tone, n = asked[number]
        given = {"model": "tiny", "prompt": prompt, "max_tokens": n, "temperature": 0}
        with client_of(address) as client:
            if number % 2:
                parts = client.completions.create(**given, stream=True, extra_body={"emotion": tone})
                return "".join(part.choices[0].text for part in parts)
            return client.completions.create(**given, extra_body={"emotion": tone}).choices[0].text

    with ThreadPoolExecutor(50) as crowd:
        texts = list(crowd.map(ask, range(50)))
    assert texts == [expected[prompt, str(tone), n] for prompt, tone, n in asked]


def test_chat_models_and_errors_through_the_client(address, engine):
    with client_of(address) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        messages = [{"role": "user", "content": PROMPTS[0]}]
        given = {"model": "tiny", "messages": messages, "max_completion_tokens": 12, "temperature": 0}
        answer = client.chat.completions.create(**given, extra_body={"emotion": {"joy": 1.0}, "dose": 0.9})
        assert answer.choices[0].message.content == alone(engine, PROMPTS[0], {"joy": 1.0}, dose=0.9)
        assert answer.steering["dose"] == 0.9
        parts = list(
            client.chat.completions.create(
                **given,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"emotion": {"joy": 1.0}},
            )
        )
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
        assert text == alone(engine, PROMPTS[0], {"joy": 1.0})
        assert parts[-1].usage.completion_tokens == answer.usage.completion_tokens
        with pytest.raises(openai.BadRequestError, match="Did you mean joy") as refused:
            client.chat.completions.create(**given, extra_body={"emotion": {"jou": 1}})
        assert (refused.value.code, refused.value.param) == ("unknown_emotion", "emotion")
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**given, "model": "gpt-4"})


def test_responses_come_whole_and_streamed_through_the_client(address, engine):
    expected = alone(engine, PROMPTS[0], {"joy": 1.0}, dose=0.9)
    given = {"model": "tiny", "input": PROMPTS[0], "max_output_tokens": 12, "temperature": 0}
    tone = {"extra_body": {"emotion": {"joy": 1.0}, "dose": 0.9}}
    with client_of(address) as client:
        whole = client.responses.create(**given, **tone)
        events = list(client.responses.create(**given, **tone, stream=True))
        assert whole.output_text == expected
        assert whole.steering["dose"] == 0.9
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == expected
        assert [e.sequence_number for e in events] == list(range(len(events)))
        last = events[-1]
        assert last.type == f"response.{whole.status}"
        assert last.response.output_text == expected
        assert last.response.usage == whole.usage and whole.usage.total_tokens > whole.usage.output_tokens > 0
        with client.responses.stream(**given, **tone) as stream:
            pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
            assert "".join(pieces) == expected
        # A conversation goes on with what was given out, and instructions stand before it.
        turns = [{"role": "user", "content": "joy"}, *whole.output, {"role": "user", "content": "rain"}]
        more = client.responses.create(**{**given, "input": turns}, instructions="Be brief.")
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "joy"},
            {"role": "assistant", "content": expected},
            {"role": "user", "content": "rain"},
        ]
        chat = client.chat.completions.create(model="tiny", messages=messages, max_tokens=12, temperature=0)
        assert more.output_text == chat.choices[0].message.content
        with pytest.raises(openai.BadRequestError, match="no such emotion"):
            client.responses.create(**given, extra_body={"emotion": {"jou": 1}})
        with pytest.raises(openai.BadRequestError, match="gives no embeddings"):
            client.embeddings.create(model="tiny", input="joy")


def wait_until(true) -> None:
    """Wait for what another thread brings about, a minute at most."""
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_row(address, engine, stream, monkeypatch):
    counted = engine.metrics.answers.labels("cancelled")._value
    before, entered, step = counted.get(), threading.Event(), engine._batch.step

    def held():
        entered.set()
        wait_until(lambda: all(row.cancelled for row in engine._batch.rows))
        step()

    monkeypatch.setattr(engine._batch, "step", held)
    host, port = address.removeprefix("http://").split(":")
    body = (
        b'{"prompt": "rain", "max_tokens": 64, "temperature": 0, "stream": %s}' % str(stream).lower().encode()
    )
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert entered.wait(60)
    wait_until(lambda: counted.get() == before + 1)
    assert not engine._batch.rows
    monkeypatch.setattr(engine._batch, "step", step)
    with client_of(address) as client:
        answer = client.completions.create(model="tiny", prompt=PROMPTS[0], max_tokens=12, temperature=0)
    assert answer.choices[0].text == alone(engine, PROMPTS[0])


@contextmanager
def step_held(engine, monkeypatch):
    """Hold every token back until the event that it yields is set; the first event tells that one is held."""
    entered, release, step = threading.Event(), threading.Event(), engine._batch.step

    def held():
        entered.set()
        release.wait(60)
        step()

    monkeypatch.setattr(engine._batch, "step", held)
    try:
        yield entered, release
    finally:
        release.set()


ASKED = {"prompt": PROMPTS[0], "max_tokens": 12, "temperature": 0}


def post(address, path, body):
    return httpx.post(f"{address}/v1/{path}", json=body, timeout=60)


def test_requests_under_way_finish_when_the_server_is_told_to_stop(monkeypatch):
    engine, servers = make_engine(), []
    with step_held(engine, monkeypatch) as (entered, release), ThreadPoolExecutor(2) as clients:
        with running(engine, servers, drain=60) as address:
            answers = [
                clients.submit(post, address, "completions", {**ASKED, "stream": stream})
                for stream in (False, True)
            ]
            assert entered.wait(60)
            wait_until(lambda: len(engine._batch.rows) + len(engine._waiting) == 2)
            servers[0].should_exit = True
            wait_until(lambda: not servers[0].servers[0].is_serving())
            release.set()
        whole, stream = (answer.result(60) for answer in answers)
    text = alone(engine, PROMPTS[0])
    assert (whole.status_code, whole.json()["choices"][0]["text"]) == (200, text)
    pieces = [json.loads(line[6:]) for line in stream.text.split("\n\n") if line.startswith("data: {")]
    assert "".join(piece["choices"][0]["text"] for piece in pieces) == text
    assert stream.text.endswith("data: [DONE]\n\n")


def test_what_is_not_finished_in_time_is_told_that_the_server_stops(monkeypatch, caplog, capsys):
    engine, servers = make_engine(), []
    chat = {"messages": [{"role": "user", "content": "joy"}], "max_tokens": 12}
    with (
        step_held(engine, monkeypatch) as (entered, release),
        ThreadPoolExecutor(5) as clients,
        running(engine, servers, drain=0.2) as address,
    ):
        whole = [
            clients.submit(post, address, path, body)
            for path, body in (("completions", ASKED), ("chat/completions", chat))
        ]
        stream = clients.submit(post, address, "completions", {**ASKED, "stream": True})
        assert entered.wait(60)
        # The engine is busy: readings and perplexities wait behind it.
        whole += [
            clients.submit(post, address, path, {"input": "joy", **more})
            for path, more in (("read", {}), ("judge", {"prompt": "the"}))
        ]
        wait_until(lambda: len(engine._batch.rows) + len(engine._waiting) == 5)
        servers[0].should_exit = True
        for answer in whole:
            response = answer.result(60)
            assert response.status_code == 503, response.text
            assert response.json()["error"]["code"] == "shutting_down"
            assert response.json()["error"]["type"] == "server_error"
            assert int(response.headers["retry-after"]) >= 1
        events = stream.result(60).text.split("\n\n")
        assert json.loads(events[-3].removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert events[-2] == "data: [DONE]"
        release.set()
    assert "Traceback" not in caplog.text + capsys.readouterr().err
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert not engine.running


def test_who_interrupts_twice_waits_for_no_answer(monkeypatch, caplog, capsys):
    engine, servers = make_engine(), []
    with (
        step_held(engine, monkeypatch) as (entered, release),
        ThreadPoolExecutor(1) as clients,
        running(engine, servers, drain=600) as address,
    ):
        answer = clients.submit(post, address, "completions", ASKED)
        assert entered.wait(60)
        servers[0].handle_exit(signal.SIGINT, None)
        wait_until(lambda: not servers[0].servers[0].is_serving())
        servers[0].handle_exit(signal.SIGINT, None)
        assert answer.result(60).json()["error"]["code"] == "shutting_down"
        release.set()
    assert "Traceback" not in caplog.text + capsys.readouterr().err
    assert not engine.running


def raw(address, *pieces, pause=0.0):
    """Send bytes and return all that comes back."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        received = b""
        while more := connection.recv(65536):
            received += more
    return received


def test_headers_that_are_half_sent_time_out(monkeypatch):
    monkeypatch.setattr("emospace.server.connections.HEAD_SECONDS", 0.5)
    with running(make_engine()) as address:
        half = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        assert b"headers_too_slow" in raw(address, half)
        assert raw(address) == b""
        # A second request of a connection has no more time than the first.
        answered = raw(address, half + b"\r\n" + half)
        assert answered.startswith(b"HTTP/1.1 200")
        slow = raw(address, half, *[b"x-a: b\r\n"] * 3, pause=0.1)
        assert slow.startswith(b"HTTP/1.1 408")
        assert b"200 OK" in raw(address, half, b"Connection: close\r\n\r\n", pause=0.1)


def test_what_is_no_http_is_refused_in_the_shape_of_every_error():
    with running(make_engine()) as address:
        answer = raw(address, b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


def test_ten_megabytes_and_a_wrong_key_are_refused():
    engine = make_engine()
    with running(engine, api_keys=(KEY,)) as address:
        with (
            client_of(address, "a-wrong-key-of-some-length") as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()
        with client_of(address, KEY) as client:
            with pytest.raises(openai.APIStatusError) as refused:
                client.completions.create(model="tiny", prompt="x" * 10_000_000)
            assert refused.value.status_code == 413
            answer = client.completions.create(model="tiny", prompt=PROMPTS[0], max_tokens=12, temperature=0)
            assert answer.choices[0].text == alone(engine, PROMPTS[0])


def test_a_full_queue_is_a_rate_limit_to_the_client():
    engine = make_engine(rows=1, queue=1)
    with running(engine) as address, client_of(address) as client:
        entered, release = threading.Event(), threading.Event()
        engine.call("holder", lambda: (entered.set(), release.wait(60)))
        assert entered.wait(60)
        engine.call("waits", lambda: None)
        with pytest.raises(openai.RateLimitError) as refused:
            client.completions.create(model="tiny", prompt="rain")
        assert int(refused.value.response.headers["retry-after"]) >= 1
        release.set()


def test_an_address_that_is_taken_is_said():
    from emospace.errors import EmospaceError

    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.listen()
        with pytest.raises(EmospaceError, match="cannot be bound"):
            bind(Settings(port=taken.getsockname()[1]))
