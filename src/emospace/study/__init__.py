"""The whole way through the package for one model: cached, resumable, ending in records and tables.

`inputs` loads what a `StudySpec` names, `run` gives parts of it to the stages, and `stage` keeps their results.
"""

from emospace.specs import StudySpec as StudySpec
from emospace.study.run import run_study as run_study
