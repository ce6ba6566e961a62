"""The short way for scripts: a bundle, a study, a segmentation."""

import os
from collections.abc import Mapping
from dataclasses import replace

from DynamicSegLib.budget import Budget
from DynamicSegLib.bundle import Bundle
from DynamicSegLib.bundles import load_bundle
from DynamicSegLib.methods import mutualnet
from DynamicSegLib.methods.registry import start_run
from DynamicSegLib.reading import Source, read_case, read_volume
from DynamicSegLib.segmentation import Segmentation
from DynamicSegLib.study import Study, build_study

__all__ = ["load_bundle", "read_study", "segment"]


def read_study(
    case: str | os.PathLike[str] | None,
    bundle: Bundle,
    volumes: Mapping[str, Source] | None = None,
    mask: str | os.PathLike[str] | None = None,
) -> Study:
    """Read a case for a bundle: a folder recognised by its names, one 4D file, or `volumes` by modality.

    Raises
    ------
    InputError: see `reading.read_case` and `study.build_study`.
    """
    images = read_case(case, bundle.input.modalities, volumes)
    return build_study(images, bundle.input, None if mask is None else read_volume(mask))


def tailored(bundle: Bundle, *, cleaning: bool = True, second_look: bool = True, per_volume: bool = False) -> Bundle:
    """A bundle that does without what is False, or runs one configuration on all slices; see `segment`.

    Raises
    ------
    BundleError: `per_volume`, and the bundle has no query table.
    """
    bundle = bundle if cleaning else replace(bundle, cleaning=None)
    bundle = bundle if second_look else replace(bundle, second_look_mm2=None)
    return mutualnet.per_volume(bundle) if per_volume else bundle


def segment(
    study: Study,
    bundle: Bundle,
    budget: str | Budget | None = None,
    alpha: float | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    setting: str = "whole",
    cleaning: bool = True,
    second_look: bool = True,
    per_volume: bool = False,
) -> Segmentation:
    """Segment a study.

    Parameters
    ----------
    budget: `"300G"` multiply-accumulates, `"40%"` of the costliest candidate everywhere, `"5s"`, or None for the
        papers' rule.
    alpha: weight of cost in that rule (Med-DANet, Eq. 4); None for the decision network's own choice.
    device, backend, precision, setting: see `methods.registry.start_run`.
    cleaning: mend the labels as the bundle says (see `cleaning.Cleaning`); False leaves them as the networks gave them.
    second_look: run skipped slices beside a large finding after all, as the bundle says (see `second_look`); with False
        every skip stands, as in the papers.
    per_volume: one configuration for all slices, the best that the bundle's query table has within the budget
        (MutualNet); alpha, a rule for single slices, plays no part then.

    Raises
    ------
    BudgetError, BackendError, BundleError: each says what to do.
    """
    bundle = tailored(bundle, cleaning=cleaning, second_look=second_look, per_volume=per_volume)
    run = start_run(study, bundle, device=device, backend=backend, precision=precision, setting=setting)
    asked = Budget.parse(budget) if isinstance(budget, str) else budget
    plan = run.plan(asked, alpha, mutualnet.one_for_all(run, asked) if per_volume else None)
    for _ in run.execute(plan):
        pass
    return run.segmentation()
