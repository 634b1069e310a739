"""Train emospace-polyglot, a small Llama of six languages, from the data folder of ``docs/data.md``.

    python training/polyglot/train.py --data DATA --out runs/polyglot [--preset cpu|gpu] [--minutes N] [--decay N]

The first call writes tokenizer, tokens and the start of the embeddings under OUT; every call continues at the last
checkpoint, to the step. SIGTERM and Ctrl-C end a call with a checkpoint. ``--decay N`` ends the training: N more steps
with a falling rate, kept apart in OUT/decayed, so that the training itself can go on.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from checkpoint import latest, read_checkpoint, write_checkpoint
from corpus import PAIRS, Mix, balanced_sample, open_mix, read_documents, write_tokens
from loss import draw_candidates, held_out_loss, sampled_loss, whole_loss
from presets import PRESETS, Preset, flops_per_token, new_model
from start import start_vectors
from tokenizer import BOS_ID, EOS_ID, save_tokenizer, train_tokenizer

from emospace.artefacts import content_hash, read_json, write_tensors, write_text
from emospace.display import say

if TYPE_CHECKING:
    import torch

SEED = 0
SPREAD = 0.02
MINUTES_BETWEEN_CHECKPOINTS = 5
STEPS_BETWEEN_LINES = 10
STEPS_BETWEEN_MEASURES = 250
MEASURED_ROWS = 24


def prepare(data: Path, out: Path, preset: Preset, *, svd_start: bool) -> None:
    """Write what a run stands on, where it is not there yet: tokenizer, tokens, start of the embeddings."""
    from tokenizers import Tokenizer

    tokens, tokenizer, start = out / "tokens", out / "tokenizer", out / "start.safetensors"
    if not (tokens / "card.json").exists():
        train, held_out, counts = read_documents(data)
        if not (tokenizer / "tokenizer.json").exists():
            learned = train_tokenizer(balanced_sample(train), preset.n_vocab)
            save_tokenizer(learned, tokenizer, preset.context)
        read = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        write_tokens(tokens, read, train, held_out, counts)
    if svd_start and not start.exists():
        mix = open_mix(tokens, preset.context, preset.batch)
        vectors = start_vectors(
            mix.train, preset.n_vocab, preset.d_model, SPREAD, {("en", "zh"): PAIRS}, SEED
        )
        write_tensors(start, {"embeddings": vectors})


class Trainer:
    """A model with its optimiser, its batches and the number of the step that comes next."""

    def __init__(
        self,
        preset: Preset,
        mix: Mix,
        settings: dict[str, Any],
        start: np.ndarray | None,
        device: str,
        *,
        compiled: bool,
    ) -> None:
        import torch

        torch.manual_seed(SEED)
        self.preset, self.mix, self.settings, self.device = preset, mix, settings, torch.device(device)
        self.model = new_model(preset, BOS_ID, EOS_ID)
        if start is not None:
            with torch.no_grad():
                self.model.model.embed_tokens.weight.copy_(torch.from_numpy(start))
        self.model.to(self.device)
        embeddings = self.model.model.embed_tokens.weight
        others = [p for p in self.model.parameters() if p is not embeddings]
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in others if p.ndim == 2],
                    "peak": preset.rate,
                    "weight_decay": preset.weight_decay,
                },
                {"params": [p for p in others if p.ndim == 1], "peak": preset.rate, "weight_decay": 0.0},
                {"params": [embeddings], "peak": preset.embedding_rate, "weight_decay": 0.0},
            ],
            lr=preset.rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        loss = sampled_loss if preset.n_candidates else whole_loss
        self.loss = torch.compile(loss, dynamic=False) if compiled else loss
        self.step = 0

    def cast(self) -> Any:
        """Return the context in which products are taken in bfloat16."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16)

    def train_step(self, share_of_rate: float) -> torch.Tensor:
        """Take one step and return its loss, as estimated."""
        import torch

        rows = self.mix.batch(self.step)
        inputs = self._tensor(rows[:, :-1])
        if self.preset.n_candidates:
            drawn = draw_candidates(
                rows[:, 1:].ravel(), self.preset.n_vocab, self.preset.n_candidates, seed=SEED + self.step
            )
            arguments = [self._tensor(part) for part in drawn]
        else:
            arguments = [self._tensor(rows[:, 1:])]
        with self.cast():
            loss = self.loss(self.model, inputs, *arguments)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.preset.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share_of_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.detach()

    def measure(self, n_rows: int = MEASURED_ROWS) -> dict[str, dict[str, float]]:
        """Return held-out loss (nats a token) and bits per byte of every stream, over the whole vocabulary."""
        import torch

        found = {}
        self.model.eval()
        with torch.no_grad(), self.cast():
            for stream in self.mix.held_out:
                rows = self._tensor(self.mix.measured(stream, n_rows))
                nats = held_out_loss(self.model, rows)
                bits = float(nats / np.log(2) / self.mix.bytes_per_token[stream])
                found[stream] = {"loss": round(nats, 4), "bits_per_byte": round(bits, 4)}
        self.model.train()
        return found

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, non_blocking=True)


