"""Build wheel and sdist, and make sure that what is built holds what the package needs and studies a model.

    python recipes/check_package.py [--out dist]

Every file of ``src/emospace`` that git tracks has to be in both; nothing of tests, recipes or runs may be in the wheel. The wheel
is unpacked into a temporary folder, and the first study of docs/start.md runs from there, with this environment's libraries.
Fails (exit code 1) where a file is missing or too much, or the study ends otherwise. Needs uv, which `make` installs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from emospace.artefacts import read_json
from measure_install import ROOT, STUDY, timed

PACKAGE = "emospace"


def tracked() -> set[str]:
    """Return the files of the package that git tracks, from the package on."""
    listed = subprocess.check_output(["git", "ls-files", "-z", f"src/{PACKAGE}"], cwd=ROOT, text=True)
    return {name.removeprefix("src/") for name in listed.split("\0") if name}


def built(out: Path) -> tuple[Path, Path]:
    """Return wheel and sdist, built into a folder."""
    timed([Path(sys.executable).with_name("uv"), "build", "--package", PACKAGE, "--out-dir", out, ROOT], ROOT)
    version = read_version(out)
    return out / f"{PACKAGE}-{version}-py3-none-any.whl", out / f"{PACKAGE}-{version}.tar.gz"


def read_version(out: Path) -> str:
    """Return the version of the newest wheel in a folder."""
    newest = max(out.glob(f"{PACKAGE}-*.whl"), key=lambda path: path.stat().st_mtime)
    return newest.name.split("-")[1]


def main() -> None:
    """Build, look inside, and study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args().out.resolve()
    wheel, sdist = built(out)
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2].removeprefix("src/") for name in archive.getnames()}
    wrong = {
        f"not in {wheel.name}": tracked() - in_wheel,
        f"not in {sdist.name}": tracked() - in_sdist,
        f"too much in {wheel.name}": {
            name for name in in_wheel if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))
        },
    }
    for what, names in wrong.items():
        if names:
            raise SystemExit(f"{what}: {', '.join(sorted(names)[:10])} ({len(names)} in all)")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        seconds = timed(
            [sys.executable, "-m", PACKAGE, *STUDY], Path(folder), PYTHONPATH=os.fspath(folder), NO_COLOR="1"
        )
        results = read_json(Path(folder) / "first" / "results.json")
    print(
        f"{wheel.name}: {len(in_wheel)} files, {wheel.stat().st_size / 1e6:.0f} MB; {sdist.name}: {len(in_sdist)} files, "
        f"{sdist.stat().st_size / 1e6:.0f} MB; first study in {seconds:.0f} s, {len(results['prediction'])} predictions"
    )


if __name__ == "__main__":
    main()
