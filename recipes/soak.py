"""Ask a running server for as long as you like, half of the clients badly behaved, and see that nothing gives way.

    python recipes/soak.py [--minutes 60] [--clients 50] [--out docs/results/soak.json]

Starts `emospace serve` itself, on a free port of this machine: every route, answers that are read whole, slowly, or left,
bodies that are wrong. Then answers are timed at 1, 8 and 32 clients. Fails (exit code 1) where an answer is wrong in kind,
a row stays behind, or memory grows: the interval of its slope, once the server is warm, lies above zero and the growth
above `--growth` MB.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

TONES: tuple[dict[str, float], ...] = (
    {},
    {"joy": 1.0},
    {"sadness": 0.8, "fear": 0.2},
    {"valence": 0.8, "arousal": -0.3},
    {"fear": 1.0},
)
PROMPTS = (
    "Tell me about your day.",
    "Describe a street.",
    "What is a river?",
    "写一句话。",
    "Write to a friend. " * 12,
)
CHAT, PAUSE = "/v1/chat/completions", 0.3
"""The route of most requests, and the seconds that a slow reader lets pass before each line."""
CLIENTS = (1, 8, 32)
"""Numbers of clients at which answers are timed."""

SERVE = "from emospace.cli import main; main()"
PLANTED = f"""import sys
sys.path[:0] = [{str(Path(__file__).parents[1] / "tests")!r}]
from emospace.server import Settings
from emospace.server.app import serve
from served import make_engine
serve(make_engine(), Settings(model="planted", port=0))"""
"""What a server's process runs: the command line, or the random model of the tests with planted vectors."""

Ask = Callable[[httpx.Client, dict[str, Any]], bool]


def get(path: str) -> Ask:
    """Return what asks for a page or list."""
    return lambda client, body: client.get(path).status_code == 200


def post(path: str, right: int = 200, **changed: Any) -> Ask:
    """Return what sends a body with some fields changed, and says whether the status is the right one."""
    return lambda client, body: client.post(path, json={**body, **changed}).status_code in (right, 429)


def streamed(pause: float = 0.0, leaves: bool = False) -> Ask:
    """Return what reads an answer line by line, slowly, or leaves after the first."""

    def ask(client: httpx.Client, body: dict[str, Any]) -> bool:
        with client.stream("POST", CHAT, json={**body, "stream": True}) as response:
            if response.status_code == 429:
                return True
            lines = []
            for line in response.iter_lines():
                lines.append(line)
                if leaves:
                    return line.startswith("data: ")
                time.sleep(pause)
            return lines[-2:] == ["data: [DONE]", ""]

    return ask


def raw(content: bytes, right: tuple[int, ...]) -> Ask:
    """Return what sends bytes as they are."""
    headers = {"content-type": "application/json"}
    return lambda client, body: client.post(CHAT, content=content, headers=headers).status_code in right


KINDS: Mapping[str, tuple[int, Ask]] = {
    "whole": (30, post(CHAT)),
    "completion": (
        8,
        lambda client, body: post("/v1/completions")(client, {"prompt": "Once", "max_tokens": 4}),
    ),
    "stream": (20, streamed()),
    "slow reader": (4, streamed(PAUSE)),
    "leaves": (8, streamed(leaves=True)),
    "read": (
        8,
        lambda client, body: client.post("/v1/read", json={"input": "a sad day"}).status_code in (200, 429),
    ),
    "resolve": (
        4,
        lambda client, body: client.post("/v1/emotions/resolve", json={"emotion": "joy"}).status_code == 200,
    ),
    "emotions": (3, get("/v1/emotions")),
    "models": (3, get("/v1/models")),
    "page": (2, get("/")),
    "metrics": (2, get("/metrics")),
    "unknown emotion": (3, post(CHAT, 400, emotion={"joi": 1})),
    "wrong type": (2, post(CHAT, 400, max_tokens="many")),
    "no JSON": (2, raw(b'{"messages": [', (400, 422))),
    "nested deeply": (1, raw(b'{"messages":' * 50_000, (400, 413, 422))),
    "too large": (
        1,
        lambda client, body: client.post(CHAT, json={**body, "user": "x" * 10_000_000}).status_code == 413,
    ),
}


