"""Model structure against human structure: axes and circumplex (`affect`), representational similarity (`rsa`).

Every function returns `Alignment` values, which `records.AlignmentRecord` holds with the model: a figure that cannot be
given has no value and a reason.
"""

from emospace.alignment.affect import Circumplex, axes, cebra_alignment, procrustes
from emospace.alignment.rsa import language_rsa, rsa_affect, rsa_structure
from emospace.records import Alignment

__all__ = [
    "Alignment",
    "Circumplex",
    "axes",
    "cebra_alignment",
    "language_rsa",
    "procrustes",
    "rsa_affect",
    "rsa_structure",
]
