"""Model structure against human structure: axes and circumplex (`affect`), representational similarity (`rsa`).

Every function returns `Alignment` values, which `records.AlignmentRecord` holds with the model: a figure that cannot be
given has no value and a reason.
"""

from emospace.alignment.affect import (
    Circumplex as Circumplex,
    axes as axes,
    cebra_alignment as cebra_alignment,
    procrustes as procrustes,
)
from emospace.alignment.rsa import (
    language_rsa as language_rsa,
    rsa_affect as rsa_affect,
    rsa_structure as rsa_structure,
)
from emospace.records import Alignment as Alignment
