"""Publish benchmarks under docs/results.

    python recipes/publish_benchmarks.py RUN [MORE ...] --command COMMAND

Writes ``docs/results/benchmarks.json`` (the rows of each ``RUN/results.json``, of one machine each, without paths),
``docs/results/benchmarks.md`` (the same as tables) and the plot of cost against number of words,
``docs/images/benchmarks-linear.png``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emospace.artefacts import atomic_write, read_json, write_json, write_text
from emospace.display import Get, get_value
from publishing import markdown, markdown_table, parser, without_paths

Row = Mapping[str, Any]
PLOT = "benchmarks-linear.png"

TITLES: Mapping[str, str] = {
    "words": "a. Words in one carrier sentence: all layers, last token",
    "stories": "b. Stories of mixed length: all layers, mean over tokens",
    "vector": "c. A vector for every block from pairs of texts",
    "generate": "d. Steered generation",
    "generate-compiled": "d. Steered generation, compiled, static cache",
    "rsa": "e. Representational similarity: permutations, and resamples of categories",
    "ridge": "f. Ridge: five folds, 13 penalties, two targets",
    "demo": "g. The demo study from nothing",
    "linear": "h. Cost against number of words",
    "serve": "i. Servers under several streams at once",
}
SAID: Mapping[str, str] = {
    "words": "The share is of the words/s that the matrix products alone would allow: the rate at which this machine "
    "does one block's products on as many rows as a batch has tokens, over the products that the words' own tokens "
    "need. Of torch's own products and oneDNN's the faster ones count; they are timed before and after each of "
    "emospace's turns. The tokens that all words share are not "
    "counted: they need be run only once.",
    "stories": "Tools without a mean are given the cheaper task: the state at the last token.",
    "generate": "Greedy, a constant addition after every block at every position. Each steered answer stands between "
    "two unsteered ones of the same process, and a ratio is their mean time over its own; the control is an "
    "unsteered answer held against its neighbours in the same way.",
    "generate-compiled": "As before, with a static cache and the step of one token compiled, as `generate` does it on a "
    "GPU; the prompt is run eagerly; steered and unsteered in two processes.",
    "rsa": "Eight people's matrices. The ceiling is computed anew in each resample (Pearson's r).",
    "ridge": "Folds, penalties and criterion are the same; features have variance 1 in each fold, so that "
    "standardising, which RidgeCV does not, changes nothing. emospace's own row evaluates every penalty, as RidgeCV "
    "does; `grid walked` stops where the error rises on both sides, which is what a study does. RidgeCV() chooses by "
    "leave-one-out: another choice, shown for its speed. `nested` is nested cross-validation: more work.",
    "linear": "Every number of words in a process of its own, states into a store on disk.",
    "serve": "Greedy answers to one prompt, as many at once as there are streams; steered: the bundled vector of joy as a "
    "constant addition, in llama.cpp's server as our exported control vector. `generate` takes the prompts as one batch. "
    "llama.cpp has the same float32 weights, and the file as it is shipped, in 4 bits. `auto` is the precision that "
    "is faster here by trial: bfloat16 where the processor has instructions for it. The first token is that of a prompt of 200 "
    "words, nearly all of one token.",
}


def spread(row: Row, name: str = "rate") -> str:
    """Return a rate with its least and greatest."""
    digits = 1 if row[name] < 100 else 0
    return f"{row[name]:,.{digits}f} ({row[f'{name}_low']:,.{digits}f} to {row[f'{name}_high']:,.{digits}f})"


def times(row: Row) -> str | None:
    """Return how many times faster emospace was, with the least and greatest of the rounds."""
    if "emospace_times" not in row:
        return None
    return (
        f"{row['emospace_times']:.2f} ({row['emospace_times_low']:.2f} to {row['emospace_times_high']:.2f})"
    )


def ratio(row: Row, name: str) -> str | None:
    """Return a ratio with its least and greatest of the rounds."""
    if name not in row:
        return None
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def seconds(row: Row, name: str) -> str | None:
    """Return seconds with their least and greatest."""
    if name not in row:
        return None
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def agreement(row: Row) -> str | None:
    """Return what was compared with emospace's output, in words."""
    said = {
        "max_rel": "greatest relative difference",
        "last_block_max_rel": "last block",
        "least_cosine": "least cosine",
        "median_cosine": "median cosine",
        "same_tokens": "same tokens",
        "value_max_abs": "value",
        "lower_max_abs": "lower bound",
        "upper_max_abs": "upper bound",
        "predicted_max_abs": "predictions",
    }
    values = row.get("agreement") or {}
    return ", ".join(f"{name} {values[key]:.2g}" for key, name in said.items() if key in values) or None


