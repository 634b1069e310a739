"""Apply steering vectors to a running model: `with steer(model, vector): ...`.

One forward hook per steered block, placed before every other hook of that block, so that whatever records the
residual stream (``output_hidden_states``, a capture, a later hook) sees it steered. All vectors active on a model
share these hooks: their additions are summed from the same state, whatever the order of entering.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import ref

from emospace.errors import EmospaceError
from emospace.models import LanguageModel, find_blocks, find_cache
from emospace.specs import Mode, Op, Scope
from emospace.steering.checks import check_fit, warn_beyond, warn_of_another_model, warn_of_no_token
from emospace.steering.operation import along, movement
from emospace.steering.positions import first_columns, in_scope, prompt_mask, real_columns
from emospace.steering.vector import MODES, SteeringVector, check_choice, check_window

if TYPE_CHECKING:
    import torch

SCOPES: tuple[Scope, ...] = ("prompt", "response", "all")
OPS: tuple[Op, ...] = ("add", "clamp", "ablate")


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
    of a row is an attention sink and never steered, nor is padding. Not for use from several threads at once.

    Parameters
    ----------
    model
        A `LanguageModel` or a causal language model of `transformers`.
    vector
        What to add.
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
        Some of the vector's layers.
    window
        Tokens of the answer that are steered, ``(start, stop)``.
    prompt_length
        Columns of the prompt, padding included, for a forward pass over prompt and answer together.
    first_position
        Steer the first position too, as the exported forms do (`emospace.steering.export`).

    Raises
    ------
    EmospaceError
        A vector of another width, an unknown setting, a dose that is no number or was never calibrated; on leaving,
        where no forward pass of the model ran. One whose tokens are all out of scope is told in the log.
    """
    root = model.model if isinstance(model, LanguageModel) else model
    root = getattr(root, "_orig_mod", root)
    blocks = find_blocks(root)
    if layers is not None:
        vector = vector.at(layers)
    mode, scope, op = mode or vector.mode, scope or vector.scope, op or vector.op
    check_choice("mode of dose", mode, MODES)
    check_choice("scope", scope, SCOPES)
    check_choice("operation", op, OPS)
    check_fit(root, blocks, vector)
    if isinstance(model, LanguageModel) and model.name != vector.model:
        warn_of_another_model(model, vector)
    if dose is None:
        dose = 0.0 if op == "ablate" else vector.dose(mode)
    if not math.isfinite(dose):
        raise EmospaceError(f"the dose {dose}", "it is no finite number", "give a dose such as 0.1")
    known = vector.calibration.get(mode)
    if known is not None and op != "ablate":
        warn_beyond(vector, dose, mode, known)
    window = check_window(window if window is not None else vector.window)
    return Steering(root, blocks, vector, float(dose), mode, scope, op, window, prompt_length, first_position)


class Steering:
    """A vector applied to a model while entered; made by `steer`, re-entrant.

    Attributes
    ----------
    vector, dose, mode, scope, op, window
        What is applied, and how.
    """

    def __init__(
        self,
        root: Any,
        blocks: Sequence[Any],
        vector: SteeringVector,
        dose: float,
        mode: Mode,
        scope: Scope,
        op: Op,
        window: tuple[int, int | None],
        prompt_length: int | None,
        first_position: bool,
    ) -> None:
        self.vector, self.dose, self.mode, self.scope, self.op, self.window = (
            vector,
            dose,
            mode,
            scope,
            op,
            window,
        )
        self.prompt_length, self.first_position = prompt_length, first_position
        self._root, self._blocks = root, blocks
        self._entered: list[_Active] = []
        self._count = 0

    @property
    def applications(self) -> int:
        """States changed so far: token positions times layers."""
        return self._count + sum(active.count() for active in self._entered)

    def __enter__(self) -> Steering:
        key = id(self._root)
        stage = _STAGES.get(key) or _Stage(self._root, self._blocks)
        active = _Active(self)
        stage.add(active)
        _STAGES[key] = stage
        self._entered.append(active)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        active = self._entered.pop()
        stage = _STAGES[id(self._root)]
        stage.remove(active)
        if not stage.actives:
            del _STAGES[id(self._root)]
        count = active.count()
        self._count += count
        if kind is not None or self.is_nothing:
            return
        if not active.reached:
            raise EmospaceError(
                f"the vector {self.vector.name!r} was applied to no token",
                f"no forward pass of this model came through its layers {list(self.vector.layers)}",
                "run the model that was given to `steer` inside the context, not another one or an exported copy",
            )
        if count == 0:
            warn_of_no_token(self)

    @property
    def is_nothing(self) -> bool:
        """Whether it leaves every state as it is."""
        return self.dose == 0 and self.op == "add"

    def expected(self, n_prompt: int, n_answer: int) -> int:
        """Return how many states it changes (positions x layers) in passes over a prompt and tokens of its answer."""
        import torch

        if self.is_nothing:
            return 0
        places = torch.arange(-n_prompt, n_answer)[0 if self.first_position else 1 :]
        return int(in_scope(places, self.scope, self.window).sum()) * len(self.vector.layers)


