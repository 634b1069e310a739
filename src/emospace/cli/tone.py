"""What the options of `emospace steer` say: a tone, where it acts, how answers are sampled, what is asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emospace.errors import EmospaceError, unknown

if TYPE_CHECKING:
    from emospace.evaluation import Sampling
    from emospace.models import LanguageModel
    from emospace.steering.bank import VectorBank
    from emospace.steering.vector import SteeringVector

SOURCES = ("mix", "sae", "dense")
"""Sources of vectors, the one taken first in front."""


class Tone(NamedTuple):
    """What was asked for: weighted emotions, or a point of the circumplex."""

    weights: Mapping[str, float]
    point: tuple[float, float] | None = None

    def of(self, bank: VectorBank, mode: str) -> SteeringVector:
        """Return its vector in one mode of dose."""
        asked: Any = mode
        if self.point is not None:
            return bank.point(*self.point, mode=asked)
        if len(self.weights) == 1 and set(self.weights.values()) == {1.0}:
            return bank.vector(next(iter(self.weights)), asked)
        return bank.mix(self.weights, asked)


def asked_tone(
    emotion: str | None,
    valence: float | None,
    arousal: float | None,
    prompt: str | None = None,
    commands: Sequence[str] = (),
) -> Tone:
    """Return the tone of the options; `commands` are what a prompt of one word may be a slip for.

    Raises
    ------
    EmospaceError
        If none is named or it is named in both ways, or the weights are not written as they should be.
    """
    if emotion is not None and (valence is not None or arousal is not None):
        given = "--valence" if valence is not None else "--arousal"
        raise EmospaceError(
            f"--emotion {emotion} and {given}",
            "both name the tone",
            "Give --emotion, or --valence and --arousal.",
        )
    if emotion is not None:
        return Tone(weights_of(emotion))
    if valence is None and arousal is None:
        near = _near(prompt, commands) if prompt and " " not in prompt else ""
        if near:
            raise EmospaceError(
                f"emospace steer {prompt}", "there is no such command", f"Did you mean {near}?"
            )
        raise EmospaceError(
            "emospace steer", "no tone is named", "Give --emotion joy, or --valence 0.8 --arousal -0.3."
        )
    return Tone({}, (valence or 0.0, arousal or 0.0))


def _near(word: str, commands: Sequence[str]) -> str:
    from difflib import get_close_matches

    return " or ".join(get_close_matches(word, commands, n=1, cutoff=0.7))


def weights_of(given: str) -> dict[str, float]:
    """Return the weights of ``joy`` or ``joy:0.7,surprise:0.3``; an emotion without a number weighs 1."""
    hint = 'Write "joy", or "joy:0.7,surprise:0.3".'
    weights: dict[str, float] = {}
    for part in given.split(","):
        name, colon, number = (piece.strip() for piece in part.partition(":"))
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            raise EmospaceError(f"--emotion {given}", f"'{number}' is no weight", hint) from None
        if not name:
            raise EmospaceError(f"--emotion {given}", "an emotion has no name", hint)
        if weight != weight or abs(weight) == float("inf"):
            raise EmospaceError(f"--emotion {given}", f"'{number}' is no finite weight", hint)
        if name in weights:
            raise EmospaceError(f"--emotion {given}", f"'{name}' stands there twice", hint)
        weights[name] = weight
    return weights


def layers_of(given: str | None) -> tuple[int, ...] | None:
    """Return the layers of ``14,18``."""
    if given is None:
        return None
    try:
        return tuple(int(part) for part in given.split(","))
    except ValueError:
        raise EmospaceError(
            f"--layers {given}", "it is no list of numbers", "Write the layers as 14,18."
        ) from None


def window_of(given: str | None) -> tuple[int, int | None] | None:
    """Return the window of ``0:16`` or ``4:``."""
    if given is None:
        return None
    start, colon, stop = given.partition(":")
    try:
        found = int(start or 0), int(stop) if stop else None
    except ValueError:
        found = (-1, None)
    if not colon or found[0] < 0 or (found[1] is not None and found[1] <= found[0]):
        raise EmospaceError(
            f"--window {given}",
            "it names no tokens of an answer",
            "Write 0:16, or 4: for all from the fifth.",
        )
    return found


def sampling_of(
    tokens: int, least_tokens: int, temperature: float, top_k: int, top_p: float, seed: int
) -> Sampling:
    """Return the sampling of the options; the option of a value that cannot be is named."""
    from emospace.cli.options import build_spec
    from emospace.evaluation import Sampling

    names = {
        "n_tokens": "--tokens",
        "least_tokens": "--least-tokens",
        "temperature": "--temperature",
        "top_k": "--top-k",
        "top_p": "--top-p",
        "seed": "--seed",
    }
    values = (tokens, least_tokens, temperature, top_k, top_p, seed)
    return build_spec(Sampling, names, dict(zip(names, values, strict=True)))


def read_prompt(given: str | None) -> str:
    """Return the prompt, from standard input where it is ``-``."""
    if given is None:
        raise EmospaceError(
            "emospace steer", "there is no prompt", "Put it last in quotes, or give - or --batch FILE."
        )
    found = sys.stdin.read() if given == "-" else given
    if not found.strip():
        raise EmospaceError("the prompt", "it is empty", "Ask something.")
    return found.strip() if given == "-" else found


def read_batch(path: Path) -> list[str]:
    """Return the prompts of a file: a line each, or in JSONL the field ``prompt`` of each line.

    Raises
    ------
    EmospaceError
        If the file cannot be read, holds no prompt, or a line of JSONL has none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise EmospaceError(
            f"--batch {path}", f"it cannot be read ({error.strerror})", "Name a file of prompts."
        ) from error
    except UnicodeDecodeError as error:
        raise EmospaceError(f"--batch {path}", "it is no UTF-8 text", "Save it as UTF-8.") from error
    kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not kept:
        raise EmospaceError(f"--batch {path}", "it holds no prompt", "Write one prompt a line.")
    if path.suffix not in (".jsonl", ".json"):
        return [line.strip() for _, line in kept]
    found = []
    for number, line in kept:
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise EmospaceError(
                f"--batch {path}, line {number}",
                "it is no JSON object with a prompt",
                'Write {"prompt": "..."} on each line.',
            )
        found.append(prompt)
    return found


def load(
    model: str,
    source: str | None,
    dtype: str,
    device: str,
    revision: str | None,
    trust_remote_code: bool,
    template_arg: Sequence[str] | None = None,
) -> tuple[LanguageModel, VectorBank]:
    """Return a model and its calibrated vectors."""
    from emospace.cli.options import template_args_of
    from emospace.models import load_model

    if source is not None and source not in SOURCES:
        raise unknown("source of vectors", source, SOURCES)
    loaded = load_model(
        model,
        dtype=dtype,
        device=device,
        revision=revision,
        trust_remote_code=trust_remote_code,
        template_args=template_args_of(template_arg),
    )
    return loaded, bank_of(loaded, source)


def bank_of(model: LanguageModel, source: str | None) -> VectorBank:
    """Return a model's vectors of one source, or of the first it has."""
    from emospace.steering.bank import load_vectors

    missing: EmospaceError | None = None
    for name in [source] if source else SOURCES:
        try:
            return load_vectors(model, name)
        except EmospaceError as error:
            missing = missing or error
    assert missing is not None
    raise missing
