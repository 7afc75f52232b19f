# pyright: basic
"""One thread for torch: the models are tiny, and threads that wait for each other on a machine that is
busy make a test a hundred times slower.
"""

from __future__ import annotations

import torch

torch.set_num_threads(1)
