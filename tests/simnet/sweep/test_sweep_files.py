"""Files of sweeps: what they may say, what it means, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simnet.cli import BAD_INPUT, call
from simnet.network.topology import Islands, Links
from simnet.sweep import resolved
from simnet.sweep.design import Design
from simnet.sweep.reading import read
from traces.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.toml"))
AXES = '[axes]\nmodels = "dit-nano"\nschedules = "ring"\ngpus = "l20"\n'
BANDWIDTHS = AXES + 'bandwidths = ["1Gbit/s", "2Gbit/s"]\n'


def written(folder: Path, text: str) -> Path:
    """A file of this text."""
    path = folder / "some.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_file_leaves_out_is_as_predict_has_it(tmp_path: Path) -> None:
    """Four ranks, one image, the model's own steps, bfloat16, no codec; the name is the file's."""
    sweep = read(written(tmp_path, BANDWIDTHS))
    (group,) = Design(sweep).groups()

    assert (sweep.name, sweep.sample, sweep.points) == ("some", "grid", 2)
    case = group.case
    assert (case.model, case.schedule, case.ranks, case.steps) == ("dit-nano", "ring", 4, 8)
    assert (case.batch, case.dtype, case.processor.name) == (1, "bfloat16", "l20")
    assert group.settings["bandwidth_bps"].tolist() == [1e9, 2e9]


def test_a_range_has_both_ends_and_equal_ratios_or_differences(tmp_path: Path) -> None:
    """Logarithmic unless it is said otherwise."""
    ends = 'from = "1Gbit/s", to = "100Gbit/s", points = 3'
    text = AXES + f"bandwidths = {{ {ends} }}\n"
    assert read(written(tmp_path, text)).axes["bandwidths"].values == (1e9, 1e10, 1e11)

    text = AXES + f'bandwidths = {{ {ends}, scale = "linear" }}\n'
    assert read(written(tmp_path, text)).axes["bandwidths"].values == (1e9, 50.5e9, 1e11)


def test_networks_and_profiles_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    """Whatever the current folder is."""
    (tmp_path / "box.toml").write_text('[links]\nrate = "3Gbit/s"\n')
    sweep = read(written(tmp_path, AXES + 'networks = ["box.toml", "ethernet-1g"]'))

    first, second = sweep.axes["networks"]
    assert first.topology == Links("box", 3e9)
    assert second.name == "ethernet-1g"


def test_a_warm_up_and_a_codec_become_part_of_the_schedule(tmp_path: Path) -> None:
    """Of one that has a warm-up; another one is the same case for all of them."""
    text = BANDWIDTHS.replace('"ring"', '["ring", "cfg+distrifusion"]').replace("nano", "xl-2")
    text += 'warmups = [2, 4]\ncodecs = ["none", "residual-1bit"]\n'
    cases = [group.case.schedule for group in Design(read(written(tmp_path, text))).groups()]

    assert cases[:4] == ["ring", "ring", "ring/residual-1bit", "ring/residual-1bit"]
    assert cases[4] == "cfg+distrifusion:warmup_steps=2"
    assert cases[7] == "cfg+distrifusion:warmup_steps=4/residual-1bit"


@pytest.mark.parametrize("sample", ["random", "sobol"])
def test_a_sample_is_its_seeds_and_a_larger_one_begins_with_a_smaller_one(
    sample: str, tmp_path: Path
) -> None:
    """So more points can be added to what is computed already."""

    def settings(points: int, seed: int) -> np.ndarray:
        head = f'[sweep]\nsample = "{sample}"\npoints = {points}\nseed = {seed}\n'
        bandwidths = 'bandwidths = { from = "100Mbit/s", to = "100Gbit/s" }\n'
        (group,) = Design(read(written(tmp_path, head + AXES + bandwidths))).groups()
        return group.settings["bandwidth_bps"]

    few, many, others = settings(64, 1), settings(128, 1), settings(64, 2)

    assert few.tolist() == many[:64].tolist()
    assert few.tolist() != others.tolist()
    assert 1e8 <= many.min() < 2e8
    assert 5e10 < many.max() <= 1e11
    logarithms = np.log10(many)
    assert abs(logarithms.mean() - 9.5) < (0.01 if sample == "sobol" else 0.3)


def test_a_sample_visits_all_values_of_all_axes(tmp_path: Path) -> None:
    """Each point once, cases in the order of the axes."""
    head = '[sweep]\nsample = "random"\npoints = 300\n'
    text = head + BANDWIDTHS.replace('"ring"', '["ring", "patch"]') + "ranks = [1, 2, 4]\n"
    groups = list(Design(read(written(tmp_path, text))).groups())

    assert [group.at[1] for group in groups] == [0, 0, 0, 1, 1, 1]
    assert sorted(np.concatenate([group.points for group in groups])) == list(range(300))
    for group in groups:
        assert set(group.settings["bandwidth_bps"]) == {1e9, 2e9}


def test_a_rate_goes_between_islands(tmp_path: Path) -> None:
    """Inside of them all stays as it is."""
    from simnet.sweep.points import network

    text = BANDWIDTHS + 'networks = "hosts-of-8-rdma-100g"\nlatencies = "1ms"\n'
    design = Design(read(written(tmp_path, text)))
    (group,) = design.groups()
    made = network(design.by_digest, group.settings[1], 4)

    assert isinstance(made, Islands)
    assert (made.between.rate_bps, made.between.latency_s) == (2e9, 1e-3)
    assert made.inside.rate_bps > 1e12


REFUSED = [
    ("", "axes: the key 'models' is missing"),
    ("[axes\n", "is no TOML"),
    (AXES, "which networks? add networks"),
    (BANDWIDTHS + "rank = 4\n", "axes: unknown key 'rank': did you mean 'ranks'"),
    ("[swep]\n" + BANDWIDTHS, "unknown key 'swep': did you mean 'sweep'"),
    (BANDWIDTHS.replace("dit-nano", "dit-nanu"), "axes: models: unknown model 'dit-nanu'"),
    (BANDWIDTHS.replace('"ring"', '["ring", "rang"]'), "schedules[1]: unknown schedule 'rang'"),
    (BANDWIDTHS.replace('"ring"', '"ring:hops=2"'), "schedules: unknown parameter of ring 'hops'"),
    (BANDWIDTHS.replace('"ring"', '"ring/1bit"'), "'ring/1bit' has a codec; list it under codecs"),
    (BANDWIDTHS.replace("l20", "l21"), "gpus: unknown device 'l21'"),
    (BANDWIDTHS + 'codecs = "2bits"\n', "codecs: unknown codec '2bits'"),
    (BANDWIDTHS + "ranks = 0\n", "ranks: is 0, expected a whole number from 1"),
    (BANDWIDTHS + "ranks = [4, 4]\n", "ranks[1]: 4 stands there before"),
    (BANDWIDTHS + "ranks = []\n", "ranks is empty"),
    (BANDWIDTHS + "ranks = true\n", "ranks: is True, expected a whole number"),
    (BANDWIDTHS + "ranks = { from = 1, to = 4 }\n", "is a range, which only rates and times have"),
    (BANDWIDTHS + "batches = 1.5\n", "batches: is 1.5, expected a whole number"),
    (BANDWIDTHS + 'dtypes = "int8"\n', "dtypes: unknown dtype 'int8'"),
    (BANDWIDTHS + 'networks = "ethernet-2g"\n', "networks: unknown network 'ethernet-2g'"),
    (BANDWIDTHS + 'networks = "none.toml"\n', "none.toml: cannot be read"),
    (BANDWIDTHS + 'networks = "l20-pcie4"\n', "is a graph of many links"),
    (BANDWIDTHS + 'jitters = "2"\n', "jitters: time '2' has no unit"),
    (BANDWIDTHS + "latencies = 5e-5\n", "latencies: is 5e-05; write a number with its unit"),
    (
        BANDWIDTHS.replace('"ring"', '"distrifusion:warmup_steps=2"') + "warmups = 4\n",
        "has warm-up steps, and so has warmups",
    ),
    ("[sweep]\npoints = 5\n" + BANDWIDTHS, "points is given, but a grid has no points"),
    ('[sweep]\nsample = "halton"\n' + BANDWIDTHS, "unknown sample 'halton'"),
    ('[sweep]\nsample = "sobol"\n' + BANDWIDTHS, "the key 'points' is missing"),
    (
        BANDWIDTHS + 'seeds = [0]\nlatencies = {from="0s", to="1s", points=3}\n',
        'a range with scale = "log" cannot begin at zero',
    ),
    (AXES + 'bandwidths = {from="2Gbit/s", to="1Gbit/s", points=3}\n', "`from` to be less than"),
    (
        AXES + 'bandwidths = {from="1Gbit/s", to="2Gbit/s"}\n',
        "bandwidths: the key 'points' is miss",
    ),
    (AXES + 'bandwidths = {from="1Gbit", to="2Gbit/s"}\n', "bandwidths: from: rate '1Gbit' has an"),
    (
        AXES
        + 'bandwidths = {from="1Gbit/s", to="2Gbit/s", points=1000}\n'
        + 'latencies = {from="1us", to="1ms", points=1000000}\n',
        "the sweep has 1000000000 points",
    ),
]


@pytest.mark.parametrize(("text", "complaint"), REFUSED)
def test_what_will_not_do_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    """With the file, the table and the key."""
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, text))

    assert str(caught.value).startswith(str(tmp_path))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("rate", ["-1Gbit/s", "0Gbit/s", "nan", "fast", ""])
def test_a_bandwidth_that_is_none_is_refused(
    rate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr, and with the exit code for bad input."""
    path = written(tmp_path, AXES + f'bandwidths = "{rate}"\n')
    assert call(["sweep", str(path), "--cache", str(tmp_path / "cache")]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "axes: bandwidths: " in said
    assert "Traceback" not in said


def test_a_file_that_is_absent_or_no_text_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read(tmp_path / "none.toml")
    noise = tmp_path / "noise.toml"
    noise.write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"noise\.toml: is no TOML"):
        read(noise)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_read(path: Path) -> None:
    """And have points."""
    assert read(path).points > 10


