"""Stand-in of slicer.packaging: in testing mode nothing is installed, as in the application."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import slicer
from packaging.requirements import Requirement


def pip_check(requirement: str | Requirement | list[Any]) -> bool:
    """Tells whether every requirement is installed in a fitting version."""
    needed = requirement if isinstance(requirement, list) else [requirement]
    return all(_installed(Requirement(each) if isinstance(each, str) else each) for each in needed)


def pip_ensure(
    requirements: str | Requirement | list[Any],
    constraints: Any = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Skips what is missing in testing mode; asks and gives up where a user would be asked."""
    needed = requirements.split() if isinstance(requirements, str) else requirements
    missing = [each for each in (needed if isinstance(needed, list) else [needed]) if not pip_check(each)]
    if not missing:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info(f"Testing mode is enabled: skipping pip_ensure for {missing}")
        return None
    raise RuntimeError("User declined package installation")


def _installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
