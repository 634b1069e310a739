"""How far the package is from independent implementations, at most: the tests that compare them, run and measured.

    python recipes/compare_references.py [--out docs/results/references.json]

Runs each test below and keeps the largest deviation of all its comparisons: the largest difference, and this over the
largest number expected. Exits with 1 where a test fails or compares nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Reference:
    """What is compared with an implementation that shares no code with ours, and the tests that do so."""

    quantity: str
    library: str
    tests: tuple[str, ...]


STATS, SPACE, PREDICTION = (f"tests/unit/test_{name}.py::" for name in ("stats", "space", "prediction"))
SAE, SAE_FILES = "tests/integration/test_sae.py::", "tests/integration/test_sae_files.py::"
REFERENCES = (
    Reference(
        "RDMs and their correlation",
        "rsatoolbox",
        (f"{SPACE}test_rdms_and_their_correlation_match_rsatoolbox",),
    ),
    Reference("RSA with gaps", "rsatoolbox", (f"{STATS}test_gaps_give_what_rsatoolbox_does_with_them",)),
    Reference(
        "noise ceilings of RSA",
        "rsatoolbox",
        ("tests/unit/test_benchmarks.py::test_point_estimates_and_ceilings_are_those_of_rsatoolbox",),
    ),
    Reference(
        "ridge, nested cross-validation",
        "scikit-learn",
        (
            f"{PREDICTION}test_predictions_equal_explicit_nested_cross_validation",
            f"{PREDICTION}test_transfer_fits_on_one_language_and_predicts_another",
            f"{PREDICTION}test_the_estimator_is_ridge_at_the_penalty_it_chose",
            "tests/unit/test_reading.py::test_ridge_is_scikit_learns_on_standardised_features",
        ),
    ),
    Reference("PCA", "scikit-learn", (f"{SPACE}test_pca_is_that_of_scikit_learn_but_for_signs",)),
    Reference(
        "AUROC",
        "scikit-learn",
        (
            "tests/unit/test_judges_embedded.py::test_auroc_is_that_of_sklearn_and_needs_texts_on_both_sides",
            "tests/unit/test_auc.py::test_auc_is_that_of_scikit_learn",
        ),
    ),
    Reference(
        "ranks and correlations",
        "scipy",
        (
            f"{STATS}test_correlations_match_scipy",
            f"{STATS}test_fisher_interval_matches_scipy",
            f"{STATS}test_rdm_correlation_matches_scipy",
        ),
    ),
    Reference(
        "tests of word sets",
        "scipy",
        (
            f"{STATS}test_one_stratum_rank_sum_agrees_with_mann_whitney",
            f"{STATS}test_rate_test_matches_cochran_mantel_haenszel",
            f"{STATS}test_rate_test_is_exact_in_one_stratum_and_over_several",
        ),
    ),
    Reference(
        "Cochran-Mantel-Haenszel statistic, false discovery rate",
        "statsmodels",
        (f"{STATS}test_strata_and_false_discoveries_are_those_of_statsmodels",),
    ),
    Reference(
        "false discovery rate",
        "scipy",
        (f"{STATS}test_fdr_matches_scipy_and_leaves_untested_entries_alone",),
    ),
    Reference(
        "codes and reconstructions, every architecture",
        "sae-lens",
        (
            f"{SAE}test_codes_and_reconstructions_are_those_of_saelens",
            f"{SAE}test_half_precision_weights_give_saelens_and_us_the_same_codes",
            f"{SAE}test_a_folder_saved_by_saelens_itself_is_read",
            f"{SAE_FILES}test_a_folder_as_downloaded_gives_the_codes_of_saelens",
            f"{SAE_FILES}test_gemma_scope_1_is_read_by_the_names_of_its_folders",
            f"{SAE_FILES}test_what_changes_the_meaning_and_is_computed_is_as_in_saelens",
        ),
    ),
    Reference(
        "states of every layer but the last, every family",
        "transformers",
        ("tests/integration/test_activations.py::test_states_are_those_that_transformers_returns",),
    ),
)


class Deviations:
    """A pytest plugin that measures every comparison of numbers within a tolerance."""

    def __init__(self) -> None:
        self.n, self.absolute, self.relative, self.passed = 0, 0.0, 0.0, 0

    def measure(self, ours: Any, theirs: Any) -> None:
        """Keep how far two arrays are apart, where they are arrays of numbers."""
        a, b = (np.asarray(getattr(side, "expected", side), dtype=np.float64) for side in (ours, theirs))
        apart = np.abs(a - b)
        largest = float(np.nanmax(apart, initial=0.0))
        self.n += int(np.isfinite(apart).sum())
        self.absolute = max(self.absolute, largest)
        self.relative = max(self.relative, largest / max(float(np.nanmax(np.abs(b), initial=0.0)), 1e-300))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the tests that pass."""
        self.passed += report.when == "call" and report.passed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure what tests compare while this lasts."""
        import torch

        def watched(compare: Callable[..., Any]) -> Callable[..., Any]:
            def both(ours: Any, theirs: Any, *rest: Any, **options: Any) -> Any:
                self.measure(ours, theirs)
                return compare(ours, theirs, *rest, **options)

            return both

        def approximate(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
            def both(expected: Any, actual: Any) -> bool:
                if not getattr(self, "inside", False):
                    self.measure(actual, expected)
                self.inside = True
                try:
                    return compare(expected, actual)
                finally:
                    self.inside = False

            return both

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.testing, "assert_allclose", watched(np.testing.assert_allclose))
            patch.setattr(np, "allclose", watched(np.allclose))
            patch.setattr(torch.testing, "assert_close", watched(torch.testing.assert_close))
            for kind in {type(pytest.approx(value)) for value in (1.0, [1.0], np.ones(1))}:
                patch.setattr(kind, "__eq__", approximate(kind.__eq__))
            yield


def compared(reference: Reference) -> dict[str, Any]:
    """Run the tests of a reference and return its row."""
    seen = Deviations()
    with seen.watching():
        code = pytest.main(
            [
                "-q",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                "--no-header",
                "--rootdir",
                str(ROOT),
                *reference.tests,
            ],
            plugins=[seen],
        )
    if code or not seen.n:
        raise SystemExit(f"{reference.quantity} ({reference.library}): a test fails or compares nothing")
    return {
        "quantity": reference.quantity,
        "library": f"{reference.library} {version(reference.library)}",
        "tests": seen.passed,
        "numbers": seen.n,
        "largest difference": seen.absolute,
        "over largest number": seen.relative,
        "by": list(reference.tests),
    }


def main() -> None:
    """Run all comparisons and publish them."""
    from emospace.artefacts import write_json
    from publishing import command_line, made_by

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args()
    os.chdir(ROOT)
    rows = [compared(reference) for reference in REFERENCES]
    for row in rows:
        print({key: row[key] for key in row if key != "by"}, file=sys.stderr)
    if options.out:
        write_json(options.out, made_by(command_line()) | {"rows": rows})


if __name__ == "__main__":
    main()
