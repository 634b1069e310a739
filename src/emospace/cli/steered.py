"""Answers without and with a tone: streamed, searched or in batches, and what the tone costs."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emospace.display import remark, say, texts

if TYPE_CHECKING:
    from emospace.evaluation import Generated, Sampling
    from emospace.models import LanguageModel
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

    def unwarned(self) -> Asked:
        """Return the same at the same dose without its calibrated range, so that nothing is warned of twice."""
        return self._replace(vector=replace(self.vector, calibration={}), dose=self.applied)

    def described(self) -> dict[str, Any]:
        """Return vector, mode, dose and layers, and how they act where that is not as calibrated."""
        told = {name: value for name, value in self.options.items() if value is not None}
        return {
            "vector": self.vector.name,
            "kind": self.vector.kind,
            "mode": self.vector.mode,
            "dose": self.applied,
            "layers": list(self.vector.layers),
            **told,
        }


def show_stream(asked: Asked, prompt: str, *, baseline: bool) -> None:
    """Print both answers as they come, then what was done and what it cost."""
    from emospace.evaluation import stream

    shared: dict[str, Any] = {"sampling": asked.sampling, "system": asked.system}
    streams = {"unsteered": Kept(stream(asked.model, prompt, **shared))} if baseline else {}
    streams[asked.vector.name] = Kept(
        stream(asked.model, prompt, asked.vector, dose=asked.dose, **shared, **asked.options)
    )
    texts(streams)
    steered = streams[asked.vector.name].answer
    plain = streams["unsteered"].answer if baseline else None
    remark_thoughts({name: kept.answer for name, kept in streams.items()})
    remark(described(asked, steered.applications, ratio(asked, [prompt], steered, plain)))


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
    remark_thoughts(({"unsteered": plain} if plain else {}) | {asked.vector.name: steered})
    cost = ratio(asked, [prompt], steered, plain)
    remark(described(asked, steered.applications, cost))


def remark_thoughts(answers: Mapping[str, Generated]) -> None:
    """Say which answers had a thought before them, which is not shown."""
    for name, answer in answers.items():
        if answer.reasoning[0]:
            remark(
                f"{name}: a thought of {len(answer.reasoning[0]):,} characters before the answer is not shown"
            )


def write_batch(asked: Asked, prompts: Sequence[str], out: Path | None, *, baseline: bool) -> None:
    """Write one JSON object a prompt, and say what was done to all of them."""
    from emospace.artefacts import jsonable, write_text

    steered = answers(asked, prompts, steered=True)
    plain = answers(asked, prompts, steered=False) if baseline else None
    ratios = paired(asked, prompts, steered, plain)
    lines = []
    for place, prompt in enumerate(prompts):
        row: dict[str, Any] = {"prompt": prompt, "steered": steered.texts[place]}
        if plain is not None:
            row["unsteered"] = plain.texts[place]
        for side, given in (("steered", steered), ("unsteered", plain)):
            if given is not None and given.reasoning[place]:
                row[f"{side}_reasoning"] = given.reasoning[place]
        row |= {"perplexity_ratio": ratios[place], "seed": asked.sampling.seed, **asked.described()}
        row["applications_in_batch"] = steered.applications
        lines.append(json.dumps(jsonable(row), ensure_ascii=False))
    written = "".join(f"{line}\n" for line in lines)
    if out is None:
        sys.stdout.write(written)
    else:
        write_text(out, written)
        say(f"Written: {out}")
    remark(described(asked, steered.applications, middle(ratios), len(prompts)))


def described(asked: Asked, applications: int, cost: float | None, n: int = 1) -> str:
    """Return the line below an answer."""
    told = asked.described()
    acting = [f"{name} {told[name]}" for name in ("scope", "op") if name in told]
    if "window" in told:
        start, stop = told["window"]
        acting.append(f"window {start}:{'' if stop is None else stop}")
    parts = [
        f"{told['vector']} ({told['kind']})",
        f"{told['mode']} dose {told['dose']:g}",
        f"layers {', '.join(map(str, told['layers']))}",
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
    from emospace.evaluation import Generated, generate

    if asked.beams > 1:
        import numpy as np

        found = [beam_search(asked, prompt, steered=steered) for prompt in prompts]
        return Generated(
            [one.texts[0] for one in found],
            [one.tokens[0] for one in found],
            np.array([one.stopped[0] for one in found], dtype=bool),
            sum(one.applications for one in found),
            [one.reasoning[0] for one in found],
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

    from emospace.evaluation import Generated
    from emospace.models import answer_parts, turns_of
    from emospace.steering import steer

    ids = asked.model.prompt_ids(turns_of(prompt, asked.system))
    row = torch.tensor([ids], device=asked.model.device)
    steering = steer(asked.model, asked.vector, asked.dose, **asked.options) if steered else None
    with steering or nullcontext(), torch.inference_mode():
        found = asked.model.model.generate(
            input_ids=row,
            attention_mask=torch.ones_like(row),
            max_new_tokens=asked.sampling.n_tokens,
            num_beams=asked.beams,
            do_sample=False,
            pad_token_id=asked.model.tokenizer.pad_token_id,
        )
    ends = asked.model.model.generation_config.eos_token_id
    ending = set(ends if isinstance(ends, list) else [ends])
    answer = [int(token) for token in found[0, len(ids) :].tolist()]
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

    from emospace.evaluation import perplexity

    if plain is None:
        return [None] * len(prompts)
    above = perplexity(asked.model, prompts, steered, system=asked.system)
    below = perplexity(asked.model, prompts, plain, system=asked.system)
    return [float(one) if np.isfinite(one) else None for one in above / below]


def ratio(asked: Asked, prompts: Sequence[str], steered: Generated, plain: Generated | None) -> float | None:
    """Return the median of `paired`, None where no answer has a token on both sides."""
    return middle(paired(asked, prompts, steered, plain))


def middle(ratios: Sequence[float | None]) -> float | None:
    """Return the median of the known ratios."""
    from statistics import median

    known = [one for one in ratios if one is not None]
    return median(known) if known else None
