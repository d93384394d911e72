"""Text of foreign files, made fit to be stored: whole characters, and not too many."""

from __future__ import annotations


def plain(text: object, most: int = 200) -> str:
    """Its first characters; halves of characters, which JSON can hold, become question marks."""
    return str(text)[:most].encode("utf-8", "replace").decode()
