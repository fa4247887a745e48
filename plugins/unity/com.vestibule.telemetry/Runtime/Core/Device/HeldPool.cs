using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>Packets and their buffers, used again: a device at work makes no garbage for them.</summary>
    internal sealed class HeldPool
    {
        private const int MostIdleBytes = 4 * 1024 * 1024; // after a long backlog the rest goes back to the collector

        private static readonly int[] BufferBytes = { 128, 256, 512, Sizes.MaxDatagram };

        private readonly Stack<Held> _held = new Stack<Held>();
        private readonly Stack<byte[]>[] _buffers = new Stack<byte[]>[BufferBytes.Length];
        private int _idleBytes;

        public HeldPool()
        {
            for (var at = 0; at < _buffers.Length; at++)
            {
                _buffers[at] = new Stack<byte[]>();
            }
        }

        /// <summary>One without bytes.</summary>
        public Held Take() => _held.Count > 0 ? _held.Pop() : new Held();

        /// <summary>One with a copy of a packet.</summary>
        public Held Take(byte[] packet, int bytes)
        {
            var held = Take();
            var at = 0;
            while (BufferBytes[at] < bytes)
            {
                at++;
            }

            if (_buffers[at].Count > 0)
            {
                held.Packet = _buffers[at].Pop();
                _idleBytes -= held.Packet.Length;
            }
            else
            {
                held.Packet = new byte[BufferBytes[at]];
            }

            Buffer.BlockCopy(packet, 0, held.Packet, 0, bytes);
            held.Bytes = bytes;
            return held;
        }

        /// <summary>Takes its bytes away: the spool has them.</summary>
        public void Strip(Held held)
        {
            var packet = held.Packet;
            held.Packet = null;
            if (packet != null && _idleBytes + packet.Length <= MostIdleBytes)
            {
                _idleBytes += packet.Length;
                _buffers[Array.IndexOf(BufferBytes, packet.Length)].Push(packet);
            }
        }

        public void Return(Held held)
        {
            Strip(held);
            held.Clear();
            if (_held.Count < MostIdleBytes / 128)
            {
                _held.Push(held);
            }
        }
    }
}
