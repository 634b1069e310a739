"""How inputs are damaged, and how a reader is watched while it reads them: what `fuzz_readers.py` runs on."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG, MEMORY_MB = 5.0, 2000.0
"""Seconds of a processor and megabytes that no input may take."""
LONG = 2e-5
"""The share of inputs with a line of ten megabytes."""

TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\ufeff",
        "\r",
        "\n",
        "\t",
        ",",
        ";",
        '"',
        "'",
        "\\",
        "#",
        "=",
        "[",
        "]",
        "{",
        "}",
    ),
    *(
        "=1+1",
        "=cmd|' /C calc'!A0",
        "@SUM(A1)",
        "+1",
        "-1",
        "0",
        "1e999",
        "-1e999",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
    ),
    *(
        "null",
        "true",
        "None",
        "NA",
        "9" * 400,
        "1" * 5000,
        "0x7fffffffffffffff",
        "1_000",
        "1.2.3",
        "1,5",
        "٣",
        "½",
    ),
    *(
        "../../../tmp/x",
        "/etc/passwd",
        "C:\\con",
        "file:///etc/passwd",
        "${jndi:x}",
        "%s%n",
        "{word}",
        "{0.__class__}",
    ),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</textarea>", "&lt;", "javascript:x"),
    *(
        "\u202eevil",
        "\u200f\u200e",
        "e\u0301\u0301\u0301",
        "Z\u0351\u036b",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "\U0010ffff",
        "\ud800",
        "ﷺ",
        "Å",
        "ß",
        "İ",
        "שלום",
        "你好",
    ),
    *(
        "[" * 3000,
        "{" * 3000,
        '{"a":' * 3000,
        "((" * 2000,
        "a" * 100_000,
        "language",
        "word",
        "valence",
        "arousal",
    ),
    *('"""', "'''", "[a.b.c]", "[[x]]", "x = {}", "2020-01-01", "1979-05-27T07:32:00Z"),
)
NASTY: tuple[bytes, ...] = (
    *(text.encode("utf-8", "surrogatepass") for text in TEXTS),
    b"\xff\xfe",
    b"\xff",
    b"\xc3\x28",
    b"\x80",
    b"PK\x03\x04",
    b"GGUF",
    b"\xd0\xcf\x11\xe0",
    b"PAR1",
    b"\x1f\x8b",
)


@dataclass(frozen=True)
class Reader:
    """Something that reads what others wrote.

    Attributes
    ----------
    name
        What is read.
    seeds
        Whole inputs, from which damaged ones are made.
    read
        Reads the content, with a folder of its own to write it to; raises `EmospaceError` where it cannot.
    n
        Inputs of a full run.
    shapes
        Further ways to damage such an input.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes, Path], Any]
    n: int
    shapes: Sequence[Callable[[bytes, random.Random], bytes]] = ()


@dataclass
class Outcome:
    """What became of the inputs of one reader."""

    name: str
    inputs: int = 0
    read: int = 0
    refused: int = 0
    crashes: dict[str, str] = field(default_factory=dict)
    hangs: int = 0
    outside: list[str] = field(default_factory=list)
    slowest: float = 0.0
    peak_mb: float = 0.0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing happened that must not."""
        return not (self.crashes or self.hangs or self.outside) and self.peak_mb < MEMORY_MB


