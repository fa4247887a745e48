using System;
using System.Collections.Generic;

namespace Vestibule.Tests
{
    /// <summary>Packets that a device builds, byte for byte from their fields: uplink, pairing and handshake.</summary>
    internal static class UplinkChecks
    {
        public static void OnLinks(Checks checks, Json uplink, Json frames)
        {
            var cipher = new LinkCipher(uplink["keys"]["okm"].Hex);
            var byName = new Dictionary<string, Json>();
            foreach (var frame in frames.Items)
            {
                byName.Add(frame["name"].Text, frame);
            }

            foreach (var packet in uplink["packets"].Items)
            {
                var name = packet["name"].Text;
                var buffer = new byte[2048];
                var to = new MsgWriter(buffer, Sizes.Header);
                Body(ref to, packet, byName);
                checks.Bytes("body of " + name, buffer.AsSpan(Sizes.Header, to.At - Sizes.Header), packet["body"].Hex);
                var seq = packet["seq"].U64;
                var block = new byte[16];
                cipher.CounterBlock(block, seq, 0);
                checks.Bytes("counter block of " + name, block, packet["counter_block_0"].Hex);
                Header.Write(buffer, (byte)packet["type_number"].Int, (uint)packet["link"].U64, seq, packet["t_send_ns"].I64);
                checks.Bytes("header of " + name, buffer.AsSpan(0, Sizes.Header), packet["header"].Hex);
                cipher.Crypt(seq, buffer, Sizes.Header, to.At - Sizes.Header);
                cipher.Tag(buffer, to.At);
                checks.Bytes("packet " + name, buffer.AsSpan(0, to.At + Sizes.Tag), packet["packet"].Hex);
            }
        }

        public static void Hellos(Checks checks, Json handshake)
        {
            var tagger = new Tagger(handshake["handshake_key"].Hex);
            foreach (var packet in handshake["packets"].Items)
            {
                if (packet["type"].Text != "hello")
                {
                    continue;
                }

                var fields = packet["fields"];
                var versions = new List<int>();
                foreach (var version in fields["versions"].Items)
                {
                    versions.Add(version.Int);
                }

                var links = new List<uint>();
                foreach (var link in fields["links"].Items)
                {
                    links.Add((uint)link.U64);
                }

                var config = DeviceConfig.Of(
                    new ClientOptions { Versions = versions }, (uint)fields["device"].U64, handshake["k_dev"].Hex, 0, fields["run"].U64);
                var made = Handshake.Hello(
                    config, tagger, packet["seq"].U64, fields["nonce_d"].Hex, links.ToArray(), "start", packet["t_send_ns"].I64);
                checks.Bytes("packet " + packet["name"].Text, made.Packet, packet["packet"].Hex);
            }
        }

        public static void Pairs(Checks checks, Json pairing)
        {
            var code = pairing["code"].Text;
            foreach (var packet in pairing["packets"].Items)
            {
                var fields = packet["fields"];
                if (packet["type"].Text == "pair")
                {
                    using (var made = new Pairing(code, fields["nonce_d"].Hex, fields["name"].Text, packet["t_send_ns"].I64))
                    {
                        checks.Bytes("packet " + packet["name"].Text, made.Packet, packet["packet"].Hex);
                    }

                    continue;
                }

                using (var pair = new Pairing(code, fields["nonce_d"].Hex, "any", 1))
                {
                    checks.Equal("paired", pair.Open(packet["packet"].Hex, packet["packet"].Hex.Length, out var device, out var key, out var home), null);
                    checks.Equal("device", device, (uint)fields["device"].U64);
                    checks.Equal("home", home, fields["home"].Text);
                    checks.Bytes("K_dev", key, pairing["k_dev"].Hex);
                }

                using (var other = new Pairing(code, new byte[16], "any", 1))
                {
                    checks.Equal("another PAIR's", other.Open(packet["packet"].Hex, packet["packet"].Hex.Length, out _, out _, out _), Wrong.NotMine);
                }
            }

            checks.Equal("typed code", Pairing.PlainCode("k7q2-zb5x wn4j YTRD 3hga mpc6 ve"), code);
            checks.Equal("a digit that is none", Pairing.PlainCode(code.Replace('2', '1')), null);
            checks.Equal("short code", Pairing.PlainCode(code.Substring(1)), null);
        }

        private static void Body(ref MsgWriter to, Json packet, Dictionary<string, Json> byName)
        {
            var fields = packet["fields"];
            switch (packet["type"].Text)
            {
                case "data":
                    var frames = new List<FrameBuffer>();
                    foreach (var name in fields["frames"].Items)
                    {
                        frames.Add(FrameChecks.Frame(byName[name.Text]));
                    }

                    Bodies.Data(ref to, fields["floor"].U64, Rows(fields["totals"]), frames);
                    return;
                case "bye":
                    Bodies.Bye(ref to, fields["floor"].U64, Rows(fields["totals"]), fields["reason"].Text);
                    return;
                case "sync":
                    Uplink.Probe(ref to, fields["t1_ns"].I64);
                    return;
                default:
                    var answers = fields["commands"];
                    if (answers.Count == 1)
                    {
                        Uplink.Answer(ref to, answers[0][0].U64, answers[0][1].Text);
                        return;
                    }

                    // This device answers each COMMAND in a packet of its own; here only the writer is checked.
                    to.Array(1);
                    to.Array(answers.Count);
                    foreach (var answer in answers.Items)
                    {
                        to.Array(2);
                        to.Int(answer[0].U64);
                        to.Str(answer[1].Text);
                    }

                    return;
            }
        }

        private static List<StreamState> Rows(Json totals)
        {
            var rows = new List<StreamState>();
            foreach (var row in totals.Items)
            {
                rows.Add(new StreamState((ushort)row[0].Int, 0) { Total = row[1].I64 });
            }

            return rows;
        }
    }
}
