"""The workloads without a language model: representational similarity, and ridge."""

from __future__ import annotations

from functools import partial

from bench import OWN, Bench, arrays_agree, finish
from rounds import Taken


def rsa(bench: Bench, _model: None, workload: str) -> list[Taken]:
    """Permute labels, and resample categories with the noise ceiling in every resample (e)."""
    rows: list[Taken] = []
    sizes, saved = bench.sizes, bench.out / "outputs"
    saved.mkdir(exist_ok=True)
    processes = bench.pool([OWN, "rsatoolbox"])
    for n in sizes.categories:
        inputs = str(bench.files[f"matrices_{n}"])
        common = {"model": f"{n} categories", "workload": workload}
        scale = max(1, n // 26) ** 2
        amount = sizes.permutations // scale
        call = partial(processes[OWN].ask, "call", name="rsa_permutations", inputs=inputs, n=amount)
        call(n=100)
        entries: list[Taken] = [{"name": OWN, "tool": OWN, "n": amount, "unit": "permutations", **common}]
        finish(entries, bench.run({OWN: call}), {OWN: amount})
        rows += entries
        for statistic in ("pearson", "spearman"):
            amounts = {
                OWN: max(32, sizes.bootstraps // scale),
                "rsatoolbox": max(3, sizes.bootstraps_rsatoolbox // max(1, n // 26)),
            }
            calls = {
                tool: partial(
                    processes[tool].ask, "call", name="rsa_bootstrap", inputs=inputs, n=amount,
                    statistic=statistic, save=str(saved / f"rsa-{tool}.npz"),
                )
                for tool, amount in amounts.items()
            }  # fmt: skip
            for tool, call in calls.items():
                call(n=min(3, amounts[tool]))
            unit = "resamples with ceiling" if statistic == "pearson" else "resamples"
            pair: list[Taken] = [
                {"name": tool, "tool": tool, "n": amount, "unit": unit, "variant": statistic, **common}
                for tool, amount in amounts.items()
            ]
            finish(pair, bench.run(calls), amounts)
            arrays_agree(
                pair,
                {tool: saved / f"rsa-{tool}.npz" for tool in amounts},
                OWN,
                ("value", "lower", "upper"),
            )
            rows += pair
    return rows


def ridge(bench: Bench, _model: None, workload: str) -> list[Taken]:
    """Choose a penalty by five folds and predict (f)."""
    saved = bench.out / "outputs"
    saved.mkdir(exist_ok=True)
    n, d = bench.sizes.ridge
    variants = {
        OWN: (OWN, "ridge_same_grid"),
        "emospace, grid walked": (OWN, "ridge_walked"),
        "emospace, nested": (OWN, "ridge_nested"),
        "RidgeCV(cv=5)": ("scikit_learn", "ridge_cv5"),
        "RidgeCV()": ("scikit_learn", "ridge_loo"),
    }
    paths = {name: saved / f"ridge-{function}.npz" for name, (_, function) in variants.items()}
    processes = bench.pool([OWN, "scikit_learn"])
    inputs = str(bench.files["regression"])
    # What is imported at the first call is no part of the work.
    for tool, function in variants.values():
        processes[tool].ask("call", name=function, inputs=str(bench.files["regression_small"]))
    turns = {
        name: partial(processes[tool].ask, "call", name=function, inputs=inputs, save=str(paths[name]))
        for name, (tool, function) in variants.items()
    }
    rows: list[Taken] = [
        {
            "name": name,
            "tool": tool,
            "variant": name,
            "model": f"{n} x {d}",
            "workload": workload,
            "n": n,
            "unit": "fits",
        }
        for name, (tool, _) in variants.items()
    ]
    finish(rows, bench.run(turns), dict.fromkeys(variants, 1))
    arrays_agree(rows, paths, OWN, ("predicted", "alpha"))
    return rows
