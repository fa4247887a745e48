using System;
using System.Collections.Generic;

namespace Vestibule.Tests
{
    /// <summary>Packets that a device reads: downlink, WELCOME, RESET.</summary>
    internal static class DownlinkChecks
    {
        public static void OnLinks(Checks checks, Json downlink)
        {
            var cipher = new LinkCipher(downlink["keys"]["okm"].Hex);
            foreach (var packet in downlink["packets"].Items)
            {
                var name = packet["name"].Text;
                var bytes = packet["packet"].Hex;
                checks.Equal("header of " + name, Header.Read(bytes, bytes.Length, out var header), null);
                checks.Equal("type of " + name, header.Type, (byte)packet["type_number"].Int);
                checks.Equal("link of " + name, header.Link, (uint)packet["link"].U64);
                checks.Equal("seq of " + name, header.Seq, packet["seq"].U64);
                checks.Equal("time of " + name, header.SendNs, packet["t_send_ns"].I64);
                checks.That("tag of " + name, cipher.Matches(bytes, bytes.Length));
                cipher.Crypt(header.Seq, bytes, Sizes.Header, bytes.Length - Sizes.MinPacket);
                checks.Bytes("body of " + name, bytes.AsSpan(Sizes.Header, bytes.Length - Sizes.MinPacket), packet["body"].Hex);
                Read(checks, name, header.Type, bytes, packet["fields"]);
            }
        }

        public static void Welcomes(Checks checks, Json handshake)
        {
            var tagger = new Tagger(handshake["handshake_key"].Hex);
            foreach (var packet in handshake["packets"].Items)
            {
                var name = packet["name"].Text;
                var bytes = packet["packet"].Hex;
                var fields = packet["fields"];
                if (packet["type"].Text == "hello")
                {
                    continue;
                }

                checks.That("tag of " + name, tagger.Matches(bytes, bytes.Length));
                if (packet["type"].Text == "reset")
                {
                    checks.Equal("body of " + name, Reset.Read(bytes, bytes.Length, out var reset), null);
                    checks.Equal("seq of " + name, reset.Seq, fields["seq"].U64);
                    checks.Bytes("tag in " + name, reset.Tag, fields["tag"].Hex);
                    checks.Equal("reason of " + name, reset.Reason, fields["reason"].Text);
                    continue;
                }

                Header.Read(bytes, bytes.Length, out var header);
                var config = DeviceConfig.Of(new ClientOptions { Versions = Numbers32(fields["offered"]) }, 7, handshake["k_dev"].Hex, 0, 1);
                var links = new List<uint>();
                foreach (var link in fields["kept"].Items)
                {
                    links.Add((uint)link.U64);
                }

                var pending = Handshake.Hello(config, tagger, header.Seq, fields["nonce_d"].Hex, links.ToArray(), "start", 1);
                checks.Equal("open " + name, pending.Open(bytes, bytes.Length, header, tagger, out var welcome), null);
                checks.Bytes("nonce_g of " + name, welcome.NonceG, fields["nonce_g"].Hex);
                checks.Equal("link of " + name, welcome.Link, (uint)fields["link"].U64);
                checks.Equal("gateway of " + name, welcome.Gateway, fields["gateway"].Text);
                checks.Bytes("session of " + name, welcome.Session, fields["session"].Hex);
                checks.Equal("version of " + name, welcome.Version, fields["version"].U64);
                checks.Equal("state of " + name, welcome.State, fields["state"].Text);
                checks.Equal("reason of " + name, welcome.Reason, fields["reason"].Text);
                checks.Equal("kept of " + name, string.Join(",", welcome.Kept), string.Join(",", Numbers(fields["kept"])));
                checks.Equal("kinds of " + name, string.Join(",", welcome.Kinds), string.Join(",", Numbers(fields["kinds"])));
                checks.Equal("at_ms of " + name, welcome.AtMs, fields["at_ms"].U64);
                var other = Handshake.Hello(config, tagger, header.Seq + 1, fields["nonce_d"].Hex, links.ToArray(), "start", 1);
                checks.Equal(name + " for another HELLO", other.Open(bytes, bytes.Length, header, tagger, out _), Wrong.NotMine);
            }
        }

