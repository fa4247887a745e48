using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>
    /// How the client works. Read once, when it is made. The defaults are those of SPEC, "Delivery", and suit a headset;
    /// the constructor of <see cref="VestibuleClient"/> throws <see cref="System.ArgumentException"/> for values out of
    /// their range.
    /// </summary>
    public sealed class ClientOptions
    {
        /// <summary>Name or address of the gateway; what a pairing or a key file says goes before it.</summary>
        public string Host { get; set; } = "";

        /// <summary>UDP port of the gateway, 1..65,535.</summary>
        public int Port { get; set; } = 4747;

        /// <summary>What the device calls itself at a pairing: at most 64 bytes, no control characters, no person's name.</summary>
        public string Name { get; set; } = "";

        /// <summary>Most bytes of packets that wait in memory for their receipts.</summary>
        public int RingBytes { get; set; } = 16 * 1024 * 1024;

        /// <summary>Most such packets.</summary>
        public int RingPackets { get; set; } = 32_768;

        /// <summary>Whether packets may be kept in the private folder when the gateway does not answer (SPEC, "Delivery").</summary>
        public bool Spool { get; set; }

        /// <summary>Most bytes of packets in the spool.</summary>
        public long SpoolBytes { get; set; } = 256L * 1024 * 1024;

        /// <summary>Bytes of the queue between the app's threads and the worker; preallocated.</summary>
        public int QueueBytes { get; set; } = 2 * 1024 * 1024;

        /// <summary>How long a sample may wait for others to share its packet; 0 sends each alone.</summary>
        public int LingerMs { get; set; } = 200;

        /// <summary>A packet without a receipt is sent again after this.</summary>
        public int ResendFirstMs { get; set; } = 2_500;

        /// <summary>That wait doubles with each resend, up to this.</summary>
        public int ResendMostMs { get; set; } = 10_000;

        /// <summary>Nothing heard for this long: the gateway or the way to it is gone.</summary>
        public int SilenceMs { get; set; } = 10_000;

        /// <summary>How long a device that waits or is refused lets pass before its next HELLO.</summary>
        public int WaitRetryMs { get; set; } = 5_000;

        /// <summary>How long <see cref="VestibuleClient.Dispose"/> waits for receipts.</summary>
        public int CloseMs { get; set; } = 500;

        /// <summary>Protocol versions offered: 1..255, ascending, at most 8.</summary>
        public IReadOnlyList<int> Versions { get; set; } = new[] { 1 };

        /// <summary>Verbs that the app carries out, of <c>haptic</c>, <c>text</c>, <c>marker</c>; others are answered <c>unsupported</c>.</summary>
        public IReadOnlyList<string> Commands { get; set; } = new[] { "haptic", "text", "marker" };

        /// <summary>Haptic targets that the device has: 0..255, as trackers of a pose.</summary>
        public IReadOnlyList<int> Targets { get; set; } = new[] { 1, 2 };

        /// <summary>Folder in which staff may lay <c>vestibule.json</c> (a pair file or a key file); empty for none.</summary>
        public string WatchFolder { get; set; } = "";
    }
}