COMMON: Mapping[str, Get] = {"model": "model", "tool": "name", "n": lambda row: f"{row['n']:,}"}
MAYBE: Mapping[str, Get] = {"emospace is faster": times, "against emospace's output": agreement}
"""Columns that are left out where no row has a value."""
RATES: Mapping[str, Get] = {**COMMON, "batch": "batch", "per second": spread, **MAYBE}
GENERATED: Mapping[str, Get] = {
    "model": "model",
    "tool": "name",
    "batch": "n",
    "tokens/s steered": spread,
    "unsteered": lambda row: f"{row['unsteered_rate']:,.1f}",
    "steered/unsteered": lambda row: ratio(row, "steered_over_unsteered"),
    "control": lambda row: ratio(row, "unsteered_over_unsteered"),
    "against emospace's output": agreement,
}
COLUMNS: Mapping[str, Mapping[str, Get]] = {
    **dict.fromkeys(("words", "stories", "vector"), RATES),
    **dict.fromkeys(("generate", "generate-compiled"), GENERATED),
    "rsa": {**COMMON, "what": "unit", "statistic": "variant", "per second": spread, **MAYBE},
    "serve": {
        "tool": "name",
        "streams": "n",
        "tokens/s": spread,
        "steered": lambda row: spread(row, "steered_rate") if "steered_rate" in row else None,
        "steered/unsteered": lambda row: ratio(row, "steered_over_unsteered"),
        "first token, s": lambda row: seconds(row, "first"),
        "steered, s": lambda row: seconds(row, "steered_first"),
    },
    "ridge": {
        "data": "model",
        "tool": "name",
        "seconds": lambda row: f"{row['seconds']:.2f}",
        **MAYBE,
    },
    "linear": {
        "model": "model",
        "words": lambda row: f"{row['n']:,}",
        "seconds": lambda row: f"{row['seconds']:.1f}",
        "words/s": lambda row: f"{row['rate']:,.0f}",
        "resident memory, MiB": lambda row: f"{row['peak_rss_mib']:,.0f}",
        "stored, MiB": lambda row: f"{row['stored_mib']:,.0f}",
    },
}


def section(workload: str, rows: Sequence[Row]) -> str:
    """Return one workload in markdown."""
    parts = [f"## {TITLES[workload]}"]
    if workload in SAID:
        parts.append(SAID[workload])
    done = [row for row in rows if "error" not in row]
    if workload == "demo":
        for row in done:
            stages = markdown_table(("part", "seconds"), ((s["stage"], s["seconds"]) for s in row["stages"]))
            parts.append(f"{row['seconds']:.0f} seconds.\n\n{stages}")
    elif done:
        columns = {
            name: get
            for name, get in COLUMNS[workload].items()
            if name not in MAYBE or any(get_value(row, get) is not None for row in done)
        }
        parts.append(markdown(columns, done))
    for row in done:
        if "products" in row:
            products = row["products"]
            parts.append(
                f"{row['model']}: the products run at {products['flop_per_s'] / 1e9:,.1f} GFLOP/s and would allow "
                f"{products['allowed_rate']:,.0f} words/s; {products['share']:.0%} of it is reached "
                f"({products['share_low']:.0%} to {products['share_high']:.0%})."
            )
        if "extra_gpu_mib" in row:
            copies = (
                f", {row['copies_per_batch']} copies to the host a batch"
                if row.get("copies_per_batch")
                else ""
            )
            parts.append(
                f"{row['name']}, {row['model']}: {row['extra_gpu_mib']:,.0f} MiB over the weights{copies}."
            )
    notes = {f"- {row['name']}: {row['note']}." for row in done if row.get("note")}
    notes |= {f"- {row['name']}: {row['pooling']}." for row in done if row.get("pooling")}
    notes |= {
        f"- {row['name']}, {row['model']}: not measured: {row['error']}" for row in rows if "error" in row
    }
    parts.append("\n".join(sorted(notes)))
    if workload == "linear" and done:
        parts.append(f"![Seconds and memory against number of words](../images/{PLOT})")
    return "\n\n".join(part for part in parts if part)


