"""The human side of the geometry: how similar people treat the categories, and where each lies on valence-arousal."""

from emospace.structure.agreement import (
    FEWEST_CONCEPTS as FEWEST_CONCEPTS,
    PEOPLE as PEOPLE,
    WANTED as WANTED,
    ValenceAgreement as ValenceAgreement,
    valence_agreement as valence_agreement,
)
from emospace.structure.files import (
    read_structure_card as read_structure_card,
    structure_from_file as structure_from_file,
    write_structure_card as write_structure_card,
)
from emospace.structure.ratings import (
    FEWEST_RATED as FEWEST_RATED,
    CategoryRatings as CategoryRatings,
    category_ratings as category_ratings,
)
from emospace.structure.rdms import from_rdms as from_rdms, to_rdms as to_rdms
from emospace.structure.similarity import (
    FEWEST_COMPARED as FEWEST_COMPARED,
    CategoryStructure as CategoryStructure,
    list_structures as list_structures,
    load_structure as load_structure,
    phi as phi,
    structures_for as structures_for,
)
