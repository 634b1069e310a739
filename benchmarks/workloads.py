"""The workloads: who takes part in each, what a turn is, and what has to agree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import OWN, Bench, finish
from calculations import ridge, rsa
from inputs import PROMPT
from processes import Process, ToolError
from rounds import (
    Taken,
    beside_neighbours,
    cosines,
    rate_row,
    state_agreement,
    tune,
)
from serving import serving

from emospace.display import say

PARTS = 8
"""Steered answers in a turn of generation, each a part of its tokens between two answers that are not steered."""


def states(bench: Bench, model: str, workload: str) -> list[Taken]:
    """Extract states of words in a carrier (a) or means over stories (b), with a batch tuned for each tool."""
    function, inputs, unit = {
        "words": ("words_last", "words", "words"),
        "stories": ("texts_mean", "stories", "texts"),
    }[workload]
    amount = _count(bench.files[inputs])
    rows: list[Taken] = []
    outputs = bench.out / "outputs"
    outputs.mkdir(exist_ok=True)
    processes = bench.pool(bench.tools, model)
    turns: dict[str, Callable[[], Taken]] = {}
    for tool, process in processes.items():
        row: Taken = {
            "name": tool,
            "tool": tool,
            "model": model,
            "workload": workload,
            "n": amount,
            "unit": unit,
        }
        rows.append(row)
        try:
            called = _tuned(bench, process, row, function, f"{inputs}_small")
            row |= {
                "agreement": _states_agree(bench, process, processes[OWN], row, called, f"{inputs}_small")
            }
            if bench.setting.device.startswith("cuda"):
                row["copies_per_batch"] = process.ask(
                    "call", name=called, inputs=str(bench.files["words_few" if workload == "words" else "norm_texts"]),
                    batch=max(row["tried"]), copies=True,
                ).get("copies")  # fmt: skip
        except ToolError as error:
            row["error"] = str(error)
            continue
        finally:
            if bench.alone:
                process.close()
        turns[tool] = partial(
            bench.turn, process, "call", name=called, inputs=str(bench.files[inputs]), batch=row["batch"]
        )
    if workload == "words" and OWN in turns:
        entry = next(row for row in rows if row["tool"] == OWN)
        turns[OWN] = partial(_beside_products, bench, processes[OWN], turns[OWN], entry["batch"])
    outcomes = bench.run(turns)
    finish(rows, outcomes, dict.fromkeys(turns, amount))
    if workload == "words" and isinstance(taken := outcomes.get(OWN), list):
        entry["products"] = _products(taken, amount)
    return rows


def vector(bench: Bench, model: str, workload: str) -> list[Taken]:
    """Make a vector for every block from pairs of texts (c)."""
    amount = len(_read(bench.files["pairs"])["positive"])
    rows: list[Taken] = []
    made = bench.out / "outputs"
    made.mkdir(exist_ok=True)
    processes = bench.pool(bench.tools, model)
    turns: dict[str, Callable[[], Taken]] = {}
    for tool, process in processes.items():
        row: Taken = {
            "name": tool,
            "tool": tool,
            "model": model,
            "workload": workload,
            "n": amount,
            "unit": "pairs",
        }
        rows.append(row)
        try:
            _tuned(bench, process, row, "vector", "pairs_small")
        except ToolError as error:
            row["error"] = str(error)
            continue
        finally:
            if bench.alone:
                process.close()
        turns[tool] = partial(
            bench.turn, process, "call", name="vector", inputs=str(bench.files["pairs"]), batch=row["batch"],
            save=str(made / f"vector-{tool}.npz"),
        )  # fmt: skip
    outcomes = bench.run(turns)
    finish(rows, outcomes, dict.fromkeys(turns, amount))
    expected = made / f"vector-{OWN}.npz"
    for row in rows:
        path = made / f"vector-{row['tool']}.npz"
        if "error" not in row and path.exists() and expected.exists() and row["tool"] != OWN:
            row["agreement"] = cosines(np.load(path)["value"], np.load(expected)["value"])
    return rows


def generation(bench: Bench, model: str, workload: str) -> list[Taken]:
    """Generate greedily, steered and not, for each batch (d); compiled, each in its own process."""
    compiled = workload == "generate-compiled"
    tools = [tool for tool in bench.tools if not (compiled and tool == "nnsight")]
    rows: list[Taken] = []
    vectors = str(_vectors(bench, model))
    first = bench.pool(tools, model)
    second = bench.pool(tools, model, "-steered") if compiled else first
    for batch in bench.sizes.batches:
        fields = {"text": PROMPT, "batch": batch, "n_tokens": bench.sizes.new_tokens // PARTS}

        def turn(tool: str, ready: set[bool], fields: Taken = fields) -> Taken:
            taken: Taken = {}
            seconds: dict[bool, list[float]] = {False: [], True: []}
            # A machine's rate drifts within seconds, so the two take turns.
            for number in range(2 * PARTS + 1):
                steered = number % 2 == 1
                process = (second if steered else first)[tool]
                if not compiled or steered not in ready:
                    process.ask("prepare", steered=steered, compiled=compiled, vectors=vectors)
                if steered not in ready:
                    process.ask("tokens", **fields)
                    ready.add(steered)
                answer = process.ask("tokens", **fields)
                seconds[steered].append(answer["seconds"])
                taken["tokens" if steered else "plain_tokens"] = answer["tokens"]
                if not compiled:
                    process.ask("release")
            if bench.alone:
                first[tool].close()
                ready.clear()
            return taken | beside_neighbours(seconds[False], seconds[True])

        ready: dict[str, set[bool]] = {tool: set() for tool in tools}
        outcomes = bench.run({tool: partial(turn, tool, ready[tool]) for tool in tools})
        rows += _generation_rows(
            outcomes, {"model": model, "workload": workload, "n": batch}, batch * PARTS * fields["n_tokens"]
        )
    return rows


def _generation_rows(outcomes: Mapping[str, list[Taken] | str], common: Taken, n_tokens: int) -> list[Taken]:
    baseline = outcomes.get(OWN)
    expected = baseline[0]["tokens"] if isinstance(baseline, list) and baseline else None
    rows = []
    for tool, rounds in outcomes.items():
        row: Taken = {"name": tool, "tool": tool, "unit": "tokens", **common}
        rows.append(row)
        if isinstance(rounds, str):
            row["error"] = rounds
            continue
        row |= rate_row(rounds, n_tokens, "steered")
        row["unsteered_rate"] = rate_row(rounds, n_tokens)["rate"]
        # The second is the first without steering: what the machine alone does to such a ratio.
        for name, key in (("steered_over_unsteered", "ratios"), ("unsteered_over_unsteered", "control")):
            by_round = [float(np.median(taken[key])) for taken in rounds]
            row[name] = float(np.median([ratio for taken in rounds for ratio in taken[key]]))
            row[f"{name}_low"], row[f"{name}_high"] = min(by_round), max(by_round)
        tokens = rounds[0]["tokens"]
        row["agreement"] = {"changed_by_steering": tokens != rounds[0]["plain_tokens"]}
        if expected is not None and tool != OWN:
            same = sum(a == b for a, b in zip(tokens, expected, strict=True))
            row["agreement"]["same_tokens"] = same / len(tokens)
    return rows


def demo(bench: Bench, _model: None, workload: str) -> list[Taken]:
    """Run the demo study from nothing, and say when each stage was done (g)."""
    run, cache = bench.out / "demo", bench.out / "demo-cache"
    for folder in (run, cache):
        shutil.rmtree(folder, ignore_errors=True)
    threads = str(bench.setting.threads)
    command = [sys.executable, "-m", "emospace", "study", "--languages", "en,zh", "--dtype", "auto"]
    command += ["--out", str(run)]
    environment = {
        **os.environ,
        "EMOSPACE_CACHE": str(cache),
        "OMP_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
    }
    begin, clock = time.perf_counter(), time.time()
    with (bench.out / "logs" / "demo.log").open("w", encoding="utf-8") as log:
        code = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode
    row: Taken = {
        "name": OWN, "tool": OWN, "model": "smollm2", "workload": workload, "n": 1, "unit": "studies", "rounds": 1,
        "seconds": time.perf_counter() - begin, "stages": _stages(run, clock),
    }  # fmt: skip
    if code:
        row["error"] = f"emospace study ended with {code}; see demo.log"
    shutil.rmtree(cache, ignore_errors=True)
    return [row]


def linear(bench: Bench, model: str, workload: str) -> list[Taken]:
    """Extract ever more words into a store, each number in a new process: seconds and greatest resident memory."""
    rows: list[Taken] = []
    batch = 1024  # The smallest that costs little: what is measured is memory.
    for n in bench.sizes.linear:
        process = bench.process(OWN, model, "-linear")
        row: Taken = {
            "name": OWN,
            "tool": OWN,
            "model": model,
            "workload": workload,
            "n": n,
            "unit": "words",
            "batch": batch,
        }
        rows.append(row)
        try:
            process.ask("call", name="words_last", inputs=str(bench.files["words_few"]), batch=batch)
            taken = process.ask(
                "call", name="words_stored", inputs=str(bench.files[f"linear_{n}"]), batch=batch,
                folder=str(bench.out / "linear-store"),
            )  # fmt: skip
            row |= rate_row([taken], n) | {"stored_mib": taken["value"]["stored_mib"]}
        except ToolError as error:
            row["error"] = str(error)
        finally:
            process.close()
    return rows


@dataclass(frozen=True)
class Workload:
    """One workload: its letter in the page, whether it takes a model, and how it is run."""

    letter: str
    of_model: bool
    run: Callable[[Bench, Any, str], list[Taken]]


WORKLOADS: Mapping[str, Workload] = {
    "words": Workload("a", True, states),
    "stories": Workload("b", True, states),
    "vector": Workload("c", True, vector),
    "generate": Workload("d", True, generation),
    "generate-compiled": Workload("d", True, generation),
    "rsa": Workload("e", False, rsa),
    "ridge": Workload("f", False, ridge),
    "demo": Workload("g", False, demo),
    "linear": Workload("h", True, linear),
    "serve": Workload("i", True, serving),
}


def _tuned(bench: Bench, process: Process, row: Taken, function: str, inputs: str) -> str:
    """Find the tool's best batch on a sample; return the function that is called, another where the tool lacks it."""
    can = process.ask("abilities")
    called = function
    if function not in can["can"]:
        called = "texts_last"
        row["pooling"] = "last token: it has no mean"
        if function != "texts_mean" or called not in can["can"]:
            raise ToolError("it has no such function")
    if called in can["notes"] or "load" in can["notes"]:
        row["note"] = "; ".join(can["notes"][key] for key in (called, "load") if key in can["notes"])
    path = str(bench.files[inputs])
    process.ask("call", name=called, inputs=path, batch=can["batches"][0])
    rates: dict[int, float] = {}

    def rate(batch: int) -> float:
        rates[batch] = 1 / process.ask("call", name=called, inputs=path, batch=batch)["seconds"]
        return rates[batch]

    row["batch"] = tune(rate, can["batches"])
    row["tried"] = can["batches"]
    return called


