"""A steering vector: unit directions, where they act, and how much of them is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from emospace.artefacts import read_object, write_json, write_tensors
from emospace.display import Pictured
from emospace.errors import EmospaceError, InvalidInput, first_line, unknown
from emospace.specs import Guidance, Mode, Op, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["sae", "dense", "axis", "random", "shuffled", "mix"]

MODES: tuple[Mode, ...] = get_args(Mode)
SCOPES: tuple[Scope, ...] = get_args(Scope)
OPS: tuple[Op, ...] = get_args(Op)
"""In the order in which vectors that act at one layer are applied."""
FORMAT = 1
LEAST_LEFT = 1e-3
"""Length of a unit direction's part below which it is rounding: directions are kept in half precision."""


class DoseRange(NamedTuple):
    """A calibrated dose and the range of the doses tried around it, in units of the norm.

    Where no other dose was tried (axes; mode ``constant`` beyond the basic six) both bounds are the dose.

    Attributes
    ----------
    dose
        That of the strongest tone within the fluency budget; `steer` takes it unless told otherwise.
    low
        The lowest dose tried at which the judge found the tone more often than in unsteered answers (one-sided p at most
        .05); the dose itself where no lower one was.
    high
        The largest dose tried at which text stayed fluent (`CalibrationSpec.ceiling`), and at least the dose. Above it
        the log warns.
    """

    dose: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class SteeringVector(Pictured):
    """Unit directions of one tone in a model's residual stream, with everything needed to apply them.

    At layer ``l`` (the residual stream after ``l`` blocks) a state ``h`` becomes
    ``h + dose * share[l] * ||h|| * v[l]`` in mode ``relative`` and
    ``h + dose * share[l] * median[l] * v[l]`` in mode ``constant``.

    Attributes
    ----------
    name
        The emotion, the axis, or what a mix is made of (``joy:0.7,surprise:0.3``).
    kind
        What it is made of: ``sae``, ``dense`` or ``mix`` (both, or several vectors), ``axis`` (valence or arousal),
        ``random`` or ``shuffled`` (controls).
    directions
        Layer -> vector ``[d_model]``, made unit here. The layers are 1 to ``n_blocks``: SAELens'
        ``blocks.{layer-1}.hook_resid_post``.
    model, model_hash
        Name of the model it was made for, and `LanguageModel.weights_hash`.
    shares
        Layer -> the part of the dose it carries; alike for all unless given.
    medians
        Layer -> median norm of the residual stream there, first positions left out.
    calibration
        Mode -> calibrated dose and its range; empty before calibration.
    scope, op, window, mode
        How `steer` applies it unless told otherwise; `window` counts tokens of the answer, ``(start, stop)``.
    guidance
        How tokens are chosen where answers are generated, as calibrated; None where the steered model alone decides.
    note
        What it was made of: concept-sets, SAE, language, seed.

    Raises
    ------
    EmospaceError
        If there is no direction, one of them is zero or not finite, widths differ, or a layer has no median norm or
        a share or median that is negative or not finite.
    """

    name: str
    kind: Kind
    directions: Mapping[int, np.ndarray]
    medians: Mapping[int, float]
    model: str
    model_hash: str
    shares: Mapping[int, float] = field(default_factory=dict)
    calibration: Mapping[Mode, DoseRange] = field(default_factory=dict)
    mode: Mode = "relative"
    scope: Scope = "all"
    op: Op = "add"
    window: tuple[int, int | None] = (0, None)
    guidance: Guidance | None = None
    note: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.directions:
            raise InvalidInput(
                f"the steering vector {self.name!r} has no direction",
                "no layer was given",
                "Give one direction.",
            )
        units = {layer: self._unit(layer, row) for layer, row in sorted(self.directions.items())}
        missing = sorted(set(units) - set(self.medians))
        if missing:
            raise InvalidInput(
                f"the steering vector {self.name!r} lacks the median norm of layers {missing}",
                "a constant dose is measured in it",
                "Give `medians` for each layer of `directions`.",
            )
        widths = sorted({row.shape[0] for row in units.values()})
        if len(widths) > 1:
            raise InvalidInput(
                f"the directions of {self.name!r} have the widths {widths}",
                "the residual stream of a model has one width",
                "Give vectors of one model.",
            )
        shares = {layer: float(self.shares.get(layer, 1.0 / len(units))) for layer in units}
        medians = {layer: float(self.medians[layer]) for layer in units}
        for what, values in (("share", shares), ("median norm", medians)):
            wrong = [layer for layer, value in values.items() if not 0 <= value < float("inf")]
            if wrong:
                raise InvalidInput(
                    f"the {what} of {self.name!r} at layers {wrong} is {[values[layer] for layer in wrong]}",
                    "it scales the dose",
                    "Give a finite number that is not negative.",
                )
        object.__setattr__(self, "directions", MappingProxyType(units))
        object.__setattr__(self, "shares", MappingProxyType(shares))
        object.__setattr__(self, "medians", MappingProxyType(medians))
        object.__setattr__(self, "window", check_window(self.window))

    def _unit(self, layer: int, row: np.ndarray) -> np.ndarray:
        row = np.asarray(row, dtype=np.float64)
        norm = float(np.linalg.norm(row))
        if row.ndim != 1 or not np.isfinite(norm) or norm == 0:
            raise InvalidInput(
                f"the direction of {self.name!r} at layer {layer} is no direction",
                f"its shape is {list(row.shape)} and its norm {norm:g}",
                "Give a finite vector [d_model] that is not zero.",
            )
        unit = (row / norm).astype(np.float32)
        unit.setflags(write=False)
        return unit

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers it acts at."""
        return tuple(self.directions)

    @property
    def d_model(self) -> int:
        """Width of the residual stream it was made for."""
        return int(next(iter(self.directions.values())).shape[0])

    def dose(self, mode: Mode | None = None) -> float:
        """Return the calibrated dose of a mode, in units of the norm.

        Parameters
        ----------
        mode
            ``relative`` or ``constant``; None takes the vector's own.

        Raises
        ------
        EmospaceError
            If the vector was never calibrated in that mode.
        """
        mode = mode or self.mode
        if mode not in self.calibration:
            raise InvalidInput(
                f"the vector {self.name!r} has no calibrated dose for mode {mode!r}",
                "how much is right differs from model to model and vector to vector",
                "Give a dose (--dose 0.3: so much of the norm), or calibrate it: emospace steer calibrate",
            )
        return self.calibration[mode].dose

    def at(self, layers: Sequence[int]) -> SteeringVector:
        """Return the vector at some of its layers, the dose shared among them as before.

        Parameters
        ----------
        layers
            Some of `layers`; together they carry the whole dose.

        Raises
        ------
        EmospaceError
            If it has no direction at one of them, or none is named.
        """
        layers = sorted(set(layers))
        absent = [layer for layer in layers if layer not in self.directions]
        if absent or not layers:
            raise InvalidInput(
                f"the vector {self.name!r} does not exist at layers {absent or layers}",
                f"it was made at {list(self.layers)}"
                + (": SAE directions exist at the SAE's block only" if self.kind == "sae" else ""),
                "Name layers among these, or build a dense vector at others.",
            )
        total, kept = sum(self.shares.values()), sum(self.shares[layer] for layer in layers)
        return replace(
            self,
            directions={layer: self.directions[layer] for layer in layers},
            shares={layer: self.shares[layer] * total / kept for layer in layers},
            medians={layer: self.medians[layer] for layer in layers},
        )

    def save(self, path: Path) -> Path:
        """Write ``path`` (safetensors) and the JSON card beside it; returns the tensors' path.

        Parameters
        ----------
        path
            A file; ``.safetensors`` is added where it is missing.
        """
        path = _tensors_path(path)
        write_tensors(path, {f"layer.{layer}": row.copy() for layer, row in self.directions.items()})
        write_json(path.with_suffix(".json"), self.card())
        return path

    def guidance_in(self, mode: Mode) -> Guidance | None:
        """Return the guidance it was calibrated under, None where it was calibrated without.

        Parameters
        ----------
        mode
            Of the dose; guidance is for the mode of the vector alone, since in another a dose is another.
        """
        return self.guidance if mode == self.mode else None

    def card(self) -> dict[str, Any]:
        """Return everything but the directions, ready for JSON."""
        return {
            "format": FORMAT,
            "name": self.name,
            "kind": self.kind,
            "model": self.model,
            "model_hash": self.model_hash,
            "shares": {str(layer): value for layer, value in self.shares.items()},
            "medians": {str(layer): value for layer, value in self.medians.items()},
            "calibration": {mode: dict(value._asdict()) for mode, value in self.calibration.items()},
            "mode": self.mode,
            "scope": self.scope,
            "op": self.op,
            "window": list(self.window),
            "note": dict(self.note),
            # Left out where there is none, as in cards written before there was any: hashes of these stay.
            **({"guidance": self.guidance.given} if self.guidance else {}),
        }

    @staticmethod
    def load(path: Path) -> SteeringVector:
        """Read a saved vector.

        Parameters
        ----------
        path
            As given to `save`.

        Raises
        ------
        EmospaceError
            If the file or its card is absent or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = _tensors_path(path)
        hint = "Save one there with SteeringVector.save."
        try:
            rows = load_file(path)
            directions = {int(name.removeprefix("layer.")): row for name, row in rows.items()}
        except (OSError, SafetensorError, ValueError) as error:
            raise EmospaceError(
                f"no steering vector could be read from {path}", first_line(error), hint
            ) from error
        return from_card(directions, read_object(path.with_suffix(".json"), hint=hint), str(path))


