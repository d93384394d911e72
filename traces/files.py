"""Files that are either whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traces.errors import InputError, RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write; takes the place of `path`, safe on the disk, when all went well.

    Raises InputError or RunError as `replaceable` and `writing` do.
    """
    replaceable(path)
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def replaceable(path: Path) -> None:
    """Raises InputError where no file can be put: asked before the work for it, not after.

    That is in a folder that does not exist, and where something else than a file is there: a
    device must stay one. A link to a file is replaced, and what it leads to stays as it is.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder '{path.parent}' does not exist")
    with writing(path):
        taken = path.exists() and not path.is_file()
    if taken:
        raise InputError(
            f"{path}: is there and no ordinary file (a folder, device or pipe), so it is not "
            "replaced; choose another name"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says of which file it was that the system refused a write.

    Raises InputError for a place where nothing can be written, RunError for a disk that is full
    or fails.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    except Exception as error:
        from safetensors import SafetensorError

        if isinstance(error, SafetensorError):  # its own, for whatever the system says
            raise RunError(f"{path}: cannot be written: {error}") from error
        raise
