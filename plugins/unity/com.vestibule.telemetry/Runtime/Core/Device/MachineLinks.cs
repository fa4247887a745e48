using System;
using System.Collections.Generic;

namespace Vestibule
{
    /// <content>How links begin and end.</content>
    internal sealed partial class Machine
    {
        private static readonly List<StreamState> NoStreams = new List<StreamState>();

        private string Welcomed(byte[] packet, int bytes, in Header header, long nowNs)
        {
            var pending = _greeter.Pending;
            if (pending == null)
            {
                return Wrong.Unexpected;
            }

            var wrong = pending.Open(packet, bytes, header, _greeter.Tagger, out var welcome);
            if (wrong != null)
            {
                return wrong;
            }

            // A gateway that lost its store may give a number again; then it does not keep the old link of that number.
            if (Links.Get(welcome.Link) != null && !IsGone(pending, welcome, welcome.Link))
            {
                return Wrong.Malformed;
            }

            _greeter.Pending = null;
            _greeter.RetryNs = Never;
            if (welcome.State == Welcome.Refused)
            {
                // It says nothing about old links: they go on draining.
                End("error", nowNs);
                _why = welcome.Reason.Length > 0 ? welcome.Reason : Welcome.Refused;
            }
            else
            {
                foreach (var number in pending.Links)
                {
                    var link = IsGone(pending, welcome, number) ? Links.Get(number) : null;
                    if (link != null)
                    {
                        Drop(link);
                    }
                }

                End(pending.Cause == "recover" ? "error" : "end", nowNs);
                Adopt(new Link(_config, pending.NonceD, welcome, Account, _greeter.Tagger, Links.Pool, nowNs), welcome, nowNs);
            }

            if (!_wanted)
            {
                End("end", nowNs); // it only asked which links are kept
            }
            else if (welcome.State != Welcome.Recording)
            {
                _greeter.RetryNs = nowNs + _config.WaitRetryNs;
            }

            return null;
        }

        private static bool IsGone(Handshake pending, Welcome welcome, uint link) =>
            Array.IndexOf(pending.Links, link) >= 0 && !welcome.Kept.Contains(link);

        private void Adopt(Link link, Welcome welcome, long nowNs)
        {
            Links.Add(link);
            _current = link;
            _probes = new Probes(nowNs, link.IsRecording);
            Links.Pace.Recording = link.IsRecording;
            if (!link.IsRecording)
            {
                return;
            }

            // Nothing leaves the headset that the session does not permit: it would be refused, and should not travel.
            _recording = link;
            Array.Clear(_permitted, 0, _permitted.Length);
            foreach (var kind in welcome.Kinds)
            {
                if (kind < (ulong)_permitted.Length)
                {
                    _permitted[(int)kind] = true;
                }
            }

            _gather.Enter(link.Session);
            _kinds = welcome.Kinds;
        }

        /// <summary>Says BYE on the current link, if there is one; it drains from now on.</summary>
        private void End(string reason, long nowNs)
        {
            var link = _current;
            if (link == null)
            {
                return;
            }

            Flush(nowNs);
            var to = new MsgWriter(_scratch, Sizes.Header);
            Bodies.Bye(ref to, link.Ring.Floor(link.NextSeq), link.IsRecording ? _gather.Streams.Counted : NoStreams, reason);
            Send(link.Seal(PacketType.Bye, _scratch, to.At, nowNs));
            Links.Bound();
            Leave();
        }

        private void Leave()
        {
            _current = _recording = null;
            _probes = null;
            Links.Pace.Recording = false;
        }

        /// <summary>The gateway no longer keeps a link: what it holds is lost, sealed or not.</summary>
        private void Drop(Link link)
        {
            Links.Drop(link);
            if (link == _current)
            {
                Account.Lost.Add(Account.LinkGone, _gather.Clear());
                Leave();
            }
        }

        private string ResetLink(Link link, byte[] packet, int bytes, long nowNs)
        {
            var wrong = link.OpenReset(packet, bytes, out var reset);
            if (wrong != null)
            {
                return wrong;
            }

            if (link == _current)
            {
                _why = reset.Reason;
                _greeter.RetrySoon(nowNs);
            }

            Drop(link);
            return null;
        }

        private void TakeKey(byte[] key)
        {
            _effects.PersistKey(key);
            _config.Key = key;
            _greeter.Rekey();
        }
    }
}
