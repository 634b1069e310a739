"""How inputs are damaged, and how a reader is watched while it reads them: what `fuzz_readers.py` runs on."""

from __future__ import annotations

import faulthandler
import hashlib
import io
import json
import random
import resource
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG, MEMORY_MB = 5.0, 2000.0
"""Seconds of a processor and megabytes that no input may take."""

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
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
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


def inputs(reader: Reader, seed: int) -> Iterator[bytes]:
    """Yield the whole inputs, then damaged ones without end; the same ones for a seed."""
    chance = random.Random(f"{reader.name} {seed}")
    yield from reader.seeds
    ways = [*reader.shapes, *reader.shapes, lambda content, chance: damaged(content, reader.seeds, chance)]
    while True:
        content = chance.choice(reader.seeds)
        for _ in range(chance.choice((1, 1, 2))):
            content = chance.choice(ways)(content, chance)
        yield content
        if chance.random() < 2e-5:
            at = chance.randrange(len(content) + 1)
            yield content[:at] + b"a" * 10_000_000 + content[at:]


def watch(reader: Reader, n: int, folder: Path, failing: Path, seed: int = 0, within: float = 1e9) -> Outcome:
    """Give a reader its first `n` inputs, or as many as fit into so many seconds, and return what became of them.

    Parameters
    ----------
    folder
        The only one that may be written to.
    failing
        Where inputs are kept that do what none may do.
    """
    from emospace.errors import EmospaceError

    found, began = Outcome(reader.name), time.monotonic()
    place = folder / "given"
    place.mkdir(exist_ok=True)
    seen = Writes(folder)
    # What a reader imports and compiles at its first input is no time of that input.
    for content in reader.seeds:
        with suppress(EmospaceError):
            reader.read(content, place)
    began = time.monotonic()
    for content in inputs(reader, seed):
        if found.inputs >= n or time.monotonic() - began > within:
            break
        found.inputs += 1
        started, fault = time.process_time(), ""
        faulthandler.dump_traceback_later(300, exit=True)
        seen.watching = True
        try:
            with timed(HANG):
                reader.read(content, place)
            found.read += 1
        except EmospaceError:
            found.refused += 1
        except Hang:
            found.hangs += 1
            fault = "hang"
        except BaseException as error:
            line = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in line if "/emospace/" in frame.filename] or list(line)
            fault = f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
            found.crashes.setdefault(fault, str(error)[:200])
        finally:
            seen.watching = False
        faulthandler.cancel_dump_traceback_later()
        found.slowest = max(found.slowest, time.process_time() - started)
        if fault:
            failing.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256(content).hexdigest()[:10]
            name = f"{reader.name} {fault} {digest}".replace("/", "_").replace(":", "_")
            if len(list(failing.glob(f"{reader.name} {fault}*".replace(":", "_")))) < 3:
                (failing / name).write_bytes(content)
    found.outside = sorted(set(seen.outside))[:20]
    found.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found.seconds = time.monotonic() - began
    return found
