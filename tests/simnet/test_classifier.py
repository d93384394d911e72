"""The classifier that judges pictures: what comes with the package, and how it is made."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor

from simnet.cli import BAD_INPUT, OK, call
from simnet.training.classifier import FEATURES, judge
from simnet.training.classifying import Plan, examined, fresh, learn, moved
from simnet.training.fashion import CLASSES, FOLDER, Pictures, fashion

pytestmark = pytest.mark.usefixtures("one_thread")


def stripes(count: int) -> Pictures:
    """Pictures that are easily told apart: down or across, from narrow to wide."""
    labels = torch.arange(count) % 10
    place = torch.arange(28)
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        across, wide = divmod(label, 5)
        bright = place // (wide + 1) % 2 == 0
        image[:, bright] = 200
        if across:
            image.copy_(image.T.clone())
    return Pictures(images, labels)


def write(folder: Path, part: str, pictures: Pictures) -> None:
    """The two files of a part, in the IDX format."""
    arrays = {"images-idx3": pictures.images, "labels-idx1": pictures.labels.to(torch.uint8)}
    for name, array in arrays.items():
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        with gzip.open(folder / f"{part}-{name}-ubyte.gz", "wb") as file:
            file.write(head + array.numpy().tobytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder like Fashion-MNIST's, with 200 pictures to learn from and 100 to be asked about."""
    for part, count in (("train", 200), ("t10k", 100)):
        write(tmp_path, part, stripes(count))
    return tmp_path


def trained(data: Path, out: Path, *more: str) -> int:
    """The exit code of the command that trains it."""
    return call(
        ["train", "--model", "fashion-classifier", "--data", str(data), "--out", str(out), *more]
    )


@pytest.mark.skipif(not FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_the_one_that_comes_along_tells_real_clothes_apart() -> None:
    """Of 1,000 test pictures over 90 %, and their mean is near the one it says of all 10,000."""
    shipped, test = judge(), fashion("t10k")
    seen = shipped.see(test.images[:1000])
    assert (seen.classes == test.labels[:1000]).double().mean() > 0.9
    deviation = shipped.covariance.diag().sqrt()
    apart = (seen.features.double().mean(0) - shipped.mean).abs() / deviation.clamp(min=1e-3)
    assert apart.max() < 5 / 1000**0.5


def test_the_one_that_comes_along_is_whole() -> None:
    """64 features that vary, and not far more numbers than it needs."""
    shipped = judge()
    assert shipped.mean.shape == (FEATURES,)
    assert torch.linalg.eigvalsh(shipped.covariance).min() > -1e-6
    assert shipped.covariance.trace() > 0.1
    assert 100_000 < sum(weight.numel() for weight in shipped.classifier.parameters()) < 200_000


def test_it_is_trained_by_the_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It learns, says how well, and is read back as it was: the same file from the same seed."""
    out, again, other = (tmp_path / f"{name}.safetensors" for name in ("out", "again", "other"))
    assert trained(data, out, "--pictures", "2560") == OK
    said = capsys.readouterr().out
    share = float(said.split(": ")[-1].split("%")[0])
    assert "% of 100 test pictures told right, loss " in said
    assert share > 50
    test, made = stripes(100), judge(out)
    seen = made.see(test.images)
    assert 100 * (seen.classes == test.labels).double().mean() == pytest.approx(share)
    features = seen.features.double()
    assert made.mean.numpy() == pytest.approx(features.mean(0).numpy(), rel=1e-4, abs=1e-6)
    assert made.covariance.numpy() == pytest.approx(features.T.cov().numpy(), rel=1e-3, abs=1e-6)
    assert trained(data, again, "--pictures", "2560") == OK
    assert again.read_bytes() == out.read_bytes()
    assert trained(data, other, "--pictures", "256", "--seed", "1") == OK
    assert other.read_bytes() != out.read_bytes()


def test_what_it_learns_from_is_moved_and_mirrored() -> None:
    """By a pixel at most; every picture stays the one that it is."""
    image: Tensor = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 10, 5] = 255
    found = moved(image.expand(500, 28, 28), torch.Generator().manual_seed(0))
    places = {tuple(place) for place in found.nonzero()[:, 1:].tolist()}
    columns = {4, 5, 6, 21, 22, 23}
    assert places == {(row, column) for row in (9, 10, 11) for column in columns}
    assert (found.flatten(1) == 255).sum(1).tolist() == [1] * 500


def test_nobody_elses_random_numbers_are_touched() -> None:
    """A new one is drawn from its seed alone."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = fresh(0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.choice.weight, fresh(0).choice.weight)
    assert not torch.equal(first.choice.weight, fresh(1).choice.weight)


def test_every_picture_comes_once_before_any_comes_again() -> None:
    """As many batches as the plan has, the last of a round smaller; then it is examined."""
    classifier, taught = fresh(0), stripes(30)
    plan = Plan(pictures=90, batch=20)
    assert [progress.batch for progress in learn(classifier, taught, plan)] == [1, 2, 3, 4, 5]
    _, accuracy = examined(classifier, taught)
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "dit-nano"], "unknown model to train 'dit-nano'"),
        (["--model", "fashion-classifer"], "did you mean 'fashion-classifier'?"),
        (["--model", "fashion-classifier", "--pictures", "0"], "pictures is 0, expected 1 or more"),
        (["--model", "fashion-classifier", "--data", "nowhere"], "dataset-fashion-mnist"),
        (["--model", "dit-fashion", "--data", "nowhere"], "dataset-fashion-mnist"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the names that can."""
    assert call(["train", "--out", str(tmp_path / "x.safetensors"), *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_file_of_something_else_is_no_classifier(tmp_path: Path) -> None:
    """Missing, damaged, or another model's weights: each is said, and how to make one."""
    from safetensors.torch import save_file

    from traces.errors import InputError

    path = tmp_path / "classifier.safetensors"
    with pytest.raises(InputError, match="thinwire train --model fashion-classifier"):
        judge(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not the weights of fashion-classifier"):
        judge(path)
    save_file({"weight/choice.weight": torch.zeros(len(CLASSES), FEATURES)}, path)
    with pytest.raises(InputError, match="not the weights of fashion-classifier"):
        judge(path)
