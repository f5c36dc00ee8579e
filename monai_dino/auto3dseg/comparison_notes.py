# SPDX-License-Identifier: Apache-2.0
"""What a reader must know to read the tables of a comparison."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version

import monai
import torch

import monai_dino
from monai_dino.auto3dseg.budget import VALIDATIONS
from monai_dino.auto3dseg.comparison import Comparison
from monai_dino.auto3dseg.postprocessing_choice import RULE

__all__ = ["notes"]


def notes(comparison: Comparison) -> list[str]:
    """Says how the comparison was made.

    Args:
        comparison: the comparison.

    Returns:
        Sentences.
    """
    settings, folds = comparison.settings, comparison.folds
    cases = sum(len(fold.held_out) for fold in folds)
    patients = len({str(item["patient"]) for fold in folds for item in fold.held_out})
    within = "validations included" if settings.budget.minutes is not None else "whatever time they take"
    lines = [
        f"{cases} cases of {patients} patients in {len(folds)} folds by patient. Every case is held out once, and then "
        f"measured by a network that neither was trained nor selected on it.",
        f"Each training has {settings.budget}, {within}, and one seed ({settings.seed}). A fifth of its patients "
        f"select the best of about {VALIDATIONS} moments, or of fewer where validations would else take more "
        f"than a fifth of the time.",
        f"Settings of all: {json.dumps(dict(comparison.used))}.",
    ]
    if comparison.task == "segmentation":
        lines += [
            "Mean ± standard deviation over cases (95 % bootstrap interval over patients). HD95 in mm (pictures: "
            f"pixels); NSD is the normalised surface Dice at a tolerance of {settings.tolerance:g} in that unit.",
            "A class that is neither there nor predicted is left out. Where it is in one mask alone, HD95 is the "
            "diagonal of the image. A case that an algorithm could not predict has Dice, Jaccard and NSD of 0, and "
            "this HD95.",
        ]
        if settings.postprocessing:
            lines.append(
                "Post-processing (none, opening, closing, largest component, and what they make together) is chosen by "
                f"the Dice of the validation cases of each fold and algorithm: {RULE}."
            )
    else:
        lines += [
            "Metrics over all held-out cases, whose probabilities are from the networks of different folds (95 % "
            "bootstrap interval over patients).",
            "A case that an algorithm could not predict counts as predicted wrongly, with certainty.",
        ]
    lines.append(
        "Tests: Wilcoxon's signed-rank test over patients, two-sided, corrected by Holm over all pairs. They are about "
        "these trainings; another seed is another training."
    )
    lines += weights_sentences(comparison.weights)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    lines.append(
        f"Trained with {_threads(comparison)} threads; written on {platform.machine()}{gpu}, "
        f"torch {torch.__version__}, MONAI {monai.__version__}, transformers {version('transformers')}, "
        f"monai_dino {monai_dino.__version__}."
    )
    return lines


def _threads(comparison: Comparison) -> str:
    """Of the trainings, which may have run elsewhere than what writes this."""
    found = {number for s in comparison.standings if (number := s.costs.get("threads")) is not None}
    if not found:
        return "an unknown number of"
    return " to ".join(f"{number:g}" for number in sorted({min(found), max(found)}))


def weights_sentences(weights: Mapping[str, str | None]) -> list[str]:
    """From which weights our networks start: the name, and a digest of the content by which it can be checked.

    Args:
        weights: name of the algorithm -> digest; ``None`` for random weights.

    Returns:
        The sentences.
    """
    given = {name: named for name, named in weights.items() if named is not None}
    lines = []
    for digest in dict.fromkeys(given.values()):
        names = ", ".join(name for name, own in given.items() if own == digest)
        lines.append(f"Weights of {names}: {digest}.")
    if without := [name for name in weights if name not in given]:
        lines.append(f"From random weights, for none were given: {', '.join(without)}.")
    return lines
