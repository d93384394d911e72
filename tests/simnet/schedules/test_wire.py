"""What goes from rank to rank: as it is, or through the codec that a rule chooses."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.codecs.named import codec
from simnet.codecs.rule import ByTensor, Everywhere
from simnet.job import Job
from simnet.ops import Compute, Op
from simnet.schedules.joining import join, split
from simnet.schedules.volume import Volume
from simnet.schedules.wire import KV, Coded, Decode, Encode, Plain, Stream, Wire, wire
from traces.errors import ScheduleError

ONE = Everywhere(codec("residual-1bit"))


def carried_out(steps: Generator[Op, Any, Any]) -> Any:
    """Do what part of a program asks for."""
    value = None
    while True:
        try:
            op = steps.send(value)
        except StopIteration as stop:
            return stop.value
        assert isinstance(op, Compute)
        value = op.fn(*op.args)


def activations(step: int) -> Tensor:
    """Keys and values of 2 forwards, 3 heads, 5 tokens, 4 channels a head."""
    return torch.randn(2, 2, 3, 5, 4, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("line", [wire(None, 4), wire(ONE, 1)])
def test_without_a_rule_or_another_rank_a_value_is_its_own_payload(line: Wire) -> None:
    """Nothing is computed, and nothing copied."""
    value = activations(0)
    assert isinstance(line, Plain)
    assert carried_out(line.pack(Stream(KV, 0, 0), 0, value)) is value
    assert carried_out(line.unpack(Stream(KV, 0, 0), 0, value, value)) is value
    assert line.like(Stream(KV, 0, 0), 0, value) is value


@pytest.mark.parametrize(
    "rule", [ONE, ByTensor(keys=ONE, others=Everywhere(codec("residual-int8")))]
)
def test_a_payload_is_what_is_said_of_it_before_and_comes_out_in_the_values_shape(
    rule: Everywhere | ByTensor,
) -> None:
    """All tensors of a value in one row of bytes; the first step comes through as it is."""
    sender, receiver, stream = Coded(rule), Coded(rule), Stream(KV, 1, 3)
    for step in range(3):
        value = activations(step)
        payload = carried_out(sender.pack(stream, step, value))
        assert payload.dtype == torch.uint8
        assert payload.shape == receiver.like(stream, step, value).shape
        taken = carried_out(receiver.unpack(stream, step, payload, value))
        assert taken.shape == value.shape
        assert torch.equal(taken, value) == (step == 0)
        for sent, received in zip(sender.sent[stream], receiver.received[stream], strict=True):
            assert all(map(torch.equal, sent, received))


def test_a_value_is_coded_as_tokens_by_channels() -> None:
    """All forwards' tokens, one below the other; all heads' channels, one beside the other."""
    value = activations(0)
    line = Coded(Everywhere(codec("1bit")))
    payload = carried_out(line.pack(Stream(KV, 0, 0), 1, value))
    one = codec("1bit").codec
    matrices = [tensor.permute(0, 2, 1, 3).reshape(10, 12) for tensor in value]
    assert torch.equal(payload, torch.cat([one.encode(matrix) for matrix in matrices]))


def test_a_rank_at_both_ends_of_a_stream_keeps_two_states() -> None:
    """What it sends in a step does not depend on whether it has already decoded its own."""
    early, late, stream = Coded(ONE), Coded(ONE), Stream(KV, 0, 0)
    for step in range(3):
        value = activations(step)
        payload = carried_out(early.pack(stream, step, value))
        carried_out(early.unpack(stream, step, payload, value))
        assert torch.equal(payload, carried_out(late.pack(stream, step, value)))


def test_a_payload_of_another_length_is_refused_with_the_tensors_it_should_hold() -> None:
    """And with both lengths; in a warm-up step and afterwards, too long and too short."""
    line, stream = Coded(ONE), Stream(KV, 7, 0)
    whole = carried_out(Coded(ONE).pack(stream, 0, activations(0)))
    for step in range(2):
        expected = line.like(stream, step, activations(step)).numel()
        for wrong in (expected - 1, expected + 1, 0):
            told = (
                f"k of layer 7 in step {step} and v of layer 7 in step {step}: a payload of "
                f"{wrong} bytes came, expected {expected}: sender and receiver do not use the same"
            )
            payload = torch.zeros(wrong, dtype=torch.uint8)
            with pytest.raises(ScheduleError, match=told):
                carried_out(line.unpack(stream, step, payload, activations(step)))
        if step == 0:
            carried_out(line.unpack(stream, step, whole, activations(step)))


def test_streams_do_not_know_of_each_other() -> None:
    """Another layer's, another part's or another tensor's changes are from their own base."""
    line = Coded(ONE)
    streams = [Stream(KV, 0, 0), Stream(KV, 1, 0), Stream(KV, 0, 1), Stream(("q", "out"), 0, 0)]
    for step in range(2):
        payloads = [
            carried_out(line.pack(stream, step, activations(10 * number + step)))
            for number, stream in enumerate(streams)
        ]
        alone = Coded(ONE)
        for earlier in range(step + 1):
            expected = carried_out(alone.pack(streams[3], earlier, activations(30 + earlier)))
        assert torch.equal(payloads[3], expected)