def page(card: Mapping[str, Any]) -> str:
    """Return the results page in markdown."""
    parts = [
        "# Benchmarks",
        "Rates are medians over interleaved rounds, least and greatest in brackets. All tools have the same weights, "
        "inputs, precision and threads, and the best batch of those tried on a sample. How it is measured: "
        "[benchmarks](../benchmarks.md). Written by `recipes/publish_benchmarks.py` from "
        f"[benchmarks.json](benchmarks.json); made with `{card['command']}`.",
    ]
    for run in card["runs"]:
        on = run["machine"]
        gpu = f", {on['gpu']}" if "gpu" in on else ""
        quick = " Tiny sizes: nothing here is a measurement." if run["quick"] else ""
        parts.append(
            f"Run of {run['date']} on {on['cpu']}, {on['cores']} cores, {on['memory_gib']} GiB{gpu}; "
            f"threads: {run['threads']}, device: {run['device']}.{quick}"
        )
        for workload in TITLES:
            rows = [row for row in run["rows"] if row["workload"] == workload]
            if rows:
                parts.append(section(workload, rows))
        parts.append(f"## Versions\n\n{_versions(run['versions'])}")
    return "\n\n".join(parts) + "\n"


def _versions(entries: Mapping[str, Any]) -> str:
    rows = [
        (
            tool,
            ", ".join(f"{name} {number}" for name, number in entry["versions"].items())
            if "versions" in entry
            else entry["error"],
        )
        for tool, entry in entries.items()
    ]
    return markdown_table(("tool", "versions"), rows)


def plot(rows: Sequence[Row], target: Path) -> None:
    """Draw seconds and resident memory against the number of words, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for model in dict.fromkeys(row["model"] for row in rows):
        points = sorted((row for row in rows if row["model"] == model), key=lambda row: row["n"])
        numbers = [row["n"] for row in points]
        left.loglog(numbers, [row["seconds"] for row in points], "o-", label=model)
        right.semilogx(numbers, [row["peak_rss_mib"] for row in points], "o-", label=model)
        first = points[0]
        left.loglog(
            numbers, [first["seconds"] * n / first["n"] for n in numbers], ":", color="grey", linewidth=1
        )
    left.set(xlabel="words", ylabel="seconds", title="Time (dotted: linear)")
    right.set(xlabel="words", ylabel="MiB", title="Greatest resident memory")
    right.set_ylim(bottom=0)
    left.legend(frameon=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, lambda temporary: figure.savefig(temporary, dpi=150, format="png"))
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, read, write."""
    options = parser(__doc__, several=True).parse_args(arguments)
    runs = [without_paths(read_json(run / "results.json")) for run in options.runs]
    card = {"command": without_paths(options.command), "runs": runs}
    target = options.docs / "benchmarks.json"
    write_json(target, card)
    linear = [
        row for run in runs for row in run["rows"] if row["workload"] == "linear" and "error" not in row
    ]
    if linear:
        plot(linear, options.docs.parent / "images" / PLOT)
    write_text(target.with_suffix(".md"), page(card))
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main()
