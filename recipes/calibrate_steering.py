"""Make and calibrate the steering vectors that are shipped for a model, and those they are compared with.

    python recipes/calibrate_steering.py [--model gemma] [--emotions anger,joy] [--language zh]

Writes the vectors of ``embedded`` (SmolLM2-135M-Instruct) into ``src/emospace/data/steering`` and those of ``gemma`` into
``packages/gemma``: all emotions, both modes. Vectors of other sources, for the basic six, go to the cache, where
`emospace steer evaluate --baselines both` finds them. What was tried is kept in the cache, so a run that was stopped
goes on. About 20 minutes on two cores a model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

from emospace.display import say
from emospace.evaluation.calibration import calibrate
from emospace.judges import BASIC
from emospace.models import load_model
from emospace.specs import CalibrationSpec
from emospace.steering.bank import bank_folder

ROOT = Path(__file__).parent.parent


class Shipment(NamedTuple):
    """What is made for a model: where the shipped vectors go, their settings, and settings of other sources."""

    folder: Path
    settings: dict[str, Any]
    others: dict[str, dict[str, Any]]


# Settings by model. Gemma is a base model and continues stems; its answers are shorter to keep the cost down.
SHIPMENTS = {
    "embedded": Shipment(
        ROOT / "src/emospace/data/steering/smollm2-135m-instruct-mix",
        {
            "n_prompts": 12,
            "n_tokens": 32,
            "doses": (0.75, 1.0, 1.25),
            "feature_doses": (0.4,),
            "constant_doses": (0.35, 0.5),
            "n_factual": 12,
            # Tried under plain guidance, they took the doses of the basic six.
            "others": "median",
            # Under guidance as much tone as cleaned ones, at less perplexity (docs/results/steering-ways.md).
            "cleaned": False,
            "dtype": "auto",
        },
        {
            "sae": {"contrasts": (0.5,), "doses": (0.2, 0.3, 0.4)},
            "dense": {"contrasts": (0.5,), "doses": (0.5, 0.6, 0.7)},
        },
    ),
    "gemma": Shipment(
        ROOT / "packages/gemma/src/emospace_gemma/steering/gemma-3-270m-mix",
        {
            "n_prompts": 12,
            "n_tokens": 32,
            "contrasts": (1.0,),
            "doses": (0.75, 1.0, 1.25),
            "feature_doses": (),
            "constant_doses": (0.5, 0.75, 1.0),
            "n_factual": 12,
            "batch_size": 96,
            "dtype": "auto",
        },
        {},
    ),
}


def main() -> None:
    """Calibrate the shipped vectors, then those of other sources."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(SHIPMENTS), default="embedded")
    parser.add_argument(
        "--emotions", default="", help="these alone; none: all (the others are always the basic six)"
    )
    parser.add_argument("--language", default="en", help="of concepts, prompts and judge")
    options = parser.parse_args()
    emotions = tuple(name for name in options.emotions.split(",") if name)
    shipment = SHIPMENTS[options.model]
    settings = {"model": options.model, "language": options.language, **shipment.settings}
    folder = shipment.folder
    if options.language != "en":
        folder = folder.with_name(f"{folder.name}-{options.language}")
    model = load_model(options.model, dtype=settings["dtype"])
    bank = calibrate(CalibrationSpec(**settings, emotions=emotions), folder, model=model)
    say(f"shipped: {trials_of(bank.note)}")
    for source, changes in shipment.others.items():
        spec = CalibrationSpec(
            **{**settings, "source": source, "emotions": BASIC, "constant_doses": (), **changes}
        )
        bank = calibrate(spec, bank_folder(model.weights_hash, source, options.language), model=model)
        say(f"{source}: {trials_of(bank.note)}")


def trials_of(note: Any) -> str:
    """Return what was tried for the basic six: dose, rate and perplexity ratio."""
    return "; ".join(
        name
        + " "
        + ", ".join(f"{t['dose']:g}: {t['rate']:.2f} at {t['perplexity_ratio']:.2f}" for t in trials)
        for name, trials in note["trials"].items()
        if name in BASIC
    )


if __name__ == "__main__":
    main()
