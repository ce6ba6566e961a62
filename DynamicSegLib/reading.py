"""Volumes from files: NIfTI, NRRD, MetaImage and DICOM series, one by one or a case folder recognised by its names."""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DynamicSegLib.errors import InputError
from DynamicSegLib.files import require_utf8
from DynamicSegLib.naming import guess_modality, is_label_name
from DynamicSegLib.nifti import require_whole

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
# Modality order of the Decathlon's brain tumours where no dataset.json is at hand.
DECATHLON_ORDER = ("flair", "t1", "t1ce", "t2")
# ITK's NIfTI reader keeps the last file's name in a string that all threads share without a lock: two that read at once
# can free it twice, which ends the process ("double free or corruption").
_READING = threading.Lock()
# ITK's mark on a series whose slices do not lie at equal distances, however little they differ.
_UNEVEN = "ITK_non_uniform_sampling_deviation"
LARGEST_UNEVENNESS = 0.1
"""Of the usual distance of slices; scanners round positions."""


@dataclass(frozen=True)
class DicomSeries:
    """One series of a folder that may hold several."""

    folder: Path
    uid: str

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(self.folder), self.uid))

    @property
    def description(self) -> str:
        """The scanner's series description, or an empty text."""
        reader = sitk.ImageFileReader()
        reader.SetFileName(self.files[0])
        reader.ReadImageInformation()
        tag = "0008|103e"
        return reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""

    def __str__(self) -> str:
        return f"{self.folder} ({self.description or self.uid})"


def is_volume_file(path: Path) -> bool:
    """Whether the file's name ends like one of the formats read here; hidden files do not count."""
    return path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(SUFFIXES)


Source = str | os.PathLike[str] | DicomSeries


def read_volume(source: Source) -> sitk.Image:
    """Read one volume: a file, a folder that holds one DICOM series, or one series of a folder.

    A DICOM file stands for the whole series that it belongs to.

    Returns
    -------
    A SimpleITK image with the stored pixel type; 4D files come back as they are (see `read_case`).

    Raises
    ------
    InputError: the path does not exist, cannot be read as an image, ends early, or holds several DICOM series, or one
        with gaps.
    """
    if not isinstance(source, DicomSeries):
        source = _series_or_file(Path(source))
    if isinstance(source, Path) and source.name.lower().endswith((".nii", ".nii.gz")):
        require_whole(source)
    try:
        with _READING, _quiet():
            image = sitk.ReadImage(source.files if isinstance(source, DicomSeries) else str(source))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"{source} cannot be read as a volume ({reason}). Expected NIfTI, NRRD, MetaImage or a DICOM series; "
            "is the file complete?"
        ) from error
    if isinstance(source, DicomSeries) and image.HasMetaDataKey(_UNEVEN):
        _require_even_slices(source)
    return image


def label_values(image: sitk.Image, source: object) -> NDArray[np.uint8]:
    """The voxels `[slice, row, column]` of a label volume that was read from `source`.

    Raises
    ------
    InputError: it is no 3D volume of one number a voxel, or holds a value that is no whole number from 0 to 255.
    """
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        kind = f"{image.GetDimension()}D, {image.GetPixelIDTypeAsString()}"
        raise InputError(f"{source} is no 3D label volume ({kind}): give one with one number a voxel.")
    values = sitk.GetArrayFromImage(image)
    with np.errstate(invalid="ignore"):
        labels = values.astype(np.uint8)
    wrong = values[values != labels]
    if wrong.size:
        raise InputError(
            f"{source} holds the value {wrong[0]:g}, which is no label: expected whole numbers from 0 to 255."
        )
    return labels


def _series_or_file(path: Path) -> DicomSeries | Path:
    require_utf8(path)
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path.")
    if path.is_dir():
        return _only_series(path)
    if path.name.lower().endswith(SUFFIXES):
        return path
    for series in _series_in(path.parent):
        if len(series.files) > 1 and path.name in (Path(file).name for file in series.files):
            return series
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Without ITK's warnings, which tell of folders without series, and of what errors here say better."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _require_even_slices(series: DicomSeries) -> None:
    """InputError for slices at unequal distances, which ITK evens out: labels would lie beside what they label."""
    positions = []
    for file in series.files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        positions.append(reader.GetOrigin())
    distances = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    usual = float(np.median(distances))
    if np.abs(distances - usual).max() > LARGEST_UNEVENNESS * usual:
        raise InputError(
            f"{series} has slices at unequal distances ({distances.min():.2f} to {distances.max():.2f} mm): a slice is "
            "missing, or two series are mixed. Export the series again."
        )


def read_volumes(paths: Mapping[str, Source]) -> dict[str, sitk.Image]:
    """Read several volumes, one after the other. Raises InputError like `read_volume`."""
    return {name: read_volume(path) for name, path in paths.items()}


