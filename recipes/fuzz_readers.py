"""Give every reader of the package damaged and hostile inputs, and see that each is read or refused by name.

    python recipes/fuzz_readers.py [--coverage] [--share 1] [--out docs/results/fuzz.json]

Inputs are made of whole ones by changes that know their structure (values of JSON, parts of archives, headers of
tensors) and by changes that do not (bytes, lines, tokens); with ``--coverage`` atheris adds its own changes and keeps
inputs that reach new branches of the package, to change them further. No input may raise anything but an `EmospaceError`, take
over five seconds, write outside its folder, or bring the process to two gigabytes. Exits with 1 where one does;
such inputs are kept under ``--failing``.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import queue
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fuzzing import (
    Outcome,
    Reader,
    Watch,
    give_at_random,
    give_by_coverage,
    json_value,
    safetensors_header,
    zip_part,
)

ROOT = Path(__file__).parent.parent
DATA = ROOT / "src" / "emospace" / "data"


def as_file(suffix: str, read: Callable[[Path], Any], **others: str) -> Callable[[bytes, Path], Any]:
    """Return what writes an input to a file, with other files of fixed content beside it, and reads it."""

    def reading(content: bytes, folder: Path) -> Any:
        path = folder / f"input{suffix}"
        path.write_bytes(content)
        for name, text in others.items():
            (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
        return read(path)

    return reading


def start(path: Path, n: int = 3) -> bytes:
    """Return the beginning of a TOML file, up to its n-th table."""
    import re

    head, *tables = path.read_bytes().split(b"\n\n[")
    # Its list of words that only this language has names words of later tables.
    head = re.sub(rb"specific = \[.*?\n\]", b"", head, flags=re.DOTALL)
    return b"\n\n[".join([head, *tables[:n]]) + b"\n"


def text_readers() -> Generator[Reader]:
    """Yield the readers of TOML, delimited text and JSON."""
    from emospace.concepts import load_concepts
    from emospace.concepts.association_files import read_answers
    from emospace.concepts.category import read_catalogue
    from emospace.concepts.files import read_text
    from emospace.concepts.loading import BUNDLED_CATALOGUE as known
    from emospace.evaluation.prompts import load_prompts
    from emospace.evaluation.rating import read_rows
    from emospace.norms import load_norms, read_card
    from emospace.records import Results
    from planted_runs import write_run

    concepts = [
        b'language = "en"\ncarriers = ["The word is {word}"]\n[joy]\nlabels = ["joy"]\nwords = ["joy", "glee:0.9", "delight"]\n',
        start(DATA / "concepts" / "en.toml"),
        start(DATA / "concepts" / "zh.toml"),
    ]
    yield Reader("concepts TOML", concepts, as_file(".toml", lambda path: load_concepts(path=path)), 150_000)
    yield Reader(
        "lists of categories TOML",
        [start(DATA / "concepts" / "categories.toml", 6)],
        as_file(".toml", lambda path: read_catalogue(path, read_text(path), known)),
        150_000,
    )
    yield Reader(
        "prompts TOML",
        [(DATA / "prompts" / "en.toml").read_bytes()],
        as_file(".toml", lambda path: load_prompts("en", "calibration", path)),
        150_000,
    )
    card = b'language = "en"\n[columns]\nword = "w"\nvalence = "v"\n[scale]\nvalence = [1, 9]\n'
    yield Reader(
        "cards of norms TOML",
        [card],
        lambda content, folder: [(folder / "n.csv.toml").write_bytes(content), read_card(folder / "n.csv")],
        250_000,
    )
    rows = "".join(f"word{at},{1 + at % 9},{9 - at % 7},0.{at % 9}\n" for at in range(40))
    tables = [
        ("word,valence,arousal,valence_sd\n" + rows).encode(),
        ("Word;V.Mean.Sum;A.Mean.Sum;V.SD.Sum\n" + rows.replace(",", ";").replace("0.", "0,")).encode(
            "utf-16"
        ),
        ("词\t效价\t唤醒度\n快乐\t7,5\t6\n悲伤\t2\t3\n").encode("gb18030"),
    ]
    card_of: dict[str, Any] = {
        "language": "en",
        "scale": {"valence": [1, 9], "arousal": [1, 9]},
        "reversed": [],
    }
    yield Reader("norms csv", tables, as_file(".csv", lambda path: load_norms(path, **card_of)), 5_000)
    listed = json.dumps([{"word": f"word{at}", "valence": 1 + at % 9} for at in range(20)]).encode()
    yield Reader(
        "norms json",
        [listed],
        as_file(".json", lambda path: load_norms(path, **card_of)),
        10_000,
        (json_value,),
    )
    answers = [
        b"cue,response,R1,N,R1.Strength\n"
        + b"".join(f"joy,w{at},{at + 1},100,0.{at + 1:02d}\n".encode() for at in range(30)),
        b"participantID,cue,R1,R2,R3\n"
        + b"".join(f"{at},joy,happy,glad,x{at}\n".encode() for at in range(30)),
        b"<HTML>\n<pre>\nCUE, TARGET, NORMED?, #G, #P, FSG\n"
        + b"".join(f"JOY, WORD{at}, YES, 100, {at + 1}, 0.1\n".encode() for at in range(30)),
        b'<eat><stimulus word="JOY" all="100">'
        + b"".join(f'<response word="W{at}" n="{at + 1}" r="0.1"/>'.encode() for at in range(30))
        + b"</stimulus></eat>",
        json.dumps({"JOY": [{f"W{at}": str(at + 1)} for at in range(30)]}).encode(),
    ]
    yield Reader("association files", answers, as_file(".csv", read_answers), 20_000)
    sheet = b"id,prompt,answer,emotion,valence\nabcdef,Tell me.,Well,joy,2\nghijkl,Tell me.,No,sadness,-1\n"
    sheets = [sheet, sheet.replace(b",", b";").decode().encode("utf-16")]
    yield Reader("rating sheets", sheets, as_file(".csv", lambda path: read_rows(path, "sheet")), 40_000)
    with tempfile.TemporaryDirectory() as folder:
        results = (write_run(Path(folder) / "run") / "results.json").read_bytes()
    yield Reader("results.json", [results], as_file(".json", Results.load), 30_000, (json_value,))


def table_readers() -> Generator[Reader]:
    """Yield the readers of workbooks and parquet."""
    from io import BytesIO

    from pandas import DataFrame

    from emospace.norms import load_norms

    table = DataFrame(
        {"word": [f"word{at}" for at in range(12)], "valence": [1.0 + at % 9 for at in range(12)]}
    )
    nasty = table.assign(
        word=["=1+1", "<b>", "\u202ex", "👩‍👩‍👧", "nan", "null", "e\u0301", "a" * 300, "x", "y", "z", "q"]
    )
    held = []
    for each in (table, nasty):
        book, parquet = BytesIO(), BytesIO()
        each.to_excel(book, index=False)
        each.to_parquet(parquet)
        held.append((book.getvalue(), parquet.getvalue()))
    books, parquets = zip(*held, strict=True)
    card: dict[str, Any] = {"language": "en", "scale": {"valence": [1, 9]}, "reversed": []}
    read = lambda path: load_norms(path, **card)  # noqa: E731
    yield Reader("norms xlsx", books, as_file(".xlsx", read), 1_500, (zip_part, zip_part, zip_part))
    yield Reader("norms parquet", parquets, as_file(".parquet", read), 20_000)


def tensor_readers() -> Generator[Reader]:
    """Yield the readers of vectors, banks, spaces, autoencoders and GGUF headers."""
    import numpy as np

    from emospace.models.gguf import from_gguf
    from emospace.sae import load_sae
    from emospace.space import EmotionSpace
    from emospace.steering import SteeringVector
    from gguf_file import write_gguf

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        directions = {layer: np.random.default_rng(layer).normal(size=16) for layer in (1, 2)}
        vector = SteeringVector("joy", "dense", directions, {1: 6.0, 2: 9.0}, "tiny", "00" * 32)
        vector.save(folder / "joy.safetensors")
        space = EmotionSpace(
            "en", ("joy", "fear", "anger"), np.arange(4), np.random.default_rng(0).random((3, 4))
        )
        space.save(folder / "space.safetensors")
        write_gguf(folder / "m.gguf")
        vectors, spaces, models = (
            [(folder / name).read_bytes()] for name in ("joy.safetensors", "space.safetensors", "m.gguf")
        )
        card = (folder / "joy.json").read_text(encoding="utf-8")
    yield Reader(
        "vectors",
        vectors,
        as_file(".safetensors", SteeringVector.load, input_json=card),
        60_000,
        (safetensors_header,),
    )

    def vector_card(content: bytes, folder: Path) -> Any:
        (folder / "joy.safetensors").write_bytes(vectors[0])
        (folder / "joy.json").write_bytes(content)
        return SteeringVector.load(folder / "joy.safetensors")

    yield Reader("cards of vectors", [card.encode()], vector_card, 40_000, (json_value,))
    yield Reader("spaces", spaces, as_file(".safetensors", EmotionSpace.load), 50_000, (safetensors_header,))
    case = ROOT / "tests" / "cases" / "sae" / "gated"
    weights, settings = next(case.glob("*.safetensors")), case / "cfg.json"

    def sae_settings(content: bytes, folder: Path) -> Any:
        (folder / weights.name).write_bytes(weights.read_bytes())
        (folder / settings.name).write_bytes(content)
        return load_sae(folder)

    def sae_weights(content: bytes, folder: Path) -> Any:
        (folder / settings.name).write_bytes(settings.read_bytes())
        (folder / weights.name).write_bytes(content)
        return load_sae(folder)

    yield Reader("autoencoders, settings", [settings.read_bytes()], sae_settings, 60_000, (json_value,))
    yield Reader("autoencoders, weights", [weights.read_bytes()], sae_weights, 40_000, (safetensors_header,))
    yield Reader("GGUF headers", models, as_file(".gguf", lambda path: from_gguf(path, "m")), 2_000)


def bodies() -> Generator[Reader]:
    """Yield the API as a reader of request bodies, each to one of its routes; an answer of 500 is a crash."""
    from fastapi.testclient import TestClient

    from emospace.server import create_app
    from served import make_engine

    app = create_app(make_engine())
    chat = {
        "messages": [{"role": "user", "content": "Tell me."}],
        "max_tokens": 1,
        "emotion": {"joy": 0.5},
        "stream": False,
    }
    seeds = [
        b"/v1/chat/completions\n" + json.dumps(chat).encode(),
        b"/v1/completions\n"
        + json.dumps({"prompt": "Once", "max_tokens": 1, "emotion": "joy", "seed": 1}).encode(),
        b"/v1/responses\n"
        + json.dumps(
            {
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "Tell me."}]}],
                "max_output_tokens": 1,
                "emotion": {"joy": 0.5},
                "stream": False,
            }
        ).encode(),
        b"/api/chat\n"
        + json.dumps(
            {
                "messages": [{"role": "user", "content": "Tell me."}],
                "options": {"num_predict": 1, "seed": 1},
                "emotion": "joy",
                "stream": False,
            }
        ).encode(),
        b"/v1/embeddings\n" + json.dumps({"input": "What a day"}).encode(),
        b"/v1/read\n" + json.dumps({"input": "What a day"}).encode(),
        b"/v1/emotions/resolve\n" + json.dumps({"emotion": {"valence": 0.5, "arousal": 0.1}}).encode(),
    ]

    def body(content: bytes, chance: Any) -> bytes:
        route, _, given = content.partition(b"\n")
        return route + b"\n" + json_value(given, chance)

    def post(content: bytes, _: Path) -> None:
        from emospace.errors import InvalidInput

        route, _, given = content.partition(b"\n")
        known = (
            route.decode("latin-1") if route in {seed.partition(b"\n")[0] for seed in seeds} else "/v1/read"
        )
        answer = client.post(known, content=given, headers={"content-type": "application/json"})
        if answer.status_code >= 500:
            raise RuntimeError(f"{answer.status_code} {answer.text[:150]}")
        if answer.status_code >= 400:
            raise InvalidInput("body", "refused", "none")

    # Until the reader is closed the server runs: without that each request finds it shutting down.
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Reader("API bodies", seeds, post, 10_000, (body, body, body))


GROUPS = {"text": text_readers, "tables": table_readers, "tensors": tensor_readers, "api": bodies}


def readers(only: str = "") -> Iterator[tuple[str, str]]:
    """Yield the group and name of each reader whose name holds a text."""
    for group, make in GROUPS.items():
        names = [reader.name for reader in make()]
        yield from ((group, name) for name in names if any(part in name for part in only.split(",")))


def silent() -> None:
    """Let what readers say be formatted and encoded as in use, and be seen by nobody."""
    logging.getLogger().addHandler(logging.FileHandler(os.devnull, encoding="utf-8"))
    warnings.simplefilter("ignore")


def run(group: str, name: str, options: argparse.Namespace, results: Any) -> None:
    """Watch one reader in this process and hand over what became of its inputs."""
    sys.path[:0] = [str(ROOT / "tests")]
    silent()
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder,
        ExitStack() as instrumented,
    ):
        os.environ["EMOSPACE_CACHE"] = folder
        if options.coverage:
            import atheris

            instrumented.enter_context(atheris.instrument_imports(include=["emospace"]))
        with closing(GROUPS[group]()) as made:
            reader = next(reader for reader in made if reader.name == name)
            n = max(int(reader.n * options.share), 20)
            watch = Watch(reader, n, Path(folder), options.failing, options.within)
            instrumented.close()
            if not options.coverage:
                results.put(give_at_random(watch, options.seed))
                return

            def hand_over(outcome: Outcome) -> None:
                results.put(outcome)
                results.close()
                results.join_thread()
                shutil.rmtree(folder, ignore_errors=True)

            give_by_coverage(watch, options.seed, hand_over)


def apart(group: str, name: str, options: argparse.Namespace) -> Outcome:
    """Watch one reader in a process of its own, so that its memory is its own; one that dies is a crash."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=run, args=(group, name, options, results))
    process.start()
    outcome: Outcome | None = None
    while outcome is None and (process.is_alive() or not results.empty()):
        with suppress(queue.Empty):
            outcome = results.get(timeout=1)
    process.join()
    return outcome or Outcome(name, crashes={"the process died": str(process.exitcode)})