        private static void Read(Checks checks, string name, byte type, byte[] packet, Json fields)
        {
            if (type == PacketType.Receipt)
            {
                var receipt = new Receipt();
                checks.Equal("receipt " + name, receipt.Read(packet, packet.Length), null);
                checks.Equal("rows of " + name, Told(receipt), Told(fields));
            }
            else if (type == PacketType.Sync)
            {
                checks.Equal("reply " + name, ProbeReply.Read(packet, packet.Length, out var reply), null);
                checks.Equal("t1 of " + name, reply.T1Ns, fields["t1_ns"].I64);
                checks.Equal("t2 of " + name, reply.T2Ns, fields["t2_ns"].I64);
                checks.Equal("t3 of " + name, reply.T3Ns, fields["t3_ns"].I64);
            }
            else
            {
                checks.Equal("command " + name, Command.Read(packet, packet.Length, out var command), null);
                checks.Equal("verb of " + name, command.Verb, fields["verb"].Text);
                checks.Equal("args of " + name, command.Args.Count, fields["args"].Count);
                for (var at = 0; at < command.Args.Count; at++)
                {
                    var arg = command.Args[at];
                    foreach (var expected in fields["args"][at].Map)
                    {
                        var same = expected.Key == "int" ? arg.Type == 'i' && !arg.Negative && arg.Bits == expected.Value.U64
                            : expected.Key == "str" ? arg.Type == 's' && arg.Text == expected.Value.Text
                            : arg.Type == 'f' && arg.Number == expected.Value.Double;
                        checks.That("arg " + at + " of " + name, same);
                    }
                }
            }
        }

        private static string Told(Receipt receipt)
        {
            var rows = new List<string>();
            foreach (var row in receipt.Stored)
            {
                rows.Add("s " + row.Batch + " " + Hex.Of(row.Root) + " " + row.Range.First + "-" + row.Range.Last);
            }

            foreach (var row in receipt.Refused)
            {
                rows.Add("r " + row.Reason + " " + row.Range.First + "-" + row.Range.Last);
            }

            foreach (var row in receipt.Frames)
            {
                rows.Add("f " + row.Seq + " " + row.Stream + " " + row.Reason);
            }

            foreach (var row in receipt.Totals)
            {
                rows.Add("t " + row.Stream + " " + row.Total + " " + row.Stored + " " + row.Refused + " " + row.Missing);
            }

            return string.Join("; ", rows);
        }

        private static string Told(Json fields)
        {
            var rows = new List<string>();
            foreach (var row in fields["stored"].Items)
            {
                for (var at = 0; at < row[2].Count; at += 2)
                {
                    rows.Add("s " + row[0].Text + " " + row[1].Text + " " + row[2][at].Text + "-" + row[2][at + 1].Text);
                }
            }

            foreach (var row in fields["refused"].Items)
            {
                for (var at = 0; at < row[1].Count; at += 2)
                {
                    rows.Add("r " + row[0].Text + " " + row[1][at].Text + "-" + row[1][at + 1].Text);
                }
            }

            foreach (var row in fields["frames"].Items)
            {
                rows.Add("f " + row[0].Text + " " + row[1].Text + " " + row[2].Text);
            }

            foreach (var row in fields["totals"].Items)
            {
                rows.Add("t " + row[0].Text + " " + row[1].Text + " " + row[2].Text + " " + row[3].Text + " " + row[4].Text);
            }

            return string.Join("; ", rows);
        }

        private static List<string> Numbers(Json numbers)
        {
            var made = new List<string>();
            foreach (var number in numbers.Items)
            {
                made.Add(number.Text);
            }

            return made;
        }

        private static List<int> Numbers32(Json numbers)
        {
            var made = new List<int>();
            foreach (var number in numbers.Items)
            {
                made.Add(number.Int);
            }

            return made;
        }
    }
}
