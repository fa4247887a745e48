"""The listener for peers and the client, over real TLS on loopback: two event loops, nothing but sockets between."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from gateway.errors import ConfigError, RemoteError, StoreError, Unreachable, WireError
from gateway.net.http import HttpEdge
from gateway.net.limits import Limits
from gateway.net.peer_client import PeerClient
from gateway.net.peer_tls import client_context, server_context
from tests.e2e.peer_edges import (
    ALICE,
    BOB,
    CAROL,
    ORIGIN_HASH,
    RESOURCES,
    WAIT_S,
    Member,
    hall,
    member,
    stranger_context,
)

# In TLS 1.3 the asker's handshake is over before its certificate is judged; the reason may be lost with the connection.
REFUSED = ("peer_tls", "peer_hung_up")


@pytest.fixture
async def clients() -> AsyncIterator[Callable[..., PeerClient]]:
    """Makes clients, and closes them."""
    made: list[PeerClient] = []

    def make(who: Member | None = None, whole_s: float = 5.0) -> PeerClient:
        made.append(PeerClient(whole_s=whole_s) if who is None else who.client(whole_s))
        return made[-1]

    yield make
    for client in made:
        await client.close()


async def code_of(work: object) -> str:
    with pytest.raises((Unreachable, RemoteError)) as caught:
        await work  # type: ignore[misc]
    return caught.value.code


async def raw(
    url: str, path: str, who: Member | None = None, method: str = "GET", **more: object
) -> tuple[int, bytes, dict[str, str]]:
    """By aiohttp, as anybody would."""
    context = stranger_context()
    if who is not None:
        context = client_context(who.key, who.cert, [ALICE.cert])
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.request(method, f"{url}/{path}", ssl=context, **more) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.read(), dict(answer.headers)


# ---- gossip: who may -------------------------------------------------------------------------------------------------


async def test_a_member_gossips_and_is_known_by_name(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB, CAROL) as there:
        for who in (BOB, CAROL):
            answer = await clients(who).exchange(there.url, [ALICE.cert], b"hello")
            assert answer == who.name.encode() + b":hello"
        assert there.seen.gossip == [("bob", 5), ("carol", 5)]


async def test_without_a_certificate_only_what_is_public(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB) as there:
        nobody = clients()
        assert await code_of(nobody.exchange(there.url, [ALICE.cert], b"x")) == "peer_status"
        assert (await raw(there.url, "gossip/v1/exchange", method="POST", data=b"x"))[0] == 401
        assert (await raw(there.url, "gossip/v1/exchange"))[0] == 401
        assert there.seen.gossip == []
        for path, data in RESOURCES.items():
            assert await nobody.get(there.url, path, 10_000) == data
        assert await nobody.get(there.url, "tile/0/001", 10_000) is None
        assert await nobody.get(there.url, "roster", 10_000) == there.roster
        answer = await nobody.post(there.url, "add-checkpoint", b"old 0\n", 1000)
        assert answer == (409, "text/x.tlog.size", b"7\n")
        assert there.seen.checkpoints == [b"old 0\n"]


async def test_an_unknown_certificate_gets_no_handshake(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB) as there:
        stranger = clients(CAROL)
        assert await code_of(stranger.exchange(there.url, [ALICE.cert], b"x")) in REFUSED
        assert await code_of(stranger.get(there.url, "checkpoint", 100, [ALICE.cert])) in REFUSED
        assert there.seen.gossip == []
        assert there.seen.read == []
        assert there.edge.counts["handshake"] >= 2


async def test_a_removed_member_is_forbidden_though_tls_still_trusts_it(
    clients: Callable[..., PeerClient],
) -> None:
    with hall(BOB, CAROL) as there:
        bob = clients(BOB)
        await bob.exchange(there.url, [ALICE.cert], b"while a member")
        del there.members[BOB.cert]
        # on the connection from before, and on a new one
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"x")) == "peer_status"
        assert (await raw(there.url, "gossip/v1/exchange", BOB, "POST", data=b"x"))[0] == 403
        assert there.seen.gossip == [("bob", 14)]
        # whoever is no member may read what all may
        assert await bob.get(there.url, "checkpoint", 100, [ALICE.cert]) == b"our head"
        assert await clients(CAROL).exchange(there.url, [ALICE.cert], b"x") == b"carol:x"


async def test_a_certificate_that_only_tls_trusts_is_no_members() -> None:
    """It has a member's name and passes the handshake; the roster has other bytes."""
    with hall(BOB) as there:
        lent = member("bob", generation=1)
        there.edge.trust([lent.cert])
        assert (await raw(there.url, "gossip/v1/exchange", lent, "POST", data=b"x"))[0] == 403
        assert there.seen.gossip == []


