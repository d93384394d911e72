"""What of a model to look at: its blocks, the attention inside them, and what gives K and V."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from traces.errors import InputError

#: Where a pipeline keeps what denoises.
DENOISERS = ("transformer", "unet")
_ATTENTION = re.compile("attn|attention", re.IGNORECASE)
_NOT_ATTENTION = re.compile("norm|dropout|processor", re.IGNORECASE)
_ROUTER = re.compile("gate|router", re.IGNORECASE)
_KEYS, _VALUES = ("to_k", "k_proj"), ("to_v", "v_proj")
#: Take another path, a slower one, where they or what is in them have hooks.
UNHOOKED = (nn.TransformerEncoderLayer,)
#: Activations that can be taken, and what they are.
ACTIVATIONS = {
    "k": "keys, as the projection gives them",
    "v": "values, as the projection gives them",
    "hidden": "what a block gives",
    "chosen": "which experts a router chose",
    "scores": "what a router made of them",
}


@dataclass(frozen=True)
class Found:
    """A module to look at; `name` is its path without the block's number."""

    module: nn.Module
    name: str


@dataclass(frozen=True)
class Block:
    """One of the model's blocks; `layer` counts on over all its lists of blocks."""

    module: nn.Module
    name: str
    layer: int
    attentions: tuple[Found, ...]


def denoiser(subject: Any) -> nn.Module:
    """What denoises in a pipeline, or the module itself.

    Raises InputError for something that is neither.
    """
    if isinstance(subject, nn.Module):
        return subject
    for name in DENOISERS:
        part = getattr(subject, name, None)
        if isinstance(part, nn.Module):
            return part
    raise InputError(
        f"{type(subject).__name__}: is no torch module, and no pipeline with one named "
        f"{' or '.join(DENOISERS)}; give the module that denoises"
    )


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile made a graph of it, inside which hooks are never called."""
    # OptimizedModule has no other mark, and what Module.compile compiled neither.
    return "_orig_mod" in module._modules or module._compiled_call_impl is not None  # noqa: SLF001


def blocks(model: nn.Module) -> list[Block]:
    """The blocks of the model's lists of blocks, in the order of the lists.

    A list of blocks is an nn.ModuleList in which a class occurs twice, or a list of lists of one
    class each, as of stages; of those, the ones that hold attention, if any do; of those, the ones
    that are least deep inside the model. [] where there is no such list, or the model is compiled
    as a whole.
    """
    if is_compiled(model):
        return []
    lists = [(path, found) for path, found in _lists(model, "") if found]
    attending = [(path, found) for path, found in lists if any(map(_attends, found))]
    lists = attending or lists
    depth = min((path.count(".") for path, _ in lists), default=0)
    flat = [(path, b) for path, found in lists if path.count(".") == depth for b in found]
    return [
        Block(module, path, layer, tuple(_attentions(module, path)))
        for layer, (path, module) in enumerate(flat)
    ]


def _lists(module: nn.Module, path: str) -> Iterator[tuple[str, list[nn.Module]]]:
    """Outermost lists of like modules."""
    for name, child in module.named_children():
        inside = f"{path}.{name}" if path else name
        if isinstance(child, nn.ModuleList) and _alike(child):
            yield inside, list(_unstaged(child))
        else:
            yield from _lists(child, inside)


def _unstaged(modules: nn.ModuleList) -> Iterator[nn.Module]:
    """What is called: of lists of one class each, as of stages, their modules."""
    for module in modules:
        if isinstance(module, nn.ModuleList) and len(set(map(type, module))) == 1:
            yield from _unstaged(module)
        else:
            yield module


def _alike(modules: nn.ModuleList) -> bool:
    return max(Counter(map(type, modules)).values(), default=0) >= 2


def _attends(block: nn.Module) -> bool:
    return isinstance(block, UNHOOKED) or any(True for _ in _attentions(block, ""))


def _attentions(module: nn.Module, path: str) -> Iterator[Found]:
    """Outermost modules inside that are attention by their class's name or their own."""
    if is_compiled(module) or isinstance(module, UNHOOKED):
        return
    for name, child in module.named_children():
        inside = path if name.isdecimal() else f"{path}.{name}" if path else name
        names = f"{type(child).__name__} {name}"
        container = isinstance(child, nn.ModuleList | nn.ModuleDict)
        if _ATTENTION.search(names) and not container and not _NOT_ATTENTION.search(names):
            yield Found(child, inside)
        else:
            yield from _attentions(child, inside)


@dataclass(frozen=True)
class Tap:
    """A module whose output is taken under `name`; `pick` chooses from it."""

    module: nn.Module
    name: str
    layer: int
    what: str  # a key of ACTIVATIONS


def taps(found: list[Block], names: tuple[str, ...]) -> list[Tap]:
    """Where the activations of these names come from.

    Those of the first list of blocks have plain names; of a further list, whose tensors may have
    other shapes, its path comes before: "single_transformer_blocks.k".

    Raises InputError for a name that is not known, or that nothing in the model answers to.
    """
    check_names(names)
    all_taps = []
    for name in names:
        its = [
            replace(
                tap, name=tap.name if block.name == found[0].name else f"{block.name}.{tap.name}"
            )
            for block in found
            for tap in _taps_in(block, name)
        ]
        if not its:
            raise InputError(
                f"activation {name!r}: no block of the model has a module that gives "
                f"{ACTIVATIONS[name]} (inside compiled blocks none is found); leave it out of "
                "activations"
            )
        all_taps += its
    return all_taps


def check_names(names: tuple[str, ...]) -> None:
    """Raise InputError for one that no model could have."""
    for name in names:
        if name not in ACTIVATIONS:
            known = "; ".join(f"{key}: {what}" for key, what in ACTIVATIONS.items())
            raise InputError(f"unknown activation {name!r}: there are {known}")


def _taps_in(block: Block, what: str) -> list[Tap]:
    if what == "hidden":
        called = not isinstance(block.module, nn.ModuleList)  # as a list of attention and MLP
        return [Tap(block.module, what, block.layer, what)] if called else []
    if what in {"k", "v"}:
        ends = _KEYS if what == "k" else _VALUES
        sources = [
            (attention.name.removeprefix(f"{block.name}."), module)
            for attention in block.attentions
            for name, module in attention.module.named_modules()
            if name.rpartition(".")[2] in ends
        ]
    else:
        sources = [
            (name, module)
            for name, module in block.module.named_modules()
            if not is_compiled(block.module) and _ROUTER.fullmatch(name.rpartition(".")[2])
        ]
    # Where a block has several, their names tell them apart; the only one needs none.
    labels = [where if len(sources) > 1 else "" for where, _ in sources]
    return [
        Tap(module, f"{label}.{what}".lstrip("."), block.layer, what)
        for label, (_, module) in zip(labels, sources, strict=True)
    ]
