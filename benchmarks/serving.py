"""Servers under several streams at once (i): ours, unsteered and steered, llama.cpp's with our control vector, `generate`."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import llama
from bench import OWN, Bench
from inputs import PROMPT, words
from processes import ToolError
from rounds import Taken, rate_row

from emospace.specs import Guidance

EMOTION = "joy"
LONG = 200
"""Words, nearly all of one token, of the prompt whose first token is waited for."""
LLAMA = "llama.cpp"
SERVE = "from emospace.cli import main; main()"

Turn = Callable[[int], float]
"""Number of streams -> seconds of a token."""
Ask = Callable[[httpx.Client], int]
"""Asks for one answer and returns how many tokens it has."""


def serving(bench: Bench, model: str, workload: str) -> list[Taken]:
    """Ask each server for as many answers at once as there are streams; in every round each takes its turn."""
    from emospace.models import EMBEDDED, PACKAGED

    if model != "smollm2":
        return []  # The others have no vectors, and no GGUF file.
    file = PACKAGED[EMBEDDED].parts()[0]
    n_tokens, most = bench.sizes.served_tokens, max(bench.sizes.batches)
    threads = bench.setting.threads
    slots = ("--parallel", str(most), "--ctx-size", str(256 * most))
    times: dict[tuple[str, bool, int], list[float]] = {}
    waits: dict[tuple[str, bool], list[float]] = {}
    long = " ".join(words(LONG))
    errors: dict[str, str] = {}
    with ExitStack() as stack:
        turns: dict[tuple[str, bool], Turn] = {}
        firsts: dict[tuple[str, bool], Turn] = {}
        for name, dtype in ((OWN, "float32"), (f"{OWN}, auto", "auto")):
            log = bench.out / "logs" / f"serve-{dtype}.log"
            server = stack.enter_context(own_server(threads, most, dtype, log))
            for steered in (False, True):
                turns[name, steered] = streams(server, own_answer(PROMPT, n_tokens, steered))
                firsts[name, steered] = streams(server, own_answer(long, 1, steered))
        try:
            control = ("--control-vector", str(exported(bench.out / "outputs" / f"{EMOTION}.gguf")))
            whole = llama.in_float32(file, bench.out / "outputs" / "float32.gguf")
            for name, weights in ((LLAMA, whole), (f"{LLAMA}, 4 bits", file)):
                for steered in (False, True):
                    log = bench.out / "logs" / f"{name.replace(' ', '-')}-{steered}.log"
                    arguments = (*slots, *(control if steered else ()))
                    client = stack.enter_context(llama.server(weights, *arguments, threads=threads, log=log))
                    turns[name, steered] = streams(client, llama_answer(PROMPT, n_tokens))
                    firsts[name, steered] = streams(client, llama_answer(long, 1))
        except ToolError as error:
            errors[LLAMA] = str(error)
        process = bench.pool([OWN], model)[OWN]
        turns["transformers generate", False] = lambda n: generated(process, PROMPT, n, n_tokens)
        firsts["transformers generate", False] = lambda n: generated(process, long, n, 1)
        for turn in (*turns.values(), *firsts.values()):
            turn(1)
        for number in range(bench.rounds):
            order = list(turns)[number % len(turns) :] + list(turns)[: number % len(turns)]
            for name, steered in order:
                waits.setdefault((name, steered), []).append(firsts[name, steered](1))
            for n in bench.sizes.batches:
                for name, steered in order:
                    times.setdefault((name, steered, n), []).append(turns[name, steered](n))
    rows: list[Taken] = [
        row_of(name, n, times, {"model": model, "workload": workload, "unit": "tokens"})
        for n in bench.sizes.batches
        for name in dict.fromkeys(name for name, _ in turns)
    ]
    for row in rows:
        if row["n"] == 1:
            row |= first_tokens(row["name"], waits)
    common = {"model": model, "workload": workload, "n": 1, "unit": "tokens"}
    return rows + [{"name": name, "tool": name, **common, "error": error} for name, error in errors.items()]


def row_of(name: str, n: int, times: Mapping[tuple[str, bool, int], list[float]], common: Taken) -> Taken:
    """Return the rates of a server at a number of streams: unsteered and, where it steers, steered."""
    row: Taken = {"name": name, "tool": name, "n": n, **common}
    plain = times[name, False, n]
    row |= rate_row([{"seconds": seconds} for seconds in plain], 1)
    if steered := times.get((name, True, n)):
        rates = rate_row([{"seconds": seconds} for seconds in steered], 1)
        row |= {f"steered_{key}": rates[key] for key in ("rate", "rate_low", "rate_high")}
        ratios = [before / after for before, after in zip(plain, steered, strict=True)]
        row["steered_over_unsteered"] = statistics.median(ratios)
        row["steered_over_unsteered_low"], row["steered_over_unsteered_high"] = min(ratios), max(ratios)
    return row


def first_tokens(name: str, waits: Mapping[tuple[str, bool], list[float]]) -> Taken:
    """Return the seconds until the first token of a long prompt: unsteered and, where a server steers, steered."""
    return {
        f"{kind}{key}": value
        for kind, steered in (("first", False), ("steered_first", True))
        if (taken := waits.get((name, steered)))
        for key, value in (("", statistics.median(taken)), ("_low", min(taken)), ("_high", max(taken)))
    }


def streams(client: httpx.Client, ask: Ask) -> Turn:
    """Return what asks for so many answers at once and gives the seconds of a token, of all answers together."""

    def turn(n: int) -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(n) as crowd:
            tokens = sum(crowd.map(lambda _: ask(client), range(n)))
        # An answer that ends by itself is shorter.
        return (time.perf_counter() - begin) / tokens

    return turn


@contextmanager
def own_server(threads: int, rows: int, dtype: str, log: Path) -> Iterator[httpx.Client]:
    """Run `emospace serve` of the embedded model, with room for so many streams."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--dtype", dtype, "--no-reader"]
    command += ["--rows", str(rows)]
    log.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    try:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if named := re.match(r"(http://\S+)", line):
                threading.Thread(target=process.stderr.read, daemon=True).start()
                limits = httpx.Limits(max_connections=rows, max_keepalive_connections=rows)
                with httpx.Client(base_url=named[1], timeout=600, limits=limits) as client:
                    yield client
                return
        raise ToolError("".join(said[-3:]))
    finally:
        process.terminate()
        process.wait(30)