def _states_agree(
    bench: Bench, process: Process, reference: Process, row: Taken, called: str, inputs: str
) -> Taken | None:
    """Hold a tool's states of the sample against emospace's, of the same tokens pooled alike."""
    if row["tool"] == OWN:
        return None
    path, folder = str(bench.files[inputs]), bench.out / "outputs"
    expected = folder / f"{row['model']}-{called}-{inputs}.npz"
    if not expected.exists():
        reference.ask("call", name=called, inputs=path, batch=2048, save=str(expected))
    output = folder / "found.npz"
    process.ask("call", name=called, inputs=path, batch=row["batch"], save=str(output))
    return state_agreement(np.load(output)["value"], np.load(expected)["value"])


def _beside_products(bench: Bench, process: Process, turn: Callable[[], Taken], tokens: int) -> Taken:
    """Take our turn, and time the matrix products of one batch before and after it: the machine's rate drifts."""
    asked = {
        "inputs": str(bench.files["words"]),
        "tokens": tokens,
        "seconds": bench.sizes.product_seconds / 2,
    }
    before = process.ask("call", name="products", **asked)["value"]
    taken = turn()
    after = process.ask("call", name="products", **asked)["value"]
    return taken | {"products": after | {"flop_per_s": (before["flop_per_s"] + after["flop_per_s"]) / 2}}


