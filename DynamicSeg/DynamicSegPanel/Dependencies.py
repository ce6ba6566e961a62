"""Packages that Slicer does not bring along: asked for, installed once, and explained where that fails."""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from DynamicSegLib.errors import BackendError

TORCH = "torch>=2.4"


def ensureDependencies(requirementsFile: str) -> None:
    """Makes torch and the packages of `requirementsFile` importable, after asking the user.

    Raises
    ------
    BackendError: the user declined, or an installation failed; the message says what to do.
    """
    try:
        _ensure(Path(requirementsFile).read_text(encoding="utf-8").split())
        if not _installed(TORCH):
            _ensureTorch()
    except Exception as error:  # pip, network, disk, proxy, consent: whatever it was, the user needs the way out
        raise BackendError(
            _(
                "Packages that the networks need are not installed ({reason}). Without a network connection, copy the "
                "wheels to this computer and run slicer.util.pip_install('--no-index --find-links FOLDER torch "
                "safetensors') in the Python console."
            ).format(reason=error)
        ) from error
    if not _installed(TORCH):
        raise BackendError(
            _("PyTorch is not installed, and nothing is installed in testing mode.")
            if slicer.app.testingEnabled()
            else _("PyTorch is not installed. Press Apply again and agree, or install it with the PyTorch extension.")
        )


def _ensureTorch() -> None:
    """Torch through the PyTorch extension where it is there, since it knows the graphics card's driver."""
    try:
        import PyTorchUtils
    except ImportError:
        _ensure([TORCH])
        return
    PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True)


def _ensure(requirements: list[str]) -> None:
    missing = [requirement for requirement in requirements if not _installed(requirement)]
    if not missing:
        return
    try:
        import slicer.packaging
    except ImportError:  # Slicer before 5.12
        _ask(missing)
        return
    slicer.packaging.pip_ensure(missing, requester="DynamicSeg")


def _ask(missing: list[str]) -> None:
    if slicer.app.testingEnabled():
        return
    question = _("DynamicSeg needs these Python packages: {names}. Install them now?").format(names=", ".join(missing))
    if not slicer.util.confirmOkCancelDisplay(question):
        raise BackendError(_("installation was declined"))
    for requirement in missing:
        slicer.util.pip_install(requirement)


def _installed(requirement: str) -> bool:
    """Whether `name>=version` is there; only this form is used."""
    name, _separator, minimum = requirement.partition(">=")
    try:
        return _numbers(version(name)) >= _numbers(minimum)
    except PackageNotFoundError:
        return False


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.13.0+cpu` gives `(2, 13, 0)`."""
    found = re.match(r"[0-9.]*", text)
    return tuple(int(part) for part in found.group().split(".") if part) if found else ()
