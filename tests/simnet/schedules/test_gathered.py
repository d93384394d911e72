"""Which images a job makes, and how they come of the ranks' parts."""

from __future__ import annotations

import pytest
import torch

from simnet.job import Job
from simnet.schedules.named import INNER, schedule

TEXTS = (*INNER, "data:images=2+cfg+ring", "data:images=4+single", "cfg+usp:ulysses=2")


@pytest.mark.parametrize("text", TEXTS)
def test_jobs_of_consecutive_numbers_make_consecutive_images(text: str) -> None:
    """None twice, and none left out."""
    chosen = schedule(text)
    jobs = [Job("dit-moe-tiny", 4, images=3, number=number) for number in range(3)]
    numbers = [image for job in jobs for image in chosen.numbers(job)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) % 9 == 0


def test_parts_of_a_sequence_are_put_side_by_side() -> None:
    """Two images, of which each rank has some tokens."""
    x = torch.arange(2 * 6 * 3).view(2, 6, 3)
    assert torch.equal(schedule("ring").gathered(x.chunk(3, dim=1)), x)
    assert torch.equal(schedule("cfg+ring").gathered([*x.chunk(3, dim=1), *[x[:, :0]] * 3]), x)


def test_teams_images_follow_each_other() -> None:
    """Two teams of two ranks, two images each."""
    x = torch.arange(4 * 6 * 3).view(4, 6, 3)
    parts = [part for team in x.chunk(2) for part in team.chunk(2, dim=1)]
    chosen = schedule("data:images=2+ring")
    assert torch.equal(chosen.gathered(parts), x)
    assert chosen.numbers(Job("dit-fashion", 4, images=2, number=3)) == range(12, 16)
