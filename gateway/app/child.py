"""A daemon as a child of this process: started on a store, waited for, stopped in order. For demonstrations."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gateway.app.desk import Desk
from gateway.errors import Unreachable
from gateway.store.layout import Layout

READY_S: Final = 30.0
STOP_S: Final = 30.0
LOOK_S: Final = 0.05


class Child:
    """A gateway of this installation, under the same interpreter.

    Args:
        layout: of its store, which is there already.
        log: file that takes what it writes about itself.
    """

    def __init__(self, layout: Layout, log: Path) -> None:
        self._layout = layout
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.desk = Desk(layout.data_dir / "control.sock")

    async def __aenter__(self) -> Child:
        environment = dict(os.environ)
        # It is no service, even if this process is one: its socket stands in its own data directory.
        for name in ("RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"):
            environment.pop(name, None)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway",
                "--data-dir",
                str(self._layout.data_dir),
                "run",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # Ctrl-C in the terminal is for the parent, which stops its devices before it stops this.
                start_new_session=True,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def ready(self) -> dict[str, Any]:
        """Wait until it answers.

        Returns:
            Its status.

        Raises:
            Unreachable: it ended, or did not answer in time.
        """
        assert self._process is not None
        until_s = time.monotonic() + READY_S
        while self._process.returncode is None and time.monotonic() < until_s:
            with contextlib.suppress(Unreachable):
                return await self.desk.ask("status")
            await asyncio.sleep(LOOK_S)
        raise Unreachable("daemon", "the gateway did not start", f"Its own words are in {self._log}.")

    async def stop(self) -> int:
        """Stop it in order; what it accepted is sealed and committed first.

        Returns:
            Its exit code.
        """
        process = self._process
        assert process is not None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        return process.returncode or 0
