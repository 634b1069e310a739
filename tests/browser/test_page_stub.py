"""The stub answers as the server does: the same fields, of the same kinds; so the page is tested against the server's shapes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from fastapi.testclient import TestClient
from stub_api import serving

from emospace.server import Settings, create_app
from planted_runs import write_run
from served import make_engine

MAPS = {"beyond", "words", "vectors", "shares", "basic", "probability", "versions", "files", "carriers"}
"""Objects whose fields are names of emotions, layers, figures and the like."""

TONE = {"emotion": {"joy": 0.7, "sadness": 0.3}}
SAID = {"messages": [{"role": "user", "content": "Tell me about your day."}]}
RUNS = "run=demo&run=gemma"
ASKED = {
    "/v1/models": None,
    "/v1/emotions": None,
    "/v1/emotions/resolve": TONE,
    "/v1/read": {"input": "She laughed.", "features": 5},
    "/v1/judge": {"input": "What a wonderful day!", **SAID, "language": "en"},
    "/v1/runs": None,
    "/v1/runs/demo": None,
    "/v1/runs/demo/tables/rdm_layers?language=en&layer=2": None,
    "/v1/runs/demo/tables/rdm_en?limit=2": None,
    "/v1/runs/demo/figures?part=rdms&language=en": None,
    "/v1/runs/demo/figures?part=rdms&language=en&layer=2": None,
    f"/v1/compare?{RUNS}": None,
    f"/v1/compare?{RUNS}&compute=false": None,
    f"/v1/compare/figures?{RUNS}&compute=false": None,
}
DRAWN = {"variants", "options"}
"""What Plotly and the script of figures read, made by the report itself."""
KINDS = {bool: "truth", int: "number", float: "number", str: "text", list: "list", dict: "object"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("demo", "gemma")):
        write_run(folder / name, f"tiny-{name}", seed=seed, languages=("en", "zh"))
    (folder / "old").mkdir()
    (folder / "old" / "results.json").write_text("{}")
    with TestClient(create_app(make_engine(), Settings(runs=folder)), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def stub():
    with serving() as server:
        yield server


def asked(stub, path: str, body: dict | None = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(stub.address.rstrip("/") + path, data)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def check_alike(stub, real, where: str, name: str = "") -> None:
    """Fail where two answers differ in a field or a kind; null is of every kind, an empty list tells nothing."""
    if stub is None or real is None or name in DRAWN:
        return
    assert KINDS[type(stub)] == KINDS[type(real)], where
    if isinstance(stub, list) and stub and real:
        for item in stub if isinstance(stub[0], dict) else stub[:1]:
            check_alike(item, real[0], f"{where}[]")
    elif isinstance(stub, dict) and name in MAPS:
        check_alike(list(stub.values()), list(real.values()), f"{where}.*")
    elif isinstance(stub, dict):
        assert set(stub) == set(real), where
        for field in stub:
            check_alike(stub[field], real[field], f"{where}.{field}", field)


@pytest.mark.parametrize("path", ASKED)
def test_the_stub_answers_as_the_server_does(stub, real, path):
    body = ASKED[path]
    answer = real.get(path) if body is None else real.post(path, json=body)
    status, given = asked(stub, path, body)
    assert status == answer.status_code == 200, answer.text
    check_alike(json.loads(given), answer.json(), path)


# The stub's vectors were calibrated under guidance, as the shipped ones were.
@pytest.mark.parametrize(
    "tone", [{}, TONE | {"guidance": {"weight": 3, "plausible": 0.05}}], ids=["plain", "steered"]
)
def test_the_stub_streams_as_the_server_does(stub, real, tone):
    body = {**SAID, **tone, "max_tokens": 4, "stream": True, "stream_options": {"include_usage": True}}
    streams = [
        asked(stub, "/v1/chat/completions", body)[1].decode(),
        real.post("/v1/chat/completions", json=body).text,
    ]
    lines = [
        [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
        for stream in streams
    ]
    assert lines[0][-1] == lines[1][-1] == "[DONE]"
    first, second = ([json.loads(line) for line in part[:-1]] for part in lines)
    # The first piece, a piece of text, the end of the answer, the usage.
    for place in (0, 1, -2, -1):
        check_alike(first[place], second[place], f"event {place}")
    assert ("steering" in first[-2]) == bool(tone)


def test_the_stub_fails_as_the_server_does(stub, real):
    stub.fail["/v1/read"] = (400, "invalid_value", {})
    status, given = asked(stub, "/v1/read", {"input": ""})
    answer = real.post("/v1/read", json={"input": ""})
    assert status == answer.status_code == 400
    check_alike(json.loads(given), answer.json(), "error")
