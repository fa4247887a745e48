"""`status` says in words why the broker is not connected, and what it does not take."""

from __future__ import annotations

import typing

import pytest

from gateway import events
from gateway.app.cli import words
from gateway.app.cli.replies import LogRow, MqttRow, Status
from gateway.app.cli.status import attention


def shown(mqtt: MqttRow) -> list[tuple[str, str]]:
    status = Status("1", "rig-1", "clinic.example/rig-1", 1, 0, LogRow(3), mqtt=mqtt)
    return [(what, step) for what, step in attention(status, 0) if "broker" in what]


def test_a_connected_broker_needs_no_attention() -> None:
    assert shown(MqttRow(enabled=True, connected=True)) == []
    assert shown(MqttRow()) == [], "nor one that is switched off"


@pytest.mark.parametrize("why", words.BROKER)
def test_each_reason_has_its_words_and_its_step(why: str) -> None:
    assert why in typing.get_args(events.Reason)
    ((what, step),) = shown(MqttRow(enabled=True, why=why))
    assert what == f"the broker is not connected: {words.BROKER[why][0]}"
    assert step == f"{words.BROKER[why][1]} Devices keep what they have."


def test_a_reason_without_words_is_shown_as_it_is() -> None:
    assert shown(MqttRow(enabled=True, why="new_word"))[0][0] == "the broker is not connected: new_word"
    assert shown(MqttRow(enabled=True))[0][0] == "the broker is not connected: no answer yet"


def test_what_does_not_pass_is_counted() -> None:
    found = shown(MqttRow(True, True, refused={"topic": 2, "qos": 3}, dropped=1, unsent=4))
    assert [what for what, _ in found] == [
        "payloads of the broker refused: qos 3, topic 2",
        "4 answers refused by the broker",
        "1 answer dropped: the broker was away or slow",
    ]
