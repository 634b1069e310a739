"""An engine around a tiny model with planted vectors and a planted reader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conftest import D_MODEL, tiny
from emospace.generation import Sampling, generate
from emospace.reading import Reader, ReaderWeights
from emospace.server import Engine, Limits
from emospace.steering import DoseRange, SteeringVector
from emospace.steering.bank import VectorBank

EMOTIONS = {"joy": (0.8, 0.5), "sadness": (-0.8, -0.3), "fear": (-0.6, 0.4), "calmness": (0.5, -0.6)}
PROMPTS = (
    "The word is joy",
    "She laughed with joy and he wept with grief; the fear was gone",
    "这个词是快乐。",
    "rain",
    "the hope of spring and the sadness of a long rain",
)


def planted_bank(model) -> VectorBank:
    """Vectors of random directions; the doses are large, so that each changes what is said."""
    rng = np.random.default_rng(7)
    vectors = {}
    for name in (*EMOTIONS, "valence", "arousal"):
        directions = {layer: rng.normal(size=D_MODEL) for layer in (1, 2)}
        for mode in ("relative", "constant"):
            vectors[name, mode] = SteeringVector(
                name=name,
                kind="axis" if name in ("valence", "arousal") else "mix",
                directions=directions,
                medians={1: 6.0, 2: 9.0},
                model=model.name,
                model_hash=model.weights_hash,
                calibration={mode: DoseRange(1.2, 0.4, 2.0)},
                mode=mode,
                op="clamp" if mode == "relative" else "add",
                note={"relative_length": {1: 0.3, 2: 0.3}},
            )
    return VectorBank(vectors, EMOTIONS)


def planted_reader(model) -> Reader:
    rng = np.random.default_rng(0)
    n = len(EMOTIONS)
    weights = ReaderWeights(
        categories=tuple(EMOTIONS),
        latents=None,
        directions=rng.normal(size=(D_MODEL, n + 2)),
        centre=rng.normal(size=n + 2),
        scale=np.ones(n + 2),
        text_centre=np.zeros(n),
        text_scale=np.ones(n),
        layer=2,
        card={},
    )
    return Reader(model, None, weights)


def make_engine(family: str = "llama", **limits) -> Engine:
    model = tiny(family)
    return Engine(
        model, planted_bank(model), planted_reader(model), Limits(**{"answer_tokens": 64, **limits})
    )


def alone(
    engine: Engine, prompt: str, emotion=None, *, dose=None, scope=None, mode="relative", **sampling
) -> str:
    """What a prompt is answered when it runs alone, by the library and not by the server."""
    bank, settings = engine.bank, Sampling(**{"n_tokens": 12, "temperature": 0, "top_k": 0, **sampling})
    vector = None
    if emotion and set(emotion) <= {"valence", "arousal"}:
        vector = bank.point(emotion.get("valence", 0), emotion.get("arousal", 0), mode)
    elif emotion:
        vector = bank.mix(emotion, mode)
    if vector is None:
        return generate(engine.model, [prompt], sampling=settings).texts[0]
    known = replace(vector, calibration={})
    dose = vector.dose(mode) if dose is None else dose
    given = generate(engine.model, [prompt], known, dose=dose, mode=mode, scope=scope, sampling=settings)
    return given.texts[0]
