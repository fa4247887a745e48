using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// Counters and sizes, for people: at most a quarter of a second old. Immutable once given out.
    /// Samples of this run: captured = stored + refused + lost + held + not sealed yet.
    /// </summary>
    public sealed class ClientStatus
    {
        private static readonly IReadOnlyDictionary<string, long> Nothing = new Dictionary<string, long>();

        internal ClientStatus(VisibleState visible)
        {
            Visible = visible;
        }

        /// <summary>State, reason, seconds behind and words.</summary>
        public VisibleState Visible { get; }

        /// <summary>Number of the current link; 0 when there is none.</summary>
        public uint Link { get; internal set; }

        /// <summary>Links that are current or drain.</summary>
        public int Links { get; internal set; }

        /// <summary>Packets without a receipt.</summary>
        public int HeldPackets { get; internal set; }

        /// <summary>Bytes of those that are in memory; the others are in the spool alone.</summary>
        public long HeldBytes { get; internal set; }

        /// <summary>Samples captured and not sealed into a packet yet, those in the queue not counted.</summary>
        public long Unsealed { get; internal set; }

        /// <summary>Samples that got a number.</summary>
        public long Captured { get; internal set; }

        /// <summary>Samples in packets of earlier runs, read from the spool; not among <see cref="Captured"/>.</summary>
        public long Restored { get; internal set; }

        /// <summary>Of those, durable at the gateway.</summary>
        public long RestoredStored { get; internal set; }

        /// <summary>Samples that are durable at the gateway.</summary>
        public long Stored { get; internal set; }

        /// <summary>Samples refused, by the gateway's reason.</summary>
        public IReadOnlyDictionary<string, long> Refused { get; internal set; } = Nothing;

        /// <summary>Samples lost on this side, by cause: <c>overflow</c>, <c>link_gone</c>.</summary>
        public IReadOnlyDictionary<string, long> Lost { get; internal set; } = Nothing;

        /// <summary>Samples not captured because the session does not permit their kind, by name of the kind.</summary>
        public IReadOnlyDictionary<string, long> Withheld { get; internal set; } = Nothing;

        /// <summary>Samples offered while nothing was recorded.</summary>
        public long Unrecorded { get; internal set; }

        /// <summary>Packets sent on links, without resends.</summary>
        public long Sent { get; internal set; }

        /// <summary>Packets sent again.</summary>
        public long Resent { get; internal set; }

        /// <summary>Packets that came and were not acted on, by reason.</summary>
        public IReadOnlyDictionary<string, long> Ignored { get; internal set; } = Nothing;

        /// <summary>Samples that the app gave wrongly, by reason (<c>stream</c>, <c>stream_kind</c>, <c>sample_size</c>).</summary>
        public IReadOnlyDictionary<string, long> Faults { get; internal set; } = Nothing;

        /// <summary>Samples captured in the session recorded last, by stream.</summary>
        public IReadOnlyDictionary<int, long> Totals { get; internal set; } = new Dictionary<int, long>();

        /// <summary>Samples that found the queue to the worker full; they are counted in <see cref="Lost"/> too.</summary>
        public long QueueDropped { get; internal set; }

        /// <summary>Packets in the spool.</summary>
        public int SpoolPackets { get; internal set; }

        /// <summary>Bytes of those packets.</summary>
        public long SpoolBytes { get; internal set; }

        /// <summary>Managed memory of the process, in bytes.</summary>
        public long HeapBytes { get; internal set; }

        /// <summary>HELLO counter that was persisted last; null before the first.</summary>
        public ulong? HelloSeq { get; internal set; }

        /// <summary>The device's number; 0 before the pairing.</summary>
        public uint Device { get; internal set; }

        /// <summary>Where the gateway is looked for.</summary>
        public string Host { get; internal set; } = "";

        /// <summary>Its UDP port.</summary>
        public int Port { get; internal set; }

        /// <summary>Gateway clock minus device clock, newest measurement; null before the first.</summary>
        public long? ClockOffsetNs { get; internal set; }

        /// <summary>Its uncertainty.</summary>
        public long? ClockUncertaintyNs { get; internal set; }
    }
}
