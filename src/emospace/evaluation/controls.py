"""Shuffled concept-sets as steering vectors: what selecting and averaging neutral words does to a tone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emospace.errors import EmospaceError
from emospace.evaluation.calibration import features_of, kept_states, materials
from emospace.features import shuffled_sets
from emospace.specs import CalibrationSpec, Mode
from emospace.steering.bank import VectorBank
from emospace.steering.vector import SteeringVector
from emospace.steering.vectors import Recipe, category_vectors

if TYPE_CHECKING:
    from emospace.models import LanguageModel


def shuffled_banks(
    model: LanguageModel, bank: VectorBank, n: int, *, mode: Mode = "relative", seed: int = 0
) -> list[VectorBank]:
    """Return banks whose vectors are made of neutral words just as the bank's are of concepts.

    Each concept gives way to a neutral word in all its sets. No test is asked of features, since none would pass:
    each set takes those that tell it best from the neutral words left, of all sets as many as the concepts have.
    Vectors act like the bank's own (operation, window), have no calibrated dose, and are missing for an emotion for
    which nothing is selected.

    Raises
    ------
    EmospaceError
        If the bank does not say how it was made.
    """
    if n == 0:
        return []
    if "spec" not in bank.note:
        raise EmospaceError(
            "shuffled concept-sets", "the vectors do not say how they were made", "calibrate them again"
        )
    stored = {name: value for name, value in bank.note["spec"].items() if name != "concepts"}
    concepts = bank.note["spec"].get("concepts")
    spec = CalibrationSpec(**stored, concepts=Path(concepts) if concepts else None)
    made = materials(model, spec)
    banks = []
    for draw in range(n):
        sets, left = shuffled_sets(made.sets, spec.language, made.pool, seed + draw)
        features = None
        if made.sae is not None and made.features is not None:
            most = len(made.features.latents)
            features = features_of(
                model, made.sae, sets, spec.language, left, seed, q=1.0, max_features=most, n_permutations=0
            )
        states = kept_states(model, sets, spec.language, left, made.texts, made.layers, made.sae)
        vectors: dict[tuple[str, Mode], SteeringVector] = {}
        for name in bank.names:
            vector = bank.vector(name, mode)
            recipe = Recipe(**vector.note["recipe"])
            drawn = category_vectors(
                states, sets, recipe, sae=made.sae, features=features, layers=made.layers
            ).get(name)
            if drawn is not None:
                vectors[name, mode] = replace(
                    drawn,
                    kind="shuffled",
                    mode=vector.mode,
                    op=vector.op,
                    scope=vector.scope,
                    window=vector.window,
                )
        banks.append(VectorBank(vectors, note={"seed": seed + draw}))
    return banks
