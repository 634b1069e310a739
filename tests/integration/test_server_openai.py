"""The real `openai` package against a running server: tones, crowds, and clients that leave."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest

from emospace.server import Settings
from emospace.server.app import bind, uvicorn_server
from served import PROMPTS, alone, make_engine

KEY = "a-key-that-is-long-enough"
TONES = ({}, {"joy": 1.0}, {"sadness": 1.0}, {"fear": 0.6, "joy": 0.4}, {"valence": -0.7, "arousal": 0.6})


@contextmanager
def running(engine, **settings):
    """Serve on a free port of this machine."""
    asked = Settings(**{"model": "tiny", "port": 0, **settings})
    bound = bind(asked)
    running = uvicorn_server(engine, asked)
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
    with running(engine) as found:
        yield found


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
        found = list(crowd.map(ask, range(50)))
    assert found == [expected[prompt, str(tone), n] for prompt, tone, n in asked]


def test_chat_models_and_errors_through_the_client(address, engine):
    with client_of(address) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        messages = [{"role": "user", "content": PROMPTS[0]}]
        given = {"model": "tiny", "messages": messages, "max_completion_tokens": 12, "temperature": 0}
        told = client.chat.completions.create(**given, extra_body={"emotion": {"joy": 1.0}, "dose": 0.9})
        assert told.choices[0].message.content == alone(engine, PROMPTS[0], {"joy": 1.0}, dose=0.9)
        assert told.steering["dose"] == 0.9
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
        assert parts[-1].usage.completion_tokens == told.usage.completion_tokens
        with pytest.raises(openai.BadRequestError, match="Did you mean joy") as refused:
            client.chat.completions.create(**given, extra_body={"emotion": {"jou": 1}})
        assert (refused.value.code, refused.value.param) == ("unknown_emotion", "emotion")
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**given, "model": "gpt-4"})


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
        found = client.completions.create(model="tiny", prompt=PROMPTS[0], max_tokens=12, temperature=0)
    assert found.choices[0].text == alone(engine, PROMPTS[0])


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
            found = client.completions.create(model="tiny", prompt=PROMPTS[0], max_tokens=12, temperature=0)
            assert found.choices[0].text == alone(engine, PROMPTS[0])


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
