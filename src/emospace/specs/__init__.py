"""What each command and its Python function can be asked for: one declaration of every option.

A field's description is the option's help text, and its constraints are those of the option. `cli.options` builds the
command line from these classes, and ``--config FILE`` reads them. This package imports nothing heavy, because
``--help`` needs it.
"""

from emospace.specs.base import (
    BASIC,
    MAX_FEATURES,
    MODEL,
    OUTPUT,
    SHARD_TOKENS,
    WHAT,
    CalibratedSource,
    ChatModelSpec,
    Mode,
    ModelSpec,
    Op,
    Pooling,
    Rule,
    Scope,
    Spec,
    VectorSource,
    option,
)
from emospace.specs.steering import (
    CalibrationSpec,
    CrossingSpec,
    ExportSpec,
    Sampling,
    SteeringSpec,
    TextSpec,
    ToneSpec,
)
from emospace.specs.studies import (
    CacheSpec,
    CheckSpec,
    CompareSpec,
    Limits,
    ReadSpec,
    SaeSpec,
    ServeSpec,
    StudySpec,
    Training,
    TrainSpec,
)

__all__ = [
    "BASIC",
    "MAX_FEATURES",
    "MODEL",
    "OUTPUT",
    "SHARD_TOKENS",
    "WHAT",
    "CacheSpec",
    "CalibratedSource",
    "CalibrationSpec",
    "ChatModelSpec",
    "CheckSpec",
    "CompareSpec",
    "CrossingSpec",
    "ExportSpec",
    "Limits",
    "Mode",
    "ModelSpec",
    "Op",
    "Pooling",
    "ReadSpec",
    "Rule",
    "SaeSpec",
    "Sampling",
    "Scope",
    "ServeSpec",
    "Spec",
    "SteeringSpec",
    "StudySpec",
    "TextSpec",
    "ToneSpec",
    "TrainSpec",
    "Training",
    "VectorSource",
    "option",
]