def own_answer(prompt: str, n_tokens: int, steered: bool) -> Ask:
    """Return what asks our server for a greedy answer, in the calibrated tone or in none, as a stream."""
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    if steered:
        # What a control vector does: the same addition at every token.
        body |= {"emotion": {EMOTION: 1.0}, "mode": "constant", "scope": "all"}
        body["guidance"] = Guidance().over(None).given

    def ask(client: httpx.Client) -> int:
        return last_event(client, "/v1/completions", body)["usage"]["completion_tokens"]

    return ask


def llama_answer(prompt: str, n_tokens: int) -> Ask:
    """Return what asks llama.cpp's server for a greedy answer as a stream."""
    body = {"prompt": prompt, "n_predict": n_tokens, "temperature": 0, "stream": True, "cache_prompt": False}

    def ask(client: httpx.Client) -> int:
        return int(last_event(client, "/completion", body)["tokens_predicted"])

    return ask


def last_event(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Read a stream to its end and return its last event."""
    events: Sequence[str] = ()
    with client.stream("POST", path, json=body) as response:
        if response.status_code != 200:
            raise ToolError(f"{response.status_code} {response.read().decode()[:200]}")
        events = [line for line in response.iter_lines() if line.startswith("data: {")]
    return dict(json.loads(events[-1].removeprefix("data: ")))


def exported(path: Path) -> Path:
    """Return the control vector of the bundled vector."""
    from compare_llama import exported as as_added

    from emospace.models import EMBEDDED, load_model
    from emospace.steering.export import export_vector

    model = load_model(EMBEDDED, dtype="float32", device="cpu")
    vector, dose = as_added(model, EMOTION, 1.0)
    return export_vector(vector, path, "gguf", model, dose)


def generated(process: Any, prompt: str, n: int, n_tokens: int) -> float:
    """Return the seconds of a token of one call of `generate` for so many equal prompts."""
    process.ask("prepare", steered=False, compiled=False, vectors="")
    answer = process.ask("tokens", text=prompt, batch=n, n_tokens=n_tokens)
    process.ask("release")
    return float(answer["seconds"]) / (n * n_tokens)
