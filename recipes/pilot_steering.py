"""Compare ways of steering on calibration prompts with the calibration judge: no figure that is reported is looked at.

    python recipes/pilot_steering.py [--model embedded] [--n-prompts 12] [--ways 0,3,3:1]

Each way is a set of vectors, a multiple of their calibrated dose and a guidance; it is tried on the basic six of a model in
English. Written for each: how often the judge finds the target, as it is and with the words of all concept-sets
masked, its mean probability, the perplexity under the unsteered model over that of the unsteered answer (geometric mean over
emotions of the medians), the part of the factual questions of calibration, answered rightly unsteered, that stay right, and
distinct bigrams. Answers share their random numbers. What was tried is kept in the cache, so a run that was stopped goes
on; the table is written anew after each way. A rate's standard error is about .05 at 12 prompts.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emospace.artefacts import cache_dir, content_hash, read_json, write_json, write_text
from emospace.concepts import load_concepts
from emospace.display import say
from emospace.evaluation.content import answered, distinct_n
from emospace.evaluation.estimates import row_mean
from emospace.evaluation.materials import Materials, materials
from emospace.evaluation.prompts import load_factual, load_prompts, prompt_kind
from emospace.evaluation.scores import hits
from emospace.generation import Sampling, generate, generate_together, perplexity
from emospace.judges import BASIC, BASIC_SEVEN, load_judge
from emospace.judges.masking import mask_concepts
from emospace.models import load_model
from emospace.specs import CalibrationSpec, Guidance, Scope, VectorSource
from emospace.steering import SteeringVector, plan_steering
from emospace.steering.bank import load_vectors
from emospace.steering.vectors import Recipe, category_vectors
from publishing import DOCS, made_by, made_on, markdown_table

if TYPE_CHECKING:
    from emospace.models import LanguageModel

FORMAT = 3
JUDGE, LANGUAGE = "ngram", "en"


@dataclass(frozen=True)
class Way:
    """How answers are steered: vectors, the dose, guidance, and which tokens."""

    dose: float
    guidance: Guidance
    vectors: str
    scope: Scope | None = None

    def named(self) -> dict[str, Any]:
        """Return what tells it from other ways."""
        return {**asdict(self), "guidance": self.guidance.given}


def guided(
    weight: float,
    cost: float = 0.0,
    plausible: float = 0.02,
    **more: float,
) -> Guidance:
    """Return a guidance with all said, so that nothing is as the vector was calibrated."""
    return Guidance(weight=weight, plausible=plausible, cost=cost, **more).over(None)


PLAIN = Guidance().over(None)
WAYS = (
    Way(1.0, PLAIN, "shipped"),
    Way(0.75, PLAIN, "shipped"),
    Way(0.75, guided(2), "shipped"),
    Way(0.75, guided(3, 0.8), "shipped"),
    Way(1.0, guided(3, 0.8), "shipped"),
    Way(0.75, guided(2, candidates=4), "shipped"),
    Way(1.0, guided(2), "mix 0.5"),
    Way(1.0, guided(3, 0.8), "mix 0.5"),
    Way(1.3, guided(2), "mix 0.5"),
    Way(0.75, guided(3, 0.4), "shipped"),
    Way(0.75, guided(1), "shipped"),
    Way(0.75, guided(3, plausible=0.05), "shipped"),
    Way(1.0, PLAIN, "mix 0.5"),
    Way(1.0, guided(2), "mix 0"),
    Way(1.0, guided(2), "dense 0.5"),
    Way(0.75, guided(2), "shipped", "response"),
    Way(0.5, guided(4), "shipped"),
    Way(0.75, guided(2, 0.8), "shipped"),
    Way(0.75, guided(2, 0.4), "shipped"),
    Way(1.0, guided(2, 0.8), "mix 0.5"),
    Way(0.6, PLAIN, "shipped"),
    Way(1.0, guided(1), "shipped"),
    Way(1.0, guided(1, plausible=0.01, candidates=4, block=10), "shipped"),
    Way(0.75, guided(2, candidates=4, block=10), "shipped"),
    Way(1.2, guided(1, plausible=0.01, candidates=4, block=10), "shipped"),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10), "shipped"),
    Way(1.0, guided(1, plausible=0.01, candidates=8, block=8), "shipped"),
    Way(1.0, guided(1, plausible=0.01, candidates=4, block=5), "shipped"),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5), "shipped"),
    Way(1.0, guided(1, plausible=0.01, candidates=4, block=10, sharpen=1.5), "shipped"),
    Way(0.75, guided(2, candidates=4, block=10, sharpen=1.5), "shipped"),
    Way(0.75, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5), "shipped"),
    Way(1.0, guided(1, plausible=0, sharpen=1.5), "shipped"),
    Way(0.85, guided(2, candidates=4, block=10, sharpen=1.5), "shipped"),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.25), "shipped"),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.5), "shipped"),
    Way(1.25, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.4), "shipped"),
    Way(1.5, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.3), "shipped"),
    Way(1.0, guided(1.5, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.35), "shipped"),
    Way(1.5, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.2), "shipped"),
    Way(1.25, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.25), "shipped"),
    Way(2.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.2), "shipped"),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.25), "shipped"),
    Way(),
    Way(),
    Way(
        1.0,
        "shipped",
    ),
    Way(1.0, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.2), "shipped"),
    Way(1.25, guided(1, plausible=0, candidates=4, block=10, sharpen=1.5, certainty=0.2), "shipped"),
)
"""``mix 0.5`` names vectors made anew: source and contrast, cleaned of directions common to all text, dose 1."""


class Pilot:
    """A model, what it is asked, and how it answers unsteered."""

    def __init__(self, model: LanguageModel, n_prompts: int, n_tokens: int, seed: int) -> None:
        self.model = model
        self.judge, self.sets = load_judge(JUDGE), load_concepts([LANGUAGE])
        kind = prompt_kind(model, None)
        self.prompts = load_prompts(LANGUAGE, "calibration", None, kind)[:n_prompts]
        self.sampling = Sampling(n_tokens=n_tokens, seed=seed)
        self.greedy = Sampling(n_tokens=16, temperature=0.0)
        plain = generate(self.model, self.prompts, sampling=self.sampling)
        self.base = perplexity(self.model, self.prompts, plain)
        facts = load_factual(LANGUAGE, None, kind, "calibration")
        right = answered(
            generate(self.model, [fact.prompt for fact in facts], sampling=self.greedy).texts,
            [fact.answers for fact in facts],
        )
        self.known = [fact for fact, is_right in zip(facts, right, strict=True) if is_right]
        self._materials: Materials | None = None

    def vectors(self, name: str) -> dict[str, SteeringVector]:
        """Return the vectors of the basic six."""
        if name == "shipped":
            bank = load_vectors(self.model)
            return {emotion: bank.vector(emotion) for emotion in BASIC}
        source, contrast = name.split()
        made = self._materials = self._materials or materials(self.model, CalibrationSpec())
        kind: VectorSource = "dense" if source == "dense" else "mix"
        recipe = Recipe(source=kind, contrast=float(contrast), cleaned=True)
        vectors = category_vectors(
            made.states, made.sets, recipe, sae=made.sae, features=made.features, layers=made.layers
        )
        return {emotion: vectors[emotion] for emotion in BASIC}

    def tried(self, way: Way) -> dict[str, Any]:
        """Return the figures of a way, from the cache where it was tried before."""
        vectors = self.vectors(way.vectors)
        plans = {}
        for emotion, vector in vectors.items():
            dose = way.dose * (vector.dose() if way.vectors == "shipped" else 1.0)
            plans[emotion] = plan_steering(
                self.model,
                vector,
                dose,
                mode="relative",
                op="clamp",
                scope=way.scope,
                guidance=way.guidance,
            )
        rows = [row for vector in vectors.values() for row in vector.directions.values()]
        key = content_hash(
            *(FORMAT, way.named(), [plan.dose for plan in plans.values()], list(self.prompts), *rows),
            *(self.sampling.model_dump(), [fact.prompt for fact in self.known], self.judge.content_hash),
            self.model.content_hash,
        )
        path = cache_dir() / "steering" / "ways" / f"{key}.json"
        if path.is_file():
            return dict(read_json(path))
        asked = [(self.prompts, plans[emotion]) for emotion in BASIC]
        made = generate_together(self.model, asked, sampling=self.sampling, batch_size=len(asked) * 24)
        questions = [fact.prompt for fact in self.known]
        replies = generate_together(
            self.model,
            [(questions, plans[emotion]) for emotion in BASIC],
            sampling=self.greedy,
            batch_size=144,
        )
        figures: dict[str, Any] = {"rate": {}, "masked": {}, "probability": {}, "ratio": {}, "facts": {}}
        for emotion, answers, facts in zip(BASIC, made, replies, strict=True):
            judged = self.judge.judge(answers.texts, LANGUAGE)
            masked = self.judge.judge(mask_concepts(answers.texts, self.sets, LANGUAGE), LANGUAGE)
            ratio = perplexity(self.model, self.prompts, answers) / self.base
            right = answered(facts.texts, [fact.answers for fact in self.known])
            figures["rate"][emotion] = row_mean(hits(judged, emotion))
            figures["masked"][emotion] = row_mean(hits(masked, emotion))
            figures["probability"][emotion] = row_mean(judged.seven[:, BASIC_SEVEN.index(emotion)])
            figures["ratio"][emotion] = float(np.nanmedian(ratio))
            figures["facts"][emotion] = float(right.mean())
        figures["distinct2"] = float(np.mean([distinct_n(answers.texts, 2) for answers in made]))
        write_json(path, figures)
        return figures


def means(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures over the six."""
    mean = {
        name: float(np.mean(list(figures[name].values())))
        for name in ("rate", "masked", "probability", "facts")
    }
    ratio = float(np.exp(np.mean(np.log(list(figures["ratio"].values())))))
    return {**mean, "ratio": ratio, "distinct2": figures["distinct2"]}


