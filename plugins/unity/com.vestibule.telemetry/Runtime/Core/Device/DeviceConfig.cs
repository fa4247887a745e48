using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <summary>Who the device is, and the sizes and times it works with. Times in nanoseconds.</summary>
    internal sealed class DeviceConfig
    {
        public const long Ms = 1_000_000;
        public const ushort ClockStream = ushort.MaxValue;
        public const int HurryAfter = 64;

        private DeviceConfig()
        {
        }

        public uint Device { get; private set; }

        /// <summary>K_dev; changes with a rotation.</summary>
        public byte[] Key { get; set; }

        /// <summary>Number of the next HELLO.</summary>
        public ulong NextHello { get; private set; }

        public ulong Run { get; private set; }

        public int RingBytes { get; private set; }

        public int RingPackets { get; private set; }

        public bool Spool { get; private set; }

        public long SpoolBytes { get; private set; }

        public long LingerNs { get; private set; }

        /// <summary>Waits after the first, second ... send; the last holds for all that follow.</summary>
        public long[] DelaysNs { get; private set; }

        public long SilenceNs { get; private set; }

        public long WaitRetryNs { get; private set; }

        public int[] Versions { get; private set; }

        public HashSet<string> Commands { get; private set; }

        public HashSet<int> Targets { get; private set; }

        /// <param name="options">Checked by <see cref="Check"/>.</param>
        /// <param name="device">Number from the pairing.</param>
        /// <param name="key">K_dev.</param>
        /// <param name="nextHello">One above the counter persisted last.</param>
        /// <param name="run">Random, chosen at this start of the app.</param>
        public static DeviceConfig Of(ClientOptions options, uint device, byte[] key, ulong nextHello, ulong run)
        {
            var delays = new List<long> { options.ResendFirstMs * Ms };
            while (delays[delays.Count - 1] < options.ResendMostMs * Ms)
            {
                delays.Add(Math.Min(2 * delays[delays.Count - 1], options.ResendMostMs * Ms));
            }

            return new DeviceConfig
            {
                Device = device,
                Key = key,
                NextHello = nextHello,
                Run = run,
                RingBytes = options.RingBytes,
                RingPackets = options.RingPackets,
                Spool = options.Spool,
                SpoolBytes = options.SpoolBytes,
                LingerNs = options.LingerMs * Ms,
                DelaysNs = delays.ToArray(),
                SilenceNs = options.SilenceMs * Ms,
                WaitRetryNs = options.WaitRetryMs * Ms,
                Versions = new List<int>(options.Versions).ToArray(),
                Commands = new HashSet<string>(options.Commands),
                Targets = new HashSet<int>(options.Targets),
            };
        }

        /// <exception cref="ArgumentException">An option is out of its range; the message says which, and what to do.</exception>
        public static void Check(ClientOptions options)
        {
            Rule("RingBytes holds two packets (2,400 or more)", options.RingBytes >= 2 * Sizes.MaxDatagram);
            Rule("RingPackets is above 0", options.RingPackets > 0);
            Rule("SpoolBytes is above 0", options.SpoolBytes > 0);
            Rule("QueueBytes is 16,384 to 1 GiB", options.QueueBytes >= 16_384 && options.QueueBytes <= 1 << 30);
            Rule("LingerMs is not below 0", options.LingerMs >= 0);
            Rule("ResendFirstMs, SilenceMs and WaitRetryMs are above 0", Math.Min(options.ResendFirstMs, Math.Min(options.SilenceMs, options.WaitRetryMs)) > 0);
            Rule("ResendMostMs is not below ResendFirstMs", options.ResendMostMs >= options.ResendFirstMs);
            Rule("CloseMs is not below 0", options.CloseMs >= 0);
            Rule("Port is 0 to 65,535", options.Port >= 0 && options.Port <= ushort.MaxValue);
            Rule("Host and WatchFolder are not null", options.Host != null && options.WatchFolder != null);
            Rule("Name has at most 64 bytes and no control characters", options.Name != null && Names.IsDevice(options.Name));
            Rule("Versions are 1 to 8 numbers of 1 to 255, ascending", options.Versions != null && AreVersions(options.Versions));
            Rule("Commands are of haptic, text, marker", options.Commands != null && AreCommands(options.Commands));
            Rule("Targets are 0 to 255", options.Targets != null && AreTargets(options.Targets));
        }

        private static void Rule(string rule, bool holds)
        {
            if (!holds)
            {
                throw new ArgumentException("ClientOptions: " + rule + ". Set it so.");
            }
        }

        private static bool AreVersions(IReadOnlyList<int> versions)
        {
            for (var at = 0; at < versions.Count; at++)
            {
                if (versions[at] < 1 || versions[at] > 255 || (at > 0 && versions[at] <= versions[at - 1]))
                {
                    return false;
                }
            }

            return versions.Count > 0 && versions.Count <= Sizes.MaxVersions;
        }

        private static bool AreCommands(IReadOnlyList<string> commands)
        {
            foreach (var verb in commands)
            {
                if (verb != Command.Haptic && verb != Command.Text && verb != Command.Marker)
                {
                    return false;
                }
            }

            return true;
        }

        private static bool AreTargets(IReadOnlyList<int> targets)
        {
            foreach (var target in targets)
            {
                if (target < 0 || target > 255)
                {
                    return false;
                }
            }

            return true;
        }
    }
}
