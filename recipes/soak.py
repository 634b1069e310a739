"""Ask a running server a thousand things, some of them wrong, and see that its memory stays flat.

Starts `emospace serve` itself, on a free port of this machine, and fails (exit code 1) where an answer is wrong in kind,
a row stays behind, or the most memory resident in the second half is above that of the first by more than `--growth` MB.
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

TONES = ({}, {"joy": 1.0}, {"sadness": 0.8, "fear": 0.2}, {"valence": 0.8, "arousal": -0.3}, {"anger": 1.0})
PROMPTS = (
    "Tell me about your day.",
    "Describe a street.",
    "What is a river?",
    "写一句话。",
    "Write to a friend. " * 12,
)
KINDS = ("whole", "stream", "leave", "read", "unknown emotion", "too large")


def main() -> None:
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=12, help="tokens of an answer, at most")
    parser.add_argument("--growth", type=float, default=64.0, help="MB that the second half may add")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    run = "from emospace.cli import main; main()"
    command = [sys.executable, "-c", run, "serve", "--model", asked.model, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = _address(process)
        counts, memory = soak(address, process.pid, asked)
        _judge(counts, memory, address, asked.growth)
    finally:
        process.terminate()
        process.wait(60)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if found := re.match(r"(http://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return found[1]
    raise SystemExit("the server did not start")


def soak(address: str, pid: int, asked: argparse.Namespace) -> tuple[dict[str, int], list[float]]:
    """Return what came of the requests, and the resident memory in MB after each tenth of them."""
    rng = random.Random(asked.seed)
    plan = [
        (rng.choices(KINDS, (40, 35, 10, 9, 4, 2))[0], rng.choice(PROMPTS), rng.choice(TONES))
        for _ in range(asked.requests)
    ]
    counts: dict[str, int] = {}
    memory: list[float] = []
    start, step = time.monotonic(), max(asked.requests // 10, 1)
    with httpx.Client(base_url=address, timeout=600) as client, ThreadPoolExecutor(asked.clients) as crowd:
        for done in range(0, asked.requests, step):
            for outcome in crowd.map(lambda one: ask(client, *one, asked.tokens), plan[done : done + step]):
                counts[outcome] = counts.get(outcome, 0) + 1
            memory.append(resident(pid))
            spent = time.monotonic() - start
            print(f"{done + step:6,d} requests, {memory[-1]:8.1f} MB, {spent:6.0f} s", file=sys.stderr)
    return counts, memory


def ask(client: httpx.Client, kind: str, prompt: str, tone: dict[str, float], tokens: int) -> str:
    """Send one request and return what it was and whether it went as it should."""
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "emotion": tone}
    path = "/v1/chat/completions"
    if kind == "read":
        right = client.post("/v1/read", json={"input": prompt}).status_code == 200
    elif kind == "unknown emotion":
        right = client.post(path, json={**body, "emotion": {"joi": 1}}).status_code == 400
    elif kind == "too large":
        messages = [{"role": "user", "content": "x" * 10_000_000}]
        right = client.post(path, json={"messages": messages}).status_code == 413
    elif kind == "whole":
        right = client.post(path, json=body).status_code == 200
    else:
        with client.stream("POST", path, json={**body, "stream": True}) as response:
            lines = response.iter_lines()
            if kind == "leave":
                right = next(lines).startswith("data: ")
            else:
                right = list(lines)[-2:] == ["data: [DONE]", ""]
    return kind if right else f"{kind}: wrong"


def resident(pid: int) -> float:
    """Return a process' resident memory in MB."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096 / 1e6


def _judge(counts: dict[str, int], memory: list[float], address: str, growth: float) -> None:
    half = len(memory) // 2
    grown = max(memory[half:]) - max(memory[:half])
    metrics = httpx.get(f"{address}/metrics").text
    left = [float(one) for one in re.findall(r"^emospace_(?:rows|waiting) (\S+)$", metrics, re.MULTILINE)]
    print(json.dumps({"requests": counts, "memory_mb": memory, "grown_mb": grown, "left": left}, indent=1))
    wrong = [kind for kind in counts if kind.endswith("wrong")]
    if wrong or any(left) or grown > growth:
        raise SystemExit(
            f"soak failed: {wrong or left if wrong or any(left) else f'memory grew by {grown:.1f} MB'}"
        )


if __name__ == "__main__":
    main()
