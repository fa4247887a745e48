using System;
using System.Collections.Generic;
using System.Threading;

namespace Vestibule
{
    /// <content>Figures for people.</content>
    internal sealed partial class Worker
    {
        private ClientStatus Figures()
        {
            var figures = new ClientStatus(Shared.State)
            {
                Unrecorded = Interlocked.Read(ref _unrecorded),
                QueueDropped = _queue.Dropped,
                HeapBytes = GC.GetTotalMemory(false),
                Host = Host(_identity == null ? "" : _identity.Host),
                Port = Port(_identity == null ? 0 : _identity.Port),
                HelloSeq = _identity?.HelloSeq,
                Device = _identity == null ? 0 : _identity.Device,
                SpoolPackets = _spool == null ? 0 : _spool.Packets,
                SpoolBytes = _spool == null ? 0 : _spool.Bytes,
            };
            var withheld = new Dictionary<string, long>();
            for (var kind = 0; kind < _withheld.Length; kind++)
            {
                var count = Interlocked.Read(ref _withheld[kind]) + (_machine == null ? 0 : _machine.Account.Withheld[kind]);
                if (count > 0)
                {
                    withheld.Add(Kinds.Name((byte)kind), count);
                }
            }

            figures.Withheld = withheld;
            if (_machine == null)
            {
                return figures;
            }

            var account = _machine.Account;
            figures.Link = _machine.CurrentLink;
            figures.Links = _machine.Links.Count;
            figures.HeldPackets = _machine.Links.HeldPackets;
            figures.HeldBytes = _machine.Links.HeldBytes;
            figures.Unsealed = _machine.Unsealed;
            figures.Captured = account.Captured;
            figures.Restored = _machine.Earlier.Captured;
            figures.RestoredStored = _machine.Earlier.Stored;
            figures.Stored = account.Stored;
            figures.Refused = account.Refused.Copy();
            figures.Lost = account.Lost.Copy();
            figures.Unrecorded += account.Unrecorded;
            figures.Sent = account.Sent;
            figures.Resent = account.Resent;
            figures.Ignored = account.Ignored.Copy();
            figures.Faults = account.Faults.Copy();
            var totals = new Dictionary<int, long>();
            foreach (var stream in _machine.Streams.Counted)
            {
                totals.Add(stream.Number, stream.Total);
            }

            figures.Totals = totals;
            if (_machine.HasClock)
            {
                figures.ClockOffsetNs = _machine.Clock.OffsetNs;
                figures.ClockUncertaintyNs = _machine.Clock.UncertaintyNs;
            }

            return figures;
        }
    }
}