class _Active:
    """One entering of a `Steering`: its tensors on each device, its mask for the current pass, its count."""

    def __init__(self, steering: Steering) -> None:
        self.steering = steering
        self.layers = () if steering.is_nothing else steering.vector.layers
        self.reached = False
        # Plain numbers: a read-only mapping, looked into while compiling, breaks the graph.
        vector = steering.vector
        self.doses = {layer: steering.dose * vector.shares[layer] for layer in self.layers}
        if steering.mode == "constant":
            self.doses = {layer: dose * vector.medians[layer] for layer, dose in self.doses.items()}
        self.is_fixed = steering.op == "add" and steering.mode == "constant"
        self.mask: torch.Tensor | None = None
        self._n_masked: torch.Tensor | None = None
        self._n = 0
        self._counters: dict[Any, torch.Tensor] = {}
        self._tensors: dict[tuple[int, Any, Any], torch.Tensor] = {}

    def count(self) -> int:
        return self._n + sum(int(counter) for counter in self._counters.values())

    def prepare(self, layer: int, device: Any, dtype: Any) -> torch.Tensor:
        """Return the unit direction on a device, or what is added where that is the same for every state (`is_fixed`).

        Made outside inference mode, so that training may use it too.
        """
        import torch

        key = (layer, device, dtype)
        if key not in self._tensors:
            with torch.inference_mode(False):
                row = torch.tensor(self.steering.vector.directions[layer]).to(device=device, dtype=dtype)
                self._tensors[key] = row * self.doses[layer] if self.is_fixed else row
        return self._tensors[key]

    def begin(self, allowed: torch.Tensor | None, dtype: Any) -> None:
        """Take what a pass steers, bool ``[batch, positions]`` or None for all: once, not again at each block."""
        self.mask = None if allowed is None else allowed.unsqueeze(-1).to(dtype)
        self._n_masked = None if allowed is None else allowed.sum()

    def note(self, state: torch.Tensor) -> torch.Tensor | None:
        """Count what is about to change and return the mask ``[batch, positions, 1]``, None where it is all ones."""
        import torch

        self.reached = True
        mask = self.mask
        n: Any = state.shape[0] * state.shape[1] if mask is None else self._n_masked
        compiling = torch.compiler.is_compiling()
        if not compiling and torch._C._current_graph_task_id() != -1:
            pass  # gradient checkpointing runs the block again: the same application, not another
        # A Python number that changes would make the compiler trace every step anew.
        elif isinstance(n, int) and not compiling:
            self._n += n
        else:
            self.counter_on(state.device).add_(n if mask is None else n.to(state.device))
        return None if mask is None else mask.to(device=state.device, dtype=state.dtype)

    def counter_on(self, device: Any) -> torch.Tensor:
        import torch

        if device not in self._counters:
            with torch.inference_mode(False):
                self._counters[device] = torch.zeros((), dtype=torch.int64, device=device)
        return self._counters[device]

    def size(self, layer: int, state: torch.Tensor) -> Any:
        """Return the dose in units of the state: a number (constant) or ``[batch, positions, 1]`` (relative)."""
        import torch

        if self.steering.mode == "constant":
            return self.doses[layer]
        norm = torch.linalg.vector_norm(state, dim=-1, keepdim=True, dtype=torch.float32)
        return (self.doses[layer] * norm).to(state.dtype)


