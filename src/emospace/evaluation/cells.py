"""The cells of a steering study: which answers are asked for, at which dose, and beside which baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from emospace.concepts import unknown_category
from emospace.errors import InvalidInput
from emospace.specs import BASIC, Guidance, Mode, SteeringSpec

if TYPE_CHECKING:
    from emospace.steering.vector import SteeringVector

CellKind = Literal["none", "sae", "dense", "axis", "mix", "random", "shuffled", "prompt", "prompted"]

UNGUIDED = Guidance().over(None)
"""The steered model alone decides."""
N_FACTUAL = 2
"""Draws of one thing (random directions, shuffled sets) that the factual prompts are asked of."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One set of answers: every prompt once, under one vector at one dose, under an instruction, or under both.

    Attributes
    ----------
    emotion
        The target; None where the answers serve all targets (unsteered, random directions).
    kind
        ``none`` (unsteered), ``prompt`` (an instruction alone), ``prompted`` (an instruction and a vector), or the kind
        of the vector: ``sae``, ``dense``, ``mix``, ``axis``, ``random``, ``shuffled``.
    vector
        What is applied; None for ``none`` and ``prompt``.
    dose, factor
        In units of the norm, and as a multiple of the calibrated dose.
    mode
        The mode of the dose: ``relative`` to the norm of each state or ``constant``.
    instruction
        Said after each prompt, or around it where it holds ``{prompt}``.
    settings
        Further arguments of `plan_steering`, which make another way of the same vector: ``scope``, ``window``, ``op``.
        Values are plain or frozen specifications.
    draw
        Number among several vectors that stand for one thing.
    factual
        Whether the factual prompts are asked too.
    """

    emotion: str | None
    kind: CellKind
    vector: SteeringVector | None = None
    dose: float | None = None
    factor: float | None = None
    mode: Mode | None = None
    instruction: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    draw: int = 0
    factual: bool = False

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers its vector acts at."""
        return self.vector.layers if self.vector is not None else ()

    @property
    def source(self) -> str | None:
        """Language of the concepts its vector was made of, where the vector says so."""
        return None if self.vector is None else self.vector.note.get("language")

    @property
    def setting(self) -> str | None:
        """Its settings as text; None where the vector acts as it was calibrated."""
        return " ".join(f"{name}={value}" for name, value in self.settings.items()) or None

    @property
    def way(self) -> str:
        """Name of the way of steering whose curve over doses it is a point of: its kind, and its settings."""
        return f"{self.kind} {self.setting}" if self.settings else self.kind

    @property
    def options(self) -> str | None:
        """How its vector acts, where that is not on all tokens by addition, and its settings."""
        if self.vector is None:
            return None
        start, stop = self.vector.window
        parts = [
            f"scope={self.vector.scope}" if self.vector.scope != "all" else "",
            f"op={self.vector.op}" if self.vector.op != "add" else "",
            f"window={start}:{'' if stop is None else stop}" if (start, stop) != (0, None) else "",
            str(self.vector.guidance or ""),
        ]
        return " ".join(part for part in (*parts, self.setting) if part) or None

    @property
    def is_probed(self) -> bool:
        """Whether its side effects are looked at: unsteered, or a vector as calibrated, random directions too."""
        if self.vector is None or self.instruction is not None:
            return self.kind == "none"
        return self.factor == 1.0 and self.kind != "shuffled" and self.settings.get("guidance") != UNGUIDED

    @property
    def is_repeated(self) -> bool:
        """Whether it is answered with other seeds too: a vector of the basic six, as calibrated."""
        return self.is_probed and self.emotion in BASIC

    def acting(self) -> dict[str, Any]:
        """Return what acts, where and how strongly, for tables."""
        layers = ",".join(map(str, self.layers))
        return {
            "kind": self.kind,
            "layers": layers,
            "mode": self.mode,
            "dose": self.dose,
            "factor": self.factor,
        }

    def named(self) -> dict[str, Any]:
        """Return what tells it from other cells, for tables."""
        return {
            "emotion": self.emotion,
            "kind": self.kind,
            "dose": self.dose,
            "factor": self.factor,
            "draw": self.draw,
        }