def damaged(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Return the content after one to six changes: bytes, lines, pieces of other inputs, nasty tokens."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + int(chance.expovariate(0.2)) + 1)
        kind = chance.randrange(9)
        if kind == 0 and content:
            changed = bytearray(content)
            changed[min(at, len(content) - 1)] ^= 1 << chance.randrange(8)
            content = bytes(changed)
        elif kind == 1:
            content = content[:at] + content[end:]
        elif kind == 2:
            content = content[:at] + content[at:end] * chance.choice((2, 3, 50)) + content[end:]
        elif kind == 3:
            content = content[:at]
        elif kind == 4:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            content = content[:at] + other[start : start + chance.choice((8, 64, 4096))] + content[end:]
        elif kind == 5:
            lines = content.split(b"\n")
            place = chance.randrange(len(lines))
            lines[place : place + 1] = chance.choice(([], [lines[place]] * 2, [chance.choice(lines)]))
            content = b"\n".join(lines)
        else:
            content = content[:at] + chance.choice(NASTY) + content[at if kind < 8 else end :]
    return content


def json_value(content: bytes, chance: random.Random) -> bytes:
    """Return a JSON text of which one value, anywhere, is another; the text as it is where it is none."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places: list[tuple[Any, Any]] = []

    def walk(value: Any, depth: int = 0) -> None:
        pairs = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, part in pairs:
            places.append((value, key))
            if depth < 12:
                walk(part, depth + 1)

    walk(whole)
    if places:
        holder, key = chance.choice(places)
        nasty: tuple[Any, ...] = (None, True, -1, 0, 1e308, float("nan"), 2**70, "", [], {}, [[]], {"a": 1})
        holder[key] = chance.choice((*nasty, chance.choice(NASTY).decode("utf-8", "replace")))
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[chance.choice(NASTY).decode("utf-8", "replace")] = holder.pop(key)
    return json.dumps(whole).encode("utf-8", "surrogatepass")


def zip_part(content: bytes, chance: random.Random) -> bytes:
    """Return an archive with one of its parts damaged, dropped, doubled, renamed, or a bomb of zeros."""
    try:
        parts = [(info.filename, data) for info, data in unzipped(content)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, zlib.error):
        return content
    if not parts:
        return content
    place = chance.randrange(len(parts))
    name, data = parts[place]
    kind = chance.randrange(12)
    if kind == 0:
        parts.pop(place)
    elif kind == 1:
        parts[place] = (chance.choice(("../../x", "/tmp/x", "xl/../../x", "\u202exl")), data)
    elif kind == 2:
        parts[place] = (name, data[:200] + b" " * 50_000_000 + data[200:])
    elif kind == 3:
        entity = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
        parts[place] = (name, data.replace(b"?>", b"?>" + entity, 1).replace(b"<t>", b"<t>&c;&b;", 1))
    else:
        parts[place] = (name, damaged(data, [data], chance))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return held.getvalue()


def unzipped(content: bytes) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    """Yield the parts of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            yield info, archive.read(info)


def safetensors_header(content: bytes, chance: random.Random) -> bytes:
    """Return a safetensors file whose header, a JSON text, is changed and still has its right length before it."""
    size = int.from_bytes(content[:8], "little")
    if not 2 <= size <= len(content) - 8:
        return content
    header = content[8 : 8 + size]
    header = json_value(header, chance) if chance.random() < 0.7 else damaged(header, [header], chance)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


class Hang(BaseException):
    """An input took longer than `HANG`; no `Exception`, so that no reader can take it for its own."""


@contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Raise `Hang` in what takes so much of a processor; how busy the machine is does not matter."""

    def stop(*_: Any) -> None:
        raise Hang

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class Writes:
    """Watches every file that this process opens for writing, makes, moves or removes, and keeps those outside a folder."""

    CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")

    def __init__(self, folder: Path) -> None:
        self.inside, self.outside, self.watching = str(folder), [], False
        sys.addaudithook(self.see)

    def see(self, event: str, given: tuple[Any, ...]) -> None:
        """Take note of an event of the interpreter."""
        if not self.watching or (event != "open" and event not in self.CHANGES):
            return
        writes = event != "open" or (isinstance(given[2], int) and given[2] & 0o1103)
        if writes and isinstance(given[0], str | bytes | Path):
            path = given[0].decode("utf-8", "replace") if isinstance(given[0], bytes) else str(given[0])
            if not path.startswith((self.inside, "/dev/null")):
                self.outside.append(f"{event} {path}")


def mutated(reader: Reader, content: bytes, chance: random.Random) -> bytes:
    """Return an input changed in one or two of the reader's ways."""
    ways = [*reader.shapes, *reader.shapes, lambda content, chance: damaged(content, reader.seeds, chance)]
    for _ in range(chance.choice((1, 1, 2))):
        content = chance.choice(ways)(content, chance)
    return content


def lengthened(content: bytes, chance: random.Random) -> bytes:
    """Return an input with ten million bytes more in one of its lines."""
    at = chance.randrange(len(content) + 1)
    return content[:at] + b"a" * 10_000_000 + content[at:]


def inputs(reader: Reader, chance: random.Random) -> Iterator[bytes]:
    """Yield the whole inputs, then damaged ones without end."""
    yield from reader.seeds
    while True:
        yield mutated(reader, chance.choice(reader.seeds), chance)
        if chance.random() < LONG:
            yield lengthened(chance.choice(reader.seeds), chance)


class Watch:
    """Gives inputs to a reader, at most `n` or as many as fit into `within` seconds, and keeps what becomes of them.

    Parameters
    ----------
    folder
        The only one that may be written to.
    failing
        Where inputs are kept that do what none may do.
    """

    def __init__(self, reader: Reader, n: int, folder: Path, failing: Path, within: float = 1e9) -> None:
        self.reader, self.n, self.within, self.failing = reader, n, within, failing
        self.place = folder / "given"
        self.place.mkdir(exist_ok=True)
        self.writes, self.outcome = Writes(folder), Outcome(reader.name)
        self.read_whole()
        self.began = time.monotonic()

    def read_whole(self) -> None:
        """Read the whole inputs: what a reader imports and compiles at its first input is no time of that input."""
        from emospace.errors import EmospaceError

        for content in self.reader.seeds:
            with suppress(EmospaceError):
                self.reader.read(content, self.place)

    @property
    def over(self) -> bool:
        """Whether all inputs were given, or their time is up."""
        return self.outcome.inputs >= self.n or time.monotonic() - self.began > self.within

    def give(self, content: bytes) -> None:
        """Give the reader one input and count what becomes of it."""
        from emospace.errors import EmospaceError

        outcome, fault, started = self.outcome, "", time.process_time()
        if outcome.inputs % 1000 == 0:
            # Where even the signal of `timed` is not heard, the process ends with what each thread does.
            faulthandler.dump_traceback_later(600, exit=True)
        outcome.inputs += 1
        self.writes.watching = True
        try:
            with timed(HANG):
                self.reader.read(content, self.place)
            outcome.read += 1
        except EmospaceError:
            outcome.refused += 1
        except Hang:
            outcome.hangs += 1
            fault = "hang"
        except BaseException as error:
            line = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in line if "/emospace/" in frame.filename] or list(line)
            fault = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            outcome.crashes.setdefault(fault, str(error)[:200])
        finally:
            self.writes.watching = False
        outcome.slowest = max(outcome.slowest, time.process_time() - started)
        if fault:
            self.keep(content, fault)

    def keep(self, content: bytes, fault: str) -> None:
        """Keep an input that did what none may do, and two more like it."""
        self.failing.mkdir(parents=True, exist_ok=True)
        kind = f"{self.reader.name} {fault}".replace("/", "_").replace(":", "_")
        if len(list(self.failing.glob(f"{kind}*"))) < 3:
            (self.failing / f"{kind} {hashlib.sha256(content).hexdigest()[:10]}").write_bytes(content)

    def ended(self) -> Outcome:
        """Return what became of the inputs."""
        faulthandler.cancel_dump_traceback_later()
        self.outcome.outside = sorted(set(self.writes.outside))[:20]
        self.outcome.peak_mb = peak_mb()
        self.outcome.seconds = time.monotonic() - self.began
        return self.outcome


