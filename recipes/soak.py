"""Ask a running server for as long as you like, half of the clients badly behaved, and see that nothing gives way.

    python recipes/soak.py [--minutes 60] [--clients 50] [--out docs/results/soak.json]

Starts `emospace serve` itself, on a free port of this machine: every route, answers that are read whole, slowly, or left,
bodies that are wrong. Answers are greedy, and held against what the same prompt is answered in each tone by a server with
nothing else to do. Then answers are timed at 1, 8 and 32 clients, more is asked than may wait, and the server is stopped
with answers under way. Fails (exit code 1) where an answer is wrong in kind or tone, a row stays behind, overload or the
stop go wrong, or memory grows: the interval of its slope, once the server is warm, lies above zero and the growth above
`--growth` MB.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from emospace.specs import DRAIN_SECONDS, Limits

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
LEAVING = 6.0
"""Seconds beyond the drain within which a server that is told to stop has to be gone."""
CLIENTS, BUSY = (1, 8, 32), 429
"""Numbers of clients at which answers are timed; the status of a server that has too much to do."""
OTHER, CUT = "other words", "cut by the time of a request"
"""How an answer may differ from the same alone: in words of no tone, or, where the machine is too busy, in length."""
OTHER_WORDS = 0.01
"""The share of answers that may be in no tone's words: rounding depends on who else is in a batch, and near ties fall otherwise."""

SERVE = "from emospace.cli import main; main()"
PLANTED = f"""import sys
sys.path[:0] = [{str(Path(__file__).parents[1] / "tests")!r}]
from emospace.server import Settings
from emospace.server.app import serve
from served import make_engine
serve(make_engine(answer_tokens=200), Settings(model="planted", port=0))"""
"""What a server's process runs: the command line, or the random model of the tests with planted vectors."""


@dataclass(frozen=True)
class Body:
    """The body of a request, and what it is answered alone.

    Attributes
    ----------
    content
        The fields.
    tone
        The place of its tone in `TONES`.
    alone
        What the server answers to this prompt alone in each of `TONES`; empty where the answer is not held against it.
    """

    content: Mapping[str, Any]
    tone: int = 0
    alone: Sequence[str] = ()

    def tone_of(self, text: str, finish: str) -> str:
        """Return what is wrong with the words of an answer: those of another tone, or of none, or not all of them."""
        if not self.alone or text == self.alone[self.tone]:
            return ""
        if finish == "length" and self.alone[self.tone].startswith(text.rstrip("\ufffd")):
            return f"{CUT}: {text!r}"
        if text in self.alone:
            return f"wrong tone: {TONES[self.alone.index(text)]} instead of {TONES[self.tone]}: {text!r}"
        return f"{OTHER}: {text!r} instead of {self.alone[self.tone]!r}"


Ask = Callable[[httpx.Client, Body], str]
"""Sends a request and says what is wrong with the answer; nothing where it is as it should be."""


def status_of(response: httpx.Response, *right: int) -> str:
    """Return what is wrong with a status, with the beginning of the body."""
    return "" if response.status_code in (*right, BUSY) else f"{response.status_code} {response.text[:200]}"


def get(path: str) -> Ask:
    """Return what asks for a page or list."""
    return lambda client, body: status_of(client.get(path), 200)


def post(path: str, right: int = 200, **changed: Any) -> Ask:
    """Return what sends a body with some fields changed."""
    return lambda client, body: status_of(client.post(path, json={**body.content, **changed}), right)


def raw(content: bytes, *right: int) -> Ask:
    """Return what sends bytes as they are."""
    headers = {"content-type": "application/json"}
    return lambda client, body: status_of(client.post(CHAT, content=content, headers=headers), *right)


def whole(client: httpx.Client, body: Body) -> str:
    """Ask for a whole answer, in the tone asked for."""
    response = client.post(CHAT, json=body.content)
    if response.status_code != 200:
        return status_of(response)
    choice = response.json()["choices"][0]
    return body.tone_of(choice["message"]["content"], choice["finish_reason"])


def streamed(pause: float = 0.0, leaves: bool = False) -> Ask:
    """Return what reads an answer line by line, slowly, or leaves after the first."""

    def ask(client: httpx.Client, body: Body) -> str:
        with client.stream("POST", CHAT, json={**body.content, "stream": True}) as response:
            if response.status_code != 200:
                response.read()
                return status_of(response)
            lines = []
            for line in response.iter_lines():
                if leaves:
                    return "" if line.startswith("data: ") else line[:200]
                lines += [line] if line else []
                time.sleep(pause)
        if lines[-1:] != ["data: [DONE]"]:
            return f"ends with {lines[-1:]}"
        events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
        errors = [event["error"] for event in events if "error" in event]
        if errors:
            # Its turn did not come in time, which a stream can only say in its events.
            return "" if errors[0]["code"] == "queue_timeout" else str(errors[0])
        pieces = [event["choices"][0]["delta"].get("content") or "" for event in events]
        return body.tone_of("".join(pieces), events[-1]["choices"][0]["finish_reason"])

    return ask


