"""Arithmetic of tones as text: sums and differences of emotions, what is taken out of them, and when they are set."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from emospace.errors import InvalidInput

HINT = 'Write "joy", "joy + 0.5*love", "joy - surprise", "joy:0.7,surprise:0.3" or "anger | fear".'

_TIGHT = re.compile(r"\s*([:*])\s*")
_OPERATOR = re.compile(r"(,|(?<![:*])(?<!\de)\+|(?:(?<=\s)|^)-)")
"""A minus that stands after a space, so that an emotion may have a hyphen in its name; signs of weights are none."""


@dataclass(frozen=True)
class WeightedTone:
    """Weighted emotions (or a point of the circumplex), less their parts along others.

    Attributes
    ----------
    weights
        Emotion -> weight, or ``valence`` and ``arousal``, as `VectorBank.tone` takes them.
    without
        Sums of the same kind whose directions are projected out of that of `weights`.
    """

    weights: Mapping[str, float]
    without: tuple[Mapping[str, float], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All emotions and axes it names."""
        return tuple(dict.fromkeys(name for weights in (self.weights, *self.without) for name in weights))


def tone_of(given: str, field: str = "emotion") -> WeightedTone:
    """Return the tone that a text names: a sum of emotions, and after each ``|`` a sum that is projected out of it.

    Parameters
    ----------
    given
        The text: ``anger | fear`` is the part of anger that is orthogonal to fear; a sum is as in `weights_of`.
    field
        What it was given as, for the message.

    Raises
    ------
    InvalidInput
        As `weights_of`.
    """
    asked, *without = (weights_of(part, field, given) for part in given.split("|"))
    return WeightedTone(asked, tuple(without))


def weights_of(given: str, field: str = "emotion", whole: str | None = None) -> dict[str, float]:
    """Return the weights of a sum of emotions: ``joy - 0.5*surprise``, or ``joy:0.7,surprise:0.3``.

    Parameters
    ----------
    given
        The text; an emotion without a number weighs 1. A minus stands after a space.
    field
        What it was given as, for the message.
    whole
        The text it is a part of, for the message; None where it is all.

    Raises
    ------
    InvalidInput
        If an emotion has no name, a weight that is no finite number, cancels itself, or stands there twice.
    """
    what = f"{field} {given if whole is None else whole}"
    first, *rest = _OPERATOR.split(_TIGHT.sub(r"\1", given))
    # A sign before the first emotion leaves nothing before it.
    terms = [] if rest and not first.strip() and rest[0] in "+-" else [("+", first)]
    terms += zip(rest[::2], rest[1::2], strict=True)
    weights: dict[str, float] = {}
    for sign, term in terms:
        name, weight = _term(term.strip(), what)
        weight = -weight if sign == "-" else weight
        if name in weights:
            if weights[name] + weight == 0:
                raise InvalidInput(
                    what, f"'{name}' is added and taken away, and nothing is left of it", "Leave it out."
                )
            raise InvalidInput(what, f"'{name}' stands there twice", f"Give it one weight, as 2*{name}.")
        weights[name] = weight
    return weights


def _term(term: str, what: str) -> tuple[str, float]:
    """Return the emotion and the weight of ``joy``, ``0.5*joy``, ``joy*0.5`` or ``joy:0.5``."""
    name, colon, number = (part.strip() for part in term.partition(":"))
    if not colon and "*" in term:
        left, _, right = (part.strip() for part in term.partition("*"))
        if not (_is_number(left) or _is_number(right)):
            raise InvalidInput(what, f"neither side of '{term}' is a weight", HINT)
        name, number = (left, right) if _is_number(right) else (right, left)
    if not name:
        raise InvalidInput(what, "an emotion has no name", HINT)
    if not (colon or "*" in term):
        return name, 1.0
    if not _is_number(number):
        raise InvalidInput(what, f"'{number}' is no weight", HINT)
    if not math.isfinite(float(number)):
        raise InvalidInput(what, f"'{number}' is no finite weight", HINT)
    return name, float(number)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Condition:
    """What has to be read in a text: an emotion (or valence, arousal) above or below a threshold."""

    name: str
    is_above: bool
    threshold: float

    def holds(self, reading: float) -> bool:
        """Return whether a reading is beyond the threshold."""
        return reading > self.threshold if self.is_above else reading < self.threshold

    def __str__(self) -> str:
        return f"{self.name} {'>' if self.is_above else '<'} {self.threshold:g}"


def condition_of(given: str, field: str = "when") -> Condition:
    """Return the condition that a text names: ``anger > 0.5``, or ``valence < 0``.

    Parameters
    ----------
    given
        The text.
    field
        What it was given as, for the message.

    Raises
    ------
    InvalidInput
        If it is no name, sign and finite number.
    """
    match = re.fullmatch(r"\s*([^<>=]*?)\s*([<>])\s*([^<>=]*?)\s*", given)
    if match is None or not match[1] or not (_is_number(match[3]) and math.isfinite(float(match[3]))):
        raise InvalidInput(
            f"{field} {given}",
            "it is no emotion beyond a threshold",
            'Write "anger > 0.5", or "valence < 0".',
        )
    return Condition(match[1], match[2] == ">", float(match[3]))
