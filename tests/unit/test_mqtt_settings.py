"""What the configuration names for the broker is read, or refused with the file and the key that names it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from servers import certificate

from gateway.errors import EXIT_REFUSED, ConfigError
from gateway.net.mqtt_settings import MAX_PASSWORD_BYTES, BrokerSettings, read_password, tls_context


def test_a_password_is_the_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for text, password in (("secret", "secret"), ("two words\r\n", "two words"), ("", ""), ("ä\n", "ä")):
        file.write_bytes(text.encode())
        assert read_password(str(file)) == password
    assert read_password("") == ""
    assert "secret" not in repr(BrokerSettings("broker", 8883, None, "user", "secret"))


@pytest.mark.parametrize(
    "content", [None, b"\xff\xfe", b"x" * (MAX_PASSWORD_BYTES + 1)], ids=["absent", "no text", "large"]
)
def test_a_file_without_a_password_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_password(str(file))
    assert (refused.value.code, refused.value.exit_code) == ("mqtt_file", EXIT_REFUSED)
    assert str(file) in refused.value.message
    assert "password_file" in refused.value.hint


def test_tls_checks_certificate_and_name(tmp_path: Path) -> None:
    certificate(tmp_path)
    for ca_file in ("", str(tmp_path / "ca.crt")):
        context = tls_context(ca_file)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["absent", "no PEM"])
def test_a_file_without_an_authority_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        tls_context(str(file))
    assert refused.value.code == "mqtt_file"
    assert str(file) in refused.value.message
    assert "tls_ca_file" in refused.value.hint
