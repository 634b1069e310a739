"""Memory and CPU time of the steps that see every latent of a wide SAE, on synthetic sparse codes of 5,000 words.

    python benchmarks/wide_saes.py                     # every step at every width, as a Markdown table
    python benchmarks/wide_saes.py --latents 65536 --steps draws

Each step runs in a process of its own below GNU time (`/usr/bin/time -v`), whose maximum resident set is the figure;
codes are part of it. `encode` makes an SAE of random weights, 640 wide, which is part of it too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WIDTHS = (8192, 16384, 65536, 262144)
N_WORDS, N_ACTIVE, N_FEATURES, N_DRAWS, N_RANDOM, D_MODEL = 5000, 150, 370, 1000, 200, 640
TIME = "/usr/bin/time"


def synthetic(n_latents: int, seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """Return codes `[5000, n_latents]` with some 150 active latents a word, and two ratings `[5000, 2]` they carry.

    Firing rates fall as 1 / rank, as those of real SAEs do: few latents fire on most words, most on hardly any.
    """
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(seed)
    rates = 1 / np.arange(10, n_latents + 10)
    rates = np.minimum(0.9, rates * N_ACTIVE / rates.sum())
    ratings = rng.normal(size=(N_WORDS, 2))
    rows, columns, values = [], [], []
    for latent, rate in enumerate(rng.permutation(rates)):
        leaning = ratings @ rng.normal(0, 0.7, 2)
        fires = np.flatnonzero(rng.random(N_WORDS) < rate * np.exp(leaning - 0.5))
        rows.append(fires)
        columns.append(np.full(len(fires), latent))
        values.append(rng.gamma(2, 1, len(fires)))
    parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(parts, shape=(N_WORDS, n_latents), dtype=np.float32), ratings


def draws(n_latents: int) -> str:
    """Match 1,000 and draw 200 sets of 370 latents from outside a space, and predict ratings from each."""
    from emospace.prediction import latent_profile, matched_draws, predict_draws, random_draws

    codes, ratings = synthetic(n_latents)
    profile = latent_profile(codes)
    alive = np.argsort(-profile[:, 0], kind="stable")[100 : 100 + 4 * N_FEATURES]
    space = np.sort(np.random.default_rng(1).choice(alive, N_FEATURES, replace=False))
    start = time.process_time()
    matched = matched_draws(space, profile, N_DRAWS).draws
    random = random_draws(n_latents, N_FEATURES, N_RANDOM, exclude=space)
    drawn = time.process_time()
    groups = np.arange(N_WORDS)
    r = [predict_draws(codes, latents, ratings, groups)[:, 0, 0].mean() for latents in (matched, random)]
    done = time.process_time()
    return f"drawn in {drawn - start:.1f} s, predicted in {done - drawn:.1f} s of CPU time; mean r {r[0]:.4f}, {r[1]:.4f}"


def every(n_latents: int) -> str:
    """Predict ratings from all latents that fire on ten words or more, and from the 370 that fire most."""
    from emospace.prediction import latent_profile, predict_ratings, top_firing

    codes, ratings = synthetic(n_latents)
    fires = np.flatnonzero(np.asarray((codes > 0).sum(0)).ravel() >= 10)
    top = top_firing(latent_profile(codes), N_FEATURES)
    r = [
        predict_ratings(codes[:, latents], ratings, np.arange(N_WORDS), n_bootstrap=10)[0].r
        for latents in (fires, top)
    ]
    return f"{len(fires)} latents; r {r[0]:.4f}, {r[1]:.4f}"


def selection(n_latents: int) -> str:
    """Select the features of the English concept-sets of all categories."""
    from emospace.concepts import load_concepts
    from emospace.features import MatchedPool, select_features

    sets = load_concepts(["en"], "all")
    concepts = sets.words("en")
    neutral = tuple(f"neutral{index}" for index in range(N_WORDS - len(concepts)))
    rng = np.random.default_rng(2)
    pool = MatchedPool(
        neutral, rng.integers(0, 20, len(concepts)), rng.integers(0, 20, len(neutral)), "frequency", 0
    )
    codes = synthetic(n_latents)[0].tolil()
    row_of = {word: row for row, word in enumerate(concepts)}
    for latent, category in enumerate(sets.categories):
        for word in sets.words("en", category):
            codes[row_of[word], latent] = 5.0
    found = select_features(codes.tocsr(), [*concepts, *neutral], sets, "en", pool)
    return f"{len(found.latents)} features of {len(sets.categories)} categories"


def encode(n_latents: int) -> str:
    """Encode states 640 wide with a JumpReLU SAE of random weights."""
    import torch

    from emospace.sae import SparseAutoencoder

    make = torch.Generator().manual_seed(0)
    weights = torch.randn(D_MODEL, n_latents, generator=make) / D_MODEL**0.5
    sae = SparseAutoencoder(
        w_enc=weights,
        b_enc=torch.zeros(n_latents),
        w_dec=weights.T,
        b_dec=torch.zeros(D_MODEL),
        architecture="jumprelu",
        layer=1,
        threshold=torch.full((n_latents,), 3.2),
    )
    states = np.random.default_rng(0).normal(size=(N_WORDS, D_MODEL)).astype(np.float32)
    return f"{sae.encode(states).nnz / N_WORDS:.0f} active latents a word"


STEPS: dict[str, Callable[[int], str]] = {
    "draws": draws,
    "every": every,
    "selection": selection,
    "encode": encode,
}


def measured(step: str, n_latents: int) -> str:
    """Run one step in a process of its own and return its row of the table."""
    command = [TIME, "-v", sys.executable, __file__, "--run", step, "--latents", str(n_latents)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    peak = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    if done.returncode or peak is None:
        return f"| {step} | {n_latents:,} | failed | | {done.stderr.strip().splitlines()[0]} |"
    seconds, said = done.stdout.strip().splitlines()[-1].split(" s: ", 1)
    return f"| {step} | {n_latents:,} | {int(peak[1]) / 2**20:.2f} | {float(seconds):.0f} | {said} |"


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--run", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        said = STEPS[asked.run](asked.latents[0])
        sys.stdout.write(f"{time.process_time():.1f} s: {said}\n")
        return
    sys.stdout.write("| step | latents | GiB | CPU seconds | |\n|---|---|---|---|---|\n")
    for step in asked.steps:
        for n_latents in asked.latents:
            sys.stdout.write(measured(step, n_latents) + "\n")


if __name__ == "__main__":
    main()
