"""CPU of one gossip exchange over TLS 1.3, on both sides, and of the handshake before it. Prints figures, judges none.

Run it as `python tests/bench/bench_peer_http.py [--requests N] [--body BYTES] [--pause MS] [--uvloop]`. Server and
asker are processes of their own; CPU is user and system time of each.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.keys.sign import SigningKey
from gateway.net.limits import Limits
from gateway.net.log_routes import LogRoutes
from gateway.net.peer_client import PeerClient
from gateway.net.peer_server import PeerEdge
from gateway.net.peer_tls import certificate, client_context, server_context

KEYS = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
CERTS = [certificate(key, f"gw-{number}") for number, key in enumerate(KEYS)]
# Limits are not what is measured.
UNLIMITED = Limits(
    connections_s=1e6,
    connections_burst=10**6,
    all_connections_s=1e6,
    all_connections_burst=10**6,
    member_asks_s=1e6,
    member_asks_burst=10**6,
)
HOST = "127.0.0.1"


def runner(uvloop: bool) -> asyncio.Runner:
    if uvloop:
        import uvloop as fast

        return asyncio.Runner(loop_factory=fast.new_event_loop)
    return asyncio.Runner()


def serve(pipe: Connection, uvloop: bool) -> None:
    async def resource(path: str) -> bytes | None:
        return b"x" * 200 if path == "checkpoint" else None

    async def exchange(member: str, body: bytes) -> bytes:
        return body

    async def main() -> None:
        edge = PeerEdge(
            HOST,
            0,
            server_context(KEYS[0], CERTS[0], CERTS),
            LogRoutes(resource),
            exchange,
            {CERTS[1]: "gw-1"}.get,
            limits=UNLIMITED,
        )
        await edge.start()
        pipe.send(edge.port)
        loop = asyncio.get_running_loop()
        started = time.process_time()
        while await loop.run_in_executor(None, pipe.recv) != "end":
            pipe.send(time.process_time() - started)
            started = time.process_time()
        await edge.stop()

    with runner(uvloop) as running:
        running.run(main())


async def ask(pipe: Connection, port: int, args: argparse.Namespace) -> None:
    url = f"https://{HOST}:{port}"
    body = os.urandom(args.body)
    client = PeerClient(KEYS[1], CERTS[1])

    def lap(what: str, count: int, begun: float, cpu: float) -> None:
        mine, wall = time.process_time() - cpu, time.perf_counter() - begun
        pipe.send("lap")
        theirs = pipe.recv()
        print(
            f"{what:<34} asker {mine / count * 1e3:6.3f} ms   server {theirs / count * 1e3:6.3f} ms"
            f"   wall {wall / count * 1e3:6.3f} ms   ({count} times)"
        )

    for _ in range(20):
        await client.exchange(url, CERTS[:1], body)
    lap("(warm-up)", 20, time.perf_counter(), time.process_time())

    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(args.requests):
        await client.exchange(url, CERTS[:1], body)
    lap(f"exchange of {args.body} bytes, kept alive", args.requests, begun, cpu)

    paced = min(args.requests, int(10_000 / args.pause)) if args.pause else 0
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(paced):
        await client.exchange(url, CERTS[:1], body)
        await asyncio.sleep(args.pause / 1000)
    if paced:
        lap(f"the same, one each {args.pause} ms", paced, begun, cpu)

    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(args.requests):
        await client.get(url, "checkpoint", 4096, CERTS[:1])
    lap("checkpoint, kept alive", args.requests, begun, cpu)

    handshakes = max(50, args.requests // 20)
    contexts = client_context(KEYS[1], CERTS[1], CERTS[:1])
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(handshakes):
        _, writer = await asyncio.open_connection(HOST, port, ssl=contexts)
        writer.transport.abort()
    lap("handshake, both certificates", handshakes, begun, cpu)
    await client.close()
    pipe.send("end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--body", type=int, default=2048)
    parser.add_argument("--pause", type=float, default=20.0, help="ms between two requests of the paced part")
    parser.add_argument("--uvloop", action="store_true")
    args = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, args.uvloop), daemon=True)
    server.start()
    with runner(args.uvloop) as running:
        running.run(ask(ours, ours.recv(), args))
    server.join(10)


if __name__ == "__main__":
    main()