def from_card(directions: Mapping[int, np.ndarray], card: Mapping[str, Any], source: str) -> SteeringVector:
    """Return the vector whose `SteeringVector.card` was stored in `source`."""
    if card.get("format") != FORMAT:
        raise InvalidInput(
            f"the steering card of {source} has format {card.get('format')!r}",
            f"this version reads format {FORMAT}",
            "Build the vectors again: emospace steer calibrate",
        )
    try:
        fields: dict[str, Any] = {
            **{
                name: card[name]
                for name in ("name", "kind", "model", "model_hash", "mode", "scope", "op", "note")
            },
            "window": tuple(card["window"]),
            "medians": {int(layer): float(value) for layer, value in card["medians"].items()},
            "shares": {int(layer): float(value) for layer, value in card["shares"].items()},
            "calibration": {mode: DoseRange(**value) for mode, value in card["calibration"].items()},
            "guidance": Guidance(**card["guidance"]) if "guidance" in card else None,
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(
            f"the steering card of {source}",
            f"it is damaged ({type(error).__name__}: {error})",
            "Build the vectors again: emospace steer calibrate",
        ) from error
    return SteeringVector(directions=directions, **fields)


def _tensors_path(path: Path) -> Path:
    """Return the path with its ending; a name may hold dots of its own."""
    path = Path(path)
    return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


def mix(vectors: Mapping[SteeringVector, float] | Sequence[tuple[SteeringVector, float]]) -> SteeringVector:
    """Return the weighted sum of vectors of one model as a vector of its own.

    Directions are summed layer by layer with ``weight * share`` and made unit again; the calibrated dose is the
    mean of theirs weighted by the size of the weights, which is where to start, not a calibration of the mix.

    Parameters
    ----------
    vectors
        Vectors with their weights, of any sign; a weight of zero leaves its vector out.

    Raises
    ------
    EmospaceError
        Where there is nothing to mix, models differ, or the sum vanishes.
    """
    parts = list(vectors.items()) if isinstance(vectors, Mapping) else list(vectors)
    parts = [(vector, float(weight)) for vector, weight in parts if weight]
    if not parts:
        raise InvalidInput("no vector to mix", "every weight is zero", 'Give weights: {"joy": 0.7}')
    if len(parts) == 1 and parts[0][1] == 1.0:
        return parts[0][0]
    first = parts[0][0]
    for vector, _ in parts[1:]:
        _check_one_model(first, vector)
        acting = [(part.op, part.scope, part.window, part.guidance) for part in (first, vector)]
        if acting[0] != acting[1]:
            raise InvalidInput(
                f"{first.name!r} and {vector.name!r} cannot be mixed",
                "they differ in operation, scope, window or guidance",
                "Mix vectors that act alike, or nest two `steer` contexts.",
            )
    sums: dict[int, np.ndarray] = {}
    for vector, weight in parts:
        for layer, row in vector.directions.items():
            sums[layer] = sums.get(layer, np.zeros(first.d_model)) + weight * vector.shares[layer] * row
    size = sum(abs(weight) for _, weight in parts)
    lengths = {layer: float(np.linalg.norm(row)) for layer, row in sums.items()}
    total = sum(lengths.values())
    if total < 1e-6 * size:
        raise InvalidInput(
            f"the mix of {', '.join(repr(vector.name) for vector, _ in parts)} vanishes",
            "the parts cancel each other",
            "Change the weights.",
        )
    share = sum(abs(weight) * sum(vector.shares.values()) for vector, weight in parts) / size
    shared = [mode for mode in MODES if all(mode in vector.calibration for vector, _ in parts)]
    return replace(
        first,
        name=",".join(f"{vector.name}:{weight:g}" for vector, weight in parts),
        kind="mix",
        directions=sums,
        shares={layer: share * length / total for layer, length in lengths.items()},
        medians={layer: vector.medians[layer] for vector, _ in parts for layer in vector.layers},
        calibration={
            mode: DoseRange(
                *(
                    sum(abs(weight) * getattr(vector.calibration[mode], name) for vector, weight in parts)
                    / size
                    for name in DoseRange._fields
                )
            )
            for mode in shared
        },
        note={
            "parts": {vector.name: weight for vector, weight in parts},
            "kinds": sorted({v.kind for v, _ in parts}),
        },
    )


def orthogonal(vector: SteeringVector, others: Sequence[SteeringVector]) -> SteeringVector:
    """Return the part of a vector that is orthogonal to others, made unit again, with the doses of the whole.

    Parameters
    ----------
    vector
        What is kept of; it acts as before.
    others
        Vectors of the same model. Their directions are projected out at the layers where both act.

    Raises
    ------
    EmospaceError
        Where models differ, a vector shares no layer with `vector`, or nothing is left at a layer.
    """
    if not others:
        return vector
    name = " | ".join(part.name for part in (vector, *others))
    for other in others:
        _check_one_model(vector, other)
        if not set(other.layers) & set(vector.layers):
            raise InvalidInput(
                f"{other.name!r} cannot be projected out of {vector.name!r}",
                f"one acts at layers {list(other.layers)}, the other at {list(vector.layers)}",
                "Take vectors that share a layer.",
            )
    rest: dict[int, np.ndarray] = {}
    for layer, row in vector.directions.items():
        taken = [other.directions[layer].astype(np.float64) for other in others if layer in other.directions]
        left = row.astype(np.float64)
        if taken:
            basis, sizes, _ = np.linalg.svd(np.stack(taken).T, full_matrices=False)
            basis = basis[:, sizes > LEAST_LEFT]
            left = left - basis @ (basis.T @ left)
        if np.linalg.norm(left) < LEAST_LEFT:
            raise InvalidInput(
                f"the tone {name}",
                f"nothing is left of {vector.name!r} at layer {layer} without its part along "
                + ", ".join(repr(other.name) for other in others),
                "Project another emotion out.",
            )
        rest[layer] = left
    note = {"of": vector.name, "without": [other.name for other in others]}
    return replace(vector, name=name, kind="mix", directions=rest, note=note)


def _check_one_model(first: SteeringVector, second: SteeringVector) -> None:
    if (second.model_hash, second.d_model) != (first.model_hash, first.d_model):
        raise InvalidInput(
            f"{first.name!r} and {second.name!r} cannot be mixed",
            f"one was made for {first.model}, the other for {second.model}",
            "Mix vectors of one model.",
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `EmospaceError` where a setting of steering is not one of its choices."""
    if value not in choices:
        raise unknown(name, value, choices)


def check_window(window: tuple[int, int | None]) -> tuple[int, int | None]:
    """Return a window of answer tokens; raises `EmospaceError` where it holds none."""
    try:
        start, stop = window
        if start >= 0 and (stop is None or stop > start):
            return int(start), None if stop is None else int(stop)
    except (TypeError, ValueError):
        pass
    raise InvalidInput(
        f"the window {window}", "it holds no token of an answer", "Give (start, stop) or (start, None)."
    )
