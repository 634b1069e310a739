"""What requests need done beside the engine's thread, without slowing it down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from emospace.engines import single_threaded

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def beside(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result:
    """Return what a function returns, called in another thread that computes on one processor.

    With more it would have a pool of OpenMP's threads that outlives the call, and the engine's would sleep between
    products (`models.devices.in_passing_thread`).
    """

    def call() -> Result:
        with single_threaded():
            return function(*arguments, **options)

    return await asyncio.to_thread(call)
