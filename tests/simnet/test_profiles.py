"""Cost profiles come from people's disks, so every way of being wrong gets an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simnet.profiles import Cost, Profile, read, recorded, write
from traces.errors import InputError

COST = Cost("attend", "1x8:float32", 2.0, 0.5, 1.0, 9, "JointBlock")
CPU = Profile("cpu", (COST,), {"command": "thinwire profile --model dit-tiny"})
#: As the first version wrote it.
FIRST = {
    "profile": 1,
    "device": "cpu",
    "costs": [
        {
            "name": "attend",
            "shape": "1x8:float32",
            "median_s": 2.0,
            "spread_s": 0.5,
            "minimum_s": 1.0,
            "count": 9,
        }
    ],
}


def altered(tmp_path: Path, **changes: Any) -> Path:
    """A profile of one entry, some fields of which are changed."""
    path = tmp_path / "profile.json"
    write(path, CPU)
    data = json.loads(path.read_text())
    data["costs"][0] |= changes
    path.write_text(json.dumps(data))
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """The device, every cost and its origin survive, and nothing else is left in the folder."""
    path = tmp_path / "profile.json"
    write(path, CPU)
    assert read(path) == CPU
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", 3, "name is 3, expected text"),
        ("shape", None, "shape is None, expected text"),
        ("kind", 4, "kind is 4, expected text"),
        ("median_s", 10**400, "median_s is 100000000000000000...0000000000000000000, expected"),
        ("median_s", -1.0, "median_s is -1.0, expected seconds, finite and from 0 up"),
        ("median_s", float("nan"), "median_s is nan, expected seconds"),
        ("spread_s", float("inf"), "spread_s is inf, expected seconds"),
        ("minimum_s", "1 s", "minimum_s is '1 s', expected seconds"),
        ("minimum_s", 3.0, "minimum_s is 3.0, more than median_s, 2.0"),
        ("count", 0, "count is 0, expected a whole number from 1 up"),
        ("count", -2, "count is -2, expected a whole number from 1 up"),
        ("count", 1.5, "count is 1.5, expected a whole number from 1 up"),
        ("count", True, "count is True, expected a whole number from 1 up"),
        ("cuont", 1, "unknown field 'cuont'; known are name, shape, median_s"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_and_entry(
    tmp_path: Path, field: str, value: object, complaint: str
) -> None:
    """The message has the file, the entry, the field and what was expected."""
    path = altered(tmp_path, **{field: value})
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: costs[0]: {complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected the JSON of a cost profile, but"),
        ("{", "expected the JSON of a cost profile, but"),
        ("[" * 200_000, "expected the JSON of a cost profile, but"),
        ("[]", "expected an object with the fields profile, device, costs, made"),
        ('{"profile": 1, "device": "cpu"}', "field 'costs' is missing"),
        ('{"profile": 1, "device": "cpu", "costs": []}', "costs is empty or no list"),
        ('{"profile": 1, "device": "cpu", "costs": {}}', "costs is empty or no list"),
        ('{"profile": 1, "device": 7, "costs": []}', "device is 7, expected text"),
        ('{"profile": 3, "device": "cpu", "costs": []}', "profile is 3, but this thinwire reads 1"),
        ('{"profile": 1, "device": "cpu", "costs": [], "made": {}}', "unknown field 'made'; known"),
        ('{"profile": 1, "device": "cpu", "costs": [3]}', "costs[0]: expected an object with"),
        (
            '{"profile": 1, "device": "cpu", "costs": [{"name": "a"}]}',
            "costs[0]: field 'shape' is missing",
        ),
        ('{"profile": 1, "device": "cpu", "costs": [], "x": 1}', "unknown field 'x'; known are"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """Cut off, empty, of another kind or version: the file is named, and what is wrong."""
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {complaint}")


def test_a_file_of_random_bytes_is_refused(tmp_path: Path) -> None:
    """Not a traceback of a decoder."""
    path = tmp_path / "profile.json"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="expected the JSON of a cost profile"):
        read(path)


def test_two_entries_for_one_call_are_refused(tmp_path: Path) -> None:
    """Neither is taken silently."""
    path = tmp_path / "profile.json"
    write(path, Profile("cpu", (COST, COST)))
    with pytest.raises(InputError, match=r"two entries for attend\(1x8:float32\); keep one"):
        read(path)


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    """The message has the path and the system's reason."""
    with pytest.raises(InputError, match=r"none.json: cannot read a cost profile: No such file"):
        read(tmp_path / "none.json")


def test_a_profile_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is not there is the user's to make."""
    with pytest.raises(InputError, match=r"profile.json: folder '.*none' does not exist"):
        write(tmp_path / "none" / "profile.json", CPU)


def test_a_profile_of_the_first_version_is_of_any_kind_of_block(tmp_path: Path) -> None:
    """It knew of no kinds, and said nothing of where it came from."""
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(FIRST))
    assert read(path) == Profile("cpu", (replace(COST, kind=""),))


@pytest.mark.parametrize("made", [[], {"torch": 2.13}])
def test_an_origin_that_is_no_text_is_refused(tmp_path: Path, made: object) -> None:
    """The message names the file and the field."""
    path = tmp_path / "profile.json"
    write(path, CPU)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"made": made}))
    with pytest.raises(InputError, match=r"profile.json: made is .*, expected an object of names"):
        read(path)


def test_recorded_profiles_are_small_and_say_what_made_them() -> None:
    """Every one that comes with the package."""
    assert recorded()
    for path in recorded().values():
        profile = read(path)
        assert path.stat().st_size < 100_000
        assert profile.made["command"].startswith("thinwire profile --model ")
        assert profile.made["torch"]
