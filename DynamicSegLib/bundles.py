"""Bundles on this machine: finding, writing and installing them."""

import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DynamicSegLib.bank import Bank, Candidate
from DynamicSegLib.bundle import CARD_FILE, DESCRIPTION_FILE, FORMAT_VERSION, Bundle, checksum_of, read_bundle
from DynamicSegLib.errors import BundleError
from DynamicSegLib.files import put_in_place
from DynamicSegLib.resources import home_folder, shipped_folder
from DynamicSegLib.weights import Storage, save_weights

if TYPE_CHECKING:
    from torch import Tensor

_MOST_UNPACKED_BYTES = 2 << 30
# It names a folder, on every system.
_PLAIN_NAME = re.compile(r"\w[\w .-]{0,98}\w|\w")


def search_folders() -> list[Path]:
    """Folders that hold bundles, first found wins: `DYNAMICSEG_BUNDLES`, the user's own, the shipped ones."""
    chosen = [Path(part) for part in os.environ.get("DYNAMICSEG_BUNDLES", "").split(os.pathsep) if part]
    return [*chosen, home_folder() / "bundles", shipped_folder("Bundles")]


def find_bundles() -> dict[str, Path]:
    """Every bundle folder by name, checked or not."""
    found: dict[str, Path] = {}
    for folder in search_folders():
        with suppress(PermissionError):  # what a user may not read is not there for that user
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if (path / DESCRIPTION_FILE).is_file():
                    found.setdefault(path.name, path)
    return found


def load_bundle(name: str | os.PathLike[str]) -> Bundle:
    """A bundle by name, or by the path of its folder.

    Raises
    ------
    BundleError: no such bundle, or it does not pass the checks of `read_bundle`.
    """
    path = Path(name)
    if (path / DESCRIPTION_FILE).is_file():
        return read_bundle(path)
    found = find_bundles()
    if str(name) not in found:
        raise BundleError(
            f"There is no bundle {str(name)!r}: expected one of {', '.join(found) or 'none installed'}, or the path of "
            "a bundle's folder. `dynamicseg bundles install FILE` adds one."
        )
    return read_bundle(found[str(name)])


