using System;
using System.Collections.Generic;

namespace Vestibule.Tests
{
    /// <summary>A machine whose effects are noted, in the state that the vectors' packets are for.</summary>
    internal sealed class Bench : IEffects
    {
        public const long StartNs = 81234999000001;

        private readonly byte[] _nonceD;

        public Bench(Json handshake, Action<ClientOptions> set = null)
        {
            var options = new ClientOptions();
            set?.Invoke(options);
            var fields = handshake["packets"][0]["fields"];
            _nonceD = fields["nonce_d"].Hex;
            Key = handshake["k_dev"].Hex;
            Config = DeviceConfig.Of(options, (uint)fields["device"].U64, Key, handshake["packets"][0]["seq"].U64, fields["run"].U64);
            Machine = new Machine(Config, bytes => _nonceD.CopyTo(bytes, 0), this);
        }

        public DeviceConfig Config { get; }

        public Machine Machine { get; }

        public byte[] Key { get; private set; }

        public List<byte[]> Sent { get; } = new List<byte[]>();

        public List<string> Notes { get; } = new List<string>();

        public byte[] Last => Sent[Sent.Count - 1];

        /// <summary>Does what the machine asks of the spool; null only notes it.</summary>
        public SpoolStore Spool { get; set; }

        public bool IsRecording { get; private set; }

        public void Take(byte[] packet, long nowNs) => Machine.Received((byte[])packet.Clone(), packet.Length, nowNs);

        /// <summary>Started, and welcomed by the vector of that name if one is given.</summary>
        public Bench Started(Json handshake, string welcome = null)
        {
            Machine.Start(StartNs);
            foreach (var packet in handshake["packets"].Items)
            {
                if (packet["name"].Text == welcome)
                {
                    Take(packet["packet"].Hex, StartNs);
                }
            }

            return this;
        }

        public void Send(byte[] packet, int bytes, bool hello)
        {
            Sent.Add(packet.AsSpan(0, bytes).ToArray());
            Notes.Add("send " + packet[3]);
        }

        public void PersistSeq(ulong helloSeq) => Notes.Add("seq " + helloSeq);

        public void PersistKey(byte[] key)
        {
            Key = key;
            Notes.Add("key");
        }

        public void Changed(string state, string reason, int behindS) => Notes.Add(state + " " + reason + " " + behindS);

        public void Commanded(ClientCommand command) => Notes.Add("command " + command.Verb);

        public void Recording(List<ulong> kinds)
        {
            IsRecording = kinds != null;
            Notes.Add("recording " + (kinds == null ? "no" : string.Join(",", kinds)));
        }

        public void Keep(Link link, ulong seq, int samples, byte[] packet, int bytes)
        {
            Spool?.Keep(link, seq, samples, packet, bytes);
            Notes.Add("keep " + seq + " " + samples);
        }

        public void SendKept(uint link, ulong seq)
        {
            var packet = new byte[Sizes.MaxDatagram];
            var bytes = Spool == null ? 0 : Spool.Read(link, seq, packet);
            Notes.Add("send kept " + seq);
            if (bytes > 0)
            {
                Sent.Add(packet.AsSpan(0, bytes).ToArray());
            }
        }

        public void Settled(uint link, ulong first, ulong last)
        {
            Spool?.Settled(link, first, last);
            Notes.Add("settled " + first + "-" + last);
        }

        public void Dropped(uint link)
        {
            Spool?.Dropped(link);
            Notes.Add("dropped " + link);
        }
    }
}