def main() -> None:
    """Run the soak and publish its figures."""
    from emospace.artefacts import write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="embedded", help="planted: the random model of the tests")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long clients ask")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=12, help="tokens of an answer, at most")
    parser.add_argument(
        "--timed", type=int, default=32, help="answers that are timed at each number of clients"
    )
    parser.add_argument("--growth", type=float, default=64.0, help="MB that the server may grow by")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    asked = parser.parse_args()
    command = [
        sys.executable,
        "-c",
        PLANTED if asked.model == "planted" else SERVE,
        "serve",
        "--model",
        asked.model,
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = address_of(process)
        counts, memory = soak(address, process.pid, asked)
        latency = [timed(address, n, asked) for n in CLIENTS]
        left = rows_left(address)
    finally:
        process.terminate()
        process.wait(60)
    wrong = {kind: count for kind, count in counts.items() if kind.endswith("wrong")}
    slope = slope_of(memory)
    figures = {
        **{"model": asked.model, "minutes": asked.minutes, "clients": asked.clients, "requests": counts},
        **{"wrong": sum(wrong.values()), "slope_mb_per_hour": slope, "memory": memory, "latency": latency},
        "rows_left": left,
    }
    print(json.dumps({name: value for name, value in figures.items() if name != "memory"}, indent=1))
    if asked.out:
        write_json(asked.out, made_by(command_line()) | figures)
    grown = slope[1] > 0 and slope[0] * asked.minutes / 60 > asked.growth
    if wrong or left or grown:
        raise SystemExit(
            f"soak failed: {wrong or (f'{left} rows left' if left else f'memory grows: {slope}')}"
        )


def address_of(process: subprocess.Popen[str]) -> str:
    """Return the address that a server says it has, and let the rest of what it says pass."""
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if named := re.match(r"(http://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return named[1]
    raise SystemExit("the server did not start")


def soak(address: str, pid: int, asked: argparse.Namespace) -> tuple[dict[str, int], list[list[float]]]:
    """Return what came of the requests, and the seconds and resident MB every two seconds."""
    counts: Counter[str] = Counter()
    began, ends = time.monotonic(), time.monotonic() + 60 * asked.minutes
    memory: list[list[float]] = []

    def client_of(number: int) -> Counter[str]:
        chance, seen = random.Random(f"{asked.seed} {number}"), Counter[str]()
        with httpx.Client(base_url=address, timeout=600) as client:
            while time.monotonic() < ends:
                kind = chance.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
                seen[kind if answered(client, kind, chance, asked.tokens) else f"{kind}: wrong"] += 1
        return seen

    with ThreadPoolExecutor(asked.clients) as crowd:
        futures = [crowd.submit(client_of, number) for number in range(asked.clients)]
        while not all(future.done() for future in futures):
            memory.append([time.monotonic() - began, resident(pid)])
            time.sleep(2)
        for future in futures:
            counts.update(future.result())
    return dict(sorted(counts.items())), memory


def answered(client: httpx.Client, kind: str, chance: random.Random, tokens: int) -> bool:
    """Send one request and say whether it went as it should."""
    messages = [{"role": "user", "content": chance.choice(PROMPTS)}]
    body = {"messages": messages, "max_tokens": tokens, "emotion": chance.choice(TONES)}
    try:
        return KINDS[kind][1](client, body)
    except httpx.HTTPError as error:
        print(f"{kind}: {type(error).__name__}: {error}", file=sys.stderr)
        return False


def timed(address: str, clients: int, asked: argparse.Namespace) -> dict[str, float]:
    """Return the seconds to the first token and for each further one, of so many clients at once."""

    def one(number: int) -> tuple[float, list[float]]:
        chance = random.Random(number)
        messages = [{"role": "user", "content": chance.choice(PROMPTS)}]
        body = {"messages": messages, "max_tokens": 32, "emotion": {"joy": 1.0}, "stream": True}
        began, times = time.monotonic(), []
        with (
            httpx.Client(base_url=address, timeout=600) as client,
            client.stream("POST", CHAT, json=body) as response,
        ):
            times.extend(
                time.monotonic() - began
                for line in response.iter_lines()
                if line.startswith("data: {") and '"content"' in line
            )
        return (times[0], list(np.diff(times))) if times else (float("nan"), [])

    with ThreadPoolExecutor(clients) as crowd:
        answers = list(crowd.map(one, range(max(asked.timed, clients))))
    firsts, gaps = [first for first, _ in answers], [gap for _, gaps in answers for gap in gaps]
    named = {"first": firsts, "token": gaps}
    return {"clients": clients, "answers": len(answers)} | {
        f"{name}_p{q}": round(float(np.nanpercentile(values, q)), 3)
        for name, values in named.items()
        for q in (50, 95)
    }


def resident(pid: int) -> float:
    """Return a process' resident memory in MB."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096 / 1e6


def slope_of(memory: list[list[float]], blocks: int = 10) -> tuple[float, float, float]:
    """Return the slope of memory in MB an hour with its 95% interval, from means of ten parts of the time once warm.

    The first third is left out. Samples of seconds that follow one another are alike; means of parts are less so.
    """
    from scipy.stats import linregress, t

    warm = np.array(memory[len(memory) // 3 :])
    if len(warm) < 2 * blocks:
        return float("nan"), float("nan"), float("nan")
    parts = np.array([part.mean(axis=0) for part in np.array_split(warm, blocks)])
    fit = linregress(parts[:, 0] / 3600, parts[:, 1])
    half = t.ppf(0.975, blocks - 2) * fit.stderr
    return float(fit.slope), float(fit.slope - half), float(fit.slope + half)


def rows_left(address: str) -> float:
    """Return the rows that are in the batch or wait, by the server's own count, after a moment to end them."""
    for _ in range(20):
        metrics = httpx.get(f"{address}/metrics").text
        left = sum(map(float, re.findall(r"^emospace_(?:rows|waiting) (\S+)$", metrics, re.MULTILINE)))
        if not left:
            break
        time.sleep(0.5)
    return left


if __name__ == "__main__":
    main()
