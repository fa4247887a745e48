using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>Bodies of DATA and BYE (SPEC, "Bodies").</summary>
    internal static class Bodies
    {
        /// <summary>Writes <c>[floor, totals, frames]</c>.</summary>
        /// <param name="to">Where to.</param>
        /// <param name="floor">The lowest seq of the link that is still held.</param>
        /// <param name="told">Streams whose totals are told, each once; those of the frames among them.</param>
        /// <param name="frames">At most one of a stream.</param>
        public static void Data(ref MsgWriter to, ulong floor, List<StreamState> told, List<FrameBuffer> frames)
        {
            to.Array(3);
            to.Int(floor);
            Totals(ref to, told);
            to.Array(frames.Count);
            foreach (var frame in frames)
            {
                Frame(ref to, frame);
            }
        }

        /// <summary>Writes one frame: the bytes that are hashed, stored and proven.</summary>
        public static void Frame(ref MsgWriter to, FrameBuffer frame)
        {
            to.Array(4);
            to.Int((ulong)frame.Stream.Number);
            to.Int((ulong)frame.Stream.Kind);
            to.Int(frame.First);
            to.Bin(new ReadOnlySpan<byte>(frame.Samples, 0, frame.Bytes));
        }

        /// <summary>Writes <c>[floor, totals, reason]</c>.</summary>
        public static void Bye(ref MsgWriter to, ulong floor, List<StreamState> told, string reason)
        {
            to.Array(3);
            to.Int(floor);
            Totals(ref to, told);
            to.Str(reason);
        }

        private static void Totals(ref MsgWriter to, List<StreamState> told)
        {
            to.Array(told.Count);
            foreach (var stream in told)
            {
                to.Array(2);
                to.Int((ulong)stream.Number);
                to.Int(stream.Total);
            }
        }
    }
}
