"""How far an operation moves a state along a unit direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from emospace.specs import Op


def along(state: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Return the component of states along a direction, ``[rows, positions, 1]``."""
    return (state * direction).sum(-1, keepdim=True)


def movement(op: Op, size: Any, component: torch.Tensor | None, *, raises: bool) -> Any:
    """Return what is to be added along the direction: a number or ``[rows, positions, 1]``.

    Parameters
    ----------
    size
        The dose in units of the state, its sign included.
    component
        Of the state along the direction; ``add`` does not ask for it.
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
