"""The shape of a published figure: what `results.json` holds, one flat record per number.

A record says what was measured, on what, with which interval and on how many; a figure that could not be
given is null and carries the reason. No record holds a time of day: two runs of one command are equal.
"""

from emospace.records.figures import (
    Alignment as Alignment,
    AlignmentRecord as AlignmentRecord,
    CategoryShift as CategoryShift,
    CategoryShiftRecord as CategoryShiftRecord,
    ComparisonRecord as ComparisonRecord,
    CrossLanguageRecord as CrossLanguageRecord,
    FamilyContrast as FamilyContrast,
    FamilyRecord as FamilyRecord,
    FeatureRecord as FeatureRecord,
    LanguageRSA as LanguageRSA,
    LanguageRSARecord as LanguageRSARecord,
    NormsAgreementRecord as NormsAgreementRecord,
    PredictionRecord as PredictionRecord,
    ReadingRecord as ReadingRecord,
    SideEffectRecord as SideEffectRecord,
    Statistic as Statistic,
    SteeringRecord as SteeringRecord,
    UniversalCount as UniversalCount,
    UniversalRecord as UniversalRecord,
)
from emospace.records.flat import (
    UNDEFINED as UNDEFINED,
    Explained as Explained,
    Flat as Flat,
    P as P,
    Record as Record,
    Saved as Saved,
    cross_tabulated as cross_tabulated,
    grouped as grouped,
    matching as matching,
    to_frame as to_frame,
)
from emospace.records.headlines import (
    geometry as geometry,
    headline as headline,
    is_beside_the_answer as is_beside_the_answer,
    main_space as main_space,
    norms_of as norms_of,
    structures_of as structures_of,
    targets_of as targets_of,
)
from emospace.records.results import (
    Manifest as Manifest,
    ModelRecord as ModelRecord,
    NotComputed as NotComputed,
    Results as Results,
    SaeRecord as SaeRecord,
    Source as Source,
    SummaryRecord as SummaryRecord,
    summarised as summarised,
)
from emospace.records.verdict import (
    EARLIER as EARLIER,
    INPUT as INPUT,
    QUESTIONS as QUESTIONS,
    SIGNIFICANT as SIGNIFICANT,
    AnswerRecord as AnswerRecord,
    Evidence as Evidence,
    Question as Question,
    Verdict as Verdict,
    verdicts as verdicts,
)
