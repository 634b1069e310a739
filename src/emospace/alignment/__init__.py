"""Model structure against human structure: axes and circumplex (`affect`), representational similarity (`rsa`).

Every function returns `Alignment` values, flat and ready for a record: a figure that cannot be given has no
value and a reason.
"""

from emospace.alignment.affect import Circumplex, axes, cebra_alignment, procrustes
from emospace.alignment.figure import Alignment
from emospace.alignment.rsa import LanguageAlignment, language_rsa, rsa_affect, rsa_structure

__all__ = [
    "Alignment",
    "Circumplex",
    "LanguageAlignment",
    "axes",
    "cebra_alignment",
    "language_rsa",
    "procrustes",
    "rsa_affect",
    "rsa_structure",
]