def rate_at(step: int, warm_up: int, decay_from: int | None = None, decay: int = 0) -> float:
    """Return the share of the peak rate: up over the warm-up, then steady, then down to 0 over `decay` steps."""
    share = min(1.0, (step + 1) / warm_up)
    if decay_from is not None and step >= decay_from:
        share *= max(0.0, 1 - (step - decay_from + 1) / (decay + 1))
    return share


def peak_flops(device: str) -> float:
    """Return the machine's measured bfloat16 matrix products, operations a second.

    On processors it is counted by processor time over threads: what others run there at the moment does not lower it.
    """
    import torch

    on_cpu = device == "cpu"
    size, threads = (2048, torch.get_num_threads()) if on_cpu else (8192, 1)
    clock = time.process_time if on_cpu else time.perf_counter
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    times = []
    for _ in range(8):
        began = clock()
        product = left @ right
        product[0, 0].item()
        times.append((clock() - began) / threads)
    return 2 * size**3 / min(times)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda got, _frame: received.append(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Log:
    """A file of JSON lines; lines of steps that were lost with a killed run are taken back."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_text(path, "".join(line + "\n" for line in lines if json.loads(line)["step"] <= step))

    def add(self, line: dict[str, Any]) -> None:
        """Write a line to the file and to the terminal."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        say(" ".join(f"{key}={value}" for key, value in line.items()))


def run(trainer: Trainer, out: Path, *, minutes: float, steps: int | None, decay: int) -> None:
    """Train until the time, the steps or the decay are over, or a signal comes, and keep a checkpoint.

    Parameters
    ----------
    steps
        Step to end at; None for none.
    decay
        Steps of a falling rate that end the training; 0 for a steady rate.
    """
    preset, tokenizer = trainer.preset, out / "tokenizer"
    folder = out / "decayed" if decay else out / "checkpoints"
    place, decay_from = latest(folder), None
    if decay and place:
        decay_from, decay = (read_json(place / "state.json")[key] for key in ("decay_from", "decay"))
    place = place or latest(out / "checkpoints")
    if place:
        trainer.step = read_checkpoint(place, trainer.model, trainer.optimizer, trainer.settings)
        say(f"continued at {place}")
    if decay:
        decay_from = trainer.step if decay_from is None else decay_from
        steps = decay_from + decay
    folder.mkdir(parents=True, exist_ok=True)
    log = Log(out / ("decay.jsonl" if decay else "log.jsonl"), trainer.step)
    state = {"settings": trainer.settings, "decay_from": decay_from, "decay": decay}

    def keep() -> None:
        if (at := latest(folder)) and at.name == f"step-{trainer.step:07d}":
            return
        write_checkpoint(folder, trainer.step, trainer.model, trainer.optimizer, tokenizer, state)

    per_token = flops_per_token(preset, trainer.model)
    per_step = preset.batch * preset.context
    peak = peak_flops(trainer.device.type)
    n_parameters = sum(weight.numel() for weight in trainer.model.parameters())
    say(f"{n_parameters:,} parameters, {per_token / 1e6:.1f} MFLOP a token, peak {peak / 1e9:.0f} GFLOP/s")
    began = saved = time.monotonic()
    lap, busy = began, time.process_time()
    losses: list[torch.Tensor] = []
    with stop_signals() as stopped:
        while (
            not stopped
            and (steps is None or trainer.step < steps)
            and time.monotonic() - began < minutes * 60
        ):
            if trainer.step % STEPS_BETWEEN_MEASURES == 0:
                held_out = trainer.measure()
                log.add({"step": trainer.step, "tokens": trainer.step * per_step, "held_out": held_out})
                lap, busy, losses = time.monotonic(), time.process_time(), []
            losses.append(trainer.train_step(rate_at(trainer.step, preset.warm_up, decay_from, decay)))
            if trainer.step % STEPS_BETWEEN_LINES == 0:
                loss = sum(map(float, losses)) / len(losses)
                now, worked = time.monotonic(), time.process_time()
                speed = len(losses) * per_step / (now - lap)
                log.add(
                    {
                        "step": trainer.step,
                        "tokens": trainer.step * per_step,
                        "loss": round(loss, 4),
                        "tokens_per_s": round(speed),
                        "tokens_per_core_s": round(len(losses) * per_step / (worked - busy)),
                        "share_of_peak": round(speed * per_token / peak, 3),
                    }
                )
                lap, busy, losses = now, worked, []
            if time.monotonic() - saved > MINUTES_BETWEEN_CHECKPOINTS * 60:
                keep()
                saved = time.monotonic()
    keep()
    if steps is not None and trainer.step >= steps:
        log.add({"step": trainer.step, "tokens": trainer.step * per_step, "held_out": trainer.measure(200)})
    say(f"step {trainer.step} kept in {folder}")


def main() -> None:
    """Parse, prepare, train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/data.md")
    parser.add_argument("--out", type=Path, default=Path("runs/polyglot"))
    parser.add_argument("--preset", choices=list(PRESETS), help="default: gpu where there is one")
    parser.add_argument("--minutes", type=float, help="how long to train in this call")
    parser.add_argument("--steps", type=int, help="step to end at")
    parser.add_argument("--decay", type=int, default=0, help="end the training with this many steps")
    parser.add_argument("--noise-start", action="store_true", help="start embeddings from noise")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--prepare", action="store_true", help="write tokenizer, tokens and start, and end")
    options = parser.parse_args()

    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    name = options.preset or ("gpu" if torch.cuda.is_available() else "cpu")
    preset = PRESETS[name]
    minutes = preset.minutes if options.minutes is None else options.minutes
    prepare(options.data, options.out, preset, svd_start=not options.noise_start)
    if options.prepare:
        return
    mix = open_mix(options.out / "tokens", preset.context, preset.batch, SEED)
    settings = asdict(replace(preset, minutes=0.0)) | {
        "noise_start": options.noise_start,
        "tokens": read_json(options.out / "tokens" / "card.json")["identity"],
        "seed": SEED,
    }
    start = None
    if not options.noise_start:
        from safetensors.numpy import load_file

        start = load_file(options.out / "start.safetensors")["embeddings"]
    trainer = Trainer(
        preset, mix, settings, start, "cuda" if name == "gpu" else "cpu", compiled=not options.eager
    )
    say(f"rows of a batch: {mix.rows}; settings {content_hash(settings)}")
    run(trainer, options.out, minutes=minutes, steps=options.steps, decay=options.decay)


if __name__ == "__main__":
    main()
