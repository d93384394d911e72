"""What this machine can do for Thinwire, and what stands in its way."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from traces.units import GB, format_bytes

PACKAGES = ("traces", "simnet", "analysis", "figures")


@dataclass(frozen=True)
class Check:
    """One thing looked at; `advice` says what it is good for and how to mend it, "" when ok."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def checks() -> list[Check]:
    """Look at everything; takes a few seconds, as it imports torch. Leaves nothing behind."""
    found = [python(), import_names(), pytorch()]
    if found[-1].ok:
        found += [process_groups(), gpus()]
    return [*found, cores(), memory(), shared_memory(), lab_tools(), namespaces()]


def python() -> Check:
    """The interpreter."""
    ok = sys.version_info >= (3, 11)
    found = platform.python_version()
    return _check("python", found, ok=ok, advice="install Python 3.11 or later")


def import_names() -> Check:
    """Are our import names ours? They are plain words that others use, too."""
    problems = [*_rivals(), *_shadows()]
    found = "; ".join(problems) or f"{', '.join(PACKAGES)} are thinwire's"
    advice = (
        "uninstall the other distribution, or use an environment of thinwire's own; "
        "start the command from another folder, or rename the one in the way"
    )
    return _check("import names", found, ok=not problems, advice=advice)


def _rivals() -> Iterator[str]:
    owners = metadata.packages_distributions()
    for name in PACKAGES:
        for other in sorted(set(owners.get(name, ())) - {"thinwire"}):
            yield f"the distribution {other!r} also installs {name!r}"


def _shadows() -> Iterator[str]:
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        spec = util.find_spec(name)
        if spec is None:
            yield f"{name!r} is not installed"
            continue
        # Not spec.origin: a folder without __init__.py has none, and gets in the way as well.
        for place in spec.submodule_search_locations or [spec.origin or name]:
            if Path(place).resolve() != home / name:
                yield f"{name!r} is imported from {place}"


def pytorch() -> Check:
    """The torch that is installed."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: one of its libraries is missing
        return Check("torch", ok=False, found=str(error), advice="install torch again")
    return Check("torch", ok=True, found=str(torch.__version__))


def process_groups() -> Check:
    """What live runs can talk through."""
    from torch import cuda, distributed

    here = distributed.is_available()
    gloo = here and distributed.is_gloo_available()
    nccl = here and distributed.is_nccl_available()
    ok = gloo and (nccl or not cuda.is_available())
    advice = "live runs need a torch build with gloo, and with NCCL where there are GPUs"
    return _check("torch.distributed", _which({"gloo": gloo, "NCCL": nccl}), ok=ok, advice=advice)


def gpus() -> Check:
    """CUDA devices; having none is fine."""
    from torch import cuda

    devices = [cuda.get_device_properties(index) for index in range(cuda.device_count())]
    found = ", ".join(f"{each.name} ({format_bytes(each.total_memory)})" for each in devices)
    return Check("GPUs", ok=True, found=found or "none: live runs and recordings use the CPU")


def cores() -> Check:
    """CPU cores that this process may use."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        usable = os.cpu_count() or 1
    advice = "live runs of several ranks on one core wait for each other's turn: allow two or more"
    return _check("CPU cores", f"{usable} usable", ok=usable >= 2, advice=advice)


def memory() -> Check:
    """Memory that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return Check("memory", ok=True, found="not known on this system")
    fields = dict(line.split(":", 1) for line in lines)
    free_bytes = int(fields["MemAvailable"].split()[0]) * 1024  # it says kB and means KiB
    advice = "every rank of a live run takes about half a GB: free some, or run fewer ranks"
    found = f"{format_bytes(free_bytes)} free"
    return _check("memory", found, ok=free_bytes >= 2 * GB, advice=advice)


def shared_memory() -> Check:
    """Room in shared memory, which containers are often short of."""
    # NCCL user guide, "Troubleshooting", "Docker": --shm-size=1g, as the default of 64 MB fails.
    advice = "NCCL needs about 1 GB of /dev/shm between GPUs of one host: docker run --shm-size=1g"
    try:
        free_bytes = shutil.disk_usage("/dev/shm").free  # noqa: S108 a mount, not a temporary file
    except OSError as error:
        return Check("shared memory", ok=False, found=str(error), advice=advice)
    found = f"{format_bytes(free_bytes)} free"
    return _check("shared memory", found, ok=free_bytes >= 0.9 * GB, advice=advice)


_LAB = "only the lab, ranks in network namespaces on this machine, needs it"


def lab_tools() -> Check:
    """Root, and the programs that make slow networks."""
    parts = {
        "root": os.geteuid() == 0,
        "ip": bool(shutil.which("ip")),
        "tc": bool(shutil.which("tc")),
    }
    advice = f"{_LAB}: run as root and install iproute2 (apt-get install iproute2)"
    return _check("lab tools", _which(parts), ok=all(parts.values()), advice=advice)


def namespaces() -> Check:
    """May we make a network namespace? Makes one and removes it again."""
    name = "network namespaces"
    if os.geteuid() != 0 or not shutil.which("ip"):
        advice = f"{_LAB}: root and iproute2 come first"
        return Check(name, ok=False, found="not tried without root and ip", advice=advice)
    trial = f"thinwire-check-{os.getpid()}"
    try:
        made = _ip("netns", "add", trial)
    finally:
        _ip("netns", "delete", trial)
    ok = made.returncode == 0
    advice = f"{_LAB}: in a container, allow CAP_SYS_ADMIN and CAP_NET_ADMIN"
    return _check(name, "can be made" if ok else made.stderr.strip(), ok=ok, advice=advice)


def _ip(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *args], capture_output=True, text=True, check=False, timeout=10)


def _check(name: str, found: str, *, ok: bool, advice: str) -> Check:
    return Check(name, ok, found, "" if ok else advice)


def _which(parts: Mapping[str, bool]) -> str:
    return ", ".join(part if there else f"no {part}" for part, there in parts.items())
