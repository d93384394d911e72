"""Tables of published latencies: what is read, found, and refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from simnet.models.presets import preset
from simnet.validation.published.machines import machine
from simnet.validation.published.models import NotRepresented, shape_of
from simnet.validation.published.strategies import plan
from simnet.validation.published.table import COLUMNS, DATA, Row, baseline, is_fitted, read
from traces.errors import InputError

CELLS = {
    "source": "a report", "model": "PixArt-Alpha", "resolution": "1024x1024", "steps": "20",
    "gpu": "L40", "link": "PCIe4", "ngpu": "2", "strategy": "ulysses", "ulysses": "2", "ring": "1",
    "pipefusion": "1", "cfg": "1", "latency_s": "2.5", "notes": "[table]",
}  # fmt: skip


def written(path: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    """A table with these rows, each as CELLS but for what it says."""
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, columns, extrasaction="ignore")
        lines.writeheader()
        lines.writerows(CELLS | row for row in rows)
    return path


def row(tmp_path: Path, **cells: str) -> Row:
    """One row."""
    return read(written(tmp_path / "t.csv", cells))[0]


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("ngpu", "two", "line 2: ngpu is 'two', expected an integer from 1 up"),
        ("ngpu", "", "line 2: ngpu is ''"),
        ("ring", "0", "line 2: ring is '0'"),
        ("ring", "²", "line 2: ring is '²'"),
        ("latency_s", "fast", "line 2: latency_s is 'fast', expected seconds above 0 (1e-06"),
        ("latency_s", "nan", "line 2: latency_s is 'nan'"),
        ("latency_s", "-1", "line 2: latency_s is '-1'"),
        ("model", " ", "line 2: model is empty"),
    ],
)
def test_a_bad_cell_is_refused_with_its_line_and_column(
    column: str, text: str, message: str, tmp_path: Path
) -> None:
    """And with what was expected."""
    with pytest.raises(InputError) as caught:
        row(tmp_path, **{column: text})
    assert message in str(caught.value)
    assert "t.csv" in str(caught.value)


def test_tables_without_columns_rows_or_text_are_refused(tmp_path: Path) -> None:
    """Naming the file."""
    fewer = tuple(name for name in COLUMNS if name != "gpu")
    with pytest.raises(InputError, match="lacks the columns gpu"):
        read(written(tmp_path / "a.csv", {}, columns=fewer))
    with pytest.raises(InputError, match="no rows"):
        read(written(tmp_path / "b.csv"))
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match="UTF-8"):
        read(tmp_path / "c.csv")
    (tmp_path / "d.csv").write_text(",".join(COLUMNS) + "\n" + "1," * 20 + "\n")
    with pytest.raises(InputError, match="more cells"):
        read(tmp_path / "d.csv")


def test_degrees_may_be_left_out_and_memory_may_run_out(tmp_path: Path) -> None:
    """They are 1 then, and there is no latency."""
    found = row(tmp_path, ring="", latency_s="OOM")
    assert (found.ring, found.latency_s) == (1, None)


def test_the_committed_table_is_read_whole() -> None:
    """492 rows, and the halves are about that."""
    rows = read(DATA)
    assert len(rows) == 492
    groups = {each.group for each in rows}
    assert 0.4 < sum(map(is_fitted, groups)) / len(groups) < 0.6


def test_a_run_is_predicted_from_the_single_gpu_that_was_built_alike(tmp_path: Path) -> None:
    """Eager from eager, compiled from compiled, and never from another group."""
    alone = {"ngpu": "1", "strategy": "single", "ulysses": "1"}
    path = written(
        tmp_path / "t.csv",
        alone | {"notes": "[label] compile, teacache", "latency_s": "1"},
        alone | {"notes": "[label] eager", "latency_s": "9"},
        alone | {"notes": "[label] compile", "latency_s": "8"},
        alone | {"resolution": "2048x2048", "latency_s": "7"},
        {"notes": "[label] compile"},
        {"gpu": "L20"},
    )
    rows = read(path)
    found = baseline(rows[4], rows)
    assert found is not None
    assert found.latency_s == 8
    assert baseline(rows[5], rows) is None


@pytest.mark.parametrize(
    ("model", "resolution", "name", "tokens"),
    [
        ("PixArt-Alpha", "1024x1024", "pixart-alpha", 4096),
        ("FLUX.1-schnell", "2048x2048", "flux.1-schnell", 16384),
        ("FLUX.1", "1024 t2i", "flux.1-dev", 4096),
        ("FLUX.2-dev", "n/s", "flux.2-dev", 4096),
        ("SkyReels-V1 (HunyuanVideo)", "544x960x97f", "hunyuanvideo", 51000),
        ("HunyuanVideo", "960x960x129f", "hunyuanvideo", 118800),
        ("CogVideoX1.5-5B", "1360x768x81f", "cogvideox1.5-5b", 44880),
        ("ConsisID (CogVideoX-5B based)", "720x480x49f", "cogvideox-5b", 17550),
        ("Wan2.1-I2V-14B", "1280x720x81f", "wan2.1-14b", 75600),
        ("Wan-14B 480p", "n/s", "wan2.1-14b", 32760),
        ("Wan2.2-TI2V-5B I2V", "1280x704x121f", "wan2.2-ti2v-5b", 27280),
        ("Allegro", "720x1280x88f", "allegro", 79200),
        ("Mochi-1", "848x480 (frames n/s)", "mochi-1", 14310),
        ("Qwen-Image", "1328x1328", "qwen-image", 6889),
        ("Qwen-Image", "1328X1328", "qwen-image", 6889),
        ("Open-Sora 2.0 11B", "256x256 video", "open-sora-2", 8448),
        ("Step-Video-T2V-30B", "n/s (unstated)", "step-video-t2v", 75888),
    ],
)
def test_names_and_resolutions_are_found_however_they_are_spelt(
    model: str, resolution: str, name: str, tokens: int
) -> None:
    """With the tokens that the model's own code makes of them."""
    shape = shape_of(model, resolution)
    assert shape.name.split(":")[0] == name
    assert preset(shape.name).tokens == tokens


