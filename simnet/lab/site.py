"""Where ranks run: what starts a process there, and how they find each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from torch.distributed import TCPStore


class Site(Protocol):
    """Somewhere to run ranks."""

    @property
    def ranks(self) -> int:
        """How many."""
        ...

    def command(self, rank: int, words: Sequence[str]) -> list[str]:
        """The command that runs this one where the rank belongs."""
        ...

    def variables(self, rank: int) -> dict[str, str]:
        """The environment in which torch.distributed finds the other ranks, as from torchrun."""
        ...


class ThisHost:
    """All ranks on this host, over its loopback device."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        # Held here, so that no port has to be guessed free.
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def command(self, rank: int, words: Sequence[str]) -> list[str]:
        """See Site."""
        del rank
        return list(words)

    def variables(self, rank: int) -> dict[str, str]:
        """See Site."""
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(self.ranks),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(self.ranks),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is ours, not rank 0's
            "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
        }
