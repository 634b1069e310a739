"""Rounds over tools in turn, and the rows made of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from processes import ToolError

from emospace.display import say

Taken = dict[str, Any]


def interleave(
    turns: Mapping[str, Callable[[], Taken]], n_rounds: int, minutes: float, least: int = 3
) -> dict[str, list[Taken] | str]:
    """Give every tool its turn in each round, another first each time; return what each turn took.

    Parameters
    ----------
    n_rounds
        At most; after `least` rounds no new one is begun once `minutes` have passed.

    Returns
    -------
    Name -> the rounds, or the message of the tool that could not.
    """
    outcomes: dict[str, list[Taken] | str] = {name: [] for name in turns}
    begin = time.monotonic()
    for number in range(n_rounds):
        if number >= least and time.monotonic() - begin > 60 * minutes:
            break
        names = list(turns)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rounds = outcomes[name]
            if isinstance(rounds, str):
                continue
            try:
                rounds.append(turns[name]())
            except ToolError as error:
                outcomes[name] = str(error)
                say(f"  {name}: {error}")
    return outcomes


def tune(rate: Callable[[int], float], batches: Sequence[int]) -> int:
    """Return the batch with the best rate, trying them in order until two in a row are worse than the best."""
    best, best_rate, worse = batches[0], 0.0, 0
    for batch in batches:
        speed = rate(batch)
        if speed > best_rate:
            best, best_rate, worse = batch, speed, 0
        else:
            worse += 1
        if worse == 2:
            break
    return best


def rate_row(rounds: Sequence[Taken], amount: float, key: str = "seconds") -> Taken:
    """Return median, least and greatest rate over rounds, and the greatest memory."""
    rates = [amount / taken[key] for taken in rounds]
    row: Taken = {
        "rate": statistics.median(rates),
        "rate_low": min(rates),
        "rate_high": max(rates),
        "rounds": len(rates),
        "seconds": statistics.median(taken[key] for taken in rounds),
    }
    if key == "seconds" and all("cpu_seconds" in taken for taken in rounds):
        row["cpu_seconds"] = statistics.median(taken["cpu_seconds"] for taken in rounds)
    for memory in ("peak_rss_mib", "extra_gpu_mib"):
        known = [taken[memory] for taken in rounds if memory in taken]
        if known:
            row[memory] = max(known)
    return row


def beside_neighbours(plain: Sequence[float], steered: Sequence[float]) -> Taken:
    """Return seconds of as many answers each, and the rate of every inner one over that of its two neighbours.

    Parameters
    ----------
    plain, steered
        Seconds in the order ``plain[0], steered[0], plain[1], ..., plain[-1]``: a steady drift cancels out.

    Returns
    -------
    ``seconds``, ``steered``; ``ratios`` of steered answers, ``control``: plain answers held against the next plain ones.
    """
    a, b = np.array(plain), np.array(steered)
    return {
        "seconds": float(a.mean() * len(b)),
        "steered": float(b.sum()),
        "ratios": ((a[:-1] + a[1:]) / 2 / b).tolist(),
        "control": ((a[:-2] + a[2:]) / 2 / a[1:-1]).tolist(),
    }


def compared(rows: Sequence[Taken], rounds: Mapping[str, Sequence[Taken]], reference: str) -> None:
    """Write into each row how many times faster the reference was, by the median of the rounds they shared."""
    baseline = rounds.get(reference)
    for row in rows:
        theirs = rounds.get(row["name"])
        if not baseline or not theirs or row["name"] == reference:
            continue
        per_item = {name: row["amount"][name] for name in (reference, row["name"])}
        ratios = [
            (per_item[reference] / mine["seconds"]) / (per_item[row["name"]] / other["seconds"])
            for mine, other in zip(baseline, theirs, strict=False)
        ]
        row["emospace_times"] = statistics.median(ratios)
        row["emospace_times_low"], row["emospace_times_high"] = min(ratios), max(ratios)


def state_agreement(states: np.ndarray, expected: np.ndarray) -> Taken:
    """Return the greatest differences of states ``[n, n_blocks, d_model]``, the last block by itself.

    Relative ones are to the greatest expected value of the block.
    """
    gap = np.abs(states - expected).max(axis=(0, 2))
    size = np.abs(expected).max(axis=(0, 2))
    return {
        "max_abs": float(gap[:-1].max()),
        "max_rel": float((gap / size)[:-1].max()),
        "last_block_max_rel": float((gap / size)[-1]),
    }


def cosines(directions: np.ndarray, expected: np.ndarray) -> Taken:
    """Return least and median cosine of directions ``[n_blocks, d_model]``."""
    size = np.linalg.norm(directions, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = (directions * expected).sum(1) / size
    return {"least_cosine": float(cosine.min()), "median_cosine": float(np.median(cosine))}


def array_agreement(arrays: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> Taken:
    """Return the greatest difference of each array that both have."""
    both = [key for key in expected if key in arrays]
    return {f"{key}_max_abs": float(np.abs(arrays[key] - expected[key]).max()) for key in both}
