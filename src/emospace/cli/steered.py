"""Answers without and with a tone: streamed, searched or in batches, and what the tone costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emospace.display import add_result, remark, texts, written

if TYPE_CHECKING:
    from emospace.generation import Generated
    from emospace.generation.opening import GateState
    from emospace.models import LanguageModel
    from emospace.specs import Sampling
    from emospace.steering import SteeringPlan


class SteeredModel(NamedTuple):
    """A model, how it is steered and how it answers; `options` are what differs from how the vector was calibrated."""

    model: LanguageModel
    plan: SteeringPlan
    options: dict[str, Any]
    sampling: Sampling
    system: str | None
    beams: int

    def described(self) -> dict[str, Any]:
        """Return vector, mode, dose and layers, and how they act where that is not as calibrated."""
        return {
            "vector": self.plan.vector.name,
            "kind": self.plan.vector.kind,
            "mode": self.plan.mode,
            "dose": self.plan.dose,
            "calibrated": self.plan.is_calibrated,
            "layers": list(self.plan.vector.layers),
            **({"guidance": guidance.given} if (guidance := self.plan.acting_guidance) else {}),
            **({"when": str(gate)} if (gate := self.plan.acting_gate) else {}),
            **({} if self.plan.thoughts else {"steer_thought": False}),
            **{name: value for name, value in self.options.items() if value is not None},
        }

    def answers(self, prompts: Sequence[str], *, is_steered: bool) -> Generated:
        """Return the answers to prompts, sampled in batches or searched."""
        from emospace.generation import generate

        plan = self.plan if is_steered else None
        if self.beams > 1:
            return beam_search(self, prompts, plan)
        return generate(self.model, prompts, plan, sampling=self.sampling, system=self.system)


class KeptStream:
    """The pieces of a stream, which keeps the answer that the stream returns at its end."""

    def __init__(self, pieces: Generator[str, None, Generated]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Generator[str]:
        self.answer = yield from self.pieces


def show_answers(steered: SteeredModel, prompt: str, *, baseline: bool) -> None:
    """Print both answers, as they come where they are sampled, then what was done and what it cost."""
    from emospace.generation import stream

    name, model = steered.plan.vector.name, steered.model
    plans = {"unsteered": None, name: steered.plan} if baseline else {name: steered.plan}
    if steered.beams > 1:
        answers = {way: beam_search(steered, [prompt], plan) for way, plan in plans.items()}
        texts({way: answer.texts for way, answer in answers.items()})
    else:
        streams = {
            way: KeptStream(stream(model, prompt, plan, sampling=steered.sampling, system=steered.system))
            for way, plan in plans.items()
        }
        texts(streams)
        answers = {way: pieces.answer for way, pieces in streams.items()}
    for way, answer in answers.items():
        if answer.reasoning[0]:
            length = f"{len(answer.reasoning[0]):,}"
            remark(f"{way}: a thought of {length} characters before the answer is not shown")
    cost = median_of(paired(steered, [prompt], answers[name], answers.get("unsteered")))
    applications = answers[name].applications
    remark(summary_line(steered, answers[name], cost))
    result = {**steered.described(), "applications": applications, "perplexity_ratio": cost}
    if answers[name].gates:
        result["gate"] = answers[name].gates[0]._asdict()
    add_result("steered", result)


def write_batch(steered: SteeredModel, prompts: Sequence[str], out: Path | None, *, baseline: bool) -> None:
    """Write one JSON object a prompt, and say what was done to all of them."""
    from emospace.artefacts import jsonable, write_text

    answers = {"steered": steered.answers(prompts, is_steered=True)}
    if baseline:
        answers["unsteered"] = steered.answers(prompts, is_steered=False)
    ratios = paired(steered, prompts, answers["steered"], answers.get("unsteered"))
    applications = answers["steered"].applications
    rows = []
    for place, prompt in enumerate(prompts):
        row: dict[str, Any] = {"prompt": prompt}
        row |= {side: answer.texts[place] for side, answer in answers.items()}
        for side, answer in answers.items():
            if answer.reasoning[place]:
                row[f"{side}_reasoning"] = answer.reasoning[place]
        row |= {"perplexity_ratio": ratios[place], "seed": steered.sampling.seed, **steered.described()}
        if answers["steered"].gates:
            row["gate"] = answers["steered"].gates[place]._asdict()
        row["applications_in_batch"] = applications
        rows.append(jsonable(row))
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if out is not None:
        write_text(out, lines)
        written("Written", out)
    elif not add_result("answers", rows):
        sys.stdout.write(lines)
    remark(summary_line(steered, answers["steered"], median_of(ratios)))


def summary_line(steered: SteeredModel, generated: Generated, cost: float | None) -> str:
    """Return the line below answers: what steered them, and the median of what it cost."""
    facts, n, gates = steered.described(), len(generated.texts), generated.gates
    options = [f"{name} {facts[name]}" for name in ("scope", "op") if name in facts]
    if steered.plan.acting_guidance is not None:
        options.append(f"guidance {steered.plan.acting_guidance}")
    if "window" in facts:
        start, stop = facts["window"]
        options.append(f"window {start}:{'' if stop is None else stop}")
    parts = [
        f"{facts['vector']} ({facts['kind']})",
        f"{facts['mode']} dose {facts['dose']:g}{'' if facts['calibrated'] else ' (no calibrated range)'}",
        f"layers {', '.join(map(str, facts['layers']))}",
        *options,
        *([] if steered.plan.thoughts else ["thought unsteered"]),
        *([gates[0].said] if len(gates) == 1 else []),
        *(
            [f"gate {gates[0].condition} opened in {sum(map(is_open, gates))} of {n}"]
            if len(gates) > 1
            else []
        ),
        f"{generated.applications:,} applications",
        "perplexity ratio not measured" if cost is None else f"perplexity {cost:.2f} times the unsteered",
    ]
    if n > 1:
        parts[-1] += " (median)" if cost is not None else ""
        parts.append(f"{n} prompts")
    return " · ".join(parts)


def is_open(state: GateState) -> bool:
    """Return whether a gate opened."""
    return state.opened_after is not None


def beam_search(steered: SteeredModel, prompts: Sequence[str], plan: SteeringPlan | None) -> Generated:
    """Return the answers of the model's own beam search."""
    from contextlib import nullcontext

    import numpy as np
    import torch

    from emospace.generation import Generated
    from emospace.generation.decoding import answer_parts
    from emospace.generation.forward import end_ids
    from emospace.models import turns_of
    from emospace.steering import Steering
    from emospace.steering.plan import warn_before

    model, ends = steered.model, end_ids(steered.model)
    steering = None if plan is None else Steering(model, plan)
    if plan is not None:
        warn_before(model, plan)
    tokens, parts, stopped = [], [], []
    for prompt in prompts:
        ids = model.prompt_ids(turns_of(prompt, steered.system))
        row = torch.tensor([ids], device=model.device)
        with steering or nullcontext(), torch.inference_mode():
            generated = model.model.generate(
                input_ids=row,
                attention_mask=torch.ones_like(row),
                max_new_tokens=steered.sampling.n_tokens,
                num_beams=steered.beams,
                do_sample=False,
                pad_token_id=model.tokenizer.pad_token_id,
            )
        answer = [int(token) for token in generated[0, len(ids) :].tolist()]
        n = next((place for place, token in enumerate(answer) if token in ends), len(answer))
        tokens.append(np.array(answer[:n], dtype=np.int64))
        parts.append(answer_parts(model, ids, answer[:n]))
        stopped.append(n < len(answer))
    return Generated(
        [part.answer for part in parts],
        tokens,
        np.array(stopped, dtype=bool),
        0 if steering is None else steering.applications,
        [part.reasoning for part in parts],
    )


def paired(
    steered: SteeredModel, prompts: Sequence[str], answers: Generated, unsteered: Generated | None
) -> list[float | None]:
    """Return the perplexity of each steered answer over that of the unsteered one, both under the unsteered model."""
    import numpy as np

    from emospace.generation import perplexity

    if unsteered is None:
        return [None] * len(prompts)
    above = perplexity(steered.model, prompts, answers, system=steered.system)
    below = perplexity(steered.model, prompts, unsteered, system=steered.system)
    return [float(ratio) if np.isfinite(ratio) else None for ratio in above / below]


def median_of(ratios: Sequence[float | None]) -> float | None:
    """Return the median of the ratios there are."""
    from statistics import median

    finite = [ratio for ratio in ratios if ratio is not None]
    return median(finite) if finite else None
