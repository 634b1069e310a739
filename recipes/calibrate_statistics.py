"""Check every p-value and interval of the package on simulated data.

    python recipes/calibrate_statistics.py [--out docs/results/calibration.json]

Type I error on data in which nothing is to be found, power on planted effects, coverage of intervals. Where a null is
rejected as often as its level allows lies in the central 99.9% of the binomial distribution; an interval of 95% has to
cover 93 to 97%, two standard errors of the simulation aside. Finished parts are kept under ``--runs`` and not made again while package and cases stay as they are.
Exits with 1 where a statistic does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
import zlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import calibration_answers
import calibration_cases
import calibration_words
from calibration_cases import NAN, Case, Draw

ROOT = Path(__file__).parent.parent
COVERED = (0.93, 0.97)
CENTRAL = 0.999


def all_cases() -> list[Case]:
    """Return every case."""
    return list(chain(calibration_cases.cases(), calibration_words.cases(), calibration_answers.cases()))


def draws(case: Case, effect: float, n: int) -> list[Draw]:
    """Return `n` figures of a case at an effect; the same ones whatever else is drawn."""
    figures: list[Draw] = []
    start = zlib.crc32(f"{case.name} {effect}".encode())
    for number in range(10 * n):
        figures += case.draw(np.random.default_rng([start, number]), number, effect)
        if len(figures) >= n:
            return figures[:n]
    raise SystemExit(f"{case.name}: too few of its data sets have a figure")


def allowed(level: float, n: int, careful: bool) -> tuple[float, float]:
    """Return the rates of rejection that n nulls at a level make likely."""
    from scipy.stats import binom

    low, high = binom.ppf([(1 - CENTRAL) / 2, (1 + CENTRAL) / 2], n, level) / n
    return (0.0 if careful else float(low)), float(high)


def null_row(case: Case, figures: Sequence[Draw]) -> dict[str, Any]:
    """Return how often a null was rejected."""
    rejected = float(np.mean([draw.p <= case.level for draw in figures]))
    low, high = allowed(case.level, len(figures), case.careful)
    return {
        "n": len(figures),
        "level": case.level,
        "rejected": rejected,
        "allowed": [low, high],
        "holds": low <= rejected <= high,
    }


def planted_row(case: Case, effect: float, figures: Sequence[Draw]) -> dict[str, Any]:
    """Return how often a planted effect was found, and how often the interval held the truth."""
    row: dict[str, Any] = {"effect": effect, "n": len(figures)}
    if case.tested:
        row["power"] = float(np.mean([draw.p <= case.level for draw in figures]))
    if case.estimand:
        value = float(np.mean([draw.value for draw in figures]))
        whole = case.truth(effect) if case.truth else NAN
        truths = [whole if case.truth else draw.truth for draw in figures]
        pairs = list(zip(truths, figures, strict=True))
        covered = float(np.mean([draw.low - 1e-9 <= truth <= draw.high + 1e-9 for truth, draw in pairs]))
        row |= {"truth": float(np.mean(truths)), "mean": value, "covered": covered}
        row["width"] = float(np.mean([draw.high - draw.low for draw in figures]))
        row["above"] = float(np.mean([truth < draw.low - 1e-9 for truth, draw in pairs]))
        slack = 2 * float(np.sqrt(0.05 * 0.95 / len(figures)))
        row["holds"] = covered >= COVERED[0] - slack and (case.wide or covered <= COVERED[1] + slack)
    return row


def fingerprint() -> str:
    """Return the hash of the package and of the cases."""
    files = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "recipes").glob("calibrat*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def kept(path: Path, make: Any) -> dict[str, Any]:
    """Return what a file holds, made where it is not there."""
    from emospace.artefacts import read_json, write_json

    if not path.exists():
        write_json(path, make())
    row: dict[str, Any] = read_json(path)
    return row


def calibrate(case: Case, folder: Path, key: str, share: float = 1.0) -> dict[str, Any]:
    """Return all rows of a case, those that are kept among them; `share` of its data sets are drawn."""
    n_null, n_planted = (max(int(n * share), 20) for n in (case.n_null, case.n_planted))
    name = f"{zlib.crc32(case.name.encode()):08x}"
    row: dict[str, Any] = {"name": case.name, "reported": case.reported, "estimand": case.estimand}
    row |= {"known": case.known, "careful": case.careful, "wide": case.wide}
    if case.tested:
        path = folder / f"{name}-null-{n_null}-{key}.json"
        row["null"] = kept(path, lambda: null_row(case, draws(case, 0.0, n_null)))
    row["planted"] = [
        kept(
            folder / f"{name}-{effect}-{n_planted}-{key}.json",
            lambda effect=effect: planted_row(case, effect, draws(case, effect, n_planted)),
        )
        for effect in case.effects
    ]
    return row


def failures(row: dict[str, Any]) -> list[str]:
    """Return what of a case does not hold, in words; nothing of one that is known not to."""
    if row["known"]:
        return []
    null, said = row.get("null"), []
    if null and not null["holds"]:
        said.append(f"{row['name']}: rejects {null['rejected']:.1%} of {null['n']} nulls")
    for planted in row["planted"]:
        if not planted.get("holds", True):
            place = f"effect {planted['effect']:g}, {planted['above']:.1%} of intervals above the truth"
            said.append(f"{row['name']}: covers {planted['covered']:.1%} of {planted['n']} ({place})")
    return said


def among(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Return the rows of all cases, in their order: these, and of other cases those that a file holds already."""
    from emospace.artefacts import read_json

    known = {row["name"]: row for row in read_json(path)["rows"]} if path.is_file() else {}
    known |= {row["name"]: row for row in rows}
    return [known[case.name] for case in all_cases() if case.name in known]


def main() -> None:
    """Run all cases and publish them."""
    from emospace.artefacts import write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--share", type=float, default=1.0, help="share of the data sets of a full run")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "calibration", help="where parts are kept"
    )
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    rows, failed, key = [], [], fingerprint()
    for case in all_cases():
        if options.only in case.name:
            began = time.process_time()
            rows.append(calibrate(case, options.runs, key, options.share))
            failed += failures(rows[-1])
            spent = time.process_time() - began
            print(f"{spent:6.1f} s  {case.name}", *failures(rows[-1]), sep="\n    ", file=sys.stderr)
    if options.out:
        write_json(
            options.out, made_by(command_line()) | {"central": CENTRAL, "rows": among(rows, options.out)}
        )
    if failed:
        raise SystemExit("\n".join(["does not hold:", *failed]))


if __name__ == "__main__":
    main()
