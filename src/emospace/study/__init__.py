"""The whole way through the package for one model: cached, resumable, ending in records and tables.

`inputs` loads what a `StudySpec` names, `run` gives parts of it to the stages, and `stage` keeps their results.
"""

from emospace.study.run import run_study
from emospace.study.spec import StudySpec

__all__ = ["StudySpec", "run_study"]
