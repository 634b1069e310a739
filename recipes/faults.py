"""Break a small study in every way a machine breaks one, run the same command again, and compare bytes.

    python recipes/faults.py [--kills 25] [--out docs/results/faults.json]

The study is that of ``tests/small_study.py``: a random model, two languages, every stage. Each trial begins in an empty
folder with an empty cache, is broken at a random point, and is run again undisturbed. A trial holds where `results.json`
and every table are then byte for byte those of a run that nothing disturbed, and nothing that was finished was made again.
Exits with 1 where a trial does not hold. Writes the table of ``docs/reliability.md``.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "recipes")]

FILES, RUN, CACHE, MODULES, WRITES = "files", "run", "cache", "modules.txt", "writes.txt"
KEPT = ("*/records.json", "*.safetensors")
"""What a run keeps as it goes: its stages, and shards of states."""


@dataclass(frozen=True)
class Trial:
    """One broken run and the run after it.

    Attributes
    ----------
    fault
        What was done to the first run, or to its files.
    ended
        How the first run ended: the signal or the message.
    kept, lost
        Finished stages and shards after the first run, and how many of them the second made again.
    same
        Whether results and tables are those of the undisturbed run.
    seconds
        From the signal to the end of the run, where there was one.
    """

    fault: str
    ended: str
    kept: int
    lost: int
    same: bool
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing was lost."""
        return self.same and not self.lost


@dataclass
class Child:
    """A run of the study in a process of its own, which shares this one's imports and nothing else."""

    pid: int
    log: Path

    def wait(self) -> str:
        """Return how the process ended: ``finished``, the name of a signal, or the last line it wrote."""
        status = os.waitpid(self.pid, 0)[1]
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "finished" if os.WEXITSTATUS(status) == 0 else (lines or ["no message"])[-1]


def study(folder: Path, place: Path, breaking: Callable[[], None] = lambda: None) -> Child:
    """Start the study of `folder`'s files into `place`, after something was broken in its process."""
    place.mkdir(parents=True, exist_ok=True)
    log = place / "log.txt"
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(pid, log)
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ["EMOSPACE_CACHE"] = str(place / CACHE)
        code = run_command(folder, place, breaking)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_command(folder: Path, place: Path, breaking: Callable[[], None]) -> int:
    """Run `emospace study` as the command line does, from a specification file, and return its exit code."""
    from emospace.cli.app import main

    sys.argv = ["emospace", "study", "--config", str(folder / "spec.json"), "--out", str(place / RUN)]
    # Started in the background of a shell, this process would have inherited that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    breaking()
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        (place / MODULES).write_text("\n".join(sys.modules), encoding="utf-8")
    return 0


def at_write(number: int, action: Callable[[], None]) -> Callable[[], None]:
    """Return what makes a run do something in place of its n-th write, once the bytes are out and before the rename."""

    def breaking() -> None:
        sync, counted = os.fsync, iter(range(1, 10**9))

        def write(handle: int) -> None:
            if next(counted) == number:
                action()
            sync(handle)

        os.fsync = write

    return breaking


def kill() -> None:
    """Kill this process as the system does where memory or power is out."""
    os.kill(os.getpid(), signal.SIGKILL)


def count_writes(path: Path) -> None:
    """Keep in a file how many writes this process has made."""
    sync, counted = os.fsync, iter(range(1, 10**9))

    def write(handle: int) -> None:
        path.write_text(str(next(counted)), encoding="utf-8")
        sync(handle)

    os.fsync = write


