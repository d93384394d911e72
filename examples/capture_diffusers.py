"""Records diffusers' own context parallelism, ring and Ulysses, and replays it on three networks.

A Flux transformer with random weights, small enough for a CPU, runs in two processes. Needs
diffusers (pip install 'thinwire[diffusers]'). torch.profiler records the same run, so that what
thinwire makes of its trace can be compared.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.profiler import ProfilerActivity, profile

from simnet.drivers.replay import replay
from simnet.network.presets import network
from traces import Trace, summarize
from traces.capture import capture
from traces.kineto.importing import read

RANKS, STEPS = 2, 3
NETWORKS = ("ethernet-10g", "ethernet-1g", "ethernet-100m")
IMAGE_TOKENS, TEXT_TOKENS = 256, 32
SIZES = {
    "patch_size": 1,
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 8,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 64,
    "axes_dims_rope": (8, 12, 12),
}


def main() -> None:
    """Record both, and print what replays of them predict."""
    if find_spec("diffusers") is None:
        print("this example needs diffusers: pip install 'thinwire[diffusers]'")
        return
    # Once, for both processes: they are forks of this one. With GPUs they have to be spawned.
    import_module("diffusers.models.transformers.transformer_flux")
    with TemporaryDirectory() as name:
        folder = Path(name)
        multiprocessing.start_processes(record, (folder,), nprocs=RANKS, start_method="fork")
        print(f"{'':8} {'taken from':15} {'as it ran':>10}", *(f"{name:>14}" for name in NETWORKS))
        for kind in ("ring", "ulysses"):
            captured = Trace.open(folder / kind)
            profiled = read([profile_of(folder, kind, rank) for rank in range(RANKS)])
            for source, trace in (("capture", captured), ("torch.profiler", profiled)):
                times = [f"{summarize(trace).total_s:9.3f}s"]
                times += [f"{predicted_s(trace, name):13.3f}s" for name in NETWORKS]
                print(f"{kind:8} {source:15}", *times)
        moved = captured.ops.groupby("kind")["bytes"].agg(["size", "sum"])
        print(f"\nWhat Ulysses moved, both ranks together:\n{moved[moved['sum'] > 0]}")


def predicted_s(trace: Trace, name: str) -> float:
    """How long the recorded run would have taken on this network."""
    return summarize(replay(trace, network(name))).total_s


def profile_of(folder: Path, kind: str, rank: int) -> Path:
    """Where torch.profiler's trace goes."""
    return folder / f"profile-{kind}-{rank}.json"


def record(rank: int, folder: Path) -> None:
    """One rank."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # names that torch has changed
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS
    )
    for kind in ("ring", "ulysses"):
        model = transformer(kind)
        with torch.inference_mode(), ExitStack() as stack:
            denoise(model, steps=1)  # buffers and connections are there from now on
            profiler = stack.enter_context(
                profile(activities=[ProfilerActivity.CPU], record_shapes=True)
            )
            # This line is all that a program needs.
            stack.enter_context(capture(model, out=folder / kind))
            denoise(model, STEPS)
        profiler.export_chrome_trace(str(profile_of(folder, kind, rank)))
    dist.destroy_process_group()


def denoise(model: Any, steps: int) -> None:
    """The loop of a pipeline, without its text encoder and decoder."""
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(1, IMAGE_TOKENS, SIZES["in_channels"], generator=draw)
    given = {
        "encoder_hidden_states": torch.randn(1, TEXT_TOKENS, 64, generator=draw),
        "pooled_projections": torch.randn(1, 64, generator=draw),
        "img_ids": torch.zeros(IMAGE_TOKENS, 3),
        "txt_ids": torch.zeros(TEXT_TOKENS, 3),
        "return_dict": False,
    }
    for step in range(steps):
        timestep = torch.tensor([1 - step / steps])
        (noise,) = model(latents, timestep=timestep, **given)
        latents = latents - noise / steps


def transformer(kind: str) -> Any:
    """A Flux transformer, its sequence spread over the ranks by `kind`.

    On GPUs, model.enable_parallelism(config=config) does all that is done here. On a CPU it does
    not find a device, so that its steps are taken one by one.
    """
    from diffusers import ContextParallelConfig, FluxTransformer2DModel, ParallelConfig
    from diffusers.hooks.context_parallel import apply_context_parallel
    from diffusers.models import attention_dispatch

    # What is given for "native" cannot give the sums that a ring needs.
    attention_dispatch._native_attention_forward_op = flash_forward
    torch.manual_seed(0)
    model = FluxTransformer2DModel(**SIZES).eval()
    degrees = (RANKS, 1) if kind == "ring" else (1, RANKS)
    config = ContextParallelConfig(ring_degree=degrees[0], ulysses_degree=degrees[1])
    mesh = dist.device_mesh.init_device_mesh("cpu", degrees, mesh_dim_names=("ring", "ulysses"))
    whole = ParallelConfig(context_parallel_config=config)
    whole.setup(dist.get_rank(), RANKS, torch.device("cpu"), mesh=mesh)
    for module in model.modules():
        if hasattr(getattr(module, "processor", None), "_parallel_config"):
            module.processor._parallel_config = whole
    apply_context_parallel(model, config, model._cp_plan)
    return model


def flash_forward(ctx: Any, *args: Any, **_: Any) -> Any:
    """Attention, (images, tokens, heads, channels), and where wanted its sums' logarithms."""
    del ctx
    q, k, v = (x.transpose(1, 2).contiguous() for x in args[:3])
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    out = out.transpose(1, 2).contiguous()
    wants_lse = args[8]
    return (out, lse.transpose(1, 2).contiguous()) if wants_lse else out


if __name__ == "__main__":
    main()
