"""Put a trained model into its package: weights in bfloat16, its figures (card.json) and its model card (README.md).

    python training/polyglot/pack.py --run runs/polyglot --to packages/polyglot

Takes the decayed checkpoint, else the newest. Held-out bits per byte are over all held-out text, beside those of
n-grams counted on all training text of the language.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checkpoint import latest
from corpus import PAIRS, SHARES, open_mix
from loss import held_out_loss
from ngram import ORDER, count_ngrams

from emospace.artefacts import read_json, write_json, write_text
from emospace.display import say, track

PROMPTS: Mapping[str, str] = {
    "en": "She opened the letter and",
    "zh": "他打开信，",
    "ja": "彼は手紙を開いて、",
    "fr": "Elle ouvrit la lettre et",
    "de": "Sie öffnete den Brief und",
    "es": "Abrió la carta y",
    "en-zh": "I am very happy.",
}
SOURCES: Mapping[str, tuple[str, str]] = {
    "en": ("fiction; BRIGHTER's English test split, without labels", "public domain; CC BY 4.0"),
    "zh": ("contemporary prose", "for training only; no text of it is redistributed"),
    "ja": ("fiction", "public domain"),
    "fr": ("fiction", "public domain"),
    "de": ("fiction", "public domain"),
    "es": ("fiction", "public domain"),
    PAIRS: ("Tatoeba sentence pairs", "CC BY 2.0 FR"),
}


def bits_per_byte(model: Any, mix: Any) -> dict[str, float]:
    """Return the model's bits per byte of each stream's held-out text."""
    import torch

    found = {}
    # As in training; in single precision the whole vocabulary takes five times as long.
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for stream in track(list(mix.held_out), "held-out text"):
            rows = torch.from_numpy(mix.measured(stream, sys.maxsize))
            found[stream] = held_out_loss(model, rows) / np.log(2) / mix.bytes_per_token[stream]
    return found


def baseline(mix: Any, n_vocab: int) -> dict[str, float]:
    """Return the bits per byte of an n-gram model of each stream."""
    return {
        stream: count_ngrams(tokens, n_vocab).bits_per_token(mix.held_out[stream])
        / mix.bytes_per_token[stream]
        for stream, tokens in track(list(mix.train.items()), "n-grams")
    }


def samples(model: Any, tokenizer: Any, seed: int = 0) -> dict[str, str]:
    """Return a continuation of each prompt, 48 tokens at temperature 0.8 within the likeliest 0.95."""
    import torch

    found = {}
    for stream, prompt in PROMPTS.items():
        torch.manual_seed(seed)
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        out = model.generate(ids, max_new_tokens=48, do_sample=True, temperature=0.8, top_p=0.95)
        found[stream] = tokenizer.decode(out[0], skip_special_tokens=True)
    return found


def history(run: Path) -> tuple[float, list[dict[str, Any]]]:
    """Return the hours trained, by the speeds logged, and the held-out figures along the way."""
    hours, curve = 0.0, []
    for name in ("log.jsonl", "decay.jsonl"):
        path = run / name
        before = 0 if name == "log.jsonl" else None
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.exists() else []):
            if "held_out" in line:
                curve.append({"tokens": line["tokens"], "held_out": line["held_out"]})
            if "tokens_per_s" in line:
                if before is not None:
                    hours += (line["tokens"] - before) / line["tokens_per_s"] / 3600
                before = line["tokens"]
    return hours, curve


def draw_curves(curve: list[dict[str, Any]], path: Path) -> None:
    """Draw held-out bits per byte of each stream against tokens trained on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    for stream in SHARES:
        points = [(line["tokens"] / 1e6, line["held_out"][stream]["bits_per_byte"]) for line in curve]
        axes.plot(*zip(*points, strict=True), label=stream)
    axes.set(xlabel="million tokens trained on", ylabel="held-out bits per byte", ylim=(1, None))
    axes.legend(frameon=False, ncols=4)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def page(card: Mapping[str, Any]) -> str:
    """Return the model card."""
    figures = "\n".join(
        f"| `{stream}` | {SOURCES[stream][0]} | {SOURCES[stream][1]} | {SHARES[stream]:.2f} "
        f"| {card['tokens'][stream]['train'] / 1e6:.1f} | {card['bits_per_byte'][stream]:.3f} "
        f"| {card['ngram_bits_per_byte'][stream]:.3f} |"
        for stream in SHARES
    )
    written = "\n\n".join(f"> **{stream}** {text}" for stream, text in card["samples"].items())
    return f"""---
language: [en, zh, ja, fr, de, es]
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# emospace-polyglot

A Llama of {card["n_parameters"] / 1e6:.1f}M parameters ({card["n_layers"]} blocks of width {card["d_model"]}, vocabulary {card["n_vocab"]:,}) that reads six languages, English and Chinese first. It is made for research on how a model
represents emotion across languages, where every step between text and emotion space should be known; it is no
assistant, and what it writes is grammatical at best. emospace finds it by name:

    emospace study --model polyglot --languages en,zh,es,de,fr,ja --pooling mean

In the package beside the weights (`model`, as `transformers` loads it): its sparse autoencoder (`sae`), calibrated
steering vectors (`steering`) and all figures of this page (`card.json`). What the study finds in it:
`docs/results/polyglot.md` of emospace.

## Training

{card["n_trained"] / 1e6:.1f}M tokens in {card["hours"]:.1f} hours on {card["device"]}, seed {card["settings"]["seed"]}, bfloat16 products; recipe,
tokenizer and data mix in `training/` of emospace: `{card["command"]}`. No labels were used,
no rated or listed word was weighted, and texts by which emospace's judges are trained or measured were left out.

| stream | text | licence | share of bytes | M tokens there are | bits per byte | {card["ngram_order"]}-grams |
|---|---|---|---|---|---|---|
{figures}

Bits per byte are of held-out documents (one percent, by a hash of their text), lower is better; in the last column
interpolated Kneser-Ney over the same tokens, counted on all training text of the stream.

![Held-out bits per byte](curves.png)

## Samples

Temperature 0.8, top-p 0.95, seed 0, the first one drawn:

{written}

## Limits

- Trained on fiction of the 19th and early 20th century in all languages but Chinese: words, roles and prejudices of
  those books are in it, and modern senses often are not.
- Context of {card["context"]} tokens. No instruction tuning, no filter of content: not for use with people.
- Input embeddings began as co-occurrence vectors of each language laid over one another by tokens they share and by
  English-Chinese sentence pairs: likeness of languages is partly built in. `card.json` names the start; a run with
  `--noise-start` has none of it.
- German had the least text, and its alignment is the loosest.

## Licence

Weights, tokenizer and code: Apache-2.0. Attribution for the sentence pairs: Tatoeba (CC BY 2.0 FR); for BRIGHTER:
Muhammad et al. (2025), CC BY 4.0.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/polyglot"))
    parser.add_argument("--to", type=Path, default=Path("packages/polyglot"))
    parser.add_argument("--command", default="python training/polyglot/train.py --data DATA")
    parser.add_argument("--device", default="two CPU cores")
    options = parser.parse_args(arguments)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = latest(options.run / "decayed") or latest(options.run / "checkpoints")
    if place is None:
        parser.error(f"{options.run} has no checkpoint: train first (training/README.md)")
    state = read_json(place / "state.json")
    # Figures are of the weights as they are shipped.
    model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.bfloat16)
    package = options.to / "src" / "emospace_polyglot"
    shutil.rmtree(package / "model", ignore_errors=True)
    model.save_pretrained(package / "model")
    tokenizer = AutoTokenizer.from_pretrained(place)
    for file in (options.run / "tokenizer").iterdir():
        shutil.copyfile(file, package / "model" / file.name)
    model = model.float().eval()
    settings = state["settings"]
    mix = open_mix(options.run / "tokens", settings["context"], settings["batch"])
    hours, curve = history(options.run)
    counted = read_json(options.run / "tokens" / "card.json")["streams"]
    card = {
        "date": datetime.date.today().isoformat(),
        "command": options.command,
        "device": options.device,
        "n_parameters": sum(weight.numel() for weight in model.parameters()),
        **{key: settings[key] for key in ("n_layers", "d_model", "n_vocab", "context")},
        "settings": settings,
        "steps": state["step"],
        "n_trained": state["step"] * settings["context"] * settings["batch"],
        "hours": round(hours, 2),
        "tokens": {
            stream: {"train": row["train_tokens"], "held_out": row["held_out_tokens"]}
            for stream, row in counted.items()
        },
        "bits_per_byte": {k: round(v, 4) for k, v in bits_per_byte(model, mix).items()},
        "ngram_order": ORDER,
        "ngram_bits_per_byte": {k: round(v, 4) for k, v in baseline(mix, settings["n_vocab"]).items()},
        "samples": samples(model, tokenizer),
        "curve": curve,
    }
    write_json(package / "card.json", card)
    draw_curves(curve, options.to / "curves.png")
    write_text(options.to / "README.md", page(card))
    say(f"{place} packed into {options.to}")


if __name__ == "__main__":
    main()