def make_files(folder: Path) -> None:
    """Write what the study reads: model, autoencoder, concepts, ratings, and the specification."""
    from small_study import make_study_files

    folder.mkdir()
    spec = make_study_files(folder).both()
    (folder / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")


def in_child(action: Callable[[], None]) -> None:
    """Do something in a process of its own, so that this one stays without threads and can be forked."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the files of the study could not be made")


def outputs(place: Path) -> dict[str, bytes]:
    """Return the bytes of results and tables."""
    run = place / RUN
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in [run / "results.json", *sorted((run / "tables").glob("*"))]
        if path.is_file()
    }


def finished(place: Path) -> dict[Path, int]:
    """Return the finished stages and shards of a run, and when each was written (ns); a temporary file is none."""
    paths = (path for pattern in KEPT for path in place.rglob(pattern) if not path.name.startswith("."))
    return {path: path.stat().st_mtime_ns for path in paths}


class Bench:
    """A folder for trials, with the study's files and the outputs of a run that nothing disturbed."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.files = folder / FILES
        in_child(lambda: make_files(self.files))
        self.place = folder / "trial"
        for _ in range(2):
            shutil.rmtree(self.place, ignore_errors=True)
            began = time.monotonic()
            ended = study(self.files, self.place, lambda: count_writes(self.place / WRITES)).wait()
            self.seconds = time.monotonic() - began
            if ended != "finished":
                raise SystemExit(f"the undisturbed run failed: {ended}")
            # From here on a run finds imported what it needs, and takes a fraction of the time.
            import_all((self.place / MODULES).read_text(encoding="utf-8").split())
        self.expected = outputs(self.place)
        self.n_writes = int((self.place / WRITES).read_text(encoding="utf-8"))

    def trial(
        self,
        fault: str,
        breaking: Callable[[], None] = lambda: None,
        during: Callable[[Child], None] = lambda _: None,
        after: Callable[[Path], None] = lambda _: None,
    ) -> Trial:
        """Break a run from within, from outside or afterwards, run it again and return what became of it."""
        place = self.place
        shutil.rmtree(place, ignore_errors=True)
        child = study(self.files, place, breaking)
        during(child)
        began = time.monotonic()
        ended = child.wait()
        seconds = time.monotonic() - began
        after(place)
        before = finished(place)
        again = study(self.files, place).wait()
        now = finished(place)
        lost = sum(now.get(path) != written for path, written in before.items())
        same = again == "finished" and outputs(place) == self.expected
        ended = ended if again == "finished" else f"{ended}; then {again}"
        return Trial(fault, ended, len(before), lost, same, seconds)

    def write(self) -> int:
        """Return the number of a random write of a run."""
        return self.random.randint(1, self.n_writes)


def signalled(bench: Bench, sent: signal.Signals) -> Trial:
    """Send a signal once a random number of writes is done; a run that has ended before is no trial of it."""
    number, written = bench.random.randint(1, int(0.8 * bench.n_writes)), bench.place / WRITES

    def during(child: Child) -> None:
        while not written.is_file() or int(written.read_text(encoding="utf-8") or 0) < number:
            time.sleep(0.005)
        os.kill(child.pid, sent)

    trial = bench.trial(f"{sent.name} after a random write", lambda: count_writes(written), during)
    return replace(trial, same=trial.same and trial.ended != "finished")


def killed(bench: Bench) -> Trial:
    """Kill the run at a random write."""
    return bench.trial("SIGKILL at a random write", at_write(bench.write(), kill))


def failing_write(bench: Bench, number: int) -> Trial:
    """Let one of the run's writes fail with an error of the system."""

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return bench.trial(f"{os.strerror(number).lower()} at a random write", at_write(bench.write(), fail))


def power_cut(bench: Bench) -> Trial:
    """Kill the run, and take away what had been renamed but not certainly reached the disk: the last few files."""

    def after(place: Path) -> None:
        files = sorted(
            (path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns
        )
        for path in files[-3:]:
            path.unlink()

    return bench.trial("power cut: the last three files are gone", at_write(bench.write(), kill), after=after)


def damaged(bench: Bench, kind: str, damage: Callable[[bytes, random.Random], bytes], what: str) -> Trial:
    """Change a file of a finished run: what was damaged is made again, the rest is kept."""

    def after(place: Path) -> None:
        (place / RUN / "results.json").unlink()
        path = bench.random.choice(sorted(place.rglob(kind)))
        path.write_bytes(damage(path.read_bytes(), bench.random))
        # A file that was damaged has to be made again: it is not among those that must be kept.
        os.utime(path, ns=(0, 0))

    trial = bench.trial(f"{kind}: {what}", after=after)
    return replace(trial, lost=max(trial.lost - 1, 0))


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one bit changed."""
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(content: bytes, chance: random.Random) -> bytes:
    """Return the beginning of the content."""
    return content[: chance.randrange(len(content))]


def from_the_future(bench: Bench) -> Trial:
    """Kill the run and set all its files to a time that is yet to come, as a clock that was put back does."""

    def after(place: Path) -> None:
        for path in place.rglob("*"):
            os.utime(path, (4e9, 4e9))

    return bench.trial("the clock was put back", at_write(bench.write(), kill), after=after)


def two_at_once(bench: Bench) -> Trial:
    """Start a second run into the folder of one under way: it says whose it is and leaves it alone."""
    ended: list[str] = []

    def during(_: Child) -> None:
        while not (bench.place / RUN / "running.json").exists():
            time.sleep(0.01)
        ended.append(study(bench.files, bench.place).wait())

    trial = bench.trial("a second run into the same folder", during=during)
    refused = bool(ended) and "another run is writing" in ended[0]
    return replace(trial, ended="; ".join(ended), same=trial.same and refused)


DAMAGED = ("*.safetensors", "records.json", "stages/*/*.parquet")
KINDS: Mapping[str, Callable[[Bench], Trial]] = {
    "SIGKILL": killed,
    "SIGINT": lambda bench: signalled(bench, signal.SIGINT),
    "SIGTERM": lambda bench: signalled(bench, signal.SIGTERM),
    "disk full": lambda bench: failing_write(bench, errno.ENOSPC),
    "permission": lambda bench: failing_write(bench, errno.EACCES),
    "input/output": lambda bench: failing_write(bench, errno.EIO),
    "power cut": power_cut,
    "clock": from_the_future,
    **{
        f"{kind} flipped": partial(damaged, kind=kind, damage=flipped, what="one bit flipped")
        for kind in DAMAGED
    },
    **{f"{kind} cut": partial(damaged, kind=kind, damage=cut, what="cut short") for kind in DAMAGED},
    "two at once": two_at_once,
}
"""Name of a fault -> what makes one trial of it."""


def trials(bench: Bench, kills: int, others: int, only: str = "") -> Iterator[Trial]:
    """Yield each trial as it ends: `kills` by SIGKILL, and `others` of each other kind whose name holds a text."""
    for name, trial in KINDS.items():
        if only in name:
            for _ in range(kills if name == "SIGKILL" else others):
                yield trial(bench)


def summary(done: list[Trial]) -> list[dict[str, object]]:
    """Return a row for each kind of fault: trials, those that held, what was kept and what was made again."""
    kinds: dict[str, list[Trial]] = {}
    for trial in done:
        kinds.setdefault(trial.fault, []).append(trial)
    return [
        {
            "fault": fault,
            "trials": len(of_kind),
            "held": sum(trial.holds for trial in of_kind),
            "finished parts kept": sum(trial.kept for trial in of_kind),
            "made again": sum(trial.lost for trial in of_kind),
            "longest end, s": round(max(trial.seconds for trial in of_kind), 2),
        }
        for fault, of_kind in kinds.items()
    ]


def import_all(names: list[str]) -> None:
    """Import modules, those that can be."""
    for name in names:
        with suppress(Exception):
            import_module(name)


def main() -> None:
    """Run all trials and publish them."""
    from publishing import made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=25, help="runs that are killed")
    parser.add_argument("--others", type=int, default=5, help="trials of each other kind of fault")
    parser.add_argument("--only", default="", help=f"faults whose name holds this: {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    from emospace.artefacts import write_json
    from emospace.display import say, table

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.seed)
        done = list(trials(bench, options.kills, options.others, options.only))
    rows: list[Mapping[str, object]] = list(summary(done))
    table("Faults", list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    broken = [trial for trial in done if not trial.holds]
    for trial in broken:
        say(f"did not hold: {trial}")
    if options.out:
        card = made_by("make faults") | {"seed": options.seed, "rows": rows}
        write_json(options.out, card | {"trials": [asdict(trial) for trial in done]})
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
