"""Steer a batch whose rows each have a vector of their own: one hook per block for all of them.

A row gets what `steer` gives it when it runs alone: the same operation in the same arithmetic, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from emospace.errors import EmospaceError
from emospace.steering.hooks import forget_compiled
from emospace.steering.operation import along, movement
from emospace.steering.positions import in_scope

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel
    from emospace.steering.hooks import Steering


class RowSteering:
    """The vectors of a batch, stacked by layer: attached once for all forward passes, and told what each holds.

    Parameters
    ----------
    rows
        What `emospace.steering.steer` returned for each row, never entered; None leaves a row as it is.
    """

    def __init__(self, model: LanguageModel, rows: Sequence[Steering | None]) -> None:
        self.model = model
        self.rows = tuple(None if row is None or row.is_nothing else row for row in rows)
        layers = {layer for row in self.rows if row is not None for layer in row.vector.layers}
        self._layers = {layer: _Layer(layer, self.rows) for layer in layers}
        self._acts = [row is not None for row in self.rows]
        self._pass: _Pass | None = None

    @contextmanager
    def attached(self) -> Iterator[RowSteering]:
        """Put the hooks on the blocks; they change nothing but the passes run inside `on`."""
        with ExitStack() as stack:
            if self._layers:
                stack.callback(forget_compiled)
            for layer in self._layers:
                block = self.model.blocks[layer - 1]
                stack.callback(block.register_forward_hook(_Hook(self, layer), prepend=True).remove)
            if self._layers:
                forget_compiled()
            yield self

    @contextmanager
    def on(self, answered: torch.Tensor, real: torch.Tensor) -> Iterator[list[int]]:
        """Steer the forward pass run inside; give back how many states of each row it changes (positions x layers).

        Parameters
        ----------
        answered
            ``[rows, positions]`` on the host: index of each position in its row's answer, negative in the prompt.
        real
            ``[rows, positions]``, bool, on the host: positions that are no padding. A prompt comes whole.

        Raises
        ------
        EmospaceError
            If the pass did not go through a steered block, or held other positions.
        """
        mask = self._mask(answered, real)
        counts = [
            0 if row is None else int(n) * len(row.vector.layers)
            for row, n in zip(self.rows, mask.sum(dim=1).tolist(), strict=True)
        ]
        if not any(counts):
            yield counts
            return
        self._pass = held = _Pass(mask, self._acts)
        try:
            yield counts
        finally:
            self._pass = None
        missed = sorted(self._layers.keys() - held.steered)
        if missed:
            raise EmospaceError(
                f"the model {self.model.name!r}",
                f"its forward pass did not reach the hooks of layers {missed}, so nothing was steered there",
                "steer the model itself rather than an exported copy of it",
            )

    def change(self, layer: int, state: torch.Tensor) -> torch.Tensor | None:
        """Return what the current pass adds to the states after a layer; None outside of `on`."""
        if self._pass is None:
            return None
        self._pass.steered.add(layer)
        return self._layers[layer].change(state, self._pass.mask_for(state))

    @property
    def is_idle(self) -> bool:
        """Whether no pass is under way that it changes."""
        return self._pass is None

    def _mask(self, answered: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        import torch

        mask = torch.zeros_like(real)
        # A prompt's first position is an attention sink.
        first = (answered < 0) & (real.cumsum(dim=1) == 1)
        for index, row in enumerate(self.rows):
            if row is not None:
                mask[index] = real[index] & in_scope(answered[index], row.scope, row.window)
                if not row.first_position:
                    mask[index] &= ~first[index]
        return mask


class _Pass:
    """A forward pass under way: which positions it steers, and the layers that it has come through.

    `acts` says which rows have a vector: where all of their positions are steered, no mask is needed.
    """

    def __init__(self, mask: torch.Tensor, acts: Sequence[bool]) -> None:
        self.mask, self.steered = mask, set[int]()
        self.is_whole = bool(mask[list(acts)].all())
        self._placed: dict[tuple[Any, Any], torch.Tensor] = {}

    def mask_for(self, state: torch.Tensor) -> torch.Tensor | None:
        """Return the mask ``[rows, positions, 1]`` beside a state, copied there once a pass; None where none is needed."""
        if state.shape[:2] != self.mask.shape:
            raise EmospaceError(
                f"a forward pass over {tuple(state.shape[:2])} rows and tokens",
                f"its steering was prepared for {tuple(self.mask.shape)}",
                "please report this, with the model's name and the version of transformers",
            )
        if self.is_whole:
            return None
        key = (state.device, state.dtype)
        if key not in self._placed:
            self._placed[key] = self.mask.unsqueeze(-1).to(device=state.device, dtype=state.dtype)
        return self._placed[key]


class _Hook:
    """What a block's output is changed by; `is_idle` says that it would change nothing now."""

    def __init__(self, rows: RowSteering, layer: int) -> None:
        self.rows, self.layer = rows, layer

    @property
    def is_idle(self) -> bool:
        return self.rows.is_idle

    def __call__(self, _module: Any, _args: Any, output: Any) -> Any:
        state = output[0] if isinstance(output, tuple) else output
        change = self.rows.change(self.layer, state)
        if change is None:
            return output
        return (state + change, *output[1:]) if isinstance(output, tuple) else state + change


class _Layer:
    """Directions, doses and operations of all rows at one layer, on the device of the block once it ran."""

    def __init__(self, layer: int, rows: Sequence[Steering | None]) -> None:
        import torch

        acting = {
            index: row for index, row in enumerate(rows) if row is not None and layer in row.vector.directions
        }
        width = next(iter(acting.values())).vector.d_model
        self.directions = torch.zeros(len(rows), 1, width)
        self.doses = torch.zeros(len(rows), 1, 1)
        self.constants = torch.zeros(len(rows), 1, 1)
        self.relative = torch.zeros(len(rows), 1, 1, dtype=torch.bool)
        self.groups: dict[Any, torch.Tensor] = {}
        for index, row in acting.items():
            self.directions[index, 0] = torch.tensor(row.vector.directions[layer])
            dose = row.dose * row.vector.shares[layer]
            self.doses[index] = dose
            self.constants[index] = dose * row.vector.medians[layer]
            self.relative[index] = row.mode == "relative"
            group = self.groups.setdefault(
                (row.op, row.dose >= 0), torch.zeros(len(rows), 1, 1, dtype=torch.bool)
            )
            group[index] = True
        self._placed: Any = None

    def change(self, state: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return what is added to states ``[rows, positions, d_model]``."""
        import torch

        directions, doses, constants, relative, groups = self._at(state)
        norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True, dtype=torch.float32)
        size = torch.where(relative, doses * norm, constants).to(state.dtype)
        component = along(state, directions)
        moved = torch.zeros_like(component)
        for (op, raises), chosen in groups.items():
            moved = torch.where(chosen, movement(op, size, component, raises=raises), moved)
        change = moved * directions
        return change if mask is None else change * mask

    def _at(self, state: torch.Tensor) -> tuple[Any, ...]:
        if self._placed is None:
            to = {"device": state.device}
            self._placed = (
                self.directions.to(dtype=state.dtype, **to),
                self.doses.to(**to),
                self.constants.to(**to),
                self.relative.to(**to),
                {key: chosen.to(**to) for key, chosen in self.groups.items()},
            )
        return self._placed  # type: ignore[no-any-return]
