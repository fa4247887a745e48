using System;

namespace Vestibule
{
    /// <summary>Packets from the socket's thread to the worker; preallocated. When it is full the newest is lost, as on any network.</summary>
    internal sealed class Inbox
    {
        private const int Slots = 128;

        private readonly byte[][] _packets = new byte[Slots][];
        private readonly int[] _bytes = new int[Slots];
        private readonly long[] _atNs = new long[Slots];
        private int _first;
        private int _count;

        public Inbox()
        {
            for (var at = 0; at < Slots; at++)
            {
                _packets[at] = new byte[Sizes.MaxDatagram + 1]; // one more, so that a longer one shows
            }
        }

        public void Put(byte[] packet, int bytes, long nowNs)
        {
            lock (_packets)
            {
                if (_count < Slots)
                {
                    var at = (_first + _count++) % Slots;
                    Buffer.BlockCopy(packet, 0, _packets[at], 0, bytes);
                    _bytes[at] = bytes;
                    _atNs[at] = nowNs;
                }
            }
        }

        /// <summary>Copies the oldest out; returns its bytes, or -1 when there is none.</summary>
        public int Take(byte[] into, out long atNs)
        {
            lock (_packets)
            {
                atNs = 0;
                if (_count == 0)
                {
                    return -1;
                }

                var at = _first;
                _first = (_first + 1) % Slots;
                _count--;
                Buffer.BlockCopy(_packets[at], 0, into, 0, _bytes[at]);
                atNs = _atNs[at];
                return _bytes[at];
            }
        }
    }
}
