using System;

namespace Vestibule
{
    /// <summary>Bodies that a device writes, apart from DATA (SPEC, "Bodies").</summary>
    internal static class Uplink
    {
        public static void Pair(ref MsgWriter to, ReadOnlySpan<byte> nonceD, string name)
        {
            var from = to.At;
            to.Array(3);
            to.Bin(nonceD);
            to.Str(name);
            to.Pad(Padding(to.At - from, Sizes.Pair));
        }

        public static void Hello(
            ref MsgWriter to,
            uint device,
            ulong run,
            ReadOnlySpan<byte> nonceD,
            int[] versions,
            uint[] links)
        {
            var from = to.At;
            to.Array(6);
            to.Int((ulong)device);
            to.Int(run);
            to.Bin(nonceD);
            to.Array(versions.Length);
            foreach (var version in versions)
            {
                to.Int(version);
            }

            to.Array(links.Length);
            foreach (var link in links)
            {
                to.Int((ulong)link);
            }

            to.Pad(Padding(to.At - from, Sizes.Hello));
        }

        public static void Probe(ref MsgWriter to, long t1Ns)
        {
            to.Array(1);
            to.Int(t1Ns);
        }

        /// <summary>The answer to one COMMAND.</summary>
        public static void Answer(ref MsgWriter to, ulong seq, string result)
        {
            to.Array(1);
            to.Array(1);
            to.Array(2);
            to.Int(seq);
            to.Str(result);
        }

        /// <summary>Bytes of the pad that brings a packet to its size.</summary>
        /// <param name="before">Bytes of the body before the pad.</param>
        /// <param name="packet">Size of the packet.</param>
        private static int Padding(int before, int packet)
        {
            var room = packet - Sizes.MinPacket - before - 2;
            return room > 0xFF ? room - 1 : Math.Max(room, 0);
        }
    }

    /// <summary>Reasons of BYE.</summary>
    internal static class Bye
    {
        public static bool IsReason(string reason) =>
            reason == "end" || reason == "pause" || reason == "sleep" || reason == "stop" || reason == "error";
    }
}
