"""The whole way through the house for one model: cached, resumable, ending in records and tables."""

from emospace.study.material import Study
from emospace.study.run import run, run_study
from emospace.study.spec import StudySpec

__all__ = ["Study", "StudySpec", "run", "run_study"]
