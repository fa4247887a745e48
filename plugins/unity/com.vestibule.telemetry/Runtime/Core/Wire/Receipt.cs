using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>A run of seqs that a receipt names, both ends included.</summary>
    internal readonly struct SeqRange
    {
        public SeqRange(ulong first, ulong last)
        {
            First = first;
            Last = last;
        }

        public ulong First { get; }

        public ulong Last { get; }
    }

    /// <summary>
    /// RECEIPT from the gateway. One object is read into again and again: a receipt comes with each sealed batch.
    /// </summary>
    internal sealed class Receipt
    {
        public List<StoredRow> Stored { get; } = new List<StoredRow>();

        public List<RefusedRow> Refused { get; } = new List<RefusedRow>();

        public List<FrameRow> Frames { get; } = new List<FrameRow>();

        public List<TotalRow> Totals { get; } = new List<TotalRow>();

        /// <summary>Reads, in place of what was read before.</summary>
        public string Read(byte[] packet, int bytes)
        {
            Stored.Clear();
            Refused.Clear();
            Frames.Clear();
            Totals.Clear();
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(4);
            ReadStored(ref from);
            ReadRefused(ref from);
            var count = from.Array();
            for (var at = 0; at < count && from.Parses; at++)
            {
                from.Array(3);
                Frames.Add(new FrameRow(from.UInt(), from.UInt(), from.Str()));
            }

            count = from.Array();
            for (var at = 0; at < count && from.Parses; at++)
            {
                from.Array(5);
                Totals.Add(new TotalRow(from.UInt(), from.UInt(), from.UInt(), from.UInt(), from.UInt()));
            }

            return from.End();
        }

        private void ReadStored(ref MsgReader from)
        {
            var count = from.Array();
            for (var at = 0; at < count && from.Parses; at++)
            {
                from.Array(3);
                var batch = from.UInt();
                var root = from.Bin();
                from.Require(root.Length == 0 || root.Length == 32);
                ReadRanges(ref from, new StoredRow(batch, root.ToArray()), null);
            }
        }

        private void ReadRefused(ref MsgReader from)
        {
            var count = from.Array();
            for (var at = 0; at < count && from.Parses; at++)
            {
                from.Array(2);
                ReadRanges(ref from, default, from.Str());
            }
        }

        /// <summary>Ranges of a row; each becomes a row of its own. <paramref name="reason"/> is null for stored ones.</summary>
        private void ReadRanges(ref MsgReader from, StoredRow row, string reason)
        {
            var count = from.Array();
            from.Require(count % 2 == 0);
            ulong before = 0;
            for (var at = 0; at + 1 < count && from.Parses; at += 2)
            {
                var range = new SeqRange(from.UInt(), from.UInt());
                from.Require(range.First <= range.Last && (at == 0 || before < range.First));
                before = range.Last;
                if (reason == null)
                {
                    Stored.Add(row.With(range));
                }
                else
                {
                    Refused.Add(new RefusedRow(reason, range));
                }
            }

            if (count % 2 != 0)
            {
                from.UInt();
            }
        }

        public readonly struct StoredRow
        {
            public StoredRow(ulong batch, byte[] root, SeqRange range = default)
            {
                Batch = batch;
                Root = root;
                Range = range;
            }

            public ulong Batch { get; }

            public byte[] Root { get; }

            public SeqRange Range { get; }

            public StoredRow With(SeqRange range) => new StoredRow(Batch, Root, range);
        }

        public readonly struct RefusedRow
        {
            public RefusedRow(string reason, SeqRange range)
            {
                Reason = reason;
                Range = range;
            }

            public string Reason { get; }

            public SeqRange Range { get; }
        }

        public readonly struct FrameRow
        {
            public FrameRow(ulong seq, ulong stream, string reason)
            {
                Seq = seq;
                Stream = stream;
                Reason = reason;
            }

            public ulong Seq { get; }

            public ulong Stream { get; }

            public string Reason { get; }
        }

        public readonly struct TotalRow
        {
            public TotalRow(ulong stream, ulong total, ulong stored, ulong refused, ulong missing)
            {
                Stream = stream;
                Total = total;
                Stored = stored;
                Refused = refused;
                Missing = missing;
            }

            public ulong Stream { get; }

            public ulong Total { get; }

            public ulong Stored { get; }

            public ulong Refused { get; }

            public ulong Missing { get; }
        }
    }
}
