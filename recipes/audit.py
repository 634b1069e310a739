"""Look for known vulnerabilities in all that a release needs, and say what could not be looked up.

    python recipes/audit.py dist/requirements.txt

Exit codes: 0 where every package was looked up and has none, 1 where one has, 2 where the database knows nothing of a
package or cannot be reached: nothing is then known of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PIP_AUDIT = "pip-audit==2.10.1"
VULNERABLE, UNKNOWN = 1, 2


def verdict(packages: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """Return what is known of the packages of a report of pip-audit, in lines, and the exit code."""
    flaws = [
        f"{package['name']} {package['version']}: {flaw['id']}, repaired in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in packages
        for flaw in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [
        *flaws,
        f"{len(packages) - len(skipped)} of {len(packages)} packages looked up, {len(flaws)} known flaws",
    ]
    if skipped:
        why = (
            "the database cannot be reached from here"
            if len(skipped) == len(packages)
            else ", ".join(skipped)
        )
        lines.append(f"not looked up, so nothing is known of them: {len(skipped)} packages ({why})")
    return lines, VULNERABLE if flaws else UNKNOWN if skipped or not packages else 0


def main() -> None:
    """Ask the database and say what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("requirements", type=Path, help="all packages of a release, with versions and hashes")
    asked = parser.parse_args()
    uvx = str(Path(sys.executable).with_name("uvx"))
    command = [
        uvx,
        PIP_AUDIT,
        "--require-hashes",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    run = subprocess.run(
        [*command, "-r", str(asked.requirements)], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
        lines, code = [f"nothing was looked up: {reason}"], UNKNOWN
    else:
        lines, code = verdict(packages)
    print("\n".join(lines))
    raise SystemExit(code)


if __name__ == "__main__":
    main()
