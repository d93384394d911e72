"""The command `thinwire`: which subcommands there are, and what a failure looks like.

Subcommands are named by where they live and imported when they are called for, so that the
command starts at once; some of them stand on packages above this one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata

from cyclopts import App, CycloptsError

from simnet.commands.console import Terminal
from traces.errors import InputError, ThinwireError

#: Exit codes that scripts can go by; 1 is left for what should not happen. The last two are what
#: a shell says of a command that SIGINT or SIGPIPE ended.
OK, BAD_INPUT, FAILED, INTERRUPTED, NOBODY_READS = 0, 2, 3, 130, 141

# What the system says of a path that will not do; anything else is no fault of the arguments.
_BAD_PATH = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)

_HELP = """How fast parallel diffusion inference runs on a slow network, and what makes it faster.

Record a run, replay it on another network, or predict one that nobody has run yet:

    thinwire run --model dit-tiny --schedule ring --ranks 4 --out T
    thinwire replay T --network ethernet-1g
    thinwire predict --model flux-shaped --device l20 --network pcie-4

Exit codes: 0 done; 1 a fault of thinwire's own; 2 an argument or a file will not do; 3 a run failed
or cannot end, or the system failed; 130 interrupted.
"""

COMMANDS = {
    "run": ("simnet.commands.run:run", "Run a schedule live on this machine and record a trace."),
    "replay": ("simnet.commands.replay:replay", "Predict a recorded run on another network."),
    "predict": ("simnet.commands.predict:predict", "Predict a run from a cost model, no GPU."),
    "recognise": (
        "simnet.commands.recognise:recognise",
        "Say which schedule a captured or imported run follows.",
    ),
    "sweep": ("figures.sweep:sweep", "Predict all that a file asks for, and keep it."),
    "show": ("analysis.commands:show", "Sum up a trace, or draw it as text."),
    "analyse": (
        "analysis.analyse_command:analyse",
        "Analyse a trace: redundancy, compressibility, time.",
    ),
    "compare": ("analysis.commands:compare", "Compare two traces of one program, row by row."),
    "figure": ("figures.commands:figure", "Draw timelines, or latency against bandwidth."),
    "figures": ("figures.every:figures", "Draw every figure that applies to some traces."),
    "report": ("figures.report:report", "Bind traces, figures and tables into one page."),
    "import": (
        "simnet.commands.imports:import_",
        "Read what torch.profiler, PyTorch or Chakra recorded.",
    ),
    "export": ("simnet.commands.export:export", "Write a trace for Perfetto or ASTRA-sim."),
    "extract": (
        "simnet.commands.extract:extract",
        "Find what a model's own program would send, without running it.",
    ),
    "profile": ("simnet.commands.profile:profile", "Measure compute times, to predict by."),
    "validate": (
        "simnet.commands.validate:validate",
        "Hold predictions against what others trust.",
    ),
    "calibrate": ("figures.calibrate:calibrate", "Measure a network and fit the model to it."),
    "show-network": (
        "figures.commands:show_network",
        "Draw a network, print its links and routes.",
    ),
    "quality": (
        "figures.quality:quality",
        "Compare schedules by the pictures that they make.",
    ),
    "plan": (
        "figures.plan_command:plan",
        "Find what to run on your GPUs and network, within a budget.",
    ),
    "mask": ("analysis.mask:mask", "Choose layers to keep synchronous beside interweaved ones."),
    "vulnerability": (
        "analysis.vulnerability_command:vulnerability",
        "Measure which layers suffer from old activations.",
    ),
    "train": ("simnet.commands.train:train", "Train the small models that come with weights."),
    "graph": ("simnet.commands.graph:graph", "Show what a schedule does, or how two differ."),
    "list": ("simnet.commands.names:names", "List models, schedules, networks or devices."),
    "demo": ("figures.commands:demo", "Run two schedules live, replay them on slow networks."),
    "doctor": ("simnet.commands.doctor:doctor", "Say what this machine can do."),
}


def build(*, listing: bool) -> App:
    """The command. For a list of its subcommands none is imported; their own help needs them."""
    app = App(
        name="thinwire",
        help=_HELP,
        version=_version,
        console=Terminal(),
        help_format="markdown",
        suppress_keyboard_interrupt=False,  # `call` has a word to say
    )
    for name, (where, summary) in COMMANDS.items():
        app.command(where, name=name, help=summary if listing else None)
    app.register_install_completion_command()
    return app


def _version() -> str:
    return f"thinwire {metadata.version('thinwire')}"


def call(arguments: Sequence[str]) -> int:
    """Run one command; gives the exit code, having said on stderr what went wrong if anything."""
    listing = not arguments or arguments[0] not in COMMANDS
    try:
        app = build(listing=listing)
        app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()  # here, where a failure can still be told
    except CycloptsError:  # already printed
        return BAD_INPUT
    except ThinwireError as error:
        print(f"thinwire: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else FAILED
    except KeyboardInterrupt:
        print("thinwire: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `thinwire ... | head`: it has seen enough
        _give_up_stdout()
        return NOBODY_READS
    except OSError as error:
        _give_up_stdout()
        print(f"thinwire: {error.filename or 'system'}: {error.strerror}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, _BAD_PATH) else FAILED
    return OK


def _give_up_stdout() -> None:
    """Where stdout takes no more, keep the interpreter from trying again as it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def main() -> None:
    """The console script."""
    sys.exit(call(sys.argv[1:]))
