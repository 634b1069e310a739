"""Memory and time of the steps that see every latent of a wide SAE, on synthetic sparse codes.

    python benchmarks/wide_saes.py                     # every step at every width, 100,000 words, as a Markdown table
    python benchmarks/wide_saes.py --latents 65536 --steps draws --words 5000

Each step runs in a process of its own below GNU time (`/usr/bin/time -v`), whose maximum resident set is the figure;
codes are part of it. `jumprelu` and `topk` make an SAE of random weights, 640 wide, and encode random states with it,
which are part of it too. Seconds are those of the whole process, the making of codes, states and weights included.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WIDTHS = (16384, 65536, 262144)
N_WORDS, N_ACTIVE, N_FEATURES, N_DRAWS, N_RANDOM = 100_000, 150, 370, 1000, 200
D_MODEL, N_STRONGEST = 640, 64
N_LEANINGS = 256
"""Ways in which latents of synthetic codes follow the ratings."""
TIME = "/usr/bin/time"


def synthetic(n_words: int, n_latents: int, seed: int = 0) -> tuple[csr_matrix, np.ndarray]:
    """Return codes `[n_words, n_latents]` with some 150 active latents a word, and two ratings `[n_words, 2]` they carry.

    Firing rates fall as 1 / rank, as those of real SAEs do: few latents fire on most words, most on hardly any.
    """
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(seed)
    rates = 1 / np.arange(10, n_latents + 10)
    rates = rng.permutation(np.minimum(0.9, rates * N_ACTIVE / rates.sum()))
    ratings = rng.normal(size=(n_words, 2))
    rows, columns, values = [], [], []
    for latents in np.array_split(np.arange(n_latents), N_LEANINGS):
        chance = np.exp(ratings @ rng.normal(0, 0.7, 2) - 0.5)
        ends = np.cumsum(chance)
        times = rng.poisson(rates[latents] * ends[-1])
        fires = np.searchsorted(ends, rng.random(times.sum()) * ends[-1])
        # A word drawn twice fires once.
        cells = np.unique(np.repeat(latents, times) * n_words + fires)
        columns.append(cells // n_words)
        rows.append(cells % n_words)
        values.append(rng.gamma(2, 1, len(cells)).astype(np.float32))
    parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(parts, shape=(n_words, n_latents)), ratings


def draws(n_words: int, n_latents: int) -> str:
    """Match 1,000 and draw 200 sets of 370 latents from outside a space, and predict ratings from each."""
    from emospace.prediction import latent_profile, matched_draws, predict_draws, random_draws

    codes, ratings = synthetic(n_words, n_latents)
    profile = latent_profile(codes)
    alive = np.argsort(-profile[:, 0], kind="stable")[100 : 100 + 4 * N_FEATURES]
    space = np.sort(np.random.default_rng(1).choice(alive, N_FEATURES, replace=False))
    start = time.monotonic()
    matched = matched_draws(space, profile, N_DRAWS).draws
    random = random_draws(n_latents, N_FEATURES, N_RANDOM, exclude=space)
    drawn = time.monotonic()
    groups = np.arange(n_words)
    r = [predict_draws(codes, latents, ratings, groups)[:, 0, 0].mean() for latents in (matched, random)]
    done = time.monotonic()
    return f"drawn in {drawn - start:.1f} s, predicted in {done - drawn:.1f} s; mean r {r[0]:.4f}, {r[1]:.4f}"


def every(n_words: int, n_latents: int) -> str:
    """Predict ratings from all latents that fire on ten words or more, and from the 370 that fire most."""
    from emospace.prediction import latent_profile, predict_ratings, top_firing

    codes, ratings = synthetic(n_words, n_latents)
    fires = np.flatnonzero(np.asarray((codes > 0).sum(0)).ravel() >= 10)
    top = top_firing(latent_profile(codes), N_FEATURES)
    r = [
        predict_ratings(codes[:, latents], ratings, np.arange(n_words), n_bootstrap=10)[0].r
        for latents in (fires, top)
    ]
    return f"{len(fires)} latents; r {r[0]:.4f}, {r[1]:.4f}"


def selection(n_words: int, n_latents: int) -> str:
    """Select the features of the English concept-sets of all categories; the neutral words are all others."""
    from scipy.sparse import csr_matrix

    from emospace.concepts import load_concepts
    from emospace.features import MatchedPool, select_features

    sets = load_concepts(["en"], "all")
    concepts = sets.words("en")
    neutral = tuple(f"neutral{index}" for index in range(n_words - len(concepts)))
    rng = np.random.default_rng(2)
    pool = MatchedPool(
        neutral, rng.integers(0, 20, len(concepts)), rng.integers(0, 20, len(neutral)), "frequency", 0
    )
    row_of = {word: row for row, word in enumerate(concepts)}
    planted = [
        (row_of[word], latent)
        for latent, category in enumerate(sets.categories)
        for word in sets.words("en", category)
    ]
    values = (np.full(len(planted), 5, dtype=np.float32), tuple(np.transpose(planted)))
    codes = synthetic(n_words, n_latents)[0] + csr_matrix(values, shape=(n_words, n_latents))
    start = time.monotonic()
    features = select_features(codes, [*concepts, *neutral], sets, "en", pool)
    return (
        f"{len(features.latents)} features of {len(sets.categories)} categories among {len(neutral):,} neutral words, "
        f"in {time.monotonic() - start:.0f} s"
    )


def encode(n_words: int, n_latents: int, architecture: str) -> str:
    """Encode states 640 wide with an SAE of random weights."""
    import torch

    from emospace.sae import SparseAutoencoder

    make = torch.Generator().manual_seed(0)
    weights = torch.randn(D_MODEL, n_latents, generator=make) / D_MODEL**0.5
    sae = SparseAutoencoder(
        w_enc=weights,
        b_enc=torch.zeros(n_latents),
        w_dec=weights.T,
        b_dec=torch.zeros(D_MODEL),
        architecture=architecture,
        layer=1,
        threshold=torch.full((n_latents,), NormalDist().inv_cdf(1 - N_ACTIVE / n_latents)),
        k=N_STRONGEST,
    )
    states = np.random.default_rng(0).standard_normal((n_words, D_MODEL), dtype=np.float32)
    start = time.monotonic()
    codes = sae.encode(states)
    rate = n_words / (time.monotonic() - start)
    return f"{codes.nnz / n_words:.0f} active latents a word; {rate:,.0f} words/s"


STEPS: dict[str, Callable[[int, int], str]] = {
    "jumprelu": partial(encode, architecture="jumprelu"),
    "topk": partial(encode, architecture="topk"),
    "selection": selection,
    "draws": draws,
    "every": every,
}


def measured(step: str, n_words: int, n_latents: int) -> str:
    """Run one step in a process of its own and return its row of the table."""
    command = [TIME, "-v", sys.executable, __file__, "--run", step]
    command += ["--words", str(n_words), "--latents", str(n_latents)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    peak = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    elapsed = re.search(r"Elapsed \(wall clock\) time \(h:mm:ss or m:ss\): ([\d:.]+)", done.stderr)
    if done.returncode or peak is None or elapsed is None:
        return f"| {step} | {n_latents:,} | failed | | | {done.stderr.strip().splitlines()[0]} |"
    cpu, said = done.stdout.strip().splitlines()[-1].split(" s: ", 1)
    return (
        f"| {step} | {n_latents:,} | {int(peak[1]) / 2**20:.2f} | {elapsed[1]} | {float(cpu):.0f} | {said} |"
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latents", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--words", type=int, default=N_WORDS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--run", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        said = STEPS[asked.run](asked.words, asked.latents[0])
        sys.stdout.write(f"{time.process_time():.1f} s: {said}\n")
        return
    sys.stdout.write("| step | latents | GiB | elapsed | CPU seconds | |\n|---|---|---|---|---|---|\n")
    for step in asked.steps:
        for n_latents in asked.latents:
            sys.stdout.write(measured(step, asked.words, n_latents) + "\n")


if __name__ == "__main__":
    main()
