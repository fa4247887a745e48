"""`vestibule`: the group of all verbs, and the one way out of the program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway import __version__
from gateway.app.cli.exits import leave
from gateway.app.cli.lazy import LazyGroup, Verb
from gateway.app.cli.state import State, default_data_dir

_CLI = "gateway.app.cli."

VERBS: dict[str, dict[str, Verb]] = {
    "Try it": {
        "demo": Verb(_CLI + "demo", "demo", "A whole clinic in a minute, with simulated people."),
        "replay": Verb(_CLI + "replay", "replay", "Send a recording as if a headset did."),
        "simulate": Verb(_CLI + "simulate", "simulate", "Let simulated people send, in any weather."),
        "plugin-check": Verb(_CLI + "plugin_check", "plugin_check", "Check a plugin while you write it."),
    },
    "Set up and run": {
        "init": Verb(_CLI + "setup", "init", "Make a store: keys, log, vault, configuration."),
        "check": Verb(_CLI + "setup", "check", "Find every fault of a configuration; changes nothing."),
        "run": Verb(_CLI + "setup", "run", "Run the gateway until it is told to stop."),
        "stop": Verb(_CLI + "setup", "stop", "Stop the gateway in order, and wait until it is gone."),
        "status": Verb(_CLI + "status", "status", "How the gateway is, why, and what to do."),
        "migrate": Verb(_CLI + "setup", "migrate", "Bring an older store to this version's format."),
        "key": Verb(_CLI + "key", "key", "Public keys; escrow and rotation of the private ones."),
    },
    "Record": {
        "pair": Verb(_CLI + "pair", "pair", "Pair a headset: a code as text, QR and file."),
        "device": Verb(_CLI + "device", "device", "Headsets and sensors that have a key."),
        "session": Verb(_CLI + "session", "session", "Open, close and list sessions."),
    },
    "Trust": {
        "peer": Verb(_CLI + "peer", "peer", "Other gateways: join, compare, and evidence against a log."),
    },
    "Prove": {
        "verify": Verb(_CLI + "verify", "verify", "Verify the whole store, or one proof, trusting nobody."),
        "fsck": Verb(_CLI + "verify", "fsck", "Check that everything stored fits together."),
        "prove": Verb(_CLI + "prove", "prove", "Write the proof of one sample, or of one batch."),
        "audit": Verb(_CLI + "audit", "audit", "Follow a log from outside, and notice when it is rewritten."),
        "ledger": Verb(_CLI + "ledger", "ledger", "The transparency log: export it, and go on after a loss."),
    },
}


class Root(LazyGroup):
    """The outermost group. Whatever is raised below it ends in `exits.leave`."""

    verbs = VERBS

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line; never returns."""
        kwargs["standalone_mode"] = False
        state = State(Path())
        try:
            code = super().main(*args, obj=state, **kwargs)
        except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
            leave(error, state.as_json, state.told)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each verb explains itself: vestibule VERB --help. Data go to standard output, everything else to "
    "standard error. Exit codes: 0 done, 2 usage, 65 does not verify, 69 daemon not reached, 75 try later, "
    "78 configuration or store refused.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="VESTIBULE_DATA_DIR",
    help="Directory of the store; also VESTIBULE_DATA_DIR. For root it is /var/lib/vestibule where nothing is said, "
    "for others vestibule in their state directory.",
)
@click.version_option(__version__, prog_name="vestibule")
@click.pass_obj
def root(state: State, data_dir: Path | None) -> None:
    """Vestibule receives the telemetry of VR headsets, keeps what consent allows, and makes it provable.

    \b
    A first look without any headset:   vestibule demo
    A gateway of your own:              vestibule init --origin clinic.example/rig-1
                                        vestibule run
    """
    state.data_dir = (data_dir or default_data_dir()).absolute()
    # The environment names it for the next command too; an option does not.
    source = click.get_current_context().get_parameter_source("data_dir")
    state.named = source is click.core.ParameterSource.COMMANDLINE


def main() -> None:
    """Entry point of the `vestibule` command."""
    root.main(prog_name="vestibule")
