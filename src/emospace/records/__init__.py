"""The shape of a published figure: what `results.json` holds, one flat record per number.

A record says what was measured, on what, with which interval and on how many; a figure that could not be
given is null and carries the reason. No record holds a time of day: two runs of one command are equal.
"""

from emospace.records.figures import (
    AlignmentRecord,
    CategoryShiftRecord,
    ComparisonRecord,
    CrossLanguageRecord,
    FamilyRecord,
    FeatureRecord,
    FeatureSet,
    LanguageRSARecord,
    PredictionRecord,
    ReadingRecord,
    Statistic,
    SteeringRecord,
    UniversalRecord,
)
from emospace.records.flat import UNDEFINED, Explained, Flat, P, Provenance, Record
from emospace.records.results import FORMAT, Manifest, ModelRecord, NotComputed, Results, SaeRecord, Source
from emospace.records.summary import SummaryRecord, summarised

__all__ = [
    "FORMAT",
    "UNDEFINED",
    "AlignmentRecord",
    "CategoryShiftRecord",
    "ComparisonRecord",
    "CrossLanguageRecord",
    "Explained",
    "FamilyRecord",
    "FeatureRecord",
    "FeatureSet",
    "Flat",
    "LanguageRSARecord",
    "Manifest",
    "ModelRecord",
    "NotComputed",
    "P",
    "PredictionRecord",
    "Provenance",
    "ReadingRecord",
    "Record",
    "Results",
    "SaeRecord",
    "Source",
    "Statistic",
    "SteeringRecord",
    "SummaryRecord",
    "UniversalRecord",
    "summarised",
]
