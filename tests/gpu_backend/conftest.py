# pyright: basic
"""One thread for torch: the models are tiny, and threads that wait for each other on a busy
machine slow a test a hundredfold. On a GPU, measured costs are kept in a file of this run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def costs_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's file of costs."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("costs") / "calibration.json"
        patch.setenv("LINECLEAR_CALIBRATION", str(path))
        yield
