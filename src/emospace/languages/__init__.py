"""Several languages' emotion spaces in one model, against one another.

What one language brings is `LanguageFeatures`. Two languages: their planes turned onto one another (`pairs`) and the
categories that sit differently (`shifts`). Many: features they have in common (`universal`), the weight of valence and
arousal in each (`weights`), and which of them are alike (`tree`). RSA of two languages is `alignment.language_rsa`. A
figure that cannot be given has no value and a reason.
"""

from emospace.languages.language import LanguageFeatures as LanguageFeatures
from emospace.languages.pairs import (
    CommonPlane as CommonPlane,
    circumplex_fit as circumplex_fit,
    common_plane as common_plane,
)
from emospace.languages.shifts import category_shifts as category_shifts
from emospace.languages.tree import (
    LanguageTree as LanguageTree,
    family_contrast as family_contrast,
    language_tree as language_tree,
)
from emospace.languages.universal import universal_counts as universal_counts
from emospace.languages.weights import Weight as Weight, affect_weights as affect_weights
