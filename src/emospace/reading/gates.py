"""Gates for steering made of a reader: its score of one category, token by token, beside the model that answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emospace.concepts import categories, unknown_category
from emospace.errors import InvalidInput
from emospace.reading.reader import Reader, ReaderWeights, token_features
from emospace.specs import Condition, condition_of
from emospace.steering.gate import Gate


def make_gate(reader: Reader, condition: str | Condition) -> Gate:
    """Return the gate that opens where the reader finds an emotion in a prompt and the answer so far.

    Parameters
    ----------
    reader
        Of the model that answers, from `load_reader`: what the gate reads is what it gives, on the same scale.
    condition
        ``anger > 0.5`` (standard deviations above neutral text), or ``valence < 0`` (a point on -1..1).

    Raises
    ------
    EmospaceError
        For an unknown emotion, one that the reader has no features of, or a threshold that no reading is beyond.
    """
    if isinstance(condition, str):
        condition = condition_of(condition)
    weights = _column(reader.weights, condition.name)
    low, high = reader.ranges[condition.name]
    never = condition.threshold >= high if condition.is_above else condition.threshold <= low
    always = condition.threshold < low if condition.is_above else condition.threshold > high
    if never or always:
        raise InvalidInput(
            f"when {condition}",
            f"it would {'never' if never else 'always'} hold: {condition.name} reads {low:.2f} to {high:.2f} over the words of "
            "all emotions where they are felt",
            "Give a threshold between these.",
        )
    sae, latents = reader.sae, weights.latents
    return Gate(
        condition=condition,
        layer=weights.layer,
        token_scores=lambda states: weights.token_scores(token_features(states, sae, latents)),
        text_score=lambda tokens: float(weights.text_scores(tokens)[0]),
        low=low,
        high=high,
    )


def _column(weights: ReaderWeights, name: str) -> ReaderWeights:
    """Return the weights of one category, or of valence or arousal, alone."""
    names = (*weights.categories, *weights.affect)
    place = names.index(name) if name in names else None
    if place is None or not np.any(weights.directions[:, place]):
        known = {category.name for category in categories()} | set(names)
        if name not in known:
            raise unknown_category(name, names, "emotion")
        raise InvalidInput(
            f"a gate on {name}",
            "the reader of this model has no features of it",
            f"It reads {', '.join(names)}.",
        )
    of_category = place < len(weights.categories)
    texts = slice(place, place + 1) if of_category else slice(0)
    return replace(
        weights,
        categories=weights.categories[texts],
        affect=() if of_category else (name,),
        directions=weights.directions[:, [place]],
        centre=weights.centre[[place]],
        scale=weights.scale[[place]],
        text_centre=weights.text_centre[texts],
        text_scale=weights.text_scale[texts],
    )
