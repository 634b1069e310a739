"""All steering vectors of one model: by name, mixed, or as a point of the circumplex."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from emospace.artefacts import cache_dir, read_object, write_json, write_tensors
from emospace.concepts import unknown_category
from emospace.errors import EmospaceError, InvalidInput, first_line
from emospace.models import missing_companion, shipped
from emospace.specs import CalibratedSource, Mode, WeightedTone, tone_of
from emospace.steering.vector import SteeringVector, from_card, mix, orthogonal

if TYPE_CHECKING:
    from emospace.models import LanguageModel

FORMAT = 2
"""1: its ranges of doses were not all measured (`_as_measured`)."""
AXES = ("valence", "arousal")
SOURCES = get_args(CalibratedSource)
"""What vectors are made of, the first choice first."""

CARD = "card.json"
_MADE_OF = re.compile(rf".+-(?P<source>{'|'.join(SOURCES)})(-(?P<language>[a-z]{{2,3}}))?")
"""Name of a folder of vectors: of a hash or model, of what they are made of, and of the language unless English."""


@dataclass(frozen=True, eq=False)
class VectorBank:
    """The calibrated vectors of a model.

    Attributes
    ----------
    vectors
        (name, mode) -> vector; the relative one acts by clamping, the constant one can be exported.
    positions
        Category -> human valence and arousal, -1..1.
    note
        How it was made: concept-sets, SAE, judge, prompts, budget, seed, and what calibration found.
    """

    vectors: Mapping[tuple[str, Mode], SteeringVector]
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The emotions, axes left out."""
        return tuple(dict.fromkeys(name for name, _ in self.vectors if name not in AXES))

    @property
    def medians(self) -> dict[int, float]:
        """Layer -> median norm of the residual stream, where any of the vectors acts."""
        return {layer: norm for vector in self.vectors.values() for layer, norm in vector.medians.items()}

    def in_mode(self, mode: Mode) -> dict[str, SteeringVector]:
        """Return by emotion the vectors calibrated for a mode, axes left out.

        Parameters
        ----------
        mode
            ``relative`` or ``constant``; emotions not calibrated in it are left out.
        """
        return {name: self.vectors[name, mode] for name in self.names if (name, mode) in self.vectors}

    def vector(self, name: str, mode: Mode = "relative") -> SteeringVector:
        """Return an emotion's or axis' vector.

        Parameters
        ----------
        name
            One of `names`, ``valence`` or ``arousal``.
        mode
            ``relative`` (of each state's norm) or ``constant`` (of the layer's median norm, as exports have it).

        Raises
        ------
        EmospaceError
            For an unknown emotion, or a mode it was not calibrated for.
        """
        if (name, mode) in self.vectors:
            return self.vectors[name, mode]
        names = tuple(dict.fromkeys(name for name, _ in self.vectors))
        if name not in names:
            raise unknown_category(name, names, "emotion")
        raise InvalidInput(
            f"the emotion {name!r} in mode {mode!r}",
            "it was not calibrated in that mode",
            "Calibrate it: emospace steer calibrate",
        )

    def tone(
        self, emotion: str | WeightedTone | Mapping[str, float], mode: Mode = "relative"
    ) -> SteeringVector:
        """Return the vector of a tone: of weighted emotions, or of a point of the circumplex.

        Parameters
        ----------
        emotion
            Weights as in `mix`, or ``valence`` and ``arousal`` (one of them is enough) as in `point`; or the text of a sum
            (``joy - 0.5*surprise``, see `emospace.specs.tone_of`). What follows a ``|``, as in ``anger | fear``, is
            projected out: the part is left that is orthogonal to it, with the dose of the whole.
        mode
            As in `vector`.

        Raises
        ------
        EmospaceError
            If both are named, nothing is left, and as `mix` and `point`.
        """
        if isinstance(emotion, str):
            emotion = tone_of(emotion)
        if isinstance(emotion, WeightedTone):
            others = [self.tone(weights, mode) for weights in emotion.without]
            return orthogonal(self.tone(emotion.weights, mode), others)
        axes = set(AXES) & set(emotion)
        if not axes:
            return self.mix(emotion, mode)
        if len(axes) < len(emotion):
            raise InvalidInput(
                f"emotion {dict(emotion)}",
                "it names both emotions and a point of the circumplex",
                'Give {"joy": 0.7}, or {"valence": 0.8, "arousal": -0.3}.',
            )
        valence, arousal = (emotion.get(axis, 0.0) for axis in AXES)
        return self.point(valence, arousal, mode)

    def mix(self, weights: Mapping[str, float], mode: Mode = "relative") -> SteeringVector:
        """Return the weighted sum of emotions as one vector; a single emotion keeps its weight as part of the dose.

        Parameters
        ----------
        weights
            Emotion -> weight. Below a sum of 1 (signs left aside) they lower the calibrated dose in proportion; above,
            their proportions alone count.
        mode
            As in `vector`.

        Raises
        ------
        EmospaceError
            For an unknown emotion, a weight that is no number, or a sum that vanishes.
        """
        wrong = {name: weight for name, weight in weights.items() if not math.isfinite(weight)}
        if wrong:
            raise InvalidInput(
                f"the weights {wrong}", "they are no finite numbers", 'Give weights: {"joy": 0.7}'
            )
        mixed = mix([(self.vector(name, mode), weight) for name, weight in weights.items()])
        return _scaled(mixed, min(sum(abs(weight) for weight in weights.values()), 1.0))

    def point(self, valence: float, arousal: float, mode: Mode = "relative") -> SteeringVector:
        """Return the vector of a point of the circumplex; its distance from the centre scales the dose.

        Parameters
        ----------
        valence, arousal
            -1 (unpleasant, calm) to 1 (pleasant, excited).
        mode
            As in `vector`.

        Raises
        ------
        EmospaceError
            For the centre, or a coordinate beyond -1..1.
        """
        if not all(-1 <= value <= 1 for value in (valence, arousal)):
            raise InvalidInput(
                f"the point valence {valence:g}, arousal {arousal:g}",
                "it lies beyond the scale",
                "Give both between -1 and 1.",
            )
        if valence == arousal == 0:
            raise InvalidInput("the point valence 0, arousal 0", "it has no direction", "Leave the centre.")
        first, second = (self.vector(axis, mode) for axis in AXES)
        # An axis is a unit direction; its length says how far a unit of the rating moves a state.
        lengths = [float(np.mean(list(axis.note["relative_length"].values()))) for axis in (first, second)]
        mixed = mix([(first, valence * lengths[0]), (second, arousal * lengths[1])])
        name = f"valence {valence:g}, arousal {arousal:g}"
        return replace(_scaled(mixed, min(math.hypot(valence, arousal), 1.0)), name=name, kind="axis")

    def save(self, folder: Path) -> Path:
        """Write ``vectors.safetensors`` and ``card.json``; returns the folder.

        Parameters
        ----------
        folder
            Made where it is missing. Directions are stored in half precision.
        """
        tensors = {
            f"{name}/{mode}/{layer}": row.copy()
            for (name, mode), vector in self.vectors.items()
            for layer, row in vector.directions.items()
        }
        write_tensors(
            folder / "vectors.safetensors", {key: row.astype(np.float16) for key, row in tensors.items()}
        )
        first = next(iter(self.vectors.values()))
        write_json(
            folder / CARD,
            {
                "format": FORMAT,
                "model": first.model,
                "model_hash": first.model_hash,
                "positions": {name: list(place) for name, place in self.positions.items()},
                "note": dict(self.note),
                "vectors": [
                    {"name": name, "mode": mode, "card": vector.card()}
                    for (name, mode), vector in self.vectors.items()
                ],
            },
        )
        return folder

    @staticmethod
    def load(folder: Path) -> VectorBank:
        """Read what `save` wrote.

        Parameters
        ----------
        folder
            As given to `save`.

        Raises
        ------
        EmospaceError
            If a file is absent or damaged, or of another format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        hint = "Calibrate them again: emospace steer calibrate."
        card = read_object(folder / CARD, hint=hint)
        try:
            rows = load_file(folder / "vectors.safetensors")
            if card.get("format") not in (1, FORMAT):
                raise ValueError(f"format {card.get('format')!r}, this version reads 1 and {FORMAT}")
            entries = [(entry["name"], entry["mode"], entry["card"]) for entry in card["vectors"]]
            positions = {name: (float(v), float(a)) for name, (v, a) in card["positions"].items()}
            note = dict(card["note"])
            directions: dict[tuple[str, str], dict[int, np.ndarray]] = {}
            for key, row in rows.items():
                name, mode, layer = key.rsplit("/", 2)
                directions.setdefault((name, mode), {})[int(layer)] = row.astype(np.float32)
            for name, mode, vector_card in entries:
                absent = set(map(int, vector_card["shares"])) - set(directions.get((name, mode), {}))
                if absent:
                    raise ValueError(f"{name!r} in mode {mode!r} has no direction at layers {sorted(absent)}")
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EmospaceError(
                f"no steering vectors could be read from {folder}", first_line(error), hint
            ) from error
        vectors = {
            (name, mode): from_card(directions[name, mode], vector_card, f"{folder}, {name}")
            for name, mode, vector_card in entries
        }
        if card["format"] == 1:
            vectors = {key: _as_measured(vector) for key, vector in vectors.items()}
        return VectorBank(vectors, positions, note)


def bank_folder(model_hash: str, source: str = "mix", language: str = "en") -> Path:
    """Return the folder of the cache where a model's calibrated vectors of a language's concepts lie."""
    return cache_dir() / "steering" / f"{model_hash}-{source}{'' if language == 'en' else f'-{language}'}"


def load_vectors(model: LanguageModel, source: str | None = None, language: str | None = None) -> VectorBank:
    """Return a model's calibrated vectors: those calibrated here, else the bundled ones.

    Parameters
    ----------
    model
        Vectors are found by the hash of its weights, whatever its precision.
    source
        ``mix``, ``sae`` or ``dense``; the first of these that there is unless named (a model without an SAE has
        dense ones only).
    language
        ISO 639-1 code of the concepts the vectors were made of. Without it, or where there are none of this language,
        those of English concepts, else of any.

    Raises
    ------
    EmospaceError
        Where the model has none.
    """
    key = model.weights_hash
    here = [folder for folder in (cache_dir() / "steering").glob(f"{key}-*") if (folder / CARD).is_file()]
    brought = [
        folder for folder in shipped("steering") if read_object(folder / CARD).get("model_hash") == key
    ]
    candidates = []
    for folder in sorted(here) + brought:
        made_of = _MADE_OF.fullmatch(folder.name)
        if made_of and source in (None, made_of["source"]):
            spoken = made_of["language"] or "en"
            rank = (spoken != (language or "en"), spoken != "en", SOURCES.index(made_of["source"]))
            candidates.append((*rank, folder in brought, folder))
    if candidates:
        return VectorBank.load(min(candidates)[-1])
    command = missing_companion(model.identity.get("sha256"))
    calibrate = f"emospace steer calibrate --model {model.name}"
    hint = f"Install them {command}; or make them: {calibrate}" if command else f"Make them: {calibrate}"
    raise EmospaceError(
        f"the model '{model.name}'",
        f"no {f'{source} ' if source else ''}steering vectors were calibrated for it",
        hint,
    )


def _as_measured(vector: SteeringVector) -> SteeringVector:
    """Return a vector of format 1 without the bounds of its doses that were computed from the dose and never tried."""
    calibration = {
        mode: doses._replace(low=doses.dose, high=doses.dose if mode == "constant" else doses.high)
        for mode, doses in vector.calibration.items()
    }
    return replace(vector, calibration=calibration)


def _scaled(vector: SteeringVector, factor: float) -> SteeringVector:
    """Return the vector with its calibrated doses times `factor`; the range that was measured is as before."""
    if factor == 1.0:
        return vector
    return replace(
        vector,
        calibration={
            mode: doses._replace(dose=doses.dose * factor) for mode, doses in vector.calibration.items()
        },
    )
