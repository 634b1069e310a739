"""A steering plan: which vector acts, at which dose, on which tokens, checked against the model it is for."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emospace.errors import InvalidInput
from emospace.models import LanguageModel, find_blocks
from emospace.specs import Guidance, Mode, Op, Scope
from emospace.steering.vector import (
    MODES,
    OPS,
    SCOPES,
    SteeringVector,
    check_choice,
    check_window,
)

if TYPE_CHECKING:
    import torch

    from emospace.steering.gate import Gate

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SteeringPlan:
    """A vector with everything that says how it acts; made by `plan_steering`.

    Attributes
    ----------
    dose
        In units of the norm, `mode` says of which.
    window
        Tokens of the answer that are steered, ``(start, stop)``.
    first_position
        Whether the first position of a row, an attention sink, is steered too.
    guidance
        How tokens are chosen between the steered and the unsteered model where answers are generated.
    gate
        What has to be read before anything is steered, where answers are generated; None where nothing has to.
    thoughts
        Whether a reasoning model's thoughts are steered; else its answer alone, neither prompt nor thought.
    """

    vector: SteeringVector
    dose: float
    mode: Mode
    scope: Scope
    op: Op
    window: tuple[int, int | None] = (0, None)
    first_position: bool = False
    guidance: Guidance | None = None
    gate: Gate | None = None
    thoughts: bool = True

    @property
    def acting_gate(self) -> Gate | None:
        """Its gate, None where it steers nothing anyway."""
        return None if self.is_nothing else self.gate

    @property
    def acting_guidance(self) -> Guidance | None:
        """Its guidance, None where the steered model alone decides."""
        guidance = self.guidance
        return None if self.is_nothing or guidance is None or guidance.is_plain else guidance

    @property
    def is_calibrated(self) -> bool:
        """Whether its vector has a calibrated dose in its mode, so that `dose` can be held against a range."""
        return self.mode in self.vector.calibration

    @property
    def is_nothing(self) -> bool:
        """Whether it leaves every state as it is."""
        return self.dose == 0 and self.op == "add"

    def dose_at(self, layer: int) -> float:
        """Return the layer's part of the dose: of each state's norm (relative), or in its units (constant)."""
        dose = self.dose * self.vector.shares[layer]
        return dose * self.vector.medians[layer] if self.mode == "constant" else dose

    def covers(self, answered: torch.Tensor) -> torch.Tensor:
        """Return which positions are in scope and window, bool, shaped like `answered`.

        Parameters
        ----------
        answered
            Index of each position in the answer; negative in the prompt.
        """
        start, stop = self.window
        prompt = answered < 0
        answer = (answered >= start) & ~prompt
        if stop is not None:
            answer = answer & (answered < stop)
        return prompt if self.scope == "prompt" else answer if self.scope == "response" else prompt | answer

    def expected(self, n_prompt: int, n_answer: int, begins: float = -math.inf) -> int:
        """Return how many states it changes (positions x layers) in passes over a prompt and tokens of its answer.

        `begins` is the index in the answer of the first token that is steered.
        """
        import torch

        if self.is_nothing:
            return 0
        places = torch.arange(-n_prompt, n_answer)[0 if self.first_position else 1 :]
        return int((self.covers(places) & (places >= begins)).sum()) * len(self.vector.layers)


def plan_steering(
    model: Any,
    vector: SteeringVector,
    dose: float | None = None,
    *,
    mode: Mode | None = None,
    scope: Scope | None = None,
    op: Op | None = None,
    layers: Sequence[int] | None = None,
    window: tuple[int, int | None] | None = None,
    first_position: bool = False,
    guidance: Guidance | None = None,
    gate: Gate | None = None,
    thoughts: bool = True,
) -> SteeringPlan:
    """Return how a vector is to act on a model, checked against it; for `generate` and `stream`.

    Parameters
    ----------
    model, vector, dose, mode, scope, op, layers, window, first_position
        As in `emospace.steering.steer`.
    guidance
        How tokens are chosen between the steered and the unsteered model; what is left open of it is as the vector has it.
    gate
        What has to be read in an answer's prompt, or in what is said so far, before anything of it is steered
        (`emospace.reading.make_gate`); None steers from the prompt on.
    thoughts
        Whether a reasoning model's thought is steered as all else; False leaves prompt and thought as they are.

    Raises
    ------
    EmospaceError
        A vector of another width, an unknown setting, a dose that is not finite or was never calibrated, or guidance
        by blocks with a single candidate.
    """
    if layers is not None:
        vector = vector.at(layers)
    mode, scope, op = mode or vector.mode, scope or vector.scope, op or vector.op
    check_choice("mode of dose", mode, MODES)
    check_choice("scope", scope, SCOPES)
    check_choice("operation", op, OPS)
    root = root_of(model)
    check_fit(root, find_blocks(root), vector)
    if dose is None:
        dose = 0.0 if op == "ablate" else vector.dose(mode)
    if not math.isfinite(dose):
        raise InvalidInput(f"the dose {dose}", "it is no finite number", "Give a dose such as 0.1.")
    window = check_window(window if window is not None else vector.window)
    chosen = (guidance or Guidance()).over(vector.guidance_in(mode))
    return SteeringPlan(vector, float(dose), mode, scope, op, window, first_position, chosen, gate, thoughts)


def root_of(model: Any) -> Any:
    """Return the module of `transformers` under a `LanguageModel` or a compiled module."""
    root = model.model if isinstance(model, LanguageModel) else model
    return getattr(root, "_orig_mod", root)


def check_fit(root: Any, blocks: Sequence[Any], vector: SteeringVector) -> None:
    """Raise `EmospaceError` where a vector's width or layers are not those of the model."""
    config = getattr(root.config, "text_config", root.config)
    if vector.d_model != config.hidden_size:
        raise InvalidInput(
            f"the vector {vector.name!r} has width {vector.d_model}",
            f"the residual stream of this model has width {config.hidden_size}",
            f"Use a vector made for this model; this one was made for {vector.model}.",
        )
    wrong = [layer for layer in vector.layers if not 1 <= layer <= len(blocks)]
    if wrong:
        raise InvalidInput(
            f"the vector {vector.name!r} acts at layers {wrong}",
            f"steering reaches the residual stream after a block: layers 1 to {len(blocks)} of this model",
            "Use a vector made for this model.",
        )