def test_work_is_named_after_its_codec_and_equal_where_the_codec_is() -> None:
    """So that a simulation counts it once, and a trace says what it was."""
    coders = [tuple(ONE(tensor, layer, 1) for tensor in KV) for layer in (0, 5)]
    assert Encode(coders[0]) == Encode(coders[1])
    assert Decode(coders[0]) == Decode(coders[1])
    assert Encode(coders[0]).__name__.startswith("encode residual-1bit")
    first = tuple(ONE(tensor, 0, 0) for tensor in KV)
    assert Decode(first).__name__ == "decode raw"
    assert Encode(first) != Encode(coders[0])


def test_tensors_are_joined_and_split_again() -> None:
    """In their order, whatever their shapes."""
    tensors = torch.arange(6.0).view(2, 3), torch.arange(4.0), torch.zeros(1, 1, 2)
    joined = join(*tensors)
    assert joined.shape == (12,)
    parts = split(joined, *(tuple(tensor.shape) for tensor in tensors))
    assert all(map(torch.equal, parts, tensors))


def test_volumes_are_those_of_the_facts() -> None:
    """FLUX.1-dev on 4 ranks, 28 steps: keys and values of 64.0 GB a ring sends, and 3.05 GB bases.

    CompactFusion (arXiv 2507.17511); a ring sends a rank's three times.
    """
    job = Job("flux.1-dev:text=256", ranks=4, steps=28, dtype="bfloat16")
    kv = Volume.of_kv(job)
    assert (kv.rows, kv.columns, kv.layers) == (1088, 3072, 57)
    assert 3 * kv.sent(None, job) == 64_012_419_072
    assert kv.sent(None, job) / kv.sent(ONE, job) == pytest.approx(10.29, abs=0.005)
    assert 4 * kv.bases(ONE, job) == pytest.approx(3.05e9, rel=1e-3)
    assert kv.bases(None, job) == 0
    assert kv.bases(Everywhere(codec("1bit")), job) == 0
    assert kv.bases(Everywhere(codec("residual2-1bit")), job) == 2 * kv.bases(ONE, job)


@pytest.mark.parametrize("text", ["1bit", "residual-1bit", "residual2-1bit"])
@pytest.mark.parametrize("warmup_steps", [2, 9])
def test_bases_are_kept_from_the_first_step_on_whether_it_warms_up_or_not(
    text: str, warmup_steps: int
) -> None:
    """One after a step, and where the second order goes on from two, two after the second."""
    rule = Everywhere(codec(f"{text}:warmup_steps={warmup_steps}"))
    kept = {"1bit": 0, "residual-1bit": 1, "residual2-1bit": 2}[text]
    for steps in (1, 2, 3, 12):
        job = Job("dit-nano", ranks=4, steps=steps, dtype="float16")
        kv = Volume.of_kv(job)
        assert kv.bases(rule, job) == min(steps, kept) * kv.nbytes(job)
        one = range(1)
        assert kv.bases(rule, job, one) == min(1, kept) * kv.nbytes(job)