def standard_cells(
    spec: SteeringSpec,
    vectors: Mapping[str, SteeringVector],
    *,
    baselines: Sequence[Mapping[str, SteeringVector]] = (),
    shuffled: Sequence[Mapping[str, SteeringVector]] = (),
    instructions: Mapping[str, str] | None = None,
) -> list[Cell]:
    """Return the cells of the study: unsteered, each emotion over its doses, and all baselines.

    Parameters
    ----------
    spec
        Emotions, doses, and how many random and shuffled vectors; its seed decides the random directions.
    vectors
        Emotion -> its calibrated vector, the ones under study (`VectorBank.in_mode`). Where they act under guidance, they
        are tried without it too, at the doses up to the calibrated one.
    baselines
        Other calibrated vectors by emotion (dense mean difference), at the same doses.
    shuffled
        Vectors of shuffled concept-sets by emotion, at the calibrated dose of the emotion's own vector; the first
        `SteeringSpec.n_shuffled` are taken, for the basic six.
    instructions
        Emotion -> what asks for it in words, alone and together with its vector, without guidance, at fractions of the
        calibrated dose (`emospace.evaluation.instructions.best_instructions`).

    Raises
    ------
    EmospaceError
        For an emotion without a vector or a calibrated dose.
    """
    for emotion in spec.emotions:
        if emotion not in vectors:
            raise unknown_category(emotion, tuple(vectors), "emotion")
    emotions = spec.emotions or tuple(vectors)
    basic = [emotion for emotion in emotions if emotion in BASIC]
    cells = [Cell(None, "none", factual=True)]
    for emotion in emotions:
        doses = spec.doses if emotion in basic else (1.0,)
        cells += [_cell(spec, emotion, vectors[emotion], factor) for factor in doses]
    for baseline in baselines:
        for emotion in baseline_emotions(spec, vectors):
            if emotion in baseline:
                cells += [_cell(spec, emotion, baseline[emotion], factor) for factor in spec.doses]
    for emotion in baseline_emotions(spec, vectors):
        if not spec.guidance.over(vectors[emotion].guidance).is_plain:
            alone = (_cell(spec, emotion, vectors[emotion], factor) for factor in spec.lower_doses)
            cells += [replace(cell, settings={"guidance": UNGUIDED}) for cell in alone]
    for draw, drawn in enumerate(shuffled[: spec.n_shuffled]):
        for emotion in basic:
            if emotion in drawn:
                dose = vectors[emotion].dose(spec.mode)
                vector = replace(drawn[emotion], kind="shuffled")
                cells.append(
                    Cell(
                        emotion,
                        "shuffled",
                        vector,
                        dose,
                        1.0,
                        spec.mode,
                        settings=_settings(spec),
                        draw=draw,
                        factual=draw < N_FACTUAL,
                    )
                )
    studied = [vectors[emotion] for emotion in emotions]
    dose = float(np.median([vector.dose(spec.mode) for vector in studied]))
    for draw, vector in enumerate(random_vectors(studied, spec.n_random, seed=spec.seed)):
        cells += [
            Cell(
                None,
                "random",
                vector,
                dose * factor,
                factor,
                spec.mode,
                settings=_settings(spec),
                draw=draw,
                factual=factor <= 1.0 and draw < N_FACTUAL,
            )
            for factor in spec.random_doses
        ]
    for emotion in baseline_emotions(spec, vectors):
        said = (instructions or {}).get(emotion)
        if said is None:
            continue
        cells.append(Cell(emotion, "prompt", instruction=said, factual=emotion in BASIC))
        vector = replace(vectors[emotion], guidance=None)
        added = (_cell(spec, emotion, vector, factor) for factor in spec.fractions)
        cells += [replace(cell, kind="prompted", instruction=said, settings={}) for cell in added]
    return cells


def baseline_emotions(spec: SteeringSpec, vectors: Mapping[str, SteeringVector]) -> tuple[str, ...]:
    """Return the emotions that other vectors and instructions are tried on: the basic six, or all."""
    emotions = spec.emotions or tuple(vectors)
    return tuple(emotion for emotion in emotions if spec.baselines_for == "all" or emotion in BASIC)


def random_vectors(vectors: Sequence[SteeringVector], n: int, *, seed: int) -> list[SteeringVector]:
    """Return isotropic random directions that act where most of the vectors act, and with their share of the dose.

    A draw has one direction at all its layers, as a tone has, so that what each layer adds does not cancel.
    """
    if not vectors:
        return []
    places = Counter((v.layers, v.scope, v.op, v.window, v.guidance) for v in vectors)
    usual = places.most_common(1)[0][0]
    model = next(v for v in vectors if (v.layers, v.scope, v.op, v.window, v.guidance) == usual)
    drawn = np.random.default_rng(seed).standard_normal((n, model.d_model))
    return [
        replace(
            model,
            name=f"random {number + 1}",
            kind="random",
            directions=dict.fromkeys(model.layers, row),
            calibration={},
            note={"seed": seed, "draw": number},
        )
        for number, row in enumerate(drawn)
    ]


def n_tokens(
    spec: SteeringSpec, cells: Sequence[Cell], n_prompts: int, n_factual: int, n_requests: int = 0
) -> int:
    """Return how many tokens the cells generate at most."""
    # Each factual prompt is answered twice: by the likeliest tokens, and sampled.
    factual = 2 * sum(cell.factual for cell in cells) * n_factual * spec.factual_tokens
    answers = sum(_candidates(cell) for cell in cells) * n_prompts
    answers += sum(cell.is_probed for cell in cells) * n_requests
    repeated = sum(_candidates(cell) for cell in cells if cell.is_repeated)
    answers += repeated * n_prompts * (spec.seeds - 1)
    return answers * spec.sampling.n_tokens + factual


def _candidates(cell: Cell) -> int:
    """Return how many answers are drawn for each that is given."""
    if cell.vector is None:
        return 1
    return cell.settings.get("guidance", Guidance()).over(cell.vector.guidance).candidates or 1


def check_cap(
    spec: SteeringSpec, cells: Sequence[Cell], n_prompts: int, n_factual: int, n_requests: int = 0
) -> None:
    """Raise `EmospaceError` where the cells would generate more tokens than `SteeringSpec.token_cap`."""
    total = n_tokens(spec, cells, n_prompts, n_factual, n_requests)
    if total <= spec.token_cap:
        return
    kinds = Counter(cell.kind for cell in cells)
    listed = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    each = n_prompts * spec.sampling.n_tokens
    most = max(int((spec.token_cap - (total - len(cells) * each)) // each), 0)
    raise InvalidInput(
        f"a steering study of {len(cells)} cells",
        f"it would generate {total:,} tokens, and at most {spec.token_cap:,} are allowed ({each:,} a cell: {listed})",
        f"Keep at most {most} cells (fewer doses, emotions or random directions), or raise token_cap.",
    )


def _cell(spec: SteeringSpec, emotion: str, vector: SteeringVector, factor: float) -> Cell:
    dose = vector.dose(spec.mode) * factor
    return Cell(
        *(emotion, vector.kind, vector, dose, factor, spec.mode),
        settings=_settings(spec),
        factual=emotion in BASIC,
    )


def _settings(spec: SteeringSpec) -> dict[str, Any]:
    return {"guidance": spec.guidance} if spec.guidance.given else {}
