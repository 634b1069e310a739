"""Measure what steering costs in tokens per second: steered over unsteered, interleaved rounds of one process.

    python recipes/bench_steering.py [--rounds 15]

Greedy `generate` of transformers at batch 1 and 8 on the embedded model, CPU time of the process, the calibrated joy
vector in both modes (three layers). Writes ``docs/results/steering_speed.json``.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from emospace.artefacts import write_json
from emospace.models import load_model
from emospace.specs import Mode
from emospace.steering import steer
from emospace.steering.bank import load_vectors
from publishing import DOCS, machine

N_TOKENS = 32


def main(arguments: Sequence[str] | None = None) -> None:
    """Time rounds and write the ratios."""
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    model = load_model("embedded")
    bank = load_vectors(model)
    rows = []
    for batch in (1, 8):
        texts = [model.render_chat("Tell me about your day.")] * batch
        ids = model.tokenizer(texts, return_tensors="pt", add_special_tokens=False)

        def seconds(mode: Mode | None, ids: Any = ids) -> float:
            vector = bank.vector("joy", mode) if mode else None
            with steer(model, vector) if vector is not None else nullcontext(), torch.inference_mode():
                begin = time.process_time()
                model.model.generate(**ids, max_new_tokens=N_TOKENS, min_new_tokens=N_TOKENS, do_sample=False)
                return time.process_time() - begin

        modes: tuple[Mode | None, ...] = (None, "relative", "constant")
        for mode in modes:
            seconds(mode)
        taken: dict[Mode | None, list[float]] = {mode: [] for mode in modes}
        for number in range(options.rounds):
            for mode in modes if number % 2 else modes[::-1]:
                taken[mode].append(seconds(mode))
        for mode in modes[1:]:
            ratios = [plain / steered for plain, steered in zip(taken[None], taken[mode], strict=True)]
            low, _, high = statistics.quantiles(ratios, n=4)
            rows.append(
                {
                    "batch": batch,
                    "mode": mode,
                    "layers": list(bank.vector("joy", mode).layers),
                    "ratio_median": statistics.median(ratios),
                    "ratio_quartiles": [low, high],
                    "unsteered_tok_per_cpu_s": batch * N_TOKENS / statistics.median(taken[None]),
                }
            )
    card = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": options.rounds}
    write_json(
        DOCS / "steering_speed.json", {**card, "command": "python recipes/bench_steering.py", "rows": rows}
    )
    sys.stdout.write(
        "".join(
            f"batch {r['batch']} {r['mode']}: {r['ratio_median']:.3f} {r['ratio_quartiles']}\n" for r in rows
        )
    )


if __name__ == "__main__":
    main()