async def test_a_new_member_is_trusted_without_a_restart(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB) as there:
        bob, carol = clients(BOB), clients(CAROL)
        await bob.exchange(there.url, [ALICE.cert], b"1")
        assert await code_of(carol.exchange(there.url, [ALICE.cert], b"x")) in REFUSED
        there.members[CAROL.cert] = "carol"
        there.elsewhere.call(lambda: there.edge.trust([CAROL.cert]))
        assert await carol.exchange(there.url, [ALICE.cert], b"2") == b"carol:2"
        assert await bob.exchange(there.url, [ALICE.cert], b"3") == b"bob:3"
        assert there.inside == 2  # Bob's connection is the one from before


# ---- who answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [[BOB.cert], [BOB.cert, CAROL.cert], [member("alice", 1).cert], []])
async def test_whoever_shows_another_certificate_is_told_nothing(
    clients: Callable[..., PeerClient], pinned: list[bytes]
) -> None:
    with hall(BOB, CAROL) as there:
        assert await code_of(clients(BOB).exchange(there.url, pinned, b"secret")) == "peer_certificate"
        assert there.seen.gossip == []


async def test_our_certificate_changes_while_peers_stay(clients: Callable[..., PeerClient]) -> None:
    newer = member("alice", generation=1)
    with hall(BOB, CAROL) as there:
        bob = clients(BOB)
        await bob.exchange(there.url, [ALICE.cert], b"1")
        there.edge.context = server_context(newer.key, newer.cert, there.members)
        assert await bob.exchange(there.url, [ALICE.cert], b"2") == b"bob:2"  # the connection from before
        assert await code_of(clients(CAROL).exchange(there.url, [ALICE.cert], b"x")) == "peer_certificate"
        assert await clients(CAROL).exchange(there.url, [ALICE.cert, newer.cert], b"3") == b"carol:3"
        assert await clients(CAROL).exchange(there.url, [newer.cert], b"4") == b"carol:4"


async def test_the_url_must_be_https_where_somebody_is_pinned(clients: Callable[..., PeerClient]) -> None:
    bob = clients(BOB)
    for url in (
        "http://127.0.0.1:1",
        "ftp://127.0.0.1",
        "https://",
        "https://a:b@127.0.0.1",
        "::",
        "https://[x",
    ):
        assert await code_of(bob.exchange(url, [ALICE.cert], b"x")) == "peer_url"
    assert await code_of(bob.get("file:///etc", "passwd", 1000)) == "peer_url"


async def test_a_certificate_of_the_roster_that_is_none(clients: Callable[..., PeerClient]) -> None:
    assert await code_of(clients(BOB).exchange("https://127.0.0.1:1", [b"none"], b"x")) == "peer_certificate"


async def test_nobody_there(clients: Callable[..., PeerClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert (
        await code_of(clients(BOB).exchange(f"https://127.0.0.1:{port}", [ALICE.cert], b"x")) == "peer_away"
    )
    assert await code_of(clients(BOB).get("https://nobody.invalid", "checkpoint", 10)) == "peer_away"


# ---- connections and answers -----------------------------------------------------------------------------------------


async def test_a_connection_is_kept(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB) as there:
        bob = clients(BOB)
        for number in range(50):
            await bob.exchange(there.url, [ALICE.cert], b"%d" % number)
            await bob.get(there.url, "checkpoint", 100, [ALICE.cert])
        assert there.inside == 1


async def test_bodies_up_to_the_limit_and_empty_ones(clients: Callable[..., PeerClient]) -> None:
    async def quiet(name: str, body: bytes) -> bytes:
        return body

    with hall(BOB, exchange=quiet) as there:
        bob = clients(BOB)
        for size in (0, 1, 2048, 65_536, 256 * 1024):
            assert await bob.exchange(there.url, [ALICE.cert], b"x" * size) == b"x" * size
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"x" * (256 * 1024 + 1))) == "peer_status"


