"""Check that a change of the code left a study's results as they were, byte for byte.

    python recipes/same_results.py BASE

Runs the small study of ``tests/small_study.py`` (a random model, two languages, half a minute) with the source of the
commit BASE and with the working tree, in one folder and one environment, and compares ``results.json`` and every
table. Exits with 1 and the first differing lines where they differ. Bytes are compared between two runs on one
machine, because another processor rounds the last digits otherwise.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
N_LINES = 40
STUDY = """
import sys
from pathlib import Path

from emospace.study import run_study
from small_study import make_study_files

folder = Path(sys.argv[1])
files = make_study_files(folder)
run_study(files.both(), folder / "run")
run_study(files.spec(sae="none"), folder / "dense")
"""


def outputs(source: Path, folder: Path) -> dict[str, str]:
    """Return the text of each result file and table, by its path, that the code in `source` makes in `folder`."""
    import pandas as pd

    folder.mkdir()
    paths = os.pathsep.join([str(source / "src"), str(source / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "EMOSPACE_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", STUDY, str(folder)], check=True, env=environment)
    texts = {}
    for path in sorted(folder.glob("*/results.json")):
        pretty = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
        texts[str(path.relative_to(folder))] = pretty
    for path in sorted(folder.glob("*/tables/*.parquet")):
        texts[str(path.relative_to(folder))] = pd.read_parquet(path).to_csv(index=False)
    shutil.rmtree(folder)
    return texts


def main() -> None:
    """Run both studies and compare what they wrote."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", help="commit to compare with")
    base = parser.parse_args().base
    with tempfile.TemporaryDirectory() as temporary:
        tree, folder = Path(temporary, "base"), Path(temporary, "study")
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(tree), base], check=True
        )
        try:
            before = outputs(tree, folder)
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)
        after = outputs(ROOT, folder)
    differing = [name for name in sorted(before | after) if before.get(name) != after.get(name)]
    for name in differing:
        lines = difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"{base}:{name}",
            name,
            lineterm="",
            n=1,
        )
        print("\n".join(list(lines)[:N_LINES]))
    if differing:
        raise SystemExit(1)
    print(f"{len(after)} files are the same as at {base}.")


if __name__ == "__main__":
    main()
