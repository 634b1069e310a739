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
    from emospace.models import LanguageModel
    from emospace.specs import Sampling
    from emospace.steering.vector import SteeringVector


class Asked(NamedTuple):
    """A model, what it is steered with, and how it answers."""

    model: LanguageModel
    vector: SteeringVector
    dose: float | None
    options: dict[str, Any]
    sampling: Sampling
    system: str | None
    beams: int

    @property
    def applied(self) -> float:
        """The dose that is applied."""
        return self.vector.dose() if self.dose is None else self.dose

    def described(self) -> dict[str, Any]:
        """Return vector, mode, dose and layers, and how they act where that is not as calibrated."""
        acting = {name: value for name, value in self.options.items() if value is not None}
        return {
            "vector": self.vector.name,
            "kind": self.vector.kind,
            "mode": self.vector.mode,
            "dose": self.applied,
            "layers": list(self.vector.layers),
            **acting,
        }


def show_stream(asked: Asked, prompt: str, *, baseline: bool) -> None:
    """Print both answers as they come, then what was done and what it cost."""
    from emospace.generation import stream

    shared: dict[str, Any] = {"sampling": asked.sampling, "system": asked.system}
    streams = {"unsteered": Kept(stream(asked.model, prompt, **shared))} if baseline else {}
    streams[asked.vector.name] = Kept(
        stream(asked.model, prompt, asked.vector, dose=asked.dose, **shared, **asked.options)
    )
    texts(streams)
    steered = streams[asked.vector.name].answer
    plain = streams["unsteered"].answer if baseline else None
    show_cost(asked, prompt, steered, plain)


