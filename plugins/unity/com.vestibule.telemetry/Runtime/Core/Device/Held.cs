using System;
using System.Buffers.Binary;

namespace Vestibule
{
    /// <summary>What a packet carries of one stream.</summary>
    internal readonly struct Carried
    {
        public Carried(ushort stream, int count)
        {
            Stream = stream;
            Count = count;
        }

        public ushort Stream { get; }

        public int Count { get; }
    }

    /// <summary>A packet without a receipt. Objects are used again (<see cref="HeldPool"/>).</summary>
    internal sealed class Held
    {
        private Carried[] _carried = new Carried[4];
        private int _carriedCount;
        private ulong _tagLow;
        private ulong _tagHigh;

        public ulong Seq { get; set; }

        /// <summary>The bytes, the same at each send, in the first <see cref="Bytes"/>; null when only the spool has them.</summary>
        public byte[] Packet { get; set; }

        public int Bytes { get; set; }

        /// <summary>How many samples it carries; 0 for BYE.</summary>
        public int Samples { get; set; }

        public long FirstNs { get; set; }

        public int Sends { get; set; }

        public long DueNs { get; set; }

        /// <summary>BYE, which overflow never drops: without it no link would ever drain.</summary>
        public bool IsFinal { get; set; }

        /// <summary>It stands in the spool.</summary>
        public bool IsKept { get; set; }

        // Neighbours by seq, and in the queue of resends: lists without memory of their own.
        public Held Older { get; set; }

        public Held Newer { get; set; }

        public DueQueue Queue { get; set; }

        public Held Sooner { get; set; }

        public Held Later { get; set; }

        public void Clear()
        {
            Samples = 0;
            _carriedCount = 0;
            Sends = 0;
            IsFinal = false;
            IsKept = false;
            Packet = null;
            Older = Newer = Sooner = Later = null;
            Queue = null;
        }

        public void Carry(ushort stream, int count)
        {
            if (_carriedCount == _carried.Length)
            {
                Array.Resize(ref _carried, 2 * _carriedCount);
            }

            _carried[_carriedCount++] = new Carried(stream, count);
            Samples += count;
        }

        public int SamplesOf(ulong stream)
        {
            var count = 0;
            for (var at = 0; at < _carriedCount; at++)
            {
                count += _carried[at].Stream == stream ? _carried[at].Count : 0;
            }

            return count;
        }

        public void SetTag(ReadOnlySpan<byte> tag)
        {
            _tagLow = BinaryPrimitives.ReadUInt64LittleEndian(tag);
            _tagHigh = BinaryPrimitives.ReadUInt64LittleEndian(tag.Slice(8));
        }

        public bool HasTag(ReadOnlySpan<byte> tag) =>
            _tagLow == BinaryPrimitives.ReadUInt64LittleEndian(tag) &&
            _tagHigh == BinaryPrimitives.ReadUInt64LittleEndian(tag.Slice(8));
    }
}
