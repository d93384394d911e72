"""What may follow a name: ":parameter=value", once for each parameter that is to differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from traces.errors import InputError, unknown


def settings(name: str, texts: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """The values of texts such as "ulysses=4", by parameter.

    Raises InputError for a parameter that `name` does not have, and for one that comes twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        parameter, _, value = text.partition("=")
        if parameter not in known:
            raise unknown(f"parameter of {name}", parameter, known or ["none"])
        if parameter in values:
            raise InputError(
                f"{name}: {parameter} is given twice, as {values[parameter]!r} and {value!r}; "
                "leave one out"
            )
        values[parameter] = value
    return values
