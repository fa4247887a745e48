using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Vestibule.Tests
{
    /// <summary>
    /// What samples and packets cost: bytes allocated on the threads that work, and packets a second through the machine
    /// to a socket on this machine. One line of JSON.
    /// </summary>
    internal sealed class Measure : IEffects
    {
        private const int Warm = 20_000;
        private const int Samples = 100_000;

        private readonly UdpClient _sink = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        private readonly UdpLine _line = new UdpLine(MonotonicClock.NowNs, () => { });
        private readonly Json _handshake;
        private long _packets;
        private ulong _lastSeq;

        public Measure(Json handshake)
        {
            _handshake = handshake;
        }

        public void Run()
        {
            _sink.Client.ReceiveBufferSize = 1 << 22;
            _line.Open("127.0.0.1", ((IPEndPoint)_sink.Client.LocalEndPoint).Port);
            var capture = CaptureBytes();
            var full = Worker(200, out var fullBytes);
            var single = Worker(0, out var singleBytes);
            _line.Dispose();
            Console.WriteLine(
                "{\"capture_bytes_per_sample\": " + capture.ToString("0.000") +
                ", \"packets_s_full\": " + full.ToString("0") + ", \"bytes_per_packet_full\": " + fullBytes.ToString("0.0") +
                ", \"packets_s_single\": " + single.ToString("0") + ", \"bytes_per_packet_single\": " + singleBytes.ToString("0.0") + "}");
        }

        public void Send(byte[] packet, int bytes, bool hello)
        {
            _line.Send(packet, bytes);
            _packets++;
            if (!hello)
            {
                _lastSeq = BitConverter.ToUInt64(packet, 8);
            }
        }

        public void PersistSeq(ulong helloSeq)
        {
        }

        public void PersistKey(byte[] key)
        {
        }

        public void Changed(string state, string reason, int behindS)
        {
        }

        public void Commanded(ClientCommand command)
        {
        }

        public void Recording(List<ulong> kinds)
        {
        }

        public void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes)
        {
        }

        public void SendKept(uint link, ulong seq)
        {
        }

        public void Settled(uint link, ulong first, ulong last)
        {
        }

        public void Dropped(uint link)
        {
        }

        /// <summary>Bytes that writing a pose record and putting it on the queue allocate.</summary>
        private static double CaptureBytes()
        {
            var queue = new CaptureQueue(1 << 20, 1 << 14);
            var before = 0L;
            for (var at = 0; at < Warm + Samples; at++)
            {
                before = at == Warm ? GC.GetAllocatedBytesForCurrentThread() : before;
                Span<byte> record = stackalloc byte[64];
                Records.Pose(record, at, 0, 2, 63, new Vec3(1, 2, 3), new Quat(0, 0, 0, 1), new Vec3(0, 0, 0), new Vec3(0, 0, 0));
                queue.Write(0, Kinds.Pose, record, 1);
                if (queue.TryPeek(out var captured))
                {
                    queue.Advance(captured);
                }
            }

            return (GC.GetAllocatedBytesForCurrentThread() - before) / (double)Samples;
        }

        /// <summary>Poses of three trackers through the machine, with a receipt each second or so.</summary>
        private double Worker(int lingerMs, out double bytesPerPacket)
        {
            var fields = _handshake["packets"][0]["fields"];
            var config = DeviceConfig.Of(
                new ClientOptions { LingerMs = lingerMs }, 7, _handshake["k_dev"].Hex, _handshake["packets"][0]["seq"].U64, fields["run"].U64);
            var nonce = fields["nonce_d"].Hex;
            var machine = new Machine(config, bytes => nonce.CopyTo(bytes, 0), this);
            var nowNs = Bench.StartNs;
            machine.Start(nowNs);
            var welcome = _handshake["packets"][1]["packet"].Hex;
            machine.Received(welcome, welcome.Length, nowNs);
            var gateway = new GatewaySide(_handshake);
            var record = new byte[64];
            Records.Pose(record, 1, 0, 2, 63, new Vec3(1, 2, 3), new Quat(0, 0, 0, 1), new Vec3(0, 0, 0), new Vec3(0, 0, 0));
            var every = lingerMs > 0 ? 20 : 500; // about a second's worth
            long allocated = 0, next = every;
            var watch = new Stopwatch();
            for (var at = 0; at < Warm + Samples; at++)
            {
                if (at == Warm)
                {
                    _packets = 0;
                    next = every;
                    watch.Start();
                }

                nowNs += 11_111_111 / 3;
                var before = GC.GetAllocatedBytesForCurrentThread();
                machine.Capture((ushort)(at % 3), Kinds.Pose, record, 1, nowNs);
                if (nowNs >= machine.WakeAt)
                {
                    machine.Tick(nowNs);
                }

                allocated = (at < Warm ? 0 : allocated) + GC.GetAllocatedBytesForCurrentThread() - before;
                if (_packets >= next)
                {
                    next = _packets + every;
                    var receipt = gateway.Stored(0, _lastSeq);
                    machine.Received(receipt, receipt.Length, nowNs);
                }
            }

            watch.Stop();
            bytesPerPacket = allocated / (double)_packets;
            return _packets / watch.Elapsed.TotalSeconds;
        }
    }
}
