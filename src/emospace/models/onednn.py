"""Products of oneDNN, by torch's private operators: whether this torch has them, and the products themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KEPT: Mapping[str, str] = dict.fromkeys(("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"), "64")
"""Environment variables that say how many compiled products oneDNN and torch keep, and their values where the user sets none.

There is one product for each shape: each number of rows and each weight. By default 1,024 are kept, of half a megabyte each,
and the memory of a server grows for hours. To compile one takes a fraction of a millisecond.
"""


def keep_few_products() -> None:
    """Let oneDNN and torch keep few compiled products; it has to be said before the first one."""
    for name, value in KEPT.items():
        os.environ.setdefault(name, value)


def product(
    rows: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    then: str = "none",
    other: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return ``rows @ weight.T + bias``, and what is done to it while it is in the cache.

    It knows neither gradients nor autocast.

    Parameters
    ----------
    rows
        ``[..., d_in]``.
    weight, bias
        ``[d_out, d_in]``, as it is or laid out by oneDNN, and ``[d_out]``.
    then
        ``none``, ``swish``, or with `other` ``[..., d_out]`` ``add`` or ``mul``.
    """
    import torch

    apply = torch.ops.mkldnn._linear_pointwise
    result: torch.Tensor
    if other is None:
        result = apply(rows, weight, bias, then, [], "")
    else:
        result = apply.binary(rows, other, weight, bias, then)
    return result


@cache
def has_onednn() -> bool:
    """Return whether torch has the products with a step after them, and they are what they are taken for."""
    import torch

    keep_few_products()
    rows, other = torch.linspace(-2, 2, 12).view(3, 4), torch.linspace(3, -1, 15).view(3, 5)
    # Its weights are drawn, which is to move nobody's seed.
    with torch.random.fork_rng(devices=()):
        linear = torch.nn.Linear(4, 5)
    # The answer is kept for the process, so it must not be that of a caller's autocast.
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        plain = linear(rows)
        expected = {"add": plain + other, "mul": plain * other, "swish": torch.nn.functional.silu(plain)}
        try:
            results = {
                then: product(rows, linear.weight, linear.bias, then, other) for then in ("add", "mul")
            }
            results["swish"] = product(rows, linear.weight, linear.bias, "swish")
        # Private operators: another torch may lack them, or want other arguments.
        except (AttributeError, RuntimeError, TypeError):
            return False
        return all(torch.allclose(results[then], expected[then], atol=1e-5) for then in expected)


def dtypes_of_products() -> set[torch.dtype]:
    """Return the dtypes that oneDNN multiplies on this processor."""
    import torch

    has_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return {torch.float32, torch.bfloat16} if has_bfloat16 else {torch.float32}
