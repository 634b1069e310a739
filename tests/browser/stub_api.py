"""A server of canned answers in the shapes of docs/serve.md: the page is tested without a model."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from stub_runs import (
    BASIC,
    CARD,
    CATEGORIES,
    UNREADABLE,
    WORDS,
    comparison,
    run_folder,
    run_list,
    run_results,
    run_tables,
)

from emospace.artefacts import jsonable
from emospace.comparison import Compared
from emospace.comparison.page import sections
from emospace.comparison.records import Comparison
from emospace.report.figure_data import figure_data, run_figures
from emospace.report.run import load_run
from emospace.server import Limits
from emospace.server.emotions import tried_doses
from emospace.server.gate import HEADERS
from emospace.server.pages import page_files
from emospace.server.schemas import Steered
from emospace.steering.bank import AXES

FILES = page_files()
BANK = SimpleNamespace(note=CARD["note"])
SHIFTS = {"wonderful": 3.4, "danced": 1.9, "laughed": 1.4, "shone": 0.9, "sun.": 2.4, "baker,": -1.15}
"""What the tone adds to the log-probability of words of the steered answer."""
PLAIN = "I went to the market in the morning, bought bread and some apples, and came home. In the afternoon I read."
STEERED = "What a wonderful day! I danced through the market, laughed with the baker, and the apples shone like the sun."
ENDLESS = "[endless]"


def model_card() -> dict:
    """Return the embedded model as `/v1/models` gives it."""
    return {
        "id": "embedded",
        "object": "model",
        "created": 1790000000,
        "owned_by": "emospace",
        "name": "SmolLM2-135M-Instruct",
        "chat": True,
        "n_blocks": 30,
        "d_model": 576,
        "context": 8192,
        "limits": Limits().model_dump(),
    }


def emotion_list() -> list[dict]:
    """Return the shipped calibration as `/v1/emotions` gives it."""
    emotions = []
    for entry in CARD["vectors"]:
        name, mode = entry["name"], entry["mode"]
        if mode != "relative":
            continue
        valence, arousal = CARD["positions"].get(name, (None, None))
        emotions.append(
            {
                "id": name,
                "object": "emotion",
                "kind": "axis" if name in AXES else "category",
                "basic": name in BASIC,
                "definition": "",
                "valence": valence,
                "arousal": arousal,
                "words": {"en": [name]},
                "vectors": {"relative": vector_of(entry["card"]) | tried_doses(BANK, name)},
            }
        )
    return emotions


def vector_of(card: dict) -> dict:
    """Return a calibrated vector as `/v1/emotions` gives it."""
    known = card["calibration"]["relative"]
    return {
        "kind": card["kind"],
        "op": "clamp",
        "scope": "all",
        "window": [0, None],
        "layers": [10, 14, 18],
        "shares": {"10": 0.33, "14": 0.33, "18": 0.34},
        **{name: known[name] for name in ("dose", "low", "high")},
        "guidance": card["guidance"],
    }


def steering_of(body: dict) -> dict | None:
    """Return what a tone would do; the mean of the parts stands for the server's own rule."""
    emotion = body.get("emotion")
    if not emotion:
        return None
    known = {entry["id"]: entry["vectors"]["relative"] for entry in emotion_list()}
    total = sum(abs(weight) for weight in emotion.values())
    strength = min(1.0, math.hypot(*emotion.values()) if set(emotion) <= set(AXES) else total)
    mean = {
        bound: sum(abs(weight) * known[name][bound] for name, weight in emotion.items()) / (total or 1)
        for bound in ("dose", "low", "high")
    }
    calibrated = mean["dose"] * strength
    return Steered(
        vector=",".join(emotion),
        mode="relative",
        op="clamp",
        scope="all",
        layers=[10, 14, 18],
        dose=body.get("dose") or calibrated,
        calibrated_dose=calibrated,
        low=mean["low"] * strength,
        high=mean["high"],
        beyond_range=False,
    ).model_dump()


