using System;

namespace Vestibule
{
    /// <content>What may be taken in, and how much of it fits a frame.</content>
    internal sealed partial class Gather
    {
        private string CheckStream(StreamState state, byte kind)
        {
            if (Kinds.RecordBytes(kind) == 0)
            {
                return "kind";
            }

            if (state == null)
            {
                return Streams.Count >= Sizes.MaxTotals ? "stream" : null;
            }

            return state.Kind == kind ? null : "stream_kind";
        }

        private string Check(StreamState state, ushort stream, byte kind, int bytes, int size, int count)
        {
            var fault = CheckStream(state, kind);
            if (fault != null)
            {
                return fault;
            }

            if (count < 1 || bytes != count * size || (Kinds.IsVariable(kind) && (count != 1 || size < Kinds.RecordBytes(kind))) ||
                Capacity(stream, kind, size, state == null ? 0 : state.Total) < 1)
            {
                return "sample_size";
            }

            return null;
        }

        private static int Capacity(ushort stream, byte kind, int size, long first)
        {
            // Counted with room to grow: a size that fits at the first sample must fit at the millionth.
            var head = 1 + MsgWriter.IntBytes(stream) + MsgWriter.IntBytes(kind) +
                       Math.Max(TotalBytes, MsgWriter.IntBytes((ulong)first)) + BinBytes;
            var fits = (Room - head - RowBytes(stream, first + OtherSamples)) / size;
            return Math.Min(fits, Kinds.IsVariable(kind) ? 1 : FrameSamples(kind));
        }

        /// <summary>So that one full frame and its total fill a datagram.</summary>
        private static int FrameSamples(byte kind) => kind == Kinds.Pose ? 16 : kind == Kinds.Gaze ? 10 : OtherSamples;
    }
}
