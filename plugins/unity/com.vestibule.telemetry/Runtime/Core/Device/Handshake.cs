using System;

namespace Vestibule
{
    /// <summary>A HELLO that waits for its WELCOME: the same bytes at each send.</summary>
    internal sealed class Handshake
    {
        public const long FirstNs = 250 * DeviceConfig.Ms; // above the round trip of any clinic's network
        /// <summary>The cause once the app has stopped: what it brings gets BYE at once.</summary>
        public const string Leave = "leave";

        public const long MostNs = 5_000 * DeviceConfig.Ms; // then periodic, for ever

        public byte[] Packet { get; private set; }

        public ulong Seq { get; private set; }

        public byte[] NonceD { get; private set; }

        /// <summary>The links it named.</summary>
        public uint[] Links { get; private set; }

        public int[] Versions { get; private set; }

        /// <summary>Why: <c>start</c>, <c>open</c>, <c>retry</c>, <c>recover</c>, <c>rotate</c>, <c>ask</c>; and <c>finished</c>, which tells
        /// that links of an earlier run are done with, since nothing can say BYE on them; <see cref="Leave"/> at the end.</summary>
        public string Cause { get; set; }

        public long NextNs { get; set; }

        public int Sends { get; set; }

        /// <summary>With <c>leave</c>: when it is given up.</summary>
        public long UntilNs { get; set; }

        /// <summary>When something is to be done about it.</summary>
        public long WakeNs => Cause == Leave ? Math.Min(NextNs, UntilNs) : NextNs;

        /// <summary>Makes a HELLO that is being sent now.</summary>
        public static Handshake Hello(
            DeviceConfig config, Tagger tagger, ulong seq, byte[] nonceD, uint[] links, string cause, long nowNs)
        {
            var packet = new byte[Sizes.Hello];
            Header.Write(packet, PacketType.Hello, 0, seq, nowNs);
            var to = new MsgWriter(packet, Sizes.Header);
            Uplink.Hello(ref to, config.Device, config.Run, nonceD, config.Versions, links);
            tagger.Write(packet, to.At);
            return new Handshake
            {
                Packet = packet,
                Seq = seq,
                NonceD = nonceD,
                Links = links,
                Versions = config.Versions,
                Cause = cause,
                NextNs = nowNs + FirstNs,
                Sends = 1,
            };
        }

        /// <summary>It is being sent again: the wait doubles up to its most.</summary>
        public void Again(long nowNs)
        {
            NextNs = nowNs + Math.Min(FirstNs << Math.Min(Sends, 16), MostNs);
            Sends++;
        }

        /// <summary>Checks a WELCOME against this HELLO.</summary>
        /// <returns>Null, or a word of <see cref="Wrong"/>.</returns>
        public string Open(byte[] packet, int bytes, in Header header, Tagger tagger, out Welcome welcome)
        {
            welcome = null;
            if (!tagger.Matches(packet, bytes))
            {
                return Wrong.BadTag;
            }

            var wrong = Welcome.Read(packet, bytes, out welcome);
            if (wrong != null)
            {
                return wrong;
            }

            if (header.Seq != Seq || !NonceD.AsSpan().SequenceEqual(welcome.NonceD))
            {
                return Wrong.NotMine;
            }

            // Whoever takes versions out of a HELLO on its way is seen here, since the tag covers the echo.
            var refused = welcome.State == Welcome.Refused; // then no version was chosen, perhaps because none suits
            if (!AreOffered(welcome) || !(refused || IsOffered(welcome.Version)))
            {
                return Wrong.Downgrade;
            }

            if (refused)
            {
                return null;
            }

            var isSound = welcome.Link != 0 && (header.Link == 0 || header.Link == welcome.Link) &&
                          welcome.NonceG.Length == Sizes.Nonce &&
                          (welcome.Session.Length > 0) == (welcome.State == Welcome.Recording);
            return isSound ? null : Wrong.Malformed;
        }

        private bool AreOffered(Welcome welcome)
        {
            if (welcome.Offered.Count != Versions.Length)
            {
                return false;
            }

            for (var at = 0; at < Versions.Length; at++)
            {
                if (welcome.Offered[at] != (ulong)Versions[at])
                {
                    return false;
                }
            }

            return true;
        }

        private bool IsOffered(ulong version)
        {
            foreach (var offered in Versions)
            {
                if ((ulong)offered == version)
                {
                    return true;
                }
            }

            return false;
        }
    }
}
