using System.Collections.Generic;
using System.Globalization;
using Vestibule;

/// <summary>The client's status under the names of the orders.</summary>
internal static class Figures
{
    public static void Add(Dictionary<string, object> to, ClientStatus status)
    {
        to["state"] = status.Visible.State;
        to["reason"] = status.Visible.Reason;
        to["behind_s"] = status.Visible.BehindS;
        to["words"] = status.Visible.Words;
        to["link"] = (long)status.Link;
        to["links"] = status.Links;
        to["held_packets"] = status.HeldPackets;
        to["held_bytes"] = status.HeldBytes;
        to["unsealed"] = status.Unsealed;
        to["captured"] = status.Captured;
        to["stored"] = status.Stored;
        to["refused"] = Named(status.Refused);
        to["lost"] = Named(status.Lost);
        to["withheld"] = Named(status.Withheld);
        to["unrecorded"] = status.Unrecorded;
        to["sent"] = status.Sent;
        to["resent"] = status.Resent;
        to["ignored"] = Named(status.Ignored);
        to["faults"] = Named(status.Faults);
        to["totals"] = Numbered(status.Totals);
        to["queue_dropped"] = status.QueueDropped;
        to["spool_packets"] = status.SpoolPackets;
        to["spool_bytes"] = status.SpoolBytes;
        to["heap_bytes"] = status.HeapBytes;
        to["hello_seq"] = status.HelloSeq.HasValue ? (object)status.HelloSeq.Value : -1L;
        to["device"] = (long)status.Device;
        to["host"] = status.Host;
        to["port"] = status.Port;
        to["clock_offset_ns"] = status.ClockOffsetNs;
        to["clock_uncertainty_ns"] = status.ClockUncertaintyNs;
    }

    private static Dictionary<string, object> Named(IReadOnlyDictionary<string, long> counts)
    {
        var members = new Dictionary<string, object>();
        foreach (var count in counts)
        {
            members[count.Key] = count.Value;
        }
        return members;
    }

    private static Dictionary<string, object> Numbered(IReadOnlyDictionary<int, long> counts)
    {
        var members = new Dictionary<string, object>();
        foreach (var count in counts)
        {
            members[count.Key.ToString(CultureInfo.InvariantCulture)] = count.Value;
        }
        return members;
    }
}