KINDS: Mapping[str, tuple[int, Ask]] = {
    "whole": (30, whole),
    "completion": (
        8,
        lambda client, body: post("/v1/completions")(client, Body({"prompt": "Once", "max_tokens": 4})),
    ),
    "stream": (20, streamed()),
    "slow reader": (4, streamed(PAUSE)),
    "leaves": (8, streamed(leaves=True)),
    "read": (8, lambda client, body: post("/v1/read")(client, Body({"input": "a sad day"}))),
    "resolve": (4, lambda client, body: post("/v1/emotions/resolve")(client, Body({"emotion": "joy"}))),
    "emotions": (3, get("/v1/emotions")),
    "models": (3, get("/v1/models")),
    "page": (2, get("/")),
    "metrics": (2, get("/metrics")),
    "unknown emotion": (3, post(CHAT, 400, emotion={"joi": 1})),
    "wrong type": (2, post(CHAT, 400, max_tokens="many")),
    "no JSON": (2, raw(b'{"messages": [', 400, 422)),
    "nested deeply": (1, raw(b'{"messages":' * 50_000, 400, 413, 422)),
    "too large": (1, post(CHAT, 413, user="x" * 10_000_000)),
}


def main() -> None:
    """Run the soak and publish its figures."""
    from emospace.artefacts import write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="embedded", help="planted: the random model of the tests")
    parser.add_argument(
        "--dtype", default="float32", help="in others near ties fall otherwise in one of 20 answers"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long clients ask")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=12, help="tokens of an answer, at most")
    parser.add_argument(
        "--timed", type=int, default=32, help="answers that are timed at each number of clients"
    )
    parser.add_argument("--note", default="", help="a sentence about the machine, which the page shows")
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
        "--dtype",
        asked.dtype,
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = address_of(process)
        references = alone(address, asked.tokens)
        counts, wrong, memory = soak(address, process, references, asked)
        latency = [timed(address, n, asked) for n in CLIENTS]
        crowded = overload(address, asked.tokens)
        left = rows_left(address)
        stopped = stop(address, process)
    finally:
        process.kill()
        process.wait(60)
    slope = slope_of(memory)
    other, cut = (sum(reason.startswith(kind) for _, reason in wrong) for kind in (OTHER, CUT))
    wrong = [(kind, reason) for kind, reason in wrong if not reason.startswith((OTHER, CUT))]
    compared = sum(counts[kind] for kind in ("whole", "stream", "slow reader"))
    figures = {
        **{
            "model": asked.model,
            "dtype": asked.dtype,
            "minutes": asked.minutes,
            "clients": asked.clients,
            "note": asked.note,
            "requests": counts,
        },
        **{"tones": len(TONES), "compared": compared, "other_words": other, "cut_by_time": cut},
        **{
            "wrong": len(wrong),
            "reasons": wrong[:20],
            "rows_left": left,
            "overload": crowded,
            "stop": stopped,
        },
        **{"slope_mb_per_hour": slope, "memory": memory, "latency": latency},
    }
    print(json.dumps({name: value for name, value in figures.items() if name != "memory"}, indent=1))
    if asked.out:
        write_json(asked.out, made_by(command_line()) | figures)
    faults = {
        "wrong answers": len(wrong),
        "answers in other words": other > OTHER_WORDS * compared,
        "rows left": left,
        "memory grows": slope[1] > 0 and slope[0] * asked.minutes / 60 > asked.growth,
        "overload": not crowded["busy"] or crowded["other"] or not crowded["recovered"],
        "stop": stopped["code"] or stopped["broken"] or stopped["seconds"] > DRAIN_SECONDS + LEAVING,
    }
    if any(faults.values()):
        raise SystemExit(f"soak failed: {', '.join(name for name, fault in faults.items() if fault)}")


def body_of(prompt: int, tone: int, tokens: int, texts: Sequence[Sequence[str]] = ()) -> Body:
    """Return the body that asks for the likeliest words, and what it is answered alone."""
    messages = [{"role": "user", "content": PROMPTS[prompt]}]
    content = {"messages": messages, "max_tokens": tokens, "temperature": 0, "emotion": TONES[tone]}
    return Body(content, tone, texts[prompt] if texts else ())


def alone(address: str, tokens: int) -> list[list[str]]:
    """Return what the server answers to each prompt in each tone when nothing else is asked."""
    with httpx.Client(base_url=address, timeout=600) as client:
        return [
            [
                client.post(CHAT, json=body_of(prompt, tone, tokens).content).json()["choices"][0]["message"][
                    "content"
                ]
                for tone in range(len(TONES))
            ]
            for prompt in range(len(PROMPTS))
        ]


def address_of(process: subprocess.Popen[str]) -> str:
    """Return the address that a server says it has, and let the rest of what it says pass."""
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if named := re.match(r"(http://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return named[1]
    raise SystemExit("the server did not start")


def soak(
    address: str,
    process: subprocess.Popen[str],
    references: Sequence[Sequence[str]],
    asked: argparse.Namespace,
) -> tuple[dict[str, int], list[tuple[str, str]], list[list[float]]]:
    """Return how many requests of each kind there were, what was wrong, and the seconds and resident MB every two seconds."""
    counts: Counter[str] = Counter()
    wrong: list[tuple[str, str]] = []
    began, ends = time.monotonic(), time.monotonic() + 60 * asked.minutes
    memory: list[list[float]] = []

    def client_of(number: int) -> Counter[str]:
        chance, seen = random.Random(f"{asked.seed} {number}"), Counter[str]()
        with httpx.Client(base_url=address, timeout=600) as client:
            while time.monotonic() < ends and process.poll() is None:
                kind = chance.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
                seen[kind] += 1
                prompt, tone = chance.randrange(len(PROMPTS)), chance.randrange(len(TONES))
                if reason := answered(client, kind, body_of(prompt, tone, asked.tokens, references)):
                    print(f"{kind}: {reason}", file=sys.stderr, flush=True)
                    wrong.append((kind, reason))
        return seen

    with ThreadPoolExecutor(asked.clients) as crowd:
        futures = [crowd.submit(client_of, number) for number in range(asked.clients)]
        while not all(future.done() for future in futures):
            if process.poll() is None:
                memory.append([time.monotonic() - began, resident(process.pid)])
            time.sleep(2)
        for future in futures:
            counts.update(future.result())
    if process.poll() is not None:
        raise SystemExit(f"the server ended after {memory[-1][0]:.0f} s with exit code {process.returncode}")
    return dict(sorted(counts.items())), wrong, memory


def answered(client: httpx.Client, kind: str, body: Body) -> str:
    """Send one request and say what is wrong with its answer."""
    try:
        return KINDS[kind][1](client, body)
    except (httpx.HTTPError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def overload(address: str, tokens: int) -> dict[str, Any]:
    """Ask for twice as much at once as may run and wait, and again when it is over.

    Returns
    -------
    dict
        Answers that were given (``answered``), sent away with a time to come back (``busy``), ended otherwise (``other``),
        and whether the next request is answered (``recovered``).
    """
    limits = Limits()
    n = 2 * (limits.rows + limits.queue)

    def ask(number: int) -> str:
        with httpx.Client(base_url=address, timeout=600) as client:
            response = client.post(CHAT, json=body_of(0, number % len(TONES), 4 * tokens).content)
            if response.status_code == BUSY and response.headers.get("retry-after", "").isdecimal():
                return "busy"
            return "answered" if response.status_code == 200 else "other"

    with ThreadPoolExecutor(n) as crowd:
        ends = Counter(crowd.map(ask, range(n)))
    return {name: ends[name] for name in ("answered", "busy", "other")} | {"recovered": ask(0) == "answered"}


def stop(address: str, process: subprocess.Popen[str], n: int = 8) -> dict[str, Any]:
    """Tell the server to stop with so many long answers under way.

    Returns
    -------
    dict
        Streams that ended ``whole``, by the error that says the server stops (``told``), or otherwise (``broken``), the
        ``seconds`` until the process had ended, and its exit ``code``.
    """
    begun = threading.Barrier(n + 1)

    def ask(number: int) -> str:
        body = {**body_of(0, number % len(TONES), 200).content, "stream": True}
        lines: list[str] = []
        try:
            with (
                httpx.Client(base_url=address, timeout=60) as client,
                client.stream("POST", CHAT, json=body) as response,
            ):
                for line in response.iter_lines():
                    if not lines:
                        begun.wait(60)
                    lines += [line] if line else []
        except httpx.HTTPError as error:
            print(f"stop: {type(error).__name__}: {error}", file=sys.stderr)
            return "broken"
        if lines[-1:] != ["data: [DONE]"]:
            return "broken"
        return "told" if '"shutting_down"' in lines[-2] else "whole"

    with ThreadPoolExecutor(n) as crowd:
        futures = [crowd.submit(ask, number) for number in range(n)]
        begun.wait(60)
        began = time.monotonic()
        process.terminate()
        code = process.wait(60)
        seconds = time.monotonic() - began
        ends = Counter(future.result() for future in futures)
    # Ended by the signal it was told to stop with, a process has that code, negated.
    ended = {"code": 0 if code in (0, -signal.SIGTERM) else code, "seconds": round(seconds, 2)}
    return {name: ends[name] for name in ("whole", "told", "broken")} | ended


def timed(address: str, clients: int, asked: argparse.Namespace) -> dict[str, float]:
    """Return the seconds to the first token and for each further one, of so many clients at once."""

    def answer(number: int) -> tuple[float, list[float]]:
        prompt = random.Random(number).randrange(len(PROMPTS))
        body = {**body_of(prompt, 1, 32).content, "stream": True}
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
        answers = list(crowd.map(answer, range(max(asked.timed, clients))))
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


def slope_of(memory: list[list[float]], cold: float = 1 / 3, blocks: int = 10) -> tuple[float, float, float]:
    """Return the slope of memory in MB an hour with its 95% interval, from means of ten parts of the time once warm.

    The share `cold` is left out. Samples of seconds that follow one another are alike; means of parts are less so.
    """
    from scipy.stats import linregress, t

    warm = np.array(memory[int(len(memory) * cold) :])
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
