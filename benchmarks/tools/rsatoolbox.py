"""rsatoolbox 0.3.2: bootstrap over patterns with its noise ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np

PACKAGES = ("rsatoolbox", "numpy", "scipy")
_METHODS = {"pearson": "corr", "spearman": "spearman"}


def load(*_: Any) -> None:
    """Nothing to load."""


def rsa_bootstrap(_: Any, model: np.ndarray, humans: np.ndarray, n: int, statistic: str) -> dict[str, float]:
    """`eval_bootstrap_pattern`, with the ceiling in each resample for Pearson's r; point estimates by `eval_fixed`."""
    from rsatoolbox.inference import eval_bootstrap_pattern, eval_fixed
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs

    np.random.seed(0)  # noqa: NPY002 - the generator it draws from
    method, fixed = _METHODS[statistic], ModelFixed("model", RDMs(model[None]))
    data = RDMs(humans)
    whole = eval_fixed(fixed, data, method=method)
    drawn = eval_bootstrap_pattern(fixed, data, method=method, N=n, boot_noise_ceil=statistic == "pearson")
    figures = {"value": float(np.mean(whole.evaluations)), "sd_drawn": float(np.nanstd(drawn.evaluations))}
    if statistic == "pearson":
        figures["lower"], figures["upper"] = (float(bound) for bound in np.ravel(whole.noise_ceiling))
        figures["sd_lower"], figures["sd_upper"] = (float(np.nanstd(bound)) for bound in drawn.noise_ceiling)
    return figures
