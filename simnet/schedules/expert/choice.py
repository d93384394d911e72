"""A parameter that is one of a few names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from traces.errors import unknown


@dataclass(frozen=True)
class Choice:
    """One of them."""

    name: str
    what: ClassVar[str]  # is chosen
    names: ClassVar[tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for what is none of the names."""
        if text not in cls.names:
            raise unknown(cls.what, text, cls.names)
        return cls(text)

    def __str__(self) -> str:
        return self.name
