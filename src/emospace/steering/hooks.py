"""The hooks through which vectors act on a running model.

One forward hook per steered block, placed before every other hook of that block, so that whatever records the
residual stream (``output_hidden_states``, a capture, a later hook) sees it steered. All vectors active on a model
share these hooks: their additions are summed from the same state, whatever the order of entering. Which positions of
a pass they act on is found out from the pass (`ContextSteering`), or said by the loop that runs it (`RowSteering`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import ref

from emospace.errors import EmospaceError
from emospace.models import LanguageModel, find_cache
from emospace.steering.columns import first_columns, prompt_mask, real_columns
from emospace.steering.kernel import Kernel, Probe
from emospace.steering.plan import SteeringPlan, root_of
from emospace.steering.vector import OPS
from emospace.steering.watch import Watch, forget_compiled

if TYPE_CHECKING:
    import torch


class ContextSteering:
    """One plan for all rows of the passes run in a context: its mask for the current pass, and its count."""

    is_idle = False

    def __init__(self, plan: SteeringPlan, prompt_length: int | None = None) -> None:
        self.plan, self.prompt_length = plan, prompt_length
        layers = () if plan.is_nothing else plan.vector.layers
        self.kernels = {layer: Kernel(layer, [plan]) for layer in layers}
        self.order = OPS.index(plan.op)
        self.reached = False
        self.mask: torch.Tensor | None = None
        self._n_masked: torch.Tensor | None = None
        self._n = 0
        self._counters: dict[Any, torch.Tensor] = {}

    def count(self) -> int:
        """Return how many states it has changed."""
        return self._n + sum(int(counter) for counter in self._counters.values())

    def begin(self, allowed: torch.Tensor | None, dtype: Any) -> None:
        """Take what a pass steers, bool ``[batch, positions]`` or None for all: once, not again at each block."""
        self.mask = None if allowed is None else allowed.unsqueeze(-1).to(dtype)
        self._n_masked = None if allowed is None else allowed.sum()

    def apply(self, layer: int, base: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Return the steered states after a layer, and count them."""
        return self.kernels[layer].apply(base, state, self.note(state))

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
        """Return the number of states changed on a device."""
        import torch

        if device not in self._counters:
            with torch.inference_mode(False):
                self._counters[device] = torch.zeros((), dtype=torch.int64, device=device)
        return self._counters[device]