def reading_of(text: str, n_features: int) -> dict:
    """Return a reading in which bright words are pleasant and dark ones are not."""
    categories = list(CATEGORIES)
    tokens = []
    for match in re.finditer(r"\s?[\w']+|[^\w\s]|[一-鿿]", text):
        word = match.group().strip().lower()
        pleasant = sum(word.startswith(stem) for stem in ("wonder", "laugh", "danc", "hug", "sun", "happy"))
        unpleasant = sum(word.startswith(stem) for stem in ("afraid", "trembl", "rain", "wait"))
        valence = 0.75 * pleasant - 0.6 * unpleasant + 0.08 * math.sin(len(tokens))
        scores = [0.6 * math.sin(place + len(tokens)) for place in range(len(categories))]
        scores[categories.index("joy")] += 4 * pleasant
        scores[categories.index("fear")] += 3 * unpleasant
        features = [
            {
                "latent": 100 + place,
                "activation": 1.3 / (place + 1),
                "category": ("joy" if pleasant else "fear"),
                "contribution": 0.5,
                "words": list(WORDS[place : place + 4]),
            }
            for place in range(min(n_features, 3) if pleasant or unpleasant else 0)
        ]
        tokens.append(
            {
                "token": match.group(),
                "start": match.start(),
                "end": match.end(),
                "valence": valence,
                "arousal": 0.3 * pleasant + 0.1 * math.cos(len(tokens)),
                "scores": scores,
                "features": features,
            }
        )
    mean = np.mean([token["scores"] for token in tokens], axis=0)
    return {
        "object": "list",
        "model": "embedded",
        "language": "en",
        "space": "sae",
        "layer": 18,
        "categories": categories,
        "data": [
            {
                "object": "reading",
                "index": 0,
                "text": text,
                "valence": float(np.mean([token["valence"] for token in tokens])),
                "arousal": 0.05,
                "scores": [float(score) for score in mean],
                "tokens": tokens,
            }
        ],
        "usage": {"prompt_tokens": len(tokens), "total_tokens": len(tokens)},
    }


def judgement_of(text: str) -> dict:
    """Return a judgement: joy where the text is the steered one."""
    bright = "wonderful" in text
    basic = dict.fromkeys((*BASIC, "neutral"), 0.03)
    basic["joy" if bright else "neutral"] = 0.82
    judged = {
        "object": "judgement",
        "index": 0,
        "choice": "joy" if bright else "neutral",
        "basic": basic,
        "probability": {"joy": 0.7},
        "perplexity": 9.4 if bright else 5.2,
    }
    return {"object": "list", "judge": "subword", "labels": [*BASIC, "neutral"], "data": [judged]}


class StubServer(ThreadingHTTPServer):
    """Keeps every request; `fail` maps a path to an answer `(status, code, headers)` that is given instead.

    `pace` is the time between two pieces of an answer, in seconds; `breaks` the code of an error that ends it.
    """

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Let a client leave in the middle of an answer without a word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, dict]] = []
        self.left = threading.Event()
        self.closing = threading.Event()
        self.fail: dict[str, tuple[int, str, dict[str, str]]] = {}
        self.key: str | None = None
        self.pace = 0.0
        self.breaks: str | None = None
        self.tables = {"demo": run_tables(0), "gemma": run_tables(50)}

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def sent(self, path: str) -> list[dict]:
        """Return the bodies sent to a path."""
        return [body for where, body in self.requests if where == path]


