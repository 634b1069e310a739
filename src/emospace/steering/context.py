"""Steer a model's own forward passes: `with steer(model, vector): ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emospace.errors import EmospaceError, InvalidInput
from emospace.models import find_blocks
from emospace.specs import Mode, Op, Scope
from emospace.steering.hooks import ContextSteering, attach, detach
from emospace.steering.plan import SteeringPlan, plan_steering, root_of, warn_before, warn_of_no_token
from emospace.steering.vector import SteeringVector


def steer(
    model: Any,
    vector: SteeringVector,
    dose: float | None = None,
    *,
    mode: Mode | None = None,
    scope: Scope | None = None,
    op: Op | None = None,
    layers: Sequence[int] | None = None,
    window: tuple[int, int | None] | None = None,
    prompt_length: int | None = None,
    first_position: bool = False,
) -> Steering:
    """Return a context in which the model speaks with a vector's tone.

    Inside it any forward pass, `generate`, pipeline or training step of the model is steered; leaving it, also
    through an exception, leaves the model as it was. Contexts nest, and their vectors add up. The first position
    of a row is an attention sink and never steered, nor is padding. Guidance, which chooses tokens between two readings,
    is for `emospace.generation` alone: here the states are steered and nothing else. Not for use from several threads
    at once.

    Parameters
    ----------
    model
        A `LanguageModel` or a causal language model of `transformers`.
    vector
        What to add, and at which layers: the residual stream after so many blocks (SAELens'
        ``blocks.{layer-1}.hook_resid_post``).
    dose
        In units of the norm (see `SteeringVector`); the calibrated dose of the mode unless given.
    mode
        ``relative`` to the norm of each state or ``constant``.
    scope
        ``prompt``, ``response`` or ``all`` tokens. `generate` tells them apart by itself, with and without a
        key-value cache. So does a loop of one's own: the first pass with a cache holds the prompt, later passes
        that go on with it hold the answer. In any other forward pass all tokens are prompt unless
        `prompt_length` is given.
    op
        ``add``; ``clamp`` (raise the component along the vector to the dose where it is lower); ``ablate`` (take
        the component out; the dose is not used).
    layers
        Some of the vector's layers, which then carry the whole dose; None takes all.
    window
        Tokens of the answer that are steered, ``(start, stop)``; ``(4, None)`` are all from the fifth.
    prompt_length
        Columns of the prompt, padding included, for a forward pass over prompt and answer together.
    first_position
        Steer the first position too, as the exported forms do (`emospace.steering.export`).

    Raises
    ------
    EmospaceError
        A vector of another width, an unknown setting, a dose that is no number or was never calibrated; on leaving,
        where no forward pass of the model ran. Where all tokens are out of scope, the log says so.
    """
    plan = plan_steering(
        model,
        vector,
        dose,
        mode=mode,
        scope=scope,
        op=op,
        layers=layers,
        window=window,
        first_position=first_position,
    )
    warn_before(model, plan)
    return Steering(model, plan, prompt_length)


class Steering:
    """A plan applied to a model while entered; re-entrant.

    Attributes
    ----------
    plan
        What is applied, and how.
    prompt_length
        As in `steer`.
    """

    def __init__(self, model: Any, plan: SteeringPlan, prompt_length: int | None = None) -> None:
        if plan.acting_gate is not None or not plan.thoughts:
            raise InvalidInput(
                f"the vector {plan.vector.name!r} with a gate, or with thoughts left out",
                "a context steers passes of any kind, and knows no text to be read before",
                "Use emospace.generation.generate or stream, or plan without gate= and thoughts=.",
            )
        self.plan, self.prompt_length = plan, prompt_length
        self._root = root_of(model)
        self._entered: list[ContextSteering] = []
        self._count = 0

    @property
    def applications(self) -> int:
        """States changed so far: token positions times layers."""
        return self._count + sum(active.count() for active in self._entered)

    def __enter__(self) -> Steering:
        active = ContextSteering(self.plan, self.prompt_length)
        attach(self._root, find_blocks(self._root), active)
        self._entered.append(active)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        active = self._entered.pop()
        detach(self._root, active)
        count = active.count()
        self._count += count
        if kind is not None or self.plan.is_nothing:
            return
        if not active.reached:
            raise EmospaceError(
                f"the vector {self.plan.vector.name!r} was applied to no token",
                f"no forward pass of this model came through its layers {list(self.plan.vector.layers)}",
                "Run the model that was given to `steer` inside the context, not another one or an exported copy.",
            )
        if count == 0:
            warn_of_no_token(self.plan)
