"""The model card, written from the run: data, method, figures, costs, limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from DynamicSegLib.bundle import Bundle
from DynamicSegLib.cost import Cost
from DynamicSegLib.evaluation.decisions import CalibrationBin, DecisionQuality
from DynamicSegLib.training.export import RunRecord

Runs = Mapping[str, RunRecord | None]
"""What the runs behind a bundle say of themselves, by what they trained; None for those of older versions."""


@dataclass(frozen=True)
class CardFigures:
    """What a validation found.

    table: Markdown of `evaluation.tables`. per_case: Dice by structure. precisions: Markdown of `training.precisions`,
    empty where they were not judged.
    """

    cases: Sequence[str]
    table: str
    activation: Mapping[str, Mapping[str, float]]
    decisions: DecisionQuality
    calibration: Mapping[str, Sequence[CalibrationBin]]
    per_case: Mapping[str, Mapping[str, float]]
    precisions: str = ""


def model_card(
    bundle: Bundle,
    prices: Mapping[str, Cost],
    figures: CardFigures,
    training: Mapping[str, str],
    runs: Runs,
) -> str:
    """MODEL_CARD.md. `training`: heading -> text, what only the run's owner knows (data, schedule, deviations)."""
    facts = bundle.facts
    parts = [
        f"# {facts.get('title', bundle.name)}",
        str(facts.get("description", "")),
        f"**Intended use.** {facts.get('intended_use', 'Research only, not for diagnosis.')}",
        f"**Licence.** {facts.get('licence', 'not stated')}",
        *(f"## {heading}\n\n{text}" for heading, text in training.items()),
        _runs(runs),
        _second_look(bundle),
        _cleaning(bundle),
        _costs(bundle, prices),
        _validation(figures, runs),
        _decisions(figures),
        _precisions(figures),
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _runs(runs: Runs) -> str:
    known = {name: run for name, run in runs.items() if run is not None}
    if not known:
        return ""
    lines, learned = ["## Runs", ""], dict[tuple[str, ...], list[str]]()
    for name, run in known.items():
        start = "" if run.start is None else f", from the weights of bundle {run.start}"
        lines.append(f"- {name}: {run.steps:,} steps, seed {run.seed}{start}, ended on {run.finished}.")
        learned.setdefault(run.cases, []).append(name)
    lines += [
        f"- {', '.join(who)} learned from {len(cases)} cases: {', '.join(cases)}." for cases, who in learned.items()
    ]
    return "\n".join(lines)


def _second_look(bundle: Bundle) -> str:
    if bundle.second_look_mm2 is None:
        return ""
    return (
        "## Second look\n\n"
        f"A skipped slice beside one on which at least {bundle.second_look_mm2:g} mm² were found is run after all, by "
        "what its neighbour got, as far as the budget goes. The figures below are with second looks."
    )


def _cleaning(bundle: Bundle) -> str:
    cleaning = bundle.cleaning
    if cleaning is None:
        return ""
    names = {label.value: label.name for label in bundle.labels}
    lines = ["## Cleaning after the networks", ""]
    if cleaning.smallest_island_ml:
        lines.append(
            f"- Connected parts of less than {cleaning.smallest_island_ml:g} mL become background; the largest part "
            "always stays."
        )
    lines += [
        f"- {names[value]} of less than {rule.millilitres:g} mL in the whole case becomes {names[rule.becomes]}."
        for value, rule in cleaning.smallest_label_ml.items()
    ]
    lines += [
        "",
        "Dice and distances of cases are of cleaned labels; what is said of single slices is of labels as the networks "
        "gave them.",
    ]
    return "\n".join(lines)


def _costs(bundle: Bundle, prices: Mapping[str, Cost]) -> str:
    rows, columns = bundle.input.size
    lines = [
        f"## Costs of one slice of {rows} x {columns}",
        "",
        "| option | macs | paper FLOPs | parameters |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {c.macs:,} | {c.paper_flops:,} | {c.parameters:,} |" for name, c in prices.items()]
    return "\n".join(lines)


def _relation(cases: Sequence[str], runs: Runs) -> str:
    """What the held-out cases are to the bundle's networks."""
    known = [run for run in runs.values() if run is not None]
    if any(case in run.cases for run in known for case in cases):
        return (
            "They are cross-validated: each was judged by networks trained in the same way without it. Those of this "
            "bundle learned from these cases too, so there is none left on which they themselves could be judged."
        )
    if len(known) < len(runs):
        return "Not every run recorded its cases; that these are others is what the configuration says."
    if any(run.start is not None for run in known):
        return "The runs did not learn from them; what the bundle that they went on from had learned from is not known."
    return "The runs did not learn from them."


def _validation(figures: CardFigures, runs: Runs) -> str:
    names = list(next(iter(figures.per_case.values())))
    lines = [
        f"## Figures on {len(figures.cases)} held-out case{'s' if len(figures.cases) > 1 else ''}",
        "",
        _relation(figures.cases, runs),
        "",
        "Mean ± standard deviation over cases. Empty structures count as in the BraTS challenges (both empty: Dice 1; "
        "one empty: Dice 0 and 373.13 mm). The router's cost is in every row that asks it.",
        "",
        figures.table,
        "Share of slices by option:",
        "",
        *_activation(figures.activation),
        "",
        "Dice of the dynamic choice, case by case:",
        "",
        "| case | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {case} | " + " | ".join(f"{dice[name]:.3f}" for name in names) + " |"
            for case, dice in figures.per_case.items()
        ),
    ]
    return "\n".join(lines)


def _activation(ratios: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [f"- {p}: " + ", ".join(f"{n} {v:.2f}" for n, v in shares.items()) for p, shares in ratios.items()]


def _decisions(figures: CardFigures) -> str:
    quality = figures.decisions
    calibrated = (
        "calibrated on the other cases" if len(figures.cases) > 1 else "not calibrated, for lack of other cases"
    )
    lines = [
        "## Decisions",
        "",
        f"Of the skipped slices {quality.skip_right:.1%} are truly empty; {quality.skip_found:.1%} of the empty slices "
        f"are skipped. Skipped with tumour on them: {quality.missed_slices} slices, {quality.missed_ml:.2f} mL "
        f"({quality.missed_share:.2%} of all tumour). A slice with tumour loses {quality.regret:.4f} Dice on average "
        "against the best candidate there.",
        "",
        f"Promised against reached slice Dice (slices with tumour, equally full bins; {calibrated}):",
        "",
    ]
    for name, bins in figures.calibration.items():
        pairs = ", ".join(f"{b.promised:.2f} -> {b.reached:.2f} ({b.slices})" for b in bins)
        lines.append(f"- {name}: {pairs}")
    return "\n".join(lines)


def _precisions(figures: CardFigures) -> str:
    if not figures.precisions:
        return ""
    lines = [
        "## In lower precision",
        "",
        "The same cases, every second slice, each option on all of them, labels not cleaned:",
        "",
        figures.precisions,
    ]
    return "\n".join(lines)