def test_a_file_as_it_was_understood_reads_back_as_the_same_sweep(tmp_path: Path) -> None:
    """Wherever its folder is taken: what it names is copied beside it."""
    (tmp_path / "box.toml").write_text('[links]\nrate = "3Gbit/s"\n')
    head = '[sweep]\nname = "a \\"name\\""\nsample = "sobol"\npoints = 7\nseed = 3\n'
    text = head + AXES + 'networks = ["box.toml", "ethernet-1g"]\nsteps = [2, 3]\nwarmups = 1\n'
    text += 'bandwidths = { from = "100Mbit/s", to = "3Gbit/s" }\nlatencies = ["5.7us", "0s"]\n'
    text += 'codecs = ["none", "1bit"]\n'
    first = read(written(tmp_path, text))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    resolved.save(first, folder / "sweep.toml")
    again = read(folder / "sweep.toml")

    assert (again.name, again.sample, again.drawn, again.seed) == ('a "name"', "sobol", 7, 3)
    for key, axis in first.axes.items():
        if key != "networks":
            assert again.axes[key].span == axis.span
            assert [repr(each) for each in again.axes[key]] == [repr(each) for each in axis]
    boxes = [sweep.axes["networks"].values[0].topology for sweep in (first, again)]
    assert boxes[0].rate_bps == boxes[1].rate_bps == 3e9
    assert math.isnan(again.axes["bandwidths"].values[0])