def read_case(
    case: str | os.PathLike[str] | None,
    modalities: Sequence[str],
    named: Mapping[str, Source] | None = None,
) -> dict[str, sitk.Image]:
    """The volumes of one case, by modality.

    Parameters
    ----------
    case: a folder of volumes recognised by name, a folder of DICOM series (flat or one folder a series), one 4D file
        (or a folder with one), or None where `named` says everything.
    modalities: what the bundle needs.
    named: files or DICOM folders given by name; they win over the folder's.

    Raises
    ------
    InputError: a modality is missing, two files claim the same one, or a file cannot be read.
    """
    named = dict(named or {})
    unknown = [name for name in named if name not in modalities]
    if unknown:
        raise InputError(f"Volume {unknown[0]!r} is not one of this bundle's modalities: {', '.join(modalities)}.")
    missing = [name for name in modalities if name not in named]
    if not missing or case is None:
        _require(modalities, named, "the volumes given")
        return read_volumes(named)
    path = Path(case)
    if not path.exists():
        raise InputError(f"{path} does not exist: check the path of the case.")
    four_d = _four_d_file(path)
    if four_d is not None:
        images = _split(four_d, len(modalities))
    else:
        found = _by_modality(path, _sources_in(path), missing)
        _require(modalities, {**found, **named}, f"{path}")
        images = read_volumes(found)
    images.update(read_volumes(named))
    _require(modalities, images, f"{path}")
    return {name: images[name] for name in modalities}


def _require(modalities: Iterable[str], found: Mapping[str, object], where: str) -> None:
    missing = [name for name in modalities if name not in found]
    if missing:
        raise InputError(
            f"{', '.join(missing)} not found in {where} (found: {', '.join(found) or 'nothing'}). "
            f"Name the file: --volume {missing[0]}=FILE."
        )


def _sources_in(folder: Path) -> dict[Path | DicomSeries, str]:
    """Readable things in a folder, each with the words that may tell its modality."""
    if folder.is_file():
        return {folder: folder.name}
    sources: dict[Path | DicomSeries, str] = {
        path: path.name for path in sorted(folder.iterdir()) if is_volume_file(path)
    }
    sources = sources or {series: series.description for series in _series_in(folder)}
    if sources:
        return sources
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = [p for p in sorted(path.iterdir()) if is_volume_file(p) and not is_label_name(p.name)]
        if len(files) == 1:
            sources[files[0]] = f"{files[0].name} {path.name}"
        elif not files:
            sources.update({series: f"{path.name} {series.description}" for series in _series_in(path)})
    return sources


def _by_modality(
    case: Path, sources: Mapping[Path | DicomSeries, str], modalities: Sequence[str]
) -> dict[str, Path | DicomSeries]:
    found: dict[str, Path | DicomSeries] = {}
    for source, words in sources.items():
        modality = guess_modality(words, modalities)
        if modality is None:
            continue
        if modality in found:
            raise InputError(
                f"{found[modality]} and {source} in {case} both look like {modality}. "
                f"Say which one: --volume {modality}=FILE (of a DICOM series, any of its files)."
            )
        found[modality] = source
    return found


def _series_in(folder: Path) -> list[DicomSeries]:
    require_utf8(folder)
    with _quiet():
        return [DicomSeries(folder, uid) for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))]


def _only_series(folder: Path) -> DicomSeries:
    series = _series_in(folder)
    if not series:
        raise InputError(f"{folder} holds no DICOM series: name a volume file or a folder of DICOM files.")
    if len(series) > 1:
        raise InputError(
            f"{folder} holds {len(series)} DICOM series where one was expected: name any file of the one that is meant."
        )
    return series[0]


def _four_d_file(path: Path) -> Path | None:
    files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if is_volume_file(p)]
    files = [file for file in files if not is_label_name(file.name)]
    if len(files) != 1 or not is_volume_file(files[0]):
        return None
    require_utf8(files[0])
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(files[0]))
    try:
        with _READING:
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    return files[0] if reader.GetDimension() == 4 else None


def _split(path: Path, expected: int) -> dict[str, sitk.Image]:
    image = read_volume(path)
    order = _order_from_dataset(path) or DECATHLON_ORDER
    if image.GetSize()[3] != len(order):
        raise InputError(
            f"{path} holds {image.GetSize()[3]} volumes where {expected} were expected ({', '.join(order)}): "
            "give the volumes as single files."
        )
    return {name: image[:, :, :, index] for index, name in enumerate(order)}


def _order_from_dataset(path: Path) -> tuple[str, ...] | None:
    """Modality order from the Decathlon's dataset.json beside or above the file."""
    for folder in list(path.resolve().parents)[:2]:
        description = folder / "dataset.json"
        if not description.is_file():
            continue
        try:
            modality = json.loads(description.read_text(encoding="utf-8"))["modality"]
            names = [str(modality[key]) for key in sorted(modality, key=int)]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{description} does not say which volume is which ({type(error).__name__}: {error}): expected "
                '"modality": {"0": "FLAIR", ...}. Mend it, or give the volumes as single files.'
            ) from error
        guesses = [guess_modality(name, DECATHLON_ORDER) for name in names]
        return tuple(guess or name.lower() for guess, name in zip(guesses, names, strict=True))
    return None
