using System;

namespace Vestibule
{
    /// <summary>SYNC from the gateway: the probe's time, and the gateway's clock at arrival and at the send.</summary>
    internal readonly struct ProbeReply
    {
        public ProbeReply(long t1Ns, long t2Ns, long t3Ns)
        {
            T1Ns = t1Ns;
            T2Ns = t2Ns;
            T3Ns = t3Ns;
        }

        public long T1Ns { get; }

        public long T2Ns { get; }

        public long T3Ns { get; }

        public static string Read(byte[] packet, int bytes, out ProbeReply reply)
        {
            var from = MsgReader.OfBody(packet, bytes);
            from.Array(3);
            reply = new ProbeReply(from.Int(), from.Int(), from.Int());
            return from.End();
        }
    }
}
