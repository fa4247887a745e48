using System;

namespace Vestibule
{
    /// <content>What the gateway says on links. The order of checks is SPEC's, "Order of checks".</content>
    internal sealed partial class Machine
    {
        private const int MaxReasonBytes = 64;

        /// <summary>Acts on a packet; null, or why not.</summary>
        private string Take(byte[] packet, int bytes, long nowNs)
        {
            var wrong = Header.Read(packet, bytes, out var header);
            if (wrong != null)
            {
                return wrong;
            }

            if (header.Type == PacketType.Welcome)
            {
                return Welcomed(packet, bytes, header, nowNs);
            }

            if (!PacketType.IsForDevice(header.Type))
            {
                return Wrong.Unexpected;
            }

            var link = Links.Get(header.Link);
            if (link == null)
            {
                return Wrong.UnknownLink;
            }

            if (header.Type == PacketType.Reset)
            {
                return ResetLink(link, packet, bytes, nowNs);
            }

            if (!link.IsAuthentic(packet, bytes))
            {
                return Wrong.BadTag;
            }

            if (!link.IsFresh(header.Seq))
            {
                return header.Type == PacketType.Command && AnswerAgain(link, header.Seq, nowNs) ? null : Wrong.Copy;
            }

            link.Decrypt(header.Seq, packet, bytes);
            return Fresh(link, header, packet, bytes, nowNs);
        }

        private string Fresh(Link link, in Header header, byte[] packet, int bytes, long nowNs)
        {
            link.Heard(nowNs);
            string wrong;
            switch (header.Type)
            {
                case PacketType.Receipt:
                    wrong = _receipt.Read(packet, bytes);
                    if (wrong == null)
                    {
                        link.Settle(_receipt, _effects, nowNs);
                        Links.ForgetDrained(link);
                    }

                    return wrong;
                case PacketType.Sync:
                    wrong = ProbeReply.Read(packet, bytes, out var reply);
                    if (wrong == null && link == _current)
                    {
                        _probes.Reply(reply, nowNs);
                    }

                    return wrong;
                case PacketType.Command when link.IsRestored:
                    return Wrong.Unanswerable;
                default:
                    wrong = Command.Read(packet, bytes, out var command);
                    if (wrong == null)
                    {
                        Commanded(link, header.Seq, command, nowNs);
                    }

                    return wrong;
            }
        }

        private void Commanded(Link link, ulong seq, Command command, long nowNs)
        {
            switch (command.Verb)
            {
                case Command.Stop when link == _current:
                    Stopped(link, seq, command, nowNs);
                    return;
                case Command.Stop:
                    Answer(link, seq, Commands.Done, nowNs);
                    return;
                case Command.Open:
                    if (_wanted && _greeter.Pending == null)
                    {
                        _greeter.Begin("open", Links.Numbers(), nowNs);
                    }

                    Answer(link, seq, _wanted ? Commands.Done : Commands.Refused, nowNs);
                    return;
                case Command.Hold:
                    var holds = command.Has("s") && command.Args[0].Text == "disk_full";
                    link.Hold = holds && link.IsRecording ? command.Args[0].Text : link.Hold;
                    Answer(link, seq, holds ? Commands.Done : Commands.Refused, nowNs);
                    return;
                case Command.Rotate:
                    Rotate(link, seq, command, nowNs);
                    return;
                default:
                    var told = new ClientCommand(command.Verb, link.Number, seq);
                    var result = _commands.Judge(command, told, nowNs);
                    if (result == Commands.Done)
                    {
                        _effects.Commanded(told);
                    }

                    Answer(link, seq, result, nowNs);
                    return;
            }
        }

        private void Stopped(Link link, ulong seq, Command command, long nowNs)
        {
            if (link.IsRecording)
            {
                // Before BYE, which is the link's last packet; what was captured goes before both.
                Flush(nowNs);
                Answer(link, seq, Commands.Done, nowNs);
            }

            End("stop", nowNs);
            var reason = command.Args.Count > 0 && command.Args[0].Type == 's' ? command.Args[0].Text : "";
            _why = reason.Length > 0 && Names.Bytes(reason) <= MaxReasonBytes ? reason : "stop";

            // The clinic ended this session; the device comes back for the next one.
            _greeter.RetryNs = nowNs + _config.WaitRetryNs;
        }

        private void Rotate(Link link, ulong seq, Command command, long nowNs)
        {
            var key = command.Has("s") ? Hex.Parse(command.Args[0].Text, Sizes.Key) : null;
            if (key == null)
            {
                Answer(link, seq, Commands.Refused, nowNs);
                return;
            }

            var isNew = !key.AsSpan().SequenceEqual(_config.Key);
            if (isNew)
            {
                TakeKey(key);
            }

            Answer(link, seq, Commands.Done, nowNs);
            if (isNew)
            {
                _greeter.Begin("rotate", Links.Numbers(), nowNs);
            }
        }

        /// <summary>Answers a COMMAND. A waiting link carries SYNC and BYE only: there HELLO is the answer.</summary>
        private void Answer(Link link, ulong seq, string result, long nowNs)
        {
            if (!link.IsRecording)
            {
                return;
            }

            link.Answers.Remember(seq, result, nowNs);
            var to = new MsgWriter(_scratch, Sizes.Header);
            Uplink.Answer(ref to, seq, result);
            Send(link.Seal(PacketType.Receipt, _scratch, to.At, nowNs));
        }

        private bool AnswerAgain(Link link, ulong seq, long nowNs)
        {
            var result = link.Answers.Again(seq, nowNs);
            if (result == null)
            {
                return false;
            }

            Answer(link, seq, result, nowNs);
            return true;
        }
    }
}
