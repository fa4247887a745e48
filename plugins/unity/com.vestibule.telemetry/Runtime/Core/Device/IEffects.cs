using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// What the machine asks of its driver, called in the order in which it is to be done. <see cref="PersistSeq"/> and
    /// <see cref="PersistKey"/> must be done before the <see cref="Send"/> that follows: a HELLO counter that is sent
    /// before it is kept would be used twice after a crash (SPEC, "Handshake"). Buffers are lent for the call only.
    /// </summary>
    internal interface IEffects
    {
        void Send(byte[] packet, int bytes, bool hello);

        void PersistSeq(ulong helloSeq);

        void PersistKey(byte[] key);

        void Changed(string state, string reason, int behindS);

        void Commanded(ClientCommand command);

        /// <summary>Kinds that may be captured from now on; null when nothing is recorded any more.</summary>
        void Recording(List<ulong> kinds);

        /// <summary>Write a packet to the spool.</summary>
        void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes);

        /// <summary>Send a packet that only the spool has; when it cannot be read, tell <see cref="Machine.SpoolLost"/>.</summary>
        void SendKept(uint link, ulong seq);

        /// <summary>Kept packets first..last are no longer held.</summary>
        void Settled(uint link, ulong first, ulong last);

        /// <summary>Nothing of a link is held any more.</summary>
        void Dropped(uint link);
    }
}
