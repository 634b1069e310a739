"""Blocks of the Llama kind in fewer passes over memory, on a CPU.

Between two products a module's own forward writes a tensor for each step: gate, SiLU, their product, the sum with the
residual stream. Here oneDNN does these steps where the product's result still is in the cache (where MKL's products are
so much faster, they are done in place), and attention over the short rows of packed words is plain products. Weights are read as they are: nothing is copied, nothing gets stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from emospace.models import find_cache
from emospace.models.onednn import dtypes_of_products, has_onednn, product

if TYPE_CHECKING:
    import torch

    from emospace.models import LanguageModel

FUSED = {
    f"transformers.models.{family}.modeling_{family}.{block}"
    for family, block in (
        ("llama", "LlamaDecoderLayer"),
        ("mistral", "MistralDecoderLayer"),
        ("qwen2", "Qwen2DecoderLayer"),
        ("qwen3", "Qwen3DecoderLayer"),
    )
}
"""Families whose blocks are those of Llama, with biases or norms of queries and keys at most."""

FEWEST_TOKENS = 128
"""From so many tokens on, what oneDNN does to the weights in a call is small beside the product."""

_SHORT_ROW = 160
"""Keys up to which scores written out are faster than attention in tiles."""


@contextmanager
def fused(model: LanguageModel, n_blocks: int) -> Iterator[None]:
    """Let the first blocks compute what they compute in fewer passes within, where that is known to be the same.

    A block with a hook inside, an adapter, quantised weights, on another device or of another family runs as it is.
    """
    with ExitStack() as stack:
        if has_onednn():
            for block in _fusible(model.blocks[:n_blocks]):
                block.forward = partial(_forward, block)
                stack.callback(vars(block).pop, "forward", None)
        yield


@cache
def _mkl_is_at_home() -> bool:
    """Return whether torch's own float32 products are the faster: MKL's, on a processor of its maker.

    There they gain more than steps after them lose; chosen by name, not by trial, so that a machine gives the same
    last bits each time.
    """
    import torch

    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.backends.mkl.is_available() and "Intel" in str(known.get("cpu_name"))


def _fusible(blocks: Sequence[torch.nn.Module]) -> Iterator[Any]:
    """Yield the blocks that `_forward` can stand in for."""
    import torch

    dtypes = dtypes_of_products()
    for block in blocks:
        kind = type(block)
        if f"{kind.__module__}.{kind.__qualname__}" not in FUSED:
            continue
        parts = list(block.modules())
        weights = list(block.parameters())
        linear = [block.get_submodule(name) for name in _LINEAR]
        if (
            all(type(part) is torch.nn.Linear for part in linear)
            and type(block.mlp.act_fn).__name__ in {"SiLU", "SiLUActivation"}
            and {weight.device.type for weight in weights} == {"cpu"}
            and len({weight.dtype for weight in weights}) == 1
            and weights[0].dtype in dtypes
            and not any("forward" in vars(part) for part in parts)
            and not any(part._forward_hooks or part._forward_pre_hooks for part in parts[1:])
        ):
            yield block


_LINEAR = tuple(f"self_attn.{name}_proj" for name in "qkvo") + tuple(
    f"mlp.{name}_proj" for name in ("gate", "up", "down")
)


def _forward(
    block: Any,
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_embeddings: Any = None,
    **options: Any,
) -> torch.Tensor:
    """Return what the block's own forward returns, ``[n_rows, n_tokens, d_model]``."""
    import torch

    n_rows, n_tokens, _ = hidden_states.shape
    # These products know neither gradients nor autocast.
    few = n_rows * n_tokens < FEWEST_TOKENS
    if few or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        output: torch.Tensor = type(block).forward(
            block,
            hidden_states,
            attention_mask=attention_mask,
            position_embeddings=position_embeddings,
            **options,
        )
        return output
    attention, mlp = block.self_attn, block.mlp
    by_head = (n_rows, n_tokens, -1, attention.head_dim)
    dtype = hidden_states.dtype
    # Of the rows, one for each or one for all: [n_rows, 1, n_tokens, head_dim], in full precision from here.
    cos, sin = (table[:, None].float() for table in position_embeddings)

    normed = _rms_norm(hidden_states, block.input_layernorm)
    queries = _product(normed, attention.q_proj).view(by_head)
    keys = _product(normed, attention.k_proj).view(by_head)
    values = _product(normed, attention.v_proj).view(by_head).transpose(1, 2)
    if hasattr(attention, "q_norm"):
        queries, keys = _rms_norm(queries, attention.q_norm), _rms_norm(keys, attention.k_norm)
    queries, keys = _rotated(queries, cos, sin), _rotated(keys, cos, sin)
    held = find_cache(options.values())
    if held is not None:
        keys, values = held.update(keys.to(dtype), values, attention.layer_idx)
    attended = _attention(queries, keys.float(), values.float(), attention_mask, attention.scaling)
    attended = attended.transpose(1, 2).reshape(n_rows, n_tokens, -1).to(dtype)
    hidden_states = _product(attended, attention.o_proj, "add", hidden_states)

    normed = _rms_norm(hidden_states, block.post_attention_layernorm)
    gated = _product(normed, mlp.up_proj, "mul", _product(normed, mlp.gate_proj, "swish"))
    return _product(gated, mlp.down_proj, "add", hidden_states)


