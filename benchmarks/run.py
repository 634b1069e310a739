"""Measure emospace beside its peers: one machine, the same weights, inputs, precision and threads for all.

    python benchmarks/run.py --out runs/benchmarks            # everything; hours
    python benchmarks/run.py --out runs/quick --quick          # tiny sizes, to see that it runs
    python benchmarks/run.py --out runs/gpu --gpu              # the large models, on a GPU

Each tool works in a process of its own environment (``environments/``; ``make bench`` sets them up). In every round
all tools take their turn. What is finished stays in the out folder and is not run again; ``--again words,ridge``
runs some workloads anew. The result is ``results.json`` in the out folder; ``recipes/publish_benchmarks.py`` makes
the page of it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import MODEL_TOOLS, Bench
from inputs import GPU, QUICK, Sizes, model_folder, write_inputs
from processes import ENVIRONMENTS, Process, Setting, ToolError
from rounds import Taken
from workloads import WORKLOADS

from emospace.artefacts import read_json, write_json
from emospace.display import say

CPU_MODELS, QUICK_MODELS, GPU_MODELS = ("smollm2", "llama-12"), ("tiny",), ("llama-3-8b", "gemma-2-9b")


def machine(device: str) -> dict[str, Any]:
    """Return processor, cores, memory and GPU."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts: dict[str, Any] = {
        "cpu": named[1] if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
    }
    if device.startswith("cuda"):
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def versions(setting: Setting, tools: Sequence[str], log: Path) -> dict[str, Any]:
    """Return each tool's versions, or why there are none."""
    entries: dict[str, Any] = {}
    for tool in tools:
        process = Process(tool, setting, log / f"{tool}.log")
        try:
            entries[tool] = process.ask("versions")
        except ToolError as error:
            entries[tool] = {"error": str(error)}
        finally:
            process.close()
    return entries


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def names(text: str) -> list[str]:
        return [name.strip() for name in text.split(",") if name.strip()]

    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: nothing is measured, everything is run"
    )
    parser.add_argument("--gpu", action="store_true", help=f"{', '.join(GPU_MODELS)} on cuda")
    parser.add_argument("--models", type=names, help="smollm2, llama-12, tiny, llama-3-8b, gemma-2-9b")
    parser.add_argument("--tools", type=names, default=list(ENVIRONMENTS))
    parser.add_argument("--workloads", type=names, help=", ".join(WORKLOADS))
    parser.add_argument("--again", type=names, default=[], help="workloads to run anew")
    parser.add_argument(
        "--part", type=float, default=1.0, help="share of the words, stories and pairs that is run"
    )
    parser.add_argument("--rounds", type=int, help="rounds of each workload (5; 2 with --quick)")
    parser.add_argument(
        "--minutes", type=float, default=40, help="after which a workload begins no fourth round"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device")
    parser.add_argument(
        "--alone", action="store_true", help="one model in memory at a time (slow, for small GPUs)"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="ENVIRONMENT=PATH",
        help="another interpreter for an environment",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the inputs, run what is not there yet, write the results."""
    options = parsed(arguments)
    out = options.out.resolve()
    device = options.device or ("cuda" if options.gpu else "cpu")
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            say("no CUDA device is here: the large models are left out")
            return
    sizes: Sizes = QUICK if options.quick else GPU if options.gpu else Sizes()
    sizes = sizes.part(options.part)
    models = options.models or (QUICK_MODELS if options.quick else GPU_MODELS if options.gpu else CPU_MODELS)
    chosen = options.workloads or [
        name
        for name in WORKLOADS
        if not (options.gpu and not WORKLOADS[name].of_model) and not (options.quick and name == "demo")
    ]
    unknown = [name for name in (*chosen, *options.again) if name not in WORKLOADS]
    unknown += [name for name in options.tools if name not in ENVIRONMENTS]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; see --help")
    setting = Setting(options.threads, device, dict(item.split("=", 1) for item in options.python))
    (out / "logs").mkdir(parents=True, exist_ok=True)
    (out / "inputs").mkdir(exist_ok=True)
    say("making the inputs")
    of_models = [name for name in chosen if WORKLOADS[name].of_model]
    bench = Bench(
        out=out,
        files=write_inputs(out / "inputs", sizes),
        sizes=sizes,
        setting=setting,
        rounds=options.rounds or (2 if options.quick else 5),
        minutes=options.minutes,
        tools=[tool for tool in MODEL_TOOLS if tool in options.tools],
        alone=options.alone,
        folders={name: model_folder(name, out / "models", device) for name in models} if of_models else {},
    )
    card = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(device),
        "threads": options.threads,
        "device": device,
        "quick": options.quick,
        "sizes": asdict(sizes),
        "rounds": bench.rounds,
        "versions": versions(setting, options.tools, out / "logs"),
    }
    jobs: list[tuple[str, str | None]] = [(name, None) for name in chosen if not WORKLOADS[name].of_model]
    # Model by model, so that each tool loads each model once.
    jobs += [(name, model) for model in models for name in of_models]
    try:
        for name, model in jobs:
            path = out / "rows" / f"{name}{f'-{model}' if model else ''}.json"
            if not path.is_file() or name in options.again:
                say(f"{WORKLOADS[name].letter}: {name} {model or ''}")
                entries = WORKLOADS[name].run(bench, model, name)
                for row in entries:
                    row |= {
                        "letter": WORKLOADS[name].letter,
                        "dtype": bench.dtype(model) if model else "float64",
                    }
                    say(f"  {summary(row)}")
                write_json(path, {**card, "rows": entries})
    finally:
        bench.close()
    parts = [read_json(path) for path in sorted((out / "rows").glob("*.json"))]
    rows = sorted((row for part in parts for row in part["rows"]), key=lambda row: str(row["letter"]))
    write_json(out / "results.json", {**card, "date": max(part["date"] for part in parts), "rows": rows})
    say(str(out / "results.json"))


def summary(row: Taken) -> str:
    """Return a row as a line."""
    head = f"{row['name']:<22} {row['model'] or '':<16} {row.get('variant', '') if row.get('variant') != row['name'] else '':<10}"
    if "error" in row:
        return f"{head} {row['error']}"
    if "rate" not in row:
        return f"{head} {row['seconds']:.1f} s"
    times = f", emospace {row['emospace_times']:.2f} times as fast" if "emospace_times" in row else ""
    steered = (
        f", steered/unsteered {row['steered_over_unsteered']:.3f}" if "steered_over_unsteered" in row else ""
    )
    agreement = f", {row['agreement']}" if row.get("agreement") else ""
    return f"{head} {row['rate']:,.1f} {row['unit']}/s{times}{steered}{agreement}"


if __name__ == "__main__":
    main()
