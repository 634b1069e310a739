"""Which device a model runs on, and in which precision it runs there faster."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import cache
from threading import Thread
from time import perf_counter
from typing import Any, TypeVar

from emospace.errors import EmospaceError, first_line

Result = TypeVar("Result")


def find_device(device: str) -> str:
    """Return the device to use, once a tensor could be put there."""
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise EmospaceError(
            f"device '{device}'",
            f"it cannot be used ({first_line(error)})",
            "Use auto, cpu, cuda, cuda:1, mps or map.",
        ) from error
    return device


def faster_dtype(device: str | None) -> str:
    """Return bfloat16 where the device multiplies it faster than float32."""
    import torch

    if device is None or device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else "float32"
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if device == "cpu" else {}
    has_it = able.get("avx512_bf16") or able.get("amx_bf16")
    return "bfloat16" if has_it and in_passing_thread(_gain_of_bfloat16) > 1 else "float32"


def in_passing_thread(function: Callable[[], Result]) -> Result:
    """Return what a function returns, called in a thread that ends with it.

    OpenMP keeps a pool of threads for every thread that has computed in parallel, until that thread ends. With more of them
    than processors its threads sleep between two products in place of waiting for the next: the answers of a server, whose
    engine has a thread of its own, then take twice as long.
    """
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = Thread(target=copy_context().run, args=(call,), daemon=True)
    thread.start()
    thread.join()
    return future.result()


@cache
def _gain_of_bfloat16() -> float:
    """Return how many times as fast as float32 a product is in bfloat16, by trial (some 50 ms).

    The instructions prove little: on AMD they double the rate, on Intel they halve it where the virtual machine hides
    the units (AMX) that make up for it.
    """
    import torch

    operands = [
        (torch.ones(512, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype))
        for dtype in (torch.float32, torch.bfloat16)
    ]
    taken: list[list[float]] = [[], []]
    for _ in range(6):
        for times, (rows, weight) in zip(taken, operands, strict=True):
            begin = perf_counter()
            torch.nn.functional.linear(rows, weight)
            times.append(perf_counter() - begin)
    return min(taken[0]) / min(taken[1])
