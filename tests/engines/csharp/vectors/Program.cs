using System;
using System.IO;

namespace Vestibule.Tests
{
    /// <summary>
    /// Checks the vectors: <c>Vestibule.Core.Tests.exe FOLDER</c>; exit code 1 when a check failed. With <c>measure</c>
    /// behind the folder it measures instead. <c>trace FILE...</c> plays traces (<see cref="Trace"/>).
    /// </summary>
    internal static class Program
    {
        private static int Main(string[] args)
        {
            if (args.Length == 0)
            {
                Console.Error.WriteLine("Give the folder of the vectors: tests/vectors/vt1");
                return 2;
            }

            if (args[0] == "trace")
            {
                return Trace.Play(args.AsSpan(1).ToArray());
            }

            var keys = Read(args[0], "keys");
            var frames = Read(args[0], "frames");
            var pairing = Read(args[0], "pairing");
            var handshake = Read(args[0], "handshake");
            var uplink = Read(args[0], "uplink");
            var downlink = Read(args[0], "downlink");
            var corrupt = Read(args[0], "corrupt");
            var spool = Read(args[0], "spool");
            if (args.Length > 1 && args[1] == "measure")
            {
                new Measure(handshake).Run();
                return 0;
            }

            var checks = new Checks();
            checks.Group("primitives", () => KeyChecks.Primitives(checks, keys));
            checks.Group("derived keys", () => KeyChecks.Derived(checks, keys, handshake, pairing));
            checks.Group("counter mode", () => KeyChecks.CounterMode(checks, keys));
            checks.Group("MessagePack", () => FrameChecks.MessagePack(checks, frames["messagepack"]));
            checks.Group("kinds", () => FrameChecks.Tables(checks, frames["kinds"]));
            checks.Group("records and frames", () => FrameChecks.Frames(checks, frames["frames"]));
            checks.Group("PAIR and PAIRED", () => UplinkChecks.Pairs(checks, pairing));
            checks.Group("HELLO", () => UplinkChecks.Hellos(checks, handshake));
            checks.Group("uplink", () => UplinkChecks.OnLinks(checks, uplink, frames["frames"]));
            checks.Group("WELCOME and RESET", () => DownlinkChecks.Welcomes(checks, handshake));
            checks.Group("downlink", () => DownlinkChecks.OnLinks(checks, downlink));
            checks.Group("corrupted twins", () => CorruptChecks.Twins(checks, corrupt, handshake, pairing));
            checks.Group("RESET", () => CorruptChecks.Resets(checks, handshake));
            checks.Group("spool files", () => SpoolChecks.Files(checks, spool, handshake));
            checks.Group("hold", () => MachineChecks.Hold(checks, handshake));
            checks.Group("rotate", () => MachineChecks.Rotate(checks, handshake));
            checks.Group("missed samples", () => MachineChecks.Missed(checks, handshake));
            checks.Group("spool", () => MachineChecks.Spooled(checks, handshake));
            checks.Group("spool after a restart", () => MachineChecks.Restarted(checks, handshake));
            Console.WriteLine(checks.Passed + " passed, " + checks.Failed + " failed");
            return checks.Failed == 0 ? 0 : 1;
        }

        private static Json Read(string folder, string name) => Json.Parse(File.ReadAllText(Path.Combine(folder, name + ".json")));
    }
}
