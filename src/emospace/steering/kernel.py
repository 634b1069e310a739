"""What steering does to the states after one block: one plan for all rows, or a plan of its own for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from emospace.specs import Op
    from emospace.steering.plan import SteeringPlan


class Kernel:
    """Directions, doses and operations at one layer, on the device of its block once it ran.

    Parameters
    ----------
    plans
        One for all rows of every state, or one a row: None leaves a row as it is, as does a plan that does not act
        at the layer.
    """

    def __init__(self, layer: int, plans: Sequence[SteeringPlan | None]) -> None:
        import torch

        acting = {
            index: plan
            for index, plan in enumerate(plans)
            if plan is not None and layer in plan.vector.directions
        }
        width = next(iter(acting.values())).vector.d_model
        # Outside of inference mode, so that training may use them too.
        with torch.inference_mode(False):
            self._directions = torch.zeros(len(plans), 1, width)
            self._doses = torch.zeros(len(plans), 1, 1)
            self._relative = torch.zeros(len(plans), 1, 1, dtype=torch.bool)
            chosen: dict[tuple[Op, bool], torch.Tensor] = {}
            for index, plan in acting.items():
                self._directions[index, 0] = torch.tensor(plan.vector.directions[layer])
                self._doses[index] = plan.dose_at(layer)
                self._relative[index] = plan.mode == "relative"
                rows = chosen.setdefault(
                    (plan.op, plan.dose >= 0), torch.zeros(len(plans), 1, 1, dtype=torch.bool)
                )
                rows[index] = True
        # Plain values: compiled code looks into them.
        self._kinds = tuple(chosen)
        self._chosen = tuple(chosen.values())
        self._modes = {plan.mode for plan in acting.values()}
        self._ops = {plan.op for plan in acting.values()}
        self._placed: dict[tuple[Any, Any], tuple[Any, ...]] = {}

    def place(self, device: Any, dtype: Any) -> tuple[Any, ...]:
        """Return directions, doses, which rows are relative and the rows of each operation, kept on a device."""
        import torch

        key = (device, dtype)
        if key not in self._placed:
            with torch.inference_mode(False):
                self._placed[key] = (
                    self._directions.to(device=device, dtype=dtype),
                    self._doses.to(device),
                    self._relative.to(device),
                    tuple(rows.to(device) for rows in self._chosen),
                )
        return self._placed[key]

    def apply(self, base: torch.Tensor, state: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the steered states ``[rows, positions, d_model]``.

        Parameters
        ----------
        base
            The states that the block gave, in whose norms a relative dose is.
        state
            The same with what other vectors did to them.
        mask
            ``[rows, positions, 1]``, 1 where states are steered; None where all are.
        """
        import torch

        directions, doses, relative, chosen = self.place(state.device, state.dtype)
        size = component = None
        if self._ops != {"ablate"}:
            size = doses
            if "relative" in self._modes:
                size = doses * torch.linalg.vector_norm(base, dim=-1, keepdim=True, dtype=torch.float32)
                if len(self._modes) > 1:
                    size = torch.where(relative, size, doses)
            size = size.to(state.dtype)
        if self._ops != {"add"}:
            component = (state * directions).sum(-1, keepdim=True)
        moves = [movement(op, size, component, raises=raises) for op, raises in self._kinds]
        move = moves[0]
        for rows, another in zip(chosen[1:], moves[1:], strict=True):
            move = torch.where(rows, another, move)
        change = move * directions
        return state + change if mask is None else torch.addcmul(state, change, mask)


class Probe:
    """Directions with which the states of some rows are compared at one layer.

    Parameters
    ----------
    places
        Row -> the plan whose direction and share of the dose count there.
    """

    def __init__(self, layer: int, places: Mapping[int, SteeringPlan]) -> None:
        import torch

        rows, shares = [], []
        for plan in places.values():
            shared = plan.vector.shares.get(layer, 0.0) / max(sum(plan.vector.shares.values()), 1e-12)
            shares.append(shared)
            rows.append(plan.vector.directions.get(layer))
        width = next(iter(places.values())).vector.d_model
        with torch.inference_mode(False):
            self._places = torch.tensor(list(places))
            self._directions = torch.stack(
                [torch.zeros(width) if row is None else torch.tensor(row) for row in rows]
            )
            self._shares = torch.tensor(shares)
        self._placed: dict[Any, tuple[torch.Tensor, ...]] = {}

    def read(self, state: torch.Tensor) -> torch.Tensor:
        """Return the share of each row's cosine ``[n_read]`` at the last of ``[rows, positions, d_model]``."""
        import torch

        if state.device not in self._placed:
            parts = (self._places, self._directions, self._shares)
            self._placed[state.device] = tuple(part.to(state.device) for part in parts)
        places, directions, shares = self._placed[state.device]
        return torch.cosine_similarity(state[places, -1].float(), directions, dim=-1) * shares


def movement(op: Op, size: Any, component: torch.Tensor | None, *, raises: bool) -> Any:
    """Return how far an operation moves states along the direction.

    Parameters
    ----------
    size
        The dose in units of the state, its sign included; ``ablate`` does not use it.
    component
        Of the state along the direction; ``add`` does not use it.
    raises
        Whether ``clamp`` raises what lies below `size`, or lowers what lies above it: the sign of the dose.
    """
    if op == "add":
        return size
    assert component is not None
    if op == "ablate":
        return -component
    gap = size - component
    return gap.clamp(min=0) if raises else gap.clamp(max=0)
