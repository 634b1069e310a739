"""Extract states of words and predict their valence with other numbers of threads, and again with the same number.

    python recipes/compare_threads.py [--words 600] [--threads 1,2,4] [--out docs/results/threads.json]

Each run is a process of its own with the embedded model in float32. The same number of threads gives the same bytes;
another number sums in another order: states differ by rounding, and what is computed from them hardly at all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = (6, 12, 18, 24, 30)
MOST_APART, MOST_R = 1e-5, 0.002
"""Of states, relative to the largest of their layer; of r."""


def measure(n_words: int, path: Path) -> None:
    """Write states [n_words, n_layers, d_model], predictions, r and RSA of this process' number of threads."""
    import torch

    from emospace.activations import extract_words
    from emospace.concepts import load_concepts
    from emospace.models import EMBEDDED, load_model
    from emospace.norms import load_norms
    from emospace.prediction.ratings import nested_predictions

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    table = load_norms("glasgow").table.dropna(subset=["valence"])
    chosen = table.iloc[np.random.default_rng(0).permutation(len(table))[:n_words]]
    carrier = load_concepts(["en"]).carriers["en"][0]
    model = load_model(EMBEDDED, dtype="float32", device="cpu")
    half = min(100, n_words // 2)
    states = extract_words(model, list(chosen["word"]), carrier, LAYERS).states
    valence = chosen["valence"].to_numpy(float)
    predicted = nested_predictions(states, valence[:, None], np.arange(n_words)).by_layer
    r = [np.corrcoef(predicted[layer, :, 0], valence)[0, 1] for layer in range(len(LAYERS))]
    halves = [(states[:half, layer], states[half : 2 * half, layer]) for layer in range(len(LAYERS))]
    rsa = [
        np.corrcoef(np.corrcoef(first).ravel(), np.corrcoef(second).ravel())[0, 1] for first, second in halves
    ]
    np.savez(path, states=states, predicted=predicted, r=np.array([*r, *rsa]))


def run(threads: int, n_words: int, path: Path) -> dict[str, np.ndarray]:
    """Measure in a process with so many threads and return what it wrote."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    command = [sys.executable, __file__, "--words", str(n_words), "--measure", str(path)]
    subprocess.run(command, env=environment, check=True)
    with np.load(path) as arrays:
        return dict(arrays)


def compared(arrays: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return how far two runs are apart."""
    gaps, sizes = (
        np.abs(values).max(axis=(0, 2))
        for values in (arrays["states"] - reference["states"], reference["states"])
    )
    return {
        "same_bytes": all(np.array_equal(arrays[name], reference[name]) for name in reference),
        "states": float((gaps / sizes).max()),
        "predictions": float(np.abs(arrays["predicted"] - reference["predicted"]).max()),
        "r": float(np.abs(arrays["r"] - reference["r"]).max()),
    }


def main() -> None:
    """Compare all numbers of threads with the first."""
    from emospace.artefacts import write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--words", type=int, default=600)
    parser.add_argument(
        "--threads", default="1,2,4", type=lambda text: [int(number) for number in text.split(",")]
    )
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.words, asked.measure)
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "run.npz"
        reference = run(asked.threads[0], asked.words, path)
        rows = [
            {"threads": threads, **compared(run(threads, asked.words, path), reference)}
            for threads in asked.threads
        ]
    for row in rows:
        print(row, file=sys.stderr)
    if asked.out:
        card = {"words": asked.words, "first": asked.threads[0], "rows": rows}
        write_json(asked.out, made_by(command_line()) | card)
    if not rows[0]["same_bytes"] or any(row["states"] > MOST_APART or row["r"] > MOST_R for row in rows):
        raise SystemExit("runs differ by more than rounding")


if __name__ == "__main__":
    main()