async def test_whose_fault_it_is_shows_in_the_status(clients: Callable[..., PeerClient]) -> None:
    async def fail(name: str, body: bytes) -> bytes:
        if body == b"theirs":
            raise WireError("peer_body", "secret text")
        if body == b"ours":
            raise StoreError("disk_full", "secret text")
        raise KeyError("secret text")

    with hall(BOB, exchange=fail) as there:
        bob = clients(BOB)
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"theirs")) == "peer_status"
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"ours")) == "peer_busy"
        for body, status, said in (
            (b"theirs", 400, b"peer_body\n"),
            (b"ours", 503, b"disk_full\n"),
            (b"", 500, b"internal\n"),
        ):
            answer = await raw(there.url, "gossip/v1/exchange", BOB, "POST", data=body)
            assert answer[:2] == (status, said)
        [(error, at)] = there.seen.bugs
        assert error == "KeyError"
        assert at.startswith("gateway/net/")


async def test_what_was_begun_is_finished_though_the_asker_is_gone(
    clients: Callable[..., PeerClient],
) -> None:
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    async def slow(name: str, body: bytes) -> bytes:
        begun.set()
        await asyncio.get_running_loop().run_in_executor(None, go.wait, WAIT_S)
        done.set()
        return b""

    with hall(BOB, exchange=slow) as there:
        assert await code_of(clients(BOB, 0.5).exchange(there.url, [ALICE.cert], b"x")) == "peer_away"
        assert begun.is_set()
        assert not done.is_set()
        go.set()
        assert await asyncio.get_running_loop().run_in_executor(None, done.wait, WAIT_S)


async def test_a_stop_lets_an_answer_finish(clients: Callable[..., PeerClient]) -> None:
    begun, go = threading.Event(), threading.Event()

    async def slow(name: str, body: bytes) -> bytes:
        begun.set()
        await asyncio.get_running_loop().run_in_executor(None, go.wait, WAIT_S)
        return b"finished"

    loop = asyncio.get_running_loop()
    with hall(BOB, exchange=slow) as there:
        asked = asyncio.create_task(clients(BOB).exchange(there.url, [ALICE.cert], b"x"))
        assert await loop.run_in_executor(None, begun.wait, WAIT_S)
        stopping = asyncio.run_coroutine_threadsafe(there.edge.stop(), there.elsewhere.loop)
        there.elsewhere.call(lambda: None)
        go.set()
        assert await asked == b"finished"
        await asyncio.wrap_future(stopping)


async def test_a_peer_that_starts_again_is_found_again(clients: Callable[..., PeerClient]) -> None:
    bob = clients(BOB)
    with hall(BOB) as there:
        port = there.edge.port
        assert await bob.exchange(there.url, [ALICE.cert], b"1") == b"bob:1"
        there.elsewhere.run(there.edge.stop())
        # on the connection from before, if its end is not known yet
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"x")) in ("peer_away", "peer_hung_up")
        assert await code_of(bob.exchange(there.url, [ALICE.cert], b"x")) == "peer_away"
        there.elsewhere.run(there.edge.start())
        assert there.edge.port == port
        assert await bob.exchange(there.url, [ALICE.cert], b"2") == b"bob:2"


async def test_a_taken_port_is_told() -> None:
    with hall(BOB) as there:
        edge = HttpEdge("127.0.0.1", there.edge.port, None, list, bytes)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="Address already in use") as caught:
            await edge.start()
        assert caught.value.code == "http_bind"
        other = HttpEdge("192.0.2.1", 0, None, list, bytes)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="Cannot assign"):
            await other.start()
        nowhere = HttpEdge("nobody.invalid", 0, None, list, bytes)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="nobody.invalid:0: (?!Unknown)"):
            await nowhere.start()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "asked"), [("::1", ["[::1]"]), ("::", ["[::1]", "127.0.0.1"])])
async def test_ipv6(clients: Callable[..., PeerClient], host: str, asked: list[str]) -> None:
    with hall(BOB, host=host) as there:
        for name in asked:
            url = f"https://{name}:{there.edge.port}"
            assert await clients(BOB).exchange(url, [ALICE.cert], b"6") == b"bob:6"