@pytest.mark.parametrize(
    ("model", "resolution", "reason"),
    [
        ("SDXL-base", "1024x1024", "U-Net"),
        ("SD-2.1", "default", "U-Net"),
        ("MiniMax-H3", "n/s", "no public shape"),
        ("Wan2.1-14B fp8", "n/s", "resolution not stated"),
        ("FLUX.1-dev", "99999x16", "99999 x 16"),
        ("FLUX.1-dev", "2K", "resolution of 2k"),
        ("FLUX.2-klein-4B", "1024x1024", "no public shape"),
        ("HunyuanVideo-T2V-1.5", "1280x720x81f", "no public shape"),
        ("Wan2.1-T2V-1.5B", "832x480x81f", "no public shape"),
    ],
)
def test_models_that_are_not_represented_are_named_with_the_reason(
    model: str, resolution: str, reason: str
) -> None:
    """And never guessed."""
    with pytest.raises(NotRepresented, match=reason):
        shape_of(model, resolution)


def test_tokens_that_do_not_split_are_padded_up() -> None:
    """17550 over 4 become 17552, and over 6 stay what they are."""
    shape = shape_of("CogVideoX-5B", "720x480x49f")
    assert preset(shape.split(4)).tokens == 17552
    assert shape.split(6) == shape.name


def planned(tmp_path: Path, model: str = "pixart-alpha", **cells: Any) -> tuple[str, ...]:
    """The schedules of a row."""
    return plan(row(tmp_path, **cells), preset(model)).schedules


