"""One thread a test: the tests' networks are tiny, and threads that wait for each other are slower than one."""

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def torch_by_default() -> Iterator[None]:
    """Converting every tiny network to OpenVINO takes seconds a test; test_backends_* is where OpenVINO is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("DynamicSegLib.backends.choice.openvino_is_installed", lambda: False)
        yield