class RowSteering:
    """A plan for each row of a batch: attached once for all forward passes, each of which says what it holds.

    A row gets what `steer` gives it when it runs alone: the same operation in the same arithmetic, row by row.

    Parameters
    ----------
    plans
        Of each row; None leaves a row as it is.
    read
        Of each row the plan whose directions its states are compared with, None for a row that is not read.
    watched
        Layers whose states are kept of each pass, in `watch`.

    Attributes
    ----------
    begins
        Of each row the index in its answer from which on it is steered; none: from the prompt on.
    at_end
        Of each row whether the last position of the last pass was steered.
    """

    def __init__(
        self,
        model: LanguageModel,
        plans: Sequence[SteeringPlan | None],
        read: Sequence[SteeringPlan | None] = (),
        watched: Collection[int] = (),
    ) -> None:
        self.model = model
        self.watch = Watch(model.blocks, watched)
        self.begins: Sequence[float] = ()
        self.at_end: list[bool] = []
        self.plans = tuple(None if plan is None or plan.is_nothing else plan for plan in plans)
        acting = [plan for plan in self.plans if plan is not None]
        layers = sorted({layer for plan in acting for layer in plan.vector.layers})
        self.kernels = {layer: Kernel(layer, self.plans) for layer in layers}
        self.order = max((OPS.index(plan.op) for plan in acting), default=0)
        self._probes = {
            layer: Probe(layer, places)
            for layer in layers
            if (places := {place: plan for place, plan in enumerate(read) if plan is not None})
        }
        self._acts = [plan is not None for plan in self.plans]
        self._pass: _Pass | None = None

    def reading(self) -> torch.Tensor:
        """Return how far the rows that are read point along their vectors at the last position of the pass inside `on`.

        ``[n_read]``: cosine of the state with the direction, a mean over layers by their shares.
        """
        assert self._pass is not None
        first, *others = self._pass.readings
        return sum((part.to(first.device) for part in others), start=first)

    @contextmanager
    def attached(self) -> Iterator[RowSteering]:
        """Put the hooks on the blocks; they change nothing but the passes run inside `on`."""
        with ExitStack() as hooks:
            if self.kernels:
                root = root_of(self.model)
                attach(root, self.model.blocks, self)
                hooks.callback(detach, root, self)
            hooks.enter_context(self.watch.attached())
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
        self.at_end = mask[:, -1].tolist()
        counts = [
            0 if plan is None else int(n) * len(plan.vector.layers)
            for plan, n in zip(self.plans, mask.sum(dim=1).tolist(), strict=True)
        ]
        if not any(counts) and not self._probes:
            yield counts
            return
        self._pass = held = _Pass(mask, self._acts)
        try:
            yield counts
        finally:
            self._pass = None
        missed = sorted(self.kernels.keys() - held.steered)
        if missed:
            raise EmospaceError(
                f"the model {self.model.name!r}",
                f"its forward pass did not reach the hooks of layers {missed}, so nothing was steered there",
                "Steer the model itself rather than an exported copy of it.",
            )

    def apply(self, layer: int, base: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Return the states after a layer as the current pass steers them; outside of `on` as they are."""
        if self._pass is None:
            return state
        self._pass.steered.add(layer)
        if layer in self._probes:
            self._pass.readings.append(self._probes[layer].read(base))
        return self.kernels[layer].apply(base, state, self._pass.mask_for(state))

    @property
    def is_idle(self) -> bool:
        """Whether no pass is under way that it changes."""
        return self._pass is None

    def _mask(self, answered: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        import torch

        mask = torch.zeros_like(real)
        # A prompt's first position is an attention sink.
        first = (answered < 0) & (real.cumsum(dim=1) == 1)
        for index, plan in enumerate(self.plans):
            if plan is not None:
                mask[index] = real[index] & plan.covers(answered[index])
                if not plan.first_position:
                    mask[index] &= ~first[index]
        for index, begin in enumerate(self.begins):
            if begin > -math.inf:
                mask[index] &= answered[index] >= begin
        return mask


class _Pass:
    """A forward pass under way: which positions it steers, and the layers that it has come through.

    `acts` says which rows have a vector: where all of their positions are steered, no mask is needed.
    """

    def __init__(self, mask: torch.Tensor, acts: Sequence[bool]) -> None:
        self.mask, self.steered = mask, set[int]()
        self.readings: list[torch.Tensor] = []
        self.is_whole = bool(mask[list(acts)].all())
        self._placed: dict[tuple[Any, Any], torch.Tensor] = {}

    def mask_for(self, state: torch.Tensor) -> torch.Tensor | None:
        """Return the mask ``[rows, positions, 1]`` beside a state, copied there once a pass; None where none is needed."""
        if state.shape[:2] != self.mask.shape:
            raise EmospaceError(
                f"a forward pass over {tuple(state.shape[:2])} rows and tokens",
                f"its steering was prepared for {tuple(self.mask.shape)}",
                "Please report this, with the model's name and the version of transformers.",
            )
        if self.is_whole:
            return None
        key = (state.device, state.dtype)
        if key not in self._placed:
            self._placed[key] = self.mask.unsqueeze(-1).to(device=state.device, dtype=state.dtype)
        return self._placed[key]


class Stage:
    """The hooks of one model, shared by all vectors active on it, and where the current pass stands."""

    def __init__(self, root: Any, blocks: Sequence[Any]) -> None:
        self.root, self.blocks, self.dtype = root, blocks, root.dtype
        self.actives: list[ContextSteering | RowSteering] = []
        self.contexts: list[ContextSteering] = []
        self.at: dict[int, list[ContextSteering | RowSteering]] = {}
        self.handles: dict[Any, Any] = {}
        self.own_generate: Any = None
        self.prompt_width: int | None = None
        self.in_generate = self.begun = False
        self.first: torch.Tensor | None = None
        self.shape: tuple[int, int] | None = None
        self.cache: Callable[[], Any] = _nothing

    def add(self, active: ContextSteering | RowSteering) -> None:
        """Let vectors act from here on; where that fails, leave everything as it was."""
        for layer, kernel in active.kernels.items():
            parameter = next(self.blocks[layer - 1].parameters(), None)
            # Weights that are kept elsewhere until their block runs tell no device yet.
            if parameter is not None and parameter.device.type != "meta":
                kernel.place(parameter.device, parameter.dtype)
                if isinstance(active, ContextSteering):
                    active.counter_on(parameter.device)
        self.actives.append(active)
        self._sort()
        try:
            for layer in active.kernels.keys() - self.handles.keys():
                block = self.blocks[layer - 1]
                self.handles[layer] = block.register_forward_hook(_Hook(self, layer), prepend=True)
            if any(context.kernels for context in self.contexts) and "backbone" not in self.handles:
                self._watch()
        except BaseException:
            self.remove(active)
            raise
        if active.kernels:
            forget_compiled()

    def remove(self, active: ContextSteering | RowSteering) -> None:
        """Stop vectors from acting."""
        self.actives.remove(active)
        self._sort()
        for layer in [key for key in self.handles if isinstance(key, int) and key not in self.at]:
            self.handles.pop(layer).remove()
        if "backbone" in self.handles and not any(context.kernels for context in self.contexts):
            for key in [key for key in self.handles if not isinstance(key, int)]:
                self.handles.pop(key).remove()
            vars(self.root).pop("generate", None)
            if self.own_generate is not None:
                self.root.generate = self.own_generate
        if active.kernels:
            forget_compiled()

    def apply(self, layer: int, state: torch.Tensor) -> torch.Tensor:
        """Return the states after a layer as all active vectors steer them."""
        steered = state
        for active in self.at[layer]:
            steered = active.apply(layer, state, steered)
        return steered

    def _sort(self) -> None:
        """Note which vectors act at each layer, in the order they are applied."""
        self.contexts = [active for active in self.actives if isinstance(active, ContextSteering)]
        ordered = sorted(self.actives, key=lambda active: active.order)
        layers = {layer for active in ordered for layer in active.kernels}
        self.at = {layer: [active for active in ordered if layer in active.kernels] for layer in layers}

    def _watch(self) -> None:
        """See every pass of the model, and every call of `generate`."""
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
        for active in self.contexts:
            active.begin(None, self.dtype)
        masked = [
            active for active in self.contexts if not (self.in_generate and self._is_plain(active, past))
        ]
        if not masked:
            return
        columns = past + torch.arange(n_columns, device=tokens.device)
        # A mask tells best: rows of a batch may come and go between two passes.
        first, real = real_columns(mask, self.first if mask is None else first_columns(mask), n_rows, columns)
        for active in masked:
            plan, width = active.plan, self._width(active)
            allowed = real & ((columns >= first) if plan.first_position else (columns > first))
            if width is not None:
                allowed = allowed & plan.covers(columns - width)
            elif plan.scope == "response":
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
                "Let the model keep its cache in a `transformers.Cache`, or run it without one (use_cache=False).",
            )

    def _width(self, active: ContextSteering) -> Any:
        return self.prompt_width if active.prompt_length is None else active.prompt_length

    def _is_plain(self, active: ContextSteering, past: Any) -> bool:
        """Say whether every token of a pass is steered, since it only goes on with an answer: no mask is needed."""
        width = self._width(active)
        if not isinstance(past, int) or width is None or past < width:
            return False
        return active.plan.scope != "prompt" and active.plan.window == (0, None)

    def _behind(self, _module: Any, _args: Any, output: Any) -> None:
        """Remember a cache that the pass itself began: the next pass with it goes on with the answer."""
        values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else ()
        cache = find_cache(values)
        if cache is not None:
            self.cache = ref(cache)


class _Hook:
    """What a block's output is changed by; `is_idle` says that it would change nothing now."""

    def __init__(self, stage: Stage, layer: int) -> None:
        self.stage, self.layer = stage, layer

    @property
    def is_idle(self) -> bool:
        return all(active.is_idle for active in self.stage.at[self.layer])

    def __call__(self, _module: Any, _args: Any, output: Any) -> Any:
        state = output[0] if isinstance(output, tuple) else output
        steered = self.stage.apply(self.layer, state)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered


_STAGES: dict[int, Stage] = {}
"""By identity of the model, while it is steered: nothing is kept of it afterwards."""


def attach(root: Any, blocks: Sequence[Any], active: ContextSteering | RowSteering) -> None:
    """Let vectors act on a model, the module of `transformers` with its blocks."""
    stage = _STAGES.get(id(root)) or Stage(root, blocks)
    stage.add(active)
    _STAGES[id(root)] = stage


def detach(root: Any, active: ContextSteering | RowSteering) -> None:
    """Stop vectors from acting; a model on which none acts any more is as it was."""
    stage = _STAGES[id(root)]
    stage.remove(active)
    if not stage.actives:
        del _STAGES[id(root)]


def _nothing() -> None:
    return None
