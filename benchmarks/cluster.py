"""Words per second of a Ray cluster of two machines, against the sum of two sessions that know nothing of each other.

    python benchmarks/cluster.py                              # as a Markdown table
    python benchmarks/cluster.py --words 1024 --rounds 1      # a trial

The machines are raylets on this one, each with one CPU, an object store and workers of its own, so their results travel
as between machines. In each round the same words go to the cluster, to two sessions at once (half of them each, one
thread each) and to one session alone; another goes first each time. All load SmolLM2 before the clock starts, and all
layers are kept. On a machine of two cores the session that asks the cluster has no core of its own: the seconds of CPU
say what it takes from the workers.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

import psutil
from inputs import many_words
from rounds import Taken, interleave

if TYPE_CHECKING:
    from emospace.models import LanguageModel

N_WORDS, N_ROUNDS, N_MACHINES = 16_384, 5, 2
CARRIER = "The word is {word}"
STORE = 2**30
"""Bytes of a machine's object store."""


def run(model: LanguageModel, words: list[str]) -> None:
    """Extract the states of words at all layers, part by part, and keep none."""
    from emospace.activations import stream_words

    for _part in stream_words(model, words, CARRIER, range(model.n_blocks + 1)):
        pass


def loaded() -> LanguageModel:
    """Return SmolLM2 in float32, so that one CPU's choice of precision is no part of the figures."""
    from emospace.models import load_model

    return load_model("embedded", dtype="float32", device="cpu")


def session(n_words: int, half: int, halves: int) -> None:
    """Be a session of its own: extract this half of the words whenever a line comes in, and say when it is done."""
    model, words = loaded(), many_words(n_words)[half::halves]
    run(model, words[:64])
    for _line in iter(sys.stdin.readline, ""):
        run(model, words)
        sys.stdout.write("done\n")
        sys.stdout.flush()


class Sessions:
    """Sessions of one thread each that share the words."""

    def __init__(self, n_words: int, n: int) -> None:
        command = [sys.executable, __file__, "--words", str(n_words)]
        self.processes = [
            subprocess.Popen(
                [*command, "--half", str(half), str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for half in range(n)
        ]

    def turn(self) -> None:
        """Let all begin at once, and wait for all."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline(), "a session has ended"

    def close(self) -> None:
        """End all."""
        for process in self.processes:
            process.communicate()


@contextmanager
def cluster() -> Iterator[None]:
    """Join a head without CPUs and two machines of one CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    machines = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(N_MACHINES):
        machines.add_node(num_cpus=1, object_store_memory=STORE)
    ray.init(machines.address, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
        machines.shutdown()


def cpu_seconds() -> dict[int, float]:
    """Return the CPU seconds that this process and each below it have taken, by process."""
    me = psutil.Process()
    taken = {}
    for process in (me, *me.children(recursive=True)):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        taken[process.pid] = used.user + used.system
    return taken


def timed(turn: Callable[[], None]) -> Callable[[], Taken]:
    """Return a turn that gives its seconds, and the CPU seconds of each process in it."""

    def taken() -> Taken:
        before, start = cpu_seconds(), time.monotonic()
        turn()
        seconds = time.monotonic() - start
        return {
            "seconds": seconds,
            "cpu": {pid: used - before.get(pid, 0) for pid, used in cpu_seconds().items()},
        }

    return taken


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=N_WORDS)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    parser.add_argument("--half", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    # Before torch is loaded, here and in the processes begun from here.
    os.environ["OMP_NUM_THREADS"] = "1"
    if asked.half:
        session(asked.words, *asked.half)
        return

    from emospace.engines import running_on

    model, words = loaded(), many_words(asked.words)
    sessions = {name: Sessions(asked.words, n) for name, n in (("one session", 1), ("two sessions", 2))}
    with cluster(), running_on("ray", workers=N_MACHINES, device="cpu"):

        def clustered() -> None:
            run(model, words)

        turns = {name: each.turn for name, each in sessions.items()} | {"cluster": clustered}
        for turn in turns.values():
            turn()
        taken = interleave({name: timed(turn) for name, turn in turns.items()}, asked.rounds, math.inf)
    for each in sessions.values():
        each.close()

    sys.stdout.write("| who | words/s | of two sessions | CPU seconds |\n|---|---|---|---|\n")
    both = taken["two sessions"]
    for name, rounds in taken.items():
        rates = [asked.words / each["seconds"] for each in rounds]
        shares = [pair["seconds"] / each["seconds"] for pair, each in zip(both, rounds, strict=True)]
        cpu = median(sum(each["cpu"].values()) for each in rounds)
        sys.stdout.write(
            f"| {name} | {median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}) | {median(shares):.2f} "
            f"({min(shares):.2f} to {max(shares):.2f}) | {cpu:.1f} |\n"
        )
    asking = median(each["cpu"][os.getpid()] for each in taken["cluster"])
    sys.stdout.write(f"\nThe session that asks the cluster: {asking:.1f} of its CPU seconds.\n")


if __name__ == "__main__":
    main()
