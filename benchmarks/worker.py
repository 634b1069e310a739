"""One tool in its own environment: takes requests line by line, does them, says how long each took.

    python worker.py TOOL

A request is a JSON object on stdin with `do` (one of `REQUESTS`), an answer one on the stdout the worker was started
with; whatever the tool prints goes to the error stream. Needs Python, NumPy and torch alone, so that it runs in every
environment; what it calls is described in `tools/__init__.py`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

Fields = dict[str, Any]


class Worker:
    """A tool, its loaded model, and the steering it is in."""

    def __init__(self, name: str) -> None:
        self.tool = importlib.import_module(f"tools.{name}")
        self.state: Any = None
        self.steering = ExitStack()
        self.generate: Callable[..., Any] | None = None

    def versions(self) -> Fields:
        """Return the versions of what the tool runs on."""
        numbers = {}
        for package in self.tool.PACKAGES:
            numbers[package] = importlib.metadata.version(package)
        return {"versions": numbers, "python": sys.version.split()[0]}

    def abilities(self) -> Fields:
        """Return what the tool can do and the batches to try."""
        can = [
            name for name, value in vars(self.tool).items() if callable(value) and not name.startswith("_")
        ]
        return {
            "can": can,
            "batches": list(getattr(self.tool, "BATCHES", ())),
            "notes": getattr(self.tool, "NOTES", {}),
        }

    def load(self, folder: str, dtype: str, device: str, threads: int) -> Fields:
        """Load a model folder."""
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.state = self.tool.load(folder, dtype, device)
        return {"threads": torch.get_num_threads()}

    def call(
        self,
        name: str,
        inputs: str | None = None,
        save: str | None = None,
        copies: bool = False,
        **arguments: Any,
    ) -> Fields:
        """Call a function of the tool on the inputs of a file (JSON or npz), and time it."""
        given = {**(read(Path(inputs)) if inputs else {}), **arguments}
        function = getattr(self.tool, name)
        value, spent = measured(lambda: function(self.state, **given), copies)
        if save:
            arrays = value if isinstance(value, dict) else {"value": value}
            np.savez(save, **{key: np.asarray(item) for key, item in arrays.items()})
            return spent
        plain = value if isinstance(value, dict) else {}
        return {**spent, "value": {key: item for key, item in plain.items() if isinstance(item, int | float)}}

    def prepare(self, steered: bool, compiled: bool, vectors: str) -> Fields:
        """Make ready to generate: steered by additive vectors `[n_blocks, d_model]` or not, compiled or not."""
        self.release()
        if compiled:
            self.steering.enter_context(compiled_forward(self.tool.module(self.state)))
        with_vectors = self.tool.steered(self.state, np.load(vectors)["vectors"]) if steered else None
        context = with_vectors if with_vectors is not None else self.tool.unsteered(self.state)
        self.generate = self.steering.enter_context(context)
        self.options = {"cache_implementation": "static", "disable_compile": True} if compiled else {}
        return {}

    def tokens(self, text: str, batch: int, n_tokens: int) -> Fields:
        """Generate greedily from `batch` copies of a text; return seconds and the tokens."""
        if self.generate is None:
            raise RuntimeError("prepare comes first")
        generate = self.generate
        output, spent = measured(lambda: generate([text] * batch, n_tokens, **self.options))
        return {**spent, "tokens": [int(token) for token in np.asarray(output)[0, -n_tokens:]]}

    def release(self) -> Fields:
        """Leave the steering."""
        self.steering.close()
        self.steering, self.generate = ExitStack(), None
        return {}


REQUESTS = ("versions", "abilities", "load", "call", "prepare", "tokens", "release")


def read(path: Path) -> Fields:
    """Return the arguments in a JSON or npz file."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def compiled_forward(module: Any) -> Any:
    """Return a context in which a module's forward of one token is compiled, the prompt's is not.

    As `generate` itself does it on a GPU: every step has the same shape, each prompt would be compiled anew.
    """
    from contextlib import contextmanager
    from functools import wraps

    import torch

    @contextmanager
    def context() -> Any:
        override, plain = module.__dict__.get("forward"), module.forward
        compiled = torch.compile(plain, dynamic=False)

        @wraps(plain)
        def forward(*args: Any, **kwargs: Any) -> Any:
            tokens = args[0] if args else kwargs["input_ids"]
            return (compiled if tokens.shape[1] == 1 else plain)(*args, **kwargs)

        module.forward = forward
        try:
            yield
        finally:
            del module.forward
            if override is not None:
                module.forward = override

    return context()


def measured(work: Callable[[], Any], copies: bool = False) -> tuple[Any, Fields]:
    """Do some work; return its result, and seconds, peak memory and, if asked for, copies from device to host."""
    import torch

    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    before = 0
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    spent: Fields = {}
    with ExitStack() as stack:
        profile = None
        if copies and cuda:
            kinds = torch.profiler.ProfilerActivity
            profile = stack.enter_context(torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA]))
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        if cuda:
            torch.cuda.synchronize()
        spent["seconds"] = time.perf_counter() - wall
        spent["cpu_seconds"] = time.process_time() - cpu
    if profile is not None:
        spent["copies"] = sum("DtoH" in event.name for event in profile.events())
    if cuda:
        spent["extra_gpu_mib"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    # In KiB on Linux, in bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    spent["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return result, spent


def main() -> None:
    """Answer requests until there are none."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: Fields = {"ok": True}
        try:
            worker = worker or Worker(sys.argv[1])
            do = request.pop("do")
            if do not in REQUESTS:
                raise ValueError(f"no request {do}")
            answer |= getattr(worker, do)(**request)
        # Whatever a tool raises is an answer, not the end of the run.
        except Exception as error:
            traceback.print_exc()
            answer = {
                "ok": False,
                "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0:1]}"[:400],
            }
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
