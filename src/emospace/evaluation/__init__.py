"""What steering does to the texts of a model: their fluency, their content and the tone that judges find in them."""

from emospace.evaluation.cells import Cell, standard_cells
from emospace.evaluation.grid import Evaluation, evaluate
from emospace.evaluation.prompts import FactualPrompt, load_factual, load_prompts, prompt_kind
from emospace.specs import SteeringSpec

__all__ = [
    "Cell",
    "Evaluation",
    "FactualPrompt",
    "SteeringSpec",
    "evaluate",
    "load_factual",
    "load_prompts",
    "prompt_kind",
    "standard_cells",
]
