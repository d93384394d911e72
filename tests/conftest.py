"""What tests of all packages share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("thinwire", deadline=None)
settings.load_profile("thinwire")

# pytest-xdist's workers have one, and output that nobody sees would be cut to that width.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, most of all beside other processes."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
