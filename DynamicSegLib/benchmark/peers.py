"""Three-dimensional peers with MONAI's own networks, as their authors configure them for BraTS; untrained."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from DynamicSegLib.cost import count
from DynamicSegLib.errors import DynamicSegError
from DynamicSegLib.study import Study

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Peer:
    """A network, the window it slides over the volume, and how far the windows overlap."""

    build: Callable[[], "nn.Module"]
    window: tuple[int, int, int]
    overlap: float


def _segresnet() -> "nn.Module":
    from monai.networks.nets import SegResNet

    return SegResNet(
        blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1), init_filters=16, in_channels=4, out_channels=3, dropout_prob=0.2
    )


def _dynunet() -> "nn.Module":
    from monai.networks.nets import DynUNet

    return DynUNet(
        spatial_dims=3,
        in_channels=4,
        out_channels=4,
        kernel_size=[3] * 6,
        strides=[1, 2, 2, 2, 2, 2],
        upsample_kernel_size=[2] * 5,
        filters=[32, 64, 128, 256, 320, 320],
        norm_name="instance",
    )


def _swinunetr() -> "nn.Module":
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(in_channels=4, out_channels=3, feature_size=48)


PEERS = {
    "SegResNet (MONAI's BraTS bundle)": Peer(_segresnet, (240, 240, 160), 0.5),
    "DynUNet (nnU-Net)": Peer(_dynunet, (128, 128, 128), 0.5),
    "SwinUNETR": Peer(_swinunetr, (128, 128, 128), 0.5),
}


def check_installed() -> None:
    """Raises DynamicSegError where MONAI or einops, which SwinUNETR needs, is absent."""
    for package in ("monai", "einops"):
        if find_spec(package) is None:
            raise DynamicSegError(f"--peers needs {package}: pip install 'DynamicSeg[monai]', or leave --peers out.")


def run_peer(name: str, study: Study, most_windows: int) -> dict[str, Any]:
    """Seconds and macs of a peer on a study.

    At most `most_windows` windows really run, after one that warms up where there are more; the time of all windows
    is theirs scaled. `windows` and `windows_run` say so.
    """
    import torch
    from monai.data.utils import dense_patch_slices

    peer = PEERS[name]
    network = peer.build().eval()
    volume = torch.from_numpy(study.volumes.transpose(0, 2, 3, 1).copy())[None]
    window = peer.window
    image = tuple(max(have, want) for have, want in zip(volume.shape[2:], window, strict=True))
    steps = [int(want * (1 - peer.overlap)) for want in window]
    interval = tuple(w if w == n else step for w, n, step in zip(window, image, steps, strict=True))
    places = dense_patch_slices(image, window, interval)
    volume = torch.nn.functional.pad(
        volume, [n for have, want in zip(volume.shape[:1:-1], image[::-1], strict=True) for n in (0, want - have)]
    )
    run = places[:most_windows]
    seconds = []
    with torch.inference_mode():
        if len(run) < len(places):
            network(volume[(..., *places[0])])
        for place in run:
            started = time.perf_counter()
            network(volume[(..., *place)])
            seconds.append(time.perf_counter() - started)
    return {
        "seconds": {"run": sum(seconds) / len(run) * len(places)},
        "macs": count(network, (1, volume.shape[1], *window)).macs * len(places),
        "windows": len(places),
        "windows_run": len(run),
    }
