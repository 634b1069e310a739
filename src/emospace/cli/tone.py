"""What the options of `emospace steer` say: a tone, where it acts, how answers are sampled, what is asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from emospace.errors import EmospaceError, InvalidInput
from emospace.specs import CrossingSpec, Mode, SteeringSpec, ToneSpec, WeightedTone, tone_of

if TYPE_CHECKING:
    from emospace.models import LanguageModel
    from emospace.reading import Reader
    from emospace.steering import SteeringVector
    from emospace.steering.bank import VectorBank

    ModelWithVectors = ToneSpec | SteeringSpec | CrossingSpec


def load_vector(
    spec: ToneSpec, mode: Mode = "relative", commands: Sequence[str] = ()
) -> tuple[LanguageModel, SteeringVector, VectorBank | None]:
    """Return a model, the vector of the tone (latent, direction) that is named, and its calibrated vectors if it has any.

    Parameters
    ----------
    commands
        As in `read_tone`.

    Raises
    ------
    EmospaceError
        As `read_tone`; for a tone where the model has no calibrated vectors, and for a latent where it has no autoencoder.
    """
    ways = {
        "--emotion": spec.emotion,
        "--valence": spec.valence,
        "--arousal": spec.arousal,
        "--latent": spec.latent,
        "--direction": spec.direction,
    }
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1 and set(given) != {"--valence", "--arousal"}:
        first, second = (f"{name} {ways[name]}" for name in (given[0], given[-1]))
        raise InvalidInput(
            f"{first} and {second}",
            "both name the tone",
            "Give --emotion, --valence and --arousal, --latent or --direction.",
        )
    if spec.latent is None and spec.direction is None:
        tone = read_tone(spec, commands)
        model, bank = load(spec)
        vector = bank.tone(tone, mode)
        return model, vector.at(spec.layers) if spec.layers else vector, bank
    from emospace.models import load_model
    from emospace.sae import automatic_sae, sae_for
    from emospace.steering.bank import load_vectors
    from emospace.steering.directions import latent_vector, read_direction

    model = load_model(spec.model, **spec.loading)
    try:
        calibrated = load_vectors(model, spec.source, vectors_language(spec))
    except EmospaceError:
        calibrated = None
    if spec.direction is not None:
        return model, read_direction(spec.direction, model, spec.layers, mode), calibrated
    assert spec.latent is not None
    sae = sae_for(model, spec.sae)
    if sae is None:
        raise InvalidInput(
            f"--latent {spec.latent}",
            automatic_sae(model) if spec.sae == "auto" else "--sae none takes no autoencoder",
            "Name one: --sae FOLDER or --sae release:id.",
        )
    vector = latent_vector(model, sae, spec.latent, mode)
    return model, vector.at(spec.layers) if spec.layers else vector, calibrated


def read_tone(spec: ToneSpec, commands: Sequence[str] = ()) -> WeightedTone:
    """Return the tone, as `VectorBank.tone` takes it; `commands` are what a prompt of one word may be a slip for.

    Raises
    ------
    EmospaceError
        If none is named, or the weights are not written as they should be.
    """
    emotion, valence, arousal = spec.emotion, spec.valence, spec.arousal
    prompt = getattr(spec, "prompt", None)
    if emotion is not None:
        return tone_of(emotion, "--emotion")
    if valence is None and arousal is None:
        near = get_close_matches(prompt, commands, n=1, cutoff=0.7) if prompt and " " not in prompt else []
        if near:
            raise InvalidInput(
                f"emospace steer {prompt}", "there is no such command", f"Did you mean {near[0]}?"
            )
        raise InvalidInput(
            "emospace steer",
            "no tone is named",
            "Give --emotion joy, --valence 0.8 --arousal -0.3, --latent 12 or --direction FILE.",
        )
    return WeightedTone({"valence": valence or 0.0, "arousal": arousal or 0.0})


def window_of(given: str | None) -> tuple[int, int | None] | None:
    """Return the window of ``0:16`` or ``4:``."""
    if given is None:
        return None
    start, colon, stop = given.partition(":")
    try:
        window = int(start or 0), int(stop) if stop else None
    except ValueError:
        window = (-1, None)
    if not colon or window[0] < 0 or (window[1] is not None and window[1] <= window[0]):
        raise InvalidInput(
            f"--window {given}",
            "it names no tokens of an answer",
            "Write 0:16, or 4: for all from the fifth.",
        )
    return window


def read_prompt(given: str | None) -> str:
    """Return the prompt, from standard input where it is ``-``."""
    if given is None:
        raise InvalidInput(
            "emospace steer", "there is no prompt", "Put it last in quotes, or give - or --batch FILE."
        )
    prompt = sys.stdin.read().strip() if given == "-" else given
    if not prompt.strip():
        raise InvalidInput("the prompt", "it is empty", "Ask something.")
    return prompt


def read_batch(path: Path) -> list[str]:
    """Return the prompts of a file: a line each, or in JSONL the field ``prompt`` of each line.

    Raises
    ------
    EmospaceError
        If the file cannot be read, holds no prompt, or a line of JSONL has none.
    """
    from emospace.artefacts import parse_json, read_text

    lines = read_text(path, f"--batch {path}", "Name a file of prompts, saved as UTF-8.").splitlines()
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise InvalidInput(f"--batch {path}", "it holds no prompt", "Write one prompt a line.")
    if path.suffix not in (".jsonl", ".json"):
        return [line.strip() for _, line in kept]
    prompts = []
    for number, line in kept:
        try:
            prompt = parse_json(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise InvalidInput(
                f"--batch {path}, line {number}",
                "it is no JSON object with a prompt",
                'Write {"prompt": "..."} on each line.',
            )
        prompts.append(prompt)
    return prompts


def load(spec: ModelWithVectors) -> tuple[LanguageModel, VectorBank]:
    """Return a model and its calibrated vectors.

    Raises
    ------
    EmospaceError
        If it has none, or none of the concepts of the language that is named.
    """
    from emospace.models import load_model
    from emospace.steering.bank import load_vectors

    model = load_model(spec.model, **spec.loading)
    bank = load_vectors(model, spec.source, vectors_language(spec))
    named, made_in = getattr(spec, "concept_language", None), bank.note.get("spec", {}).get("language", "en")
    if named not in (None, made_in):
        raise InvalidInput(
            f"--concept-language {named}",
            f"no vectors of concepts in this language were calibrated for the model '{model.name}'",
            f"Leave it out, or make them: emospace steer calibrate --model {spec.model} --language {named}",
        )
    return model, bank


def reader_of(spec: ToneSpec, model: LanguageModel) -> Reader:
    """Return the reader of a model that answers, of the language of its vectors' concepts."""
    from emospace.reading import load_reader

    return load_reader(model, language=spec.concept_language or "en", sae=spec.sae)


def vectors_language(spec: ModelWithVectors) -> str | None:
    """Return the language whose concepts' vectors are preferred: the one named, else that of the prompts."""
    return getattr(spec, "concept_language", None) or getattr(spec, "language", None)
