"""Whether a NIfTI file is whole: ITK fills what is missing of one with zeros, without a word."""

import gzip
import math
import struct
import zlib
from pathlib import Path

from DynamicSegLib.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = 540
_BLOCK_BYTES = 1 << 20


def require_whole(path: Path) -> None:
    """Compare the size of a NIfTI file (.nii or .nii.gz) with what its header promises.

    A compressed file ends with the size that it unpacks to; only where that does not agree is it unpacked, and then
    its checksum is compared as well.

    Raises
    ------
    InputError: the file ends early, or cannot be unpacked.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC  # names lie, and ITK reads either
        expected = _promised_bytes(path, packed)
        if expected is None:
            return  # ITK says what is wrong with such a header
        size = _unpacked_bytes(path, expected) if packed else path.stat().st_size
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): copy or export it again.") from error
    if size < expected:
        raise InputError(
            f"{path} ends early: it holds {size:,} bytes where its header promises {expected:,}. Copy or export it "
            "again."
        )


def _promised_bytes(path: Path, packed: bool) -> int | None:
    """Bytes of header and voxels as the header has them; None where it is none of NIfTI's that makes sense.

    Source: the headers of NIfTI-1 and NIfTI-2, fields `dim`, `bitpix` and `vox_offset`.
    """
    with gzip.open(path) if packed else path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    for order in "<>":
        if len(header) >= 348 and struct.unpack_from(f"{order}i", header)[0] == 348:
            dim, bits, offset = (f"{order}8h", 40), (f"{order}h", 72), (f"{order}f", 108)
        elif len(header) >= 540 and struct.unpack_from(f"{order}i", header)[0] == 540:
            dim, bits, offset = (f"{order}8q", 16), (f"{order}h", 14), (f"{order}q", 168)
        else:
            continue
        axes, *sizes = struct.unpack_from(dim[0], header, dim[1])
        (bits_a_voxel,), (first,) = (struct.unpack_from(kind, header, place) for kind, place in (bits, offset))
        if not 1 <= axes <= len(sizes) or not math.isfinite(first):
            return None
        return int(first) + math.prod(sizes[:axes]) * bits_a_voxel // 8
    return None


def _unpacked_bytes(path: Path, expected: int) -> int:
    with path.open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == expected % (1 << 32):
            return expected
    size = 0
    with gzip.open(path) as unpacked:
        while block := unpacked.read(_BLOCK_BYTES):
            size += len(block)
    return size