async def test_a_name_is_listened_on_and_found(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB, host="localhost") as there:
        assert await clients(BOB).exchange(there.url, [ALICE.cert], b"n") == b"bob:n"


async def test_a_busy_listener_is_asked_again(clients: Callable[..., PeerClient]) -> None:
    with hall(BOB, limits=Limits(asks_s=5.0, asks_burst=1)) as there:
        nobody = clients()
        for _ in range(2):
            assert await nobody.get(there.url, "checkpoint", 100) == b"our head"
        assert there.edge.counts["429"] == 1
        assert await code_of(nobody.get(there.url, "checkpoint", 100, timeout_s=0.5)) == "peer_busy"


# ---- plain HTTP ------------------------------------------------------------------------------------------------------


async def test_plain_http_shows_the_same_but_no_gossip(clients: Callable[..., PeerClient]) -> None:
    reasons: list[dict[str, str]] = []

    async def resource(path: str) -> bytes | None:
        return RESOURCES.get(path)

    async def add_checkpoint(body: bytes) -> tuple[int, str, bytes]:
        return 200, "text/plain; charset=utf-8", b"line " + body

    edge = HttpEdge(
        "127.0.0.1", 0, resource, lambda: reasons, lambda: b"metric 1\n", add_checkpoint, lambda: b"{}"
    )
    await edge.start()
    url = f"http://127.0.0.1:{edge.port}"
    try:
        nobody = clients()
        for path, data in RESOURCES.items():
            assert await nobody.get(url, path, 10_000) == data
        assert await nobody.get(url, "roster", 10) == b"{}"
        assert (await nobody.post(url, "add-checkpoint", b"x", 100)) == (
            200,
            "text/plain; charset=utf-8",
            b"line x",
        )
        assert await code_of(clients(BOB).exchange(url, [ALICE.cert], b"x")) == "peer_url"
        assert (await raw(url, "gossip/v1/exchange", method="POST", data=b"x"))[0] == 404
        status, body, headers = await raw(url, "livez")
        assert (status, body, headers["Content-Type"]) == (200, b"ok\n", "text/plain; charset=utf-8")
        status, body, headers = await raw(url, "readyz")
        assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
        reasons.append({"code": "disk"})
        status, body, headers = await raw(url, "readyz")
        assert (status, json.loads(body)["ready"], headers["Content-Type"]) == (
            503,
            False,
            "application/json",
        )
        status, body, headers = await raw(url, "metrics")
        assert (status, body, headers["Content-Type"]) == (200, b"metric 1\n", "text/plain; version=0.0.4")
        status, body, headers = await raw(url, "checkpoint?fresh=1")
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        status, body, headers = await raw(url, "tile/0/000", method="HEAD")
        assert (status, body, headers["Content-Length"]) == (200, b"", "8192")
        assert "immutable" in headers["Cache-Control"]
        for path in (
            "",
            "tile",
            f"{ORIGIN_HASH}/metrics",
            "ab/checkpoint",
            "checkpoint/",
            "x" * 900,
        ):
            assert (await raw(url, path))[0] == 404, path
        for path, method, allowed in (
            ("checkpoint", "POST", "GET, HEAD"),
            ("add-checkpoint", "GET", "POST"),
            ("livez", "DELETE", "GET, HEAD"),
            ("roster", "PUT", "GET, HEAD"),
        ):
            status, _, headers = await raw(url, path, method=method)
            assert (status, headers["Allow"]) == (405, allowed)
    finally:
        await edge.stop()


async def test_without_a_witness_or_a_roster_there_is_neither() -> None:
    async def resource(path: str) -> bytes | None:
        return None

    edge = HttpEdge("127.0.0.1", 0, resource, list, bytes)
    await edge.start()
    try:
        url = f"http://127.0.0.1:{edge.port}"
        assert (await raw(url, "add-checkpoint", method="POST", data=b"x"))[0] == 404
        assert (await raw(url, "roster"))[0] == 404
        assert (await raw(url, "checkpoint"))[0] == 404
    finally:
        await edge.stop()


def test_a_pinned_context_is_of_the_standard_library() -> None:
    assert isinstance(client_context(BOB.key, BOB.cert, [ALICE.cert]), ssl.SSLContext)
