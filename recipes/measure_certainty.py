"""Where may a tone speak, and the facts stay? What signs of a model's certainty tell apart, on calibration prompts.

    python recipes/measure_certainty.py [--models embedded,gemma] [--n-prompts 24]

`--certainty` leaves a token to the unsteered model where that gives it a high probability. A fact stays for sure where every
token of the unsteered answer, up to the one that holds the fact, is left; a tone can be heard where tokens of open answers are
not. For each sign and each share of facts kept, the largest share of open tokens that the tone may have is looked for among all
thresholds. Signs: the probability of the likeliest token; the margin, its probability over that of the second; the entropy; and
running means of the probability over the answer so far. Writes ``docs/results/certainty-gates.json`` and ``.md``; no evaluation
prompt takes part, and no text is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import write_json, write_text
from emospace.evaluation.content import answered
from emospace.evaluation.prompts import load_factual, load_prompts, prompt_kind
from emospace.generation import Sampling, generate
from emospace.models import load_model, turns_of
from publishing import DOCS, command_line, made_by, made_on, markdown_table

if TYPE_CHECKING:
    from emospace.models import LanguageModel

LANGUAGE = "en"
KEPT = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the facts that are to stay."""


def signs(model: LanguageModel, prompt: str, tokens: Sequence[int]) -> dict[str, np.ndarray]:
    """Return by sign how sure the model was at each token of an answer ``[n_tokens]``, larger being surer."""
    import torch

    asked = model.prompt_ids(turns_of(prompt))
    ids = torch.tensor([[*asked, *tokens]]).to(model.device)
    with torch.inference_mode():
        scores = model.model(ids).logits[0, len(asked) - 1 : -1].float().log_softmax(dim=-1)
    best = scores.topk(2, dim=-1).values
    likeliest = best[:, 0].exp().cpu().numpy().astype(np.float64)
    running = {f"running mean ({decay:g})": running_mean(likeliest, decay) for decay in (0.5, 0.8)}
    return {
        "probability": likeliest,
        "margin": (best[:, 0] - best[:, 1]).cpu().numpy(),
        "entropy": (scores.exp() * scores.nan_to_num(neginf=0.0)).sum(dim=-1).cpu().numpy(),
        **running,
    }


def running_mean(values: np.ndarray, decay: float) -> np.ndarray:
    """Return the exponential mean of values ``[n]`` up to each, that weighs the past by `decay`."""
    means = np.array(values)
    for place in range(1, len(values)):
        means[place] = decay * means[place - 1] + (1 - decay) * values[place]
    return means


def facts_of(model: LanguageModel) -> list[dict[str, np.ndarray]]:
    """Return the signs of the unsteered answers that are right, each up to the token that holds the fact."""
    facts = load_factual(LANGUAGE, None, prompt_kind(model, None), "calibration")
    greedy = Sampling(n_tokens=16, temperature=0.0)
    given = generate(model, [fact.prompt for fact in facts], sampling=greedy)
    right = answered(given.texts, [fact.answers for fact in facts])
    known = []
    for fact, tokens, is_right in zip(facts, given.tokens, right, strict=True):
        if is_right:
            beginnings = [model.tokenizer.decode(tokens[:end]) for end in range(1, len(tokens) + 1)]
            holds = answered(beginnings, [fact.answers] * len(beginnings))
            known.append(signs(model, fact.prompt, list(tokens[: int(np.argmax(holds)) + 1])))
    return known


def open_answers(model: LanguageModel, n_prompts: int) -> list[dict[str, np.ndarray]]:
    """Return the signs of sampled unsteered answers to neutral prompts."""
    prompts = load_prompts(LANGUAGE, "calibration", None, prompt_kind(model, None))[:n_prompts]
    given = generate(model, prompts, sampling=Sampling(n_tokens=40))
    return [
        signs(model, prompt, list(tokens))
        for prompt, tokens in zip(prompts, given.tokens, strict=True)
        if len(tokens)
    ]


def left_to_tone(
    sign: str, facts: Sequence[dict[str, np.ndarray]], texts: Sequence[dict[str, np.ndarray]]
) -> list[float]:
    """Return for each share of `KEPT` the largest share of open tokens at which a sign leaves so many facts whole."""
    # A fact stays where its least sure token is above the threshold.
    weakest = np.sort([float(fact[sign].min()) for fact in facts])[::-1]
    tokens = np.concatenate([text[sign] for text in texts])
    shares = []
    for kept in KEPT:
        threshold = weakest[int(np.ceil(kept * len(weakest))) - 1]
        shares.append(float((tokens < threshold).mean()))
    return shares


def measured(name: str, n_prompts: int) -> dict[str, Any]:
    """Return what a model's signs tell apart."""
    model = load_model(name, dtype="auto")
    facts, texts = facts_of(model), open_answers(model, n_prompts)
    return {
        "model": name,
        "n_facts": len(facts),
        "n_tokens": int(sum(len(text["probability"]) for text in texts)),
        "left_to_tone": {sign: left_to_tone(sign, facts, texts) for sign in facts[0]},
    }


def page(card: dict[str, Any]) -> str:
    """Return the page of the figures."""
    names = ("model", "sign", *(f"{kept:.0%} of facts" for kept in KEPT))
    rows = [
        (entry["model"], sign, *shares)
        for entry in card["models"]
        for sign, shares in entry["left_to_tone"].items()
    ]
    counted = "; ".join(f"{m['model']}: {m['n_facts']} facts, {m['n_tokens']} tokens" for m in card["models"])
    return (
        "# What certainty tells apart\n\n"
        "The share of the tokens of open answers that a tone may have where a sign of certainty leaves so many of the facts, "
        f"known unsteered, whole ({counted}). {made_on(card)} Written by `recipes/measure_certainty.py`; calibration prompts "
        f"alone.\n\n{markdown_table(names, rows)}\n"
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="embedded,gemma")
    parser.add_argument("--n-prompts", type=int, default=24)
    options = parser.parse_args()
    models = [measured(name, options.n_prompts) for name in options.models.split(",")]
    card = {**made_by(command_line()), "kept": list(KEPT), "models": models}
    write_json(DOCS / "certainty-gates.json", card)
    write_text(DOCS / "certainty-gates.md", page(card))


if __name__ == "__main__":
    main()
