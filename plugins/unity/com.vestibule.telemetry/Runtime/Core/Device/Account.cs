using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// What became of the samples, as far as the device knows; the gateway's totals are the truth.
    /// Always: captured = stored + refused + lost + held + not sealed yet. What was read from a spool has an account of
    /// its own: those samples are of earlier runs.
    /// </summary>
    internal sealed class Account
    {
        public const string Overflow = "overflow";
        public const string LinkGone = "link_gone";

        public long Captured { get; set; }

        public long Stored { get; set; }

        public Counter Refused { get; } = new Counter();

        public Counter Lost { get; } = new Counter();

        /// <summary>By number of the kind.</summary>
        public long[] Withheld { get; } = new long[256];

        public long Unrecorded { get; set; }

        public Counter Ignored { get; } = new Counter();

        public Counter Faults { get; } = new Counter();

        public long Sent { get; set; }

        public long Resent { get; set; }
    }

    /// <summary>Counts by word.</summary>
    internal sealed class Counter
    {
        private readonly Dictionary<string, long> _counts = new Dictionary<string, long>();

        public void Add(string word, long count)
        {
            if (count != 0)
            {
                _counts.TryGetValue(word, out var before);
                _counts[word] = before + count;
            }
        }

        public Dictionary<string, long> Copy() => new Dictionary<string, long>(_counts);
    }
}
