"""Training images and samples made from models of anatomy and tumours."""

from DynamicSegLib.synthesis.contrast import MODALITIES
from DynamicSegLib.synthesis.phantom import (
    FULL_SLICES,
    SAMPLE_SEED,
    SMALL_SLICES,
    Phantom,
    make_phantom,
    phantom_arrays,
    write_phantom,
)

__all__ = [
    "FULL_SLICES",
    "MODALITIES",
    "SAMPLE_SEED",
    "SMALL_SLICES",
    "Phantom",
    "make_phantom",
    "phantom_arrays",
    "write_phantom",
]