def together(group: str, name: str, options: argparse.Namespace) -> Outcome:
    """Watch one reader in this process, whose memory is that of all readers before it."""
    held: queue.Queue[Outcome] = queue.Queue()
    run(group, name, options, held)
    return held.get()


def main() -> None:
    """Run all readers and publish the counts."""
    sys.path[:0] = [str(ROOT / "tests")]
    from emospace.artefacts import read_json, write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="share of the inputs of a full run")
    parser.add_argument("--within", type=float, default=1e9, help="seconds for each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--coverage", action="store_true", help="let atheris choose by the branches they reach"
    )
    parser.add_argument("--together", action="store_true", help="all readers in one process")
    parser.add_argument("--only", default="", help="readers whose name holds one of these, by commas")
    parser.add_argument(
        "--failing", type=Path, default=ROOT / "runs" / "fuzz", help="where failing inputs are kept"
    )
    parser.add_argument("--out", type=Path, help="where the counts go, as JSON")
    options = parser.parse_args()
    out = options.out
    # Readers that are not asked for keep their figures, and a run that is stopped keeps those it has.
    rows = read_json(out)["rows"] if options.only and out and out.is_file() else []
    for group, name in list(readers(options.only)):
        outcome = (together if options.together else apart)(group, name, options)
        rows = [row for row in rows if row["name"] != name] + [asdict(outcome) | {"holds": outcome.holds}]
        print(
            f"{outcome.inputs:9,d} {outcome.seconds:6.0f} s {outcome.peak_mb:6.0f} MB {outcome.slowest:4.1f} s  {name}: "
            f"{outcome.read:,d} read, {outcome.refused:,d} refused, {outcome.hangs} hang, crashes {outcome.crashes}, "
            f"outside {outcome.outside}",
            file=sys.stderr,
            flush=True,
        )
        if out:
            write_json(out, made_by(command_line()) | {"rows": rows})
    if not all(row["holds"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