def _product(
    rows: torch.Tensor, linear: torch.nn.Linear, then: str = "none", other: torch.Tensor | None = None
) -> torch.Tensor:
    """Return a linear layer of rows, and what is done to the result while it is in the cache."""
    import torch

    if rows.dtype == torch.float32 and _mkl_is_at_home():
        result: torch.Tensor = torch.nn.functional.linear(rows, linear.weight, linear.bias)
        if then == "swish":
            return torch.nn.functional.silu(result, inplace=True)
        return result if other is None else result.mul_(other) if then == "mul" else result.add_(other)
    return product(rows, linear.weight, linear.bias, then, other)


def _rms_norm(rows: torch.Tensor, norm: Any) -> torch.Tensor:
    import torch

    size = torch.linalg.vector_norm(rows, dim=-1, keepdim=True, dtype=torch.float32)
    scale = size.square_().div_(rows.shape[-1]).add_(norm.variance_epsilon).rsqrt_()
    return (rows * scale).to(rows.dtype).mul_(norm.weight)


def _rotated(rows: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return ``[n_rows, n_tokens, n_heads, head_dim]`` turned by position, float32 ``[n_rows, n_heads, n_tokens, head_dim]``."""
    import torch

    rows = rows.transpose(1, 2)
    half = rows.shape[-1] // 2
    turned = torch.empty(rows.shape, dtype=torch.float32)
    (low, high), (cos_low, cos_high), (sin_low, sin_high) = (
        (table[..., :half], table[..., half:]) for table in (rows, cos, sin)
    )
    torch.mul(low, cos_low, out=turned[..., :half]).addcmul_(high, sin_low, value=-1)
    torch.mul(high, cos_high, out=turned[..., half:]).addcmul_(low, sin_high)
    return turned


def _attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
) -> torch.Tensor:
    """Return attention, ``[n_rows, n_heads, n_tokens, head_dim]``, in float32.

    Parameters
    ----------
    queries
        float32 ``[n_rows, n_heads, n_tokens, head_dim]``; heads in turn share those of keys and values.
    mask
        True, or 0, where a token sees a key; None where it sees all up to itself.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    n_rows, n_heads, n_tokens, head_dim = queries.shape
    n_kv, n_keys = keys.shape[1:3]
    if mask is None or n_keys > _SHORT_ROW:
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.float()
        return scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=mask is None, scale=scaling, enable_gqa=n_kv < n_heads
        )
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill_(~mask, float("-inf"))
    # The queries of all heads that share keys are rows of one product.
    grouped = queries.view(n_rows * n_kv, -1, head_dim)
    scores = torch.bmm(grouped, keys.reshape(n_rows * n_kv, n_keys, head_dim).transpose(1, 2))
    scores.mul_(scaling).view(n_rows, n_heads, n_tokens, n_keys).add_(mask)
    attended = torch.bmm(torch.softmax(scores, -1), values.reshape(n_rows * n_kv, n_keys, head_dim))
    return attended.view(n_rows, n_heads, n_tokens, head_dim)
