"""What each schedule looks like from outside: kinds of transfer, how often, and waited for when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simnet.recognition.traffic import Traffic

#: Shares of transfers that are waited for late.
_MOST, _HARDLY_ANY = 0.75, 0.1
#: A share of all-to-alls with parts that differ that heads and tokens do not come to.
_UNLIKELY = 0.5


@dataclass
class Finding:
    """A schedule that the transfers look like, and why; `schedule` is None for none of ours.

    `instead` is what they look like as well; the volume has to decide.
    """

    schedule: str | None
    evidence: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    instead: str | None = None


def inner(traffic: Traffic, layers: int | None) -> Finding:
    """How the ranks of one team share a model. `layers` is how many it has, if that is known."""
    size = max(map(len, traffic.teams))
    if traffic.own_layers:
        return _pipefusion(traffic)
    if not traffic.kinds:
        why = "no transfers inside layers" if traffic.layers else "no transfers"
        return Finding("single", [why])
    rule = _RULES.get(traffic.kinds)
    if rule is None:
        kinds = " and ".join(sorted(traffic.kinds))
        return Finding(None, against=[f"none of our schedules sends {kinds} in a layer"])
    found = rule(traffic, layers)
    found.evidence.append(f"{size} ranks take part")
    return found


def _counted(traffic: Traffic, kind: str, layers: int | None) -> tuple[int | None, str]:
    """How many of a kind in a layer, and the same in words."""
    count = traffic.in_a_layer(kind, layers)
    if count is None:
        return None, f"{traffic.in_a_step(kind)} {kind} a step, of layers nothing was recorded"
    return count, f"{count} {kind} a layer on each rank"


def _pipefusion(traffic: Traffic) -> Finding:
    found = Finding("pipefusion", ["each layer is computed by one rank only"])
    if traffic.kinds != {"message"}:
        kinds = " and ".join(sorted(traffic.kinds)) or "nothing"
        return Finding(None, against=[f"a rank has layers of its own, but they send {kinds}"])
    found.evidence.append("ranks send each other messages only")
    if not traffic.peers() <= {1}:
        found.against.append("not all messages go to the next rank")
    return found


def _ring(traffic: Traffic, layers: int | None) -> Finding:
    count, words = _counted(traffic, "message", layers)
    hops = traffic.members("message") - 1
    if len(traffic.peers()) > 1:
        return Finding(None, against=["messages go to several ranks, as in no ring"])
    found = Finding("ring", ["all messages go the same number of ranks on", words])
    if not traffic.layers:
        found.instead = "pipefusion"
    elif not count or count % hops:
        return Finding(
            None, [words], [f"a ring of {hops + 1} has {hops} hops, or a multiple, in a layer"]
        )
    if count and count > hops:
        found.evidence.append(f"that is {count // hops} in each of {hops} hops, as keys and values")
    return found


def _heads(traffic: Traffic, layers: int | None) -> Finding:
    count, words = _counted(traffic, "all_to_all", layers)
    if count is not None and count % 2 == 0 and (count == 2 or traffic.uneven > _UNLIKELY):
        return _experts(traffic, words)
    found = Finding("ulysses", [words])
    if not traffic.layers:
        found.instead = "expert"
    if count is not None and count not in (3, 4):
        found.against.append("expected 4, or 3 where keys and values go together")
    if (traffic.late("all_to_all") > _HARDLY_ANY).any():
        found.against.append("some are waited for in a later step only")
    return found


def _experts(traffic: Traffic, words: str) -> Finding:
    found = Finding("expert", [f"{words}: dispatch and combine"])
    if traffic.uneven:
        found.evidence.append("their parts differ, as a gate makes them")
    late = float(traffic.late("all_to_all").get(traffic.typical_step, 0.0))
    if late > _MOST:
        found.schedule = "displaced-expert"
        found.evidence.append("they are waited for in a later step only")
    elif late > 1 - _MOST:
        found.schedule = "interweaved"
        found.evidence.append("half of them are waited for in a later step only")
    return found


def _usp(traffic: Traffic, layers: int | None) -> Finding:
    share = traffic.members("all_to_all")
    _, words = _counted(traffic, "all_to_all", layers)
    found = Finding(f"usp:ulysses={share}", [f"{words}, among {share}"])
    if "all_gather" in traffic.kinds:
        found.against.append("keys and values are gathered, where `usp` passes them round a ring")
    else:
        found.evidence.append(_counted(traffic, "message", layers)[1])
    return found


def _gather(traffic: Traffic, layers: int | None) -> Finding:
    count, words = _counted(traffic, "all_gather", layers)
    late = traffic.late("all_gather") > _MOST
    if late.any():
        warm_up = int((~late).cumprod().sum())
        why = f"from step {warm_up} on they are waited for in a later step"
        return Finding(f"distrifusion:warmup_steps={warm_up}", [words, why])
    why = "each is waited for in its own step, as in what diffusers calls ring attention, too"
    found = Finding("patch", [words, why])
    if not traffic.layers and traffic.in_a_step("all_gather") == 1:
        found.instead = "cfg+single"
    if count is not None and count > 2:
        found.against.append("expected 1, or 2 where keys and values go apart")
    return found


def _tensor(traffic: Traffic, layers: int | None) -> Finding:
    count, words = _counted(traffic, "all_reduce", layers)
    found = Finding("tensor", [words])
    if count is not None and count not in (1, 2, 3):
        found.against.append("expected 2: after the attention and after the MLP")
    return found


_RULES: dict[frozenset[str], Callable[[Traffic, int | None], Finding]] = {
    frozenset({"message"}): _ring,
    frozenset({"all_to_all"}): _heads,
    frozenset({"all_to_all", "message"}): _usp,
    frozenset({"all_to_all", "all_gather"}): _usp,
    frozenset({"all_gather"}): _gather,
    frozenset({"all_reduce"}): _tensor,
}


def outer(traffic: Traffic, found: Finding) -> Finding:
    """The same with what is around it, where there are several teams: guidance, or images."""
    teams = len(traffic.teams)
    if found.schedule in (None, "pipefusion") or teams == 1:
        return found
    if len({len(team) for team in traffic.teams}) > 1:
        sizes = ", ".join(str(len(team)) for team in traffic.teams)
        found.against.append(f"teams are of unlike size: {sizes}")
        found.schedule = None
        return found
    if any(_crosses(group, traffic) for group in set(traffic.outside["group"])):
        if teams != 2:
            found.against.append(f"{teams} teams exchange something each step; guidance has 2")
        found.schedule = f"cfg+{found.schedule}"
        found.evidence.append("two teams exchange something outside the layers, as guidance does")
        return found
    found.schedule = f"data:images={teams}+{found.schedule}"
    found.evidence.append(f"{teams} teams that send each other nothing")
    return found


def _crosses(group: str, traffic: Traffic) -> bool:
    ranks = {int(rank) for rank in group.split(",")}
    return sum(bool(ranks & team) for team in traffic.teams) > 1
