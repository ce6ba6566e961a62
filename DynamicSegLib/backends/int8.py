"""OpenVINO's models in int8: quantised after training by NNCF, ranges taken from slices of the study."""

import io
import logging
import os
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from DynamicSegLib.errors import BackendError

if TYPE_CHECKING:
    import openvino

INSTALL = "pip install 'DynamicSeg[int8]'"


def quantised(model: "openvino.Model", samples: NDArray[np.float32]) -> "openvino.Model":
    """The model with weights and inputs of its convolutions in 8 bits.

    Parameters
    ----------
    model: for one slice, `[1, channel, row, column]`.
    samples: slices whose activations say what 8 bits have to span, float32 `[n, channel, row, column]`.

    Raises
    ------
    BackendError: NNCF is not installed.
    """
    if find_spec("nncf") is None:
        raise BackendError(f"int8 needs the package nncf, which is not installed: {INSTALL}.")
    # NNCF reports its use over the network except in tests, which this says it is; a program for hospitals must not.
    os.environ.setdefault("NNCF_CI", "1")
    # It draws progress bars, and says through its logger what it does.
    with redirect_stdout(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset([sample[None] for sample in samples]),
            # Inputs of a convolution may have any sign.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
        )
