"""Hold what llama.cpp says of an exported vector and of a baked model against our hook, with the same GGUF file.

    python benchmarks/compare_llama.py [--out docs/results/llama.json]

llama.cpp's server continues chat prompts greedily, with the most likely tokens of each step and their probabilities.
Our model, which was made of the same file, then reads the same texts under the same vector, and the probabilities of
the same tokens are compared. Unsteered answers show what computing with quantised weights changes by itself; in the
file's weights as float32 both compute the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from llama import biases, in_float32, server, version

from emospace.artefacts import write_json
from emospace.display import say

if TYPE_CHECKING:
    import httpx

    from emospace.models import LanguageModel
    from emospace.steering import SteeringVector

PROMPTS = (
    "Tell me about your day.",
    "Describe a street.",
    "What is a river?",
    "How do I boil an egg?",
    "Write to a friend.",
    "What is a bicycle made of?",
    "What should I do this weekend?",
    "Tell me something about the sea.",
)
EXACT = [
    "--ctx-size",
    "2048",
    "--parallel",
    "1",
    "--cache-type-k",
    "f32",
    "--cache-type-v",
    "f32",
    "--flash-attn",
    "off",
]
"""Settings under which llama.cpp keeps keys and values as they were computed."""
N_PROBABLE = 10
"""Most likely tokens of each step that are compared."""


def continued(
    client: httpx.Client, ids: Sequence[int], n_tokens: int
) -> tuple[list[int], list[tuple[int, dict[str, Any]]]]:
    """Return a greedy answer's tokens, and its steps with their places: the most likely tokens and their log probabilities.

    Of a token that is no whole character the server may keep the probabilities to itself.
    """
    asked = {
        "prompt": list(ids),
        "n_predict": n_tokens,
        "temperature": 0,
        "n_probs": N_PROBABLE,
        "cache_prompt": False,
        "return_tokens": True,
    }
    response = client.post("/completion", json=asked)
    response.raise_for_status()
    answer = response.json()
    steps, place = [], 0
    for step in answer["completion_probabilities"]:
        place = answer["tokens"].index(step["id"], place) + 1
        steps.append((place - 1, step))
    return answer["tokens"], steps


def log_probabilities(model: LanguageModel, ids: Sequence[int]) -> np.ndarray:
    """Return the log probabilities ``[n_tokens, n_vocabulary]`` of what follows each token."""
    import torch

    with torch.inference_mode():
        logits = model.model(torch.tensor([list(ids)])).logits[0].double()
    return np.asarray(torch.log_softmax(logits, dim=-1))


def compare(
    client: httpx.Client, model: LanguageModel, texts: Sequence[Sequence[int]], n_tokens: int
) -> dict[str, Any]:
    """Return how far our model's probabilities are from llama.cpp's, over all steps of all answers."""
    gaps, same, whole, said = [], [], [], []
    for ids in texts:
        answer, steps = continued(client, ids, n_tokens)
        rows = log_probabilities(model, [*ids, *answer])[len(ids) - 1 : -1]
        likeliest = rows.argmax(1).tolist()
        # A token that differs changes the text before all later ones: ours is read after llama.cpp's.
        same += [ours == theirs for ours, theirs in zip(likeliest, answer, strict=True)]
        whole.append(likeliest == answer)
        said.append(answer)
        gaps += [
            abs(rows[place, token["id"]] - token["logprob"])
            for place, step in steps
            for token in step["top_logprobs"]
        ]
    return {
        "steps": len(same),
        "same_token": float(np.mean(same)),
        "same_answers": sum(whole),
        "answers": len(texts),
        "median_gap": float(np.median(gaps)),
        "p99_gap": float(np.quantile(gaps, 0.99)),
        "largest_gap": float(np.max(gaps)),
        "said": said,
    }


def exported(model: LanguageModel, emotion: str, factor: float) -> tuple[SteeringVector, float]:
    """Return a bundled vector as other engines can apply it, and its dose."""
    from emospace.steering.bank import load_vectors

    vector = load_vectors(model).mix({emotion: 1.0}, "constant")
    plain = replace(vector, mode="constant", op="add", scope="all", window=(0, None), guidance=None)
    return plain.at([layer for layer in plain.layers if layer > 1]), factor * vector.dose("constant")


def main() -> None:
    """Compare and publish."""
    sys.path[:0] = [str(Path(__file__).parents[1] / "recipes")]
    from emospace.models import EMBEDDED, PACKAGED, load_model
    from emospace.steering import steer
    from emospace.steering.export import export_vector
    from publishing import made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--emotions", default="joy,fear,sadness", type=lambda text: text.split(","))
    parser.add_argument("--tokens", type=int, default=24, help="tokens of an answer")
    parser.add_argument("--factor", type=float, default=1.0, help="times the calibrated dose")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    asked = parser.parse_args()
    model = load_model(EMBEDDED, dtype="float32", device="cpu")
    quantised = PACKAGED[EMBEDDED].parts()[0]
    texts = [model.prompt_ids([{"role": "user", "content": prompt}]) for prompt in PROMPTS]
    rows: list[dict[str, Any]] = []

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)

        def row(form: str, weights: str, file: Path, emotion: str | None, *arguments: str) -> None:
            with ExitStack() as stack:
                client = stack.enter_context(
                    server(
                        file,
                        *EXACT,
                        *arguments,
                        threads=asked.threads,
                        log=place / "log",
                    )
                )
                if emotion is not None:
                    vector, dose = exported(model, emotion, asked.factor)
                    stack.enter_context(steer(model, vector, dose, mode="constant", first_position=True))
                result = compare(client, model, texts, asked.tokens)
            rows.append({"form": form, "weights": weights, "emotion": emotion, **result})
            say(
                f"{form}, {weights}, {emotion}: "
                + str({key: value for key, value in result.items() if key != "said"})
            )

        whole = in_float32(quantised, place / "float32.gguf")
        files = {"4 bits, as shipped": quantised, "float32": whole}
        for weights, file in files.items():
            row("unsteered", weights, file, None)
            for emotion in asked.emotions:
                vector, dose = exported(model, emotion, asked.factor)
                control = export_vector(vector, place / f"{emotion}.gguf", "gguf", model, dose)
                row("control vector", weights, file, emotion, "--control-vector", str(control))
        for emotion in asked.emotions:
            vector, dose = exported(model, emotion, asked.factor)
            folder = export_vector(vector, place / f"{emotion}-baked", "baked", model, dose)
            baked = in_float32(quantised, place / f"{emotion}-baked.gguf", biases(folder, vector.layers))
            row("baked model", "float32", baked, emotion)
    unsteered = {row["weights"]: row["said"] for row in rows if row["form"] == "unsteered"}
    for each in rows:
        if each["emotion"]:
            pairs = zip(each["said"], unsteered[each["weights"]], strict=True)
            each["changed_answers"] = sum(steered != plain for steered, plain in pairs)
    for each in rows:
        del each["said"]
    if asked.out:
        card = made_by("make llama") | {"llama.cpp": version(), "model": model.name, "tokens": asked.tokens}
        write_json(asked.out, card | {"rows": rows})
    # In equal weights nothing but rounding is between the two.
    apart = [each for each in rows if each["weights"] == "float32" and each["p99_gap"] > 0.01]
    if apart:
        raise SystemExit(f"llama.cpp and our hook differ: {apart}")


if __name__ == "__main__":
    main()