def peak_mb() -> float:
    """Return the most memory that this process has held; what its parent held before it does not count."""
    status = Path("/proc/self/status")
    if status.is_file() and (peak := re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))):
        return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def give_at_random(watch: Watch, seed: int) -> Outcome:
    """Give a reader damaged inputs, the same ones for a seed."""
    chance = random.Random(f"{watch.reader.name} {seed}")
    for content in inputs(watch.reader, chance):
        if watch.over:
            break
        watch.give(content)
    return watch.ended()


def give_by_coverage(watch: Watch, seed: int, hand_over: Callable[[Outcome], None]) -> None:
    """Give a reader inputs made of those that reached new branches of the package, by atheris; ends the process.

    Half of the changes are `mutated`, half libFuzzer's. The package must have been imported by
    ``atheris.instrument_imports``.

    Parameters
    ----------
    hand_over
        Called with what became of the inputs, before the process ends: libFuzzer's loop never returns.
    """
    import atheris

    chance = random.Random(f"{watch.reader.name} {seed}")
    corpus = watch.place.with_name("corpus")
    corpus.mkdir()
    watch.failing.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(watch.reader.seeds):
        (corpus / str(number)).write_bytes(content)
    longest = 4 * max(map(len, watch.reader.seeds)) + 100_000

    def give(content: bytes) -> None:
        watch.give(content)
        if chance.random() < LONG:
            watch.give(lengthened(content, chance))
        if watch.over:
            hand_over(watch.ended())
            os._exit(0)

    def change(content: bytes, most: int, number: int) -> bytes:
        if number % 2:
            return bytes(atheris.Mutate(content, most))
        return mutated(watch.reader, content, random.Random(number))[:most]

    # Time and memory are watched by `Watch`, by the processor's time and for the whole process.
    options = ["-timeout=3600", "-rss_limit_mb=0", f"-seed={seed + 1}", f"-max_len={longest}", "-verbosity=0"]
    atheris.Setup(
        [watch.reader.name, *options, f"-artifact_prefix={watch.failing}/", str(corpus)],
        give,
        custom_mutator=change,
    )
    atheris.Fuzz()