class Handler(BaseHTTPRequestHandler):
    """The page's files under /, the canned API under /v1."""

    protocol_version = "HTTP/1.1"
    server: StubServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/v1"):
            self.api(parts.path, {}, parse_qs(parts.query))
        else:
            self.file(unquote(parts.path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.api(urlsplit(self.path).path, body, {})

    def file(self, path: str) -> None:
        place = FILES.get(path.lstrip("/") or "index.html")
        if place is None:
            return self.give(404, b"", "text/plain")
        return self.give(200, place.read_bytes(), guess_type(place.name)[0] or "text/plain")

    def give(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": HEADERS["content-security-policy"],
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.give(status, json.dumps(value).encode(), "application/json", headers)

    def api(self, path: str, body: dict, query: dict[str, list[str]]) -> None:
        self.server.requests.append((path, body))
        failure = self.server.fail.get(path)
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            failure = (401, "invalid_api_key", {})
        if failure:
            status, code, headers = failure
            error = {"message": f"the stub says {code}", "type": "error", "param": None, "code": code}
            return self.json({"error": error}, status, headers)
        if path == "/v1/chat/completions":
            return self.chat(body)
        return self.json(self.answer(path, body, query))

    def answer(self, path: str, body: dict, query: dict[str, list[str]]) -> dict:
        if path == "/v1/models":
            return {"object": "list", "data": [model_card()]}
        if path == "/v1/emotions":
            return {"object": "list", "model": "embedded", "modes": ["relative"], "data": emotion_list()}
        if path == "/v1/emotions/resolve":
            return {"object": "emotion.resolved", "steering": steering_of(body)}
        if path == "/v1/read":
            return reading_of(body["input"], body["features"])
        if path == "/v1/judge":
            return judgement_of(body["input"])
        if path == "/v1/runs":
            return {"object": "list", "data": run_list(), "unreadable": [UNREADABLE]}
        if path.startswith("/v1/compare"):
            compared = comparison(tuple(query["run"]))
            if query.get("compute") == ["false"]:
                compared["comparison"]["rsa"] = []
            if path == "/v1/compare":
                return compared
            records = Comparison.model_validate(compared["comparison"])
            blocks = (block for section in sections(Compared(records, {})) for block in section.blocks)
            return jsonable({"object": "figures", "run": None, "runs": query["run"]} | figure_data(blocks))
        _, _, _, run, *table = path.split("/")
        if table == ["figures"]:
            return self.figures(run, query)
        if not table:
            entry = next(entry for entry in run_list() if entry["id"] == run)
            return {**entry, **run_results(0.0 if run == "demo" else -0.1)}
        return self.table(run, table[1], query)

    def figures(self, run: str, query: dict[str, list[str]]) -> dict:
        part = query["part"][0]
        layer = int(query["layer"][0]) if "layer" in query else None
        drawn = run_figures(
            load_run(run_folder(run)), part, tuple(query.get("language", ())), layer,
            query.get("categories", ["basic"])[0], query.get("people", ["true"])[0] == "true",
        )  # fmt: skip
        return jsonable({"object": "figures", "run": run, "part": part} | drawn)

    def table(self, run: str, name: str, query: dict[str, list[str]]) -> dict:
        columns, rows = self.server.tables[run][name]
        for column, values in query.items():
            if column in columns:
                at = columns.index(column)
                rows = [row for row in rows if str(row[at]) in values]
        if wanted := query.get("search", [""])[0].lower():
            rows = [
                row for row in rows if any(wanted in cell.lower() for cell in row if isinstance(cell, str))
            ]
        if order := query.get("sort", [""])[0]:
            at = columns.index(order.lstrip("-"))
            rows = sorted(rows, key=lambda row: row[at], reverse=order.startswith("-"))
        limit = int(query.get("limit", ["1000"])[0])
        return {
            "object": "table",
            "run": run,
            "table": name,
            "columns": columns,
            "rows": rows[:limit],
            "total": len(rows),
            "offset": 0,
        }

    def chat(self, body: dict) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        steering = steering_of(body)
        whole = STEERED if steering else PLAIN
        endless = ENDLESS in body["messages"][0]["content"]
        pieces = (
            itertools.cycle([*whole.split(" ")]) if endless else [f" {piece}" for piece in whole.split(" ")]
        )
        silent = 0.0 if steering else None
        try:
            self.choice({"role": "assistant", "content": ""}, shift=silent)
            for piece in pieces:
                shift = SHIFTS.get(piece.strip(), 0.05) if steering else None
                self.choice({"content": piece}, shift=shift)
                if self.server.closing.wait(0.02 if endless else self.server.pace):
                    break
            if self.server.breaks:
                return self.event({"error": {"message": "the stub says so", "code": self.server.breaks}})
            self.choice(
                {}, "stop", silent, **({"steering": steering | {"applications": 234}} if steering else {})
            )
            usage = {"prompt_tokens": 12, "completion_tokens": 24, "total_tokens": 36}
            self.event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except (BrokenPipeError, ConnectionResetError):
            self.server.left.set()
        finally:
            self.close_connection = True

    def choice(
        self, delta: dict, finish: str | None = None, shift: float | None = None, **more: object
    ) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        if shift is not None:
            choice |= {"shift": shift, "steered": True}
        self.event({"choices": [choice], **more})

    def event(self, fields: dict) -> None:
        envelope = {
            "id": "chatcmpl-0",
            "object": "chat.completion.chunk",
            "created": 1790000000,
            "model": "embedded",
        }
        chunk = envelope | fields
        # Cut in the middle, as a network may.
        written = f": keep\r\n\r\ndata: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n".encode()
        for part in (written[:23], written[23:]):
            self.wfile.write(part)
            self.wfile.flush()


@contextmanager
def serving():
    """Serve on a free port of loopback until the block ends."""
    server = StubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
