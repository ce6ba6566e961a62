"""What the machine can do at most: the rate of a large matrix product at each precision."""

import time

import numpy as np

from DynamicSegLib.backends import openvino_models
from DynamicSegLib.backends.choice import has_cuda
from DynamicSegLib.threads import apply_to_torch, thread_count

_SIDE = 2048
_REPEATS = 6


def matmul_peaks() -> dict[str, float]:
    """Multiply-accumulates a second by precision, the better of torch and OpenVINO; a GPU's begin with `cuda `."""
    peaks = _torch_peaks("cpu")
    if openvino_models.is_installed():
        for precision, rate in _openvino_peaks().items():
            peaks[precision] = max(rate, peaks.get(precision, 0.0))
    if has_cuda():
        peaks |= {f"cuda {precision}": rate for precision, rate in _torch_peaks("cuda").items()}
    return peaks


def _torch_peaks(device: str) -> dict[str, float]:
    import torch

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    apply_to_torch()
    peaks = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.rand(_SIDE, _SIDE).to(device, kind) for _ in range(2))
        seconds = []
        for _ in range(_REPEATS):
            wait()
            started = time.perf_counter()
            torch.mm(a, b)
            wait()
            seconds.append(time.perf_counter() - started)
        peaks[name] = _SIDE**3 / min(seconds)
    return peaks


def _openvino_peaks() -> dict[str, float]:
    import openvino
    from openvino import opset13 as operations

    rng = np.random.default_rng(0)
    left, right = (rng.random((_SIDE, _SIDE), np.float32) for _ in range(2))
    given = operations.parameter([_SIDE, _SIDE], np.float32)
    # A sum at the end keeps the result from being copied out, which is no part of the product.
    product = operations.reduce_sum(operations.matmul(given, operations.constant(right), False, False), [0, 1], False)
    model = openvino.Model([product], [given])
    streams = thread_count()
    peaks = {}
    for name, hint in (("fp32", "f32"), ("bf16", "bf16")):
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": streams, "NUM_STREAMS": str(streams)}
        queue = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings), streams)
        seconds = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            for _ in range(2 * streams):
                queue.start_async([left], share_inputs=True)
            queue.wait_all()
            seconds.append((time.perf_counter() - started) / (2 * streams))
        peaks[name] = _SIDE**3 / min(seconds)
    return peaks
