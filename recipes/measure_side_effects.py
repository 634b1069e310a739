"""Measure what the shipped vectors of the embedded model change beside the tone, and publish it.

    python recipes/measure_side_effects.py runs/side-effects

Each of the basic six at its calibrated dose, and random directions at the median dose, answer the evaluation prompts and the
probes of `emospace.evaluation.side_effects`; no judge takes part. Answers are kept in the folder. Writes
``docs/results/side-effects.json`` and ``.md``; no generated text is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from emospace.artefacts import write_json, write_text
from emospace.display import Get
from emospace.evaluation.answers import answer
from emospace.evaluation.cells import standard_cells
from emospace.evaluation.prompts import load_prompts
from emospace.evaluation.side_effects import side_effects
from emospace.models import load_model
from emospace.specs import BASIC, Sampling, SteeringSpec
from emospace.steering.bank import load_vectors
from publishing import DOCS, command_line, gaps, made_by, made_on, markdown

COLUMNS: Mapping[str, Get] = {
    "emotion": lambda record: record.emotion or record.vector,
    "figure": "figure",
    "steered": "value",
    "unsteered": "base_value",
    "change": "change",
    "low": "change_low",
    "high": "change_high",
    "n": "n",
}


def main() -> None:
    """Answer, count, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--n-random", type=int, default=1)
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args()
    spec = SteeringSpec(
        emotions=BASIC,
        doses=(1.0,),
        random_doses=(1.0,),
        n_random=options.n_random,
        sampling=Sampling(n_tokens=32),
        batch_size=128,
        side_effects=True,
        out=options.out,
    )
    model = load_model(spec.model)
    cells = [cell for cell in standard_cells(spec, load_vectors(model).in_mode(spec.mode)) if cell.is_probed]
    prompts = load_prompts(spec.language, "evaluation")[: spec.n_prompts]
    effects = side_effects(spec, model, cells, answer(spec, model, cells, prompts))
    card = made_by(command_line())
    write_json(
        options.docs / "side-effects.json",
        {**card, "records": [record.model_dump(mode="json") for record in effects.records]},
    )
    head = (
        f"# Results: side effects of steering\n\n{model.name}, shipped vectors at their calibrated dose, seed {spec.seed}; what "
        f"each figure counts is in [steering](../steering.md#evaluate). {made_on(card)} Written by "
        "`recipes/measure_side_effects.py` with [side-effects.json](side-effects.json)."
    )
    table, missing = markdown(COLUMNS, effects.records), gaps(effects.not_computed)
    write_text(options.docs / "side-effects.md", f"{head}\n\n{table}\n\n## Not computed\n\n{missing}\n")


if __name__ == "__main__":
    main()