def install_bundle(archive: str | os.PathLike[str], replace: bool = False) -> Bundle:
    """Install a bundle from a ZIP file (or a folder) into the user's folder, checked first, whole or not at all.

    Raises
    ------
    BundleError: not a ZIP file, no bundle inside, a damaged one, or a bundle of that name is there already.
    """
    source = Path(archive)
    if not source.exists():
        raise BundleError(f"{source} does not exist: check the path.")
    target_root = home_folder() / "bundles"
    try:
        target_root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".install-", dir=target_root))
    except OSError as error:
        raise BundleError(
            f"{target_root} cannot be written to ({error.strerror}): let DYNAMICSEG_HOME name another folder."
        ) from error
    try:
        folder = _unpacked(source, scratch)
        bundle = read_bundle(folder)
        if not isinstance(bundle.name, str) or not _PLAIN_NAME.fullmatch(bundle.name):
            raise BundleError(
                f"{source} calls itself {bundle.name!r}: expected a name of letters, digits, spaces, '_', '.' and '-'."
            )
        target = target_root / bundle.name
        if target.exists() and not replace:
            raise BundleError(f"A bundle {bundle.name!r} is installed already: pass --replace to install this one.")
        put_in_place(folder, target)
        return read_bundle(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpacked(source: Path, scratch: Path) -> Path:
    if source.is_dir():
        return Path(shutil.copytree(source, scratch / "bundle"))
    if not zipfile.is_zipfile(source):
        raise BundleError(f"{source} is not a ZIP file or a bundle's folder: expected a bundle as it was downloaded.")
    try:
        with zipfile.ZipFile(source) as archive:
            if sum(item.file_size for item in archive.infolist()) > _MOST_UNPACKED_BYTES:
                raise BundleError(f"{source} unpacks to more than {_MOST_UNPACKED_BYTES >> 30} GB: this is no bundle.")
            archive.extractall(scratch)
    # Encrypted, or packed in a way that Python does not know: RuntimeError, NotImplementedError.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise BundleError(f"{source} cannot be unpacked ({error}): download it again.") from error
    folders = [path.parent for path in scratch.rglob(DESCRIPTION_FILE)]
    if len(folders) != 1:
        raise BundleError(f"{source} holds {len(folders)} files {DESCRIPTION_FILE} where one was expected.")
    return folders[0]


def write_bundle(
    folder: Path,
    bundle: Bundle,
    states: Mapping[str, Mapping[str, "Tensor"]],
    router_state: Mapping[str, "Tensor"] | None,
    card: str,
    storage: Storage = Storage.FLOAT16,
) -> Bundle:
    """Write a bundle's folder, whole or not at all, and read it back.

    Parameters
    ----------
    folder: `.../<name>`; an existing bundle there is replaced.
    bundle: everything but weights and paths, e.g. of `methods.med_danet.reference_bundle`; files of `int8` are copied.
    states: one state dict a candidate, by name, each of the bare network; candidates whose `weights` are one file in
        `bundle` get one file here too.
    card: MODEL_CARD.md.
    storage: type of the weights in the files.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        scratch = Path(beside) / folder.name
        scratch.mkdir()
        for candidate in bundle.bank.candidates:
            file = scratch / _weights_file(bundle.bank, candidate)
            if not file.exists():
                save_weights(file, states[candidate.name], storage)
        if router_state is not None:
            save_weights(scratch / _file_of("router"), router_state, Storage.FLOAT32)
        for name, model in bundle.int8.items():
            for part in (model, model.with_suffix(".bin")):
                shutil.copy(part, (scratch / _int8_file(name)).with_suffix(part.suffix))
        (scratch / CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        files = {path.name: checksum_of(path) for path in sorted(scratch.iterdir())}
        text = json.dumps({**_description(bundle), "files": files}, indent=2, ensure_ascii=False)
        (scratch / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")
        read_bundle(scratch)
        put_in_place(scratch, folder)
    return read_bundle(folder)


def _file_of(name: str) -> str:
    return f"{name.lower()}.safetensors"


def _int8_file(name: str) -> str:
    return f"{name.lower()}-int8.xml"


def _weights_file(bank: Bank, candidate: Candidate) -> str:
    """The candidate's file, named after it; what several ways to run one network share keeps its name."""
    sharing = [other for other in bank.candidates if other.weights and other.weights == candidate.weights]
    return _file_of(candidate.name if len(sharing) < 2 else Path(str(candidate.weights)).stem)


def _description(bundle: Bundle) -> dict[str, Any]:
    spec = asdict(bundle.input)
    spec["normalisation"]["kind"] = bundle.input.normalisation.kind.value
    router = bundle.router
    return {
        "format": FORMAT_VERSION,
        "name": bundle.name,
        "method": bundle.method,
        "facts": dict(bundle.facts),
        "input": spec,
        "labels": [asdict(label) for label in bundle.labels],
        "regions": {name: list(values) for name, values in bundle.regions.items()},
        "alpha": bundle.alpha,
        "candidates": [
            {
                "name": candidate.name,
                "network": candidate.network,
                "arguments": dict(candidate.arguments),
                "neighbours_mm": list(candidate.context.neighbours_mm),
                "weights": _weights_file(bundle.bank, candidate),
                **asdict(candidate.cost(bundle.input.size, bundle.bank.modalities)),
            }
            for candidate in bundle.bank.candidates
        ],
        "router": None
        if router is None
        else {
            "network": router.network,
            "arguments": dict(router.arguments),
            "weights": _file_of("router"),
        },
        "cleaning": None if bundle.cleaning is None else bundle.cleaning.to_plain(),
        "second_look_mm2": bundle.second_look_mm2,
        "int8": {name: _int8_file(name) for name in bundle.int8},
        "dice_lost": dict(bundle.dice_lost),
        "curve": [asdict(point) for point in bundle.curve],
    }
