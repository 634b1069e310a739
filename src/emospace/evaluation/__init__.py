"""What steering does to the texts of a model: generation, fluency, content and the tone that judges hear."""

from emospace.evaluation.cells import Cell, standard_cells
from emospace.evaluation.generation import Generated, generate, perplexity, stream
from emospace.evaluation.grid import Evaluation, evaluate
from emospace.evaluation.prompts import FactualPrompt, load_prompts, prompt_kind
from emospace.specs import Sampling, SteeringSpec

__all__ = [
    "Cell",
    "Evaluation",
    "FactualPrompt",
    "Generated",
    "Sampling",
    "SteeringSpec",
    "evaluate",
    "generate",
    "load_prompts",
    "perplexity",
    "prompt_kind",
    "standard_cells",
    "stream",
]
