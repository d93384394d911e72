"""Exact attention, whole or in parts that are merged afterwards.

Shapes: B batch, H heads, T query tokens, S key tokens, E width of a head. Keys and values travel
stacked, (2, B, H, S, E), for that is one message instead of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

# torch's own names for the kernels that also give the log-sum-exp.
_FLASH_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
_FLASH = torch.ops.aten._scaled_dot_product_flash_attention  # noqa: SLF001
_EFFICIENT = torch.ops.aten._scaled_dot_product_efficient_attention  # noqa: SLF001


def attend(q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention of q (B, H, T, E) to kv (2, B, H, S, E).

    Gives the output (B, H, T, E), and per query the logarithm of the sum of the exponentials of
    its scores, (B, H, T) in float32, by which outputs merge (Dao et al. 2022, "FlashAttention").
    """
    k, v = kv.unbind()
    if not q.is_cuda:  # meta tensors take this way too
        out, lse = _FLASH_CPU(q, k, v)
    elif q.dtype == torch.float32:  # which the flash kernel has no variant for
        out, lse, *_ = _EFFICIENT(q, k, v, attn_bias=None, compute_log_sumexp=True)
        lse = lse[..., : q.shape[-2]]  # the kernel pads it to a multiple of 32
    else:
        out, lse, *_ = _FLASH(q, k, v)
    return out, lse


def merge(out_a: Tensor, lse_a: Tensor, out_b: Tensor, lse_b: Tensor) -> tuple[Tensor, Tensor]:
    """Attention to two parts of the keys, from the attention to each: (out, lse) as in `attend`.

    The parts' weights are their shares of the sum of exponentials, which never overflow because
    only differences of logarithms are exponentiated (Milakov & Gimelshein 2018, "Online
    normalizer calculation for softmax"; Liu et al. 2023, "Ring Attention").
    """
    share_b = torch.sigmoid(lse_b - lse_a).unsqueeze(-1)
    # In the outputs' own type: of the arithmetic, which is memory's, that leaves a third.
    out = torch.lerp(out_a, out_b, share_b.to(out_a.dtype))
    return out, torch.logaddexp(lse_a, lse_b)