class Kept:
    """The pieces of a stream, which keeps the answer that the stream returns at its end."""

    def __init__(self, pieces: Generator[str, None, Generated]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Generator[str]:
        self.answer = yield from self.pieces


def show_beams(asked: Asked, prompt: str, *, baseline: bool) -> None:
    """Print both answers of beam search, then what was done and what it cost."""
    plain = beam_search(asked, prompt, steered=False) if baseline else None
    steered = beam_search(asked, prompt, steered=True)
    shown = {"unsteered": plain.texts} if plain else {}
    texts(shown | {asked.vector.name: steered.texts})
    show_cost(asked, prompt, steered, plain)


def show_cost(asked: Asked, prompt: str, steered: Generated, plain: Generated | None) -> None:
    """Say what was done to an answer, what it cost, and which thoughts before an answer are not shown."""
    for name, answer in (("unsteered", plain), (asked.vector.name, steered)):
        if answer is not None and answer.reasoning[0]:
            length = f"{len(answer.reasoning[0]):,}"
            remark(f"{name}: a thought of {length} characters before the answer is not shown")
    cost = middle(paired(asked, [prompt], steered, plain))
    remark(described(asked, steered.applications, cost))
    done = {"applications": steered.applications, "perplexity_ratio": cost}
    add_result("steered", {**asked.described(), **done})


def write_batch(asked: Asked, prompts: Sequence[str], out: Path | None, *, baseline: bool) -> None:
    """Write one JSON object a prompt, and say what was done to all of them."""
    from emospace.artefacts import jsonable, write_text

    steered = answers(asked, prompts, steered=True)
    plain = answers(asked, prompts, steered=False) if baseline else None
    ratios = paired(asked, prompts, steered, plain)
    rows = []
    for place, prompt in enumerate(prompts):
        row: dict[str, Any] = {"prompt": prompt, "steered": steered.texts[place]}
        if plain is not None:
            row["unsteered"] = plain.texts[place]
        for side, given in (("steered", steered), ("unsteered", plain)):
            if given is not None and given.reasoning[place]:
                row[f"{side}_reasoning"] = given.reasoning[place]
        row |= {"perplexity_ratio": ratios[place], "seed": asked.sampling.seed, **asked.described()}
        row["applications_in_batch"] = steered.applications
        rows.append(jsonable(row))
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if out is not None:
        write_text(out, lines)
        written("Written", out)
    elif not add_result("answers", rows):
        sys.stdout.write(lines)
    remark(described(asked, steered.applications, middle(ratios), len(prompts)))


def described(asked: Asked, applications: int, cost: float | None, n: int = 1) -> str:
    """Return the line below an answer."""
    done = asked.described()
    acting = [f"{name} {done[name]}" for name in ("scope", "op") if name in done]
    if "window" in done:
        start, stop = done["window"]
        acting.append(f"window {start}:{'' if stop is None else stop}")
    parts = [
        f"{done['vector']} ({done['kind']})",
        f"{done['mode']} dose {done['dose']:g}",
        f"layers {', '.join(map(str, done['layers']))}",
        *acting,
        f"{applications:,} applications",
        "perplexity ratio not measured" if cost is None else f"perplexity {cost:.2f} times the unsteered",
    ]
    if n > 1:
        parts[-1] += " (median)" if cost is not None else ""
        parts.append(f"{n} prompts")
    return " · ".join(parts)


def answers(asked: Asked, prompts: Sequence[str], *, steered: bool) -> Generated:
    """Return the answers to prompts, sampled in batches or searched one by one."""
    from emospace.generation import Generated, generate

    if asked.beams > 1:
        import numpy as np

        searched = [beam_search(asked, prompt, steered=steered) for prompt in prompts]
        return Generated(
            [answer.texts[0] for answer in searched],
            [answer.tokens[0] for answer in searched],
            np.array([answer.stopped[0] for answer in searched], dtype=bool),
            sum(answer.applications for answer in searched),
            [answer.reasoning[0] for answer in searched],
        )
    return generate(
        asked.model,
        prompts,
        asked.vector if steered else None,
        sampling=asked.sampling,
        system=asked.system,
        **({"dose": asked.dose, **asked.options} if steered else {}),
    )


def beam_search(asked: Asked, prompt: str, *, steered: bool) -> Generated:
    """Return the answer of the model's own beam search."""
    from contextlib import nullcontext

    import numpy as np
    import torch

    from emospace.generation import Generated
    from emospace.generation.decoding import answer_parts
    from emospace.models import turns_of
    from emospace.steering import steer

    ids = asked.model.prompt_ids(turns_of(prompt, asked.system))
    row = torch.tensor([ids], device=asked.model.device)
    steering = steer(asked.model, asked.vector, asked.dose, **asked.options) if steered else None
    with steering or nullcontext(), torch.inference_mode():
        generated = asked.model.model.generate(
            input_ids=row,
            attention_mask=torch.ones_like(row),
            max_new_tokens=asked.sampling.n_tokens,
            num_beams=asked.beams,
            do_sample=False,
            pad_token_id=asked.model.tokenizer.pad_token_id,
        )
    ends = asked.model.model.generation_config.eos_token_id
    ending = set(ends if isinstance(ends, list) else [ends])
    answer = [int(token) for token in generated[0, len(ids) :].tolist()]
    kept = next((place for place, token in enumerate(answer) if token in ending), len(answer))
    parts = answer_parts(asked.model, ids, answer[:kept])
    changed = steering.applications if steering is not None else 0
    stopped = np.array([kept < len(answer)])
    tokens = [np.array(answer[:kept], dtype=np.int64)]
    return Generated([parts.answer], tokens, stopped, changed, [parts.reasoning])


def paired(
    asked: Asked, prompts: Sequence[str], steered: Generated, plain: Generated | None
) -> list[float | None]:
    """Return the perplexity of each steered answer over that of the unsteered one, both under the unsteered model."""
    import numpy as np

    from emospace.generation import perplexity

    if plain is None:
        return [None] * len(prompts)
    above = perplexity(asked.model, prompts, steered, system=asked.system)
    below = perplexity(asked.model, prompts, plain, system=asked.system)
    return [float(ratio) if np.isfinite(ratio) else None for ratio in above / below]


def middle(ratios: Sequence[float | None]) -> float | None:
    """Return the median of the ratios there are."""
    from statistics import median

    finite = [ratio for ratio in ratios if ratio is not None]
    return median(finite) if finite else None