def test_strategies_and_their_products_become_schedules(tmp_path: Path) -> None:
    """With the degrees of the row."""
    one = {"ulysses": "1"}
    assert planned(tmp_path) == ("ulysses",)
    assert planned(tmp_path, strategy="cfg", cfg="2", **one) == ("cfg+single",)
    many = {"strategy": "ulysses+ring+cfg", "ring": "3", "cfg": "2", "ngpu": "12"}
    assert planned(tmp_path, **many) == ("cfg+usp:ulysses=2",)
    assert planned(tmp_path, strategy="tp8", ngpu="8", **one) == ("tensor",)
    assert planned(tmp_path, strategy="distrifusion", ngpu="4", **one) == ("distrifusion",)
    pipe = planned(tmp_path, strategy="pipefusion", ngpu="4", pipefusion="4", **one)
    assert pipe == tuple(f"pipefusion:patches={patches}" for patches in (2, 4, 8))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"strategy": "hybrid(config n/s)"}, "not stated"),
        ({"strategy": "asyncdiff N2 S1"}, "AsyncDiff"),
        ({"strategy": "sp/cfg mix"}, "not stated"),
        ({"strategy": "magic"}, "the strategy magic"),
        ({"strategy": "tp0"}, "the strategy tp0"),
        ({"ngpu": "8"}, "do not multiply"),
        ({"strategy": "ulysses+pipefusion", "ngpu": "4", "pipefusion": "2"}, "products of"),
    ],
)
def test_strategies_that_are_no_schedule_are_named_with_the_reason(
    cells: dict[str, str], reason: str, tmp_path: Path
) -> None:
    """And never guessed."""
    with pytest.raises(NotRepresented, match=reason):
        planned(tmp_path, **cells)


@pytest.mark.parametrize(
    ("cells", "gpu", "network", "kind"),
    [
        ({"gpu": "A100/A800", "link": "NVLink3"}, "a100-sxm", "8xa100-nvlink3-nccl", "NVLink"),
        ({"gpu": "H100/H800", "link": "NVLink4"}, "h100-sxm", "8xh100-nvlink4-nccl", "NVLink"),
        ({"gpu": "H20", "link": "NVLink4"}, "h20", "8xh100-nvlink4-nccl", "NVLink"),
        ({"gpu": "L40 (probably)"}, "l40", "8xl40-pcie4-bridge", "PCIe"),
        ({"gpu": "RTX4090", "link": "PCIe4 no P2P"}, "rtx-4090", "8x4090-pcie4-bridge", "PCIe"),
        ({"gpu": "T4", "link": "PCIe3"}, "t4", "4xt4-pcie3", "PCIe"),
        ({"ngpu": "16"}, "l40", "2 x 8xl40-pcie4-bridge", "several nodes"),
        ({"gpu": "H100", "link": "NVLink"}, "h100-sxm", "8xh100-nvlink4-nccl", "NVLink"),
        ({"gpu": "V100", "link": "NVLink"}, "v100-sxm", "8xv100-nvlink2-nccl", "NVLink"),
        ({"gpu": "H100", "link": "NVLink Gen4"}, "h100-sxm", "8xh100-nvlink4-nccl", "NVLink"),
        ({"gpu": "A100", "link": "PCIe5 + NVLink3"}, "a100-sxm", "8xa100-nvlink3-nccl", "NVLink"),
        ({"gpu": "RTX 3090", "link": "PCIe Gen3"}, "rtx-3090", "pcie-3-p2p", "PCIe"),
    ],
)
def test_machines_are_found_by_gpu_and_link(
    cells: dict[str, str], gpu: str, network: str, kind: str, tmp_path: Path
) -> None:
    """However they are spelt; more GPUs than a host has are several hosts."""
    found = machine(row(tmp_path, **cells))
    assert (found.device.name, found.network.name, found.kind) == (gpu, network, kind)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"gpu": "Ascend 800I A2"}, "no rates here of the GPU"),
        ({"gpu": "n/s"}, "GPU not stated"),
        ({"link": "HCCS"}, "no rates here of link HCCS"),
        ({"link": "n/s"}, "link not stated"),
        ({"link": "100GbE"}, "no rates here of link 100GbE"),
        ({"link": "11GbE"}, "no rates here of link 11GbE"),
        ({"gpu": "RTX A1000"}, "no rates here of the GPU"),
        ({"link": "10GbE", "ngpu": "512"}, "more than 64 GPUs"),
        ({"gpu": "H100-SXM", "link": "NVLink4", "ngpu": "16"}, "several nodes"),
    ],
)
def test_machines_that_are_not_known_are_named_with_the_reason(
    cells: dict[str, str], reason: str, tmp_path: Path
) -> None:
    """And never guessed."""
    with pytest.raises(NotRepresented, match=reason):
        machine(row(tmp_path, **cells))