def warn_before(model: Any, plan: SteeringPlan) -> None:
    """Write to the log where a vector is of another model, or the dose beyond its calibrated range."""
    if isinstance(model, LanguageModel) and model.name != plan.vector.model:
        warn_of_another_model(model, plan.vector)
    calibrated = plan.vector.calibration.get(plan.mode)
    if calibrated is not None and plan.op != "ablate" and abs(plan.dose) > calibrated.high:
        log.warning(
            "dose %g of %r is beyond its calibrated range (%s, up to %g): expect repetition and broken sentences",
            plan.dose,
            plan.vector.name,
            plan.mode,
            calibrated.high,
        )


def warn_of_another_model(model: LanguageModel, vector: SteeringVector) -> None:
    """Write to the log where a vector was made from other weights than the model's."""
    if vector.model_hash and vector.model_hash != model.weights_hash:
        log.warning(
            "%r was made for %s, not for %s: expect little effect, or none",
            vector.name,
            vector.model,
            model.name,
        )


def warn_of_no_token(plan: SteeringPlan) -> None:
    """Write to the log that a vector changed no state, and why."""
    log.warning(
        "%r changed no state: no token that was run is in scope %r and window %s. The last token of an answer is never "
        "run, a first position never steered, and a forward pass without generate or a cache is all prompt unless "
        "prompt_length is given",
        plan.vector.name,
        plan.scope,
        plan.window,
    )