class _Stage:
    """The hooks of one model, shared by all vectors active on it, and where the current pass stands."""

    def __init__(self, root: Any, blocks: Sequence[Any]) -> None:
        self.root, self.blocks, self.dtype = root, blocks, root.dtype
        self.actives: list[_Active] = []
        self.at: dict[int, list[_Active]] = {}
        self.handles: dict[Any, Any] = {}
        self.own_generate: Any = None
        self.prompt_width: int | None = None
        self.in_generate = self.begun = False
        self.first: torch.Tensor | None = None
        self.shape: tuple[int, int] | None = None
        self.cache: Callable[[], Any] = _nothing

    def add(self, active: _Active) -> None:
        """Let a vector act from here on; where that fails, leave everything as it was."""
        for layer in active.layers:
            parameter = next(self.blocks[layer - 1].parameters(), None)
            # Weights that are kept elsewhere until their block runs tell no device yet.
            if parameter is not None and parameter.device.type != "meta":
                active.prepare(layer, parameter.device, parameter.dtype)
                active.counter_on(parameter.device)
        self.actives.append(active)
        self._sort()
        try:
            for layer in set(active.layers) - self.handles.keys():
                block = self.blocks[layer - 1]
                self.handles[layer] = block.register_forward_hook(self._after(layer), prepend=True)
            if active.layers and "backbone" not in self.handles:
                self._listen()
        except BaseException:
            self.remove(active)
            raise
        if active.layers:
            forget_compiled()

    def remove(self, active: _Active) -> None:
        self.actives.remove(active)
        self._sort()
        for layer in [key for key in self.handles if isinstance(key, int) and key not in self.at]:
            self.handles.pop(layer).remove()
        if not self.at and "backbone" in self.handles:
            for key in list(self.handles):
                self.handles.pop(key).remove()
            vars(self.root).pop("generate", None)
            if self.own_generate is not None:
                self.root.generate = self.own_generate
        if active.layers:
            forget_compiled()

    def _sort(self) -> None:
        """Note which vectors act at each layer, in the order they are applied."""
        ordered = sorted(self.actives, key=lambda active: OPS.index(active.steering.op))
        layers = {layer for active in ordered for layer in active.layers}
        self.at = {layer: [active for active in ordered if layer in active.layers] for layer in layers}

    def _listen(self) -> None:
        self.own_generate = vars(self.root).get("generate")
        outer = self.root.base_model
        inner = getattr(outer, "language_model", outer)
        self.handles["backbone"] = outer.register_forward_pre_hook(
            self._before, with_kwargs=True, prepend=True
        )
        if inner is not outer:
            self.handles["inner"] = inner.register_forward_pre_hook(
                self._before, with_kwargs=True, prepend=True
            )
        self.handles["cache"] = inner.register_forward_hook(self._behind)
        self.root.generate = self._generate(self.root.generate)

    def _generate(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        """Return `generate` that notes where the prompt ends and where each row of it begins."""

        @wraps(generate)
        def steered(*args: Any, **kwargs: Any) -> Any:
            tokens = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs"))
            if tokens is None:
                tokens = kwargs.get("inputs_embeds")
            if tokens is None:  # `generate` begins with one start token
                self.prompt_width, self.first = 1, None
            else:
                self.prompt_width = int(tokens.shape[1])
                self.first = first_columns(prompt_mask(self.root, tokens, kwargs))
            self.in_generate, self.begun = True, False
            try:
                return generate(*args, **kwargs)
            finally:
                self.in_generate, self.prompt_width, self.first = False, None, None

        return steered

    def _before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find out which columns the pass holds, and from that the mask of each active vector."""
        import torch

        tokens = args[0] if args else kwargs.get("input_ids")
        if tokens is None:
            tokens = kwargs.get("inputs_embeds")
        if tokens is None:
            return  # the model says so itself
        n_rows, n_columns = int(tokens.shape[0]), int(tokens.shape[1])
        mask = kwargs.get("attention_mask")
        if mask is not None and not (isinstance(mask, torch.Tensor) and mask.ndim == 2):
            # Asked in this order a compiled outer module never reads the last pass's shape, on which it would be retraced.
            if module is not self.root.base_model and self.shape == (n_rows, n_columns):
                return  # the outer module saw the mask of padding, the inner one gets it prepared
            mask = None
        self.shape = (n_rows, n_columns)
        cache = find_cache((*args, *kwargs.values()))
        past = cache.get_seq_length() if cache is not None else 0
        self._check_place(past, n_columns, cache is not None, mask)
        if not self.in_generate:
            if isinstance(past, torch.Tensor) and not torch.compiler.is_compiling():
                past = int(past)
            goes_on = cache is not None and self.cache() is cache
            if not goes_on or (isinstance(past, int) and past == 0):
                self.prompt_width, self.first = past + n_columns, first_columns(mask)
            self.cache = _nothing if cache is None else ref(cache)
        for active in self.actives:
            active.begin(None, self.dtype)
        masked = [
            active
            for active in self.actives
            if not (self.in_generate and self._is_plain(active.steering, past))
        ]
        if not masked:
            return
        columns = past + torch.arange(n_columns, device=tokens.device)
        # A mask tells best: rows of a batch may come and go between two passes.
        first, real = real_columns(mask, self.first if mask is None else first_columns(mask), n_rows, columns)
        for active in masked:
            steering, width = active.steering, self._width(active.steering)
            allowed = real & ((columns >= first) if steering.first_position else (columns > first))
            if width is not None:
                allowed = allowed & in_scope(columns - width, steering.scope, steering.window)
            elif steering.scope == "response":
                allowed = torch.zeros_like(allowed)
            active.begin(allowed.expand(n_rows, n_columns), self.dtype)

    def _check_place(self, past: Any, n_columns: int, has_cache: bool, mask: torch.Tensor | None) -> None:
        """Raise where a pass goes on from tokens that it does not show: its columns would be taken for the prompt's."""
        import torch

        goes_on = mask is not None and not has_cache and mask.shape[1] > n_columns
        if self.in_generate and not torch.compiler.is_compiling():
            width, begun, self.begun = self.prompt_width, self.begun, True
            goes_on |= begun and width is not None and n_columns < width and int(past) == 0
        if goes_on:
            raise EmospaceError(
                f"a forward pass over {n_columns} tokens of the model that is steered",
                "it goes on from earlier tokens, but shows no key-value cache of transformers that holds them, so "
                "prompt and answer cannot be told apart",
                "let the model keep its cache in a `transformers.Cache`, or run it without one (use_cache=False)",
            )

    def _width(self, steering: Steering) -> Any:
        return self.prompt_width if steering.prompt_length is None else steering.prompt_length

    def _is_plain(self, steering: Steering, past: Any) -> bool:
        """Say whether every token of a pass is steered, since it only goes on with an answer: no mask is needed."""
        width = self._width(steering)
        if not isinstance(past, int) or width is None or past < width:
            return False
        return steering.scope != "prompt" and steering.window == (0, None)

    def _behind(self, _module: Any, _args: Any, output: Any) -> None:
        """Remember a cache that the pass itself began: the next pass with it goes on with the answer."""
        values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else ()
        cache = find_cache(values)
        if cache is not None:
            self.cache = ref(cache)

    def _after(self, layer: int) -> Callable[[Any, Any, Any], Any]:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            state = output[0] if isinstance(output, tuple) else output
            steered = self._apply(layer, state)
            return (steered, *output[1:]) if isinstance(output, tuple) else steered

        return hook

    def _apply(self, layer: int, state: torch.Tensor) -> torch.Tensor:
        import torch

        steered = state
        for active in self.at[layer]:
            change = active.prepare(layer, state.device, state.dtype)
            mask = active.note(state)
            if not active.is_fixed:
                op, direction = active.steering.op, change
                size = None if op == "ablate" else active.size(layer, state)
                component = None if op == "add" else along(steered, direction)
                change = movement(op, size, component, raises=active.steering.dose >= 0) * direction
            steered = steered + change if mask is None else torch.addcmul(steered, change, mask)
        return steered


_STAGES: dict[int, _Stage] = {}
"""By identity of the model, while it is steered: nothing is kept of it afterwards."""


def _nothing() -> None:
    return None


def forget_compiled() -> None:
    """Drop compiled graphs: by default they do not notice hooks that come and go."""
    import sys

    if "torch._dynamo" in sys.modules:
        import torch

        torch._dynamo.reset()
