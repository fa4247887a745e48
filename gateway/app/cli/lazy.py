"""A group whose commands are imported when they are called, so that `vestibule --help` loads none of them."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Verb:
    """One line of the overview.

    Args:
        module: where the command is.
        attribute: its name there.
        says: what it does, in one line.
    """

    module: str
    attribute: str
    says: str

    def load(self) -> click.Command:
        """Import the command."""
        command = getattr(importlib.import_module(self.module), self.attribute)
        assert isinstance(command, click.Command)
        return command


class LazyGroup(click.Group):
    """A group of verbs under headings. `verbs` maps heading -> name -> verb; set it before the group is used."""

    verbs: dict[str, dict[str, Verb]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the overview."""
        return [name for section in self.verbs.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None where there is none of that name."""
        for section in self.verbs.values():
            if cmd_name in section:
                return section[cmd_name].load()
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that was typed, or say which one was probably meant."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            meant = f"; did you mean `{ctx.command_path} {close[0]}`?" if close else ""
            raise click.UsageError(f"there is no verb {args[0]!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table alone."""
        for heading, section in self.verbs.items():
            with formatter.section(heading):
                formatter.write_dl([(name, verb.says) for name, verb in section.items()])