def _products(rounds: Sequence[Taken], amount: int) -> Taken:
    """Return what the matrix products alone would allow, and the share of it that was reached, round by round."""
    allowed, shares = [], []
    for taken in rounds:
        products = taken["products"]
        allowed.append(products["flop_per_s"] / (products["flop_per_token"] * products["tokens_per_word"]))
        shares.append(amount / taken["seconds"] / allowed[-1])
    medians = {
        key: float(np.median([taken["products"][key] for taken in rounds])) for key in rounds[0]["products"]
    }
    say(f"  products alone: {np.median(allowed):,.0f} words/s, {np.median(shares):.0%} of it reached")
    return medians | {
        "allowed_rate": float(np.median(allowed)),
        "share": float(np.median(shares)),
        "share_low": min(shares),
        "share_high": max(shares),
    }


def _vectors(bench: Bench, model: str) -> Path:
    """Return the file of random additions ``[n_blocks, d_model]``, a twentieth of the median norm of each block."""
    path = bench.out / "outputs" / f"vectors-{model}.npz"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        process, norms = bench.pool([OWN], model)[OWN], path.with_name("norms.npz")
        process.ask("call", name="median_norms", inputs=str(bench.files["norm_texts"]), save=str(norms))
        arrays = np.load(norms)
        rows = np.random.default_rng(0).normal(size=(len(arrays["norms"]), int(arrays["d_model"])))
        rows *= 0.05 * arrays["norms"][:, None] / np.linalg.norm(rows, axis=1, keepdims=True)
        np.savez(path, vectors=rows.astype(np.float32))
    return path


def _stages(run: Path, begin: float) -> list[Taken]:
    """Return the parts of a run in the order they were finished, each with the seconds since the one before."""
    ends: dict[str, float] = {}
    for path in run.rglob("*"):
        if path.is_file():
            parts = path.relative_to(run).parts
            name = parts[0] if parts[0] != "stages" else parts[1].rsplit("-", 1)[0]
            ends[name] = max(ends.get(name, 0.0), path.stat().st_mtime)
    stages, before = [], begin
    for name, end in sorted(ends.items(), key=lambda item: item[1]):
        stages.append({"stage": name, "seconds": end - before})
        before = end
    return stages


def _read(path: Path) -> dict[str, Any]:
    from emospace.artefacts import read_json

    return dict(read_json(path))


def _count(path: Path) -> int:
    given = _read(path)
    return len(given["words"] if "words" in given else given["texts"])
