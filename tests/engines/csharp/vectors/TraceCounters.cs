using System;
using System.Collections.Generic;
using System.Globalization;

namespace Vestibule.Tests
{
    /// <summary>Every counter of a machine that is not 0, by name, as a trace tells them.</summary>
    internal static class TraceCounters
    {
        public static string Of(Machine machine)
        {
            var found = new SortedDictionary<string, long>(StringComparer.Ordinal)
            {
                ["held_bytes"] = machine.Links.HeldBytes,
                ["kept_bytes"] = machine.Links.KeptBytes,
                ["kept_packets"] = machine.Links.KeptPackets,
                ["clock.offset"] = machine.HasClock ? machine.Clock.OffsetNs : 0,
                ["clock.uncertainty"] = machine.HasClock ? machine.Clock.UncertaintyNs : 0,
            };
            foreach (var stream in machine.Streams.Counted)
            {
                found["total." + stream.Number.ToString(CultureInfo.InvariantCulture)] = stream.Total;
            }

            Add(found, "", machine.Account);
            Add(found, "earlier.", machine.Earlier);
            var made = new List<string>();
            foreach (var counter in found)
            {
                if (counter.Value != 0)
                {
                    made.Add(counter.Key + "=" + counter.Value.ToString(CultureInfo.InvariantCulture));
                }
            }

            return string.Join(" ", made);
        }

        private static void Add(SortedDictionary<string, long> found, string prefix, Account account)
        {
            found[prefix + "captured"] = account.Captured;
            found[prefix + "stored"] = account.Stored;
            found[prefix + "unrecorded"] = account.Unrecorded;
            found[prefix + "sent"] = account.Sent;
            found[prefix + "resent"] = account.Resent;
            AddWords(found, prefix + "refused.", account.Refused);
            AddWords(found, prefix + "lost.", account.Lost);
            AddWords(found, prefix + "ignored.", account.Ignored);
            for (var kind = 0; kind < account.Withheld.Length; kind++)
            {
                found[prefix + "withheld." + kind.ToString(CultureInfo.InvariantCulture)] = account.Withheld[kind];
            }
        }

        private static void AddWords(SortedDictionary<string, long> found, string prefix, Counter counter)
        {
            foreach (var word in counter.Copy())
            {
                found[prefix + word.Key] = word.Value;
            }
        }
    }
}
