"""Real servers for tests, on free ports of this machine: mosquitto with the shipped configuration.

Each is a context manager that comes back ready, can be killed as a power cut would, and started again on the same
port with the same files.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paths import ROOT

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
# Without it a test fails and names it: a skip would hide that scripts/system-deps.sh was not run.
MOSQUITTO, MOSQUITTO_PASSWD = (
    shutil.which(name, path=SBIN) or name for name in ("mosquitto", "mosquitto_passwd")
)
CONFIGS = ROOT / "configs"
READY_S = 15.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def certificate(folder: Path) -> None:
    """Write ca.crt, broker.crt and broker.key: one self-signed ECDSA certificate for localhost, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(pem)
    (folder / "broker.crt").write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "broker.key").write_bytes(secret)


def shipped_acl(devices: Mapping[str, Iterable[int]]) -> str:
    """The shipped ACL's blocks, made for other gateways and their devices as its comment says.

    Args:
        devices: gateway (also the home) -> numbers of its devices.
    """
    blocks = (CONFIGS / "mosquitto.acl").read_text(encoding="utf-8").split("\nuser ")[1:]
    gateway_block, device_block = (
        "".join(f"{line}\n" for line in f"user {block}".splitlines() if not line.startswith("#"))
        for block in blocks
    )
    text = ""
    for gateway, numbers in devices.items():
        text += gateway_block.replace("rig-1", gateway)
        for number in numbers:
            text += re.sub(r"(?<=[-/])7(?=/|\n)", str(number), device_block.replace("rig-1", gateway))
    return text


class Mosquitto:
    """A real mosquitto with configs/mosquitto.conf: TLS, passwords and an ACL, on a free port of this machine.

    Args:
        folder: empty folder for its files; they stay, so that a restart finds them.
        users: name -> password.
        acl: text of the ACL file; None takes the shipped one as it is.
        settings: options of mosquitto.conf to set otherwise than shipped.
    """

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        acl: str | None = None,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        certificate(folder)
        acl_file, passwords = folder / "vestibule.acl", folder / "vestibule.passwd"
        acl_file.write_text((CONFIGS / "mosquitto.acl").read_text(encoding="utf-8") if acl is None else acl)
        passwords.touch()
        for path in (acl_file, passwords, folder / "broker.key"):
            path.chmod(0o600)
        for user, password in users.items():
            command = [str(MOSQUITTO_PASSWD), "-b", str(passwords), user, password]
            subprocess.run(command, check=True, timeout=30)
        (folder / "mosquitto.conf").write_text(self._config(settings or {}), encoding="utf-8")
        self.tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))

    def _config(self, settings: Mapping[str, str | int]) -> str:
        text = (CONFIGS / "mosquitto.conf").read_text(encoding="utf-8")
        text = re.sub(r"/etc/mosquitto(/certs)?/", f"{self.folder}/", text)
        # Debian's own file, which includes this one, says where queues are kept.
        text += f"\npersistence_location {self.folder}/\n"
        text = text.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        for option, value in settings.items():
            text, found = re.subn(rf"(?m)^{option} .*$", f"{option} {value}", text)
            if not found:
                text += f"\n{option} {value}\n"
        if os.geteuid() == 0:
            # As root it would change to the user mosquitto, who cannot read the test's folder.
            text += "\nuser root\n"
        return text

    @property
    def log(self) -> str:
        """What it wrote since its first start."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, again or for the first time, and come back when it takes connections."""
        assert self._process is None
        command = [str(MOSQUITTO), "-c", str(self.folder / "mosquitto.conf")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while not self._listens():
            assert time.monotonic() < deadline, self.log
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"mosquitto ended: {self.log}")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill9(self) -> None:
        """End it without any chance to write or say anything."""
        self._end(hard=True)

    def stop(self) -> None:
        """End it in order: it writes its queues out."""
        self._end(hard=False)

    def _end(self, hard: bool) -> None:
        if self._process is None:
            return
        if hard:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(READY_S)
        self._process = None

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill9()