def main() -> None:
    """Try the ways in turn and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--n-prompts", type=int, default=12)
    parser.add_argument("--n-tokens", type=int, default=40)
    parser.add_argument("--ways", default="", help="numbers of ways, 3:1 for another seed than 0; else all")
    parser.add_argument("--name", default="steering-ways", help="of the files in docs/results")
    options = parser.parse_args()
    numbers = [tuple(map(int, name.split(":"))) for name in options.ways.split(",") if name]
    asked = [(WAYS[number[0]], (*number, 0)[1]) for number in numbers] or [(way, 0) for way in WAYS]
    model = load_model(options.model, dtype="auto")
    pilots = {seed: Pilot(model, options.n_prompts, options.n_tokens, seed) for _, seed in asked}
    card = made_by(shlex.join(["python", "recipes/pilot_steering.py", *sys.argv[1:]]))
    card |= {
        "model": options.model,
        "judge": JUDGE,
        "n_prompts": options.n_prompts,
        "n_tokens": options.n_tokens,
        "n_facts": len(next(iter(pilots.values())).known),
    }
    entries: list[dict[str, Any]] = []
    for way, seed in asked:
        figures = pilots[seed].tried(way)
        entries.append({"way": way.named(), "seed": seed, "mean": means(figures), "by_emotion": figures})
        write_json(DOCS / f"{options.name}.json", {**card, "ways": entries})
        write_text(DOCS / f"{options.name}.md", page(card, entries))
        say(f"{way.vectors} {way.dose:g} {way.guidance} seed {seed}: {means(figures)}")


def page(card: dict[str, Any], entries: list[dict[str, Any]]) -> str:
    """Return the page of the figures."""
    columns = ("rate", "masked", "probability", "ratio", "facts", "distinct2")
    rows = [
        [
            way["vectors"],
            f"{way['dose']:g}",
            str(Guidance(**way["guidance"])),
            way["scope"] or "all",
            entry["seed"],
            *(entry["mean"][name] for name in columns),
        ]
        for entry in entries
        for way in [entry["way"]]
    ]
    names = ("vectors", "dose", "guidance", "scope", "seed", "rate", "words masked", "probability")
    more = ("perplexity ratio", "facts kept", "distinct-2")
    return (
        "# Ways of steering, on calibration prompts\n\n"
        f"{card['model']}, judge `{card['judge']}`, basic six, {card['n_prompts']} calibration prompts, "
        f"{card['n_tokens']} tokens, {card['n_facts']} questions answered rightly unsteered. The dose is a multiple of the "
        "calibrated one of the vectors shipped at that date, of the norm that is left for vectors made anew (source and contrast). "
        f"{made_on(card)} Written by `recipes/pilot_steering.py`; no evaluation prompt and no reporting judge took part.\n\n"
        f"{markdown_table((*names, *more), rows)}\n"
    )


if __name__ == "__main__":
    main()
