using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>One stream of a session in this run.</summary>
    internal sealed class StreamState
    {
        public StreamState(ushort number, byte kind)
        {
            Number = number;
            Kind = kind;
        }

        public ushort Number { get; }

        public byte Kind { get; }

        /// <summary>Samples captured so far.</summary>
        public long Total { get; set; }

        /// <summary>The frame that is being filled; null when there is none.</summary>
        public FrameBuffer Open { get; set; }
    }

    /// <summary>The streams of one session.</summary>
    internal sealed class Streams
    {
        private readonly Dictionary<ushort, StreamState> _byNumber = new Dictionary<ushort, StreamState>();

        public Streams(string session)
        {
            Session = session;

            // The clock's stream is taken from the start, so that an app cannot leave the clock without one.
            _byNumber.Add(DeviceConfig.ClockStream, new StreamState(DeviceConfig.ClockStream, Kinds.Clock));
        }

        public string Session { get; }

        /// <summary>Streams with samples, in the order of their first.</summary>
        public List<StreamState> Counted { get; } = new List<StreamState>();

        public int Count => _byNumber.Count;

        public StreamState Get(ushort number) => _byNumber.TryGetValue(number, out var state) ? state : null;

        public StreamState Add(ushort number, byte kind)
        {
            var state = new StreamState(number, kind);
            _byNumber.Add(number, state);
            return state;
        }
    }

    /// <summary>A frame that is being filled or waits for its packet. Objects are used again.</summary>
    internal sealed class FrameBuffer
    {
        public byte[] Samples { get; } = new byte[Sizes.MaxDatagram];

        public int Bytes { get; set; }

        public StreamState Stream { get; set; }

        /// <summary>Bytes of one record.</summary>
        public int Size { get; set; }

        /// <summary>Number of the first sample.</summary>
        public long First { get; set; }

        public int Count { get; set; }

        /// <summary>Most samples that fit.</summary>
        public int Capacity { get; set; }

        public long OpenedNs { get; set; }

        /// <summary>Bytes in a body; at most one more than the encoder takes.</summary>
        public int BodyBytes =>
            1 + MsgWriter.IntBytes(Stream.Number) + MsgWriter.IntBytes(Stream.Kind) +
            MsgWriter.IntBytes((ulong)First) + Gather.BinBytes + Bytes;
    }
}
