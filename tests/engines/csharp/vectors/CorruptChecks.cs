using System;
using System.Collections.Generic;

namespace Vestibule.Tests
{
    /// <summary>Packets with one fault, and RESETs: a device drops them, and nothing is thrown.</summary>
    internal static class CorruptChecks
    {
        public static void Twins(Checks checks, Json corrupt, Json handshake, Json pairing)
        {
            foreach (var twin in corrupt["packets"].Items)
            {
                if (twin["receiver"].Text != "device")
                {
                    continue;
                }

                var name = twin["name"].Text;
                var packet = twin["packet"].Hex;
                if (packet[3] == PacketType.Paired)
                {
                    using (var pair = new Pairing(pairing["code"].Text, pairing["packets"][0]["fields"]["nonce_d"].Hex, "any", 1))
                    {
                        checks.Equal(name, pair.Open(packet, packet.Length, out _, out _, out _), twin["reason"].Text);
                    }

                    continue;
                }

                var asks = packet[3] == PacketType.Welcome; // else the link that it is for exists already
                var bench = new Bench(handshake).Started(handshake, asks ? null : "welcome_recording");
                var before = bench.Notes.Count;
                bench.Take(packet, Bench.StartNs + 1);
                checks.Equal("effects of " + name, bench.Notes.Count, before);
                checks.Equal("word of " + name, Words(bench.Machine.Account.Ignored.Copy()), twin["reason"].Text + " 1");
                checks.Equal("links after " + name, bench.Machine.Links.Count, asks ? 0 : 1);
            }
        }

        public static void Resets(Checks checks, Json handshake)
        {
            foreach (var packet in handshake["packets"].Items)
            {
                if (packet["type"].Text != "reset")
                {
                    continue;
                }

                var bench = new Bench(handshake).Started(handshake, "welcome_recording");
                bench.Take(packet["packet"].Hex, Bench.StartNs + 1);
                checks.That(packet["name"].Text + " of a packet never sent is ignored", bench.IsRecording && bench.Machine.CurrentLink == 4242);
                checks.Equal("word", Words(bench.Machine.Account.Ignored.Copy()), Wrong.NotMine + " 1");
            }

            var asked = new Bench(handshake).Started(handshake, "welcome_recording");
            checks.Equal("the first packet is a probe", asked.Last[3], PacketType.Sync);
            asked.Take(Reset(handshake, asked.Last), Bench.StartNs + 1);
            checks.That("a RESET of a packet that was sent is obeyed", !asked.IsRecording && asked.Machine.Links.Count == 0);
            checks.That("and shown", asked.Notes.Contains("not_recording moved 0"));
        }

        private static byte[] Reset(Json handshake, byte[] sent)
        {
            Header.Read(sent, sent.Length, out var header);
            var packet = new byte[256];
            Header.Write(packet, PacketType.Reset, header.Link, header.Seq, 1);
            var to = new MsgWriter(packet, Sizes.Header);
            to.Array(3);
            to.Int(header.Seq);
            to.Bin(sent.AsSpan(sent.Length - Sizes.Tag));
            to.Str("moved");
            new Tagger(handshake["handshake_key"].Hex).Write(packet, to.At);
            return packet.AsSpan(0, to.At + Sizes.Tag).ToArray();
        }

        private static string Words(Dictionary<string, long> ignored)
        {
            var words = new List<string>();
            foreach (var pair in ignored)
            {
                // The vectors call a type that only devices send by the gateway's word.
                words.Add((pair.Key == Wrong.Unexpected ? Wrong.Type : pair.Key) + " " + pair.Value);
            }

            return string.Join(", ", words);
        }
    }
}
