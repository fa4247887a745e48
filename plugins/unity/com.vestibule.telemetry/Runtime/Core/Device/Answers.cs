using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>Results of a link's COMMANDs, so that copies are answered again, at most 10 times a second each.</summary>
    internal sealed class Answers
    {
        private const int Remembered = 64;
        private const long AgainNs = 100 * DeviceConfig.Ms;

        private readonly List<Row> _rows = new List<Row>();

        public void Remember(ulong seq, string result, long nowNs)
        {
            var at = _rows.FindIndex(row => row.Seq == seq);
            if (at >= 0)
            {
                _rows.RemoveAt(at);
            }
            else if (_rows.Count == Remembered)
            {
                _rows.RemoveAt(0);
            }

            _rows.Add(new Row { Seq = seq, Result = result, ToldNs = nowNs });
        }

        /// <summary>The result to answer a copy with; null when there was none, or a moment ago.</summary>
        public string Again(ulong seq, long nowNs)
        {
            foreach (var row in _rows)
            {
                if (row.Seq == seq)
                {
                    return nowNs - row.ToldNs < AgainNs ? null : row.Result;
                }
            }

            return null;
        }

        private struct Row
        {
            public ulong Seq;
            public string Result;
            public long ToldNs;
        }
    }

    /// <summary>Tags of the newest packets that are not held (SYNC, answers), so that a RESET may name one: 16 s of SYNC.</summary>
    internal sealed class SentTags
    {
        private const int Remembered = 64;

        private readonly ulong[] _seqs = new ulong[Remembered];
        private readonly byte[] _tags = new byte[Remembered * Sizes.Tag];
        private int _count;

        public void Add(ulong seq, ReadOnlySpan<byte> tag)
        {
            var at = _count++ % Remembered;
            _seqs[at] = seq;
            tag.CopyTo(_tags.AsSpan(at * Sizes.Tag));
            _count = _count == 2 * Remembered ? Remembered : _count; // stays full, never overflows
        }

        public bool Has(ulong seq, ReadOnlySpan<byte> tag)
        {
            for (var at = 0; at < Math.Min(_count, Remembered); at++)
            {
                if (_seqs[at] == seq)
                {
                    return tag.SequenceEqual(_tags.AsSpan(at * Sizes.Tag, Sizes.Tag));
                }
            }

            return false;
        }
    }
}
