# pyright: basic
"""One thread for torch: the models are tiny, and threads that wait for each other on a busy
machine slow a test a hundredfold."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
